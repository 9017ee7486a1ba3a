"""`lorchestra runstore repair`: mend what is damaged, and keep what was found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorchestra.cli import completing
from lorchestra.cli.counter import Counter
from lorchestra.cli.options import json_option, open_store, run_id_of, store_option
from lorchestra.cli.printing import show, show_json
from lorchestra.errors import EXIT_STORE
from lorchestra.report.text import counted, printable

if TYPE_CHECKING:
    from runstore import Finding, Mended, RepairReport, RunStore


@click.command("repair", short_help="Mend what is damaged, and keep what was found.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completing.runs)
@store_option
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@json_option
def command(runs: tuple[str, ...], store: Path | None, dry_run: bool, as_json: bool) -> None:
    """Mend RUN, or every run in which verify finds an error, and the store's own file.

    Beside every file that is replaced stays the original, as FILE.damaged. Exactly the damaged
    records are lost; the mended file says which. A second time it changes nothing.

    Exit code 0: no error is left; 3: some error is, or there is no store; 75: RUN is at work.
    """
    run_store = open_store(store)
    mending = _Mending(run_store, dry_run=dry_run)
    with Counter() as counter:
        if runs:
            run_ids = dict.fromkeys(run_id_of(run_store, run) for run in runs)
            mending.mend_named(list(run_ids), counter)
        else:
            mending.mend_all(counter)
    if as_json:
        show_json(mending.as_dict())
    else:
        mending.show()
    if mending.errors:
        raise click.exceptions.Exit(EXIT_STORE)


class _Mending:
    """What was done, and what is left.

    Attributes:
        errors: What `verify` finds afterwards.
    """

    def __init__(self, store: RunStore, *, dry_run: bool) -> None:
        self.errors: list[Finding] = []
        self._store = store
        self._dry_run = dry_run
        self._mended: list[Mended] = []
        self._left: dict[str, str] = {}

    def mend_named(self, run_ids: list[str], counter: Counter) -> None:
        begin = counter.counting("mending run", len(run_ids))
        for run_id in run_ids:
            begin(run_id)
            self._mend(run_id)
        self.errors = self._store.verify(run_ids).errors

    def mend_all(self, counter: Counter) -> None:
        """Mend whatever has an error; a run that is at work is left, as an error."""
        from runstore import RunIsAliveError

        self._take(self._store.repair_store_file(dry_run=self._dry_run))
        begin = counter.counting("verifying run", len(self._store.run_ids()))
        found = self._store.verify(on_run=begin).errors
        damaged = sorted({_run_of(error) for error in found} & set(self._store.run_ids()))
        begin = counter.counting("mending run", len(damaged))
        for run_id in damaged:
            begin(run_id)
            try:
                self._mend(run_id)
            except RunIsAliveError as error:
                self._left[f"runs/{run_id}"] = str(error)
        begin = counter.counting("verifying run", len(damaged))
        others = [error for error in found if _run_of(error) not in damaged]
        self.errors = others + self._store.verify(damaged, on_run=begin).errors

    def _mend(self, run_id: str) -> None:
        self._take(self._store.repair(run_id, dry_run=self._dry_run))

    def _take(self, report: RepairReport) -> None:
        self._mended += report.mended
        self._left |= report.left

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": not self.errors,
            "store": self._store.path,
            "dry_run": self._dry_run,
            "mended": [asdict(mended) for mended in self._mended],
            "lost_records": self._lost_records,
            "left": [{"path": path, "reason": why} for path, why in self._left.items()],
            "errors": [asdict(error) for error in self.errors],
        }

    @property
    def _lost_records(self) -> int:
        return sum(last - first + 1 for mended in self._mended for first, last in mended.lost)

    def show(self) -> None:
        for mended in self._mended:
            show(printable(f"{mended.path}: {self._told(mended)}"))
        for path, why in self._left.items():
            show(printable(f"{path}: left alone: {why}"))
        for error in self.errors if not self._dry_run else []:
            show(printable(f"error {error}"))
        show(printable(f"{self._store.path}: {self._verdict()}"))

    def _told(self, mended: Mended) -> str:
        action = f"would be {mended.action}" if self._dry_run else mended.action
        told = [action]
        if mended.kept or mended.lost:
            told.append(f"{counted(mended.kept, 'record')} kept")
        told += [
            f"record {first} lost" if first == last else f"records {first} to {last} lost"
            for first, last in mended.lost
        ]
        if mended.original is not None:
            where = "to be kept as" if self._dry_run else "as it was found:"
            told.append(f"{where} {mended.original}")
        return "; ".join(told)

    def _verdict(self) -> str:
        if not self._mended and not self.errors:
            return "nothing to mend"
        done = "would be mended" if self._dry_run else "mended"
        lost = f"{counted(self._lost_records, 'record')} lost"
        left = f"{counted(len(self.errors), 'error')} {'now' if self._dry_run else 'left'}"
        return f"{counted(len(self._mended), 'file')} {done}; {lost}; {left}"


def _run_of(error: Finding) -> str:
    """The name in `runs/` that a finding is below; empty: it is not."""
    folder, _, rest = error.path.partition("/")
    return rest.partition("/")[0] if folder == "runs" else ""
