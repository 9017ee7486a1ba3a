"""Rebuild one damaged file of records: every record that survived, byte for byte, and no other.

Where records are missing a `lost` record stands: `first` and `last` are their numbers, `was` the
checksum that what follows, or what vouches for the file, expects. So the chain still holds, and so
does the witness. Valid records that stand in the wrong place are put where the chain wants them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from runstore.lines.part import Part
from runstore.lines.record import (
    MAX_N,
    NO_PREVIOUS,
    Frame,
    Position,
    decode,
    encode,
    fields_in,
)
from runstore.lines.scan import Line, Scan, contradicts, last_lost
from runstore.reading.salvage import path_in

Misplaced = dict[int, list[tuple[Frame, bytes]]]

_BLOCK_BYTES = 1 << 18


class Home(NamedTuple):
    """Which file it is that is rebuilt: its first record must name its run and its path there."""

    run_id: str
    path: str


@dataclass(slots=True)
class Rebuilt:
    """What a rebuilt file holds: how many records were kept, and which numbers are lost.

    Attributes:
        kept: How many records survived.
        lost: The first and last number of each stretch that did not.
    """

    kept: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)

    @property
    def lost_records(self) -> int:
        """How many records are lost, as far as their numbers tell."""
        return sum(last - first + 1 for first, last in self.lost)


def rebuild(
    home: Home,
    source: str | Part | None,
    witness: Position | None,
    write: Callable[[bytes], None],
    pool: Misplaced,
) -> Rebuilt:
    """Read a damaged file and write what it should be.

    Args:
        home: Which file it is to be.
        source: The damaged file; None: there is none, and all its records are lost.
        witness: Where its last record stands, by what another file says; None: nobody says.
        write: Takes the new content, piece by piece.
        pool: Records that were found in other files, some of which may be missing here.

    Raises:
        OSError: The file cannot be read, or the new content not written.

    Memory is constant, but for the valid records that stand in the wrong place.
    """
    spare = {n: list(found) for n, found in pool.items()}
    if source is not None:
        add_misplaced(source, witness, spare)
    builder = _Builder(home, witness, write, spare)
    ends_badly = source is None
    if source is not None:
        for line in Scan(source, witness):
            if line.counts and line.frame is not None:
                ends_badly = not builder.add(line, line.frame)
            elif line.code not in {"torn-tail", "duplicate", "truncated"}:
                ends_badly = True
    builder.finish(ends_badly=ends_badly)
    return builder.result


def add_misplaced(source: str | Part, witness: Position | None, found: Misplaced) -> None:
    """Add the lines whose own checksum holds but that do not count where they stand."""
    for line in Scan(source, witness):
        if not line.counts and line.frame is not None:
            found.setdefault(line.frame.n, []).append((line.frame, line.raw))


class _Builder:
    """Writes a file anew, in the order of the numbers, and keeps the chain."""

    def __init__(
        self,
        home: Home,
        witness: Position | None,
        write: Callable[[bytes], None],
        misplaced: Misplaced,
    ) -> None:
        self.result = Rebuilt()
        self._home = home
        self._witness = witness
        self._write_block = write
        self._misplaced = misplaced
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._next_n = 0
        self._previous = NO_PREVIOUS
        self._ended = False
        self._stranger: str | None = None  # the checksum of the last record that was refused

    def add(self, line: Line, frame: Frame) -> bool:
        """Take a record over, after what is missing before it.

        Returns:
            False: it is refused, because it, or the one that it follows, is none of this file: a
            reader had to take it on its word, but what was found before it contradicts it.
        """
        self._fill(frame.n)
        if self._ended or not self._can_follow(frame, line.raw):
            self._stranger = frame.crc
            return False
        if self._next_n < frame.n:
            self._lose(frame.n - 1, frame.prev)
        self._take(frame, line.raw)
        return True

    def _can_follow(self, frame: Frame, raw: bytes) -> bool:
        if self._next_n < frame.n:
            return frame.prev != self._stranger
        return frame.prev == self._previous and self._is_own(frame, raw)

    def finish(self, *, ends_badly: bool) -> None:
        """Say what is missing at the end, and write the rest.

        Args:
            ends_badly: Whether damaged lines come after the last record taken.
        """
        witness = self._witness
        if witness is not None:
            self._fill(witness.n + 1)
            if self._next_n <= witness.n:
                self._lose(witness.n, witness.crc)
        elif not self._ended:  # nothing follows an `end`
            found = self._next_n
            self._fill(None)
            # After the largest number nothing can be missing.
            if ends_badly and self._next_n == found and found <= MAX_N:
                self._lose(self._next_n, None)
        self._flush()

    def _fill(self, before: int | None) -> None:
        """Put misplaced records in where the chain of checksums says that they belong."""
        while before is None or self._next_n < before:
            for frame, raw in self._misplaced.get(self._next_n, ()):
                if frame.prev == self._previous and self._is_own(frame, raw):
                    self._take(frame, raw)
                    break
            else:
                return

    def _is_own(self, frame: Frame, raw: bytes) -> bool:
        """Tell whether a record that follows the one before can be of this file."""
        if self._witness is not None and contradicts(frame, self._witness):
            return False
        if frame.event == b"lost":
            # One that does not fit would lead anywhere, back to where it stands too; and one from
            # an earlier repair may end where another file says since that this one does not.
            last = _end_of_lost(frame, raw)
            return last is not None and not self._is_past_witness(last)
        # Before a first one there is none, so nothing tells but itself.
        if frame.n > 0:
            return True
        fields = fields_in(raw, frame.n) or {}
        is_begin = fields.get("event") == "begin"
        return is_begin and (fields.get("run"), path_in(raw)) == self._home

    def _is_past_witness(self, last: Position) -> bool:
        return self._witness is not None and last.n >= self._witness.n and last != self._witness

    def _take(self, frame: Frame, raw: bytes) -> None:
        self._put(raw + b"\n")
        self._next_n, self._previous = frame.n + 1, frame.crc
        self._ended = frame.event == b"end"
        last = _end_of_lost(frame, raw) if frame.event == b"lost" else None
        if last is not None:
            self._next_n, self._previous = last.n + 1, last.crc
        else:
            self.result.kept += 1

    def _lose(self, last: int, was: str | None) -> None:
        fields = {"first": self._next_n, "last": last, "was": was}
        line, position = encode(self._next_n, self._previous, "lost", fields)
        self._put(line)
        self.result.lost.append((self._next_n, last))
        self._next_n, self._previous = last + 1, was or position.crc

    def _put(self, line: bytes) -> None:
        self._block.append(line)
        self._block_bytes += len(line)
        if self._block_bytes > _BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._block:
            self._write_block(b"".join(self._block))
            self._block, self._block_bytes = [], 0


def _end_of_lost(frame: Frame, raw: bytes) -> Position | None:
    """Where the last record stood that a `lost` one stands for; None: it does not fit."""
    return last_lost(decode(raw) or {}, Position(frame.n, frame.crc))
