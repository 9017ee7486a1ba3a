"""What a resume runs again, what it keeps, and why: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorchestra.model import Pipeline
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


def choices_for(pipeline: Pipeline, view: RunView, sha256: Mapping[str, str]) -> Choices:
    """Decide on every job of a pipeline, by what its run tells, and by the digests of its jobs."""
    # What has gone from the pipeline and come back is still what it was.
    before = {**{job.id: job for job in view.removed.values() if job.attempts}, **view.jobs}
    return {job.id: choose(sha256[job.id], before.get(job.id)) for job in pipeline.jobs}


def planned(
    pipeline: Pipeline, choices: Choices, sha256: Mapping[str, str], keys: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The plan as the run's record holds it; in a resume with the reason for each job.

    Args:
        pipeline: What runs.
        choices: What a resume does with each job; empty: it is a new run.
        sha256: The digest of each job.
        keys: The key of each job that has one of its own.
    """
    return [
        {
            "id": job.id,
            "stage": stage.name,
            "sha256": sha256[job.id],
            **({"key": keys[job.id]} if job.id in keys else {}),
            **({"reason": choices[job.id].reason} if job.id in choices else {}),
        }
        for stage in pipeline.stages
        for job in stage.jobs
    ]
