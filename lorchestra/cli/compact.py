"""`lorchestra runstore compact`: fold finished runs into one file each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.cli import completing
from lorchestra.cli.counter import Counter
from lorchestra.cli.options import json_option, open_store, run_id_of, store_option
from lorchestra.cli.printing import show, show_json
from lorchestra.cli.units import Duration
from lorchestra.errors import EXIT_STORE
from lorchestra.report.text import counted, moment_of, printable

if TYPE_CHECKING:
    from runstore import Compacted, RunStore


@click.command("compact", short_help="Fold finished runs into one file each.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completing.runs)
@click.option(
    "--older-than",
    type=Duration(),
    metavar="AGE",
    help="Of all runs only those that ended longer ago, such as 7d or 12h.",
)
@store_option
@json_option
def command(
    runs: tuple[str, ...], older_than: timedelta | None, store: Path | None, as_json: bool
) -> None:
    """Fold the files of RUN into one sealed file, or those of all runs that have ended.

    It reads and verifies the same, every line as it was. The files that it stands for are removed
    when it is on the disk and was compared with them, byte for byte. Logs stay as they are.

    Exit code 0: done; 3: a run is damaged, or was killed before its end, or there is no store; 75:
    RUN is at work.
    """
    from runstore import StoreNotFoundError

    if runs and older_than is not None:
        raise click.UsageError("--older-than is for all runs: name none")
    run_store = open_store(store)
    if not run_store.exists():
        raise StoreNotFoundError(run_store.path)
    left: dict[str, str] = {}
    with Counter() as counter:
        if runs:
            run_ids = [run_id_of(run_store, run) for run in runs]
            done = [_compact(run_store, run_id, counter) for run_id in run_ids]
        else:
            done = list(_compact_all(run_store, older_than, left, counter))
    if as_json:
        listed = [{"run_id": run_id, "reason": reason} for run_id, reason in left.items()]
        show_json({"store": run_store.path, "compacted": list(map(asdict, done)), "left": listed})
    else:
        _show(run_store, done, left)
    if left:
        raise click.exceptions.Exit(EXIT_STORE)


def _compact(store: RunStore, run_id: str, counter: Counter) -> Compacted:
    what = f"compacting run {run_id}: byte"
    return store.compact(run_id, on_bytes=lambda done, total: counter.tell(what, done, total))


def _compact_all(
    store: RunStore, older_than: timedelta | None, left: dict[str, str], counter: Counter
) -> Iterator[Compacted]:
    """Compact all runs that have ended; a damaged one is left, with the reason."""
    from runstore import RunDamagedError

    begin = counter.counting("looking at run", len(store.run_ids()))
    for summary in store.runs():
        begin(summary)
        if summary.ended is None or not _is_older(summary.ended, older_than):
            continue
        try:
            yield _compact(store, summary.id, counter)
        except RunDamagedError as error:
            left[summary.id] = str(error)


def _is_older(ended: str, older_than: timedelta | None) -> bool:
    if older_than is None:
        return True
    at = moment_of(ended)
    return at is not None and datetime.now(UTC) - at > older_than


def _show(store: RunStore, done: list[Compacted], left: dict[str, str]) -> None:
    changed = [each for each in done if each.removed]
    for each in changed:
        folded = f"{counted(each.parts, 'file')} in {counted(each.size_bytes, 'byte')}"
        show(printable(f"{each.path}: {folded}"))
    for reason in left.values():
        show(printable(reason))
    removed = sum(each.removed for each in changed)
    told = f"{counted(len(changed), 'run')} compacted, {counted(removed, 'file')} removed"
    show(printable(f"{store.path}: {told}; {counted(len(left), 'run')} left"))
