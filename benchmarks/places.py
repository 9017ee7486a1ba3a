"""Where the work is done: in fresh folders, on a file system that is named in the result.

Nothing is deleted before the end: ext4 takes 20 to 40 times as long to make files for a while after
thousands were deleted, and what came next would pay for it.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")


@dataclass(slots=True)
class Place:
    """A file system to work on.

    Attributes:
        name: `tmpfs` or `disk`.
        root: A folder of it that is ours.
        file_system: What it is, `ext4` for example.
    """

    name: str
    root: Path
    file_system: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Path:
        """An empty folder that nothing has been in."""
        folder = self.root / f"{next(self._numbers):06}"
        folder.mkdir()
        return folder


@contextlib.contextmanager
def places() -> Iterator[dict[str, Place]]:
    """The file systems of this machine, by name; what was made on them is deleted at the end."""
    parents = {"disk": Path(tempfile.gettempdir())}
    if MEMORY.is_dir():
        parents["tmpfs"] = MEMORY
    found = {}
    try:
        for name, parent in parents.items():
            root = Path(tempfile.mkdtemp(prefix="lorchestra-bench-", dir=parent))
            found[name] = Place(name, root, file_system_of(root))
        yield found
    finally:
        for place in found.values():
            shutil.rmtree(place.root, ignore_errors=True)


def file_system_of(path: Path) -> str:
    """The kind of file system that a path is on."""
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    for folder in [path.resolve(), *path.resolve().parents]:
        if folder in mounts:
            return mounts[folder]
    return "unknown"
