"""Write a run: its own file, and one file for each attempt of each of its jobs.

Nothing is shared between the attempts of jobs, so threads that run jobs at the same time need no
lock for their records. Only the few records of the run's own file go through one.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from runstore import files, layout
from runstore.errors import (
    RecordError,
    RunStoreError,
    SegmentClosedError,
    SegmentPoisonedError,
)
from runstore.guard import Guard, release
from runstore.lines.record import NO_PREVIOUS, RESERVED_FIELDS, Position, encode
from runstore.liveness import run_closed, run_opened, this_process
from runstore.reading.inventory import FORMAT
from runstore.reading.merge import ATTEMPT_STATUSES, NOT_RUN_STATUSES, RUN_END_STATUSES
from runstore.writing.segment import SegmentWriter

Durability = Literal["disk", "os"]

_EVENTS_OF_THE_STORE = frozenset({"begin", "end", "lost"})
_EVENTS_OF_RUNS = _EVENTS_OF_THE_STORE | {"planned", "start", "done", "not_run", "kept"}
_CHUNK_JOBS = 500
_CHUNK_BYTES = 1 << 19
_MAX_ERROR = 10_000


@dataclass(frozen=True, slots=True)
class Opening:
    """How one of a run's own files begins, and what is known of the run's jobs then.

    Attributes:
        run_id: The run.
        segment: The file's number.
        begin: The fields of its first record.
        records: The records that follow at once: the event and the fields of each.
        stages: The stage of each job that has one.
        statuses: The status of each job.
        attempts: The last attempt that each name of a job has had.
        made_of: Of each job that was made of another, that other one.
        before: The status of each job that the run has had, planned or not.
    """

    run_id: str
    segment: int
    begin: Mapping[str, Any]
    records: Sequence[tuple[str, Mapping[str, Any]]]
    stages: Mapping[str, str]
    statuses: Mapping[str, str]
    attempts: Mapping[str, int]
    made_of: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)


def first_opening(
    pipeline: str,
    jobs: Iterable[str | Mapping[str, Any]],
    fields: Mapping[str, Any],
    run_key: str | None = None,
) -> Opening:
    """How a new run begins.

    Raises:
        RecordError: An id or a field cannot be stored, or an id stands there twice.
    """
    run_id, plan = layout.new_run_id(), planned_jobs(jobs)
    return Opening(
        run_id,
        1,
        first_record(run_id, 1, pipeline, fields, run_key=run_key),
        planned_records(plan),
        {job["id"]: job["stage"] for job in plan if "stage" in job},
        {job["id"]: "planned" for job in plan},
        {},
    )


def first_record(
    run_id: str,
    segment: int,
    pipeline: str,
    fields: Mapping[str, Any],
    *,
    run_key: str | None,
    **more: Any,
) -> dict[str, Any]:
    """Make the `begin` of one of a run's own files; refuse it before anything is on the disk."""
    _refuse_names(fields, {"run_key"})
    own = {
        "format": FORMAT,
        "run": run_id,
        "segment": segment,
        "pipeline": pipeline,
        **({} if run_key is None else {"run_key": run_key}),
        "python": sys.version.split(maxsplit=1)[0],
        **this_process().fields(),
        **more,
    }
    _refuse_names(fields, RESERVED_FIELDS | own.keys())
    begin = {**own, **fields}
    encode(0, NO_PREVIOUS, "begin", begin)
    return begin


