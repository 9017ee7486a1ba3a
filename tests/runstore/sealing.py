"""Runs that were compacted, and what the tests of sealed files ask of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from runstore import Finding, Report, RunStore, RunSummary, RunView
from runstore.layout import job_name
from tests.runstore.samples import (
    FIRST,
    RUN_FILE,
    SECOND,
    SLUGGED,
    THIRD,
    Record,
    SampleRun,
    finished_run,
    frozen,
    open_run,
    resume,
)
from tests.runstore.steps import contents, record_lines

SEALED = "sealed.jsonl"


class Made(NamedTuple):
    """A run on disk: its store, its id, its folder, and the bytes of each file of records."""

    store: RunStore
    id: str
    folder: Path
    content: dict[str, bytes]

    @classmethod
    def of(cls, sample: SampleRun) -> Made:
        """What a sample run is by now."""
        found = contents(sample.folder).items()
        content = {name: data for name, data in found if name.endswith(".jsonl")}
        return cls(sample.store, sample.id, sample.folder, content)


def resumed_run(folder: Path) -> SampleRun:
    """A run that was killed in the middle of two writes, resumed, and ended."""
    sample = open_run(folder)
    resume(sample)
    for name, torn in ((RUN_FILE, b'{"n":'), (THIRD, b'{"n":2,"prev":"' + bytes(40))):
        with sample.path(name).open("ab") as file:
            file.write(torn)
    # Its line feed never came to the disk; the record counts all the same.
    sample.path(FIRST).write_bytes(sample.path(FIRST).read_bytes()[:-1])
    return sample


def mended_run(folder: Path) -> SampleRun:
    """A run that has been damaged, and repaired."""
    sample = finished_run(folder)
    lines = sample.lines(FIRST)
    sample.path(FIRST).write_bytes(lines[0] + lines[2])
    sample.path(SECOND).unlink()
    sample.store.repair(sample.id)
    return sample


KINDS: dict[str, Callable[[Path], SampleRun]] = {
    "finished": finished_run,
    "resumed": resumed_run,
    "mended": mended_run,
}


def made(kind: str, folder: Path) -> Made:
    """A run of one of these kinds that has ended."""
    return Made.of(KINDS[kind](folder))


class Reading(NamedTuple):
    """All that a reader learns of a run."""

    view: RunView
    records: list[Record]
    summaries: list[RunSummary]
    counts: tuple[int, int, int, int]
    codes: list[str]


def read(store: RunStore, run_id: str) -> Reading:
    view = store.read(run_id)
    report = store.verify(run_id, receipt=view.receipt, strict=True)
    counts = (report.runs, report.segments, report.records, report.bytes)
    codes = sorted(finding.code for finding in report.errors + report.notes)
    return Reading(view, list(view.records()), list(store.runs()), counts, codes)


class SealedRun:
    """A finished run that was compacted, to be damaged again and again.

    Attributes:
        content: The bytes of the sealed file.
        lines: Its lines.
    """

    def __init__(self, folder: Path) -> None:
        sample = finished_run(folder)
        self.store, self.id, self.folder = sample.store, sample.id, sample.folder
        self.written = sample.written
        self.receipt = sample.receipt
        self.store.compact(self.id)
        self.path = self.folder / SEALED
        self.content = self.path.read_bytes()
        self.lines = self.content.splitlines(keepends=True)
        self.records = {line for line in self.lines if is_record(line)}

    def damage(self, data: bytes) -> None:
        """Put other bytes in the place of the sealed file, and nothing else beside it."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.unlink()
        (self.folder / "sealed").mkdir(exist_ok=True)
        self.path.write_bytes(data)

    def check_found(self, lines: set[int] | None = None) -> list[Finding]:
        """Verify finds an error, in one of these lines (from 1) of the sealed file."""
        report: Report = self.store.verify(self.id)
        assert report.errors
        if lines is not None:
            named = {each.line for each in report.errors if each.path.endswith(f"/{SEALED}")}
            assert named & lines, report.errors
        return report.errors

    def check_read(self, lost: int | None = None) -> None:
        """Only what was written is read, and no more is missing than was hit."""
        read = [*map(frozen, map(with_exact_id, self.store.read(self.id).records()))]
        assert set(read) <= self.written
        assert len(read) == len(set(read))
        if lost is not None:
            assert len(self.written) - len(read) <= lost

    def check_repaired(self, lost: int | None = None) -> None:
        """Repair loses exactly so many records, keeps the evidence, and does nothing twice."""
        found = contents(self.folder)
        self.store.repair(self.id)
        report = self.store.verify(self.id)
        assert report.errors == []
        mended = contents(self.folder)
        assert mended[f"{SEALED}.damaged"] == found[SEALED]
        assert record_lines(self.folder) <= self.records
        if lost is not None:
            assert len(self.records) - len(record_lines(self.folder)) == lost
        assert self.store.repair(self.id).mended == []
        assert contents(self.folder) == mended


def with_exact_id(record: Record) -> Record:
    """A record with its job's id, where only the name of the file was left of that."""
    is_name = record.get("job") == job_name(SLUGGED)
    return {**record, "job": SLUGGED} if is_name else record


def is_record(line: bytes) -> bool:
    """Whether a line of a sealed file is one of a file that was sealed."""
    return line.startswith(b'{"n":')
