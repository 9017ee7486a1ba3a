"""Split bytes at their line feeds, piece by piece as they come. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Text(NamedTuple):
    """The bytes of one line, as far as they are kept.

    Attributes:
        number: Which line of the file it is, from 1.
        offset: Where it starts in the file, in bytes.
        raw: Its bytes without the line feed, or the beginning of them.
        size: How many bytes it has, its line feed included.
        is_tail: Whether no line feed ends it: it is the end of the file.
        is_overlong: Whether it is longer than what is kept; NUL bytes at the end of a tail do not
            count.
    """

    number: int
    offset: int
    raw: bytes
    size: int
    is_tail: bool = False
    is_overlong: bool = False


class Splitter:
    """Splits what is read in pieces. Of a long line only the beginning is kept in memory."""

    def __init__(self, keep_bytes: int, number: int = 1, offset: int = 0) -> None:
        """Start at the beginning of a line.

        Args:
            keep_bytes: How many bytes of a line are kept.
            number: Which line of the file it is, from 1.
            offset: Where it starts in the file.
        """
        self._keep_bytes = keep_bytes
        self._number = number
        self._offset = offset
        self._kept = b""
        self._dropped = 0
        self._dropped_nul_only = True

    def feed(self, piece: bytes) -> Iterator[Text]:
        """Give the lines that end in the next piece; take them all before the next one."""
        *ended, rest = piece.split(b"\n")
        kept, dropped, offset = self._kept, self._dropped, self._offset
        for number, part in enumerate(ended, start=self._number):
            raw = kept + part
            size = len(raw) + dropped + 1
            yield Text(number, offset, raw[: self._keep_bytes], size, is_overlong=dropped > 0)
            offset += size
            kept, dropped = b"", 0
        if ended:
            self._dropped_nul_only = True
        excess = rest[max(0, self._keep_bytes - len(kept)) :]
        if excess:
            self._dropped_nul_only = self._dropped_nul_only and excess == bytes(len(excess))
        self._kept = (kept + rest)[: self._keep_bytes]
        self._dropped = dropped + len(excess)
        self._number, self._offset = self._number + len(ended), offset

    def rest(self) -> Text | None:
        """Give what stands after the last line feed, at the end of the file; None: nothing."""
        if not self._kept:
            return None
        # A power cut can leave any number of NUL bytes after the beginning of a record.
        is_overlong = self._dropped > 0 and not self._dropped_nul_only
        size = len(self._kept) + self._dropped
        return Text(self._number, self._offset, self._kept, size, True, is_overlong)