class AttemptLog:
    """The log of one attempt: a context manager whose file nobody else writes.

    One thread at a time. Leaving the context without `end` ends the attempt: `succeeded`, or
    `failed` with the exception, or `interrupted` on KeyboardInterrupt.

    Attributes:
        job_id: The job.
        attempt: Which try, from 1.
        log_path: Where what the attempt prints goes; `create_log` makes the file.
        output_path: Where the attempt may leave its output.
    """

    def __init__(self, run: Run, job_id: str, attempt: int, fields: Mapping[str, Any]) -> None:
        """Create the file and write its `begin`; `Run.job` does this."""
        name = layout.job_name(job_id)
        self.job_id = job_id
        self.attempt = attempt
        self.log_path = f"{run.path}/{layout.log_file(name, attempt)}"
        self.output_path = f"{run.path}/{layout.output_file(name, attempt)}"
        self.status: str | None = None
        self._run = run
        self._segment = SegmentWriter(f"{run.path}/{layout.attempt_file(name, attempt)}")
        self._ticket = run.jobs_folder.made()
        self._began = time.monotonic()
        try:
            self._segment.append("begin", fields)
        except BaseException:
            self._segment.close()
            raise

    def append(self, event: str, /, **fields: Any) -> Position:
        """Append one record to the attempt's file.

        Args:
            event: What happened; any name but `begin`, `end` and `lost`.
            fields: JSON values; at most 1 MiB once encoded.

        Returns:
            Where the record stands: its number in the file, from 0, and its checksum.

        Raises:
            RecordError: The record cannot be encoded; nothing was written.
            SegmentPoisonedError: An earlier write failed; this log takes nothing more.
            SegmentClosedError: The attempt has ended.
            OSError: The write failed.

        When it returns, the operating system has the bytes: they survive a killed process. A crash
        inside leaves a torn tail, which readers skip. One thread at a time.
        """
        if event in _EVENTS_OF_THE_STORE or not RESERVED_FIELDS.isdisjoint(fields):
            _refuse_reserved(event, fields, _EVENTS_OF_THE_STORE)
        return self._segment.append(event, fields)

    def end(self, status: str, **fields: Any) -> Position:
        """Write the attempt's last record, close its file, and tell the run that it is done.

        Args:
            status: `succeeded`, `failed`, `timed_out`, `cancelled`, `interrupted` or `crashed`.
            fields: `exit_code`, `signal`, `error`, `cpu_s`, `max_rss_kb`, `log_bytes` and others;
                `duration_s` is measured from `begin` unless given.

        Raises:
            RecordError, SegmentPoisonedError, SegmentClosedError, OSError: As for `append`; the
                run is then not told, and the attempt is not reported as recorded.

        With durability `disk` the file and its name are on the disk when it returns.
        """
        _refuse_reserved("", fields, _EVENTS_OF_THE_STORE)
        if status not in ATTEMPT_STATUSES:
            raise RecordError(f"an attempt cannot end {status!r}")
        fields.setdefault("duration_s", round(time.monotonic() - self._began, 6))
        position = self._segment.append("end", {"status": status, **fields})
        if self._run.durability == "disk":
            self._sync()
        self._segment.close()
        self.status = status
        self._run.note_done(self, position)
        return position

    def create_log(self) -> int:
        """Create the file for what the attempt prints, and give a descriptor to append to it.

        Raises:
            FileExistsError: It was created before.
            OSError: It cannot be created.
        """
        return files.create(self.log_path)

    def _sync(self) -> None:
        self._segment.sync()
        try:
            self._run.jobs_folder.sync(self._ticket)
        except BaseException as error:
            self._segment.poison(f"a sync of the folder failed: {error}")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.status is None:
                self.end(**_ending(error))
        except SegmentPoisonedError:
            # Then the error that leaves the context tells more: what failed at first.
            if error is None:
                raise
        finally:
            self._segment.close()


