"""Run a pipeline: the loop that joins plan, attempts, progress and record.

Every decision is in `plan`, every process in `process`, every fact in the record. With one worker
the jobs run in this thread in the order written: the plain loop that this replaces.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lorchestra.attempt import Surroundings, may_fail
from lorchestra.binding import Values, parameters_of
from lorchestra.call import importing_from
from lorchestra.capture import captured
from lorchestra.deadline import Deadline, Limit
from lorchestra.durations import written
from lorchestra.hooks import RunHooks
from lorchestra.jobobject import ending_with_us
from lorchestra.limits import Limits, check_limits
from lorchestra.masking import Mask
from lorchestra.model import Call, Job, Pipeline, Stage
from lorchestra.opening import Opening
from lorchestra.orphans import OrphanRule
from lorchestra.plan import Options, left_out, workers_for
from lorchestra.progress import (
    Event,
    Handler,
    HookFailed,
    JobChosen,
    JobFinished,
    JobGivenUp,
    JobNotRun,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from lorchestra.quota import Quota
from lorchestra.resuming import Choices
from lorchestra.runkeys import hold, refuse_secret
from lorchestra.secretvalues import read_secrets
from lorchestra.signals import Interruptible, stop_on_signals
from lorchestra.stage import StageRun
from lorchestra.stop import Cause, Stop
from runstore import RunStore, RunStoreError, RunView


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_id: Its id in the store, where everything else stands.
        status: `succeeded`, `failed` or `interrupted`.
        receipt: What proves later that the record was not rolled back.
        signal: The number of the signal that interrupted it, else None.
        hung: Whether functions that did not react to the stop are still in their threads.
        was_done: Whether it had succeeded under its run key before, and nothing was run.
    """

    run_id: str
    status: str
    receipt: str
    signal: int | None
    hung: bool = False
    was_done: bool = False

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
    resume: str | None = None,
    run_key: str | None = None,
    orphans: OrphanRule = "fail",
    on_signal: Callable[[int], object] | None = None,
) -> RunResult:
    """Run a pipeline to its end, or go on with a run of it.

    Args:
        pipeline: What to run.
        store: Where it is recorded.
        options: How, where that is not as the pipeline says.
        handlers: Called with every event, one at a time, from this thread. One that raises is
            reported on stderr and does not stop the run.
        resume: The id of a run of this pipeline that has ended or was killed. What succeeded in it
            is kept, unless its definition has changed, and the rest runs. None: a new run.
        run_key: What names this piece of work. A run of the pipeline under the same key that
            succeeded is not run again, another one is gone on with. Not beside `resume`: a run
            that is resumed keeps the key that it has.
        orphans: What is done when jobs of a killed run are still at work: `fail`, `wait` until
            they have ended, or `kill` them.
        on_signal: Called with the number of the first signal that stops the run, when that comes,
            from a thread of its own: handlers may be told of nothing until a job has ended.

    Returns:
        How it ended. A job that fails is no exception.

    Raises:
        ParameterError: The pipeline does not take these parameters, or needs others; or the run
            under the same key was given others.
        ConfigError: A secret's file cannot be read, or limits of this machine cannot be kept.
        SelectionError: A job, stage or tag that was asked for is not there.
        UnknownReferenceError: A job refers to what is not there.
        LimitError: A job needs a limit that is not there, or more than there ever is of it.
        GuardTimeoutError: Another run of the pipeline holds the store's guard, or works under the
            same run key; nothing was done.
        RunNotFoundError: There is no run to resume of this id.
        RunIsAliveError, RunResumedError: It is at work, or another process resumed it first.
        OrphansError: Jobs of it are still at work.
        Interrupted: A signal came while it waited for the guard, a run key, or for orphans; nothing
            was done.
        RunStoreError, OSError: The record cannot be written. Running jobs were waited for,
            nothing more was started, and nothing is reported as recorded that is not.

    In the main thread, SIGINT and SIGTERM stop the run: see `signals`. The pipeline's hooks are run
    too; what they do changes neither the record nor the result.
    """
    if resume is not None and run_key is not None:
        raise ValueError("a run that is resumed keeps its run key: give one of the two")
    options = options or Options()
    pipeline = options.over(pipeline)
    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    env, mask = {**os.environ, **secrets}, Mask(secrets.values())
    unselected = left_out(pipeline, options)
    if run_key is not None:
        refuse_secret(run_key, mask)
    check_limits(pipeline.jobs, pipeline.limits)
    limits = Limits(_needed(pipeline))
    limits.prepare()
    stop, interruptible = Stop(pipeline.grace_s), Interruptible()
    with contextlib.ExitStack() as stack:
        if any(isinstance(job.action, Call) for job in pipeline.jobs):
            stack.enter_context(importing_from(pipeline.root))
            stack.enter_context(captured())
        stack.enter_context(ending_with_us())
        stack.callback(limits.close)
        told = _Handlers(handlers)
        hooks = RunHooks(pipeline, store, _presumed(pipeline, options), env, mask, told.of_hook)
        # They come when the run has been left: its record is complete, the guard is free.
        ending = stack.enter_context(hooks.around())
        inner = stack.enter_context(contextlib.ExitStack())
        # Before there is a run: a signal that comes while it is opened must not tear its record.
        heard = _FirstSignal(on_signal)
        inner.enter_context(stop_on_signals(stop, interruptible, pipeline.grace_s, heard))
        opening = Opening(pipeline, store, options, told, mask, env, unselected, interruptible)
        try:
            if run_key is not None:
                tell_of = partial(opening.tell_of, rule=orphans)
                holding = partial(hold, store, pipeline, run_key, orphans, tell_of)
                key = inner.enter_context(interruptible.wait(holding))
                opened = opening.under(key, orphans)
            else:
                opened = opening.create() if resume is None else opening.resume(resume, orphans)
        except OSError as error:
            if not isinstance(error, RunStoreError):  # such as a guard that is held
                ending.hooks = hooks
            raise
        if isinstance(opened, RunView):
            return RunResult(opened.id, opened.status, opened.receipt or "", None, was_done=True)
        run, kept = opened
        heard.run_is_open()
        ending.hooks = hooks = replace(hooks, run_id=run.id, params=kept.params)
        inner.enter_context(run)
        inner.callback(stop.close)
        inner.enter_context(Deadline(_limit(pipeline), _WholeRun(stop)))
        values = Values(pipeline, kept.params, env)
        for job_id, output in kept.outputs.items():
            values.keep(job_id, output)
        around = Surroundings(
            pipeline,
            run,
            run.run_key or run.id,
            stop,
            env,
            interruptible,
            values,
            mask,
            limits,
            kept.keys,
        )
        whole = _PipelineRun(around, options, told, kept.choices, unselected)
        return whole.run(store.path, partial(hooks.start, stop))


