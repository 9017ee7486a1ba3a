"""Mend the damaged files of a run, and keep every one of them as it was found.

Beside each file that is replaced stays the original, as `<file>.damaged`. It is copied there first
and put on the disk; then the mended file takes its place in one step. A crash in between leaves
either the damaged file or the mended one under its name, and doing it again goes on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from runstore import files, layout
from runstore.errors import RunIsAliveError, RunNotFoundError
from runstore.inventory import Inventory, attempt_misfit, record_in, take_inventory
from runstore.layout import AttemptKey
from runstore.liveness import is_at_work
from runstore.rebuild import Rebuilt, rebuild
from runstore.record import Position
from runstore.scan import Line, Scan
from runstore.verify import NOTE_CODES

_COPY_BYTES = 1 << 20
_HARMLESS = NOTE_CODES | {None}


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done, or would be done, to one file.

    Attributes:
        path: The file, relative to the store, with `/`.
        action: `rewritten`, `made` (it was missing), or `set aside` (it belongs to nothing).
        kept: How many records the file has now that it had before.
        lost: The first and last number of each stretch of records that are lost.
        original: Where the file as it was found is now; None: there was none.
    """

    path: str
    action: str
    kept: int = 0
    lost: tuple[tuple[int, int], ...] = ()
    original: str | None = None


@dataclass(slots=True)
class RepairReport:
    """What was done, or would be done.

    Attributes:
        mended: One entry for each file that was touched.
        left: Files that were left alone, and why, as sentences by path.
    """

    mended: list[Mended] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def lost_records(self) -> int:
        """How many records are lost, as far as their numbers tell."""
        return sum(last - first + 1 for each in self.mended for first, last in each.lost)


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
    folder = layout.run_folder(store, run_id)
    if not layout.is_run_id(run_id) or not files.is_folder(folder):
        raise RunNotFoundError(run_id, store)
    inventory = take_inventory(folder, run_id)
    owner = inventory.owner
    if not inventory.ended and owner is not None and is_at_work(owner, run_id) is not False:
        raise RunIsAliveError(run_id, owner.host, owner.pid)
    repair = _RunRepair(store, inventory, dry_run=dry_run)
    repair.mend_run_files()
    # What the run's own files say may be different now.
    repair.inventory = take_inventory(folder, run_id) if not dry_run else inventory
    repair.mend_attempts()
    repair.set_aside_strays()
    return repair.report


