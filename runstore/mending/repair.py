"""Mend the damaged files of a run, and keep every one of them as it was found: see `mending`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from runstore import files, layout
from runstore.layout import AttemptKey
from runstore.lines.part import Part
from runstore.lines.record import Position
from runstore.lines.scan import Line, Scan
from runstore.mending.mender import Mender, RepairReport, is_damaged
from runstore.mending.rehearsal import copy_of_file, copy_of_run
from runstore.mending.unseal import take_apart
from runstore.reading.inventory import (
    Inventory,
    attempt_misfit,
    find_witness,
    folder_of_run,
    record_in,
    refuse_live,
    take_inventory,
)
from runstore.storefile import store_file_problem, whole_store_file

# So many of a run's own files can be missing before another one that a resume may have made.
_MOST_MISSING = 1000


def repair_run(store: str, run_id: str, *, dry_run: bool = False) -> RepairReport:
    """Mend a run, so that `verify` finds no error in it.

    Args:
        store: The store's path.
        run_id: The run.
        dry_run: Say what would be done, and write nothing in the store: a copy of the run is
            repaired, in the system's temporary folder, which has to have the room.

    Raises:
        RunNotFoundError: There is no such run.
        RunIsAliveError: Its process is at work, or is on another host and cannot be seen.
        OSError: A file cannot be read or written; what was done so far holds, and can be gone on
            with.

    Only what is damaged is touched. A second time it finds nothing to do.
    """
    folder = folder_of_run(store, run_id)
    if dry_run:
        with copy_of_run(folder, run_id) as copy:
            return repair_run(copy, run_id)
    inventory = take_inventory(folder, run_id)
    refuse_live(inventory)
    was_sealed = inventory.was_sealed
    mender = Mender(store, folder)
    # First: what has the name of the folder of attempts must not be in its way.
    # What is below a link, or the like, goes with it.
    goes_along = f"{layout.JOBS}/" if layout.JOBS in inventory.strays else "/"
    strays = [name for name in inventory.strays if not name.startswith(goes_along)]
    mender.set_all_aside([f"{folder}/{name}" for name in strays])
    if take_apart(mender, inventory) or layout.JOBS in inventory.strays:
        inventory = take_inventory(folder, run_id)
    repair = _RunRepair(mender, inventory)
    if repair.set_last_ones_aside():
        repair.inventory = take_inventory(folder, run_id)
    repair.mend_run_files(was_begun=was_sealed)
    # What the run's own files say may be different now.
    repair.inventory = take_inventory(folder, run_id)
    repair.mend_attempts()
    if not repair.inventory.parts.seals:
        files.remove_empty_folder(f"{folder}/{layout.SEALED}")
    return mender.report


def repair_store_file(store: str, *, dry_run: bool = False) -> RepairReport:
    """Write the store's own file anew, if it is not what was written, or is gone."""
    if dry_run:
        with copy_of_file(f"{store}/{layout.STORE_FILE}") as copy:
            return repair_store_file(copy)
    mender = Mender(store, store)
    path = f"{store}/{layout.STORE_FILE}"
    if not files.exists(path) or store_file_problem(store) is not None:
        mender.replace(path, whole_store_file())
    return mender.report


