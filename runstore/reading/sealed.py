r"""The bytes of a sealed file: every file of records of a finished run in one, with an index.

    {"part":1,"path":"run.jsonl","offset":149,"bytes":2044,"lines":9,"crc32":...,"crc":"6902c9af"}
    the lines of run.jsonl
    {"part":2,"path":"jobs/ingest.a1.jsonl","offset":2342,...}
    the lines of that file
    {"index":1,"path":"run.jsonl","offset":149,...}
    {"index":2,"path":"jobs/ingest.a1.jsonl","offset":2342,...}
    {"sealed":1,"parts":2,"index":3107,"crc":"0d1f8e77"}

Each file stands in it byte for byte, after a header of one line; a line feed is put after one that
does not end in one. The index repeats the headers, so that each tells what was there if the other
is damaged. No record begins as these lines do, so none is ever taken for one. `crc` is that of
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard
from zlib import crc32

import orjson

from runstore import files, layout
from runstore.lines.part import Part, chunks, texts
from runstore.lines.record import Position, decode, position_in

SEAL_VERSION = 1
PART, INDEX, SEALED = "part", "index", "sealed"

_BEGINNINGS = tuple(f'{{"{kind}":'.encode() for kind in (PART, INDEX, SEALED))
_CRC_BYTES = len(',"crc":"00000000"}')
_LAST_LINE_BYTES = 1 << 10


class Entry(NamedTuple):
    """What a header and the index say of a part.

    Attributes:
        path: The file that it was, below the run's folder.
        offset: Where its first byte stands.
        size_bytes: How many bytes it has.
        lines: How many lines; what has no line feed at the end counts as one.
        crc32: The checksum of all its bytes.
        last: Where its last record stands; None: it has none.
    """

    path: str
    offset: int
    size_bytes: int
    lines: int
    crc32: str
    last: Position | None

    def fields(self) -> dict[str, Any]:
        """The entry as the lines hold it."""
        n, crc = self.last or (None, None)
        fields = {"path": self.path, "offset": self.offset, "bytes": self.size_bytes}
        return {**fields, "lines": self.lines, "crc32": self.crc32, "last_n": n, "last_crc": crc}


class Mark(NamedTuple):
    """One line of the sealed file's own: a header, a line of the index, or the last line.

    Attributes:
        kind: `part`, `index` or `sealed`.
        number: Which part, from 1; of the last line, the version of the format.
        entry: What it says of the part; None in the last line.
        parts: How many parts there are, by the last line; else 0.
        index_offset: Where the index begins, by the last line; else 0.
    """

    kind: str
    number: int
    entry: Entry | None = None
    parts: int = 0
    index_offset: int = 0

    def line(self) -> bytes:
        """Its bytes, the line feed included."""
        if self.entry is None:
            fields: dict[str, Any] = {"parts": self.parts, "index": self.index_offset}
        else:
            fields = self.entry.fields()
        content = orjson.dumps({self.kind: self.number, **fields})[:-1]
        return b'%b,"crc":"%08x"}\n' % (content, crc32(content))


class Flaw(NamedTuple):
    """Something wrong with a sealed file's own lines: code, line from 1, byte offset, sentence."""

    code: str
    number: int
    offset: int
    detail: str


@dataclass(slots=True)
class Seal:
    """A sealed file as it is found.

    Attributes:
        path: The file.
        index: Where its index begins, in bytes.
        is_exact: Whether what stands between the parts is, byte for byte, what was written.
        parts: Where each part stands in it, by the path below the run's folder.
        entries: What was sealed, by the same.
        flaws: What is wrong with its own lines.
        strays: What stands between the parts and belongs to none.
    """

    path: str
    index: int = 0
    is_exact: bool = True
    parts: dict[str, Part] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    strays: list[Part] = field(default_factory=list)


def read_mark(raw: bytes) -> Mark | None:
    """Read one line, without its line feed; None: it is none of a sealed file's own, or damaged."""
    if not raw.startswith(_BEGINNINGS):
        return None
    content = raw[:-_CRC_BYTES]
    fields = decode(raw) if raw[-_CRC_BYTES:] == b',"crc":"%08x"}' % crc32(content) else None
    if fields is None:
        return None
    kind, number = next(iter(fields.items()))
    if kind == SEALED:
        mark = Mark(kind, number, None, fields.get("parts", 0), fields.get("index", 0))
    else:
        mark = Mark(kind, number, _entry_in(fields))
    numbers = (mark.number, mark.parts, mark.index_offset)
    is_whole = all(map(_is_number, numbers)) and (kind == SEALED or mark.entry is not None)
    return mark if is_whole else None


def _entry_in(fields: dict[str, Any]) -> Entry | None:
    path, crc = fields.get("path"), fields.get("crc32")
    offset, size, lines = (fields.get(name) for name in ("offset", "bytes", "lines"))
    if not isinstance(path, str) or not isinstance(crc, str) or not is_part_name(path):
        return None
    if not (_is_number(offset) and _is_number(size) and _is_number(lines)):
        return None
    return Entry(path, offset, size, lines, crc, position_in(fields))


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def is_part_name(path: str) -> bool:
    """Tell whether a path below a run's folder is that of a file of records."""
    folder, _, name = path.rpartition("/")
    if folder:
        return folder == layout.JOBS and layout.parse_attempt_file(name) is not None
    return layout.parse_run_file(name) is not None