class _RunRepair:
    """The repair of one run."""

    def __init__(self, store: str, inventory: Inventory, *, dry_run: bool) -> None:
        self.inventory = inventory
        self.report = RepairReport()
        self._store = store
        self._folder = inventory.folder
        self._dry_run = dry_run

    def mend_run_files(self) -> None:
        """Mend the run's own files; those that are missing before the last one, too."""
        inventory = self.inventory
        if not inventory.segments and not inventory.found:
            return
        for segment in range(1, max(inventory.segments, default=1) + 1):
            path = f"{self._folder}/{layout.run_file(segment)}"
            witness = inventory.witnesses.get(segment)
            code = inventory.foreign.get(segment)
            if code == "bad-version":
                self._leave(path, "is of a newer format")
            elif segment not in inventory.segments or code is not None:
                self._mend(path, None, witness)
            elif _is_damaged(path, witness):
                self._mend(path, path, witness)

    def mend_attempts(self) -> None:
        """Mend the attempts' files; one that stands under the name of another is put right."""
        there = set(self.inventory.found)
        misfits = {key: code for key in there if (code := self._misfit(key)) is not None}
        sources = self._sources(misfits)
        for key in sorted(there | self._required()):
            path = self._attempt_path(key)
            witness = self._witness(key)
            is_named = key in self.inventory.expected or self.inventory.may_be_unannounced
            if misfits.get(key) == "bad-version":
                self._leave(path, "is of a newer format")
            elif key in sources:
                self._mend(path, sources[key], witness)
            elif not is_named or (key in misfits and key not in self.inventory.expected):
                self._set_aside(path)
            elif key not in there or key in misfits:
                self._mend(path, None, witness)
            elif _is_damaged(path, witness):
                self._mend(path, path, witness)

    def set_aside_strays(self) -> None:
        """Rename what belongs to nothing, so that it is evidence and no longer a question."""
        for name in self.inventory.strays:
            self._set_aside(f"{self._folder}/{name}")

    def _attempt_path(self, key: AttemptKey) -> str:
        return f"{self._folder}/{layout.attempt_file(*key)}"

    def _witness(self, key: AttemptKey) -> Position | None:
        expected = self.inventory.expected.get(key)
        return expected.witness if expected else None

    def _required(self) -> set[AttemptKey]:
        """The attempts that must have a file, by what the run's own files say."""
        inventory = self.inventory
        over = inventory.ended and not inventory.incomplete
        return {key for key, expected in inventory.expected.items() if over or expected.witness}

    def _misfit(self, key: AttemptKey) -> str | None:
        line = _first_line(self._attempt_path(key))
        return attempt_misfit(self.inventory, key, line) if line else None

    def _sources(self, misfits: dict[AttemptKey, str]) -> dict[AttemptKey, str]:
        """Where the records are of attempts whose own file is missing or wrong.

        Under the name of another attempt, or where an interrupted repair has put them: among the
        files that are kept as evidence.
        """
        places = [self._attempt_path(key) for key in misfits]
        if not self._dry_run:
            # The file at such a place may be mended before it is needed.
            places = [kept for kept in map(self._keep_original, places) if kept]
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
        line = _first_line(path)
        first = (record_in(line) if line else None) or {}
        job_id, attempt = first.get("job"), first.get("attempt")
        if first.get("run") != self.inventory.run_id or not layout.is_job_id(job_id):
            return None
        home = AttemptKey(layout.job_name(job_id), attempt if type(attempt) is int else 0)
        return home if home in self.inventory.expected else None

    def _mend(self, path: str, source: str | None, witness: Position | None) -> None:
        """Put a mended file in the place of one, and keep that beside it."""
        if self._dry_run:
            rebuilt = rebuild(source, witness, lambda _block: None)
            self._note(path, rebuilt, None)
            return
        temporary = files.temporary_beside(path)
        try:
            with files.writing(temporary) as write:
                rebuilt = rebuild(source, witness, write)
            original = self._keep_original(path)
            files.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove(temporary)
            raise
        self._note(path, rebuilt, original)

    def _keep_original(self, path: str) -> str | None:
        """Copy a file to where evidence is kept, and put the copy on the disk."""
        if not files.exists(path):
            return None
        if not files.is_file(path):
            return self._move_aside(path)
        kept = _free_name(path, lambda taken: files.same_content(path, taken))
        if not files.exists(kept):
            temporary = files.temporary_beside(kept)
            with files.writing(temporary) as write:
                files.copy_into(path, write, _COPY_BYTES)
            files.replace(temporary, kept)
        return kept

    def _set_aside(self, path: str) -> None:
        original = None if self._dry_run else self._move_aside(path)
        self.report.mended.append(Mended(self._relative(path), "set aside", original=original))

    def _move_aside(self, path: str) -> str:
        kept = _free_name(path, lambda _taken: False)
        files.replace(path, kept)
        return kept

    def _note(self, path: str, rebuilt: Rebuilt, original: str | None) -> None:
        action = "rewritten" if original or (self._dry_run and files.exists(path)) else "made"
        relative = self._relative(original) if original else None
        self.report.mended.append(
            Mended(self._relative(path), action, rebuilt.kept, tuple(rebuilt.lost), relative)
        )

    def _leave(self, path: str, why: str) -> None:
        self.report.left[self._relative(path)] = why

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._store}/")


def _is_damaged(path: str, witness: Position | None) -> bool:
    """Tell whether a scan finds more than what is normal for a process that was killed."""
    return any(line.code not in _HARMLESS for line in Scan(path, witness))


def _first_line(path: str) -> Line | None:
    return next(iter(Scan(path)), None)


def _free_name(path: str, is_same: Callable[[str], bool]) -> str:
    """The name for the evidence: the first that is free, or that holds the same already."""
    number = 1
    while True:
        infix = "" if number == 1 else f".{number}"
        name = f"{path}{infix}{layout.DAMAGED_SUFFIX}"
        if not files.exists(name) or is_same(name):
            return name
        number += 1
