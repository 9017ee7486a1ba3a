"""When something is to start again and again, as cron, systemd and the Task Scheduler write it.

The times are those of the machine's clock; on a day on which that is put forward or back, each of
the three has rules of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lorchestra.durations import seconds_in

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_EXAMPLES = "5m, 15m, 1h or 6h: a part of an hour, or of a day, without a rest"

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_HOUR, _DAY = 60, 24 * 60


@dataclass(frozen=True, slots=True)
class Timetable:
    """At one time on some days of the week; or, with `every_min`, all day long.

    Attributes:
        hour: 0 to 23.
        minute: 0 to 59.
        days: Of `DAYS`, in that order; empty: every day.
        every_min: How many minutes from one start to the next; None: at the one time.
    """

    hour: int = 2
    minute: int = 0
    days: tuple[str, ...] = ()
    every_min: int | None = None

    def cron(self) -> str:
        """The five fields of a line for cron."""
        if self.every_min is None:
            # Sunday is 0, or 7 for some; 0 is understood by all.
            numbers = ",".join(str((DAYS.index(day) + 1) % 7) for day in self.days)
            return f"{self.minute} {self.hour} * * {numbers or '*'}"
        if self.every_min < _HOUR:
            return f"{_each(self.every_min)} * * * *"
        return f"0 {_each(self.every_min // _HOUR)} * * *"

    def calendar(self) -> str:
        """The value of systemd's `OnCalendar=`."""
        if self.every_min is None:
            days = ",".join(day.capitalize() for day in self.days)
            return f"{days} *-*-* {self.time()}".lstrip()
        if self.every_min < _HOUR:
            return f"*-*-* *:0/{self.every_min}"
        return f"*-*-* 0/{self.every_min // _HOUR}:00"

    def task(self) -> list[str]:
        """The arguments of `schtasks` on Windows."""
        if self.every_min is None:
            if self.days:
                named = ",".join(day.upper() for day in self.days)
                return ["/SC", "WEEKLY", "/D", named, "/ST", self.time()]
            return ["/SC", "DAILY", "/ST", self.time()]
        if self.every_min < _HOUR:
            return ["/SC", "MINUTE", "/MO", str(self.every_min)]
        return ["/SC", "HOURLY", "/MO", str(self.every_min // _HOUR), "/ST", "00:00"]

    def time(self) -> str:
        """The time of day, as `02:00`."""
        return f"{self.hour:02}:{self.minute:02}"

    def __str__(self) -> str:
        if self.every_min is None:
            days = ", ".join(day.capitalize() for day in self.days) or "every day"
            return f"{days} at {self.time()}"
        number, unit = self.every_min, "minute"
        if number >= _HOUR:
            number, unit = number // _HOUR, "hour"
        return f"every {unit}" if number == 1 else f"every {number} {unit}s"


def time_in(text: str) -> tuple[int, int] | None:
    """The hour and the minute that `02:00` or `7:30` means; None: it is no time of day."""
    found = _TIME.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[2]))


def days_in(text: str) -> tuple[str, ...] | None:
    """The days that `mon,thu` means, in the order of the week; None: one of them is none."""
    named = [part.strip().lower()[:3] for part in text.split(",")]
    known = all(_is_day(part.strip().lower()) for part in text.split(","))
    return tuple(day for day in DAYS if day in named) if known else None


def every_in(text: str) -> int | None:
    """The minutes that `15m` or `6h` means; None: they do not fit into an hour or a day."""
    seconds = seconds_in(text)
    if seconds is None or seconds < 60 or seconds % 60:
        return None
    minutes = int(seconds // 60)
    fits = _HOUR % minutes == 0 if minutes < _HOUR else _DAY % minutes == 0 and minutes < _DAY
    return minutes if fits and (minutes < _HOUR or minutes % _HOUR == 0) else None


def _is_day(word: str) -> bool:
    return word in {*DAYS, *_full_names()}


def _full_names() -> Iterable[str]:
    return ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _each(number: int) -> str:
    return "*" if number == 1 else f"*/{number}"
