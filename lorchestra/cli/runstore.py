"""`lorchestra runstore`: prove the run records, keep them in order, or print them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.cli import compact, completing, prune, repair, stats
from lorchestra.cli.counter import Counter
from lorchestra.cli.options import (
    LAST,
    json_option,
    open_store,
    run_id_of,
    store_option,
)
from lorchestra.cli.printing import show, show_json, write
from lorchestra.errors import EXIT_STORE
from lorchestra.report.text import counted, printable

if TYPE_CHECKING:
    from runstore import Finding, Report

_ADVICE = {
    "receipt-mismatch": "the run was changed or put back after it gave this receipt",
    "bad-version": "read it with the version of lorchestra that wrote it, or a newer one",
}
_OTHER_ADVICE = (
    "every other record can still be read; put it back from a backup, or let "
    "`lorchestra runstore repair` mend the run: it keeps what it finds"
)


@click.group("runstore", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Verify, repair, compact, prune or print the run records.

    RUN is an id, the beginning of one, or `last`.
    """


@command.command("verify", short_help="Say what is damaged or missing.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completing.runs)
@store_option
@click.option(
    "--receipt",
    metavar="N:CRC",
    help="What RUN printed at its end: proves that it was not changed or put back since.",
)
@click.option("--strict", is_flag=True, help="Also parse every record; slower.")
@click.option(
    "--max-workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many processes may read, once it has taken a second; default: one per processor.",
)
@json_option
def verify(
    runs: tuple[str, ...],
    store: Path | None,
    receipt: str | None,
    strict: bool,
    max_workers: int | None,
    as_json: bool,
) -> None:
    """Read every record of RUN, or of the whole store, and say what is damaged or missing.

    Errors name the file, the line and the byte. Notes are what a killed or running process leaves:
    they are no errors. Nothing is written; a run may be at work meanwhile.

    Exit code 0: no error; 3: an error was found, or there is no store.
    """
    if receipt is not None and len(runs) != 1:
        raise click.UsageError("--receipt is of one run: name it")
    run_store = open_store(store)
    run_ids = list(dict.fromkeys(run_id_of(run_store, run) for run in runs)) or None
    with Counter() as counter:
        begin = counter.counting("verifying run", len(run_ids or run_store.run_ids()))
        report = run_store.verify(
            run_ids, receipt=receipt, strict=strict, on_run=begin, workers=max_workers
        )
    if as_json:
        # Not as_dict(): with very many findings, plain values of each would be a second copy.
        show_json(
            {"ok": report.ok, **{each.name: getattr(report, each.name) for each in fields(report)}}
        )
    else:
        _show(report)
    if not report.ok:
        raise click.exceptions.Exit(EXIT_STORE)


@command.command("cat", short_help="Print the records of a run as JSON lines.")
@click.argument("run", default=LAST, shell_complete=completing.runs)
@store_option
def cat(run: str, store: Path | None) -> None:
    """Print all records of RUN as JSON lines, merged by time; without RUN, of the last one.

    Records of an attempt have `job` and `attempt` besides. Damaged ones are left out.
    """
    import orjson

    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in view.records())


for _module in (repair, compact, prune, stats):
    command.add_command(_module.command)


def _show(report: Report) -> None:
    for finding in report.errors:
        show(printable(f"error {finding}"))
        show(f"      {_ADVICE.get(finding.code, _OTHER_ADVICE)}")
    for finding in report.notes:
        show(printable(f"note  {_short(finding)}"))
    size = (
        f"{counted(report.runs, 'run')}, {counted(report.segments, 'file')}, "
        f"{counted(report.records, 'record')}, {counted(report.bytes, 'byte')}"
    )
    found = f"{counted(len(report.errors), 'error')}, {counted(len(report.notes), 'note')}"
    verdict = "whole" if report.ok else "NOT whole"
    show(printable(f"{report.store}: {verdict}: {size}; {found}"))


def _short(finding: Finding) -> str:
    return f"{finding.code}: {finding.path}: {finding.detail}"
