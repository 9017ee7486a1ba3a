"""Find the parts of a sealed file whose own lines are damaged, or are not where they were.

A header that is whole says where its part begins, and the next one where that ends. Where one is
missing, the records tell: those that follow each other are of one part, whose first record says
which it is, and whose last one the index names. What cannot be told is given to no part, so that
no record is ever read as one of another file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from runstore import layout
from runstore.lines.part import Part, texts
from runstore.lines.record import Frame, Position, decode, read_frame
from runstore.lines.scan import last_lost
from runstore.reading.sealed import (
    INDEX,
    PART,
    SEAL_VERSION,
    SEALED,
    Entry,
    Flaw,
    Mark,
    Seal,
    read_mark,
)

_ORDER = (PART, INDEX, SEALED)


class _Cut(NamedTuple):
    """A place between two lines: where it is, in bytes, and how many lines come before it."""

    offset: int
    lines: int


class _Found(NamedTuple):
    """A whole line of the sealed file's own.

    Attributes:
        mark: What it says.
        begin: Where it begins.
        end: Where it ends.
        next: Where the next one begins.
    """

    mark: Mark
    begin: _Cut
    end: _Cut
    next: _Cut

    @property
    def place(self) -> tuple[int, int]:
        """Where it belongs among the others."""
        return _ORDER.index(self.mark.kind), self.mark.number


class _Stretch(NamedTuple):
    """Records that follow each other.

    Attributes:
        path: The part that they are the first of; None: they are not, or it does not say.
        last: Where the last one stands.
        begin: Where they begin.
        end: Where they end.
    """

    path: str | None
    last: Position
    begin: _Cut
    end: _Cut


def salvage(path: str) -> Seal:
    """Read a sealed file from its beginning to its end, whatever is left of it.

    Raises:
        OSError: The file cannot be read.

    Costs up to three passes. Memory grows with the number of its parts and of its faults.
    """
    found, end = _own_lines(path)
    newer = next((each for each in found if _is_newer(each.mark)), None)
    if newer is None:
        return _Salvage(path, found, end).seal
    seal = Seal(path, is_exact=False)
    detail = "is of a format that this version does not read"
    seal.flaws.append(Flaw("bad-version", newer.begin.lines + 1, newer.begin.offset, detail))
    return seal


def stray_lines(seal: Seal) -> Iterator[Flaw]:
    """Give each line that belongs to no part, for who names them: there can be any number.

    Raises:
        OSError: The file cannot be read.
    """
    for text in itertools.chain.from_iterable(map(texts, seal.strays)):
        if read_frame(text.raw) is None:
            yield Flaw("damaged", text.number, text.offset, "is not what was sealed")
        else:
            yield Flaw("chain", text.number, text.offset, "is a record between the parts")


def _is_newer(mark: Mark) -> bool:
    return mark.kind == SEALED and mark.number != SEAL_VERSION


def _own_lines(path: str) -> tuple[list[_Found], _Cut]:
    """Find the sealed file's own lines that are whole, and the end of the file."""
    marks: list[tuple[Mark, _Cut, _Cut]] = []
    end = _Cut(0, 0)
    for text in texts(Part(path)):
        begin, end = end, _Cut(text.offset + text.size, text.number)
        mark = None if text.is_tail else read_mark(text.raw)
        if mark is not None:
            marks.append((mark, begin, end))
    nexts = [begin for _, begin, _ in marks[1:]] + [end]
    return [_Found(*each, after) for each, after in zip(marks, nexts, strict=False)], end


