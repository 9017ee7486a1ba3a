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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from lorchestra.attempt import Surroundings, may_fail
from lorchestra.binding import Values, parameters_of
from lorchestra.call import importing_from
from lorchestra.capture import captured
from lorchestra.deadline import Deadline, Limit
from lorchestra.durations import written
from lorchestra.fanout import folded_jobs, has_loop, refuse_secret_keys, unfold_pipeline
from lorchestra.history import History
from lorchestra.hooks import RunHooks
from lorchestra.jobobject import ending_with_us
from lorchestra.limits import Limits, check_limits
from lorchestra.masking import Mask
from lorchestra.model import LONGEST_FIRST, Hooks, Job, Pipeline, Stage
from lorchestra.nesting import Children, Outer
from lorchestra.opening import Kept, Opening, orphan_found
from lorchestra.ordering import start_order
from lorchestra.orphans import Orphan, OrphanRule
from lorchestra.params import param_values, resumed_params
from lorchestra.plan import Options, left_out, workers_for
from lorchestra.process import empty_input
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
from lorchestra.runkeys import hold, is_done, refuse_other_params, refuse_secret
from lorchestra.seats import Seats
from lorchestra.secretvalues import read_secrets, secrets_around
from lorchestra.signals import Interruptible, stop_on_signals
from lorchestra.stage import StageRun
from lorchestra.stop import Cause, Stop
from lorchestra.unfolding import Unfolding
from runstore import Run, RunKey, RunStore, RunStoreError, RunView


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
        LoopError: A loop over a parameter has no list, or items that cannot be told apart.
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
    return _run(_Request(pipeline, store, options, handlers, resume, orphans, run_key), on_signal)


