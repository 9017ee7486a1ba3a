"""One attempt of one job, from its first record to its last."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from lorchestra.binding import Values, bound
from lorchestra.call import child_command, outcome_of_child, run_call
from lorchestra.context import CurrentJob, Identity, idempotency_key
from lorchestra.deadline import Limit
from lorchestra.limits import Limits
from lorchestra.masking import Mask
from lorchestra.model import Broken, Call, Command, Job, Outcome, Pipeline, Shell, SubPipeline
from lorchestra.output import OutputError, keep_output, read_output
from lorchestra.process import Program, run_process, shell_command
from lorchestra.references import ReferenceFailedError
from lorchestra.retrying import Turn, delay_s, limit
from lorchestra.seats import Seats
from lorchestra.signals import Interruptible
from lorchestra.stop import INTERRUPTED, Stop
from runstore import AttemptLog, RecordError, Run, start_token

Tell = Callable[[Any], object]


class Nest(Protocol):
    """Run the pipeline that a job is."""

    def __call__(
        self, attempt: JobAttempt, action: SubPipeline, log: int, limit: Limit | None
    ) -> Outcome:
        """Run it to its end, and say how that came."""


_ALLOWED = frozenset({"failed", "timed_out"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all attempts of a run share.

    Attributes:
        pipeline: What runs.
        run: Where it is recorded.
        run_key: What its idempotency keys are made from.
        stop: What can stop it.
        env: The environment that jobs start from.
        interruptible: Where the main thread may be interrupted.
        values: What the references of jobs stand for.
        mask: What takes secrets out of what is recorded.
        limits: What its jobs share.
        keys: The idempotency key of each job that has one of its own.
        outer: What the attempts of the run around this one share; None: there is no such run.
        is_limited: Whether a limit of time may end the whole run.
        nest: What runs the pipelines that are jobs; None: no job is one.
        seats: How many jobs may be at work at once in the stage around; None: that is not limited.
        lost: Set when a record cannot be written, of this run or of one around it or inside it.
        no_input: What processes read that are given nothing to read: see `empty_input`.
    """

    pipeline: Pipeline
    run: Run
    run_key: str
    stop: Stop
    env: Mapping[str, str]
    interruptible: Interruptible
    values: Values
    mask: Mask = field(default_factory=Mask)
    limits: Limits = field(default_factory=Limits)
    keys: Mapping[str, str] = field(default_factory=dict)
    outer: Surroundings | None = None
    is_limited: bool = False
    nest: Nest | None = None
    seats: Seats | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    no_input: int = subprocess.DEVNULL

    @property
    def guard_descriptors(self) -> Sequence[int]:
        """What holds the guard and the run key of this run, or of the one around it."""
        return self.run.guard_descriptors if self.outer is None else self.outer.guard_descriptors

    def is_stopping(self) -> bool:
        """Whether the run is to stop: also by a signal that only the main thread knows of yet."""
        if self.interruptible.signal is not None:
            self.stop.request(self.interruptible.signal)
        return self.stop.requested

    def why_stopping(self) -> str:
        """Why nothing more is started."""
        if self.stop.signal is not None or self.stop.cause is None:
            return "the run was interrupted"
        return self.stop.cause.text

    def stopped(self, outcome: Outcome) -> Outcome:
        """How a function ended that was told to: why stands before how."""
        cause = self.stop.cause or INTERRUPTED
        how = f" ({outcome.error})" if outcome.error else ""
        return replace(outcome, status=cause.status, error=f"{cause.text}{how}")


