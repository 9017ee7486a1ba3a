"""runstore: append-only run records, one file per attempt of a job, merged on read.

    from runstore import RunStore

    store = RunStore(".runs")
    with store.create_run(pipeline="nightly", jobs=["ingest"]) as run:
        with run.job("ingest") as log:
            log.append("metric", rows=978)
    print(store.read(run.id).status, store.verify().ok)

Threads and processes need no lock, because nothing is shared: no two write to one file.
"""

from runstore.compact import Compacted
from runstore.errors import (
    CorruptSegmentError,
    GuardTimeoutError,
    GuardUnavailableError,
    RecordError,
    RunDamagedError,
    RunIsAliveError,
    RunNotEndedError,
    RunNotFoundError,
    RunStoreError,
    SegmentClosedError,
    SegmentPoisonedError,
    StoreFormatError,
    StoreNotFoundError,
)
from runstore.liveness import Owner, start_token
from runstore.mending import Mended, RepairReport
from runstore.merge import Attempt, Job
from runstore.record import Position
from runstore.run import AttemptLog, Durability, Run
from runstore.stats import PipelineStats, RunSize, StoreStats
from runstore.store import RunStore
from runstore.verify import ERROR_CODES, NOTE_CODES, Finding, Report
from runstore.view import RunSummary, RunView

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
    "RunNotEndedError",
    "RunNotFoundError",
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
