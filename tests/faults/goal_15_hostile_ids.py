"""Hostile job ids get names that no file system folds, changes or refuses.

Names of devices, twins by case and by Unicode normal form, dots, spaces, control characters, ids of
10,000 bytes, emoji, and names that other ids have. What can be seen here is the system that the
temporary folder is on; `refused_in` looks at any other.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from tempfile import TemporaryDirectory

from runstore import files
from runstore.layout import DAMAGED_SUFFIX, AttemptKey, attempt_file, job_name, parse_attempt_file
from tests.faults.harness import Result, Scale
from tests.runstore.test_layout import DEVICES, PIECES, folds, hostile_ids

TITLE = "hostile job ids get names that are injective, at most 100 bytes, and can be created"

MOST_BYTES = 100
MOST_ATTEMPTS = 999


def run(scale: Scale) -> Result:
    """Make the names, fold them, and create a file of each."""
    names = [job_name(job_id) for job_id in distinct_ids(scale.count(100_000, 25_000))]
    created = names[:: scale.count(1, 10)]
    with TemporaryDirectory() as folder:
        refused = refused_in(folder, created)
    longest = max(len(longest_file_name(name).encode()) for name in names)
    figures: dict[str, int | float | str] = {
        "ids": len(names),
        "files created": len(created) - len(refused),
        "bytes in the longest name": longest,
    }
    missed = len(refused) + (longest > MOST_BYTES)
    return Result(figures, lost=shared_names(names), undetected=missed)


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


def refused_in(folder: str, names: Iterable[str]) -> list[str]:
    """Create a file for each name in a folder; gives those names that did not become a file's.

    Args:
        folder: Where, on any file system; it is empty.
        names: Names of jobs, no two the same.
    """
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
