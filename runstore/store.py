"""The store: create runs, read them, list them, verify them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from runstore import files, layout
from runstore.errors import StoreNotFoundError
from runstore.guard import GuardKind, hold
from runstore.repair import RepairReport, repair_run
from runstore.run import Durability, Run
from runstore.storefile import check_store, create_store
from runstore.verify import Report, verify
from runstore.view import RunSummary, RunView, read_run, summarize


class RunStore:
    """A folder of runs. Any number of threads and processes may use it at once, without a lock.

    Making one writes nothing; the folder is made by the first `create_run`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        durability: Durability = "disk",
        guard: GuardKind = None,
        *,
        guard_timeout_s: float = 0.0,
    ) -> None:
        """Open a store, or prepare to make one.

        Args:
            path: Its folder.
            durability: `disk`: what ended is on the disk before that is acknowledged. `os`: the
                operating system has every record: it survives a killed process, not a power cut.
            guard: What keeps a second run of a pipeline from starting beside the first. None:
                nothing. `"filelock"`: a lock of the operating system, which cannot go stale. A
                callable: it gives a context manager, and is given the path of a file that stands
                for the pipeline if it takes an argument.
            guard_timeout_s: How long a run waits for the guard, in seconds; 0: not at all;
                negative: without limit.

        Raises:
            StoreFormatError: What is there is no store, or one of a newer version.
            OSError: It cannot be read.
        """
        if durability not in get_args(Durability):
            raise ValueError(f"durability is 'disk' or 'os', not {durability!r}")
        self.path = files.absolute(path)
        self.durability: Durability = durability
        self._guard: GuardKind = guard
        self._guard_timeout_s = guard_timeout_s
        check_store(self.path)

    def create_run(
        self,
        pipeline: str,
        jobs: Iterable[str | Mapping[str, Any]] = (),
        **fields: Any,
    ) -> Run:
        """Create a run and record what it is to do.

        Args:
            pipeline: What runs; its runs are listed by this name.
            jobs: Ids in the order declared, or mappings with `id` and, if known, `stage` and
                `sha256`.
            fields: More for the run's `begin`: `params`, `max_workers`, `sha256`, `versions`.

        Raises:
            RecordError: An id or a field cannot be stored, or an id stands there twice.
            GuardTimeoutError: Another run of the pipeline holds the guard; nothing was written.
            GuardUnavailableError: filelock is not installed.
            OSError: The store cannot be made or written.

        On disk afterwards: the run's folder and its file with `begin` and `planned`; with
        durability `disk`, all of that is on the disk before the first job.
        """
        create_store(self.path, sync=self.durability == "disk")
        guard = hold(self._guard, self.path, pipeline, self._guard_timeout_s)
        try:
            return Run(self.path, self.durability, pipeline, jobs, fields, guard)
        except BaseException:
            guard.release()
            raise

    def runs(self) -> Iterator[RunSummary]:
        """Give the runs, newest first, each read when it is asked for.

        Costs two small reads a run, however long it is.
        """
        for run_id in self.run_ids():
            summary = summarize(self.path, run_id)
            if summary is not None:
                yield summary

    def run_ids(self) -> list[str]:
        """The ids of all runs, newest first: no run is opened."""
        names = files.names(f"{self.path}/{layout.RUNS}")
        return sorted(filter(layout.is_run_id, names), reverse=True)

    def read(self, run_id: str) -> RunView:
        """Read a run as it is at this moment: alive, ended or killed.

        Raises:
            RunNotFoundError: There is none of this id.
            OSError: A file cannot be read.

        Costs a pass over all its records.
        """
        return read_run(self.path, run_id)

    def repair(self, run_id: str, *, dry_run: bool = False) -> RepairReport:
        """Mend a run, so that `verify` finds no error in it; keep all damaged files beside it.

        Args:
            run_id: The run.
            dry_run: Say what would be done, and write nothing.

        Raises:
            RunNotFoundError: There is no such run.
            RunIsAliveError: Its process is at work, or cannot be seen from here.
            OSError: A file cannot be read or written.

        Beside every file that is replaced stays the original, as `<file>.damaged`. Exactly the
        damaged records are lost; `lost` records say which. A second time it changes nothing.
        """
        return repair_run(self.path, run_id, dry_run=dry_run)

    def verify(
        self,
        run_id: str | Iterable[str] | None = None,
        *,
        receipt: str | None = None,
        strict: bool = False,
        on_run: Callable[[str], None] | None = None,
    ) -> Report:
        """Read every file and hold it against itself and the others. Writes nothing.

        Args:
            run_id: One run, or several; None: the whole store.
            receipt: `n:crc` that the run printed at its end: proves that it was not rolled back.
            strict: Also parse every record.
            on_run: Called with each run's id before it is read, to show progress.

        Raises:
            RunNotFoundError: There is no run of this id.
            StoreNotFoundError: There is no store.
            OSError: A file cannot be read.
        """
        if not check_store(self.path):
            raise StoreNotFoundError(self.path)
        run_ids = [run_id] if isinstance(run_id, str) else run_id
        return verify(self.path, run_ids, receipt=receipt, strict=strict, on_run=on_run)
