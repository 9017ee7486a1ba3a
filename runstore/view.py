"""Read a run back: its state as folded from its records, and the records themselves, merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from runstore import files, layout
from runstore.errors import RunNotFoundError
from runstore.inventory import (
    Inventory,
    attempt_misfit,
    job_id_of,
    take_inventory,
)
from runstore.layout import AttemptKey
from runstore.liveness import is_alive, owner_in
from runstore.merge import RUN_END_STATUSES, RUNNING, Fold, Job, Record, RunState, merge
from runstore.record import decode
from runstore.scan import Line, Scan, peek

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
        begin: The fields of its last `begin`: parameters, versions, host and pid among them.
        end: The fields of its `end`; empty: there is none.
        note: What a reader must know about the status, as a sentence, else None.
        receipt: `n:crc` of its last own record, once it has ended, else None.
    """

    id: str
    path: str
    pipeline: str | None
    status: str
    started: str | None
    ended: str | None
    jobs: dict[str, Job]
    begin: Record
    end: Record
    note: str | None
    receipt: str | None

    def records(self) -> Iterator[Record]:
        """Give all records that count, merged by time, each file's own in their order.

        Every record has all fields of its line; those of an attempt's file have `job` and
        `attempt` besides. The files are read anew, as they are now. Records that are damaged, or
        belong to another file, are left out; `verify` names them.
        """
        inventory = take_inventory(self.path, self.id)
        readable = _readable(inventory)
        sources: dict[tuple[str, int], Callable[[], Iterable[Record]]] = {
            (job_id_of(inventory, key), key.attempt): partial(attempt_records, inventory, key)
            for key in readable
        }
        unannounced = [
            (job_id_of(inventory, key), key.attempt)
            for key in inventory.unannounced
            if key in readable
        ]
        return merge(_run_records(inventory), sources, unannounced)

    def log_path(self, job_id: str, attempt: int | None = None) -> str | None:
        """The path of what an attempt printed; None when there is no such file.

        Args:
            job_id: The job.
            attempt: Which attempt, from 1; None: the last one.
        """
        job = self.jobs.get(job_id)
        if job is None or not (attempt or job.attempts):
            return None
        number = attempt or job.attempts[-1].number
        path = f"{self.path}/{layout.log_file(layout.job_name(job_id), number)}"
        return path if files.exists(path) else None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a list of runs: read from the two ends of the run's own file alone."""

    id: str
    pipeline: str | None
    status: str
    started: str | None
    ended: str | None


def read_run(store: str, run_id: str) -> RunView:
    """Read a run.

    Raises:
        RunNotFoundError: The store has none of this id.
    """
    folder = layout.run_folder(store, run_id)
    if not layout.is_run_id(run_id) or not files.is_folder(folder):
        raise RunNotFoundError(run_id, store)
    inventory, state, alive = _read_state(folder, run_id)
    if alive is False and not inventory.ended:
        # It may have ended between the reading and the look at its process; now it is final.
        inventory, state, alive = _read_state(folder, run_id)
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
        begin=state.begin,
        end=state.end,
        note=_CANNOT_BE_SEEN.format(host=host) if alive is None and not inventory.ended else None,
        receipt=str(last) if last else None,
    )


def summarize(store: str, run_id: str) -> RunSummary | None:
    """Read what a list shows of a run; None: it has no records yet."""
    folder = layout.run_folder(store, run_id)
    segments = sorted(filter(None, map(layout.parse_run_file, files.names(folder))))
    if not segments:
        return None if not files.names(f"{folder}/{layout.JOBS}") else _summary_of_lost(run_id)
    path = f"{folder}/{layout.run_file(segments[-1])}"
    begin, last = peek(path)
    if begin is None and not files.names(f"{folder}/{layout.JOBS}"):
        return None
    begin = begin or {}
    owner = owner_in(begin)
    if not _is_end(last) and (owner is None or is_alive(owner) is False):
        last = peek(path)[1] or {}
        status = _end_status(last) if _is_end(last) else "crashed"
    else:
        status = _end_status(last) if last and _is_end(last) else RUNNING
    first = begin if segments[-1] == 1 else peek(f"{folder}/{layout.run_file(segments[0])}")[0]
    ended = last["at"] if last and _is_end(last) else None
    return RunSummary(run_id, begin.get("pipeline"), status, (first or {}).get("at"), ended)


def _summary_of_lost(run_id: str) -> RunSummary:
    return RunSummary(run_id, None, "crashed", None, None)


def _is_end(record: Record | None) -> bool:
    return record is not None and record.get("event") == "end"


def _end_status(record: Record) -> str:
    status = record.get("status")
    return status if status in RUN_END_STATUSES else "failed"


def _read_state(folder: str, run_id: str) -> tuple[Inventory, RunState, bool | None]:
    """Fold a run's files; tells, too, whether its process is alive (None: cannot be seen)."""
    fold = Fold()
    owner = None

    def take(_path: str, _line: Line, fields: Record | None) -> None:
        if fields is not None:
            fold.add(fields)

    inventory = take_inventory(folder, run_id, take)
    owner = inventory.owner
    for key in _readable(inventory):
        for record in attempt_records(inventory, key):
            fold.add(record, (record["job"], record["attempt"]))
            owner = owner or owner_in(record)
    alive = is_alive(owner) if owner else False
    return inventory, fold.result(alive=alive is not False), alive


def _readable(inventory: Inventory) -> list[AttemptKey]:
    """The attempts whose files count: those named, and others where a name can have been lost."""
    if inventory.may_be_unannounced:
        return inventory.found
    return [key for key in inventory.found if key in inventory.expected]


def attempt_records(inventory: Inventory, key: AttemptKey) -> Iterator[Record]:
    """Give the records of an attempt's file, with their `job` and `attempt`.

    None at all when its first record says that it is the file of something else.
    """
    path = f"{inventory.folder}/{layout.attempt_file(*key)}"
    expected = inventory.expected.get(key)
    job_id = job_id_of(inventory, key)
    for line in Scan(path, expected.witness if expected else None):
        fields = decode(line.raw) if line.counts else None
        if fields is None:
            continue
        if fields["n"] == 0:
            if attempt_misfit(inventory, key, fields):
                return
            job_id = fields.get("job", job_id)
        fields["job"], fields["attempt"] = job_id, key.attempt
        yield fields


def _run_records(inventory: Inventory) -> Iterator[Record]:
    for segment in inventory.segments:
        if segment in inventory.foreign:
            continue
        for line in Scan(f"{inventory.folder}/{layout.run_file(segment)}"):
            fields = decode(line.raw) if line.counts else None
            if fields is not None:
                yield fields
