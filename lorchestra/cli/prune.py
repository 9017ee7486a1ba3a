"""`lorchestra runstore prune`: remove old runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from lorchestra.cli.counter import Counter
from lorchestra.cli.options import json_option, open_store, store_option
from lorchestra.cli.printing import show, show_json
from lorchestra.cli.units import Duration, Size
from lorchestra.report.text import counted, printable


@click.command("prune", short_help="Remove old runs.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Remove all but the N newest runs of each pipeline.",
)
@click.option(
    "--older-than",
    type=Duration(),
    metavar="AGE",
    help="Remove runs that ended, or were killed, longer ago, such as 30d or 12h.",
)
@click.option(
    "--max-bytes",
    type=Size(),
    metavar="SIZE",
    help="Remove the oldest runs until the store is no larger, such as 10GB or 1GiB.",
)
@click.option("--dry-run", is_flag=True, help="Say which runs would be removed; write nothing.")
@store_option
@json_option
def command(
    keep: int | None,
    older_than: timedelta | None,
    max_bytes: int | None,
    dry_run: bool,
    store: Path | None,
    as_json: bool,
) -> None:
    """Remove each run that a rule names, with its logs; at least one rule is needed.

    A run that is at work is never removed, nor one of another machine that has no end. Only
    --older-than and --max-bytes can remove the newest run of a pipeline.
    """
    if keep is None and older_than is None and max_bytes is None:
        raise click.UsageError("give at least one of --keep, --older-than and --max-bytes")
    run_store = open_store(store)
    with Counter() as counter:
        removed = run_store.prune(
            keep,
            older_than,
            max_bytes,
            dry_run=dry_run,
            on_progress=lambda what, done, total: counter.tell(f"{what} run", done + 1, total),
        )
    if as_json:
        show_json({"store": run_store.path, "dry_run": dry_run, "removed": removed})
        return
    action = "would be removed" if dry_run else "removed"
    for run_id in removed:
        show(f"{run_id} {action}")
    show(printable(f"{run_store.path}: {counted(len(removed), 'run')} {action}"))