class _RunRepair:
    """The repair of one run."""

    def __init__(self, mender: Mender, inventory: Inventory) -> None:
        self.inventory = inventory
        self._mender = mender
        self._folder = inventory.folder

    def set_last_ones_aside(self) -> bool:
        """Set aside what has the name of a last own file, and is another file of the same run.

        Returns:
            Whether there was any.
        """
        inventory = self.inventory
        moved = itertools.takewhile(self._is_moved, reversed(inventory.segments))
        paths = list(filter(files.exists, map(self._run_path, moved)))
        self._mender.set_all_aside(paths)
        return bool(paths)

    def _is_moved(self, segment: int) -> bool:
        is_foreign = self.inventory.foreign.get(segment) == "wrong-file"
        if not is_foreign:
            return False
        path = self._run_path(segment)
        return self._segment_in(path) is not None or self._home(path) is not None

    def mend_run_files(self, *, was_begun: bool) -> None:
        """Mend the run's own files; those that are missing before the last one, too."""
        inventory = self.inventory
        sources = self._run_sources()
        there = set(inventory.segments)
        known = there | sources.keys()
        if not (known or inventory.found or was_begun):
            return
        # The last one first: the one after a file says where that ends, once it is mended.
        for segment in reversed(list(self._segments(known or {1}))):
            if segment + 1 in known:
                find_witness(inventory, segment + 1)
            path = self._run_path(segment)
            witness = inventory.witnesses.get(segment)
            code = inventory.foreign.get(segment)
            if code == "bad-version":
                self._mender.leave(path, "is of a newer format")
            elif segment not in there:
                self._mender.mend(path, sources.get(segment), witness)
            elif code is not None:
                self._mender.collect(inventory.run_part(segment))
                self._mender.mend(path, sources.get(segment), witness)
            elif is_damaged(part := inventory.run_part(segment), witness):
                self._mender.mend(path, part, witness)

    def _segments(self, known: set[int]) -> Iterator[int]:
        """The numbers of the run's own files, with those that are missing before the last one.

        The number in the name of a file can be any. Where very many are missing they are not made.
        """
        for before, segment in itertools.pairwise([0, *sorted(known)]):
            if segment - before <= _MOST_MISSING:
                yield from range(before + 1, segment)
            else:
                path = self._run_path(segment)
                self._mender.leave(path, f"{segment - before - 1} files are missing before it")
            yield segment

    def _run_sources(self) -> dict[int, str]:
        """Where the records are of the run's own files that are missing or wrong.

        Under the name of another file of the run, or among the files that are kept as evidence.
        """
        inventory = self.inventory
        suspects = [
            *map(self._run_path, inventory.foreign),
            *map(self._attempt_path, inventory.found),
        ]
        there = filter(files.is_file, suspects)
        misplaced = [path for path in there if self._segment_in(path) is not None]
        sources: dict[int, str] = {}
        for path in [*self._kept(misplaced), *self._evidence()]:
            segment = self._segment_in(path)
            if segment is None:
                continue
            if segment not in inventory.segments or segment in inventory.foreign:
                sources.setdefault(segment, path)
        return sources

    def _segment_in(self, path: str) -> int | None:
        """The number of the run's own file that a file holds; None: it holds none."""
        first = _first_fields(path)
        segment = first.get("segment")
        is_own = first.get("event") == "begin" and first.get("run") == self.inventory.run_id
        most = max(self.inventory.segments, default=0) + _MOST_MISSING
        is_number = type(segment) is int and 0 < segment <= most
        return segment if is_own and "job" not in first and is_number else None

    def mend_attempts(self) -> None:
        """Mend the attempts' files; one that stands under the name of another is put right."""
        there = set(self.inventory.found)
        misfits = {key: code for key in there if (code := self._misfit(key)) is not None}
        for key in misfits:
            # One line of another file before its own is enough to make a file a misfit.
            self._mender.collect(self.inventory.attempt_part(key))
        sources = self._sources(misfits)
        foreign = []
        for key in sorted(there | self._required()):
            path = self._attempt_path(key)
            witness = self._witness(key)
            is_named = key in self.inventory.expected or self.inventory.may_be_unannounced
            if misfits.get(key) == "bad-version":
                self._mender.leave(path, "is of a newer format")
            elif key in sources:
                self._mender.mend(path, sources[key], witness)
            elif not is_named or (key in misfits and key not in self.inventory.expected):
                foreign.append(path)
            elif key not in there or key in misfits:
                self._mender.mend(path, None, witness)
            elif is_damaged(part := self.inventory.attempt_part(key), witness):
                self._mender.mend(path, part, witness)
        self._mender.set_all_aside(foreign)

    def _run_path(self, segment: int) -> str:
        return f"{self._folder}/{layout.run_file(segment)}"

    def _attempt_path(self, key: AttemptKey) -> str:
        return f"{self._folder}/{layout.attempt_file(*key)}"

    def _witness(self, key: AttemptKey) -> Position | None:
        expected = self.inventory.expected.get(key)
        return expected.witness if expected else None

    def _required(self) -> set[AttemptKey]:
        """The attempts that must have a file, by what the run's own files say."""
        return set(filter(self.inventory.must_have_file, self.inventory.expected))

    def _misfit(self, key: AttemptKey) -> str | None:
        line = _first_record(self.inventory.attempt_part(key))
        return attempt_misfit(self.inventory.run_id, key, line) if line else None

    def _sources(self, misfits: dict[AttemptKey, str]) -> dict[AttemptKey, str]:
        """Where the records are of attempts whose own file is missing or wrong.

        Under the name of another attempt, or where an interrupted repair has put them: among the
        files that are kept as evidence.
        """
        places = self._kept(map(self._attempt_path, misfits))
        sources: dict[AttemptKey, str] = {}
        for path in [*places, *self._evidence()]:
            home = self._home(path)
            if home is not None and (home not in self.inventory.found or home in misfits):
                sources.setdefault(home, path)
        return sources

    def _kept(self, paths: Iterable[str]) -> list[str]:
        """Where the originals are kept of files that may be mended before they are needed."""
        return list(filter(None, map(self._mender.keep_original, paths)))

    def _evidence(self) -> list[str]:
        folders = (self._folder, f"{self._folder}/{layout.JOBS}")
        paths = [f"{folder}/{name}" for folder in folders for name in files.names(folder)]
        return [path for path in paths if path.endswith(layout.DAMAGED_SUFFIX)]

    def _home(self, path: str) -> AttemptKey | None:
        """The attempt that a file's first record names, if the run has it."""
        first = _first_fields(path)
        job_id, attempt = first.get("job"), first.get("attempt")
        if first.get("run") != self.inventory.run_id or not layout.is_job_id(job_id):
            return None
        home = AttemptKey(layout.job_name(job_id), attempt if type(attempt) is int else 0)
        return home if home in self.inventory.expected else None


def _first_fields(path: str) -> dict[str, Any]:
    line = _first_record(path)
    return (record_in(line) if line else None) or {}


def _first_record(source: str | Part) -> Line | None:
    return next((line for line in Scan(source) if line.counts), None)
