"""Open a run: a new one, or one that is resumed, with what that keeps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import lorchestra
from lorchestra.deciding import Decision, decide
from lorchestra.errors import OrphansError
from lorchestra.fanout import folded_jobs
from lorchestra.jobkeys import Done
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.orphans import WHAT_TO_DO, Orphan, OrphanRule, clear_orphans, find_orphans
from lorchestra.plan import Options
from lorchestra.progress import OrphanFound
from lorchestra.recall import Recall
from lorchestra.resuming import Choices, items_before, planned
from lorchestra.runkeys import refuse_other_params
from lorchestra.signals import Interruptible
from runstore import Run, RunIsAliveError, RunKey, RunNotFoundError, RunStore, RunView


class Kept(NamedTuple):
    """What a run begins with.

    Attributes:
        params: Its parameters.
        choices: What is done with each job of which that was decided: is it kept?
        outputs: What those that are kept have left as output.
        keys: The key of each job that has one of its own.
        recall: What finds the outputs of jobs that are chosen later.
        before: The run as it was before the resume; None: it is new.
        waited_s: How long jobs of before were waited for, in seconds, as a part of its time.
    """

    params: Mapping[str, Any]
    choices: Choices
    outputs: Mapping[str, Any]
    keys: Mapping[str, str]
    recall: Recall
    before: RunView | None = None
    waited_s: float = 0.0

    @property
    def children(self) -> dict[str, str]:
        """The last run of each job that is a pipeline."""
        jobs = () if self.before is None else self.before.jobs.values()
        return {
            job.id: attempt.child
            for job in jobs
            for attempt in job.attempts
            if attempt.child is not None
        }


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens a run.

    Attributes:
        pipeline: What runs, with jobs in place of loops over parameters.
        sha256: The digest of its definition.
        params: The parameters of the run.
        store: Where it is recorded.
        options: How it runs.
        tell: Told of each job of a killed run that is still at work.
        mask: What takes secrets out of what is recorded.
        env: The environment that jobs start from.
        unselected: The jobs that are not selected, with the reason.
        interruptible: How a signal ends a wait, for the guard or for jobs still at work.
        fields: More to record of the run.
    """

    pipeline: Pipeline
    sha256: str
    params: Mapping[str, Any]
    store: RunStore
    options: Options
    tell: Callable[[OrphanFound], object]
    mask: Mask
    env: Mapping[str, str]
    unselected: Mapping[str, str]
    interruptible: Interruptible
    fields: Mapping[str, Any] = field(default_factory=dict)

    def create(self, key: RunKey | None = None) -> tuple[Run, Kept]:
        """Open a new run.

        Raises:
            UnknownReferenceError: A job refers to what is not there.
        """
        decided = self._decide(None)
        jobs = planned(self.pipeline, {}, decided.sha256, decided.keys)
        fields = self._fields()
        run = self._open(lambda: self.store.create_run(self.pipeline.id, jobs, key=key, **fields))
        return _recorded(run, decided.done), self._kept(decided)

    def resume(
        self, view: RunView, orphans: OrphanRule, key: RunKey | None = None
    ) -> tuple[Run, Kept]:
        """Go on with a run, once none of its jobs is at work any more.

        Args:
            view: The run.
            orphans: What is done with jobs that are.
            key: Its run key, which is held; None: whoever has it may have it.

        Raises:
            RunIsAliveError, RunResumedError: It is at work, or another process resumed it first.
            OrphansError: Jobs of it are still at work.
            ParameterError: A parameter is another under the same run key.
        """
        if view.status == "running":
            raise RunIsAliveError(view.id, view.begin.get("host", "?"), view.begin.get("pid", 0))
        if view.run_key is not None:
            refuse_other_params(view, self.options.params, self.mask)
        began, timeout_s = time.monotonic(), self.pipeline.timeout_s
        tell = partial(self.tell_of, rule=orphans)
        if orphans == "fail":
            self._refuse_orphans(view)
        for each in self._with_children(view):
            left_s = None if timeout_s is None else timeout_s - (time.monotonic() - began)
            clear = partial(
                clear_orphans,
                each,
                orphans,
                tell,
                grace_s=self.pipeline.grace_s,
                at_most_s=left_s,
            )
            self.interruptible.wait(clear)
        waited_s = time.monotonic() - began
        decided = self._decide(view)
        items = items_before(view, folded_jobs(self.pipeline))
        plan = planned(self.pipeline, decided.choices, decided.sha256, decided.keys, items)
        # `seen`: who resumed it meanwhile may have started, and left, other jobs.
        run = self._open(
            lambda: self.store.resume_run(
                view.id,
                plan,
                pipeline=self.pipeline.id,
                seen=view,
                key=key,
                **self._fields(),
            )
        )
        kept = self._kept(decided, view)._replace(waited_s=waited_s)
        return _recorded(run, decided.done), kept

    def _refuse_orphans(self, view: RunView) -> None:
        """Name all jobs that are still at work, also those of the runs inside."""
        found = [orphan for each in self._with_children(view) for orphan in find_orphans(each)]
        if found:
            raise OrphansError(view.id, [orphan[:3] for orphan in found], WHAT_TO_DO)

    def _decide(self, view: RunView | None) -> Decision:
        return decide(
            self.pipeline, self.params, self.env, self.mask, self.unselected, self.store, view
        )

    def _kept(self, decided: Decision, view: RunView | None = None) -> Kept:
        recall = Recall(self.store, self.mask)
        choices, outputs = decided.choices, decided.outputs
        return Kept(self.params, choices, outputs, decided.keys, recall, view)

    def tell_of(self, orphan: Orphan, *, rule: OrphanRule) -> None:
        """Tell of a job of a killed run that is waited for, or stopped."""
        self.tell(orphan_found(orphan, rule))

    def _open(self, opened: Callable[[], Run]) -> Run:
        """Open the run; a signal meanwhile stops it once it is open, unless it waits."""
        return self.interruptible.wait(opened) if self.store.waits_for_guard else opened()

    def _with_children(self, view: RunView) -> Iterator[RunView]:
        """A run, and the runs inside it that it left at work."""
        yield view
        for job in view.jobs.values():
            last = job.attempts[-1] if job.attempts else None
            if last is not None and last.child is not None and last.status == "crashed":
                with contextlib.suppress(RunNotFoundError):
                    yield from self._with_children(self.store.read(last.child))

    def _fields(self) -> dict[str, Any]:
        root = self.pipeline.root
        # So that what the run leaves can be shown without them, from whichever folder.
        secrets = [
            secret if secret.file is None else replace(secret, file=str(root / secret.file))
            for secret in self.pipeline.secrets
        ]
        return {
            "sha256": self.sha256,
            "params": self.mask.data(self.params),
            "secrets": [secret.definition() for secret in secrets],
            "max_workers": self.options.max_workers,
            "versions": {"lorchestra": lorchestra.__version__},
            **self.fields,
        }


def _recorded(run: Run, done: Mapping[str, Done]) -> Run:
    """The run, once it is recorded which of its jobs have succeeded elsewhere."""
    try:
        for job_id, each in done.items():
            each.record(run, job_id)
    except BaseException as error:
        run.__exit__(type(error), error, None)
        raise
    return run


def orphan_found(orphan: Orphan, rule: OrphanRule) -> OrphanFound:
    """What is told of a job of a killed run that is waited for, or stopped."""
    return OrphanFound(orphan.job_id, orphan.pid, rule == "kill")
