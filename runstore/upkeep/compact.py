"""Fold the files of a finished run into one sealed file.

The sealed file is written beside them under a name that nobody reads, put on the disk, and given
its name in one step. Then every file is compared with what was sealed of it, byte for byte, and
only after that they are removed. Wherever a crash comes in between, everything can be read, and
compacting again goes on from there.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from runstore import files, layout
from runstore.errors import CorruptSegmentError, RunDamagedError, RunNotEndedError
from runstore.lines.part import Part, chunks
from runstore.lines.record import Position
from runstore.lines.scan import Scan
from runstore.reading.inventory import Inventory, folder_of_run, refuse_live, take_inventory
from runstore.reading.sealed import Seal, write_seal
from runstore.verifying.verify import verify

OnBytes = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did.

    Attributes:
        run_id: The run.
        path: Its sealed file, relative to the store, with `/`.
        parts: How many files of records it holds.
        size_bytes: How many bytes it has.
        removed: How many files were removed; 0: the run was compacted before.
    """

    run_id: str
    path: str
    parts: int
    size_bytes: int
    removed: int


def compact_run(store: str, run_id: str, *, on_bytes: OnBytes | None = None) -> Compacted:
    """Fold a finished run into one sealed file; see `RunStore.compact`."""
    folder = folder_of_run(store, run_id)
    inventory = take_inventory(folder, run_id)
    refuse_live(inventory)
    if not inventory.ended:
        raise RunNotEndedError(run_id)
    compaction = _Compaction(inventory, on_bytes)
    if compaction.is_needed:
        _refuse_damaged(store, run_id)
    try:
        seal = compaction.seal()
        removed = compaction.remove_what_is_in(seal)
    except (OSError, CorruptSegmentError):
        folder_of_run(store, run_id)  # it may have been pruned
        raise
    _remove_leftovers(folder)
    path = seal.path.removeprefix(f"{store}/")
    return Compacted(run_id, path, len(seal.parts), files.size_bytes(seal.path), removed)


def _refuse_damaged(store: str, run_id: str) -> None:
    report = verify(store, [run_id])
    if not report.ok:
        raise RunDamagedError(run_id, str(report.errors[0]))


class _Compaction:
    """The compaction of one run.

    Attributes:
        is_needed: Whether there is more than one sealed file that holds all.
    """

    def __init__(self, inventory: Inventory, on_bytes: OnBytes | None) -> None:
        self._inventory = inventory
        self._folder = inventory.folder
        self._parts = inventory.parts
        self._names = [
            *map(layout.run_file, inventory.segments),
            *(layout.attempt_file(*key) for key in inventory.found),
        ]
        self._loose = [name for name in self._names if self._parts.is_loose(name)]
        self.is_needed = bool(self._loose) or len(self._parts.seals) > 1
        self._on_bytes = on_bytes
        self._done_bytes = 0
        # Each file is read twice: to be written, and to be compared.
        self._total_bytes = 2 * sum(map(self._size, self._names))

    def _size(self, name: str) -> int:
        part = self._parts.find(name)
        return files.size_bytes(part.path) if part.size_bytes is None else part.size_bytes

    def seal(self) -> Seal:
        """The sealed file that holds all of the run: the one that is there, or a new one."""
        if not self._holds_all():
            self._write()
            self._parts.look()
        seals = self._parts.seals
        if not self._holds_all():
            path = seals[0].path if seals else f"{self._folder}/{layout.sealed_file(1)}"
            raise CorruptSegmentError(path, 0, "does not hold what was just sealed in it")
        return seals[0]

    def _holds_all(self) -> bool:
        seals = self._parts.seals
        return bool(seals) and seals[0].parts.keys() >= set(self._names)

    def _write(self) -> None:
        path = f"{self._folder}/{layout.sealed_file(self._next_number())}"
        marker = f"{self._folder}/{layout.SEALED}"
        temporary = files.temporary_beside(path)
        try:
            with files.writing(temporary) as write:
                parts = ((name, self._part(name)) for name in self._names)
                write_seal(parts, lambda block: self._put(write, block))
            with contextlib.suppress(FileExistsError):
                files.make_folder(marker)
            with contextlib.suppress(FileNotFoundError):
                # Another compaction, which was first, takes ours for a leftover.
                files.place(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove(temporary)
                if not self._parts.seals and not files.exists(path):
                    files.remove_empty_folder(marker)
            raise

    def _next_number(self) -> int:
        numbers = map(layout.parse_sealed_file, self._parts.in_folder)
        return max(filter(None, numbers), default=0) + 1

    def _put(self, write: Callable[[bytes], None], block: bytes) -> None:
        write(block)
        self._advance(len(block))

    def _advance(self, size: int) -> None:
        self._done_bytes += size
        if self._on_bytes is not None:
            self._on_bytes(min(self._done_bytes, self._total_bytes), self._total_bytes)

    def _part(self, name: str) -> Part:
        """Where a file's lines are, and where its last record stands."""
        part = self._parts.find(name)
        segment = layout.parse_run_file(name)
        if segment is not None:
            return part._replace(last=self._inventory.last.get(segment))
        key = layout.parse_attempt_file(name.rpartition("/")[2])
        expected = self._inventory.expected.get(key) if key else None
        witness = expected.witness if expected else None
        return part._replace(last=witness or _last_record(part))

    def remove_what_is_in(self, seal: Seal) -> int:
        """Compare every file with what was sealed of it, then remove them; gives how many.

        Raises:
            CorruptSegmentError: One was not sealed as it is; nothing was removed.
        """
        older = [each for each in self._parts.seals if each is not seal]
        for name in self._loose:
            self._compare(self._parts.loose(name), seal.parts[name])
        for each in older:
            for name, part in each.parts.items():
                self._compare(part, seal.parts[name])
        for name in self._loose:
            files.remove(f"{self._folder}/{name}")
        for each in older:
            files.remove(each.path)
        if self._loose or older:
            files.sync_folder(f"{self._folder}/{layout.JOBS}")
            files.sync_folder(self._folder)
        return len(self._loose) + len(older)

    def _compare(self, part: Part, sealed: Part) -> None:
        for one, two in itertools.zip_longest(chunks(part), chunks(sealed), fillvalue=b""):
            if one != two:
                detail = f"is not a copy of {part.path}"
                raise CorruptSegmentError(sealed.path, sealed.start, detail)
            self._advance(len(one))


def _last_record(part: Part) -> Position | None:
    scan = Scan(part)
    for _line in scan:
        pass
    return scan.last


def _remove_leftovers(folder: str) -> None:
    """Remove what compactions and repairs that were killed have left."""
    for each in (folder, f"{folder}/{layout.JOBS}"):
        for name in files.names(each):
            is_ours = name.endswith(layout.TEMPORARY_SUFFIX)
            if is_ours and not files.is_folder(f"{each}/{name}"):
                files.remove(f"{each}/{name}")
