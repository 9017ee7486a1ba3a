"""The end of a log, safe to print."""

from __future__ import annotations

import os
import unicodedata

from lorchestra.masking import Mask

TAIL_LINES = 20
_TAIL_BYTES = 1 << 16
_LINE_CHARACTERS = 500


def log_tail(path: str, lines: int = TAIL_LINES, mask: Mask | None = None) -> list[str]:
    """The last lines of a log, at most 64 KiB of it; none when it is empty or gone.

    Args:
        path: The log.
        lines: How many.
        mask: What takes secrets out of them; None: there are none.

    Bytes that are no UTF-8 are replaced, and control characters are taken out: a job cannot move
    the cursor or change the colours of the terminal that shows its failure.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - _TAIL_BYTES)
            file.seek(begin)
            content = file.read()
    except OSError:
        return []
    if mask is not None:
        content = mask.tail(content) if begin else mask.content(content)
    text = content.decode("utf-8", "replace").rstrip()
    return [printable_line(line) for line in text.splitlines()[-lines:]] if text else []


def printable_line(line: str) -> str:
    """A line of a log without control characters, cut after 500 characters."""
    shown = "".join(
        character
        for character in line.expandtabs()
        if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}
    )
    if len(shown) > _LINE_CHARACTERS:
        return f"{shown[:_LINE_CHARACTERS]}..."
    return shown
