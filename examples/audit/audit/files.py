"""The job `ingest_files`: every file that a RECORD names, hashed and compared with it.

| status | the file |
| --- | --- |
| `ok` | is what was installed |
| `altered` | is there, and something else |
| `missing` | is not there |
| `unreadable` | is there, and cannot be read |
| `unhashed` | has no hash in the RECORD: the RECORD itself, and bytecode |
"""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from audit import job, rows
from audit.installed import Recorded, distributions

STATUSES = ("ok", "altered", "missing", "unreadable", "unhashed")


def ingest(search: Sequence[str] | None = None) -> job.Output:
    """Write one row for each file; `search`: the folders to look in, default `sys.path`."""
    found = list(_rows(search))
    rows.write("files", found)
    counts = Counter(row["status"] for row in found)
    return {
        "rows": len(found),
        "size_bytes": sum(row["size_bytes"] or 0 for row in found),
        **{status: counts[status] for status in STATUSES},
    }


def _rows(search: Sequence[str] | None) -> Iterator[rows.Row]:
    for distribution in distributions(search):
        for recorded in distribution.record or ():
            status, size_bytes = compare(distribution.folder / recorded.path, recorded)
            yield {
                "idempotency_key": rows.key("files", distribution.name, recorded.path),
                "distribution": distribution.name,
                "path": recorded.path,
                "status": status,
                "size_bytes": size_bytes,
            }


def compare(path: Path, recorded: Recorded) -> tuple[str, int | None]:
    """Compare a file with what the RECORD says of it.

    Returns:
        Its status, and its size in bytes; None when it cannot be read.
    """
    try:
        return _compare(path, recorded)
    except (FileNotFoundError, NotADirectoryError):
        # Bytecode comes and goes: Python makes it when it is not there.
        return ("unhashed" if path.suffix == ".pyc" else "missing"), None
    except OSError:
        return "unreadable", None


def _compare(path: Path, recorded: Recorded) -> tuple[str, int]:
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if recorded.algorithm not in hashlib.algorithms_guaranteed:
            return "unhashed", size_bytes
        digest = hashlib.file_digest(file, recorded.algorithm).digest()
    same = urlsafe_b64encode(digest).rstrip(b"=").decode() == recorded.digest
    return ("ok" if same else "altered"), size_bytes


if __name__ == "__main__":
    job.main(ingest)
