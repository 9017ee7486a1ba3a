"""Read a run back: its state as folded from its records, and the records themselves, merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from runstore import files, layout
from runstore.layout import AttemptKey
from runstore.lines.bulk import Block
from runstore.lines.part import Part
from runstore.lines.record import Position, fields_in
from runstore.lines.scan import Line, Scan, peek
from runstore.liveness import is_at_work, owner_in
from runstore.reading.inventory import (
    Inventory,
    attempt_misfit,
    folder_of_run,
    job_id_of,
    record_in,
    take_inventory,
)
from runstore.reading.keys import run_key_in
from runstore.reading.merge import (
    CRASHED,
    RUN_END_STATUSES,
    RUNNING,
    Fold,
    Job,
    Record,
    RunState,
    merge,
    status_in,
)
from runstore.reading.parts import Parts

_CANNOT_BE_SEEN = "its process is on {host} and cannot be seen from here"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as its records told when it was read; it does not change when the run goes on.

    Attributes:
        id: The run's id.
        path: Its folder.
        pipeline: What ran; None when that record is lost.
        status: `running`, `succeeded`, `failed`, `interrupted` or `crashed`.
        started: When it began (UTC); None when that record is lost.
        ended: When it ended; None: it has not.
        jobs: Its jobs by id, in the order declared.
        removed: Those that only an earlier plan had, before a resume of the run.
        begin: The fields of its last `begin`: parameters, versions, host and pid among them.
        end: The fields of its `end`; empty: there is none.
        note: What a reader must know about the status, as a sentence, else None.
        receipt: `n:crc` of its last own record, once it has ended, else None.
        segment: The number of its last own file: 1, and one more for each resume.
    """

    id: str
    path: str
    pipeline: str | None
    status: str
    started: str | None
    ended: str | None
    jobs: dict[str, Job]
    removed: dict[str, Job]
    begin: Record
    end: Record
    note: str | None
    receipt: str | None
    segment: int

    @property
    def run_key(self) -> str | None:
        """The key that it works under; None: it has none."""
        return run_key_in(self.begin)

    def records(self) -> Iterator[Record]:
        """Give all records that count, merged by time, each file's own in their order.

        Every record has all fields of its line; those of an attempt's file have `job` and
        `attempt` besides. The files are read anew, as they are now. Records that are damaged, or
        belong to another file, are left out; `verify` names them.
        """
        inventory = take_inventory(self.path, self.id)
        # Those that the run's own files name come first: a stray file whose name is the id of
        # another job must not take its place.
        keys = sorted(readable_attempts(inventory), key=lambda key: key not in inventory.expected)
        by_id: dict[tuple[str, int], AttemptKey] = {}
        for key in keys:
            by_id.setdefault((job_id_of(inventory, key), key.attempt), key)
        sources: dict[tuple[str, int], Callable[[], Iterable[Record]]] = {
            named: partial(attempt_records, inventory, key) for named, key in by_id.items()
        }
        unnamed = set(inventory.without_start)
        without_start = [named for named, key in by_id.items() if key in unnamed]
        return merge(_run_records(inventory), sources, without_start)

    def log_path(self, job_id: str, attempt: int | None = None) -> str | None:
        """The path of what an attempt printed; None when there is no such file.

        Args:
            job_id: The job.
            attempt: Which attempt, from 1; None: the last one.
        """
        return self._file(layout.log_file, job_id, attempt)

    def output_path(self, job_id: str, attempt: int | None = None) -> str | None:
        """The path of the file that an attempt left its output in; None when there is none.

        Args:
            job_id: The job.
            attempt: Which attempt, from 1; None: the last one.
        """
        return self._file(layout.output_file, job_id, attempt)

    def _file(
        self, named: Callable[[str, int], str], job_id: str, attempt: int | None
    ) -> str | None:
        job = self.jobs.get(job_id) or self.removed.get(job_id)
        if job is None or not (attempt or job.attempts):
            return None
        number = attempt or job.attempts[-1].number
        path = f"{self.path}/{named(layout.job_name(job_id), number)}"
        return path if files.is_file(path) else None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a list of runs: read from the two ends of the run's own file alone.

    `parent` is the run inside which it ran; None: it ran by itself.
    """

    id: str
    pipeline: str | None
    status: str
    started: str | None
    ended: str | None
    run_key: str | None = None
    parent: str | None = None


def read_run(store: str, run_id: str) -> RunView:
    """Read a run.

    Raises:
        RunNotFoundError: The store has none of this id.
    """
    folder = folder_of_run(store, run_id)
    try:
        return _view(folder, run_id)
    finally:
        # It may have been pruned meanwhile, and was read in part then.
        folder_of_run(store, run_id)


def _view(folder: str, run_id: str) -> RunView:
    inventory, state, alive = read_state(folder, run_id)
    if alive is False and not inventory.ended:
        # It may have ended between the reading and the look at its process; now it is final.
        inventory, state, alive = read_state(folder, run_id)
    last = inventory.last.get(inventory.segments[-1]) if inventory.ended else None
    host = state.begin.get("host")
    return RunView(
        id=run_id,
        path=folder,
        pipeline=state.pipeline,
        status=state.status,
        started=state.started,
        ended=state.ended,
        jobs=state.jobs,
        removed=state.removed,
        begin=state.begin,
        end=state.end,
        note=_CANNOT_BE_SEEN.format(host=host) if alive is None and not inventory.ended else None,
        receipt=str(last) if last else None,
        segment=max(inventory.segments, default=1),
    )


def summarize(store: str, run_id: str) -> RunSummary | None:
    """Read what a list shows of a run; None: it has no records yet."""
    folder = layout.run_folder(store, run_id)
    parts = Parts(folder, quick=True)
    parts.look()
    segments = parts.segments or [1]
    first_part, last_part = (parts.find(layout.run_file(n)) for n in (segments[0], segments[-1]))
    begin, end = _ends(last_part, run_id)
    for segment in reversed(segments[:-1]):
        if begin:
            break
        # A resume was killed before its first record, or that is damaged: the one before tells.
        begin, before = _ends(parts.find(layout.run_file(segment)), run_id)
        end = end or before
    if not begin and not parts.seals and not files.names(f"{folder}/{layout.JOBS}"):
        return None
    status = RUNNING
    owner = owner_in(begin)
    if not end and (owner is None or is_at_work(owner, run_id) is False):
        # It may have ended between the reading and the look at its process; now it is final.
        end = _ends(last_part, run_id)[1] or end
        status = CRASHED
    if end:
        status = status_in(end, RUN_END_STATUSES, "failed")
    first = begin if len(segments) == 1 else _ends(first_part, run_id)[0]
    pipeline = begin.get("pipeline")
    pipeline = pipeline if isinstance(pipeline, str) else None
    parent = begin.get("parent")
    outer = parent.get("run") if isinstance(parent, dict) else None
    outer = outer if isinstance(outer, str) and layout.is_run_id(outer) else None
    started, ended = first.get("at"), end.get("at")
    return RunSummary(run_id, pipeline, status, started, ended, run_key_in(begin), outer)


def _ends(part: Part, run_id: str) -> tuple[Record, Record]:
    """The `begin` and the `end` of a run's own file, each empty where it is not there."""
    try:
        first, last = peek(part)
    except (FileNotFoundError, NotADirectoryError, files.NotAFileError):
        return {}, {}
    if first is not None and first.get("run") != run_id:
        return {}, {}
    return first or {}, last if last is not None and last.get("event") == "end" else {}


