"""Unfold the loops of a stage when it begins: over what earlier jobs have left as output.

The jobs that they become are recorded before the first of them starts, in the place of those that
stood for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import replace

from lorchestra.attempt import Surroundings
from lorchestra.binding import digest
from lorchestra.errors import LoopError
from lorchestra.fanout import (
    Part,
    broken,
    groups_of,
    items_of,
    parts_of,
    refuse_secret_keys,
    refuse_twice,
    unfold_jobs,
)
from lorchestra.model import Job, Loop, Stage
from lorchestra.opening import Kept
from lorchestra.progress import Event, ItemGone, JobChosen, JobNotRun, LoopUnfolded
from lorchestra.recall import ForgottenError
from lorchestra.resuming import (
    FORGOTTEN,
    Choice,
    Choices,
    choose,
    items_before,
    jobs_before,
    planned_job,
)
from runstore import Job as JobBefore
from runstore import RunView

_NEW_ITEM = "new item"


class Unfolding:
    """Unfolds the loops of one run; in a resume it keeps what succeeded of each item."""

    def __init__(self, around: Surroundings, kept: Kept, choices: Choices) -> None:
        """Know the run.

        Args:
            around: What all attempts of the run share.
            kept: What it begins with.
            choices: What a resume does with each job; the jobs of loops are added to it.
        """
        self._around = around
        self._kept = kept
        self._choices = choices
        self._job_ids = [job.id for job in around.pipeline.jobs]

    def unfold(self, stage: Stage, skipped: Collection[str]) -> tuple[Stage, list[Event]]:
        """Unfold the loops of a stage, and record the jobs that they become.

        Args:
            stage: The stage.
            skipped: The jobs as written whose loops stay as they are.

        Returns:
            The stage, and what there is to say of it. A loop that cannot be unfolded has become a
            job that fails.

        Raises:
            RunStoreError, OSError: That cannot be recorded.
        """
        jobs: list[Job] = []
        groups = dict(stage.groups)
        events: list[Event] = []
        for part in parts_of(stage):
            written = tuple(job for job in part.jobs if job.id not in skipped)
            jobs += [job for job in part.jobs if job.id in skipped]
            if part.loop is None or not written:
                jobs += written
                continue
            try:
                found, count = self._jobs(Part(part.loop, written), part.loop)
            except LoopError as error:
                jobs += broken(written, str(error))
                continue
            jobs += found
            groups |= groups_of(written, found)
            names = tuple(job.id for job in written)
            events.append(LoopUnfolded(stage.name, names, count))
            events += self._record(stage, names, found)
        unfolded = replace(stage, jobs=tuple(jobs), loop=None, groups=groups)
        self._around.values.note_groups(unfolded)
        self._keep_outputs(unfolded)
        return unfolded, events

    def skip(self, stage: Stage, skipped: Collection[str], reason: str) -> Iterator[JobNotRun]:
        """Record that what loops had become in the run before does not run in this one."""
        if self._kept.before is None:
            return
        for jobs in items_before(self._kept.before, skipped).values():
            for job in jobs:
                last = job.attempts[-1].status if job.attempts else None
                if last != "succeeded":
                    self._choices[job.id] = Choice(is_kept=False, reason=reason, before=last)
                    self._around.run.not_run(job.id, "skipped", reason)
                    yield JobNotRun(stage.name, job.id, "skipped", reason, last)

    def kept(self, skipped: Collection[str]) -> int:
        """How many jobs there are that loops had become and that have succeeded."""
        if self._kept.before is None:
            return 0
        return sum(
            bool(job.attempts) and job.attempts[-1].status == "succeeded"
            for jobs in items_before(self._kept.before, skipped).values()
            for job in jobs
        )

    def _jobs(self, part: Part, loop: Loop) -> tuple[list[Job], int]:
        items = items_of(loop, self._around.values.scope)
        found = unfold_jobs(part.jobs, loop, items)
        taken = set(self._job_ids) - {job.id for job in part.jobs}
        refuse_twice(found, taken)
        refuse_secret_keys(found, self._around.mask)
        self._job_ids += [job.id for job in found]
        return found, len(items)

    def _record(self, stage: Stage, names: tuple[str, ...], found: list[Job]) -> Iterator[Event]:
        """Record the jobs of a loop; gives what there is to say of each."""
        before = self._kept.before
        known = {} if before is None else jobs_before(before)
        plan = []
        for job in found:
            sha256 = digest(job, self._kept.params)
            if before is not None:
                choice = choose(sha256, known.get(job.id))
                if job.id not in known:
                    choice = replace(choice, reason=_NEW_ITEM)
                elif choice.is_kept and self._is_missed(before, known[job.id]):
                    choice = FORGOTTEN
                self._choices[job.id] = choice
            plan.append(planned_job(job, stage.name, sha256, self._choices.get(job.id)))
        self._around.run.plan_more(plan, instead_of=names)
        if before is None:
            return
        for job in found:
            chosen = self._choices[job.id]
            yield JobChosen(stage.name, job.id, chosen.is_kept, chosen.reason)
        job_ids = {job.id for job in found}
        for jobs in items_before(before, names).values():
            for each in jobs:
                if each.id not in job_ids:
                    yield ItemGone(stage.name, each.id)

    def _is_missed(self, before: RunView, job: JobBefore) -> bool:
        """Whether another job may need what one has left, and that cannot be had any more."""
        is_wanted = self._around.values.is_wanted(job.planned.get("of", job.id))
        return is_wanted and not self._kept.recall.has(before, job)

    def _keep_outputs(self, stage: Stage) -> None:
        """Put the outputs of what is kept where references find them."""
        before = self._kept.before
        if before is None:
            return
        # An item that had dropped out, and is there again, is none of the last plan.
        known = {**before.removed, **before.jobs}
        for job in stage.jobs:
            choice = self._choices.get(job.id)
            if choice is None or not choice.is_kept or job.id not in known:
                continue
            with contextlib.suppress(ForgottenError):  # nobody needs it
                output = self._kept.recall.output(before, known[job.id])
                if output is not None:
                    self._around.values.keep(job.id, output)
