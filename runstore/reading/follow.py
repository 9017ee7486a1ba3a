"""Follow a run: its records as they come, without a lock.

A round looks once at the run's own file and at those of the attempts at work, and merges by time
what has come. An attempt's file is entered at its `start`, and left at its `done`, after which it
is not looked at again. Between the rounds the follower sleeps, the longer the less comes.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

from runstore import files, layout
from runstore.errors import RunNotFoundError
from runstore.layout import AttemptKey
from runstore.liveness import Owner, is_at_work
from runstore.reading.growing import GrowingScan
from runstore.reading.inventory import Inventory, record_in, take_inventory, take_note
from runstore.reading.merge import Record, attempt_named
from runstore.reading.view import AttemptReading, readable_attempts

POLL_S = (0.01, 0.5)
# So long a run that names no process may take to write its first record.
_PATIENCE_S = 1.0


def follow_run(store: str, run_id: str, poll_s: tuple[float, float] = POLL_S) -> Iterator[Record]:
    """Give the records of a run as they come, until it is over: see `RunStore.follow`."""
    folder = layout.run_folder(store, run_id)
    if not layout.is_run_id(run_id) or not files.is_folder(folder):
        raise RunNotFoundError(run_id, store)
    shortest_s, longest_s = poll_s
    if not 0 < shortest_s <= longest_s:
        raise ValueError(f"poll_s is the shortest and the longest wait in seconds, not {poll_s!r}")
    return _records(folder, run_id, shortest_s, longest_s)


def _records(folder: str, run_id: str, shortest_s: float, longest_s: float) -> Iterator[Record]:
    yield from _Follower(folder, run_id, _Pace(shortest_s, longest_s)).records()


class _Pace:
    """How long to wait before it is useful to look again: twice as long each time nothing came."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._next_s = shortest_s
        self._last_came = time.monotonic()

    @property
    def idle_s(self) -> float:
        """How long nothing has come."""
        return time.monotonic() - self._last_came

    def wait(self, *, something_came: bool) -> None:
        """Sleep until the next look."""
        if something_came:
            self._last_came = time.monotonic()
            self._next_s = self._shortest_s
        time.sleep(self._next_s)
        self._next_s = min(2 * self._next_s, self._longest_s)


class _AttemptSource:
    """The file of an attempt at work.

    Attributes:
        key: Which attempt.
        number: In which order it was entered.
        is_final: Whether nobody writes it any more.
        is_exhausted: Whether it had no further record when it was last asked for one.
    """

    def __init__(self, inventory: Inventory, key: AttemptKey, number: int) -> None:
        self.key = key
        self.number = number
        self.is_final = False
        self.is_exhausted = True
        self._reading = AttemptReading(inventory, key)
        self._scan = GrowingScan(inventory.attempt_part(key), self._reading.witness)

    def look(self, *, is_final: bool) -> None:
        """See how far the file goes by now."""
        self.is_final = self.is_final or is_final
        self._scan.witness = self._reading.witness or self._scan.witness
        self._scan.look(is_final=self.is_final)

    def advance(self) -> Record | None:
        """Give the next record; None: no further one has come."""
        record = None
        while record is None and (line := self._scan.next_line()) is not None:
            record = self._reading.record(line)
        self.is_exhausted = record is None
        return record


class _RunSource:
    """The run's own files, one after the other.

    Attributes:
        segment: The number of the one that is read.
        head: Its next record; None: nothing more has come.
        last_final: The number of the last one that nobody writes any more.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.head: Record | None = None
        self.last_final = 0
        self._inventory = inventory
        self._later = list(inventory.segments)
        self._open(self._later.pop(0) if self._later else 1)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come, unless the run is resumed."""
        return self.segment <= self.last_final

    @property
    def has_ended(self) -> bool:
        """Whether the record before the head is an `end`."""
        return self._scan.ended and self.head is None

    def look(self) -> None:
        """See how far the files go by now."""
        # Where there is a later file, this one was complete before that was made.
        self._inventory.parts.look()
        segments = self._inventory.parts.segments
        self._later = [number for number in segments if number > self.segment]
        self._look()

    def advance(self) -> None:
        """Make the following record the head."""
        self.head = None
        while self.head is None:
            line = self._scan.next_line()
            if line is not None:
                fields = record_in(line)
                self.head = self._noted(fields) if fields else None
            elif self._later:
                self._inventory.begin = None
                self._open(self._later.pop(0))
                self._look()
            else:
                return

    def _open(self, segment: int) -> None:
        self.segment = segment
        part = self._inventory.run_part(segment)
        self._scan = GrowingScan(part, self._inventory.witnesses.get(segment))

    def _look(self) -> None:
        self._scan.look(is_final=bool(self._later) or self.is_final)

    def _noted(self, fields: Record) -> Record | None:
        """Take note of what a record says of files; None: it is in a file of another run."""
        take_note(self._inventory, self.segment, fields)
        return None if self.segment in self._inventory.foreign else fields


