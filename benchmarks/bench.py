"""What every suite is given: where to work, and how much of it is to be done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.places import Place
from benchmarks.result import Comparison
from benchmarks.rounds import Contestant, Times, in_turn


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmarks.

    Attributes:
        places: File systems by name: `disk`, and `tmpfs` where there is one.
        is_short: Whether a glance is enough.
        say: Told how far it is.
    """

    places: dict[str, Place]
    is_short: bool
    say: Callable[[str], object]

    def count(self, full: int, short: int) -> int:
        """The number to use."""
        return short if self.is_short else full

    @property
    def memory(self) -> Place:
        """The fastest place there is."""
        return self.places.get("tmpfs", self.places["disk"])

    @property
    def disk(self) -> Place:
        """A place that keeps what is written when the power goes."""
        return self.places["disk"]

    def in_turn(self, title: str, contestants: Sequence[Contestant], rounds: int) -> Times:
        """Time contestants in turn, and say how far it is."""
        with _named(self.say, title) as say:
            return in_turn(contestants, rounds, say=say)


@contextlib.contextmanager
def _named(say: Callable[[str], object], title: str) -> Iterator[Callable[[str], object]]:
    yield lambda text: say(f"{title}: {text}")


Suite = Callable[[Bench], Iterator[Comparison]]
