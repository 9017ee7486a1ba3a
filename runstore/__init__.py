"""runstore: append-only run records, one file per attempt of a job, merged on read.

    from runstore import RunStore

    store = RunStore(".runs")
    with store.create_run(pipeline="nightly", jobs=["ingest"]) as run:
        with run.job("ingest") as log:
            log.append("metric", rows=978)
    print(store.read(run.id).status, store.verify().ok)

Threads and processes need no lock, because nothing is shared: no two write to one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstore.errors import (
        CorruptSegmentError,
        GuardTimeoutError,
        GuardUnavailableError,
        RecordError,
        RunDamagedError,
        RunIsAliveError,
        RunNotBegunError,
        RunNotEndedError,
        RunNotFoundError,
        RunResumedError,
        RunStoreError,
        SegmentClosedError,
        SegmentPoisonedError,
        StoreFormatError,
        StoreNotFoundError,
    )
    from runstore.guard import RunKey
    from runstore.lines.record import Position
    from runstore.liveness import Owner, start_token
    from runstore.mending.mender import Mended, RepairReport
    from runstore.reading.merge import Attempt, Job
    from runstore.reading.view import RunSummary, RunView
    from runstore.store import RunStore
    from runstore.upkeep.compact import Compacted
    from runstore.upkeep.stats import PipelineStats, RunSize, StoreStats
    from runstore.verifying.findings import ERROR_CODES, NOTE_CODES, Finding, Report
    from runstore.writing.run import AttemptLog, Durability, Run

__all__ = [
    "ERROR_CODES",
    "NOTE_CODES",
    "Attempt",
    "AttemptLog",
    "Compacted",
    "CorruptSegmentError",
    "Durability",
    "Finding",
    "GuardTimeoutError",
    "GuardUnavailableError",
    "Job",
    "Mended",
    "Owner",
    "PipelineStats",
    "Position",
    "RecordError",
    "RepairReport",
    "Report",
    "Run",
    "RunDamagedError",
    "RunIsAliveError",
    "RunKey",
    "RunNotBegunError",
    "RunNotEndedError",
    "RunNotFoundError",
    "RunResumedError",
    "RunSize",
    "RunStore",
    "RunStoreError",
    "RunSummary",
    "RunView",
    "SegmentClosedError",
    "SegmentPoisonedError",
    "StoreFormatError",
    "StoreNotFoundError",
    "StoreStats",
    "start_token",
]

_MODULES = {
    "CorruptSegmentError": "errors",
    "GuardTimeoutError": "errors",
    "GuardUnavailableError": "errors",
    "RecordError": "errors",
    "RunDamagedError": "errors",
    "RunIsAliveError": "errors",
    "RunNotBegunError": "errors",
    "RunNotEndedError": "errors",
    "RunNotFoundError": "errors",
    "RunResumedError": "errors",
    "RunStoreError": "errors",
    "SegmentClosedError": "errors",
    "SegmentPoisonedError": "errors",
    "StoreFormatError": "errors",
    "StoreNotFoundError": "errors",
    "RunKey": "guard",
    "Position": "lines.record",
    "Owner": "liveness",
    "start_token": "liveness",
    "Mended": "mending.mender",
    "RepairReport": "mending.mender",
    "Attempt": "reading.merge",
    "Job": "reading.merge",
    "RunSummary": "reading.view",
    "RunView": "reading.view",
    "RunStore": "store",
    "Compacted": "upkeep.compact",
    "PipelineStats": "upkeep.stats",
    "RunSize": "upkeep.stats",
    "StoreStats": "upkeep.stats",
    "ERROR_CODES": "verifying.findings",
    "Finding": "verifying.findings",
    "NOTE_CODES": "verifying.findings",
    "Report": "verifying.findings",
    "AttemptLog": "writing.run",
    "Durability": "writing.run",
    "Run": "writing.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that holds it: most programs use only few of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
