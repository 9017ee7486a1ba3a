"""Prove a store: read every file, hold each against itself and against what others say of it.

Errors say that something written is no longer there as it was. Notes say what is normal for a
process that was killed, or that is still at work. A live run is verified without a lock and
without a false alarm: see `inventory` for the order of reading that makes this so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from runstore import files, layout
from runstore.errors import RunNotFoundError
from runstore.reading.inventory import folder_of_run
from runstore.storefile import store_file_problem
from runstore.verifying.findings import Report, add_up
from runstore.verifying.run_check import RunCheck
from runstore.verifying.workers import each

_FEW = 8


def verify(
    store: str,
    run_ids: Iterable[str] | None = None,
    *,
    receipt: str | None = None,
    strict: bool = False,
    on_run: Callable[[str], None] | None = None,
    workers: int | None = 1,
) -> Report:
    """Verify a store, or some of its runs.

    Args:
        store: Its path.
        run_ids: The runs to read; None: all, and the store's own file.
        receipt: `n:crc` that a run printed at its end; every run named must have it.
        strict: Also parse every record and check the fields that all have.
        on_run: Called with each run's id before its turn, to show progress.
        workers: How many processes may read, once it has taken a second; 1: only this one; None:
            as many as there are processors.

    Raises:
        RunNotFoundError: A run named is not there.
        ValueError: The receipt is no text.
        OSError: A file cannot be read.

    Memory is constant in the number of records; time grows with the bytes.
    """
    if receipt is not None and not isinstance(receipt, str):
        raise ValueError(f"a receipt is a text, n:crc, not {receipt!r}")
    report = Report(store)
    is_all = run_ids is None
    if run_ids is None:
        _verify_store_file(report)
        run_ids = _all_runs(report)
    run_ids = list(dict.fromkeys(run_ids))
    # With few runs it is the files of each that are shared out.
    is_split = len(run_ids) < _FEW
    verify_one = partial(
        _verify_run,
        store,
        receipt=receipt,
        strict=strict,
        may_be_gone=is_all,
        workers=workers if is_split else 1,
    )
    found = each(verify_one, run_ids, workers=1 if is_split else workers)
    for run_id in run_ids:
        if on_run is not None:
            on_run(run_id)
        add_up(report, next(found))
    return report


def _verify_run(
    store: str,
    run_id: str,
    *,
    receipt: str | None,
    strict: bool,
    may_be_gone: bool,
    workers: int | None,
) -> Report:
    report = Report(store, runs=1)
    try:
        folder_of_run(store, run_id)
        try:
            RunCheck(report, run_id, strict=strict, workers=workers).check(receipt)
        finally:
            # What is missing from a run that is being pruned is nothing that was found.
            folder_of_run(store, run_id)
    except RunNotFoundError:
        if may_be_gone:
            return Report(store)
        raise
    return report


def _verify_store_file(report: Report) -> None:
    problem = store_file_problem(report.store)
    if problem is not None:
        report.add("damaged", layout.STORE_FILE, 1, 0, problem)


def _all_runs(report: Report) -> list[str]:
    """The runs of a store; what is no run among them is a finding."""
    run_ids = []
    runs = f"{report.store}/{layout.RUNS}"
    if files.exists(runs) and not files.is_folder(files.resolved(runs)):
        report.add("unexpected-file", layout.RUNS, 1, 0, "it is no folder")
    for name in files.names(f"{report.store}/{layout.RUNS}"):
        if layout.is_run_id(name) and files.is_folder(layout.run_folder(report.store, name)):
            run_ids.append(name)
        elif not layout.is_pruned(name):
            report.add("unexpected-file", f"{layout.RUNS}/{name}", 1, 0, "it is no run's folder")
    return run_ids
