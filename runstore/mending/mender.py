"""Put a mended file in the place of a damaged one, and keep that as it was found.

Beside each file that is replaced stays the original, as `<file>.damaged`. It is copied there first
and put on the disk; then the mended file takes its place in one step. A crash in between leaves
either the damaged file or the mended one under its name, and doing it again goes on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from runstore import files, layout
from runstore.lines.part import Part, chunks, texts
from runstore.lines.record import Position, read_frame
from runstore.lines.scan import Scan
from runstore.mending.rebuild import Home, Misplaced, Rebuilt, rebuild
from runstore.verifying.findings import NOTE_CODES

_HARMLESS = NOTE_CODES | {None}

_COPY_BYTES = 1 << 20
# No name of the store itself is as long; that of a file has 255 bytes on most systems.
_MAX_KEPT = 120
_MAX_KEPT_START = 40


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done to one file, or would be done: then the words say how it would be.

    Attributes:
        path: The file, relative to the store, with `/`.
        action: `rewritten`, `made` (it was missing), `set aside` (it belongs to nothing), or
            `taken apart` (a sealed file: the files in it stand on their own again).
        kept: How many records the file has now that it had before.
        lost: The first and last number of each stretch of records that are lost.
        original: Where the file as it was found is now, relative to the store; None: there was
            none.
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


class Mender:
    """Changes the files of one run.

    Attributes:
        report: What was done.
        pool: Whole records that stand in the wrong file, for those that miss them.
    """

    def __init__(self, store: str, folder: str) -> None:
        self.report = RepairReport()
        self.pool: Misplaced = {}
        self._store = store
        self._folder = folder

    def mend(self, path: str, source: str | Part | None, witness: Position | None) -> None:
        """Put a mended file in the place of one, and keep that beside it.

        Args:
            path: The place.
            source: Where the records are; None: nowhere, all are lost.
            witness: Where the last one stands, by what another file says; None: nobody says.
        """
        run_id = self._folder.rpartition("/")[2]
        home = Home(run_id, path.removeprefix(f"{self._folder}/"))
        with self._replacing(path) as write:
            rebuilt = rebuild(home, source, witness, write, self.pool)
            original = self.keep_original(path)
        self._note(path, rebuilt, original)

    def collect(self, part: Part) -> None:
        """Put the records of a part that is not what it should be at the disposal of others."""
        for text in texts(part):
            frame = read_frame(text.raw)
            if frame is not None:
                self.pool.setdefault(frame.n, []).append((frame, text.raw))

    def put(self, path: str, part: Part) -> None:
        """Make a file of what is a part of another; that it is made is nothing to report."""
        with self._replacing(path) as write:
            for chunk in chunks(part):
                write(chunk)

    def replace(self, path: str, content: bytes) -> None:
        """Put a small file in the place of one, and keep that beside it."""
        with self._replacing(path) as write:
            write(content)
            original = self.keep_original(path)
        self._note(path, Rebuilt(), original)

    @contextlib.contextmanager
    def _replacing(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """Write a file beside another that takes its place at the end."""
        files.make_folders(path.rpartition("/")[0], sync=True)
        temporary = files.temporary_beside(path)
        try:
            with files.writing(temporary) as write:
                yield write
            files.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove(temporary)
            raise

    def keep_original(self, path: str) -> str | None:
        """Copy a file to where evidence is kept, and put the copy on the disk."""
        if not files.exists(path):
            return None
        if not files.is_file(path):
            return self._move_aside(path)
        kept = _free_name(path, lambda taken: files.same_content(path, taken))
        if not files.exists(kept):
            with self._replacing(kept) as write:
                files.copy_into(path, write, _COPY_BYTES)
        return kept

    def set_aside(self, path: str, action: str = "set aside") -> None:
        """Rename a file, so that it is evidence and nothing else any more."""
        original = self.relative(self._move_aside(path))
        self.report.mended.append(Mended(self.relative(path), action, original=original))

    def set_all_aside(self, paths: list[str]) -> None:
        """Rename files as `set_aside` does, with one sync for each folder: there can be very many.

        After a crash in between each has its old name or the new one.
        """
        for path in paths:
            kept = _free_name(path, lambda _taken: False)
            files.rename(path, kept)
            original = self.relative(kept)
            self.report.mended.append(Mended(self.relative(path), "set aside", original=original))
        for folder in sorted({path.rpartition("/")[0] for path in paths}):
            files.sync_folder(folder)

    def _move_aside(self, path: str) -> str:
        kept = _free_name(path, lambda _taken: False)
        files.replace(path, kept)
        return kept

    def _note(self, path: str, rebuilt: Rebuilt, original: str | None) -> None:
        action = "rewritten" if original else "made"
        relative = self.relative(original) if original else None
        self.report.mended.append(
            Mended(self.relative(path), action, rebuilt.kept, tuple(rebuilt.lost), relative)
        )

    def leave(self, path: str, why: str) -> None:
        """Note that a file is left alone."""
        self.report.left[self.relative(path)] = why

    def relative(self, path: str) -> str:
        """A path relative to the store."""
        return path.removeprefix(f"{self._store}/")


def is_damaged(part: Part, witness: Position | None) -> bool:
    """Tell whether a scan finds more than what is normal for a process that was killed."""
    return any(line.code not in _HARMLESS for line in Scan(part, witness))


def _free_name(path: str, is_same: Callable[[str], bool]) -> str:
    """The name for the evidence: the first that is free, or that holds the same already."""
    folder, _, base = path.rpartition("/")
    if len(base) > _MAX_KEPT:  # of somebody else: with more at its end it could be none
        exact = sha256(base.encode("utf-8", "surrogateescape")).hexdigest()
        base = f"{base[:_MAX_KEPT_START]}~{exact[:16]}"
    number = 1
    while True:
        infix = "" if number == 1 else f".{number}"
        name = f"{folder}/{base}{infix}{layout.DAMAGED_SUFFIX}"
        if not files.exists(name) or is_same(name):
            return name
        number += 1
