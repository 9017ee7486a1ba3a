"""Read one file of records and judge every line by its checksum, its number and the line before.

The rules, each at its branch below: a line that is not what a writer wrote is `damaged` and costs
that one record; a number left out is a `gap`; one that has passed is a `duplicate`; a record that
does not follow the one before it is `chain`, and so is one that stands too early, one after the
`end`, and one after the position that the run's file vouches for; a file that stops short of that
position is `truncated`. An unterminated beginning of a record at the end is a `torn-tail`, a whole
one counts (`no-newline`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from runstore import files
from runstore.lines.bulk import FEW, MANY, Block, last_in_good_order
from runstore.lines.part import (
    Part,
    checksum,
    first_and_last_line,
    first_line,
    text_groups,
    texts,
)
from runstore.lines.record import (
    NO_PREVIOUS,
    Frame,
    Position,
    decode,
    fields_in,
    is_crc,
    is_number,
    read_frame,
)
from runstore.lines.splitter import Text, TextGroup
from runstore.lines.tail import is_torn_write

Item = TypeVar("Item")


class Line(NamedTuple):
    """One line of a file, and what is to be said of it.

    Attributes:
        number: Which line, from 1.
        offset: Where it starts, in bytes.
        raw: Its bytes without the line feed; at most 1 MiB of them.
        frame: Its frame when its own checksum holds, else None.
        counts: Whether it is a record of this file: readers leave the others out.
        code: The code of the finding, one of those of `verify`; None: nothing to say.
        detail: The finding as a sentence.
    """

    number: int
    offset: int
    raw: bytes
    frame: Frame | None
    counts: bool
    code: str | None = None
    detail: str = ""


class Judge:
    """What is known of a file of records so far, and what follows from it for its next line.

    Attributes:
        witness: Where the file's last record stands, by what another file says; None: nobody says.
        last: Where the last record that counts stands.
        ended: Whether that record is an `end`.
        incomplete: Whether a record is known to be missing, or may be.
        size_bytes: How many bytes were read.
        records: How many records count.
    """

    def __init__(self, witness: Position | None = None) -> None:
        """Start at the beginning of a file."""
        self.witness = witness
        self.last: Position | None = None
        self.ended = False
        self.incomplete = False
        self.size_bytes = 0
        self.records = 0
        self._end = (1, 0)  # of the line after the last one: its number, its offset
        self._next_n = 0
        self._previous = NO_PREVIOUS
        self._bad_lines = 0  # since the last record that counts
        self._stranger: str | None = None  # the checksum of the last line that did not follow

    def take(self, text: Text, after: Text | None) -> Line | None:
        """Judge the next line; `after` is the one after it.

        Returns:
            None: it is where a file that another one vouches for was cut; `missing` says so.
        """
        self.size_bytes += text.size
        line = self._judge_tail(text) if text.is_tail else self._judge(text, after)
        if line is not None:
            self._end = (text.number + 1, text.offset + text.size)
            if line.code not in {None, "torn-tail", "no-newline"}:
                self.incomplete = True
        return line

    def depends_on_next(self, text: Text) -> bool:
        """Tell whether the verdict on a line may depend on the one after it."""
        frame = None if text.is_overlong else read_frame(text.raw)
        return frame is not None and frame.n > self._next_n

    def missing(self) -> Line | None:
        """Say what is missing at the end, as a line that is not there; None: nothing is."""
        if not self._is_cut_short():
            return None
        self.incomplete = True
        last = "no record" if self.last is None else f"record {self.last.n}"
        expected = self.witness.n if self.witness else 0
        detail = f"the file stops after {last}; the run's file vouches for record {expected}"
        return Line(*self._end, b"", None, False, "truncated", detail)

    def most_at_once(self) -> int:
        """How many of the next lines `take_all` may be given.

        The first record of a file stands alone, since it says whose it is, and the last one, since
        it is held against its witness.
        """
        return max(1, min(MANY, self._room()))

    def _room(self) -> int:
        """How many of the next lines are neither the first of the file nor the last."""
        if self.ended or self._next_n == 0:
            return 0
        return MANY if self.witness is None else self.witness.n - self._next_n

    def take_all(self, lines: Sequence[bytes]) -> Block | None:
        """Judge the next lines all at once; None: they take a closer look, none is judged yet."""
        if len(lines) > self._room():
            return None
        n, last_n = self._next_n, self._next_n + len(lines) - 1
        crc = last_in_good_order(lines, n, self._previous)
        if crc is None:
            return None
        number, offset = self._end
        size = sum(map(len, lines)) + len(lines)
        self.size_bytes += size
        self.records += len(lines)
        self.last = Position(last_n, crc)
        self._end = (number + len(lines), offset + size)
        self._next_n, self._previous, self._bad_lines = last_n + 1, crc, 0
        return Block(number, offset, n, lines)

    def _judge(self, text: Text, after: Text | None = None) -> Line:
        """Judge one line that its line feed ended; `after` is the one after it."""
        frame = None if text.is_overlong else read_frame(text.raw)
        if frame is None:
            self._bad_lines += 1
            return _line(text, None, "damaged", "is not what a writer wrote")
        if self.ended or (self.witness is not None and frame.n > self.witness.n):
            return _line(text, frame, "chain", "stands after the file's last record")
        if frame.n < self._next_n:
            detail = f"has number {frame.n}, which has passed: {self._next_n} is next"
            return _line(text, frame, "duplicate", detail)
        if not self._follows(frame):
            self._bad_lines += 1
            self._stranger = frame.crc
            return _line(text, frame, "chain", "does not follow the record before it")
        if frame.n > self._next_n and after is not None and self._is_too_early(frame, after):
            self._bad_lines += 1
            return _line(text, frame, "chain", "stands before a record that comes first")
        return self._accept(text, frame)

    def _follows(self, frame: Frame) -> bool:
        """Tell whether a record can stand here, as far as what came before is known."""
        if self.witness is not None and contradicts(frame, self.witness):
            return False
        if frame.n == self._next_n:
            return frame.prev == self._previous
        # Records are missing before it, so its `prev` names one that is not there. Only what
        # goes on from a line that was no record of this file is none either.
        return frame.prev != self._stranger

    def _contradicts_witness(self, n: int, crc: str) -> bool:
        return self.witness is not None and n >= self.witness.n and (n, crc) != self.witness

    def _is_too_early(self, frame: Frame, after: Text) -> bool:
        """Tell whether the next line is one of those that a record would skip.

        Nothing shows whether a record with others missing before it belongs to this file. Taken on
        its word, one line of another file, with a later number, would cost all up to that number.
        """
        following = read_frame(after.raw)
        if following is None or following.crc == frame.crc:
            return False
        return self._next_n <= following.n <= frame.n and self._follows(following)

    def _accept(self, text: Text, frame: Frame) -> Line:
        missing = frame.n - self._next_n
        is_gap = missing > 0 and self._bad_lines == 0
        first, last = self._next_n, frame.n - 1
        self._bad_lines = 0
        self._next_n = frame.n + 1
        self._previous = frame.crc
        self.last = Position(frame.n, frame.crc)
        self.ended = frame.event == b"end"
        self.records += 1
        line = Line(text.number, text.offset, text.raw, frame, True)
        if is_gap:
            numbers = f"record {first} is" if missing == 1 else f"records {first} to {last} are"
            line = line._replace(code="gap", detail=f"{numbers} missing before it")
        return self._step_over_lost(line, self.last) if frame.event == b"lost" else line

    def _step_over_lost(self, line: Line, at: Position) -> Line:
        """Go on after the records that a repair found missing."""
        self.records -= 1
        last = last_lost(decode(line.raw) or {}, at)
        if last is None or self._contradicts_witness(*last):
            detail = "is a lost record that does not fit here"
            return line._replace(counts=False, code="damaged", detail=detail)
        self.last = last
        self._next_n, self._previous = last.n + 1, last.crc
        if line.code is None:
            line = line._replace(code="lost", detail=f"records {at.n} to {last.n} are lost")
        return line

    def _judge_tail(self, text: Text) -> Line | None:
        """Judge what stands after the last line feed; None: it is where the file was cut."""
        whole = self._judge(text) if not text.is_overlong and read_frame(text.raw) else None
        if whole is not None:
            if whole.code is None:
                return whole._replace(code="no-newline", detail="is whole but has no line feed")
            return whole
        if self._is_torn_write(text):
            if self._is_cut_short():
                return None
            return _line(text, None, "torn-tail", "is a write that was cut short")
        self._bad_lines += 1
        return _line(text, None, "damaged", "is neither a record nor a torn write")

    def _is_torn_write(self, text: Text) -> bool:
        if self.ended or text.is_overlong:
            return False
        known = self._bad_lines == 0
        return is_torn_write(
            text.raw, self._next_n if known else None, self._previous if known else None
        )

    def _is_cut_short(self) -> bool:
        """Tell whether the vouched-for position was not reached, and no damaged line can be it."""
        if self.witness is None or self._bad_lines:
            return False
        return self.last is None or self.last.n < self.witness.n


class Scan(Judge):
    """One pass over a file; iterate over it once, then read its attributes.

    Memory is constant. The file is read as it is at the moment, so a live one may be longer a
    moment later.
    """

    def __init__(self, source: str | Part, witness: Position | None = None) -> None:
        """Prepare to read a file.

        Args:
            source: The file's path, or where its lines are in a sealed one.
            witness: Where its last record stands, by what another file says; None: nobody says.
        """
        self._part = Part(source) if isinstance(source, str) else source
        super().__init__(witness or self._part.last)
        self._end = (self._part.lines_before + 1, self._part.start)

    def __iter__(self) -> Iterator[Line]:
        """Give every line, damaged ones and the tail too, and last what is missing at the end.

        Raises:
            OSError: The file cannot be read.
        """
        return self._to_its_end(
            self._held_against_seal(line)
            for text, after in _with_next(texts(self._part))
            if (line := self.take(text, after)) is not None
        )

    def blocks(self) -> Iterator[Block | Line]:
        """Give what an iteration gives, but lines in good order many at once.

        Raises:
            OSError: The file cannot be read.
        """
        return self._to_its_end(
            judged
            for group, after in _with_next(text_groups(self._part))
            for judged in self._judge_group(group, after)
        )

    def _to_its_end(self, judged: Iterator[Item]) -> Iterator[Item | Line]:
        """Give what was judged, and at last what is missing."""
        try:
            yield from judged
            missing = self.missing()
            if missing is not None:
                yield missing
        except files.NotAFileError:
            self.incomplete = True
            yield Line(1, 0, b"", None, False, "damaged", "is no regular file")

    def _judge_group(
        self, group: TextGroup | Text, after: TextGroup | Text | None
    ) -> Iterator[Block | Line]:
        """Judge lines that were read at once; of those after them only the first one matters."""
        following = after.first if isinstance(after, TextGroup) else after
        if isinstance(group, Text):
            yield from self._judge_each([group], following)
            return
        self._end = (group.number, group.offset)
        for some, then in group.in_pieces(self.most_at_once):
            block = self.take_all(some.lines) if len(some.lines) >= FEW else None
            if block is not None:
                yield block
            else:
                yield from self._judge_each(some.texts(), then or following)

    def _judge_each(self, given: Iterable[Text], following: Text | None) -> Iterator[Line]:
        for text, after in _with_next(iter(given)):
            line = self.take(text, after or following)
            if line is not None:
                yield self._held_against_seal(line)

    def _held_against_seal(self, line: Line) -> Line:
        """Hold a torn write, which has no checksum of its own, against that of the whole part."""
        sealed = self._part.crc32
        if line.code != "torn-tail" or sealed is None or checksum(self._part) == sealed:
            return line
        self.incomplete = True
        return line._replace(code="damaged", detail="is not the torn write that was sealed")


def contradicts(frame: Frame, witness: Position) -> bool:
    """Tell whether a record cannot be in a file that ends as the witness says."""
    if frame.event == b"lost":
        # It has a checksum of its own; what it says was there is held against the witness later.
        return False
    if frame.event == b"end" and frame.n < witness.n:
        return True
    return frame.n >= witness.n and (frame.n, frame.crc) != witness


def _line(text: Text, frame: Frame | None, code: str, detail: str) -> Line:
    return Line(text.number, text.offset, text.raw, frame, False, code, detail)


def last_lost(fields: dict[str, Any], at: Position) -> Position | None:
    """Where the last of the records stood that a lost record stands for.

    What came last at the end of a file that nobody vouched for is not known: `was` is null then.
    """
    first, last, was = fields.get("first"), fields.get("last"), fields.get("was")
    if not is_number(last) or type(first) is not int or first != at.n or last < at.n:
        return None
    if was is None:
        return Position(last, at.crc)
    return Position(last, was) if is_crc(was) else None


def _with_next(given: Iterator[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Give everything together with what comes after it."""
    one = next(given, None)
    while one is not None:
        after = next(given, None)
        yield one, after
        one = after


def peek(source: str | Part) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Read only the first and the last record of a file, for lists of many.

    Returns:
        Both as parsed, each None when it is not whole, or no record all the same.

    Raises:
        OSError: The file cannot be read.
    """
    part = Part(source) if isinstance(source, str) else source
    first, last = first_and_last_line(part)
    return _whole(first), _whole(last)


def peek_first(part: Part) -> dict[str, Any] | None:
    """Read only the first record of a file; None: it is not whole, or no record all the same.

    Raises:
        OSError: The file cannot be read.
    """
    return _whole(first_line(part))


def _whole(line: bytes) -> dict[str, Any] | None:
    frame = read_frame(line)
    return fields_in(line, frame.n) if frame else None
