"""What a resume runs again, what it keeps, and why: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorchestra.model import Job, Pipeline
from runstore import Job as JobBefore
from runstore import RunView

_WHY_AGAIN = {
    "failed": "failed before",
    "timed_out": "timed out before",
    "interrupted": "was interrupted before",
    "crashed": "was running when the run was killed",
    "running": "was running when the run was killed",
}
_DID_NOT_START = "did not start"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is done with a job in a resume.

    Attributes:
        is_kept: Whether what it did before counts, and it does not run again.
        reason: Why, in a few words.
        before: How its last attempt ended; None: it had none.
    """

    is_kept: bool
    reason: str
    before: str | None = None


Choices = dict[str, Choice]


def choose(sha256: str, before: JobBefore | None) -> Choice:
    """Decide on one job.

    Args:
        sha256: The digest of the job as it is defined now.
        before: What became of it in the run so far; None: the run did not have it.
    """
    if before is None:
        return Choice(False, "new in the pipeline")
    if not before.attempts:
        return Choice(False, _DID_NOT_START)
    last = before.attempts[-1]
    if last.status != "succeeded":
        return Choice(False, _WHY_AGAIN.get(last.status, _DID_NOT_START), last.status)
    # Where damage took the record of the definition, nothing tells that it is another one.
    if last.sha256 is not None and last.sha256 != sha256:
        return Choice(False, "definition changed", last.status)
    return Choice(True, "succeeded before", last.status)


def choices_for(pipeline: Pipeline, view: RunView, sha256: Mapping[str, str]) -> Choices:
    """Decide on every job of a pipeline, by what its run tells, and by the digests of its jobs."""
    return {job.id: choose(sha256[job.id], view.jobs.get(job.id)) for job in pipeline.jobs}


def planned(
    pipeline: Pipeline,
    choices: Choices,
    sha256: Mapping[str, str],
    items: Mapping[str, Sequence[JobBefore]] | None = None,
) -> list[dict[str, Any]]:
    """The plan as the run's record holds it; in a resume with the reason for each job.

    Args:
        pipeline: What runs.
        choices: What a resume does with its jobs.
        sha256: The digest of each.
        items: The jobs that loops have been unfolded to before, by the id of the job as written:
            they stay the run's until the loops are unfolded again.
    """
    plan = []
    for stage in pipeline.stages:
        for job in stage.jobs:
            plan.append(planned_job(job, stage.name, sha256[job.id], choices.get(job.id)))
            plan += [each.planned for each in (items or {}).get(job.id, ())]
    return plan


def planned_job(job: Job, stage: str, sha256: str, choice: Choice | None) -> dict[str, Any]:
    """What the plan says of one job."""
    return {
        "id": job.id,
        "stage": stage,
        "sha256": sha256,
        **({} if job.item is None else {"of": job.item.of}),
        **({} if choice is None else {"reason": choice.reason}),
    }


def items_before(view: RunView, names: Collection[str]) -> dict[str, list[JobBefore]]:
    """The jobs that loops had been unfolded to, by the id of the job as written."""
    found: dict[str, list[JobBefore]] = {}
    for job in view.jobs.values():
        name = job.planned.get("of")
        if isinstance(name, str) and name in names and job.id not in names:
            found.setdefault(name, []).append(job)
    return found
