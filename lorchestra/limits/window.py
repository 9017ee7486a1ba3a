"""How many units may start in a time: pure.

The algorithm is the *sliding window log*: the times of the last starts are kept, and one more is
allowed when fewer than so many lie in the time that ends now (as described by Nikrad Mahdi, "An
alternative approach to rate limiting", Figma, 2017). A token bucket needs no log, but lets twice as
many through in one period: a full bucket, and what flows in meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from lorchestra.quota import Rate


def recent(starts: Sequence[float], rate: Rate, now: float) -> list[float]:
    """The starts that still count, oldest first.

    Those that lie in the future, because a clock was set back, count as if they were now: so they
    are forgotten one period later at the latest.
    """
    return [min(start, now) for start in starts if start + rate.period_s > now]


def wait_s(starts: Sequence[float], rate: Rate, units: int, now: float) -> float:
    """Seconds until so many more units may start; 0: now.

    Args:
        starts: When units have started, oldest first.
        rate: What is allowed.
        units: How many, at most as many as the rate has starts.
        now: The time, by the same clock.
    """
    counted = recent(starts, rate, now)
    too_many = len(counted) + units - rate.starts
    return counted[too_many - 1] + rate.period_s - now if too_many > 0 else 0.0
