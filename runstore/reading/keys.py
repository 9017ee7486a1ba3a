"""Which runs are of a pipeline, or of a run key: by the first line of each run's own file alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from runstore import files, layout
from runstore.lines.part import Part
from runstore.lines.scan import peek_first
from runstore.reading.parts import Parts

Begin = dict[str, Any]


def find_run(store: str, run_ids: Iterable[str], pipeline: str, run_key: str) -> str | None:
    """Find the first of some runs that is of a pipeline and has a key; None: none of them is.

    Raises:
        OSError: A file cannot be read.
    """
    for run_id in run_ids:
        begin = first_begin(layout.run_folder(store, run_id), run_id)
        if begin.get("pipeline") == pipeline and run_key_in(begin) == run_key:
            return run_id
    return None


def own_files(
    store: str, run_ids: Iterable[str], pipeline: str
) -> Iterator[tuple[str, Iterator[Part]]]:
    """Give those of some runs that are of a pipeline, each with its own files.

    Raises:
        OSError: A file cannot be read.
    """
    for run_id in run_ids:
        folder = layout.run_folder(store, run_id)
        if first_begin(folder, run_id).get("pipeline") == pipeline:
            parts = Parts(folder, quick=True)
            parts.look()
            yield run_id, (parts.find(layout.run_file(segment)) for segment in parts.segments)


def run_key_in(begin: Begin) -> str | None:
    """The key that a run's `begin` names; None: it names none."""
    run_key = begin.get("run_key")
    return run_key if isinstance(run_key, str) else None


def first_begin(folder: str, run_id: str) -> Begin:
    """A `begin` of a run, the first if that can be read; empty: none can."""
    first = _first(Part(f"{folder}/{layout.run_file(1)}"), run_id)
    if first:
        return first
    # It was compacted, or damaged; every own file says it.
    parts = Parts(folder, quick=True)
    parts.look()
    found = (_first(parts.find(layout.run_file(n)), run_id) for n in parts.segments)
    return next(filter(None, found), {})


def _first(part: Part, run_id: str) -> Begin:
    try:
        begin = peek_first(part)
    except (FileNotFoundError, NotADirectoryError, files.NotAFileError):
        return {}
    return begin if begin is not None and begin.get("run") == run_id else {}