class _Salvage:
    """The search for the parts of one damaged sealed file."""

    def __init__(self, path: str, found: list[_Found], end: _Cut) -> None:
        self.seal = Seal(path, is_exact=False)
        self._entries = _entries(found)
        self._headers = _headers(found)
        self._count = max((each.mark.parts for each in found), default=0)
        self.seal.entries = {entry.path: entry for entry in self._entries.values()}
        self._headless = [
            entry for number, entry in self._entries.items() if number not in self._headers
        ]
        self._find_parts(found, end)
        self._check_order(found)
        self._check_end(found, end)
        self._check_parts(end)

    def _find_parts(self, found: list[_Found], end: _Cut) -> None:
        """Give every part what is its own; the rest are strays."""
        for entry in self._entries.values():
            if entry.size_bytes == 0:
                self._give(entry, _Cut(0, 0), _Cut(0, 0))
        begin = found[0].begin if found else end
        self._divide(None, _Cut(0, 0), begin)
        for each, after in zip(found, [*found, None][1:], strict=True):
            number = each.mark.number
            owner = each.mark.entry
            if self._headers.get(number) is not each or owner is None:
                self._leave(each.end, each.next)
            elif after is not None and after.place == self._place_after(number):
                self._give(owner, each.end, each.next)
            else:
                self._divide(owner, each.end, each.next)

    def _place_after(self, number: int) -> tuple[int, int]:
        """The place of the line that comes after a part: the next header, or the index."""
        if number == self._count:
            return _ORDER.index(INDEX), 1
        return _ORDER.index(PART), number + 1

    def _give(self, entry: Entry, begin: _Cut, end: _Cut) -> None:
        size = end.offset - begin.offset
        if size == entry.size_bytes + 1:
            size -= 1  # the line feed that was put after a part without one
        self.seal.parts[entry.path] = Part(
            self.seal.path, begin.offset, size, begin.lines, entry.crc32, entry.last
        )

    def _leave(self, begin: _Cut, end: _Cut) -> None:
        """Note what belongs to no part."""
        if begin == end:
            return
        stray = Part(self.seal.path, begin.offset, end.offset - begin.offset, begin.lines)
        self.seal.strays.append(stray)

    def _divide(self, owner: Entry | None, begin: _Cut, end: _Cut) -> None:
        """Divide what stands below a header up to the next one that is whole.

        Args:
            owner: The part that the header is of; None: it is the beginning of the file.
            begin: Where the header ends.
            end: Where the next one begins.
        """
        candidates = self._headless if owner is None else [owner, *self._headless]
        by_path = {entry.path: entry for entry in candidates}
        by_last = {entry.last: entry for entry in candidates}
        at, current, first, last = begin, owner, begin, begin
        whole = Part(self.seal.path, begin.offset, end.offset - begin.offset, begin.lines)
        for stretch in _stretches(whole):
            found = by_path.get(stretch.path or "") or by_last.get(stretch.last)
            if found is None or (found is not current and found.path in self.seal.parts):
                continue
            if found is not current:
                at = self._close(current, at, first, last)
                current, first = found, stretch.begin
            last = stretch.end
        self._leave(self._close(current, at, first, last), end)

    def _close(self, entry: Entry | None, at: _Cut, first: _Cut, last: _Cut) -> _Cut:
        """Give a part what was found to be its own; `at` is where the one before it ends."""
        if entry is None:
            return at
        self._leave(at, first)
        self._give(entry, first, last)
        return last

    def _check_order(self, found: list[_Found]) -> None:
        """Find own lines that stand there twice, or before one that comes first."""
        seen: set[tuple[int, int]] = set()
        highest = (0, 0)
        for each in found:
            flaw = (each.begin.lines + 1, each.begin.offset)
            if each.place in seen:
                self.seal.flaws.append(Flaw("duplicate", *flaw, "stands there twice"))
            elif each.place < highest:
                self.seal.flaws.append(Flaw("chain", *flaw, "stands after what comes later"))
            seen.add(each.place)
            highest = max(highest, each.place)

    def _check_end(self, found: list[_Found], end: _Cut) -> None:
        if not any(each.mark.kind == SEALED for each in found):
            detail = "the file stops before the end of its index"
            self.seal.flaws.append(Flaw("truncated", end.lines + 1, end.offset, detail))

    def _check_parts(self, end: _Cut) -> None:
        for path in sorted(self.seal.entries.keys() - self.seal.parts.keys()):
            detail = f"{path} was sealed here and is gone"
            self.seal.flaws.append(Flaw("missing-file", end.lines, end.offset, detail))


def _entries(found: list[_Found]) -> dict[int, Entry]:
    """What is known of each part, by its number: what its header says, or else the index."""
    entries: dict[int, Entry] = {}
    for each in found:
        if each.mark.entry is not None:
            entries.setdefault(each.mark.number, each.mark.entry)
    return entries


def _headers(found: list[_Found]) -> dict[int, _Found]:
    """The headers by their number; of those that stand there twice, the one above its part."""
    headers: dict[int, _Found] = {}
    for each in found:
        number = each.mark.number
        if each.mark.kind == PART and _misfit(each) < _misfit(headers.get(number)):
            headers[number] = each
    return headers


def _misfit(header: _Found | None) -> float:
    """By how many bytes what stands below a header differs from what it says."""
    if header is None or header.mark.entry is None:
        return float("inf")
    return abs(header.next.offset - header.end.offset - header.mark.entry.size_bytes)


def _stretches(part: Part) -> Iterator[_Stretch]:
    """Find the records that follow each other; lines that are none end a stretch."""
    stretch: _Stretch | None = None
    for text in texts(part):
        frame = read_frame(text.raw)
        if stretch is not None and (frame is None or not _follows(frame, stretch.last)):
            yield stretch
            stretch = None
        if frame is None:
            continue
        begin, end = _Cut(text.offset, text.number - 1), _Cut(text.offset + text.size, text.number)
        last = _last_of(frame, text.raw)
        if stretch is None:
            path = path_in(text.raw) if frame.n == 0 else None
            stretch = _Stretch(path, last, begin, end)
        else:
            stretch = stretch._replace(last=last, end=end)
    if stretch is not None:
        yield stretch


def _follows(frame: Frame, last: Position) -> bool:
    return (frame.n, frame.prev) == (last.n + 1, last.crc)


def _last_of(frame: Frame, raw: bytes) -> Position:
    """Where a record stands, or the last one of those that a `lost` record stands for."""
    at = Position(frame.n, frame.crc)
    return (last_lost(decode(raw) or {}, at) if frame.event == b"lost" else None) or at


def path_in(raw: bytes) -> str | None:
    """The path, below its run's folder, of the file that a `begin` is the first record of."""
    fields = decode(raw) or {}
    job_id, attempt, segment = (fields.get(name) for name in ("job", "attempt", "segment"))
    if layout.is_job_id(job_id) and type(attempt) is int:
        return layout.attempt_file(layout.job_name(job_id), attempt)
    return layout.run_file(segment) if type(segment) is int else None
