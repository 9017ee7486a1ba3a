"""One run as one object: what `pipeline --json` prints at its end and `runs show --json` later."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lorchestra.plan import NOT_SELECTED
from lorchestra.report.text import elapsed_s
from runstore import Attempt, Job, RunView

_NEVER_BEGAN = frozenset({"planned", "cancelled", "skipped"})
_REPORTED_FAILURES = frozenset({"failed", "timed_out", "crashed"})


def run_object(view: RunView) -> dict[str, Any]:
    """The object that programs read.

    Args:
        view: The run as its record tells.

    Returns:
        `run_id`, `pipeline_id`, `run_key`, `status`, `success`, `total`, `succeeded`, `failed`
        (every job that began and did not succeed), `failures` (of jobs failed, timed out or
        crashed), `duration_ms`, `stopped_early`, `receipt` and `jobs`, in declared order. What is
        not known yet is None.
    """
    jobs = list(view.jobs.values())
    counts = Counter(job.status for job in jobs)
    return {
        "run_id": view.id,
        "pipeline_id": view.pipeline,
        "run_key": view.run_key,
        "status": view.status,
        "success": view.status == "succeeded",
        "total": len(jobs),
        "succeeded": counts["succeeded"],
        "failed": sum(map(_began_and_failed, jobs)),
        "failures": [
            {"job_id": job.id, "error": error_of(job)}
            for job in jobs
            if job.status in _REPORTED_FAILURES
        ],
        "duration_ms": None if (duration_s := run_duration_s(view)) is None else _ms(duration_s),
        "stopped_early": any(map(_is_missing, jobs)),
        "receipt": view.receipt,
        "jobs": [_job_object(view, job) for job in jobs],
    }


def error_of(job: Job) -> str:
    """Why a job did not succeed, as a sentence."""
    last = job.attempts[-1] if job.attempts else None
    if (said := last.error if last else job.reason) is not None:
        return said
    if job.status == "crashed":
        return "was running when the run was killed"
    return f"the job ended with status {job.status}"


def run_duration_s(view: RunView) -> float | None:
    """How long a run took, the last time if it was resumed, in seconds; None: it has not ended.

    By the monotonic clock where the record has it, else by the wall clock.
    """
    measured = view.end.get("duration_s")
    if isinstance(measured, int | float):
        return measured
    return elapsed_s(view.begin.get("at"), view.ended)


def job_duration_s(job: Job) -> float | None:
    """How long all attempts of a job took together, in seconds; None: none has ended."""
    durations = [_attempt_duration_s(attempt) for attempt in job.attempts]
    known = [duration for duration in durations if duration is not None]
    return sum(known) if known else None


def why_in_resume(job: Job) -> str | None:
    """Why the last resume of the run kept the job, or ran it again; None: it was not resumed."""
    reason = job.planned.get("reason")
    return reason if isinstance(reason, str) else None


def _began_and_failed(job: Job) -> bool:
    return job.status not in _NEVER_BEGAN and job.status not in {"succeeded", "running"}


def _is_missing(job: Job) -> bool:
    """Whether a job did not run although it was to."""
    was_left_out = (job.reason or "").startswith(NOT_SELECTED)
    return job.status in {"cancelled", "skipped"} and not was_left_out


def _job_object(view: RunView, job: Job) -> dict[str, Any]:
    last = job.attempts[-1] if job.attempts else None
    duration_s, reason = job_duration_s(job), why_in_resume(job)
    return {
        "job_id": job.id,
        "stage": job.stage,
        "status": job.status,
        "attempts": len(job.attempts),
        "exit_code": last.exit_code if last and not job.kept else None,
        "duration_ms": None if duration_s is None else _ms(duration_s),
        "log": view.log_path(job.id),
        **({} if reason is None else {"resumed": reason}),
        **({"kept": job.reason} if job.kept else {}),
        **({} if last is None or last.child is None else {"run_id": last.child}),
    }


def _attempt_duration_s(attempt: Attempt) -> float | None:
    return attempt.duration_s if isinstance(attempt.duration_s, int | float) else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
