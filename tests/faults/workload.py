"""What is written while the power is cut, who was told what is safe, and what is left of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from runstore import Run, RunStore, StoreNotFoundError

JOBS = ("ingest_1", "Ingest 2", "report")
EVENTS_OF_RUNS = {"planned", "start", "done", "not_run", "kept"}
PUBLISHED = ("store.json", ".gitignore")


class Safe(NamedTuple):
    """What a caller was told: the records of a file, up to one of them, are safe.

    Attributes:
        run: The run.
        job: The job, for an attempt's file; None: the run's own file.
        attempt: Which try of the job; 0 for the run's own file.
        last: The number of the last of these records.
    """

    run: str
    job: str | None
    attempt: int
    last: int


Acknowledge = Callable[[Safe], None]
Key = tuple[str, str | None, int, int]


def write_runs(store: RunStore, acknowledge: Acknowledge) -> NoReturn:
    """Write one run after another until the power goes, which shows as an error."""
    while True:
        write_run(store, acknowledge)


def write_run(store: RunStore, acknowledge: Acknowledge) -> None:
    """Write one run, its jobs side by side."""
    with store.create_run("nightly", JOBS) as run:
        acknowledge(Safe(run.id, None, 0, 1))
        with ThreadPoolExecutor(len(JOBS)) as pool:
            for _ in pool.map(partial(write_job, run, acknowledge), JOBS):
                pass
        acknowledge(Safe(run.id, None, 0, run.end("failed").n))


def write_job(run: Run, acknowledge: Acknowledge, job_id: str) -> None:
    """Write two attempts of a job."""
    for status in ("failed", "succeeded"):
        with run.job(job_id) as log:
            for rows in range(3):
                position = log.append("metric", rows=rows, text="é" * 100**rows)
                if run.durability == "os":
                    acknowledge(Safe(run.id, job_id, log.attempt, position.n))
            acknowledge(Safe(run.id, job_id, log.attempt, log.end(status).n))


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a store.

    Attributes:
        acknowledged: How many records somebody was told are safe.
        lost: How many of these cannot be read.
        errors: How many errors verify finds.
        empty: How many files are empty that are made whole or not at all.
    """

    acknowledged: int
    lost: int
    errors: int
    empty: int


def left_in(path: Path, told: Collection[Safe]) -> Left:
    """Read all of a store, and hold it against what somebody was told."""
    safe = {(*each[:3], n) for each in told for n in range(each.last + 1)}
    empty = [name for name in PUBLISHED if is_empty(path / name)]
    try:
        store = RunStore(path)
        errors = store.verify(strict=True).errors
        lost = safe - {key for run_id in store.run_ids() for key in keys_of(store, run_id)}
    except StoreNotFoundError:
        errors, lost = [], safe
    for wrong in [*errors, *sorted(lost, key=str), *empty]:
        print(f"{path}: {wrong}", file=sys.stderr)
    return Left(len(safe), len(lost), len(errors), len(empty))


def is_empty(path: Path) -> bool:
    """Tell whether an empty file stands there."""
    return path.exists() and path.stat().st_size == 0


def keys_of(store: RunStore, run_id: str) -> Iterator[Key]:
    """Which records of a run can be read: run, job, attempt, number."""
    for record in store.read(run_id).records():
        yield (run_id, *file_of(record), record["n"])


def file_of(record: dict[str, Any]) -> tuple[str | None, int]:
    """The job and the attempt whose file a record is of."""
    if "job" not in record or record["event"] in EVENTS_OF_RUNS:
        return None, 0
    return record["job"], record["attempt"]
