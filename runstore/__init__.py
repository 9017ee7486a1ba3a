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
