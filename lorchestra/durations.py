"""Durations as people write them in pipelines and on the command line: `90s`, `5m`, `1h30m`."""

from __future__ import annotations

import re

EXAMPLES = "30s, 5m, 1h30m or 2d"
# A century: more is a mistake, and timers of the system take no more than some centuries.
MOST_S = 100 * 366 * 86_400

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_PART = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,9})?)(ms|[dhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def seconds_in(text: str) -> float | None:
    """How many seconds a text like `1h30m` means; None: it is no duration.

    Units are d, h, m, s and ms, each after a number, which may have a fraction.
    """
    if not _WHOLE.fullmatch(text):
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return seconds if seconds <= MOST_S else None


def written(seconds: float) -> str:
    """A duration as it could have been written: `1h30m`, `2.5s`, `250ms`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    whole, parts = int(seconds), []
    for unit in "dhm":
        number, whole = divmod(whole, int(_UNITS[unit]))
        parts += [f"{number}{unit}"] if number else []
    rest = whole + seconds - int(seconds)
    return "".join([*parts, f"{rest:g}s"] if rest or not parts else parts)
