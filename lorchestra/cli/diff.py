"""`lorchestra runs diff`: what is another between two runs."""

from __future__ import annotations

from pathlib import Path

import click

from lorchestra.cli import completing
from lorchestra.cli.options import LAST, json_option, open_store, run_id_of, store_option
from lorchestra.cli.printing import show, show_json
from lorchestra.report.text import duration, local_time, printable, short, table


@click.command("diff", short_help="Say what is another in AFTER than in BEFORE.")
@click.argument("before", shell_complete=completing.runs)
@click.argument("after", default=LAST, shell_complete=completing.runs)
@store_option
@json_option
def command(before: str, after: str, store: Path | None, as_json: bool) -> None:
    """Say what is another in the run AFTER than in BEFORE: what failed anew, what is slower.

    AFTER is the last run by default. Slower, or faster, is a job that took a fifth and a tenth of a
    second more, or less.
    """
    from lorchestra.report.difference import changes, difference_object
    from lorchestra.report.summary import run_duration_s

    run_store = open_store(store)
    views = [run_store.read(run_id_of(run_store, run)) for run in (before, after)]
    if as_json:
        show_json(difference_object(*views))
        return
    for name, view in zip(("before", "after "), views, strict=True):
        when, took = local_time(view.started), duration(run_duration_s(view))
        about = f"{short(view.pipeline or '-')}, {view.status} in {took}, {when}"
        show(printable(f"{name}  {view.id}  {about}"))
    rows = [
        (
            change.job_id,
            change.what,
            f"{change.before or '-'}, {duration(change.before_s)}",
            f"{change.after or '-'}, {duration(change.after_s)}",
        )
        for change in changes(*views)
    ]
    show("")
    show(table(("JOB", "CHANGE", "BEFORE", "AFTER"), rows) if rows else "nothing is another")
