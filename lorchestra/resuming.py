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

FORGOTTEN = Choice(False, "its output had a secret, which is not recorded", "succeeded")


def choose(sha256: str, before: JobBefore | None) -> Choice:
    """Decide on one job.

    Args:
        sha256: The digest of the job as it is defined now.
        before: What became of it in the run so far; None: the run did not have it.
    """
    if before is None:
        return Choice(False, "new in the pipeline")
    if before.kept:
        status, sha256_before = "succeeded", before.kept.get("sha256")
    elif before.attempts:
        status, sha256_before = before.attempts[-1].status, before.attempts[-1].sha256
    else:
        return Choice(False, _DID_NOT_START)
    if status != "succeeded":
        return Choice(False, _WHY_AGAIN.get(status, _DID_NOT_START), status)
    # Where damage took the record of the definition, nothing tells that it is another one.
    if sha256_before is not None and sha256_before != sha256:
        return Choice(False, "definition changed", status)
    return Choice(True, "succeeded before", status)


def jobs_before(view: RunView) -> dict[str, JobBefore]:
    """The jobs that a run has had; what has gone from the pipeline is still what it was."""
    return {**{job.id: job for job in view.removed.values() if job.attempts}, **view.jobs}


def choices_for(pipeline: Pipeline, view: RunView, sha256: Mapping[str, str]) -> Choices:
    """Decide on every job of a pipeline, by what its run tells, and by the digests of its jobs."""
    before = jobs_before(view)
    return {job.id: choose(sha256[job.id], before.get(job.id)) for job in pipeline.jobs}


def planned(
    pipeline: Pipeline,
    choices: Choices,
    sha256: Mapping[str, str],
    keys: Mapping[str, str],
    items: Mapping[str, Sequence[JobBefore]] | None = None,
) -> list[dict[str, Any]]:
    """The plan as the run's record holds it; in a resume with the reason for each job.

    Args:
        pipeline: What runs.
        choices: What a resume does with each job; empty: it is a new run.
        sha256: The digest of each job.
        keys: The key of each job that has one of its own.
        items: The jobs that loops have been unfolded to before, by the id of the job as written:
            they stay the run's until the loops are unfolded again.
    """
    plan = []
    for stage in pipeline.stages:
        for job in stage.jobs:
            unfolded = (items or {}).get(job.id, ())
            # What becomes of its items, and why, is said when they are known again.
            choice = None if unfolded else choices.get(job.id)
            plan.append(planned_job(job, stage.name, sha256[job.id], choice, keys.get(job.id)))
            plan += [_without_reason(each.planned) for each in unfolded]
    return plan


def _without_reason(planned: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in planned.items() if name != "reason"}


def planned_job(
    job: Job, stage: str, sha256: str, choice: Choice | None, key: str | None = None
) -> dict[str, Any]:
    """What the plan says of one job."""
    return {
        "id": job.id,
        "stage": stage,
        "sha256": sha256,
        **({} if job.item is None else {"of": job.item.of}),
        **({} if key is None else {"key": key}),
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
