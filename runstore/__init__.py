"""runstore: append-only run records, one file per attempt of a job, merged on read.

    from runstore import RunStore

    store = RunStore(".runs")
    with store.create_run(pipeline="nightly", jobs=["ingest"]) as run:
        with run.job("ingest") as log:
            log.append("metric", rows=978)
    print(store.read(run.id).status, store.verify().ok)

Threads and processes need no lock, because nothing is shared: no two write to one file.
"""

from runstore.errors import (
    CorruptSegmentError,
    GuardTimeoutError,
    GuardUnavailableError,
    RecordError,
    RunIsAliveError,
    RunNotFoundError,
    RunStoreError,
    SegmentClosedError,
    SegmentPoisonedError,
    StoreFormatError,
    StoreNotFoundError,
)
from runstore.liveness import Owner, start_token
from runstore.merge import Attempt, Job
from runstore.record import Position
from runstore.repair import Mended, RepairReport
from runstore.run import AttemptLog, Durability, Run
from runstore.store import RunStore
from runstore.verify import ERROR_CODES, NOTE_CODES, Finding, Report
from runstore.view import RunSummary, RunView

__all__ = [
    "ERROR_CODES",
    "NOTE_CODES",
    "Attempt",
    "AttemptLog",
    "CorruptSegmentError",
    "Durability",
    "Finding",
    "GuardTimeoutError",
    "GuardUnavailableError",
    "Job",
    "Mended",
    "Owner",
    "Position",
    "RecordError",
    "RepairReport",
    "Report",
    "Run",
    "RunIsAliveError",
    "RunNotFoundError",
    "RunStore",
    "RunStoreError",
    "RunSummary",
    "RunView",
    "SegmentClosedError",
    "SegmentPoisonedError",
    "StoreFormatError",
    "StoreNotFoundError",
    "start_token",
]
