"""The last run of each pipeline as a text file that node_exporter's textfile collector reads.

The format: prometheus.io, "Exposition formats", text based, version 0.0.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lorchestra.report.summary import job_duration_s, run_duration_s
from lorchestra.report.text import moment_of
from runstore import RunView

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class _Metric(NamedTuple):
    """One metric: its name, and what it is."""

    name: str
    help: str


_START = _Metric("lorchestra_run_last_start_timestamp_seconds", "When the last run began.")
_END = _Metric("lorchestra_run_last_end_timestamp_seconds", "When the last run ended, if it did.")
_DURATION = _Metric("lorchestra_run_last_duration_seconds", "How long the last run took.")
_SUCCESS = _Metric("lorchestra_run_last_success", "Whether the last run succeeded, if it is over.")
_JOBS = _Metric("lorchestra_run_last_jobs", "How many jobs of the last run have each status.")
_JOB = _Metric("lorchestra_job_last_duration_seconds", "How long a job took in the last run.")
_METRICS = (_START, _END, _DURATION, _SUCCESS, _JOBS, _JOB)


def prometheus_text(views: Iterable[RunView]) -> bytes:
    """The file for some runs, one of each pipeline, in UTF-8."""
    samples: dict[_Metric, list[str]] = {metric: [] for metric in _METRICS}
    for view in views:
        for metric, labels, value in _samples(view):
            samples[metric].append(f"{metric.name}{_labels(labels)} {float(value)!r}\n")
    lines: list[str] = []
    for metric, own in samples.items():
        if own:
            lines.append(f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n")
            lines += own
    return "".join(lines).encode("utf-8", "replace")


def _samples(view: RunView) -> Iterator[tuple[_Metric, dict[str, str], float]]:
    labels = {"pipeline": view.pipeline or ""}
    for metric, at in ((_START, view.started), (_END, view.ended)):
        moment = moment_of(at)
        if moment is not None:
            yield metric, labels, moment.timestamp()
    took = run_duration_s(view)
    if took is not None:
        yield _DURATION, labels, took
    if view.status != "running":
        yield _SUCCESS, labels, view.status == "succeeded"
    for status, number in sorted(Counter(job.status for job in view.jobs.values()).items()):
        yield _JOBS, {**labels, "status": status}, number
    for job in view.jobs.values():
        seconds = job_duration_s(job)
        if seconds is not None:
            yield _JOB, {**labels, "job": job.id, "stage": job.stage or ""}, seconds


def _labels(labels: dict[str, str]) -> str:
    return (
        "{"
        + ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
        + "}"
    )
