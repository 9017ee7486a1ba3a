"""What a limit allows: how many units at once, how many starts in a time; and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MOST_UNITS = 1_000_000
MOST_SLOTS = 1_000  # of scope host each unit is a file
MOST_STARTS = 10_000  # as the pattern of a rate has it: the time of each of them is kept
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
RATE_PATTERN = r"([1-9][0-9]{0,3}|10000)/(s|min|h|day)"
RATE_EXAMPLES = "60/min, 5/s, 100/h or 1000/day"

Scope = Literal["run", "host"]

_PERIODS_S = {"s": 1, "min": 60, "h": 3_600, "day": 86_400}
_NAME = re.compile(NAME_PATTERN)
_RATE = re.compile(RATE_PATTERN)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many units may start in any time of this length.

    Attributes:
        starts: How many, 1 to 10,000.
        unit: The length of that time: `s`, `min`, `h` or `day`.
    """

    starts: int
    unit: str

    def __post_init__(self) -> None:
        if not 1 <= self.starts <= MOST_STARTS or self.unit not in _PERIODS_S:
            raise ValueError(f"a rate is such as {RATE_EXAMPLES}, not {self}")

    @property
    def period_s(self) -> float:
        """The length of that time, in seconds."""
        return _PERIODS_S[self.unit]

    def __str__(self) -> str:
        return f"{self.starts}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Quota:
    """What a limit allows. Where a name has several, a job needs the leave of each.

    Attributes:
        name: What jobs call it.
        capacity: How many units may be in use at once; None: any number.
        rate: How many units may start in a time; None: any number.
        scope: Who shares it: the jobs of one `run`, or those of all runs of this user on this
            `host`.
    """

    name: str
    capacity: int | None = None
    rate: Rate | None = None
    scope: Scope = "run"

    def __post_init__(self) -> None:
        if mistake := name_mistake(self.name):
            raise ValueError(f"the name of a limit {mistake}: {self.name!r}")
        if self.capacity is None and self.rate is None:
            raise ValueError(f"limit {self.name!r} needs a capacity or a rate")
        most = most_capacity(self.scope)
        if self.capacity is not None and not 1 <= self.capacity <= most:
            raise ValueError(f"the capacity of limit {self.name!r} is 1 to {most:,}")

    @property
    def most_units(self) -> int:
        """How many units a job can ask for at most."""
        known = [self.capacity, self.rate.starts if self.rate else None]
        return min((each for each in known if each is not None), default=MOST_UNITS)

    def __str__(self) -> str:
        known = [f"{self.capacity} at once" if self.capacity else None, self.rate]
        where = "on this machine" if self.scope == "host" else "in this run"
        return f"{self.name}: {', '.join(str(each) for each in known if each)} {where}"


def most_capacity(scope: Scope) -> int:
    """The largest capacity of a limit."""
    return MOST_SLOTS if scope == "host" else MOST_UNITS


def rate_in(text: str) -> Rate | None:
    """The rate that a text like `60/min` means; None: it is none, or more than 10,000."""
    if not _RATE.fullmatch(text):
        return None
    starts, _, unit = text.partition("/")
    return Rate(int(starts), unit)


def name_mistake(name: str) -> str | None:
    """What is wrong with the name of a limit, as the end of a sentence; None if nothing is."""
    if _NAME.fullmatch(name):
        return None
    return "must be 1 to 64 letters, digits, _, . and -, and begin with a letter or a digit"
