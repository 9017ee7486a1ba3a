"""Two runs side by side: what failed anew, what is mended, what takes longer: pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lorchestra.report.summary import job_duration_s, run_duration_s
from runstore import Job, RunView

# What differs by less is noise to a person who looks for what got slower.
_RATIO, _LEAST_S = 1.2, 0.1


class JobChange(NamedTuple):
    """What is another of one job.

    Attributes:
        job_id: The job.
        what: `failed anew`, `mended`, `added`, `removed`, `slower`, `faster`, or another status.
        before: Its status in the first run; None: that has no such job.
        after: Its status in the second one.
        before_s: How long its attempts took in the first, in seconds; None: not known.
        after_s: How long in the second.
    """

    job_id: str
    what: str
    before: str | None
    after: str | None
    before_s: float | None
    after_s: float | None


def changes(before: RunView, after: RunView) -> list[JobChange]:
    """What is another between two runs; what failed anew first, then what takes longer by most."""
    found = [change for change in _changes(before, after) if change.what]
    return sorted(found, key=_rank)


def difference_object(before: RunView, after: RunView) -> dict[str, Any]:
    """The same for programs."""
    return {
        "before": _run(before),
        "after": _run(after),
        "changes": [
            {
                "job_id": change.job_id,
                "change": change.what,
                "before": {"status": change.before, "duration_ms": _ms(change.before_s)},
                "after": {"status": change.after, "duration_ms": _ms(change.after_s)},
            }
            for change in changes(before, after)
        ],
    }


def _run(view: RunView) -> dict[str, Any]:
    return {
        "run_id": view.id,
        "pipeline_id": view.pipeline,
        "status": view.status,
        "duration_ms": _ms(run_duration_s(view)),
    }


def _changes(before: RunView, after: RunView) -> Iterator[JobChange]:
    for job_id in {**after.jobs, **before.jobs}:
        one, two = before.jobs.get(job_id), after.jobs.get(job_id)
        yield JobChange(
            job_id,
            _what(one, two),
            one.status if one else None,
            two.status if two else None,
            job_duration_s(one) if one else None,
            job_duration_s(two) if two else None,
        )


def _what(one: Job | None, two: Job | None) -> str:
    if one is None or two is None:
        return "added" if one is None else "removed"
    if one.status != two.status:
        if one.status == "succeeded":
            return "failed anew" if two.attempts else f"now {two.status}"
        return "mended" if two.status == "succeeded" else f"now {two.status}"
    return _pace(job_duration_s(one), job_duration_s(two))


def _pace(one: float | None, two: float | None) -> str:
    if one is None or two is None or abs(two - one) < _LEAST_S:
        return ""
    if two > one * _RATIO:
        return "slower"
    return "faster" if one > two * _RATIO else ""


_ORDER = ("failed anew", "now", "mended", "slower", "faster", "added", "removed")


def _rank(change: JobChange) -> tuple[int, float]:
    place = next(n for n, word in enumerate(_ORDER) if change.what.startswith(word))
    return place, -abs((change.after_s or 0) - (change.before_s or 0))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
