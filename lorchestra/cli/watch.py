"""`lorchestra runs watch`: what a run does, live, from another terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path

import click

from lorchestra.cli import completing
from lorchestra.cli.display import Display, refuse_mixed
from lorchestra.cli.options import LAST, open_store, output_option, run_id_of, store_option
from lorchestra.cli.printing import say
from lorchestra.cli.secretsof import mask_of
from lorchestra.errors import EXIT_JOB_FAILED, EXIT_OK
from lorchestra.report.text import local_time


@click.command("watch", short_help="Show what RUN does, live.")
@click.argument("run", default=LAST, shell_complete=completing.runs)
@click.option(
    "--progress",
    type=click.Choice(["plain", "json"]),
    default="plain",
    show_default=True,
    help="plain: a line for every change; json: a JSON object for each, for programs.",
)
@output_option
@store_option
def command(run: str, progress: str, output: str | None, store: Path | None) -> None:
    """Show what RUN does, from its beginning until it is over, and goes on when it is resumed.

    Without RUN it is the last one. It is read from the store: nothing is asked of the run itself,
    and it may be over already.

    Exit code 0: it succeeded; 1: it did not, or was killed. Ctrl-C ends only this.
    """
    from lorchestra.progress import RunFinished
    from lorchestra.watching import Watch

    refuse_mixed(progress, output)
    run_store = open_store(store)
    run_id = run_id_of(run_store, run)
    at = ""
    status = None
    mask = partial(mask_of, run_store.read(run_id))

    def clock() -> str:
        return local_time(at).partition(" ")[2]

    shown = Display(progress, output, mask, os.environ, clock=clock)
    with contextlib.closing(shown) as display:
        for moment, event in Watch(run_store, run_id).events(run_store.follow(run_id)):
            at = moment
            for handle in display.handlers:
                handle(event)
            status = event.status if isinstance(event, RunFinished) else None
        display.failed(shown=f"lorchestra runs show {run_id}")
    if status is None and progress == "plain":
        say(f"lorchestra: run {run_id} is over without an end: it was killed, or is gone")
    sys.exit(EXIT_OK if status == "succeeded" else EXIT_JOB_FAILED)
