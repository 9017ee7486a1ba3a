"""The store: create and resume runs, read them, follow them, list them, verify them.

What most programs do not do with it is imported when it is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from runstore import files, layout
from runstore.errors import RecordError, StoreNotFoundError
from runstore.guard import Guard, GuardKind, RunKey, hold, release
from runstore.reading.follow import POLL_S, follow_run
from runstore.reading.keys import find_run
from runstore.reading.merge import Record
from runstore.reading.plans import plans
from runstore.reading.timings import timings
from runstore.reading.view import RunSummary, RunView, read_run, summarize
from runstore.storefile import check_store, create_store
from runstore.writing.run import Durability, Run, first_opening

if TYPE_CHECKING:
    from datetime import timedelta

    from runstore.mending.mender import RepairReport
    from runstore.upkeep.compact import Compacted
    from runstore.upkeep.stats import StoreStats
    from runstore.verifying.findings import Report


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
            ValueError: `durability` or `guard` is something else.
            OSError: It cannot be read.
        """
        if durability not in get_args(Durability):
            raise ValueError(f"durability is 'disk' or 'os', not {durability!r}")
        if guard is not None and guard != "filelock" and not callable(guard):
            raise ValueError(f"guard is None, 'filelock' or a callable, not {guard!r}")
        self.path = files.absolute(path)
        self.durability: Durability = durability
        self._guard: GuardKind = guard
        self._guard_timeout_s = guard_timeout_s
        check_store(self.path)

    @property
    def waits_for_guard(self) -> bool:
        """Whether `create_run` and `resume_run` may wait: for a guard, or for one of your own."""
        return callable(self._guard) or (self._guard is not None and self._guard_timeout_s != 0)

    def create_run(
        self,
        pipeline: str,
        jobs: Iterable[str | Mapping[str, Any]] = (),
        *,
        key: RunKey | None = None,
        **fields: Any,
    ) -> Run:
        """Create a run and record what it is to do.

        Args:
            pipeline: What runs; its runs are listed by this name.
            jobs: Ids in the order declared, or mappings with `id` and, if known, `stage` and
                `sha256`.
            key: The run key that it works under, from `hold_key`; it is let go when the run ends.
            fields: More for the run's `begin`: `params`, `max_workers`, `sha256`, `versions`.

        Raises:
            RecordError: The pipeline has no name, an id or a field cannot be stored, an id stands
                there twice, or the key is of another pipeline, or not held any more.
            GuardTimeoutError: Another run of the pipeline holds the guard; nothing was written.
            GuardUnavailableError: filelock is not installed.
            OSError: The store cannot be made or written.

        On disk afterwards: the run's folder and its file with `begin` and `planned`; with
        durability `disk`, all of that is on the disk before the first job.
        """
        layout.check_pipeline(pipeline)
        create_store(self.path, sync=self.durability == "disk")
        run_key = None if key is None else key.run_key
        guards = self._hold_guards(key, pipeline, run_key)
        try:
            opening = first_opening(pipeline, jobs, fields, run_key)
            return Run(self.path, self.durability, opening, guards)
        except BaseException:
            release(guards)
            raise

    def hold_key(self, pipeline: str, run_key: str, *, timeout_s: float | None = None) -> RunKey:
        """Take a run key, so that no other run of the pipeline works under it at the same time.

        Args:
            pipeline: What runs.
            run_key: What names one piece of work: a day, say. 1 to 10,000 characters, no NUL.
            timeout_s: How long to wait for it, in seconds; 0: not at all; negative: without limit;
                None: as long as for the guard.

        Returns:
            The key, a context manager. `create_run` and `resume_run` take it; jobs can inherit it,
            and it is let go when the run has ended.

        Raises:
            RecordError: It is no run key.
            GuardTimeoutError: Another run works under it, or jobs that outlived one do.
            GuardUnavailableError: filelock is not installed.
            OSError: The store cannot be made, or its file system has no locks.

        On disk afterwards: an empty file in `locks/`, one for each key; it stays.
        """
        key = RunKey(self.path, pipeline, run_key)
        create_store(self.path, sync=self.durability == "disk")
        key.hold(self._guard_timeout_s if timeout_s is None else timeout_s)
        return key

    def find_run(self, pipeline: str, run_key: str) -> str | None:
        """Find the newest run of a pipeline under a run key; None: there is none.

        Raises:
            RecordError: It is no run key.
            OSError: A file cannot be read.

        Costs one small read for each run that is newer than that one, of whatever pipeline: only
        the first line of its own file is read. A run whose first line is damaged is not found.
        """
        layout.check_run_key(run_key)
        return find_run(self.path, self.run_ids(), pipeline, run_key)

    def plans(self, pipeline: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Give the runs of a pipeline, newest first, each with what its plans say of its jobs.

        Returns:
            The id, and the mappings that `create_run` and `resume_run` were given as jobs; where a
            resume has planned anew, those of all plans. A run is read when it is asked for.

        Raises:
            OSError: A file cannot be read.

        Costs one small read for each run of another pipeline; of this one a look into the run's
        folder, and the beginning of each of its own files.
        """
        return plans(self.path, self.run_ids(), pipeline)

    def timings(
        self, pipeline: str, *, among: int | None = None
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Give the runs of a pipeline, newest first, each with how long its jobs took.

        Args:
            pipeline: Whose runs.
            among: Look for them among so many of the newest runs of the store; None: among all.

        Returns:
            The id, and for each job that succeeded in it the seconds from the start of that attempt
            to its end, by the run's own files. A run is read when it is asked for; one that is at
            work, or was killed, is given with what it has so far.

        Raises:
            OSError: A file cannot be read.

        Costs one small read for each run of another pipeline; of this one a look into the run's
        folder, and all of its own files: some 5 µs a job.
        """
        return timings(self.path, self.run_ids()[:among], pipeline)

    def resume_run(
        self,
        run_id: str,
        jobs: Iterable[str | Mapping[str, Any]] | None = None,
        *,
        pipeline: str | None = None,
        seen: RunView | None = None,
        key: RunKey | None = None,
        **fields: Any,
    ) -> Run:
        """Go on with a run that has ended or was killed, and record what is left to do.

        Args:
            run_id: The run.
            jobs: The plan from now on, as for `create_run`; jobs that it does not name are no
                longer the run's. None: the plan stays as it is.
            pipeline: What runs, where the record of that is lost.
            seen: The run as the caller has read it, to decide what is left to do: it is refused
                when somebody has resumed it since.
            key: The run's key, if it has one and the caller holds it; None: it is taken here.
            fields: More for the new file's `begin`.

        Raises:
            RunNotFoundError: There is no such run.
            RunIsAliveError: Its process is at work, or cannot be seen from here.
            RunResumedError: Another process or thread was first.
            RunNotBegunError: It was killed before its first record.
            RunDamagedError: Its own file is gone, or which pipeline it is of; repair it first.
            StoreFormatError: One of its own files is of a newer format.
            RecordError: As for `create_run`, or it is a run of another pipeline, or key.
            GuardTimeoutError: Another run of the pipeline holds the guard, or one is at work under
                the same run key; nothing was written.
            GuardUnavailableError: filelock is not installed.
            OSError: The store cannot be read or written.

        The next attempt of each job has the number after its last one. On disk afterwards: a new
        file of the run's own with `begin`, a `done` for each attempt that the process before left
        without one (`crashed` when it has no `end`), and `planned` if the plan is another. No file
        that is there is changed. With durability `disk`, all of that and all that the run had
        written before is on the disk before the first job.

        Threads and `fork`: as for `create_run`. Costs two passes over the run's records.
        """
        from runstore.writing.resume import resume_run

        return resume_run(
            self.path,
            run_id,
            self.durability,
            partial(self._hold_guards, key),
            jobs=jobs,
            pipeline=pipeline,
            seen=seen,
            fields=fields,
        )

    def _hold_guards(
        self, key: RunKey | None, pipeline: str, run_key: str | None
    ) -> Sequence[Guard]:
        """Take the guard of a pipeline, and before it the run key, unless the caller holds that."""
        if key is not None and (key.pipeline, key.run_key) != (pipeline, run_key):
            raise RecordError("the run key that is held is not that of the run")
        if key is not None and key.descriptor is None:
            raise RecordError("the run key is not held any more")
        taken: list[Guard] = []
        try:
            if run_key is not None and key is None:
                taken.append(self.hold_key(pipeline, run_key))
            taken.append(hold(self._guard, self.path, pipeline, self._guard_timeout_s))
        except BaseException:
            release(taken)
            raise
        return taken if key is None else [key, *taken]

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

    def log_path(self, run_id: str, job_id: str, attempt: int) -> str:
        """The path of what an attempt prints, whether it is there or not.

        Raises:
            RecordError: It is no job id.
        """
        name = layout.log_file(layout.job_name(job_id), attempt)
        return f"{layout.run_folder(self.path, run_id)}/{name}"

    def follow(self, run_id: str, *, poll_s: tuple[float, float] = POLL_S) -> Iterator[Record]:
        """Give the records of a run as they come: first what is there, then what is written.

        Args:
            run_id: The run.
            poll_s: The shortest and the longest wait between two looks, in seconds. It is the
                shortest one after something came, and doubles each time nothing did.

        Returns:
            Records as those of `RunView.records`, each once. Those of one file keep their order,
            and an attempt's `done` comes after its last record. What has come between two looks is
            merged by time. It ends when the run has its `end`, or when its process is gone, after
            all that was written; a run of another host is followed until its `end`. It goes on
            where the run has been resumed by then.

        Raises:
            RunNotFoundError: There is none of this id.
            ValueError: `poll_s` is no such pair.
            OSError: A file cannot be read.

        Takes no lock and keeps no file open. A look costs one small call for the run, and one for
        each attempt at work. One thread at a time.
        """
        return follow_run(self.path, run_id, poll_s)

    def repair(self, run_id: str, *, dry_run: bool = False) -> RepairReport:
        """Mend a run, so that `verify` finds no error in it; keep all damaged files beside it.

        Args:
            run_id: The run.
            dry_run: Say what would be done, and write nothing in the store: a copy of the run's
                records is repaired, in the system's temporary folder, which has to have the room.

        Raises:
            RunNotFoundError: There is no such run.
            RunIsAliveError: Its process is at work, or cannot be seen from here.
            OSError: A file cannot be read or written.

        Beside every file that is replaced stays the original, as `<file>.damaged`. Exactly the
        damaged records are lost; `lost` records say which. A damaged sealed file is taken apart:
        what it holds stands in files of its own again. A second time it changes nothing.
        """
        from runstore.mending.repair import repair_run

        return repair_run(self.path, run_id, dry_run=dry_run)

    def compact(
        self, run_id: str, *, on_bytes: Callable[[int, int], None] | None = None
    ) -> Compacted:
        """Fold the files of a run that has ended into one sealed file, which reads the same.

        Args:
            run_id: The run.
            on_bytes: Called with how many bytes are done and how many there are to do.

        Raises:
            RunNotFoundError: There is no such run.
            RunIsAliveError: Its process is at work, or cannot be seen from here.
            RunNotEndedError: It was killed: it has no `end`.
            RunDamagedError: `verify` finds an error in it; repair it first.
            CorruptSegmentError: What was sealed is not what was there; nothing was removed.
            OSError: A file cannot be read or written.

        Every line stays as it is, byte for byte. The sealed file is on the disk, and was compared
        with the files that it stands for, before these are removed. After an error, a crash or a
        KeyboardInterrupt everything can be read, and a second time it goes on from there.
        """
        from runstore.upkeep.compact import compact_run

        return compact_run(self.path, run_id, on_bytes=on_bytes)

    def prune(
        self,
        keep: int | None = None,
        older_than: timedelta | None = None,
        max_bytes: int | None = None,
        *,
        dry_run: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> list[str]:
        """Remove each run that one of these rules says is to go, but none that may be at work.

        Args:
            keep: How many of the newest runs of each pipeline stay, at least 1.
            older_than: Runs go that ended longer ago, or that began longer ago and were killed.
            max_bytes: The oldest runs go until all files of the store have at most so many bytes.
            dry_run: Only say which runs would go.
            on_progress: Called with what is being done, with how many runs it is done, and how
                many there are.

        Returns:
            The ids of the runs that are gone, the oldest first.

        Raises:
            ValueError: No rule was given, or one that makes no sense.
            StoreNotFoundError: There is no store.
            OSError: A file cannot be read or removed.

        A run inside another, by the `parent` of its `begin`, goes with that one, and counts for no
        rule by itself while that one is there.

        For readers a run is gone in one step, with its logs. After an error, a crash or a
        KeyboardInterrupt the next call removes what is left. Links are not followed.
        """
        from runstore.upkeep.prune import Rules, prune_store

        rules = Rules(keep, older_than, max_bytes)
        self._refuse_missing()
        return prune_store(self.path, rules, dry_run=dry_run, on_progress=on_progress)

    def stats(self, *, on_run: Callable[[str], None] | None = None) -> StoreStats:
        """Count runs, files and bytes, of the store and of each pipeline.

        Args:
            on_run: Called with each run's id before it is looked at, to show progress.

        Raises:
            StoreNotFoundError: There is no store.
            OSError: A file cannot be read.

        Costs two small reads a run and a look at the size of every file.
        """
        self._refuse_missing()
        from runstore.upkeep.stats import store_stats

        return store_stats(self.path, on_run=on_run)

    def repair_store_file(self, *, dry_run: bool = False) -> RepairReport:
        """Write the store's own file anew if it is damaged, and keep that as `store.json.damaged`.

        Args:
            dry_run: Say what would be done, and write nothing.

        Raises:
            StoreNotFoundError: There is no store, nor any run of one.
            OSError: It cannot be read or written.
        """
        if not self.run_ids():
            self._refuse_missing()
        from runstore.mending.repair import repair_store_file

        return repair_store_file(self.path, dry_run=dry_run)

    def exists(self) -> bool:
        """Tell whether there is a store; the first run makes it.

        Raises:
            StoreFormatError: What is there is no store, or one of a newer version.
            OSError: It cannot be read.
        """
        return check_store(self.path)

    def _refuse_missing(self) -> None:
        if not check_store(self.path):
            raise StoreNotFoundError(self.path)

    def verify(
        self,
        run_id: str | Iterable[str] | None = None,
        *,
        receipt: str | None = None,
        strict: bool = False,
        on_run: Callable[[str], None] | None = None,
        workers: int | None = 1,
    ) -> Report:
        """Read every file and hold it against itself and the others. Writes nothing.

        Args:
            run_id: One run, or several; None: the whole store.
            receipt: `n:crc` that the run printed at its end: proves that it was not rolled back.
            strict: Also parse every record.
            on_run: Called with each run's id before its turn, to show progress.
            workers: How many processes may read, once it has taken a second; 1: only this one;
                None: as many as there are processors. They are started by `spawn`, so a script
                that asks for more than one needs its `if __name__ == "__main__":`.

        Raises:
            RunNotFoundError: There is no run of this id.
            StoreNotFoundError: There is no store.
            ValueError: The receipt is no text.
            OSError: A file cannot be read.

        Reads each file once, in pieces: memory grows with the findings and the number of attempts
        of one run, not with the records. Takes no lock; runs may be at work meanwhile.
        """
        self._refuse_missing()
        run_ids = [run_id] if isinstance(run_id, str) else run_id
        from runstore.verifying.verify import verify

        return verify(
            self.path, run_ids, receipt=receipt, strict=strict, on_run=on_run, workers=workers
        )
