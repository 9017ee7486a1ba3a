"""Resume a run: settle what was left open, and go on in a new file of the run's own.

Nothing that is there is changed. The new file names where the one before it ends, and says of each
attempt that no `done` tells of how it ended, and where its file does.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runstore import files, layout
from runstore.errors import (
    RecordError,
    RunDamagedError,
    RunIsAliveError,
    RunNotBegunError,
    RunResumedError,
    StoreFormatError,
)
from runstore.guard import Guard, release
from runstore.layout import AttemptKey, Claim
from runstore.lines.record import Position
from runstore.lines.scan import Scan
from runstore.reading.inventory import FORMAT, Inventory, folder_of_run, refuse_live
from runstore.reading.keys import run_key_in
from runstore.reading.merge import ATTEMPT_STATUSES, CRASHED, Record, RunState, status_in
from runstore.reading.view import AttemptReading, RunView, read_state
from runstore.writing.claim import claimed, other_claim
from runstore.writing.run import (
    Durability,
    Opening,
    Run,
    first_record,
    planned_jobs,
    planned_records,
)

Jobs = Iterable[str | Mapping[str, Any]]


def resume_run(
    store: str,
    run_id: str,
    durability: Durability,
    hold_guards: Callable[[str, str | None], Sequence[Guard]],
    *,
    jobs: Jobs | None,
    pipeline: str | None,
    seen: RunView | None,
    fields: Mapping[str, Any],
) -> Run:
    """Resume a run: as `RunStore.resume_run`; `hold_guards` takes the guard and the key."""
    folder = folder_of_run(store, run_id)
    plan = None if jobs is None else planned_jobs(jobs)
    inventory, state, _ = read_state(folder, run_id)
    _refuse(inventory, seen)
    name = _pipeline(inventory, state, pipeline)
    run_key = run_key_in(state.begin)
    guards = hold_guards(name, run_key)
    try:
        with claimed(folder) as claim:
            inventory, state = _read_claimed(folder, run_id, claim)
            _refuse(inventory, seen)
            if durability == "disk":
                _put_on_disk(inventory)
            opening = _opening(inventory, state, plan, name, fields)
            return _open(store, durability, opening, guards)
    except BaseException:
        release(guards)
        raise


def _open(store: str, durability: Durability, opening: Opening, guards: Sequence[Guard]) -> Run:
    try:
        return Run(store, durability, opening, guards)
    except FileExistsError:
        raise RunResumedError(opening.run_id) from None


def _read_claimed(folder: str, run_id: str, claim: Claim) -> tuple[Inventory, RunState]:
    """Read a run so that, if its last file has no `begin`, nobody is about to write that."""
    inventory, state, _ = read_state(folder, run_id)
    if inventory.begin is None:
        other = other_claim(folder, claim)
        if other is not None:
            raise RunIsAliveError(run_id, other.host, other.pid)
        # Whoever made the file has written its `begin` by now, or never will.
        inventory, state, _ = read_state(folder, run_id)
    return inventory, state


def _refuse(inventory: Inventory, seen: RunView | None) -> None:
    """Refuse a run that must not be resumed, or not by somebody who has seen it like this."""
    run_id = inventory.run_id
    if not inventory.segments:
        if inventory.found or inventory.was_sealed:
            raise RunDamagedError(run_id, "the run's own file is gone")
        raise RunNotBegunError(run_id)
    if not inventory.found and not inventory.last:
        raise RunNotBegunError(run_id)
    newer = [number for number, code in inventory.foreign.items() if code == "bad-version"]
    if newer:
        path = inventory.run_part(newer[0]).path
        raise StoreFormatError(path, "a file of another format", f"format {FORMAT}")
    refuse_live(inventory)
    if seen is not None and inventory.segments[-1] != seen.segment:
        raise RunResumedError(run_id)


def _pipeline(inventory: Inventory, state: RunState, given: str | None) -> str:
    recorded = state.pipeline
    if recorded is None and given is None:
        raise RunDamagedError(inventory.run_id, "no record says of which pipeline it is")
    if recorded is not None and given is not None and recorded != given:
        raise RecordError(f"run {inventory.run_id} is of pipeline {recorded!r}, not {given!r}")
    return recorded or given or ""


def _put_on_disk(inventory: Inventory) -> None:
    """Put on the disk what the new file is going to vouch for, and all that was vouched for.

    A process that was killed, or that wrote at durability `os`, has not.
    """
    parts = [inventory.run_part(segment) for segment in inventory.segments]
    parts += [inventory.attempt_part(key) for key in inventory.found]
    for path in dict.fromkeys(part.path for part in parts):
        with contextlib.suppress(files.NotAFileError, FileNotFoundError):
            files.sync_content(path)
    jobs = f"{inventory.folder}/{layout.JOBS}"
    if files.is_folder(jobs):
        files.sync_folder(jobs)
    files.sync_folder(inventory.folder)


def _opening(
    inventory: Inventory,
    state: RunState,
    plan: list[dict[str, Any]] | None,
    pipeline: str,
    fields: Mapping[str, Any],
) -> Opening:
    before = inventory.segments[-1]
    last = inventory.last.get(before)
    witness = {"last_n": last.n, "last_crc": last.crc} if last is not None else {}
    records = [("done", done) for done in _settle(inventory, state)]
    known = [job.planned for job in state.jobs.values()]
    if plan is not None and plan != known:
        records += planned_records(plan)
    ids = state.jobs if plan is None else [job["id"] for job in plan]
    stages = {job.id: job.stage for job in state.jobs.values() if job.stage is not None}
    stages |= {job["id"]: job["stage"] for job in plan or () if "stage" in job}
    return Opening(
        inventory.run_id,
        before + 1,
        first_record(
            inventory.run_id,
            before + 1,
            pipeline,
            fields,
            run_key=run_key_in(state.begin),
            **witness,
        ),
        records,
        stages,
        {job_id: _status(state, job_id) for job_id in ids},
        _last_attempts(inventory),
        _made_of(state, plan),
        {job_id: _status(state, job_id) for job_id in (*state.removed, *state.jobs)},
    )


def _made_of(state: RunState, plan: list[dict[str, Any]] | None) -> dict[str, str]:
    known = [job.planned for job in state.jobs.values()] if plan is None else plan
    return {job["id"]: job["of"] for job in known if isinstance(job.get("of"), str) and "id" in job}


def _status(state: RunState, job_id: str) -> str:
    """The status of a job as the run begins anew: what did not run is planned again."""
    job = state.jobs.get(job_id) or state.removed.get(job_id)
    if job is not None and job.kept:
        return "succeeded"
    return job.attempts[-1].status if job is not None and job.attempts else "planned"


def _last_attempts(inventory: Inventory) -> Counter[str]:
    """The greatest number that an attempt of each name has had, by whatever is left of it.

    A power cut may leave what an attempt printed, and take its records.
    """
    logs = map(layout.parse_log_file, files.names(f"{inventory.folder}/{layout.LOGS}"))
    last: Counter[str] = Counter()
    for key in {*inventory.found, *inventory.expected, *filter(None, logs)}:
        last[key.name] = max(last[key.name], key.attempt)
    return last


def _settle(inventory: Inventory, state: RunState) -> Iterator[Record]:
    """Give the `done` of each attempt that has none."""
    names = {layout.job_name(job_id): job_id for job_id in state.jobs}
    for key in sorted({*inventory.found, *inventory.expected}):
        expected = inventory.expected.get(key)
        if expected is not None and expected.is_done:
            continue
        left = _Left(inventory, key)
        if left.is_foreign and expected is None:
            continue
        job_id = expected.job_id if expected else left.job_id or names.get(key.name, key.name)
        if layout.job_name(job_id) != key.name:
            continue  # its exact id is lost: no record can name it
        done = {"job": job_id, "attempt": key.attempt, "status": left.status}
        last = left.last
        yield done if last is None else {**done, "last_n": last.n, "last_crc": last.crc}


class _Left:
    """What an attempt that no `done` names has left.

    Attributes:
        job_id: Its exact id by its own `begin`; None: that is not there.
        status: How it ended; `crashed`: it has no end.
        last: Where its last record stands; None: there is none.
        is_foreign: Whether the file under its name is that of something else.
    """

    def __init__(self, inventory: Inventory, key: AttemptKey) -> None:
        self.job_id: str | None = None
        self.status = CRASHED
        self.last: Position | None = None
        self.is_foreign = False
        if key in inventory.found:
            self._read(inventory, key)

    def _read(self, inventory: Inventory, key: AttemptKey) -> None:
        reading, scan = AttemptReading(inventory, key), Scan(inventory.attempt_part(key))
        for line in scan:
            record = reading.record(line)
            if reading.is_foreign:
                self.is_foreign = True
                return
            if record is not None and record["n"] == 0 and record["event"] == "begin":
                self.job_id = record["job"]
            if record is not None and record["event"] == "end":
                self.status = status_in(record, ATTEMPT_STATUSES, CRASHED)
        self.last = scan.last
