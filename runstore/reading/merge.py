"""From records to facts: the merge of a run's files, and the fold to what became of its jobs.

Both are pure: no I/O and no clock. The same records give the same state, whether the run is alive,
has ended or was killed; whether its process still runs is the only thing told from outside.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runstore import layout

Record = dict[str, Any]

PLANNED = "planned"
RUNNING = "running"
CRASHED = "crashed"
JOB_STATUSES = frozenset(
    {
        PLANNED,
        RUNNING,
        CRASHED,
        "succeeded",
        "failed",
        "timed_out",
        "cancelled",
        "skipped",
        "interrupted",
    }
)
ATTEMPT_STATUSES = JOB_STATUSES - {PLANNED, RUNNING, "skipped"}
NOT_RUN_STATUSES = frozenset({"cancelled", "skipped"})
RUN_STATUSES = frozenset({RUNNING, CRASHED, "succeeded", "failed", "interrupted"})
RUN_END_STATUSES = RUN_STATUSES - {RUNNING, CRASHED}


@dataclass(slots=True)
class Attempt:
    """One try at a job.

    Attributes:
        number: Which try, from 1, counted across resumes.
        status: How it ended; `running`, or `crashed` when its run's process is gone.
        started: When it began (UTC, as in its record); None: its file has no `begin`.
        ended: When it ended; None: it has not, or nothing tells when.
        exit_code: What the process exited with; None: it did not exit by itself, or was none.
        signal: The number of the signal that ended it, else None.
        error: Why it did not succeed, as a sentence, else None.
        duration_s: How long it took, in seconds by the monotonic clock; None: not known.
        output: What it left as output; None: nothing.
        output_is_masked: Whether something stands in it in the place of what is not recorded.
        end: Every field of its `end` record.
        sha256: The digest of the definition that its job was planned with then; None: not known.
        key: The key of its own that its job was planned with then; None: it had none.
        child: The run that it began or went on with, inside it; None: there is none.
    """

    number: int
    status: str = RUNNING
    started: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    duration_s: float | None = None
    output: Any = None
    output_is_masked: bool = False
    end: Record = field(default_factory=dict)
    sha256: str | None = None
    key: str | None = None
    child: str | None = None


@dataclass(slots=True)
class Job:
    """What became of one job.

    Attributes:
        id: Its id.
        stage: Its stage; None: not known.
        status: What became of it: that of its last attempt. While its run is alive and it waits
            to be tried again, it is `running`.
        reason: Why it did not run; None: it did, or nothing tells.
        kept: Where it succeeded before, so that it did not run: the fields of the record that says
            so, and its `key`; empty: nowhere.
        attempts: Its attempts, the first one first.
        planned: What the last plan says of it: `id`, `stage`, `sha256` and what else was given;
            empty: it was not planned.
    """

    id: str
    stage: str | None = None
    status: str = PLANNED
    reason: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    planned: Record = field(default_factory=dict)
    kept: Record = field(default_factory=dict)

    @property
    def output(self) -> Any:
        """The output of the last attempt, or of where it succeeded before; None: it left none."""
        if self.kept:
            return self.kept.get("output")
        return self.attempts[-1].output if self.attempts else None

    @property
    def output_is_masked(self) -> bool:
        """Whether something stands in that output in the place of what is not recorded."""
        if self.kept:
            return self.kept.get("masked") is True
        return bool(self.attempts) and self.attempts[-1].output_is_masked


@dataclass(slots=True)
class RunState:
    """What became of a run: the result of the fold."""

    pipeline: str | None = None
    status: str = RUNNING
    started: str | None = None
    ended: str | None = None
    begin: Record = field(default_factory=dict)
    end: Record = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    removed: dict[str, Job] = field(default_factory=dict)


class Fold:
    """Fold records, in any order that keeps each file's own, into the state of their run."""

    def __init__(self) -> None:
        self._state = RunState()
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._before: set[str] = set()  # jobs of before the resume, which may plan anew
        self._is_planned = False  # by this file of the run's own
        self._placed_here: set[str] = set()  # what it has put others in the place of
        self._dropped: set[str] = set()
        # Attempts after which the job waits; those that began since the last `begin`, as far as the
        # run's own file says so; and those of before it.
        self._waiting: set[tuple[str, int]] = set()
        self._started: set[tuple[str, int]] = set()
        self._over: set[tuple[str, int]] = set()
        self._given_up: set[str] = set()  # jobs that wait no more
        self._replaced: set[str] = set()
        self._places: dict[str, list[str]] = {}  # who stands in the place of a job
        self._of_run: dict[str, Callable[[Record], None]] = {
            "begin": self._run_begins,
            "planned": self._plan,
            "start": self._start,
            "done": self._done,
            "not_run": self._not_run,
            "retry_cancelled": self._retry_cancelled,
            "kept": self._kept,
            "end": self._run_ends,
        }
        self._of_attempt: dict[str, Callable[[Attempt, Record], None]] = {
            "begin": self._attempt_begins,
            "output": self._output,
            "retry_wait": self._retry_wait,
            "child_run": self._child_run,
            "end": self._attempt_ends,
        }

    def add(self, record: Record, attempt: tuple[str, int] | None = None) -> None:
        """Take one record in.

        Args:
            record: Its fields.
            attempt: The job and attempt whose file it is from; None: the run's own file.
        """
        event = record["event"]
        if attempt is None:
            if event in self._of_run:
                self._of_run[event](record)
            return
        taken = self._attempt(*attempt)
        if event in self._of_attempt:
            self._of_attempt[event](taken, record)

    def result(self, *, alive: bool) -> RunState:
        """Give the state. Call it once, after the last record.

        Args:
            alive: Whether the run's process may still be at work; False: what it left open
                has crashed.
        """
        state = self._state
        if state.end:
            state.status = status_in(state.end, RUN_END_STATUSES, "failed")
        else:
            state.status = RUNNING if alive else CRASHED
        self._replace()
        for job in state.jobs.values():
            self._settle(job, over=state.status != RUNNING)
        for job_id in [job_id for job_id in state.jobs if job_id in self._dropped]:
            state.removed[job_id] = state.jobs.pop(job_id)
        return state

    def _replace(self) -> None:
        """Put jobs that were planned later into the places of those that stood for them."""
        jobs = self._state.jobs
        placed = {job_id for job_ids in self._places.values() for job_id in job_ids}
        gone = {
            job_id
            for job_id, job in jobs.items()
            if job_id in self._replaced or _of_kind(job.planned.get("of"), str) in self._replaced
        }
        self._dropped -= placed
        self._dropped |= gone - placed
        order = dict.fromkeys(
            each
            for job_id in jobs
            if job_id in self._places or job_id not in placed
            for each in self._places.get(job_id, [job_id])
        )
        # A place that is lost leaves its jobs where they are, at the end.
        self._state.jobs = {
            job_id: jobs[job_id] for job_id in dict.fromkeys([*order, *jobs]) if job_id in jobs
        }

    def _settle(self, job: Job, *, over: bool) -> None:
        job.attempts.sort(key=lambda attempt: attempt.number)
        for attempt in job.attempts:
            if over and attempt.status == RUNNING:
                attempt.status = CRASHED
        last = job.attempts[-1] if job.attempts else None
        if last is not None and job.kept and last.number > job.kept["after"]:
            job.kept, job.reason = {}, None
        if last is not None and not job.kept:
            waits = not over and self._is_tried_again(job.id, last.number)
            job.status = RUNNING if waits else last.status

    def _is_tried_again(self, job_id: str, number: int) -> bool:
        """Whether a job waits for its next attempt; one that waited before a resume does not.

        A reader may find an attempt that began after it had read the run's own file.
        """
        key = job_id, number
        return key in self._waiting and key not in self._over and job_id not in self._given_up

    def _run_begins(self, record: Record) -> None:
        """A run begins, or is resumed: then what its last end left undone is planned again."""
        state = self._state
        if state.started is None:
            state.started = record["at"]
        state.pipeline = _of_kind(record.get("pipeline"), str) or state.pipeline
        state.begin, state.end, state.ended = record, {}, None
        for job in state.jobs.values():
            if not job.kept:
                job.status, job.reason = PLANNED, None
        self._before, self._is_planned = set(state.jobs), False
        self._placed_here.clear()
        self._over |= self._started
        self._started.clear()
        self._given_up.clear()

    def _plan(self, record: Record) -> None:
        """Take in a part of the plan: that of a resume takes the place of the one before."""
        if not self._is_planned and record.get("more") is not True:
            self._is_planned = True
            self._dropped |= self._before
            self._replaced, self._places = set(), {}
        replaced = jobs_replaced(record)
        place = None
        if replaced:
            self._replaced.update(replaced)
            if replaced[0] not in self._placed_here:
                # What an earlier file put there counts no more.
                self._placed_here.add(replaced[0])
                self._places[replaced[0]] = []
            place = self._places[replaced[0]]
            self._job(replaced[0])
        for planned in _of_kind(record.get("jobs"), list) or []:
            job_id = planned.get("id") if isinstance(planned, dict) else None
            if layout.is_job_id(job_id):
                job = self._job(job_id)
                job.planned, job.stage = planned, _of_kind(planned.get("stage"), str)
                if place is not None:
                    place.append(job_id)
                if job_id in self._dropped:
                    self._dropped.discard(job_id)
                    self._state.jobs[job_id] = self._state.jobs.pop(job_id)  # in the new order

    def _start(self, record: Record) -> None:
        named = attempt_named(record)
        if named is not None:
            self._attempt(*named)
            self._started.add(named)
            self._dropped.discard(named[0])

    def _done(self, record: Record) -> None:
        named = attempt_named(record)
        if named is not None:
            self._attempt(*named).status = status_in(record, ATTEMPT_STATUSES, CRASHED)
            if named not in self._started:
                self._over.add(named)  # a resume says how it ended

    def _not_run(self, record: Record) -> None:
        job_id = record.get("job")
        if layout.is_job_id(job_id):
            job = self._job(job_id)
            if job.kept:
                return  # it has succeeded, as one that had an attempt
            job.status = status_in(record, NOT_RUN_STATUSES, "skipped")
            job.reason = _of_kind(record.get("reason"), str)

    def _retry_cancelled(self, record: Record) -> None:
        job_id = record.get("of")
        if isinstance(job_id, str):
            self._given_up.add(job_id)

    def _kept(self, record: Record) -> None:
        job_id = record.get("job")
        if layout.is_job_id(job_id) and type(record.get("after")) is int:
            job = self._job(job_id)
            job.status, job.reason = "succeeded", _of_kind(record.get("reason"), str)
            job.kept = {**record, "key": job.planned.get("key")}
            self._dropped.discard(job_id)

    def _run_ends(self, record: Record) -> None:
        self._state.end, self._state.ended = record, record["at"]

    def _attempt_begins(self, attempt: Attempt, record: Record) -> None:
        attempt.started = record["at"]
        job = self._job(record["job"])
        if job.stage is None:
            job.stage = _of_kind(record.get("stage"), str)

    def _output(self, attempt: Attempt, record: Record) -> None:
        attempt.output = record.get("value")
        attempt.output_is_masked = record.get("masked") is True

    def _retry_wait(self, attempt: Attempt, record: Record) -> None:
        self._waiting.add((record["job"], attempt.number))

    def _child_run(self, attempt: Attempt, record: Record) -> None:
        child = record.get("child")
        attempt.child = child if isinstance(child, str) and layout.is_run_id(child) else None

    def _attempt_ends(self, attempt: Attempt, record: Record) -> None:
        attempt.ended = record["at"]
        attempt.end = record
        attempt.exit_code = _of_kind(record.get("exit_code"), int)
        attempt.signal = _of_kind(record.get("signal"), int)
        attempt.error = _of_kind(record.get("error"), str)
        attempt.duration_s = _of_kind(record.get("duration_s"), float, int)
        if attempt.status == RUNNING:
            attempt.status = status_in(record, ATTEMPT_STATUSES, CRASHED)

    def _job(self, job_id: str) -> Job:
        job = self._state.jobs.get(job_id)
        if job is None:
            job = self._state.jobs[job_id] = Job(job_id)
        return job

    def _attempt(self, job_id: str, number: int) -> Attempt:
        key = job_id, number
        attempt = self._attempts.get(key)
        if attempt is None:
            job = self._job(job_id)
            sha256 = _of_kind(job.planned.get("sha256"), str)
            own_key = _of_kind(job.planned.get("key"), str)
            attempt = self._attempts[key] = Attempt(number, sha256=sha256, key=own_key)
            job.attempts.append(attempt)
        return attempt


