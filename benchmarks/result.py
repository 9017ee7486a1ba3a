"""What a comparison has shown, as values that can be written down and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.rounds import Times
from benchmarks.spread import Spread, spread


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to reach.

    Attributes:
        name: Who is to reach it.
        base: Beside whom.
        at_most: How many times as long it may take; None: see `at_least`.
        at_least: How many times as fast it has to be; None: see `at_most`.
        held_to: What it must not get worse than meanwhile, where it has not been reached; None: it
            has been.
    """

    name: str
    base: str
    at_most: float | None = None
    at_least: float | None = None
    held_to: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """How near a goal came.

    Attributes:
        goal: What was to be reached.
        ratio: What was measured: times as long for `at_most`, times as fast for `at_least`.
    """

    goal: Goal
    ratio: Spread

    @property
    def is_reached(self) -> bool:
        """Whether the median is where it is to be."""
        return self._is_within(self.ratio.median, None)

    @property
    def is_missed(self) -> bool:
        """Whether what it is held to is missed by more than the noise: by nine rounds of ten."""
        best = self.ratio.p10 if self.goal.at_most is not None else self.ratio.p90
        return not self._is_within(best, self.goal.held_to)

    def _is_within(self, value: float, held_to: float | None) -> bool:
        if self.goal.at_most is not None:
            return value <= (held_to or self.goal.at_most)
        return self.goal.at_least is None or value >= (held_to or self.goal.at_least)


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant of a comparison.

    Attributes:
        name: What it is called.
        seconds: How long it took.
        ratio: How many times as long as the base, round by round; None: it is the base.
    """

    name: str
    seconds: Spread
    ratio: Spread | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contestants that did the same work in turn.

    Attributes:
        title: What was done.
        place: On which file system.
        rounds: How many times.
        per: By how many the seconds are divided in tables, such as the number of jobs.
        entries: The contestants, the base first.
        figures: What was to be reached.
        absent: Who did not take part, and why.
        facts: Anything else that was seen, by name.
        at: What differs between comparisons of one kind, such as `seconds` and `workers`.
    """

    title: str
    place: str
    rounds: int
    per: int
    entries: tuple[Entry, ...]
    figures: tuple[Figure, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON holds it."""
        plain = asdict(self)
        for figure, values in zip(self.figures, plain["figures"], strict=True):
            values |= {"is_reached": figure.is_reached, "is_missed": figure.is_missed}
        return plain


def compared(
    title: str,
    place: str,
    times: Times,
    base: str,
    goals: Sequence[Goal] = (),
    *,
    per: int = 1,
    absent: dict[str, str] | None = None,
    facts: dict[str, str] | None = None,
) -> Comparison:
    """Sum up what was timed.

    Args:
        title: What was done.
        place: On which file system.
        times: The seconds of each contestant in each round.
        base: Beside whom all others stand.
        goals: What was to be reached; those of contestants that took no part are left out.
        per: By how many the seconds are divided in tables.
        absent: Who did not take part, and why.
        facts: Anything else that was seen, by name.
    """
    names = sorted(times.by_name, key=lambda name: (name != base, list(times.by_name).index(name)))
    entries = tuple(
        Entry(
            name,
            spread([seconds / per for seconds in times.by_name[name]]),
            None if name == base else spread(times.ratios(name, base)),
        )
        for name in names
    )
    figures = tuple(
        Figure(goal, spread(_measured(goal, times)))
        for goal in goals
        if goal.name in times.by_name and goal.base in times.by_name
    )
    rounds = len(times.by_name[base])
    return Comparison(title, place, rounds, per, entries, figures, absent or {}, facts or {})


def _measured(goal: Goal, times: Times) -> list[float]:
    if goal.at_most is not None:
        return times.ratios(goal.name, goal.base)
    return times.ratios(goal.base, goal.name)
