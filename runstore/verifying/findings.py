"""What verify found, and in how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

ERROR_CODES = frozenset(
    {
        "damaged",
        "gap",
        "chain",
        "duplicate",
        "truncated",
        "missing-file",
        "unexpected-file",
        "wrong-file",
        "run-lost",
        "bad-version",
        "receipt-mismatch",
    }
)
NOTE_CODES = frozenset({"torn-tail", "lost", "no-newline", "open"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        code: Which kind, a word of `ERROR_CODES` or `NOTE_CODES`.
        path: The file, relative to the store, with `/`.
        line: Which line of it, from 1.
        offset: Where that line starts, in bytes.
        detail: What is wrong, as a sentence.
    """

    code: str
    path: str
    line: int
    offset: int
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.path}:{self.line} (byte {self.offset}): {self.detail}"


@dataclass(slots=True)
class Report:
    """What was read and what was found.

    Attributes:
        store: The store's path.
        runs: How many runs were read.
        segments: How many files of records.
        records: How many records count.
        bytes: How many bytes were read.
        errors: Findings that say that something is damaged or missing.
        notes: Findings that are normal for a run that was killed or is at work.
    """

    store: str
    runs: int = 0
    segments: int = 0
    records: int = 0
    bytes: int = 0
    errors: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for programs."""
        return {"ok": self.ok, **asdict(self)}

    def add(self, code: str, path: str, line: int, offset: int, detail: str) -> None:
        """Add a finding where its code belongs."""
        findings = self.errors if code in ERROR_CODES else self.notes
        findings.append(Finding(code, path, line, offset, detail))


def add_up(report: Report, other: Report) -> None:
    """Add to a report what was found in other files."""
    report.runs += other.runs
    report.segments += other.segments
    report.records += other.records
    report.bytes += other.bytes
    report.errors += other.errors
    report.notes += other.notes
