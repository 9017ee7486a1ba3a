"""`lorchestra runstore stats`: how much a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.cli.counter import Counter
from lorchestra.cli.options import json_option, open_store, store_option
from lorchestra.cli.printing import show, show_json
from lorchestra.report.text import counted, local_time, printable, status_counts, table

if TYPE_CHECKING:
    from runstore import RunSize, StoreStats


@click.command("stats", short_help="Count runs, files and bytes.")
@store_option
@json_option
def command(store: Path | None, as_json: bool) -> None:
    """Count the runs, files and bytes of the store, and those of each pipeline.

    The bytes are those of all files: records, logs, outputs, and what repairs have kept.
    """
    run_store = open_store(store)
    with Counter() as counter:
        begin = counter.counting("looking at run", len(run_store.run_ids()))
        stats = run_store.stats(on_run=begin)
    if as_json:
        show_json(stats.as_dict())
    else:
        show(_text(stats))


def _text(stats: StoreStats) -> str:
    size = (
        f"{counted(stats.runs, 'run')}, {counted(stats.files, 'file')}, "
        f"{counted(stats.size_bytes, 'byte')}"
    )
    tables = [
        table(
            ("PIPELINE", "RUNS", "BYTES", "STATUS"),
            [
                (
                    printable(each.pipeline or "-"),
                    f"{each.runs:,}",
                    f"{each.size_bytes:,}",
                    status_counts(each.statuses),
                )
                for each in stats.pipelines
            ],
        ),
        table(
            ("", "RUN", "PIPELINE", "STATUS", "STARTED", "FILES", "BYTES"),
            [
                *_rows("oldest", stats.oldest),
                *_rows("newest", stats.newest),
                *(row for run in stats.largest for row in _rows("largest", run)),
            ],
        ),
    ]
    return "\n\n".join([printable(f"{stats.store}: {size}"), *(tables if stats.runs else [])])


def _rows(what: str, run: RunSize | None) -> list[tuple[str, ...]]:
    if run is None:
        return []
    pipeline, started = printable(run.pipeline or "-"), local_time(run.started)
    return [(what, run.id, pipeline, run.status, started, f"{run.files:,}", f"{run.size_bytes:,}")]