# A record whose checksum holds can still lack what its event must have, or have it in another form,
# if another program wrote it. It says nothing then.


def attempt_named(record: Record) -> tuple[str, int] | None:
    """The job and attempt that a `start` or `done` speaks of; None: it names none."""
    job_id, number = record.get("job"), record.get("attempt")
    if not layout.is_job_id(job_id) or type(number) is not int:
        return None
    if 0 < number <= layout.MAX_ATTEMPT:
        return job_id, number
    return None


def jobs_replaced(record: Record) -> list[str]:
    """The jobs in whose place a `planned` puts others."""
    named = _of_kind(record.get("instead_of"), list) or []
    return [job_id for job_id in named if layout.is_job_id(job_id)]


def status_in(record: Record, allowed: frozenset[str], otherwise: str) -> str:
    """The status that a record gives; a word that this version does not know counts as bad."""
    status = record.get("status")
    return status if isinstance(status, str) and status in allowed else otherwise


def _of_kind(value: Any, *kinds: type) -> Any:
    """A value that is of one of these types, else None."""
    return value if type(value) in kinds else None


def merge(
    run: Iterable[Record],
    attempts: dict[tuple[str, int], Callable[[], Iterable[Record]]],
    without_start: Iterable[tuple[str, int]] = (),
) -> Iterator[Record]:
    """Merge a run's files by `at`, each in its own order even where its clock stepped back.

    An attempt's file is opened when the run's file says that it starts, so no more files are open
    than jobs ran at once; memory grows with the number of files, not with that of records.

    Args:
        run: The records of the run's own files, in order.
        attempts: How to read each attempt's file.
        without_start: Attempts that no `start` names, because it was lost.
    """
    heap: list[tuple[str, int, Record, Iterator[Record]]] = []

    def enter(source: Iterable[Record], order: int) -> None:
        records = iter(source)
        first = next(records, None)
        if first is not None:
            heapq.heappush(heap, (first["at"], order, first, records))

    waiting = dict(attempts)
    # Of records of one microsecond the run's own comes last: `done` follows the attempt's `end`.
    last_order = len(waiting)
    enter(run, last_order)
    for key in without_start:
        enter(waiting.pop(key)(), len(waiting))
    while heap:
        _, order, record, records = heap[0]
        following = next(records, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following["at"], order, following, records))
        if order == last_order and record["event"] == "start":
            named = attempt_named(record)
            source = waiting.pop(named, None) if named else None
            if source is not None:
                enter(source(), len(waiting))
        yield record
