"""Markdown, and numbers as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Lines = list[str]

_KIB = 1024


def number(value: int | None) -> str:
    """Write a number with thousands set apart; what is not known is a dash."""
    return "–" if value is None else f"{value:,}"  # noqa: RUF001


def size(size_bytes: int | None) -> str:
    """Write a number of bytes in the largest unit that leaves a whole one."""
    if size_bytes is None or size_bytes < _KIB:
        return number(size_bytes) + ("" if size_bytes is None else " B")
    value = float(size_bytes)
    for unit in ("KiB", "MiB"):
        value /= _KIB
        if value < _KIB:
            return f"{value:.1f} {unit}"
    return f"{value / _KIB:,.1f} GiB"


def counted(value: int, noun: str) -> str:
    """Write how many there are: `1 file`, `2,000 files`."""
    return f"{number(value)} {noun}" + ("" if value == 1 else "s")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    """Lay out a table; a head that ends with `>` is a column of numbers, set to the right."""
    rules = ["---:" if head.endswith(">") else "---" for head in heads]
    lines = [[head.removesuffix(">") for head in heads], rules]
    lines += ([_cell(text) for text in row] for row in rows)
    return ["| " + " | ".join(line) + " |" for line in lines]


def section(title: str, lines: Lines) -> Lines:
    """Set lines below a title."""
    return ["", f"## {title}", "", *lines]


def code(text: str) -> str:
    """Set a path or a name as code, so that nothing in it is taken for markup."""
    return f"`{text}`"


def _cell(text: str) -> str:
    return re.sub(r"[|<]", r"\\\g<0>", " ".join(text.split()))
