"""What many measurements say: the middle, how far they spread, and how sure the middle is."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some measurements, and how far they spread.

    Attributes:
        median: The middle one.
        p10: Below it lies a tenth of them.
        p90: Above it lies a tenth of them.
        low: Lower end of the interval in which the true median lies, with 95 % confidence.
        high: Upper end of that interval.
    """

    median: float
    p10: float
    p90: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Sum up some measurements; at least one.

    The interval is a percentile bootstrap (Efron, "Bootstrap Methods: Another Look at the
    Jackknife", 1979): medians of samples drawn from the measurements, from a fixed seed.
    """
    chance = random.Random(1)
    medians = sorted(
        statistics.median(chance.choices(values, k=len(values))) for _ in range(_RESAMPLES)
    )
    return Spread(
        statistics.median(values),
        quantile(values, 0.1),
        quantile(values, 0.9),
        quantile(medians, 0.025),
        quantile(medians, 0.975),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, between two of them if need be."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
