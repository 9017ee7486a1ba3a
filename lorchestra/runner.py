"""Run a pipeline: the loop that joins plan, attempts, progress and record.

Every decision is in `plan`, every process in `process`, every fact in the record. With one worker
the jobs run in this thread in the order written: the plain loop that this replaces.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lorchestra
from lorchestra.attempt import Surroundings
from lorchestra.binding import Values, check_references, parameters_of, params_of
from lorchestra.call import importing_from
from lorchestra.capture import captured
from lorchestra.masking import Mask
from lorchestra.model import Call, Job, Pipeline, Stage
from lorchestra.params import param_values
from lorchestra.plan import Options, left_out, workers_for
from lorchestra.progress import (
    Event,
    Handler,
    JobFinished,
    JobNotRun,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from lorchestra.secretvalues import read_secrets
from lorchestra.signals import Interruptible, stop_on_signals
from lorchestra.stage import StageRun
from lorchestra.stop import Stop
from runstore import Run, RunStore


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_id: Its id in the store, where everything else stands.
        status: `succeeded`, `failed` or `interrupted`.
        receipt: What proves later that the record was not rolled back.
        signal: The number of the signal that interrupted it, else None.
        hung: Whether functions that did not react to the stop are still in their threads.
    """

    run_id: str
    status: str
    receipt: str
    signal: int | None
    hung: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether every job that was selected succeeded, or was allowed to fail."""
        return self.status == "succeeded"


def run_pipeline(
    pipeline: Pipeline,
    store: RunStore,
    options: Options | None = None,
    *,
    handlers: Iterable[Handler] = (),
) -> RunResult:
    """Run a pipeline to its end.

    Args:
        pipeline: What to run.
        store: Where it is recorded.
        options: How, where that is not as the pipeline says.
        handlers: Called with every event, one at a time, from this thread. One that raises is
            reported on stderr and does not stop the run.

    Returns:
        How it ended. A job that fails is no exception.

    Raises:
        ParameterError: The pipeline does not take these parameters, or needs others.
        ConfigError: A secret's file cannot be read.
        SelectionError: A job, stage or tag that was asked for is not there.
        UnknownReferenceError: A job refers to what is not there.
        GuardTimeoutError: Another run of the pipeline holds the store's guard; nothing was done.
        RunStoreError, OSError: The record cannot be written. Running jobs were waited for,
            nothing more was started, and nothing is reported as recorded that is not.

    In the main thread, SIGINT and SIGTERM stop the run: see `signals`.
    """
    options = options or Options()
    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    env, mask = {**os.environ, **secrets}, Mask(secrets.values())
    params = param_values(parameters_of(pipeline), options.params)
    unselected = left_out(pipeline, options)
    check_references(pipeline, env, unselected)
    values = Values(pipeline, params, env)
    stop, interruptible = Stop(), Interruptible()
    with contextlib.ExitStack() as stack:
        if any(isinstance(job.action, Call) for job in pipeline.jobs):
            stack.enter_context(importing_from(pipeline.root))
            stack.enter_context(captured())
        # Before the signals are taken over: Ctrl-C ends a wait for the guard by raising.
        run = stack.enter_context(_create_run(pipeline, store, options, params, mask))
        stack.enter_context(stop_on_signals(stop, interruptible))
        around = Surroundings(pipeline, run, run.id, stop, env, interruptible, values, mask)
        return _PipelineRun(around, options, unselected, handlers).run(store.path)


def _create_run(
    pipeline: Pipeline, store: RunStore, options: Options, params: Mapping[str, Any], mask: Mask
) -> Run:
    # So that what the run leaves can be shown without them, from whichever folder.
    secrets = [
        secret if secret.file is None else replace(secret, file=str(pipeline.root / secret.file))
        for secret in pipeline.secrets
    ]
    planned = [
        {"id": job.id, "stage": stage.name, "sha256": job.sha256(params_of(job, params))}
        for stage in pipeline.stages
        for job in stage.jobs
    ]
    return store.create_run(
        pipeline=pipeline.id,
        jobs=planned,
        sha256=pipeline.sha256(),
        params=mask.data(params),
        secrets=[secret.definition() for secret in secrets],
        max_workers=options.max_workers,
        versions={"lorchestra": lorchestra.__version__},
    )


class _PipelineRun:
    """One run: its stages, one after another."""

    def __init__(
        self,
        around: Surroundings,
        options: Options,
        left_out: Mapping[str, str],
        handlers: Iterable[Handler],
    ) -> None:
        self._around = around
        self._options = options
        self._left_out = left_out
        self._has_failed = False
        self._handlers = list(handlers)
        self._counts: Counter[str] = Counter()
        self._hung = False

    def run(self, store_path: str) -> RunResult:
        began = time.monotonic()
        run, pipeline, stop = self._around.run, self._around.pipeline, self._around.stop
        self._emit(
            RunStarted(run.id, pipeline.id, len(pipeline.stages), len(pipeline.jobs), store_path)
        )
        halted_by: str | None = None
        for whole_stage in pipeline.stages:
            stage = self._selected(whole_stage)
            if halted_by is not None:
                self._not_run(stage, stage.jobs, "skipped", halted_by)
            elif stage.jobs:
                halted_by = self._run_stage(stage)
        status = self._status()
        duration_s = round(time.monotonic() - began, 6)
        receipt = str(run.end(status, duration_s=duration_s))
        self._emit(RunFinished(run.id, status, dict(self._counts), duration_s, receipt))
        return RunResult(run.id, status, receipt, stop.signal, self._hung)

    def _status(self) -> str:
        if not self._has_failed:
            return "succeeded"
        return "interrupted" if self._around.stop.requested else "failed"

    def _selected(self, stage: Stage) -> Stage:
        """The stage with the jobs that are selected; the others are recorded."""
        for job in stage.jobs:
            if reason := self._left_out.get(job.id):
                self._not_run(stage, [job], "skipped", reason)
        return replace(stage, jobs=tuple(job for job in stage.jobs if job.id not in self._left_out))

    def _run_stage(self, stage: Stage) -> str | None:
        """Run one stage; gives why no later one may run, or None."""
        run, workers = self._around.run, workers_for(stage, self._options.max_workers)
        run.append("stage_begin", stage=stage.name, workers=workers)
        self._emit(StageStarted(stage.name, len(stage.jobs), workers))
        stop_on_failure = self._options.stops(self._around.pipeline, stage)
        stage_run = StageRun(self._around, stage, stop_on_failure=stop_on_failure)
        stage_run.run(workers, self._hear)
        self._hung = self._hung or stage_run.hung
        self._not_run(stage, stage_run.queue.rest(), "cancelled", stage_run.queue.halted_by or "")
        run.append("stage_end", stage=stage.name, counts=dict(stage_run.counts))
        self._emit(StageFinished(stage.name, dict(stage_run.counts)))
        return stage_run.queue.halted_by

    def _not_run(self, stage: Stage, jobs: Iterable[Job], status: str, reason: str) -> None:
        for job in jobs:
            self._around.run.not_run(job.id, status, reason)
            self._hear(JobNotRun(stage.name, job.id, status, reason))

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobFinished):
            self._counts[event.outcome.status] += 1
            self._has_failed |= not (event.outcome.succeeded or event.outcome.allowed)
        elif isinstance(event, JobNotRun):
            self._counts[event.status] += 1
            self._has_failed |= event.job_id not in self._left_out
        self._emit(event)

    def _emit(self, event: Event) -> None:
        for handler in list(self._handlers):
            try:
                handler(event)
            except Exception as error:  # noqa: BLE001 - whatever it raises, the run goes on
                self._handlers.remove(handler)
                _report(error)


def _report(error: Exception) -> None:
    # Often stderr itself is what has failed the handler: its reader has gone.
    with contextlib.suppress(Exception):
        print(  # noqa: T201
            f"lorchestra: a progress handler raised {type(error).__name__}: {error}; "
            "the run goes on without it",
            file=sys.stderr,
        )
