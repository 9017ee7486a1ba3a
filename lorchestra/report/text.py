"""Durations, times, tables, JSON and texts of users as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from lorchestra.wording import printable as printable  # noqa: PLC0414 - of the texts here, too

_STATUS_ORDER = (
    "succeeded",
    "failed",
    "timed_out",
    "crashed",
    "interrupted",
    "running",
    "cancelled",
    "skipped",
    "planned",
)


def short(text: str, at_most: int = 200) -> str:
    """The text on one line, `printable`, cut after so many characters."""
    return printable(text if len(text) <= at_most else f"{text[:at_most]}...")


def duration(seconds: float | None) -> str:
    """A duration: `0.04 s`, `12.3 s`, `2 m 05 s`, `3 h 07 m`; a dash when it is not known."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def local_time(at: str | None) -> str:
    """A record's time in the zone of this machine, to the second; a dash when there is none.

    What is no time stays as it is.
    """
    try:
        local = moment.astimezone() if (moment := moment_of(at)) else None
    except (ValueError, OverflowError):  # at the two ends of the calendar
        local = None
    return local.strftime("%Y-%m-%d %H:%M:%S") if local else (at or "-")


def moment_of(at: str | None) -> datetime | None:
    """The moment that a record's time names; None: there is none, or no calendar has it."""
    try:
        moment = datetime.fromisoformat(at or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def elapsed_s(started: str | None, ended: str | None) -> float | None:
    """How long it is from one record's time to another, in seconds; None: that is not known."""
    begin, end = moment_of(started), moment_of(ended)
    return (end - begin).total_seconds() if begin and end else None


def json_text(value: Any) -> bytes:
    """A value as JSON, in UTF-8, on one line."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # A path that is no Unicode text: the standard library writes it with escapes.
        import json
        from dataclasses import asdict

        return json.dumps(value, default=asdict).encode()


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 job`, `4 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def status_counts(counts: Mapping[str, int]) -> str:
    """How many jobs ended how: `5 succeeded, 2 failed`."""
    known = [f"{counts[status]:,} {status}" for status in _STATUS_ORDER if counts.get(status)]
    return ", ".join(known) or "no jobs"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns set under their heads, two spaces apart; long cells are cut."""
    rows = [[short(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = []
    for row in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
