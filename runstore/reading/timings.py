"""How long the jobs of runs took: by each run's own files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from runstore import files
from runstore.lines.bulk import Block
from runstore.lines.part import Part
from runstore.lines.record import fields_in
from runstore.lines.scan import Scan
from runstore.reading.inventory import record_in
from runstore.reading.keys import own_files
from runstore.reading.merge import attempt_named

Timings = dict[str, float]
Named = tuple[str, int]

# Most lines of a run's own file are one of these; others need not be parsed.
_STARTED, _DONE = b'"event":"start"', b'"event":"done"'


def timings(store: str, run_ids: Iterable[str], pipeline: str) -> Iterator[tuple[str, Timings]]:
    """Give the runs of a pipeline, each with how many seconds the jobs took that succeeded.

    Raises:
        OSError: A file cannot be read.
    """
    for run_id, own in own_files(store, run_ids, pipeline):
        took: Timings = {}
        for part in own:
            took |= _took(part)
        yield run_id, took


def _took(part: Part) -> Timings:
    """From the `start` of an attempt to its `done`, in one of a run's own files."""
    started: dict[Named, datetime] = {}
    took: Timings = {}
    for record in _starts_and_ends(part):
        named = attempt_named(record)
        if named is None:
            continue
        try:
            moment = datetime.fromisoformat(record["at"])
        except ValueError:
            continue
        if record["event"] == "start":
            started[named] = moment
        elif record.get("status") == "succeeded" and named in started:
            # A clock that is set back makes no job take less than nothing.
            took[named[0]] = max(0.0, (moment - started.pop(named)).total_seconds())
    return took


def _starts_and_ends(part: Part) -> Iterator[dict[str, Any]]:
    try:
        for judged in Scan(part).blocks():
            if isinstance(judged, Block):
                records = (
                    fields_in(raw, n)
                    for n, raw in enumerate(judged.lines, start=judged.n)
                    if _STARTED in raw or _DONE in raw
                )
            else:
                records = (record_in(line) for line in (judged,))
            yield from (each for each in records if each and each["event"] in {"start", "done"})
    except (FileNotFoundError, NotADirectoryError, files.NotAFileError):
        return