def _presumed(pipeline: Pipeline, options: Options) -> dict[str, Any]:
    """The parameters of a run that could not be begun."""
    known = {name: each.default for name, each in parameters_of(pipeline).items()}
    return {**known, **options.params}


def _needed(pipeline: Pipeline) -> Iterator[Quota]:
    """What is allowed of the limits that jobs need; the others cost nothing."""
    names = {name for job in pipeline.jobs for name in job.limits}
    return (quota for quota in pipeline.limits if quota.name in names)


def _limit(pipeline: Pipeline) -> Limit | None:
    """How long the whole run may take."""
    if pipeline.timeout_s is None:
        return None
    text = f"timed out: the whole run may take {written(pipeline.timeout_s)}"
    return Limit(pipeline.timeout_s, Cause(text, "timed_out"), pipeline.grace_s)


class _FirstSignal:
    """Passes the first signal on, once there is a run that it can stop."""

    def __init__(self, on_signal: Callable[[int], object] | None) -> None:
        self._on_signal = on_signal
        self._turn = threading.Lock()
        self._came: int | None = None
        self._is_open = False

    def __call__(self, number: int) -> None:
        with self._turn:
            self._came = number
        self._tell()

    def run_is_open(self) -> None:
        with self._turn:
            self._is_open = True
        self._tell()

    def _tell(self) -> None:
        with self._turn:
            number, on_signal = self._came, self._on_signal
            if number is None or on_signal is None or not self._is_open:
                return
            self._on_signal = None
        on_signal(number)


