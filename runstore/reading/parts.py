"""The files of records of one run by name, whether each stands on its own or in a sealed file.

Where a name is found twice, the file of its own is read: a compaction removes it only after the
sealed file was compared with it, so both are there for a moment, or after a crash.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from runstore import files, layout
from runstore.lines.part import Part
from runstore.reading.salvage import salvage
from runstore.reading.sealed import Flaw, Seal, has_whole_headers, read_index


class Parts:
    """What a run's folder holds, as it was when it was looked at last.

    Attributes:
        in_folder: The names in it.
        in_jobs: The names in its folder of attempts.
        seals: Its sealed files, the newest first.
    """

    def __init__(self, folder: str, *, quick: bool = False) -> None:
        """Prepare to look at a run's folder.

        Args:
            folder: The folder.
            quick: Trust the index of a sealed file that is whole, and do not look at the headers.
        """
        self.in_folder: list[str] = []
        self.in_jobs: list[str] = []
        self.seals: list[Seal] = []
        self._folder = folder
        self._quick = quick
        self._loose: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is one that has not looked yet."""
        return partial(Parts, quick=self._quick), (self._folder,)

    def look(self) -> None:
        """See which files the folder has."""
        self.in_folder = files.names(self._folder)
        self._loose.update(self.in_folder)
        numbers = sorted(filter(None, map(layout.parse_sealed_file, self.in_folder)), reverse=True)
        known = {seal.path: seal for seal in self.seals}
        self.seals = []
        for number in numbers:
            path = f"{self._folder}/{layout.sealed_file(number)}"
            # A sealed file never changes, and its name is never given to another.
            seal = known.get(path) or self._read(path)
            if seal is not None:
                self.seals.append(seal)

    def look_at_attempts(self) -> None:
        """See which attempts have files of their own."""
        self.in_jobs = files.names(f"{self._folder}/{layout.JOBS}")
        self._loose.update(f"{layout.JOBS}/{name}" for name in self.in_jobs)

    def _read(self, path: str) -> Seal | None:
        """Read what a sealed file says of its parts; None: it has just been removed."""
        try:
            seal = read_index(path)
            if seal is None or not (self._quick or has_whole_headers(seal)):
                seal = salvage(path)
        except FileNotFoundError:
            return None
        except files.NotAFileError:
            flaw = Flaw("damaged", 1, 0, "is no regular file")
            return Seal(path, is_exact=False, flaws=[flaw])
        return seal

    @property
    def state(self) -> tuple[list[int], list[str]]:
        """What changes when the run is resumed, or compacted: its own files, its sealed files."""
        return self.segments, [seal.path for seal in self.seals]

    @property
    def segments(self) -> list[int]:
        """The numbers of the run's own files, in order."""
        names = {*self.in_folder, *(name for seal in self.seals for name in seal.parts)}
        return sorted(filter(None, map(layout.parse_run_file, names)))

    @property
    def attempt_names(self) -> list[str]:
        """The names in the folder of attempts, and those of attempts that were there, in order."""
        prefix = f"{layout.JOBS}/"
        sealed = (name for seal in self.seals for name in seal.parts if name.startswith(prefix))
        return sorted({*self.in_jobs, *(name.removeprefix(prefix) for name in sealed)})

    def find(self, name: str) -> Part:
        """Where a file's lines are now, by its path below the run's folder."""
        if self.is_loose(name):
            return self.loose(name)
        sealed = self.sealed(name)
        return sealed[0] if sealed else self.loose(name)

    def is_loose(self, name: str) -> bool:
        """Tell whether a name has a file of its own."""
        return name in self._loose

    def loose(self, name: str) -> Part:
        """The file of its own that a name has, or would have."""
        part = Part(f"{self._folder}/{name}", moved=partial(self._moved, name))
        sealed = [seal.entries[name] for seal in self.seals if name in seal.entries]
        return part._replace(crc32=sealed[0].crc32, last=sealed[0].last) if sealed else part

    def sealed(self, name: str) -> list[Part]:
        """Where a name stands in sealed files, the newest first."""
        parts = [seal.parts[name] for seal in self.seals if name in seal.parts]
        return [part._replace(moved=partial(self._moved, name)) for part in parts]

    def _moved(self, name: str) -> Part:
        """Look again for a file that is gone: a compaction moved it since."""
        self._loose.clear()
        self.look()
        self.look_at_attempts()
        return self.find(name)
