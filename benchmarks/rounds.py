"""Run contestants in turn: each once a round, each round in another order.

On a shared machine the speed drifts from second to second. What ran in the same round ran in the
same weather, so two contestants are compared by the ratio of their times in each round, never by
times of different rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that is timed.

    Attributes:
        name: What it is called in tables.
        run: Does the work once, in a place of its own, and gives the seconds that count. What it
            prepares and clears away before and after is not in them.
    """

    name: str
    run: Callable[[], float]


@dataclass(slots=True)
class Times:
    """Seconds of each contestant in each round."""

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self, name: str, base: str) -> list[float]:
        """How many times as long one took as another, round by round."""
        return [a / b for a, b in zip(self.by_name[name], self.by_name[base], strict=True)]


def in_turn(
    contestants: Sequence[Contestant],
    rounds: int,
    *,
    warm_ups: int = 1,
    say: Callable[[str], object] = lambda _text: None,
) -> Times:
    """Time each contestant once a round.

    Args:
        contestants: Who takes part; their names differ.
        rounds: How many rounds count.
        warm_ups: Rounds before them that do not: caches fill, files are compiled.
        say: Told of each round when it begins.
    """
    times = Times({contestant.name: [] for contestant in contestants})
    for number in range(-warm_ups, rounds):
        say(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        # Each begins as often as the others, and follows each of them.
        first = number % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            seconds = contestant.run()
            if number >= 0:
                times.by_name[contestant.name].append(seconds)
    return times
