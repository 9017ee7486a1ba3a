"""Mend the damaged files of a run, and keep every one of them as it was found: see `mending`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from runstore import files, layout
from runstore.layout import AttemptKey
from runstore.lines.part import Part
from runstore.lines.record import Position
from runstore.lines.scan import Line, Scan
from runstore.mending.mender import Mender, RepairReport, is_damaged
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
        dry_run: Say what would be done, and write nothing.

    Raises:
        RunNotFoundError: There is no such run.
        RunIsAliveError: Its process is at work, or is on another host and cannot be seen.
        OSError: A file cannot be read or written; what was done so far holds, and can be gone on
            with.

    Only what is damaged is touched. A second time it finds nothing to do.
    """
    folder = folder_of_run(store, run_id)
    inventory = take_inventory(folder, run_id)
    refuse_live(inventory)
    was_sealed = inventory.was_sealed
    mender = Mender(store, folder, dry_run=dry_run)
    # First: what has the name of the folder of attempts must not be in its way.
    # What is below a link, or the like, goes with it.
    goes_along = f"{layout.JOBS}/" if layout.JOBS in inventory.strays else "/"
    strays = [name for name in inventory.strays if not name.startswith(goes_along)]
    mender.set_all_aside([f"{folder}/{name}" for name in strays])
    if take_apart(mender, inventory) or (layout.JOBS in inventory.strays and not dry_run):
        inventory = take_inventory(folder, run_id)
    repair = _RunRepair(mender, inventory)
    repair.mend_run_files(was_begun=was_sealed)
    # What the run's own files say may be different now.
    repair.inventory = take_inventory(folder, run_id) if not dry_run else inventory
    repair.mend_attempts()
    if not dry_run and not repair.inventory.parts.seals:
        files.remove_empty_folder(f"{folder}/{layout.SEALED}")
    return mender.report


def repair_store_file(store: str, *, dry_run: bool = False) -> RepairReport:
    """Write the store's own file anew, if it is not what was written, or is gone."""
    mender = Mender(store, store, dry_run=dry_run)
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

    def mend_run_files(self, *, was_begun: bool) -> None:
        """Mend the run's own files; those that are missing before the last one, too."""
        inventory = self.inventory
        if not (inventory.segments or inventory.found or was_begun):
            return
        there = set(inventory.segments)
        # The last one first: the one after a file says where that ends, once it is mended.
        for segment in reversed(list(self._segments())):
            if not self._mender.dry_run and segment + 1 in there:
                find_witness(inventory, segment + 1)
            path = f"{self._folder}/{layout.run_file(segment)}"
            witness = inventory.witnesses.get(segment)
            code = inventory.foreign.get(segment)
            if code == "bad-version":
                self._mender.leave(path, "is of a newer format")
            elif segment not in there:
                self._mender.mend(path, None, witness)
            elif code is not None:
                self._mender.collect(inventory.run_part(segment))
                self._mender.mend(path, None, witness)
            elif is_damaged(part := inventory.run_part(segment), witness):
                self._mender.mend(path, part, witness)

    def _segments(self) -> Iterator[int]:
        """The numbers of the run's own files, with those that are missing before the last one.

        The number in the name of a file can be any. Where very many are missing they are not made.
        """
        for before, segment in itertools.pairwise([0, *(self.inventory.segments or [1])]):
            if segment - before <= _MOST_MISSING:
                yield from range(before + 1, segment)
            else:
                path = f"{self._folder}/{layout.run_file(segment)}"
                self._mender.leave(path, f"{segment - before - 1} files are missing before it")
            yield segment

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
        places = [path for path in map(self._attempt_path, misfits) if files.exists(path)]
        if not self._mender.dry_run:
            # The file at such a place may be mended before it is needed.
            places = [kept for kept in map(self._mender.keep_original, places) if kept]
        sources: dict[AttemptKey, str] = {}
        for path in [*places, *self._evidence()]:
            home = self._home(path)
            if home is not None and (home not in self.inventory.found or home in misfits):
                sources.setdefault(home, path)
        return sources

    def _evidence(self) -> list[str]:
        folder = f"{self._folder}/{layout.JOBS}"
        names = files.names(folder)
        return [f"{folder}/{name}" for name in names if name.endswith(layout.DAMAGED_SUFFIX)]

    def _home(self, path: str) -> AttemptKey | None:
        """The attempt that a file's first record names, if the run has it."""
        line = _first_record(path)
        first = (record_in(line) if line else None) or {}
        job_id, attempt = first.get("job"), first.get("attempt")
        if first.get("run") != self.inventory.run_id or not layout.is_job_id(job_id):
            return None
        home = AttemptKey(layout.job_name(job_id), attempt if type(attempt) is int else 0)
        return home if home in self.inventory.expected else None


def _first_record(source: str | Part) -> Line | None:
    return next((line for line in Scan(source) if line.counts), None)
