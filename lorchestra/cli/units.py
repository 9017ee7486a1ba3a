"""Durations and sizes as users write them: `30d`, `10GB`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from lorchestra.durations import EXAMPLES, seconds_in

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BYTES: dict[str, int] = {"": 1, "B": 1} | {
    f"{prefix}{infix}B": base**power
    for infix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("KMGT", start=1)
}
# Nine digits of days are the longest that a timedelta holds.
_QUANTITY = re.compile(r"([0-9]{1,9})([A-Za-z]*)")


class Duration(click.ParamType[timedelta]):
    """A whole number of days, hours, minutes or seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read `30d`, `12h`, `5m` or `10s`."""
        number, unit = _split(value)
        if number is None or unit not in _SECONDS:
            self.fail(f"must be like 30d, 12h, 5m or 10s, not {value!r}", param, ctx)
        return timedelta(seconds=number * _SECONDS[unit])


class Since(click.ParamType[datetime]):
    """A moment: a date, with a time if need be, or how long ago."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read `2026-11-24`, `2026-11-24T02:00`, or what `Seconds` reads."""
        if isinstance(value, datetime):
            return value
        ago_s = seconds_in(value)
        if ago_s is not None:
            return datetime.now(UTC) - timedelta(seconds=ago_s)
        try:
            # Without a zone it is the time of this machine.
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"must be like 2026-11-24, 2026-11-24T02:00 or {EXAMPLES}, not {value!r}",
                param,
                ctx,
            )


class Seconds(click.ParamType[float]):
    """A duration as pipelines have it, in seconds."""

    name = "duration"

    def __init__(self, *, may_be_nothing: bool = True) -> None:
        """Say whether `0s` is one."""
        self._may_be_nothing = may_be_nothing

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read `90s`, `5m` or `1h30m`."""
        seconds = value if isinstance(value, float) else seconds_in(value)
        if seconds is None or (seconds == 0 and not self._may_be_nothing):
            self.fail(f"must be like {EXAMPLES}, not {value!r}", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """A whole number of bytes, or of thousands of them, or of 1024s of them."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `10GB`, `500MB`, `1GiB` or `4096`."""
        number, unit = _split(value)
        if number is None or unit not in _BYTES:
            self.fail(f"must be like 10GB, 500MB, 1GiB or 4096, not {value!r}", param, ctx)
        return number * _BYTES[unit]


def _split(value: Any) -> tuple[int | None, str]:
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    return (int(found[1]), found[2]) if found else (None, "")