def write_seal(parts: Iterable[tuple[str, Part]], write: Callable[[bytes], None]) -> None:
    """Write a sealed file of these parts, given by their paths below the run's folder.

    Raises:
        OSError: A part cannot be read, or the file not written.

    Reads each part twice, the first time for its header. Memory grows with the number of parts.
    """
    entries: list[Entry] = []
    at = 0
    for path, part in parts:
        entry, needs_feed = _measured(path, part, at)
        entry = _placed(len(entries) + 1, entry, at)
        entries.append(entry)
        write(Mark(PART, len(entries), entry).line())
        for chunk in chunks(part):
            write(chunk)
        if needs_feed:
            write(b"\n")
        at = entry.offset + entry.size_bytes + needs_feed
    for number, entry in enumerate(entries, start=1):
        write(Mark(INDEX, number, entry).line())
    write(Mark(SEALED, SEAL_VERSION, None, len(entries), at).line())


def _measured(path: str, part: Part, at: int) -> tuple[Entry, bool]:
    """What there is to be said of a part, and whether it needs a line feed after it."""
    crc, size, feeds, chunk = 0, 0, 0, b"\n"
    for chunk in chunks(part):
        crc = crc32(chunk, crc)
        size += len(chunk)
        feeds += chunk.count(b"\n")
    needs_feed = not chunk.endswith(b"\n")
    return Entry(path, at, size, feeds + needs_feed, f"{crc:08x}", part.last), needs_feed


def _placed(number: int, entry: Entry, at: int) -> Entry:
    """Give an entry the offset behind its own header, whose length depends on that number."""
    offset = at
    while True:
        entry = entry._replace(offset=offset)
        behind = at + len(Mark(PART, number, entry).line())
        if behind == offset:
            return entry
        offset = behind


def read_index(path: str) -> Seal | None:
    """Find the parts by the index alone; None: it is not as it was written.

    Raises:
        OSError: The file cannot be read.

    Costs two small reads, and memory in the number of parts.
    """
    end = _last_mark(path)
    is_there = end is not None and end.index_offset <= files.size_bytes(path)
    entries = _entries(path, end) if end is not None and is_there else None
    if end is None or entries is None:
        return None
    seal = Seal(path, end.index_offset)
    lines_before = 0
    for entry in entries:
        lines_before += 1
        seal.entries[entry.path] = entry
        seal.parts[entry.path] = Part(
            path, entry.offset, entry.size_bytes, lines_before, entry.crc32, entry.last
        )
        lines_before += entry.lines
    return seal


def _entries(path: str, end: Mark) -> list[Entry] | None:
    """Read the index; None: it is not what the last line says, and nothing after that."""
    entries: list[Entry] = []
    index = texts(Part(path, end.index_offset))
    marks = (None if text.is_tail else read_mark(text.raw) for text in index)
    for mark in marks:
        if mark == end:
            # Nothing may follow: then the iterator gives what it is told to give at its end.
            is_all = len(entries) == end.parts and _fit(entries, end.index_offset)
            return entries if is_all and next(marks, end) is end else None
        if mark is None or mark.entry is None or mark[:2] != (INDEX, len(entries) + 1):
            return None
        entries.append(mark.entry)
    return None


def _last_mark(path: str) -> Mark | None:
    descriptor = files.open_read(path)
    try:
        end = files.read_end(descriptor, _LAST_LINE_BYTES)
    finally:
        files.close(descriptor)
    mark = read_mark(end[:-1].rpartition(b"\n")[2]) if end.endswith(b"\n") else None
    return mark if mark is not None and mark[:2] == (SEALED, SEAL_VERSION) else None


def _fit(entries: list[Entry], end: int) -> bool:
    """Tell whether the parts follow each other without a gap, up to the index."""
    at = 0
    for number, entry in enumerate(entries, start=1):
        header = len(Mark(PART, number, entry).line())
        # There may be a line feed before the header, put after a part without one.
        if entry.offset - header - at not in {0, 1}:
            return False
        at = entry.offset + entry.size_bytes
    return end - at in {0, 1}


def has_whole_headers(seal: Seal) -> bool:
    """Tell whether what stands between the parts is, byte for byte, what was written.

    Raises:
        OSError: The file cannot be read.

    Costs a small read for each part.
    """
    at = 0
    descriptor = files.open_read(seal.path)
    try:
        for number, entry in enumerate(seal.entries.values(), start=1):
            header = Mark(PART, number, entry).line()
            if not _stands(descriptor, at, header, entry.offset):
                return False
            at = entry.offset + entry.size_bytes
        return _stands(descriptor, at, b"", seal.index)
    finally:
        files.close(descriptor)


def _stands(descriptor: int, at: int, header: bytes, end: int) -> bool:
    """Tell whether a header stands there, after the line feed that a part without one was given."""
    files.seek(descriptor, at)
    return files.read(descriptor, end - at) == b"\n" * (end - at - len(header)) + header
