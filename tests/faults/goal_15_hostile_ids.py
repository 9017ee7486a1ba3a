"""Hostile job ids get names that no file system folds, changes or refuses.

Names of devices, twins by case and by Unicode normal form, dots, spaces, control characters, ids of
10,000 bytes, emoji, and names that other ids have. A file of each name is created where the
temporary folder is, and on each file system that can be mounted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runstore import files
from runstore.layout import DAMAGED_SUFFIX, AttemptKey, attempt_file, job_name, parse_attempt_file
from tests.faults.harness import Result
from tests.faults.machine import (
    CASELESS_NTFS,
    EXFAT,
    EXT4,
    NTFS,
    VFAT,
    XFS,
    FileSystem,
    UnmountableError,
    cannot_mount,
    on_each,
    scratch,
)
from tests.runstore.test_layout import DEVICES, PIECES, folds, hostile_ids
from tests.scale import Scale

TITLE = "hostile job ids get names that are injective, at most 100 bytes, and can be created"

MOST_BYTES = 100
MOST_ATTEMPTS = 999
FILE_SYSTEMS = {each.name: each for each in (EXT4, XFS, VFAT, EXFAT, NTFS, CASELESS_NTFS)}
# A folder of vfat has room for 65,536 entries, of which a name of 100 bytes takes nine; the driver
# of exfat looks through all of them for each name.
MOST_IN_A_FOLDER = 5_000


def run(scale: Scale) -> Result:
    """Make the names, fold them, and create a file of each."""
    names = [job_name(job_id) for job_id in distinct_ids(scale.count(100_000, 25_000))]
    created = names[:: scale.count(1, 10)]
    with TemporaryDirectory() as folder:
        refused = len(refused_in(Path(folder), created))
    longest = max(len(longest_file_name(name).encode()) for name in names)
    figures: dict[str, int | float | str] = {
        "ids": len(names),
        "bytes in the longest name": longest,
        "files created": len(created) - refused,
    }
    for name, outcome in on_file_systems(len(names), len(created)).items():
        if "reason" in outcome:
            figures[name] = f"not run: {outcome['reason']}"
        else:
            figures[f"on {name}"] = len(created) - len(outcome["refused"])
            refused += len(outcome["refused"])
    missed = refused + (longest > MOST_BYTES)
    return Result(figures, lost=shared_names(names), undetected=missed)


def on_file_systems(ids: int, created: int) -> dict[str, dict[str, Any]]:
    """What each file system says, or why it was not asked."""
    reason = cannot_mount()
    if reason is not None:
        return {"other file systems": {"reason": reason}}
    return on_each(FILE_SYSTEMS.values(), __name__, ids, ids // created)


def created_on(file_system: FileSystem, ids: int, every: int) -> dict[str, Any]:
    """Create files on a new file system; gives those names that it refuses, or why it cannot be."""
    names = [job_name(job_id) for job_id in distinct_ids(ids)][::every]
    with scratch() as folder:
        try:
            with file_system.mounted(folder / "disk") as disk:
                return {"refused": refused_in(disk, names)}
        except UnmountableError as error:
            return {"reason": str(error)}


def distinct_ids(count: int) -> list[str]:
    """So many hostile ids, always the same, with the twins of those that are drawn by chance."""
    chance = random.Random(15)
    ids = dict.fromkeys(sorted(hostile_ids()))
    devices = sorted(DEVICES)
    while len(ids) < count:
        pieces = chance.choices(PIECES, k=chance.randint(1, 12))
        if chance.random() < 0.3:
            pieces.insert(0, chance.choice(devices))
        ids.update(dict.fromkeys(sorted(folds("".join(pieces)))))
    return list(ids)[:count]


def shared_names(names: Iterable[str]) -> int:
    """How many names some system would take for that of another id."""
    owners: dict[str, int] = {}
    shared = 0
    for number, name in enumerate(names):
        of_this = {owners.setdefault(folded, number) for folded in folds(name)}
        shared += of_this != {number}
    return shared


def longest_file_name(name: str) -> str:
    """The longest name of a file that an attempt of a job gets."""
    return f"{attempt_file(name, MOST_ATTEMPTS)}{DAMAGED_SUFFIX}".rpartition("/")[2]


def refused_in(folder: Path, names: Iterable[str]) -> list[str]:
    """Create a file for each name; gives those names that did not become a file's.

    Args:
        folder: Where, on any file system.
        names: Names of jobs, no two the same.
    """
    refused: list[str] = []
    # In order, so that those which differ in case alone meet in one folder.
    for some in batched(sorted(names, key=str.casefold), MOST_IN_A_FOLDER):
        inner = folder / "names"
        inner.mkdir()
        refused += refused_of(inner, some)
        shutil.rmtree(inner)
    return refused


def batched(names: list[str], size: int) -> Iterator[list[str]]:
    """The names, so many at a time."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


def refused_of(folder: Path, names: list[str]) -> list[str]:
    """The same in one folder, which is empty."""
    made: dict[str, str] = {}
    refused = []
    for name in names:
        filename = attempt_file(name, 1).rpartition("/")[2]
        try:
            files.close(files.create(f"{folder}/{filename}"))
        except OSError:
            refused.append(name)
        else:
            made[filename] = name
    there = set(os.listdir(folder))
    refused += [name for filename, name in made.items() if filename not in there]
    parsed = {filename: parse_attempt_file(filename) for filename in there & made.keys()}
    refused += [made[f] for f, key in parsed.items() if key != AttemptKey(made[f], 1)]
    return refused


if __name__ == "__main__":
    name, *counts = sys.argv[1:]
    print(json.dumps(created_on(FILE_SYSTEMS[name], *map(int, counts))))
