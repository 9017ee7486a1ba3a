"""Where the audit writes: the folder `out` of this project, or the one that `AUDIT_OUT` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TextIO

# From this file and not from the working folder: a `call` shares that with all of lorchestra.
PROJECT = Path(__file__).resolve().parent.parent


def out() -> Path:
    """Name the folder of everything that the audit writes; a relative one is in the project."""
    return PROJECT / os.environ.get("AUDIT_OUT", "out")


def rows_file(kind: str) -> Path:
    """Name the file of one kind of row."""
    return out() / "rows" / f"{kind}.jsonl"


def database() -> Path:
    """Name the file of the tables."""
    return out() / "audit.sqlite"


def report() -> Path:
    """Name the report."""
    return out() / "report.md"


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file for writing that takes the place of `path` when the block ends well.

    A reader finds the old file or the new one, whole, whatever happens to the writer. A killed
    writer leaves a `.partial` file beside it, which nothing reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{token_hex(4)}.partial")
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            yield file
            # Else the new name can reach the disk before the bytes do, and a power cut empties it.
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
