"""Open a run: a new one, or one that is resumed, with what that keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import lorchestra
from lorchestra.binding import check_references, digests
from lorchestra.fanout import folded_jobs
from lorchestra.jobkeys import Done, done_before, keys_of
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.orphans import Orphan, OrphanRule, clear_orphans
from lorchestra.plan import Options
from lorchestra.progress import OrphanFound
from lorchestra.resuming import Choices, choices_for, items_before, planned
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
        before: The run as it was before the resume; None: it is new.
    """

    params: Mapping[str, Any]
    choices: Choices
    outputs: Mapping[str, Any]
    keys: Mapping[str, str]
    before: RunView | None = None

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
        check_references(self.pipeline, self.env, self.unselected)
        sha256 = digests(self.pipeline, self.params)
        keys = keys_of(self.pipeline, self.params, self.env, self.mask)
        wanted = {job.id for job in self.pipeline.jobs} - self.unselected.keys()
        done = done_before(self.store, self.pipeline, keys, sha256, wanted)
        jobs = planned(self.pipeline, {}, sha256, keys)
        fields = self._fields()
        run = self._open(lambda: self.store.create_run(self.pipeline.id, jobs, key=key, **fields))
        return _recorded(run, done), Kept(self.params, *_kept(done), keys)

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
        tell = partial(self.tell_of, rule=orphans)
        for each in self._with_children(view):
            clear = partial(clear_orphans, each, orphans, tell, grace_s=self.pipeline.grace_s)
            self.interruptible.wait(clear)
        sha256 = digests(self.pipeline, self.params)
        keys = keys_of(self.pipeline, self.params, self.env, self.mask)
        choices = choices_for(self.pipeline, view, sha256)
        to_run = {job_id for job_id, choice in choices.items() if not choice.is_kept}
        wanted = to_run - self.unselected.keys()
        done = done_before(self.store, self.pipeline, keys, sha256, wanted, view.id)
        chosen, outputs_elsewhere = _kept(done)
        choices |= chosen
        # What is kept has left its output, whether it is selected or not.
        without_output = {
            job_id: reason
            for job_id, reason in self.unselected.items()
            if not choices[job_id].is_kept
        }
        check_references(self.pipeline, self.env, without_output)
        jobs_before = {**view.removed, **view.jobs}
        outputs = {
            job_id: output
            for job_id, choice in choices.items()
            if choice.is_kept and job_id not in done
            if (output := jobs_before[job_id].output) is not None
        }
        # `seen`: who resumed it meanwhile may have started, and left, other jobs.
        items = items_before(view, folded_jobs(self.pipeline))
        run = self._open(
            lambda: self.store.resume_run(
                view.id,
                planned(self.pipeline, choices, sha256, keys, items),
                pipeline=self.pipeline.id,
                seen=view,
                key=key,
                **self._fields(),
            )
        )
        kept = Kept(self.params, choices, {**outputs, **outputs_elsewhere}, keys, view)
        return _recorded(run, done), kept

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


def _kept(done: Mapping[str, Done]) -> tuple[Choices, dict[str, Any]]:
    """What is done with jobs that have succeeded elsewhere, and what they left as output."""
    choices = {job_id: each.choice for job_id, each in done.items()}
    outputs = {job_id: each.output for job_id, each in done.items() if each.output is not None}
    return choices, outputs


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
