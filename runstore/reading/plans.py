"""What runs were to do: by the plans at the beginning of each run's own files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from runstore import files
from runstore.lines.part import Part
from runstore.lines.scan import Scan
from runstore.reading.inventory import record_in
from runstore.reading.keys import own_files

Planned = dict[str, Any]

# What a resume writes before its plan, and the plan itself.
_AT_THE_BEGINNING = frozenset({"begin", "done", "planned"})


def plans(store: str, run_ids: Iterable[str], pipeline: str) -> Iterator[tuple[str, list[Planned]]]:
    """Give the runs of a pipeline, each with what its plans say of its jobs.

    Raises:
        OSError: A file cannot be read.
    """
    for run_id, own in own_files(store, run_ids, pipeline):
        yield run_id, [job for part in own for job in _planned(part)]


def _planned(part: Part) -> Iterator[Planned]:
    try:
        for line in Scan(part):
            record = record_in(line)
            if record is None:
                continue
            if record["event"] not in _AT_THE_BEGINNING:
                return
            jobs = record.get("jobs") if record["event"] == "planned" else None
            yield from (job for job in jobs or () if isinstance(job, dict))
    except (FileNotFoundError, NotADirectoryError, files.NotAFileError):
        return
