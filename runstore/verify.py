"""Prove a store: read every file, hold each against itself and against what others say of it.

Errors say that something written is no longer there as it was. Notes say what is normal for a
process that was killed, or that is still at work. A live run is verified without a lock and
without a false alarm: see `inventory` for the order of reading that makes this so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from runstore import files, layout
from runstore.errors import RunNotFoundError
from runstore.inventory import (
    Inventory,
    attempt_misfit,
    folder_of_run,
    record_in,
    take_inventory,
)
from runstore.layout import AttemptKey
from runstore.liveness import is_at_work
from runstore.part import Part, checksum
from runstore.salvage import stray_lines
from runstore.scan import Line, Scan
from runstore.sealed import Flaw
from runstore.storefile import store_file_problem

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

_MISFITS = {
    "wrong-file": "its first record is of another file",
    "bad-version": "it is of a format that this version does not read",
}


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


def verify(
    store: str,
    run_ids: Iterable[str] | None = None,
    *,
    receipt: str | None = None,
    strict: bool = False,
    on_run: Callable[[str], None] | None = None,
) -> Report:
    """Verify a store, or some of its runs.

    Args:
        store: Its path.
        run_ids: The runs to read; None: all, and the store's own file.
        receipt: `n:crc` that a run printed at its end; every run named must have it.
        strict: Also parse every record and check the fields that all have.
        on_run: Called with each run's id before it is read, to show progress.

    Raises:
        RunNotFoundError: A run named is not there.
        OSError: A file cannot be read.

    Memory is constant in the number of records; time grows with the bytes.
    """
    report = Report(store)
    is_all = run_ids is None
    if run_ids is None:
        _verify_store_file(report)
        run_ids = _all_runs(report)
    for run_id in run_ids:
        if on_run is not None:
            on_run(run_id)
        try:
            _add_up(report, _verify_run(store, run_id, receipt, strict=strict))
        except RunNotFoundError:
            if not is_all:
                raise
    return report


def _verify_run(store: str, run_id: str, receipt: str | None, *, strict: bool) -> Report:
    report = Report(store, runs=1)
    folder_of_run(store, run_id)
    try:
        _RunCheck(report, run_id, strict=strict).check(receipt)
    finally:
        # What is missing from a run that is being pruned is nothing that was found.
        folder_of_run(store, run_id)
    return report


def _add_up(report: Report, other: Report) -> None:
    report.runs += other.runs
    report.segments += other.segments
    report.records += other.records
    report.bytes += other.bytes
    report.errors += other.errors
    report.notes += other.notes


def _verify_store_file(report: Report) -> None:
    problem = store_file_problem(report.store)
    if problem is not None:
        report.add("damaged", layout.STORE_FILE, 1, 0, problem)


def _all_runs(report: Report) -> list[str]:
    """The runs of a store; what is no run among them is a finding."""
    run_ids = []
    runs = f"{report.store}/{layout.RUNS}"
    if files.exists(runs) and not files.is_folder(files.resolved(runs)):
        report.add("unexpected-file", layout.RUNS, 1, 0, "it is no folder")
    for name in files.names(f"{report.store}/{layout.RUNS}"):
        if layout.is_run_id(name) and files.is_folder(layout.run_folder(report.store, name)):
            run_ids.append(name)
        elif not layout.is_pruned(name):
            report.add("unexpected-file", f"{layout.RUNS}/{name}", 1, 0, "it is no run's folder")
    return run_ids


class _RunCheck:
    """The check of one run."""

    def __init__(self, report: Report, run_id: str, *, strict: bool) -> None:
        self._report = report
        self._run_id = run_id
        self._folder = layout.run_folder(report.store, run_id)
        self._strict = strict
        self._path = ("", "")

    def check(self, receipt: str | None) -> None:
        inventory = self._take_inventory()
        self._check_seals(inventory)
        self._check_run_files(inventory)
        self._check_strays(inventory)
        for key in inventory.found:
            self._check_attempt(inventory, key)
        self._check_missing(inventory)
        self._check_inexact(inventory)
        if receipt is not None:
            self._check_receipt(inventory, receipt)

    def _take_inventory(self) -> Inventory:
        return take_inventory(self._folder, self._run_id, self._on_run_line)

    def _on_run_line(self, path: str, line: Line, _fields: dict[str, Any] | None) -> None:
        self._report_line(path, line)

    def _report_line(self, path: str, line: Line) -> None:
        self._report.records += line.counts and line.code != "lost"
        if line.code is not None:
            self._find(line.code, path, line.detail, line)
        elif self._strict and record_in(line) is None:
            self._find("damaged", path, "is no record although its checksum holds", line)

    def _find(self, code: str, path: str, detail: str, line: Line | Flaw | None = None) -> None:
        number, offset = (line.number, line.offset) if line else (1, 0)
        self._report.add(code, self._relative(path), number, offset, detail)

    def _find_in(self, code: str, part: Part, detail: str) -> None:
        """Find something of a whole file, which may be a part of a sealed one."""
        self._find(code, part.path, detail, Flaw(code, part.lines_before + 1, part.start, detail))

    def _check_seals(self, inventory: Inventory) -> None:
        """Report what is wrong with the sealed files' own lines, and with parts read elsewhere."""
        for seal in inventory.parts.seals:
            for flaw in itertools.chain(seal.flaws, stray_lines(seal)):
                self._find(flaw.code, seal.path, flaw.detail, flaw)
            for name, part in seal.parts.items():
                if inventory.parts.find(name)[:2] != part[:2]:
                    self._check_twin(inventory.parts.find(name), part)

    def _check_twin(self, read: Part, sealed: Part) -> None:
        """Hold a file that is still there, or sealed a second time, against the sealed one."""
        if checksum(sealed) != sealed.crc32:
            self._find_in("damaged", sealed, "is not what was sealed")
        if checksum(read) != sealed.crc32:
            where = sealed.path.rpartition("/")[2]
            self._find_in("damaged", read, f"is not what was sealed in {where}")

    def _check_inexact(self, inventory: Inventory) -> None:
        """Report a sealed file that is not as it was written, if nothing else was found in it."""
        for seal in inventory.parts.seals:
            path = self._relative(seal.path)
            if not seal.is_exact and all(error.path != path for error in self._report.errors):
                self._find("damaged", seal.path, "is not what was sealed")

    def _relative(self, path: str) -> str:
        # Of a file there can be a finding for each line, which share one text.
        if path != self._path[0]:
            self._path = (path, path.removeprefix(f"{self._report.store}/"))
        return self._path[1]

    def _check_run_files(self, inventory: Inventory) -> None:
        self._report.segments += len(inventory.segments)
        self._report.bytes += inventory.size_bytes
        for segment, code in inventory.foreign.items():
            self._find_in(code, inventory.run_part(segment), _MISFITS[code])
        if not inventory.segments:
            if inventory.found or inventory.was_sealed:
                self._find("run-lost", self._run_path(1), "the run's own file is gone")
            else:
                self._find("open", self._run_path(1), "the run had not begun when it was killed")
            return
        for before, segment in itertools.pairwise([0, *inventory.segments]):
            if segment > before + 1:
                # One finding, however many: the number in a name can be any.
                others = segment - before - 2
                detail = "a later file of the run is there"
                detail += f", and {others} more before that are missing too" if others else ""
                self._find("missing-file", self._run_path(before + 1), detail)
        if not inventory.ended:
            last = inventory.run_part(inventory.segments[-1])
            self._find_in("open", last, self._why_open(inventory))

    def _run_path(self, segment: int) -> str:
        return f"{self._folder}/{layout.run_file(segment)}"

    def _why_open(self, inventory: Inventory) -> str:
        owner = inventory.owner
        if owner is None:
            return "the run has no end"
        alive = is_at_work(owner, self._run_id)
        if alive is None:
            return (
                f"the run has no end; its process is on {owner.host} and cannot be seen from here"
            )
        state = "is at work" if alive else "is gone"
        return f"the run has no end; its process {owner.pid} {state}"

    def _check_strays(self, inventory: Inventory) -> None:
        for name in inventory.strays:
            self._find("unexpected-file", f"{self._folder}/{name}", "it belongs to no attempt")

    def _check_attempt(self, inventory: Inventory, key: AttemptKey) -> None:
        part = inventory.attempt_part(key)
        expected = inventory.expected.get(key)
        self._report.segments += 1
        if expected is None and not inventory.may_be_unannounced:
            detail = "the run's own file does not name this attempt"
            self._find_in("unexpected-file", part, detail)
            return
        witness = expected.witness if expected else None
        scan = Scan(part, witness)
        misfit = None
        for line in scan:
            self._report_line(part.path, line)
            misfit = attempt_misfit(inventory, key, line)
            if misfit is not None:
                self._find(misfit, part.path, _MISFITS[misfit], line)
                break
        self._report.bytes += scan.size_bytes
        if misfit is None and not scan.ended and witness is None:
            self._find_in("open", part, "the attempt has no end")

    def _check_missing(self, inventory: Inventory) -> None:
        """Name the attempts that the run's file tells of and that have no file."""
        there = set(inventory.found)
        for key, expected in inventory.expected.items():
            if key in there:
                continue
            path = f"{self._folder}/{layout.attempt_file(*key)}"
            if expected.witness is not None or (inventory.ended and not inventory.incomplete):
                self._find("missing-file", path, "the run's own file names this attempt")
            else:
                self._find("open", path, "the attempt had not begun when the run was killed")

    def _check_receipt(self, inventory: Inventory, receipt: str) -> None:
        if receipt.strip() in {str(position) for position in inventory.last.values()}:
            return
        segment = inventory.segments[-1] if inventory.segments else 1
        last = inventory.last.get(segment)
        detail = (
            f"the receipt says {receipt.strip()}, the run's own file ends with {last or 'nothing'}"
        )
        self._find_in("receipt-mismatch", inventory.run_part(segment), detail)
