"""Who asks for limits, and what the answer can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Shortage(NamedTuple):
    """A limit of which there was not enough, and why, for people."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


class Refusal(NamedTuple):
    """Nothing was taken.

    Attributes:
        shortages: What there was not enough of.
        again_in_s: When to ask again, in seconds; None: when something of this run has ended.
    """

    shortages: tuple[Shortage, ...]
    again_in_s: float | None


@dataclass(slots=True)
class Grant:
    """What a job has taken, until it is given back.

    Attributes:
        descriptors: What the job's process keeps open, so that what is shared with other processes
            stays taken until it has ended, should we be killed.
    """

    descriptors: Sequence[int] = ()
    _give_back: Callable[[], object] | None = None

    def release(self) -> None:
        """Give everything back; a second time nothing happens."""
        give_back, self._give_back = self._give_back, None
        self.descriptors = ()
        if give_back is not None:
            give_back()


@dataclass(slots=True)
class Ticket:
    """A job that asks, once or again and again.

    Attributes:
        needs: How many units of which limits.
        order: Where it stands among the jobs of its run.
        number: What it is called in the line of this machine; empty: it has never stood there.
        pause_s: How long it waited before it last looked there.
        looks_at: When it looks there again.
        seen: How often something of its run had been given back when it last looked.
        last: What it was told then.
    """

    needs: Mapping[str, int]
    order: tuple[int, int] = (0, 0)
    number: str = ""
    pause_s: float = 0.0
    looks_at: float = 0.0
    seen: int = -1
    last: tuple[Shortage, ...] = field(default=())
