"""Open a run: a new one, or one that is resumed, with what that keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import lorchestra
from lorchestra.binding import check_references, digests
from lorchestra.fanout import folded_jobs
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.orphans import Orphan, OrphanRule, clear_orphans
from lorchestra.plan import Options
from lorchestra.progress import OrphanFound
from lorchestra.resuming import Choices, choices_for, items_before, planned
from runstore import Run, RunIsAliveError, RunNotFoundError, RunStore, RunView


class Kept(NamedTuple):
    """What a run begins with: its parameters, and what a resume keeps.

    Attributes:
        params: The parameters.
        choices: What a resume does with each job.
        outputs: What the jobs have left as output that it keeps.
        before: The run as it was before the resume; None: it is new.
    """

    params: Mapping[str, Any]
    choices: Choices
    outputs: Mapping[str, Any]
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
    fields: Mapping[str, Any] = field(default_factory=dict)

    def create(self) -> tuple[Run, Kept]:
        """Open a new run."""
        jobs = planned(self.pipeline, {}, digests(self.pipeline, self.params))
        run = self.store.create_run(self.pipeline.id, jobs, **self._fields())
        return run, Kept(self.params, {}, {})

    def resume(self, view: RunView, orphans: OrphanRule) -> tuple[Run, Kept]:
        """Go on with a run, once none of its jobs is at work any more.

        Args:
            view: The run.
            orphans: What is done with jobs that are.

        Raises:
            RunIsAliveError, RunResumedError: It is at work, or another process resumed it first.
            OrphansError: Jobs of it are still at work.
        """
        if view.status == "running":
            raise RunIsAliveError(view.id, view.begin.get("host", "?"), view.begin.get("pid", 0))

        def tell(orphan: Orphan) -> None:
            self.tell(OrphanFound(orphan.job_id, orphan.pid, orphans == "kill"))

        for each in self._with_children(view):
            clear_orphans(each, orphans, tell, grace_s=self.pipeline.grace_s)
        sha256 = digests(self.pipeline, self.params)
        choices = choices_for(self.pipeline, view, sha256)
        # What is kept has left its output, whether it is selected or not.
        without_output = {
            job_id: reason
            for job_id, reason in self.unselected.items()
            if not choices[job_id].is_kept
        }
        check_references(self.pipeline, self.env, without_output)
        outputs = {
            job_id: output
            for job_id, choice in choices.items()
            if choice.is_kept and (output := view.jobs[job_id].output) is not None
        }
        # `seen`: who resumed it meanwhile may have started, and left, other jobs.
        items = items_before(view, folded_jobs(self.pipeline))
        run = self.store.resume_run(
            view.id,
            planned(self.pipeline, choices, sha256, items),
            pipeline=self.pipeline.id,
            seen=view,
            **self._fields(),
        )
        return run, Kept(self.params, choices, outputs, view)

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
