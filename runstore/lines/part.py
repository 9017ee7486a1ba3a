"""Where the lines of a file of records are: in that file, or inside a sealed one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zlib import crc32

from runstore import files
from runstore.lines.record import MAX_LINE_BYTES, Position
from runstore.lines.splitter import Splitter, Text, TextGroup

_CHUNK_BYTES = 1 << 18
_END_BYTES = 1 << 16


class Part(NamedTuple):
    """The bytes of one file of records.

    Attributes:
        path: The file that has them.
        start: Where they begin in it, in bytes.
        size_bytes: How many they are; None: all up to the end of the file.
        lines_before: How many lines of the file come before them.
        crc32: Their checksum when they were sealed; None: they were not.
        last: Where the last record stood then.
        moved: Finds them again when the file is gone; None: they can be nowhere else.
    """

    path: str
    start: int = 0
    size_bytes: int | None = None
    lines_before: int = 0
    crc32: str | None = None
    last: Position | None = None
    moved: Callable[[], Part] | None = None

    @property
    def end(self) -> int:
        """Where they end, of a part whose size is known."""
        return self.start + (self.size_bytes or 0)


def texts(part: Part) -> Iterator[Text]:
    """Give its lines, numbered as in the file; of one over 1 MiB only the beginning is kept.

    Raises:
        OSError: The file cannot be read.
    """
    for group in text_groups(part):
        if isinstance(group, Text):
            yield group
        else:
            yield from group.texts()


def text_groups(part: Part) -> Iterator[TextGroup | Text]:
    """Give its lines as `texts` does, but those that were read at once in one piece.

    Raises:
        OSError: The file cannot be read.
    """
    descriptor, part = _open(part)
    splitter = Splitter(MAX_LINE_BYTES, part.lines_before + 1, part.start)
    for chunk in _chunks(descriptor, part.size_bytes):
        yield from splitter.feed_group(chunk)
    rest = splitter.rest()
    if rest is not None:
        yield rest


def chunks(part: Part) -> Iterator[bytes]:
    """Give its bytes in pieces; two parts of one size are cut at the same places."""
    descriptor, part = _open(part)
    yield from _chunks(descriptor, part.size_bytes)


def checksum(part: Part) -> str | None:
    """The CRC-32 of all its bytes, written as in records; None: it is no regular file."""
    crc = 0
    try:
        for chunk in chunks(part):
            crc = crc32(chunk, crc)
    except files.NotAFileError:
        return None
    return f"{crc:08x}"


def is_same(part: Part, other: Part) -> bool:
    """Tell whether two parts hold the same, byte for byte; False, too, when one is no file."""
    try:
        return all(one == two for one, two in itertools.zip_longest(chunks(part), chunks(other)))
    except files.NotAFileError:
        return False


def first_and_last_line(part: Part) -> tuple[bytes, bytes]:
    """Read only these two, without their line feeds.

    Raises:
        OSError: The file cannot be read.
    """
    descriptor, part = _open(part)
    try:
        first = _first_line(descriptor, part.size_bytes)
        end = _end(descriptor, part, _END_BYTES)
        if b"\n" not in end[:-1]:
            end = _end(descriptor, part, MAX_LINE_BYTES)
    finally:
        files.close(descriptor)
    return first, end.rstrip(b"\n").rsplit(b"\n", 1)[-1]


def first_line(part: Part) -> bytes:
    """Read only this one, without its line feed.

    Raises:
        OSError: The file cannot be read.
    """
    descriptor, part = _open(part)
    try:
        return _first_line(descriptor, part.size_bytes)
    finally:
        files.close(descriptor)


def _first_line(descriptor: int, size: int | None) -> bytes:
    head = files.read(descriptor, _at_most(_END_BYTES, size))
    if b"\n" not in head:
        left = None if size is None else size - len(head)
        head += files.read(descriptor, _at_most(MAX_LINE_BYTES, left))
    return head.split(b"\n", 1)[0]


def _end(descriptor: int, part: Part, size: int) -> bytes:
    if part.size_bytes is None:
        return files.read_end(descriptor, size)
    size = min(size, part.size_bytes)
    files.seek(descriptor, part.end - size)
    return files.read(descriptor, size)


def _at_most(size: int, left: int | None) -> int:
    return size if left is None else min(size, left)


def _open(part: Part) -> tuple[int, Part]:
    """Open the file, or the sealed one into which a compaction has moved the part by now."""
    try:
        descriptor = files.open_read(part.path)
    except FileNotFoundError:
        if part.moved is None:
            raise
        part = part.moved()
        descriptor = files.open_read(part.path)
    try:
        if part.start:
            files.seek(descriptor, part.start)
    except BaseException:
        files.close(descriptor)
        raise
    return descriptor, part


def _chunks(descriptor: int, left: int | None) -> Iterator[bytes]:
    """Read on in pieces; what fits into one is closed before it is looked at."""
    try:
        chunk = files.read(descriptor, _at_most(_CHUNK_BYTES, left))
        while len(chunk) == _CHUNK_BYTES:
            yield chunk
            left = None if left is None else left - _CHUNK_BYTES
            chunk = files.read(descriptor, _at_most(_CHUNK_BYTES, left))
    finally:
        files.close(descriptor)
    if chunk:
        yield chunk