class JobAttempt:
    """One attempt. Made, run and recorded by one thread; another may abandon it.

    Attributes:
        around: What all attempts of the run share.
        turn: The job's turn.
        job: The job.
        number: Which try, from 1.
        log_path: Where what it prints goes.
        duration_s: How long it took; 0 before it has ended.
        again_in_s: When the job is to be tried again, once it has ended; None: it is not.
    """

    def __init__(self, surroundings: Surroundings, turn: Turn, tell: Tell | None = None) -> None:
        """Record that the attempt begins.

        Raises:
            RunStoreError, OSError: That cannot be recorded.
        """
        self.turn = turn
        self.job = job = turn.job
        self.duration_s = 0.0
        self.again_in_s: float | None = None
        self.around = self._around = surroundings
        self._tell = tell
        self._log: AttemptLog = surroundings.run.job(job.id)
        self.number = self._log.attempt
        self.log_path = self._log.log_path
        self._began = time.monotonic()
        key = surroundings.keys.get(job.id) or idempotency_key(
            surroundings.pipeline.id, surroundings.run_key, job.id
        )
        self._identity = Identity(surroundings.run.id, job.id, self.number, key)
        self._current = CurrentJob(self._identity, self._append, surroundings.is_stopping)
        self._is_settled = False
        self._settling = threading.Lock()

    @property
    def is_in_thread(self) -> bool:
        """Whether it is a function in a thread of this process, which nothing can stop."""
        return self.job.is_in_thread and not self._around.is_limited

    def run(self) -> Outcome | None:
        """Run the job and record how it ended.

        Returns:
            How it ended; None: it was abandoned meanwhile, and is recorded already.

        Raises:
            RunStoreError, OSError: It cannot be recorded; the outcome is then not acknowledged.
        """
        with self._log:
            log = self._log.create_log()
            try:
                outcome = self._execute(log)
                outcome = replace(outcome, log_bytes=os.fstat(log).st_size)
            finally:
                os.close(log)
            return self._settle(outcome)

    def abandon(self) -> Outcome | None:
        """Record as interrupted an attempt whose function cannot be stopped, and wait no more.

        Returns:
            How it ended; None: it has just ended by itself.
        """
        cause = self._around.stop.cause or INTERRUPTED
        return self._settle(Outcome(cause.status, error=f"{cause.text}; it did not react"))

    def tell(self, event: Any) -> None:
        """Pass on what happens inside, where the job is a pipeline."""
        if self._tell is not None:
            self._tell(event)

    def note_child(self, run_id: str) -> None:
        """Record the run that this attempt is, where the job is a pipeline."""
        self._log.append("child_run", child=run_id)

    def write_to(self, log: int, text: str) -> None:
        """Write a line of our own into a log, without secrets: one cut short is no more found."""
        os.write(log, f"lorchestra: {self._around.mask.message(text)}\n".encode())

    def _append(self, event: str, /, **fields: Any) -> None:
        """Append a record of the function's own."""
        mask = self._around.mask
        masked = mask.data(fields)
        self._around.interruptible.shield(lambda: self._log.append(mask.data(event), **masked))

    def _execute(self, log: int) -> Outcome:
        try:
            job = bound(self.job, self._around.values.scope)
        except ReferenceFailedError as error:
            self.write_to(log, str(error))
            return Outcome("failed", error=str(error))
        action = job.action
        match action:
            case Call():
                return self._call(job, action, log)
            case SubPipeline():
                return self._nested(action, log)
            case Broken():
                self.write_to(log, action.reason)
                return Outcome("failed", error=action.reason)
            case Command():
                return self._process(job, action.argv, log)
            case Shell():
                return self._process(job, shell_command(action.line), log)

    def _nested(self, action: SubPipeline, log: int) -> Outcome:
        """Run another pipeline."""
        if self._around.is_stopping():
            # It came in the same instant.
            return self._around.stopped(Outcome("interrupted"))
        assert self._around.nest is not None  # noqa: S101 - the pipeline has such jobs
        return self._around.nest(self, action, log, self._limit())

    def _call(self, job: Job, call: Call, log: int) -> Outcome:
        """Call in this thread, or in a Python of its own."""
        if not self.is_in_thread:
            argv, task = child_command(call, self._around.pipeline.root)
            return outcome_of_child(self._process(job, argv, log, orjson.dumps(task)))
        if self._around.is_stopping():
            # It came in the same instant; nothing can stop the function once it runs.
            return self._around.stopped(Outcome("interrupted"))
        in_main_thread = threading.current_thread() is threading.main_thread()
        interruptible = self._around.interruptible if in_main_thread else None
        outcome = run_call(call, self._current, log, interruptible)
        return self._around.stopped(outcome) if outcome.status == "interrupted" else outcome

    def _process(
        self, job: Job, argv: Sequence[str] | str, log: int, text: bytes | None = None
    ) -> Outcome:
        """Run a process; `job` is this attempt's, with values where its references were."""
        root = self._around.pipeline.root
        environment = self._identity.environment(self._log.output_path)
        program = Program(
            argv,
            log,
            {**self._around.env, **job.env, **environment},
            root if job.cwd is None else root / job.cwd,
            text,
            # They keep the guard and the run key held while the job is at work, if we are killed.
            [*self._around.run.guard_descriptors, *self.turn.descriptors],
            self._around.no_input,
        )
        outcome = run_process(
            program,
            self._around.stop,
            self._record_process,
            self._limit(),
        )
        # What a function returns may be of any kind.
        only_object = not isinstance(self.job.action, Call)
        try:
            output = read_output(self._log.output_path, only_object=only_object)
        except OutputError as error:
            return _without_output(outcome, str(error))
        return outcome if output is None else replace(outcome, output=output)

    def _limit(self) -> Limit | None:
        return limit(self.turn, self._began, self._around.pipeline.grace_s)

    def _record_process(self, pid: int) -> None:
        """Record the process, so that one that outlives its run can be found."""
        self._log.append("process", pid=pid, token=start_token(pid))

    def _settle(self, outcome: Outcome) -> Outcome | None:
        """Write the last records, unless another thread has."""
        self._current.close()
        with self._settling:
            if self._is_settled:
                return None
            self._is_settled = True
        with self._log:
            outcome = self._masked(self._allowed(self._record_output(outcome)))
            self._record_retry(outcome)
            self.duration_s = round(time.monotonic() - self._began, 6)
            self._log.end(outcome.status, duration_s=self.duration_s, **outcome.fields())
        return outcome

    def _record_retry(self, outcome: Outcome) -> None:
        """Record that the job is to be tried again, if it is."""
        if self._around.is_stopping():
            return
        self.again_in_s = delay_s(self.turn, outcome, time.monotonic())
        if self.again_in_s is not None:
            self._log.append("retry_wait", delay_s=self.again_in_s, tries=self.turn.tries)

    def _masked(self, outcome: Outcome) -> Outcome:
        if outcome.error is None:
            return outcome
        return replace(outcome, error=self._around.mask.message(outcome.error))

    def _allowed(self, outcome: Outcome) -> Outcome:
        """Mark a failure that has no consequences."""
        if not may_fail(self.job, outcome.status):
            return outcome
        error = f"{outcome.error or outcome.status} (allowed to fail)"
        return replace(outcome, allowed=True, error=error)

    def _record_output(self, outcome: Outcome) -> Outcome:
        if outcome.output is None:
            return outcome
        recorded = self._around.mask.data(outcome.output)
        try:
            if recorded == outcome.output:
                self._log.append("output", value=recorded)
            else:
                self._log.append("output", value=recorded, masked=True)
                keep_output(self._log.output_path, outcome.output)
        except RecordError as error:
            return _without_output(outcome, f"its output cannot be recorded: {error}")
        if outcome.succeeded:
            self._around.values.keep(self.job.id, outcome.output)
        return outcome


def may_fail(job: Job, status: str | None) -> bool:
    """Tell whether an attempt of the job that ended so has no consequences."""
    return job.allow_failure and status in _ALLOWED


def _without_output(outcome: Outcome, reason: str) -> Outcome:
    """An output that is none fails the job, unless that has not succeeded anyway."""
    if outcome.succeeded:
        outcome = replace(outcome, status="failed", error=reason)
    return replace(outcome, output=None)
