"""How much of a long test is done: a sample in the ordinary run, all of it with RUNSTORE_FULL=1.

The one place that decides it. `python -m tests.faults --full` asks for all without the variable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLE = "RUNSTORE_FULL"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many faults to make: all of them, or a sample that fits into an ordinary test run."""

    is_full: bool = False

    def count(self, full: int, reduced: int) -> int:
        """The number to use."""
        return full if self.is_full else reduced


REDUCED, FULL = Scale(), Scale(is_full=True)
ASKED_FOR = FULL if os.environ.get(VARIABLE) else REDUCED

count = ASKED_FOR.count


def environment(**more: str) -> dict[str, str]:
    """The variables for tests that a test starts: however much it does itself, they do a sample."""
    return {name: value for name, value in os.environ.items() if name != VARIABLE} | more