def _run_inside(
    pipeline: Pipeline,
    store: RunStore,
    options: Options,
    handlers: list[Handler],
    resume: str | None,
    orphans: OrphanRule,
    outer: Outer,
) -> RunResult:
    """Run a pipeline that is a job of another."""
    return _run(_Request(pipeline, store, options, handlers, resume, orphans, None, outer))


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for: the arguments of `run_pipeline`, and `outer`, the run around it."""

    pipeline: Pipeline
    store: RunStore
    options: Options
    handlers: Iterable[Handler]
    resume: str | None
    orphans: OrphanRule
    run_key: str | None
    outer: Outer | None = None


def _run(request: _Request, on_signal: Callable[[int], object] | None = None) -> RunResult:
    """Run a pipeline, by itself or inside another."""
    pipeline, store, outer = request.options.over(request.pipeline), request.store, request.outer
    before = None if request.resume is None else store.read(request.resume)
    if before is not None and outer is None:
        outside = secrets_around(before.begin, pipeline.secrets, os.environ)
        pipeline = replace(pipeline, secrets=(*outside, *pipeline.secrets))
    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    env, mask = {**os.environ, **secrets}, Mask(secrets.values())
    if request.run_key is not None:
        refuse_secret(request.run_key, mask)
    check_limits(pipeline.jobs, pipeline.limits)
    limits = Limits(_needed(pipeline))
    limits.prepare()
    stop = Stop(pipeline.grace_s) if outer is None else outer.stop
    interruptible = Interruptible() if outer is None else outer.around.interruptible
    with contextlib.ExitStack() as stack:
        if outer is None:
            _prepare_this_process(pipeline, stack)
        stack.callback(limits.close)
        told = _Handlers(request.handlers)
        # Those of an inner pipeline are for when it is run by itself.
        own = pipeline if outer is None else replace(pipeline, hooks=Hooks())
        hooks = RunHooks(own, store, _presumed(pipeline, request.options), env, mask, told.of_hook)
        # They come when the run has been left: its record is complete, the guard is free.
        ending = stack.enter_context(hooks.around())
        inner = stack.enter_context(contextlib.ExitStack())
        no_input = inner.enter_context(empty_input())
        # Before there is a run: a signal that comes while it is opened must not tear its record.
        heard = _FirstSignal(on_signal)
        if outer is None:
            inner.enter_context(stop_on_signals(stop, interruptible, pipeline.grace_s, heard))
        try:
            key = _held_key(request, told, inner, interruptible)
            opened = _opened(request, pipeline, before, key, told, mask, env, interruptible)
        except OSError as error:
            if not isinstance(error, RunStoreError):  # such as a guard that is held
                ending.hooks = hooks
            raise
        if isinstance(opened, RunView):
            return RunResult(opened.id, opened.status, opened.receipt or "", None, was_done=True)
        pipeline, unselected, run, kept = opened
        heard.run_is_open()
        ending.hooks = hooks = replace(hooks, run_id=run.id, params=kept.params)
        inner.enter_context(run)
        inner.callback(stop.close)
        if outer is not None:
            outer.on_open(run.id)
        inner.enter_context(Deadline(left_of_time(pipeline, kept.waited_s), _WholeRun(stop)))
        values = Values(pipeline, kept.params, env)
        for job_id, output in kept.outputs.items():
            values.keep(job_id, output)
        children = Children(store, request.options, kept.children, request.orphans, _run_inside)
        around = Surroundings(
            pipeline,
            run,
            (run.run_key or run.id) if outer is None else outer.run_key,
            stop,
            env,
            interruptible,
            values,
            mask,
            limits,
            kept.keys,
            None if outer is None else outer.around,
            pipeline.timeout_s is not None or (outer is not None and outer.is_limited),
            children.run,
            None if outer is None else outer.around.seats,
            threading.Event() if outer is None else outer.around.lost,
            no_input,
        )
        history = History(store, pipeline.id)
        whole = _PipelineRun(around, request.options, told, kept, unselected, children, history)
        return whole.run(store.path, partial(hooks.start, stop))


def _prepare_this_process(pipeline: Pipeline, stack: contextlib.ExitStack) -> None:
    """Let it import what the jobs call, catch what that prints, and take its jobs with it."""
    if pipeline.has_calls:
        stack.enter_context(importing_from(pipeline.root))
        stack.enter_context(captured())
    stack.enter_context(ending_with_us())


def _held_key(
    request: _Request,
    told: _Handlers,
    stack: contextlib.ExitStack,
    interruptible: Interruptible,
) -> RunKey | None:
    """Hold the run key until the run has been left; None: there is none."""
    if request.run_key is None:
        return None
    tell = partial(_tell_of_orphan, told, request.orphans)
    pipeline = request.options.over(request.pipeline)
    holding = partial(hold, request.store, pipeline, request.run_key, request.orphans, tell)
    return stack.enter_context(interruptible.wait(holding))


class _Opened(NamedTuple):
    """A run that has been opened: the pipeline with loops over parameters unfolded, and more."""

    pipeline: Pipeline
    unselected: dict[str, str]
    run: Run
    kept: Kept


def _opened(
    request: _Request,
    pipeline: Pipeline,
    before: RunView | None,
    key: RunKey | None,
    told: _Handlers,
    mask: Mask,
    env: Mapping[str, str],
    interruptible: Interruptible,
) -> _Opened | RunView:
    """Open the run: a new one, or one that is gone on with; or give the one that was all."""
    store, options, outer = request.store, request.options, request.outer
    if key is not None:
        under_key = store.find_run(pipeline.id, key.run_key)
        before = None if under_key is None else store.read(under_key)
    params = _params(pipeline, options, before)
    sha256, pipeline = pipeline.sha256(), unfold_pipeline(pipeline, params)
    refuse_secret_keys(pipeline.jobs, mask)
    unselected = left_out(pipeline, options)
    if key is not None and before is not None:
        key.announce(before.id)
        if is_done(before, pipeline, unselected):
            refuse_other_params(before, options.params, mask)
            return before
    opening = Opening(
        pipeline,
        sha256,
        params,
        store,
        options,
        told,
        mask,
        env,
        unselected,
        interruptible,
        _inside(outer, before),
    )
    if before is None:
        run, kept = opening.create(key)
    else:
        run, kept = opening.resume(before, request.orphans, key)
    return _Opened(pipeline, unselected, run, kept)


def _inside(outer: Outer | None, before: RunView | None) -> dict[str, Any]:
    """What is recorded of the run around; one that is gone on with by itself was inside, too."""
    if outer is not None:
        return {"parent": outer.parent}
    parent = None if before is None else before.begin.get("parent")
    return {} if parent is None else {"parent": parent}


def _tell_of_orphan(told: _Handlers, rule: OrphanRule, orphan: Orphan) -> None:
    told(orphan_found(orphan, rule))


def _params(pipeline: Pipeline, options: Options, before: RunView | None) -> dict[str, Any]:
    """The parameters of the run."""
    known = parameters_of(pipeline)
    if before is None:
        return param_values(known, options.params)
    return resumed_params(known, before.begin, options.params)


def _presumed(pipeline: Pipeline, options: Options) -> dict[str, Any]:
    """The parameters of a run that could not be begun."""
    known = {name: each.default for name, each in parameters_of(pipeline).items()}
    return {**known, **options.params}


def _needed(pipeline: Pipeline) -> Iterator[Quota]:
    """What is allowed of the limits that jobs need; the others cost nothing."""
    names = {name for job in pipeline.jobs for name in job.limits}
    return (quota for quota in pipeline.limits if quota.name in names)


def left_of_time(pipeline: Pipeline, waited_s: float) -> Limit | None:
    """How long the whole run may still take."""
    if pipeline.timeout_s is None:
        return None
    text = f"timed out: the whole run may take {written(pipeline.timeout_s)}"
    return Limit(pipeline.timeout_s - waited_s, Cause(text, "timed_out"), pipeline.grace_s)


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
        kept: Kept,
        left_out: Mapping[str, str],
        children: Children,
        history: History,
    ) -> None:
        self._around = around
        self._history = history
        self._options = options
        self._emit = handlers
        self._choices = dict(kept.choices)
        self._left_out = left_out
        self._children = children
        self._unfolding = Unfolding(around, kept, self._choices)
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
        for written_stage in pipeline.stages:
            stage = self._to_run(self._unfolded(written_stage, halted_by))
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
        hung = self._hung or self._children.hung
        return RunResult(run.id, status, receipt, stop.signal, hung)

    def _chosen(self) -> Iterator[JobChosen]:
        folded = folded_jobs(self._around.pipeline)
        for stage in self._around.pipeline.stages:
            for job in stage.jobs:
                choice = self._choices.get(job.id)
                if choice is not None and job.id not in folded:
                    yield JobChosen(stage.name, job.id, choice.is_kept, choice.reason)

    def _unfolded(self, stage: Stage, halted_by: str | None) -> Stage:
        """The stage with jobs in place of its loops; as it is if it is not to run."""
        if not has_loop(stage):
            return stage
        skipped = {
            job.id for job in stage.jobs if halted_by is not None or job.id in self._left_out
        }
        for event in self._unfolding.skip(stage, skipped, halted_by or "not selected"):
            self._has_failed |= event.job_id not in self._left_out
            self._hear(event)
        self._counts["succeeded"] += self._unfolding.kept(skipped)
        stage, events = self._unfolding.unfold(stage, skipped)
        for each in events:
            self._emit(each)
        return stage

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
        if self._around.seats is not None:
            workers = min(workers, self._around.seats.most)
        order = self._order(stage, workers)
        how = {} if order is None else {"schedule": LONGEST_FIRST}
        run.append("stage_begin", stage=stage.name, workers=workers, **how)
        self._emit(StageStarted(stage.name, len(stage.jobs), workers, order is not None))
        stop_on_failure = self._options.stops(self._around.pipeline, stage)
        around = replace(self._around, seats=self._seats(stage, workers))
        stage_run = StageRun(around, stage, stop_on_failure=stop_on_failure, order=order)
        stage_run.run(workers, self._hear)
        self._hung = self._hung or stage_run.hung
        for job, reason in stage_run.queue.rest():
            self._not_run(stage, [job], "cancelled", reason)
        run.append("stage_end", stage=stage.name, counts=dict(stage_run.counts))
        self._emit(StageFinished(stage.name, dict(stage_run.counts)))
        return stage_run.queue.halted_by

    def _order(self, stage: Stage, workers: int) -> Sequence[Job] | None:
        """In which order its jobs start; None: as written, also where that makes no difference."""
        schedule = self._around.pipeline.schedule
        return start_order(stage.jobs, workers, schedule, lambda: self._history.seconds)

    def _seats(self, stage: Stage, workers: int) -> Seats | None:
        """What limits the jobs at work in this stage and in the pipelines that are jobs of it."""
        outer = self._around.seats
        is_said = self._options.max_workers is not None or stage.max_workers is not None
        if is_said and (outer is not None or self._around.pipeline.has_pipelines):
            most = self._options.max_workers or workers
            return Seats(min(most, stage.max_workers or most), outer)
        return outer

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