class _WholeRun:
    """All that runs, as what a deadline ends."""

    def __init__(self, stop: Stop) -> None:
        self.ask_to_end = stop.end
        self.kill = stop.force


class _PipelineRun:
    """One run: its stages, one after another."""

    def __init__(
        self,
        around: Surroundings,
        options: Options,
        handlers: _Handlers,
        choices: Choices,
        left_out: Mapping[str, str],
    ) -> None:
        self._around = around
        self._options = options
        self._emit = handlers
        self._choices = choices
        self._left_out = left_out
        self._has_failed = False
        self._counts: Counter[str] = Counter()
        self._hung = False

    def run(self, store_path: str, on_start: Callable[[], None]) -> RunResult:
        began = time.monotonic()
        run, pipeline, stop = self._around.run, self._around.pipeline, self._around.stop
        self._emit(
            RunStarted(run.id, pipeline.id, len(pipeline.stages), len(pipeline.jobs), store_path)
        )
        for event in self._chosen():
            self._emit(event)
        on_start()
        halted_by: str | None = None
        for whole_stage in pipeline.stages:
            stage = self._to_run(whole_stage)
            if halted_by is not None:
                self._not_run(stage, stage.jobs, "skipped", halted_by)
            elif stage.jobs:
                halted_by = self._run_stage(stage)
        status = self._status()
        duration_s = round(time.monotonic() - began, 6)
        # So that the record tells what the process exits with.
        by = {"signal": stop.signal} if status == "interrupted" else {}
        receipt = str(run.end(status, duration_s=duration_s, **by))
        self._emit(RunFinished(run.id, status, dict(self._counts), duration_s, receipt))
        return RunResult(run.id, status, receipt, stop.signal, self._hung)

    def _chosen(self) -> Iterator[JobChosen]:
        for stage in self._around.pipeline.stages:
            for job in stage.jobs:
                choice = self._choices.get(job.id)
                if choice is not None:
                    yield JobChosen(stage.name, job.id, choice.is_kept, choice.reason)

    def _is_kept(self, job: Job) -> bool:
        return job.id in self._choices and self._choices[job.id].is_kept

    def _status(self) -> str:
        if not self._has_failed:
            return "succeeded"
        return "failed" if self._around.stop.signal is None else "interrupted"

    def _to_run(self, stage: Stage) -> Stage:
        """The stage with the jobs that are to run; those that are not selected are recorded."""
        jobs = tuple(job for job in stage.jobs if not self._is_kept(job))
        self._counts["succeeded"] += len(stage.jobs) - len(jobs)
        for job in jobs:
            if reason := self._left_out.get(job.id):
                self._not_run(stage, [job], "skipped", reason)
        return replace(stage, jobs=tuple(job for job in jobs if job.id not in self._left_out))

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
            choice = self._choices.get(job.id)
            before = choice.before if choice is not None else None
            self._has_failed |= self._fails_by_not_running(job, before)
            self._hear(JobNotRun(stage.name, job.id, status, reason, before))

    def _fails_by_not_running(self, job: Job, before: str | None) -> bool:
        """Whether the run fails because of a job that does not run, or of what it was before."""
        if job.id not in self._left_out:
            return True
        return before not in {None, "succeeded"} and not may_fail(job, before)

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobGivenUp) or (
            isinstance(event, JobFinished) and event.again_in_s is None
        ):
            self._counts[event.outcome.status] += 1
            self._has_failed |= not (event.outcome.succeeded or event.outcome.allowed)
        elif isinstance(event, JobNotRun):
            self._counts[event.before or event.status] += 1
        self._emit(event)


class _Handlers:
    """Those who are told of every event."""

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._handlers = list(handlers)

    def of_hook(self, hook: str, number: int, error: str) -> None:
        """Tell of a hook that failed."""
        self(HookFailed(hook, number, error))

    def __call__(self, event: Event) -> None:
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
