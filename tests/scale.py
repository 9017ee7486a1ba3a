"""How much of a long test is done: a sample in the ordinary run, all of it with RUNSTORE_FULL=1."""

from __future__ import annotations

import os

IS_FULL = bool(os.environ.get("RUNSTORE_FULL"))


def count(full: int, reduced: int) -> int:
    """The number to use."""
    return full if IS_FULL else reduced
