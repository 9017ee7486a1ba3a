"""A process is killed at every byte that it writes: what it was told before is safe can be read."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from tests.faults.harness import Result
from tests.faults.sharing import dying, needs_fork, processors
from tests.scale import Scale

TITLE = "a process killed at any byte of a 10 KB workload loses no acknowledged record"
NEEDS = needs_fork


def run(scale: Scale) -> Result:
    """Let a process write up to a byte and die there, for every byte."""
    parts = scale.count(processors(), 1)
    step = scale.count(1, 199) * parts
    with TemporaryDirectory() as folder:
        return dying("cut", [(f"{folder}/{part}", part, step) for part in range(parts)])