class _Follower:
    """One pass over a run that may still be at work."""

    def __init__(self, folder: str, run_id: str, pace: _Pace) -> None:
        self._run_id = run_id
        self._pace = pace
        self._inventory = take_inventory(folder, run_id)
        self._run = _RunSource(self._inventory)
        self._at_work: dict[AttemptKey, _AttemptSource] = {}
        self._entered: set[AttemptKey] = set()
        self._heap: list[tuple[str, int, Record, _AttemptSource]] = []
        # The attempts whose last record must come before the head of the run's own file.
        self._awaited: set[AttemptKey] = set()

    def records(self) -> Iterator[Record]:
        """Give the records, round by round, until the run is over."""
        self._settle(self._inventory)
        while True:
            something_came = False
            for record in self._round():
                something_came = True
                yield record
            if self._run.is_final:
                return
            if not (self._seems_over() and self._settle(self._take_inventory())):
                self._pace.wait(something_came=something_came)

    def _take_inventory(self) -> Inventory:
        return take_inventory(self._inventory.folder, self._run_id)

    def _seems_over(self) -> bool:
        """Tell, at a small cost, whether to look at the whole run."""
        return self._run.has_ended or self._is_gone(self._inventory.owner)

    def _is_gone(self, owner: Owner | None) -> bool:
        if not files.is_folder(self._inventory.folder):
            return True  # it was removed
        if owner is None:
            return self._pace.idle_s > _PATIENCE_S
        return is_at_work(owner, self._run_id) is False

    def _settle(self, found: Inventory) -> bool:
        """If the run is over, prepare the last round; it gives what no `start` names as well."""
        if not found.ended and not self._is_gone(found.owner):
            return False
        self._run.last_final = max(found.segments, default=self._run.segment)
        for key in set(readable_attempts(found)).intersection(found.without_start):
            self._enter(key)
        return True

    def _round(self) -> Iterator[Record]:
        """Give what has come until now, merged by time, each file's own in their order."""
        self._run.look()
        for source in list(self._at_work.values()):
            self._take_up(source)
        self._advance_run()
        while True:
            own = self._own_record()
            if own is not None:
                yield own
                self._enter_started(own)
                self._advance_run()
            elif self._heap:
                *_, record, source = heapq.heappop(self._heap)
                yield record
                self._advance(source)
            else:
                return

    def _own_record(self) -> Record | None:
        """The head of the run's own file, if it is next: the last one of those of a microsecond."""
        own = self._run.head
        if own is None or self._awaited or (self._heap and self._heap[0][0] <= own["at"]):
            return None
        return own

    def _enter_started(self, record: Record) -> None:
        key = _key_in(record) if record["event"] == "start" else None
        source = self._enter(key) if key else None
        if source is not None:
            self._take_up(source)

    def _enter(self, key: AttemptKey) -> _AttemptSource | None:
        """Follow an attempt's file from now on; None: that is done already."""
        if key in self._entered:
            return None
        self._entered.add(key)
        source = self._at_work[key] = _AttemptSource(self._inventory, key, len(self._entered))
        return source

    def _take_up(self, source: _AttemptSource) -> None:
        source.look(is_final=self._run.is_final)
        self._advance(source)

    def _advance(self, source: _AttemptSource) -> None:
        record = source.advance()
        if record is not None:
            heapq.heappush(self._heap, (record["at"], source.number, record, source))
        elif source.is_final:
            del self._at_work[source.key]
            self._awaited.discard(source.key)

    def _advance_run(self) -> None:
        self._run.advance()
        closed = self._closed_by(self._run.head) if self._run.head else []
        self._awaited.update(source.key for source in closed)
        for source in closed:
            source.look(is_final=True)
            if source.is_exhausted:
                self._advance(source)

    def _closed_by(self, record: Record) -> list[_AttemptSource]:
        """The attempts at work that are complete, and stay as they are, because of a record."""
        if record["event"] == "end":
            return list(self._at_work.values())
        key = _key_in(record) if record["event"] == "done" else None
        if key is None:
            return []
        self._enter(key)  # its `start` may be lost
        return [self._at_work[key]] if key in self._at_work else []


def _key_in(record: Record) -> AttemptKey | None:
    named = attempt_named(record)
    return AttemptKey(layout.job_name(named[0]), named[1]) if named else None
