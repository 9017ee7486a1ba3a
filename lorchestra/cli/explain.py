"""`lorchestra explain`: why a job waited, ran, was skipped or cancelled."""

from __future__ import annotations

from pathlib import Path

import click

from lorchestra.cli import completing
from lorchestra.cli.options import (
    RunReferenceError,
    json_option,
    open_store,
    run_id_of,
    store_option,
)
from lorchestra.cli.printing import show, show_json
from lorchestra.report.text import local_time, printable, short
from lorchestra.wording import did_you_mean, near


@click.command("explain", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", shell_complete=completing.runs)
@click.argument("job", shell_complete=completing.jobs_of_run)
@store_option
@json_option
def command(run: str, job: str, store: Path | None, as_json: bool) -> None:
    """Tell what became of JOB in RUN, and why: what it waited for, each attempt, how it ended."""
    from lorchestra.report.explanation import explain

    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    found = view.jobs.get(job) or view.removed.get(job)
    if found is None:
        guesses = did_you_mean(near(job, view.jobs))
        raise RunReferenceError(f"run {view.id} has no job {job!r}{guesses}")
    moments = explain(view, found)
    if as_json:
        story = [{"at": moment.at or None, "what": moment.what} for moment in moments]
        about = {"run_id": view.id, "job_id": job, "stage": found.stage, "status": found.status}
        show_json({**about, "story": story})
        return
    show(printable(f"{short(job)} of run {view.id}: {found.status}"))
    for at, what in moments:
        when = local_time(at).partition(" ")[2] if at else ""
        show(printable(f"{when or '':8}  {short(what, 500)}"))
