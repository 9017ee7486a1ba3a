"""Small runs to read, damage and take apart, and what the tests ask of them again and again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runstore import Finding, Position, Report, Run, RunStore
from runstore.layout import attempt_file, job_name, run_file
from runstore.liveness import Owner, this_process
from runstore.writing.segment import SegmentWriter

Record = dict[str, Any]

PLAIN, SLUGGED = "ingest", "Größe/Σ 1"
RUN_FILE = "run.jsonl"
FIRST, SECOND = attempt_file(PLAIN, 1), attempt_file(PLAIN, 2)
THIRD = attempt_file(job_name(SLUGGED), 1)
ATTEMPT_FILES = (FIRST, SECOND, THIRD)
RUN_FILES = (RUN_FILE, *ATTEMPT_FILES)

# No process has this pid, so what it left open has crashed.
DEAD = Owner(this_process().host, 2**31 - 1, "gone")
ELSEWHERE = Owner("elsewhere.example", 4711, "token")


class SampleRun:
    """A run on disk, and every record that was written to it."""

    def __init__(self, store: RunStore, run: Run) -> None:
        self.store = store
        self.id = run.id
        self.folder = Path(run.path)
        self.receipt = run.receipt
        self.content = {name: self.path(name).read_bytes() for name in self.names()}
        self.written = {frozen(r) for name in self.names() for r in parsed(self.content[name])}

    def path(self, name: str) -> Path:
        return self.folder / name

    def names(self) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.jsonl")
        )

    def write(self, name: str, data: bytes) -> None:
        """Give a file other content in its place: to empty it first costs some systems a sync."""
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_CREAT)
        try:
            os.write(descriptor, data)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)

    def lines(self, name: str) -> list[bytes]:
        return self.content[name].splitlines(keepends=True)

    def restore(self) -> None:
        """Put every file back as it was, and take away what was added."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.relative_to(self.folder).as_posix() not in self.content:
                path.unlink()
        for name, data in self.content.items():
            self.write(name, data)

    def verify(self, receipt: str | None = None) -> Report:
        return self.store.verify(self.id, receipt=receipt)

    def records(self) -> list[Record]:
        return list(self.store.read(self.id).records())

    def assert_reads_only_what_was_written(self) -> None:
        """Read everything: no crash, and no record that nobody wrote, or not there."""
        read = [*map(frozen, self.records())]
        assert set(read) <= self.written
        assert len(read) == len(set(read))


def parsed(data: bytes) -> list[Record]:
    """The records of an intact file, as a reader gives them, by other means than the store's."""
    records: list[Record] = [json.loads(line) for line in data.splitlines()]
    if "job" in records[0]:
        identity = {"job": records[0]["job"], "attempt": records[0]["attempt"]}
        return [{**record, **identity} for record in records]
    return records


def frozen(record: Record) -> str:
    return json.dumps(record, sort_keys=True)


def finished_run(folder: Path, pipeline: str = "nightly") -> SampleRun:
    """A run that ended: a job that failed and was tried again, and one with a hostile id."""
    store = RunStore(folder, durability="os")
    planned = [{"id": PLAIN, "stage": "s"}, {"id": SLUGGED, "stage": "s"}]
    with store.create_run(pipeline=pipeline, jobs=planned) as run:
        with run.job(PLAIN) as log:
            log.append("metric", rows=978)
            log.end("failed", error="no")
        for job_id in (PLAIN, SLUGGED):
            with run.job(job_id) as log:
                log.append("metric", note="é\n\t")
    return SampleRun(store, run)


def open_run(folder: Path, owner: Owner = DEAD) -> SampleRun:
    """A run whose process is gone: one attempt is done, one was at work, one job had not begun."""
    store = RunStore(folder, durability="os")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.writing.run.this_process", lambda: owner)
        run = store.create_run(pipeline="nightly", jobs=[PLAIN, SLUGGED, "later"])
        with run.job(PLAIN) as log:
            log.append("metric", rows=978)
        left_open = run.job(SLUGGED)
        left_open.append("metric", rows=1)
    abandon(left_open)
    abandon(run)
    return SampleRun(store, run)


def abandon(writer: Any) -> None:
    """Close a writer's file as the end of its process does: without a word."""
    writer._segment.close()


def write_segment(path: Path, records: Iterable[tuple[str, Mapping[str, Any]]]) -> Position:
    """Write a file of records as any program could."""
    writer = SegmentWriter(str(path))
    for event, fields in records:
        writer.append(event, fields)
    writer.close()
    position = writer.position
    assert position is not None
    return position


def resume_begin(sample: SampleRun, segment: int, last: Position, owner: Owner) -> Record:
    """What the `begin` of a resume holds."""
    return {
        "format": 1,
        "run": sample.id,
        "segment": segment,
        "pipeline": "nightly",
        "last_n": last.n,
        "last_crc": last.crc,
        **owner.fields(),
    }


def attempt_begin(sample: SampleRun, job_id: str, attempt: int, owner: Owner = DEAD) -> Record:
    """What the `begin` of an attempt holds."""
    identity = {"run": sample.id, "job": job_id, "attempt": attempt, "stage": None}
    return {"format": 1, **identity, **owner.fields()}


def last_position(data: bytes) -> Position:
    """Where the last whole line of a file stands."""
    last = json.loads(data[: data.rindex(b"\n")].rsplit(b"\n", 1)[-1])
    return Position(last["n"], last["crc"])


def resume(sample: SampleRun, segment: int = 2, owner: Owner = DEAD) -> Position:
    """Go on with the open run as a resume does: what was left open crashed, and runs again."""
    before = last_position(sample.path(run_file(segment - 1)).read_bytes())
    crashed = last_position(sample.path(THIRD).read_bytes())
    again = attempt_file(job_name(SLUGGED), 2)
    second = write_segment(
        sample.path(again),
        [
            ("begin", attempt_begin(sample, SLUGGED, 2, owner)),
            ("end", {"status": "succeeded", "exit_code": 0}),
        ],
    )
    later = write_segment(
        sample.path(attempt_file("later", 1)),
        [("begin", attempt_begin(sample, "later", 1, owner)), ("end", {"status": "succeeded"})],
    )
    return write_segment(
        sample.path(run_file(segment)),
        [
            ("begin", resume_begin(sample, segment, before, owner)),
            ("done", done(SLUGGED, 1, "crashed", crashed)),
            ("start", {"job": SLUGGED, "attempt": 2}),
            ("done", done(SLUGGED, 2, "succeeded", second)),
            ("start", {"job": "later", "attempt": 1}),
            ("done", done("later", 1, "succeeded", later)),
            ("end", {"status": "succeeded", "counts": {"succeeded": 3}}),
        ],
    )


def done(job_id: str, attempt: int, status: str, last: Position) -> Record:
    """What a `done` holds."""
    fields = {"job": job_id, "attempt": attempt, "status": status}
    return {**fields, "last_n": last.n, "last_crc": last.crc}


def codes(findings: Iterable[Finding]) -> list[str]:
    return sorted(finding.code for finding in findings)


def found(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    """Code and path, below the run's folder, of every finding."""
    return {(finding.code, finding.path.split("/", 2)[-1]) for finding in findings}


def statuses(view: Any) -> dict[str, str]:
    return {job_id: job.status for job_id, job in view.jobs.items()}


def quietly(error: type[BaseException], call: Any, *args: Any, **fields: Any) -> Any:
    """Call what may fail in this way; gives what it gives, or None."""
    with suppress(error):
        return call(*args, **fields)
    return None
