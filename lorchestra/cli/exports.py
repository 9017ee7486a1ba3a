"""`lorchestra runs trace|junit|prometheus`: the record in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

import click

from lorchestra.cli import completing
from lorchestra.cli.options import LAST, open_store, run_id_of, store_option
from lorchestra.cli.outfile import out_option, put
from lorchestra.cli.secretsof import mask_of


@click.command("trace", short_help="Write RUN as a trace for Perfetto.")
@click.argument("run", default=LAST, shell_complete=completing.runs)
@out_option
@store_option
def trace(run: str, out: Path | None, store: Path | None) -> None:
    """Write RUN as a trace that Perfetto and Chrome open; without RUN, the last one."""
    from lorchestra.export.trace import trace_object
    from lorchestra.report.text import json_text

    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    put(json_text(trace_object(view)) + b"\n", out)


@click.command("junit", short_help="Write RUN as JUnit XML.")
@click.argument("run", default=LAST, shell_complete=completing.runs)
@out_option
@store_option
def junit(run: str, out: Path | None, store: Path | None) -> None:
    """Write RUN as JUnit XML, which CI services show as tests; without RUN, the last one.

    A stage is a suite, a job a case. The end of a failed job's log is in it, without secrets.
    """
    from lorchestra.export.junit import junit_xml

    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    put(junit_xml(view, mask_of(view)), out)


@click.command("prometheus", short_help="Write the last runs for Prometheus.")
@click.argument("run", required=False, shell_complete=completing.runs)
@out_option
@store_option
def prometheus(run: str | None, out: Path | None, store: Path | None) -> None:
    """Write the last run of each pipeline, or RUN alone, for node_exporter's textfile collector."""
    from lorchestra.export.prometheus import prometheus_text

    run_store = open_store(store)
    if run is not None:
        run_ids = [run_id_of(run_store, run)]
    else:
        last: dict[str | None, str] = {}
        for summary in run_store.runs():
            if summary.parent is None:
                last.setdefault(summary.pipeline, summary.id)
        run_ids = list(last.values())
    put(prometheus_text(map(run_store.read, run_ids)), out)