class Run:
    """A run that is being written: a context manager. Any thread may call `job`.

    Leaving the context without `end` ends the run: `succeeded` when every job did, `interrupted` on
    KeyboardInterrupt, else `failed`. Where an attempt is still open, or the store cannot be
    written, no `end` is written, and the run reads `crashed` once its process is gone. The guard
    and the run key, where there are, are held until the context is left.

    Attributes:
        id: The run's id.
        path: Its folder.
        durability: `disk` or `os`.
        receipt: `n:crc` of the run's last record, once it has ended; `verify` takes it.
        run_key: The key that it works under; None: it has none.
    """

    def __init__(
        self,
        store: str,
        durability: Durability,
        opening: Opening,
        guards: Sequence[Guard],
    ) -> None:
        """Make what is missing of the run's folder, and create its own file; the store does this.

        Raises:
            FileExistsError: The file is there already.
            OSError: Something cannot be made or written.
        """
        self.id = opening.run_id
        self.path = layout.run_folder(store, self.id)
        self.durability = durability
        self.receipt: str | None = None
        self.run_key: str | None = opening.begin.get("run_key")
        self._guards = guards
        self.jobs_folder = files.FolderSync(f"{self.path}/{layout.JOBS}")
        self._owner = this_process().fields()
        for folder in (self.path, f"{self.path}/{layout.JOBS}", f"{self.path}/{layout.LOGS}"):
            files.make_folders(folder, sync=False)
        self._lock = threading.Lock()
        self._attempts = Counter(opening.attempts)
        self._statuses = dict(opening.statuses)
        self._stages = dict(opening.stages)
        self._made_of = dict(opening.made_of)
        self._before = opening.before
        # By what was planned in this file: those in whose place others stand, and these others.
        self._replaced: set[str] = set()
        self._placed: set[str] = set()
        self._open = 0
        self._ended = False
        self._segment = SegmentWriter(f"{self.path}/{layout.run_file(opening.segment)}")
        run_opened(self.id)
        try:
            for guard in guards:
                guard.announce(self.id)
            self._begin(store, opening)
        except BaseException:
            self._close()
            raise

    def _begin(self, store: str, opening: Opening) -> None:
        self._segment.append("begin", opening.begin)
        for event, fields in opening.records:
            self._segment.append(event, fields)
        if self.durability == "disk":
            self._segment.sync()
            for folder in (self.path, f"{store}/{layout.RUNS}", store):
                files.sync_folder(folder)
            # The store itself too: who made it may not have come to that, or had no need to.
            with contextlib.suppress(FileNotFoundError):  # one who makes it at this moment syncs it
                files.sync_content(f"{store}/{layout.STORE_FILE}")
            files.sync_names(files.resolved(store))

    @property
    def guard_descriptors(self) -> list[int]:
        """The descriptors that hold the guard and the run key, for a job's process to inherit.

        A process that has them keeps both held until it ends, even if this one is killed.
        """
        descriptors = (guard.descriptor for guard in self._guards)
        return [descriptor for descriptor in descriptors if descriptor is not None]

    @property
    def _turn(self) -> threading.Lock:
        """What the threads that write to the run's own file take turns by.

        Refused to a forked child: the thread that had the turn is not there to give it back.
        """
        self._segment.refuse_forked()
        return self._lock

    def plan_more(
        self, jobs: Iterable[str | Mapping[str, Any]], *, instead_of: Sequence[str] = ()
    ) -> None:
        """Record jobs that were not known when the run began. Any thread may call it.

        Args:
            jobs: As for `RunStore.create_run`; each may name as `of` the job that it was made of.
                Jobs that have run already keep their status.
            instead_of: Jobs of the plan that stood for these and will not run themselves; these
                stand where the first of them stood. What was made of them before this file was
                begun, and is not among these, is no longer the run's.

        Raises:
            RecordError: An id cannot be stored, or stands there twice; nothing was written.
            SegmentPoisonedError, SegmentClosedError, OSError: As for `append`.

        On disk afterwards: one `planned` for each 500 jobs, at least one. A crash in between
        leaves a part of them; a resume plans them again.
        """
        plan, replaced = planned_jobs(jobs), _ids_replaced(instead_of)
        # A plan without `more` is that of a resume, which takes the place of the one before.
        given: dict[str, Any] = {"more": True}
        if replaced:
            given["instead_of"] = replaced
        chunks: list[list[dict[str, Any]]] = [*_chunks(plan)] or [[]]
        ids = {job["id"] for job in plan}
        with self._turn:
            self._refuse_ended()
            for chunk in chunks:
                self._segment.append("planned", {"jobs": chunk, **given})
            if replaced:
                self._replaced |= {*replaced}
                self._placed |= ids
            for job_id in list(self._statuses):
                if self._is_replaced(job_id):
                    del self._statuses[job_id]
            for job in plan:
                self._statuses.setdefault(job["id"], self._before.get(job["id"], "planned"))
                self._note_plan(job)

    def _is_replaced(self, job_id: str) -> bool:
        """Whether others stand in the place of a job, or of the one that it was made of."""
        names = {job_id, self._made_of.get(job_id)}
        return job_id not in self._placed and not names.isdisjoint(self._replaced)

    def _note_status(self, job_id: str, status: str) -> None:
        # One that was at work when others took its place is no longer the run's.
        if not self._is_replaced(job_id):
            self._statuses[job_id] = status

    def _note_plan(self, job: Mapping[str, Any]) -> None:
        if "stage" in job:
            self._stages[job["id"]] = job["stage"]
        if "of" in job:
            self._made_of[job["id"]] = job["of"]

    def job(self, job_id: str, *, stage: str | None = None) -> AttemptLog:
        """Begin the next attempt of a job.

        Args:
            job_id: The job; one that was not planned is added to the run's jobs.
            stage: Its stage; None: the one it was planned with.

        Raises:
            RecordError: The id is empty, longer than 10,000 bytes, or not UTF-8.
            SegmentClosedError: The run has ended.
            SegmentPoisonedError: An earlier write to the run's file failed.
            OSError: The file cannot be created or written.

        On disk afterwards: a `start` in the run's file and the attempt's file with its `begin`.
        Any thread may call it.
        """
        name = layout.job_name(job_id)
        begin = {
            "format": FORMAT,
            "run": self.id,
            "job": job_id,
            "attempt": 1,
            "stage": stage if stage is not None else self._stages.get(job_id),
            **self._owner,
        }
        encode(0, NO_PREVIOUS, "begin", begin)  # what is refused leaves no `start` behind
        with self._turn:
            self._refuse_ended()
            attempt = self._attempts[name] + 1
            self._segment.append("start", {"job": job_id, "attempt": attempt})
            self._attempts[name] = attempt
            self._note_status(job_id, "running")
            self._open += 1
        return AttemptLog(self, job_id, attempt, {**begin, "attempt": attempt})

    def append(self, event: str, /, **fields: Any) -> Position:
        """Append one record to the run's own file, such as `stage_begin`. Any thread may call it.

        Raises:
            RecordError, SegmentPoisonedError, SegmentClosedError, OSError: As for an attempt's log.
        """
        _refuse_reserved(event, fields, _EVENTS_OF_RUNS)
        with self._turn:
            self._refuse_ended()
            return self._segment.append(event, fields)

    def not_run(self, job_id: str, status: str, reason: str) -> Position:
        """Record that a job will not run: `cancelled` or `skipped`, and why, as a sentence.

        A job that had attempts keeps the status of the last one, and one that was kept its own.
        """
        if status not in NOT_RUN_STATUSES:
            raise RecordError(f"a job that does not run is cancelled or skipped, not {status!r}")
        name = layout.job_name(job_id)
        with self._turn:
            self._refuse_ended()
            fields = {"job": job_id, "status": status, "reason": reason}
            position = self._segment.append("not_run", fields)
            has_succeeded = self._statuses.get(job_id) == "succeeded"  # it was kept
            if not self._attempts[name] and not has_succeeded:
                self._statuses[job_id] = status
            return position

    def kept(
        self,
        job_id: str,
        reason: str,
        *,
        run: str,
        attempt: int,
        sha256: str | None = None,
        output: Any = None,
        masked: bool = False,
    ) -> Position:
        """Record that a job does not run, since it has succeeded in another run.

        Args:
            job_id: The job; in this run it counts as succeeded, without an attempt.
            reason: Why, as a sentence.
            run: The run in which it succeeded.
            attempt: The number of its attempt there.
            sha256: The digest of its definition there.
            output: What it left as output; None: nothing.
            masked: Whether something stands in that in the place of what is not to be recorded.

        Raises:
            RecordError, SegmentPoisonedError, SegmentClosedError, OSError: As for an attempt's log.
        """
        name = layout.job_name(job_id)
        where = {"run": run, "attempt_there": attempt, "sha256": sha256}
        left = {} if output is None else {"output": output}
        if masked:
            left["masked"] = True
        with self._turn:
            self._refuse_ended()
            fields = {"job": job_id, "reason": reason, **where, "after": self._attempts[name]}
            position = self._segment.append("kept", {**fields, **left})
            self._statuses[job_id] = "succeeded"
            return position

    def note_done(self, log: AttemptLog, last: Position) -> None:
        """Record that an attempt's file is complete; `AttemptLog.end` calls it."""
        assert log.status is not None  # noqa: S101 - it has just ended
        with self._turn:
            fields = {"job": log.job_id, "attempt": log.attempt, "status": log.status}
            self._segment.append("done", {**fields, "last_n": last.n, "last_crc": last.crc})
            self._note_status(log.job_id, log.status)
            self._open -= 1

    def end(self, status: str | None = None, **fields: Any) -> Position:
        """Write the run's last record and close its file.

        Args:
            status: `succeeded`, `failed` or `interrupted`; None: `failed` if any job did not
                succeed, else `succeeded`.
            fields: More to record, such as `duration_s`.

        Raises:
            RunStoreError: Attempts are still open.
            RecordError, SegmentPoisonedError, SegmentClosedError, OSError: As for an attempt's log.

        With durability `disk` the file is on the disk when it returns.
        """
        _refuse_names(fields, RESERVED_FIELDS | {"counts"})
        with self._turn:
            self._refuse_ended()
            if self._open:
                raise RunStoreError(f"{self._open} attempts of run {self.id} have not ended")
            counts = Counter(self._statuses.values())
            status = status or ("succeeded" if counts.total() == counts["succeeded"] else "failed")
            if status not in RUN_END_STATUSES:
                raise RecordError(f"a run cannot end {status!r}")
            position = self._segment.append(
                "end", {"status": status, "counts": dict(counts), **fields}
            )
            if self.durability == "disk":
                self._segment.sync()
            self._close()
            self._ended = True
            self.receipt = str(position)
            return position

    def _close(self) -> None:
        self._segment.close()
        run_closed(self.id)

    def _refuse_ended(self) -> None:
        if self._ended:
            raise SegmentClosedError(self._segment.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self._ended and not self._open:
                self.end(_ending(error)["status"] if error else None)
        except SegmentPoisonedError:
            if error is None:
                raise
        finally:
            try:
                self._close()
            finally:
                release(self._guards)


def planned_jobs(jobs: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The jobs of a plan as its records hold them.

    Raises:
        RecordError: One has no id, or an id stands there twice.
    """
    if isinstance(jobs, str):
        raise RecordError(f"jobs are a list of ids or of mappings, not {jobs!r}")
    plan = [_planned_job(job) for job in jobs]
    twice = [job_id for job_id, times in Counter(job["id"] for job in plan).items() if times > 1]
    if twice:
        raise RecordError(f"job {twice[0]!r} is planned twice")
    return plan


def planned_records(plan: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The records that hold a plan."""
    return [("planned", {"jobs": chunk}) for chunk in _chunks(plan)]


def _planned_job(job: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(job, str | Mapping):
        raise RecordError(f"a planned job is an id or a mapping with one, not {job!r}")
    planned = {"id": job} if isinstance(job, str) else dict(job)
    layout.job_name(planned.get("id", ""))
    if not isinstance(planned.get("of", ""), str):
        raise RecordError(f"a planned job is `of` one job, a text, not {planned['of']!r}")
    return planned


def _ids_replaced(instead_of: Sequence[str]) -> list[str]:
    if isinstance(instead_of, str) or not all(isinstance(each, str) for each in instead_of):
        raise RecordError(f"instead_of is a list of ids, not {instead_of!r}")
    return list(instead_of)


def _chunks(planned: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut the list of jobs so that each piece fits into a record."""
    chunk: list[dict[str, Any]] = []
    size = 0
    for job in planned:
        length = len(encode(0, NO_PREVIOUS, "planned", {"jobs": [job]})[0])
        if chunk and (len(chunk) == _CHUNK_JOBS or size + length > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(job)
        size += length
    if chunk:
        yield chunk


def _refuse_reserved(event: str, fields: Mapping[str, Any], events: frozenset[str]) -> None:
    if not isinstance(event, str):
        raise RecordError(f"an event is named by a text, not {event!r}")
    if event in events:
        raise RecordError(f"{event!r} is written by the store itself")
    _refuse_names(fields, RESERVED_FIELDS)


def _refuse_names(fields: Mapping[str, Any], reserved: Set[str]) -> None:
    refused = reserved & fields.keys()
    if refused:
        raise RecordError(f"reserved field names: {', '.join(sorted(refused))}")


def _ending(error: BaseException | None) -> dict[str, Any]:
    """How a context ends that nobody ended: by what left it."""
    if error is None:
        return {"status": "succeeded"}
    interrupted = isinstance(error, KeyboardInterrupt)
    text = f"{type(error).__name__}: {error}".rstrip(": ")[:_MAX_ERROR]
    return {
        "status": "interrupted" if interrupted else "failed",
        # The name of a file, say, can hold surrogates, which no record takes.
        "error": text.encode(errors="backslashreplace").decode(),
    }
