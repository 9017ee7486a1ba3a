"""Rows on disk: JSON lines, the first of which says where the rows come from.

    {"kind": "files", "prefix": "/srv/.venv", "python": "3.13.0", "run": "...", "attempt": 1, ...}
    {"idempotency_key": "9f86d0...", "distribution": "click", "path": "click/core.py", ...}

A row's key is made from what the row is about, never from when or by which run it was made: the
same fact has the same key every night, and so is updated and not added a second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from typing import Any

from audit import places
from audit.job import AuditError, identity

Row = dict[str, Any]
Header = dict[str, Any]


def key(kind: str, *natural: str) -> str:
    """Make the idempotency key of a row from what names it among rows of its kind."""
    return hashlib.sha256(json.dumps([kind, *natural]).encode()).hexdigest()


def write(kind: str, rows: Iterable[Row]) -> None:
    """Write all rows of a kind in place of those of the last run; a crash leaves those."""
    with places.replacing(places.rows_file(kind)) as file:
        for line in (_header(kind), *rows):
            file.write(json.dumps(line) + "\n")


def read(kind: str) -> tuple[Header, list[Row]]:
    """Read the header and the rows of a kind.

    Raises:
        AuditError: There is no such file, or it is not what `write` wrote.
    """
    path = places.rows_file(kind)
    try:
        with path.open(encoding="utf-8") as file:
            header, *rows = (json.loads(line) for line in file)
    except FileNotFoundError:
        raise AuditError(f"no rows of {kind} in {path}: run the stage ingest first") from None
    except ValueError as error:
        raise AuditError(f"{path} is damaged ({error}): run the stage ingest again") from error
    return header, rows


def _header(kind: str) -> Header:
    job = identity()
    return {
        "kind": kind,
        # Resolved, because a link on the way to the interpreter is no other environment.
        "prefix": os.path.realpath(sys.prefix),
        "python": platform.python_version(),
        "run": job.run_id,
        "job": job.job_id,
        "attempt": job.attempt,
    }
