"""Check many lines at once, those that are in good order.

Nearly every line of nearly every file is what its writer wrote, one after the other. Judged one by
one, each costs microseconds of the interpreter. Here the bytes that stand at the same place in each
line are compared at once, as a column; only the checksum takes a call for each line. What is not
found to be in good order is no verdict: it is judged line by line then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from struct import pack
from typing import NamedTuple
from zlib import crc32

from runstore.lines.record import EVENT_END, MAX_LINE_BYTES

# Fewer are sooner judged one by one; more at once gain nothing.
FEW, MANY = 16, 512

_TAIL_BEFORE_CRC, _TAIL_AFTER_CRC = b',"crc":"', b'"}'
_CRC_BYTES = 8
_TAIL_BYTES = len(_TAIL_BEFORE_CRC) + _CRC_BYTES + len(_TAIL_AFTER_CRC)
_NUMBER = b'{"n":'
_TEXTS = (b',"prev":"', b'","at":"', b'","event":"')
_MOMENT = b"0000-00-00T00:00:00.000000Z"
_EVENTS_AT = sum(map(len, _TEXTS)) + _CRC_BYTES + len(_MOMENT)  # from where the number ends
_SAY_MORE = (b'end"', b'lost"')  # events after which the file goes on in another way


class Block(NamedTuple):
    """Lines in good order: records that count, one after another, none an `end` or a `lost`.

    Attributes:
        number: Which line of the file the first is, from 1.
        offset: Where it starts, in bytes.
        n: The number of the first record; each of the others has one more.
        lines: Their bytes, without the line feeds.
    """

    number: int
    offset: int
    n: int
    lines: Sequence[bytes]

    def offsets(self) -> Iterator[int]:
        """Where each line starts, in bytes."""
        sizes = (len(line) + 1 for line in self.lines)
        return itertools.accumulate(sizes, initial=self.offset)


class Table:
    """Parts of lines, each of the same length, looked at by column."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        """Join the parts, the first of which gives the length."""
        self._width = len(parts[0])
        self._bytes = b"".join(parts)
        self._rows = len(parts)

    def is_whole(self, width: int) -> bool:
        """Tell whether each part is as long as that; none is longer."""
        return len(self._bytes) == width * self._rows

    def says(self, at: int, text: bytes) -> bool:
        """Tell whether every part has this text at a place."""
        return all(
            self._bytes[column :: self._width] == text[column - at : column - at + 1] * self._rows
            for column in range(at, at + len(text))
        )

    def lists(self, at: int, texts: bytes, width: int) -> bool:
        """Tell whether the parts have these texts at a place, one after another."""
        return all(
            self._bytes[at + column :: self._width] == texts[column::width]
            for column in range(width)
        )

    def has_moments(self, at: int) -> bool:
        """Tell whether every part has a moment, as records write it, at a place."""
        return all(
            self._bytes[at + column :: self._width].isdigit()
            if byte == ord("0")
            else self.says(at + column, bytes([byte]))
            for column, byte in enumerate(_MOMENT)
        )


def last_in_good_order(lines: Sequence[bytes], n: int, previous: str) -> str | None:
    """Tell whether lines are in good order, as a `Block` has them.

    Args:
        lines: At least one.
        n: The number that the first must have.
        previous: The checksum of the line before it.

    Returns:
        The checksum of the last line; None: they are not, or it takes a closer look.
    """
    count = len(lines)
    if max(map(len, lines)) >= MAX_LINE_BYTES:
        return None
    contents = [line[:-_TAIL_BYTES] for line in lines]
    checksums = pack(f">{count}I", *map(crc32, contents)).hex().encode()
    before = previous.encode() + checksums[:-_CRC_BYTES]
    stretches = list(_stretches(n, count))
    if not _end_with(lines, checksums) or not _begin_with(contents, n, stretches, before):
        return None
    return checksums[-_CRC_BYTES:].decode() if _have_events(contents, stretches) else None


class Stretch(NamedTuple):
    """Lines whose numbers have the same number of digits: those from the first to before the last.

    Attributes:
        first: The first of them.
        last: The one after them.
        at: Where in each the number ends.
    """

    first: int
    last: int
    at: int


def _stretches(n: int, count: int) -> Iterator[Stretch]:
    first = 0
    while first < count:
        digits = len(str(n + first))
        last = min(count, 10**digits - n)
        yield Stretch(first, last, len(_NUMBER) + digits)
        first = last


def _cut(
    contents: Sequence[bytes], stretches: Sequence[Stretch], begin: int | None, end: int
) -> list[bytes]:
    """The bytes to one place, from another or from the start, counted from where numbers end."""
    parts: list[bytes] = []
    for stretch in stretches:
        own = contents if len(stretches) == 1 else contents[stretch.first : stretch.last]
        start, stop = None if begin is None else stretch.at + begin, stretch.at + end
        parts += [content[start:stop] for content in own]
    return parts


def _end_with(lines: Sequence[bytes], checksums: bytes) -> bool:
    tails = Table([line[-_TAIL_BYTES:] for line in lines])
    crc_at = len(_TAIL_BEFORE_CRC)
    return (
        tails.is_whole(_TAIL_BYTES)
        and tails.says(0, _TAIL_BEFORE_CRC)
        and tails.lists(crc_at, checksums, _CRC_BYTES)
        and tails.says(crc_at + _CRC_BYTES, _TAIL_AFTER_CRC)
    )


def _begin_with(
    contents: Sequence[bytes], n: int, stretches: Sequence[Stretch], checksums: bytes
) -> bool:
    count = len(contents)
    numbers = (_NUMBER + b"%d") * count % tuple(range(n, n + count))
    if b"".join(_cut(contents, stretches, None, 0)) != numbers:
        return False
    heads, at = Table(_cut(contents, stretches, 0, _EVENTS_AT)), 0
    if not heads.is_whole(_EVENTS_AT):
        return False
    for text, values, size in zip(
        _TEXTS, (checksums, None, b""), (_CRC_BYTES, len(_MOMENT), 0), strict=True
    ):
        if not heads.says(at, text):
            return False
        at += len(text)
        fits = heads.has_moments(at) if values is None else heads.lists(at, values, size)
        if not fits:
            return False
        at += size
    return True


def _have_events(contents: Sequence[bytes], stretches: Sequence[Stretch]) -> bool:
    at = stretches[0].at + _EVENTS_AT
    first = EVENT_END.match(contents[0], at)
    if first is None:
        return False
    event = contents[0][at : first.end()]
    if event in _SAY_MORE:
        return False
    # Most often they are all the same.
    events = _cut(contents, stretches, _EVENTS_AT, _EVENTS_AT + len(event))
    if b"".join(events) == event * len(contents):
        return True
    matches = (
        EVENT_END.match(content, stretch.at + _EVENTS_AT)
        for stretch in stretches
        for content in contents[stretch.first : stretch.last]
    )
    return all(match is not None and match[0] not in _SAY_MORE for match in matches)
