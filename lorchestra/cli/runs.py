"""`lorchestra runs`: what ran, how it ended, and what it printed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.cli import completing, diff, exports, logs, watch
from lorchestra.cli.options import (
    LAST,
    json_option,
    open_store,
    run_id_of,
    store_option,
)
from lorchestra.cli.printing import say, show, show_json
from lorchestra.cli.units import Since
from lorchestra.report.text import (
    counted,
    duration,
    elapsed_s,
    local_time,
    moment_of,
    printable,
    short,
    status_counts,
    table,
)
from lorchestra.wording import quoted

if TYPE_CHECKING:
    from runstore import Job, RunSummary, RunView


@click.group("runs", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List past and present runs, show one, or print a job's log.

    RUN is an id, the beginning of one, or `last`.
    """


for _each in (
    logs.command,
    watch.command,
    diff.command,
    exports.trace,
    exports.junit,
    exports.prometheus,
):
    command.add_command(_each)


@command.command("list")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option("--pipeline", metavar="NAME", help="Only runs of this pipeline.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(["running", "succeeded", "failed", "interrupted", "crashed"]),
    multiple=True,
    help="Only runs that ended so; may be given several times.",
)
@click.option(
    "--since",
    type=Since(),
    metavar="WHEN",
    help="Only runs that began since then: a date, with a time if need be, or how long ago.",
)
@click.option("--run-key", metavar="KEY", help="Only runs under this run key.")
@click.option("--inside", is_flag=True, help="Also runs inside others.")
@store_option
@json_option
def list_(
    limit: int,
    pipeline: str | None,
    statuses: tuple[str, ...],
    since: datetime | None,
    run_key: str | None,
    inside: bool,
    store: Path | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    run_store = open_store(store)
    wanted = (
        run
        for run in _since(run_store.runs(), since)
        if (pipeline is None or run.pipeline == pipeline)
        and (not statuses or run.status in statuses)
        and (run_key is None or run.run_key == run_key)
        and (inside or run.parent is None)
    )
    summaries = list(itertools.islice(wanted, limit))
    if as_json:
        show_json([_summary_object(summary) for summary in summaries])
        return
    if not summaries:
        is_any = not (pipeline or statuses or since)
        under = "" if run_key is None else f" under the run key {quoted(run_key)}"
        say(f"no {'' if is_any else 'such '}run{under} in the store {run_store.path}")
        return
    has_keys = any(summary.run_key is not None for summary in summaries)
    rows = [
        (
            summary.id,
            summary.pipeline or "-",
            summary.status,
            local_time(summary.started),
            duration(elapsed_s(summary.started, summary.ended)),
            *([summary.run_key or "-"] if has_keys else []),
        )
        for summary in summaries
    ]
    heads = ("RUN", "PIPELINE", "STATUS", "STARTED", "DURATION", *(["KEY"] if has_keys else []))
    show(table(heads, rows))


@command.command("show")
@click.argument("run", default=LAST, shell_complete=completing.runs)
@store_option
@json_option
def show_(run: str, store: Path | None, as_json: bool) -> None:
    """Show RUN, job by job; without RUN, the last one."""
    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    if as_json:
        from lorchestra.report import run_object

        show_json(run_object(view))
    else:
        show(_run_text(view))


def _since(runs: Iterator[RunSummary], since: datetime | None) -> Iterator[RunSummary]:
    """The runs that began since a moment; the first that did not is the last that is read."""
    for run in runs:
        began = moment_of(run.started)
        if since is not None and began is not None and began < since:
            return
        yield run


def _summary_object(summary: RunSummary) -> dict[str, object]:
    elapsed = elapsed_s(summary.started, summary.ended)
    return {
        "run_id": summary.id,
        "pipeline_id": summary.pipeline,
        "run_key": summary.run_key,
        "status": summary.status,
        "started": summary.started,
        "ended": summary.ended,
        "duration_ms": None if elapsed is None else round(elapsed * 1000, 3),
        **({} if summary.parent is None else {"parent": summary.parent}),
    }


def _parent(view: RunView) -> str:
    """The run inside which a run ran, and the job that it was there."""
    parent = view.begin.get("parent")
    if not isinstance(parent, dict):
        return ""
    return f"{parent.get('run')}, job {short(str(parent.get('job')))}"


def _remark(job: Job) -> str:
    """Why a job did not succeed, or did without running; of a pipeline otherwise its run."""
    from lorchestra.report.summary import error_of

    if job.kept:
        return job.reason or ""
    child = job.attempts[-1].child if job.attempts else None
    if job.status in {"succeeded", "running", "planned"}:
        return f"run {child}" if child else ""
    text = error_of(job)
    return text if child is None or child in text else f"{text}; run {child}"


def _resumed(view: RunView, took: str) -> str:
    """How often a run was resumed, and when and for how long it ran the last time."""
    at = view.begin.get("at")
    last = f"last {local_time(at)}, took {took}" if isinstance(at, str) else f"took {took}"
    return f"resumed   {counted(view.segment - 1, 'time')}, {last}"


def _run_text(view: RunView) -> str:
    from collections import Counter

    from lorchestra.report.summary import job_duration_s, run_duration_s

    counts = Counter(job.status for job in view.jobs.values())
    took = duration(run_duration_s(view))
    lines = [
        f"run       {view.id}",
        f"pipeline  {short(view.pipeline or '-')}",
        *([] if view.run_key is None else [f"run key   {short(view.run_key)}"]),
        f"status    {view.status}" + (f" ({short(view.note)})" if view.note else ""),
        f"started   {local_time(view.started)}{'' if view.segment > 1 else f', took {took}'}",
        f"jobs      {counted(len(view.jobs), 'job')}: {status_counts(counts)}",
        *([f"parent    {_parent(view)}"] if _parent(view) else []),
        *([_resumed(view, took)] if view.segment > 1 else []),
        f"receipt   {view.receipt or '-'}",
        f"folder    {view.path}",
        "",
    ]
    rows = [
        (
            job.stage or "-",
            job.id,
            job.status,
            str(len(job.attempts)),
            duration(job_duration_s(job)),
            _remark(job),
        )
        for job in view.jobs.values()
    ]
    jobs = table(("STAGE", "JOB", "STATUS", "ATTEMPTS", "DURATION", ""), rows)
    return "\n".join([*map(printable, lines), jobs])
