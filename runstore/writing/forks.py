"""Notice that this process was made by `fork`, without asking the system at every write.

Asking it takes as long as a fifth of a small write. A child that is made behind Python's back, by C
code that calls `fork` itself and goes on with Python in it, is not noticed.
"""

from __future__ import annotations

import os

# How often a fork has come between the first process and this one.
generation = 0


def _count() -> None:
    global generation  # noqa: PLW0603 - it is what the process is, not what a caller sets
    generation += 1


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_count)