def read_state(folder: str, run_id: str) -> tuple[Inventory, RunState, bool | None]:
    """Fold a run's files; tells, too, whether its process is alive (None: cannot be seen)."""
    fold = Fold()
    owner = None

    def take(_path: str, _line: Line, fields: Record | None) -> None:
        if fields is not None:
            fold.add(fields)

    inventory = take_inventory(folder, run_id, take)
    owner = inventory.owner
    for key in readable_attempts(inventory):
        for record in attempt_records(inventory, key):
            fold.add(record, (record["job"], key.attempt))
            owner = owner or owner_in(record)
    alive = is_at_work(owner, run_id) if owner else False
    return inventory, fold.result(alive=alive is not False), alive


def readable_attempts(inventory: Inventory) -> list[AttemptKey]:
    """The attempts whose files count: those named, and others where a name can have been lost."""
    if inventory.may_be_unannounced:
        return inventory.found
    return [key for key in inventory.found if key in inventory.expected]


class AttemptReading:
    """Makes records, with their `job` and `attempt`, of the lines of an attempt's file.

    Attributes:
        is_foreign: Whether its first record says that it is the file of something else; then it
            has no records.
    """

    def __init__(self, inventory: Inventory, key: AttemptKey) -> None:
        """Start at the first line; what the inventory learns meanwhile counts too."""
        self.is_foreign = False
        self._inventory = inventory
        self._key = key
        self._job_id: str | None = None

    @property
    def witness(self) -> Position | None:
        """Where the last record stands, by what the run's own files say so far."""
        expected = self._inventory.expected.get(self._key)
        return expected.witness if expected else None

    def record(self, line: Line) -> Record | None:
        """Give the record that stands in the next line; None: none that counts."""
        if attempt_misfit(self._inventory.run_id, self._key, line) is not None:
            self.is_foreign = True
        fields = None if self.is_foreign else record_in(line)
        if fields is None:
            return None
        if fields["n"] == 0 and fields["event"] == "begin":
            # Where no record of the run's own files names it, only this one has the exact id.
            self._job_id = fields["job"]
        fields["job"] = self._job_id or job_id_of(self._inventory, self._key)
        fields["attempt"] = self._key.attempt
        return fields

    def records(self, block: Block) -> Iterator[Record]:
        """Give the records that stand in the next lines, none of which is the first of the file."""
        job_id = self._job_id or job_id_of(self._inventory, self._key)
        for n, raw in enumerate(block.lines, start=block.n):
            fields = fields_in(raw, n)
            if fields is not None:
                fields["job"] = job_id
                fields["attempt"] = self._key.attempt
                yield fields


def attempt_records(inventory: Inventory, key: AttemptKey) -> Iterator[Record]:
    """Give the records of an attempt's file, with their `job` and `attempt`.

    None at all when its first record says that it is the file of something else.
    """
    reading = AttemptReading(inventory, key)
    for judged in Scan(inventory.attempt_part(key), reading.witness).blocks():
        if isinstance(judged, Block):
            yield from reading.records(judged)
            continue
        record = reading.record(judged)
        if reading.is_foreign:
            return
        if record is not None:
            yield record


def _run_records(inventory: Inventory) -> Iterator[Record]:
    for segment in inventory.segments:
        if segment in inventory.foreign:
            continue
        for line in Scan(inventory.run_part(segment), inventory.witnesses.get(segment)):
            fields = record_in(line)
            if fields is not None:
                yield fields
