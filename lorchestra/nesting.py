"""Pipelines that are jobs of another: each is a run of its own, which its parent's attempt names.

What the parent is asked for reaches the child: a stop, a limit of time, a resume. A further attempt
of the job, and a resume of the parent, go on with the child's run and do not begin another.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lorchestra.attempt import JobAttempt, Surroundings
from lorchestra.deadline import Deadline, Limit
from lorchestra.errors import LorchestraError
from lorchestra.model import Job, Outcome, Pipeline, SubPipeline
from lorchestra.orphans import OrphanRule
from lorchestra.plan import Options
from lorchestra.progress import Event, Handler, InChild, RunFinished
from lorchestra.report.text import status_counts
from lorchestra.stop import Cause, Stop
from runstore import (
    RecordError,
    RunDamagedError,
    RunIsAliveError,
    RunNotBegunError,
    RunNotFoundError,
    RunResumedError,
    RunStore,
    StoreFormatError,
)

_REFUSED = (RecordError, RunIsAliveError, RunResumedError, StoreFormatError)
_CANNOT_BE_RESUMED = (RunNotFoundError, RunNotBegunError, RunDamagedError)


class Ended(Protocol):
    """How a run ended."""

    @property
    def run_id(self) -> str:
        """Its id."""

    @property
    def status(self) -> str:
        """`succeeded`, `failed` or `interrupted`."""

    @property
    def hung(self) -> bool:
        """Whether functions that did not react to the stop are still in their threads."""


@dataclass(frozen=True, slots=True)
class Outer:
    """What a run inside another has from that.

    Attributes:
        around: What the attempts of the outer run share.
        job: The job of the outer run.
        stop: What can stop the inner one; the outer one's stop is passed on to it.
        on_open: Called with the id of the inner run before anything of it starts.
    """

    around: Surroundings
    job: Job
    stop: Stop
    on_open: Callable[[str], None]

    @property
    def parent(self) -> dict[str, str]:
        """What the record of the inner run says of the outer one."""
        return {"run": self.around.run.id, "job": self.job.id}

    @property
    def run_key(self) -> str:
        """What idempotency keys are made from: the same for whichever run of the job it is."""
        return f"{self.around.run_key}/{self.job.id}"

    @property
    def is_limited(self) -> bool:
        """Whether a limit of time may end it, which no function in a thread can be."""
        of_job = self.job.timeout_s is not None or self.job.total_timeout_s is not None
        return self.around.is_limited or of_job


class Go(Protocol):
    """Run a pipeline inside another."""

    def __call__(
        self,
        pipeline: Pipeline,
        store: RunStore,
        options: Options,
        handlers: list[Handler],
        resume: str | None,
        orphans: OrphanRule,
        outer: Outer,
    ) -> Ended:
        """Run it to its end, or go on with a run of it."""


class Children:
    """The runs inside one run. Threads may run several at once.

    Attributes:
        hung: Whether functions of theirs that did not react to a stop are still in their threads.
    """

    def __init__(
        self,
        store: RunStore,
        options: Options,
        run_ids: Mapping[str, str],
        orphans: OrphanRule,
        go: Go,
    ) -> None:
        """Know what is needed to run them.

        Args:
            store: Where the outer run is recorded.
            options: How that runs.
            run_ids: The runs that there have been before a resume, by job.
            orphans: What a resume does with what is still at work of them.
            go: What runs a pipeline.
        """
        self.hung = False
        # The guard is the outer pipeline's: two jobs may well be the same pipeline.
        self._store = RunStore(store.path, store.durability)
        self._options = options
        self._run_ids = dict(run_ids)
        self._orphans: OrphanRule = orphans
        self._go = go

    def run(
        self, attempt: JobAttempt, action: SubPipeline, log: int, limit: Limit | None
    ) -> Outcome:
        """Run the pipeline that a job is, and say how that ended.

        Args:
            attempt: The attempt of the job.
            action: The pipeline, with values where references were.
            log: The descriptor of the attempt's log.
            limit: How long it may take; None: for ever.

        Raises:
            RunStoreError, OSError: Its record cannot be written.
        """
        around, job = attempt.around, attempt.job
        pipeline = replace(
            action.pipeline, secrets=(*around.pipeline.secrets, *action.pipeline.secrets)
        )
        stop = Stop(pipeline.grace_s)
        child = _Child(stop, around.stop)
        counts: Counter[str] = Counter()

        def on_open(run_id: str) -> None:
            self._run_ids[job.id] = run_id
            attempt.note_child(run_id)
            os.write(log, f"lorchestra: run {run_id} of {pipeline.id}\n".encode())

        def hear(event: Event) -> None:
            if isinstance(event, RunFinished):
                counts.update(event.counts)
            attempt.tell(InChild(job.id, event))

        options = Options(
            self._options.max_workers,
            self._options.stop_on_failure,
            self._options.halt,
            None,
            self._options.grace_s,
            action.arguments,
        )
        around.stop.enter(child)
        try:
            with Deadline(limit, child):
                outer = Outer(around, job, stop, on_open)
                ended = self._begin(pipeline, options, hear, outer)
        except (LorchestraError, *_REFUSED) as error:
            attempt.write_to(log, str(error))
            return Outcome("failed", error=str(error))
        finally:
            around.stop.leave(child)
        self.hung = self.hung or ended.hung
        return _outcome(pipeline, ended, counts, child.stopped_by)

    def _begin(self, pipeline: Pipeline, options: Options, hear: Handler, outer: Outer) -> Ended:
        """Go on with the run that there has been; where that cannot be, begin one."""
        before = self._run_ids.get(outer.job.id)
        if before is not None and self._is_run_of(before, pipeline):
            try:
                return self._go(
                    pipeline, self._store, options, [hear], before, self._orphans, outer
                )
            except _CANNOT_BE_RESUMED:
                self._run_ids.pop(outer.job.id, None)
        return self._go(pipeline, self._store, options, [hear], None, self._orphans, outer)

    def _is_run_of(self, run_id: str, pipeline: Pipeline) -> bool:
        try:
            return self._store.read(run_id).pipeline in {pipeline.id, None}
        except RunNotFoundError:
            return False


class _Child:
    """A run inside another, as what the outer one can stop."""

    def __init__(self, stop: Stop, outer: Stop) -> None:
        self.stopped_by: Cause | None = None
        self._stop = stop
        self._outer = outer

    def ask_to_end(self, cause: Cause) -> None:
        """Ask all its jobs to end."""
        self.stopped_by = self.stopped_by or cause
        self._stop.pass_on(cause, self._outer.signal)

    def kill(self) -> None:
        """End them."""
        self._stop.force()


def _outcome(
    pipeline: Pipeline, ended: Ended, counts: Counter[str], stopped_by: Cause | None
) -> Outcome:
    output: dict[str, Any] = {
        "run_id": ended.run_id,
        "pipeline_id": pipeline.id,
        "status": ended.status,
        "counts": {status: number for status, number in sorted(counts.items()) if number},
    }
    if ended.status == "succeeded":
        return Outcome("succeeded", output=output)
    how = f"run {ended.run_id} of {pipeline.id} {ended.status}: {status_counts(counts)}"
    if stopped_by is None:
        return Outcome(ended.status, error=how, output=output)
    return Outcome(stopped_by.status, error=f"{stopped_by.text} ({how})", output=output)
