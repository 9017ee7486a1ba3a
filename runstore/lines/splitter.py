"""Split bytes at their line feeds, piece by piece as they come. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


class TextGroup(NamedTuple):
    """Lines that follow each other, each of which a line feed ends.

    Attributes:
        number: Which line of the file the first is, from 1.
        offset: Where it starts in the file, in bytes.
        lines: Their bytes without the line feeds; at least one.
        keep_bytes: How many bytes of a line are kept.
    """

    number: int
    offset: int
    lines: Sequence[bytes]
    keep_bytes: int

    @property
    def first(self) -> Text:
        """The first of them."""
        return next(self.texts())

    def texts(self) -> Iterator[Text]:
        """Give them one by one."""
        offset = self.offset
        for number, raw in enumerate(self.lines, start=self.number):
            size = len(raw) + 1
            yield Text(number, offset, raw[: self.keep_bytes], size)
            offset += size

    def in_pieces(self, most: Callable[[], int]) -> Iterator[tuple[TextGroup, Text | None]]:
        """Give some at once, each time with the line after them; None: there is none.

        Args:
            most: Tells how many, at least 1; asked before each piece.
        """
        number, offset, start = self.number, self.offset, 0
        while start < len(self.lines):
            stop = start + most()
            piece = TextGroup(number, offset, self.lines[start:stop], self.keep_bytes)
            number += len(piece.lines)
            offset += sum(map(len, piece.lines)) + len(piece.lines)
            after = TextGroup(number, offset, self.lines[stop : stop + 1], self.keep_bytes)
            yield piece, after.first if after.lines else None
            start = stop


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
        for group in self.feed_group(piece):
            if isinstance(group, Text):
                yield group
            else:
                yield from group.texts()

    def feed_group(self, piece: bytes) -> Iterator[TextGroup | Text]:
        """Give the lines that end in the next piece at once; one with bytes left out by itself."""
        *ended, rest = piece.split(b"\n")
        if ended:
            yield from self._ended(ended)
        excess = rest[max(0, self._keep_bytes - len(self._kept)) :]
        if excess:
            self._dropped_nul_only = self._dropped_nul_only and excess == bytes(len(excess))
        self._kept = (self._kept + rest)[: self._keep_bytes]
        self._dropped += len(excess)

    def _ended(self, lines: list[bytes]) -> Iterator[TextGroup | Text]:
        number, offset = self._number, self._offset
        lines[0] = self._kept + lines[0]
        size = sum(map(len, lines)) + len(lines)
        self._number, self._offset = number + len(lines), offset + size + self._dropped
        dropped, self._kept, self._dropped, self._dropped_nul_only = self._dropped, b"", 0, True
        if dropped:
            first = lines.pop(0)
            size = len(first) + dropped + 1
            yield Text(number, offset, first[: self._keep_bytes], size, is_overlong=True)
            number, offset = number + 1, offset + size
        if lines:
            yield TextGroup(number, offset, lines, self._keep_bytes)

    def rest(self) -> Text | None:
        """Give what stands after the last line feed, at the end of the file; None: nothing."""
        if not self._kept:
            return None
        # A power cut can leave any number of NUL bytes after the beginning of a record.
        is_overlong = self._dropped > 0 and not self._dropped_nul_only
        size = len(self._kept) + self._dropped
        return Text(self._number, self._offset, self._kept, size, True, is_overlong)
