"""Processes are killed at moments drawn by chance: what they were told is safe can be read."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from tests.faults.harness import Result
from tests.faults.sharing import dying, needs_fork, processors
from tests.scale import Scale

TITLE = "a process killed at any moment loses no acknowledged record, and leaves no error"
NEEDS = needs_fork


def run(scale: Scale) -> Result:
    """Fork a process that writes, kill it, and read what it has left; again and again."""
    parts = scale.count(processors(), 1)
    cycles = scale.count(10_000, 80) // parts
    with TemporaryDirectory() as folder:
        return dying("killed", [(f"{folder}/{part}", cycles, part) for part in range(parts)])
