"""Hold the files of one run against themselves and against each other."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from runstore import layout
from runstore.layout import AttemptKey
from runstore.lines.bulk import Block
from runstore.lines.part import Part, checksum
from runstore.lines.record import fields_in
from runstore.lines.scan import Line, Scan
from runstore.liveness import is_at_work
from runstore.reading.inventory import (
    Expected,
    Inventory,
    attempt_misfit,
    record_in,
    take_inventory,
)
from runstore.reading.salvage import stray_lines
from runstore.reading.sealed import Flaw
from runstore.verifying.findings import Report, add_up
from runstore.verifying.workers import each

_MISFITS = {
    "wrong-file": "its first record is of another file",
    "bad-version": "it is of a format that this version does not read",
}


_RECEIPT = re.compile(r"[0-9]+:[0-9a-f]{8}", re.ASCII)

# So many damaged lines of one file are named one by one.
MOST_NAMED = 10_000


class Attempt(NamedTuple):
    """The file of one attempt, and what the run's own file says of it."""

    key: AttemptKey
    part: Part
    expected: Expected | None


def check_attempt(
    store: str, run_id: str, attempt: Attempt, *, strict: bool, may_be_unannounced: bool
) -> Report:
    """Read the file of one attempt."""
    key, part, expected = attempt
    check = Check(Report(store, segments=1), strict=strict)
    if expected is None and not may_be_unannounced:
        detail = "the run's own file does not name this attempt"
        check.find_in("unexpected-file", part, detail)
        return check.report
    witness = expected.witness if expected else None
    scan = Scan(part, witness)
    misfit = None
    for judged in scan.blocks():
        if isinstance(judged, Block):
            check.take_all(part.path, judged)
            continue
        check.take(part.path, judged)
        misfit = attempt_misfit(run_id, key, judged)
        if misfit is not None:
            check.find(misfit, part.path, _MISFITS[misfit], judged)
            break
    check.report.bytes += scan.size_bytes
    if misfit is None and not scan.ended and witness is None:
        check.find_in("open", part, "the attempt has no end")
    return check.report


class Check:
    """Findings as they come, in files given by their whole path.

    Attributes:
        report: Where they go.
    """

    def __init__(self, report: Report, *, strict: bool) -> None:
        """Start with a report."""
        self.report = report
        self._strict = strict
        self._path = ("", "")
        self._damaged: Counter[str] = Counter()
        self._fold: dict[str, int] = {}

    def take(self, path: str, line: Line) -> None:
        """Count a line of a file, and add what is wrong with it."""
        self.report.records += line.counts and line.code != "lost"
        if line.code is not None:
            self.find(line.code, path, line.detail, line)
        elif self._strict and record_in(line) is None:
            self._find_no_record(path, line)

    def take_all(self, path: str, block: Block) -> None:
        """Count lines in good order."""
        self.report.records += len(block.lines)
        if self._strict:
            numbered = enumerate(zip(block.lines, block.offsets(), strict=False))
            for index, (raw, offset) in numbered:
                if fields_in(raw, block.n + index) is None:
                    line = Line(block.number + index, offset, raw, None, False)
                    self._find_no_record(path, line)

    def _find_no_record(self, path: str, line: Line) -> None:
        self.find("damaged", path, "is no record although its checksum holds", line)

    def find(self, code: str, path: str, detail: str, line: Line | Flaw | None = None) -> None:
        """Add what was found in a line; None: in the first."""
        path = self.relative(path)
        number, offset = (line.number, line.offset) if line else (1, 0)
        if code == "damaged":
            self._damaged[path] += 1
            if self._damaged[path] > MOST_NAMED:
                self._fold_in(path, number, offset)
                return
        self.report.add(code, path, number, offset, detail)

    def _fold_in(self, path: str, number: int, offset: int) -> None:
        """Count a further damaged line of a file that is full of them, and name it no more.

        A file of line feeds alone has as many lines as bytes: what is found must not fill memory.
        """
        errors, more = self.report.errors, self._damaged[path] - MOST_NAMED - 1
        if path not in self._fold:
            self._fold[path] = len(errors)
            self.report.add("damaged", path, number, offset, "is not what a writer wrote")
            return
        at = self._fold[path]
        detail = f"is not what a writer wrote, nor are {more:,} more lines after it"
        errors[at] = replace(errors[at], detail=detail)

    def find_in(self, code: str, part: Part, detail: str) -> None:
        """Add what was found of a whole file, which may be a part of a sealed one."""
        self.find(code, part.path, detail, Flaw(code, part.lines_before + 1, part.start, detail))

    def relative(self, path: str) -> str:
        """A path as it stands in a report."""
        # Of a file there can be a finding for each line, which share one text.
        if path != self._path[0]:
            self._path = (path, path.removeprefix(f"{self.report.store}/"))
        return self._path[1]


class RunCheck(Check):
    """The check of one run."""

    def __init__(self, report: Report, run_id: str, *, strict: bool, workers: int | None) -> None:
        """Prepare the check.

        Args:
            report: Where the findings go.
            run_id: The run.
            strict: Also parse every record.
            workers: As `verify` has it.
        """
        super().__init__(report, strict=strict)
        self._run_id = run_id
        self._folder = layout.run_folder(report.store, run_id)
        self._workers = workers

    def check(self, receipt: str | None) -> None:
        """Read every file of the run.

        Args:
            receipt: `n:crc` that it must end with; None: nothing is known.
        """
        inventory = self._take_inventory()
        self._check_seals(inventory)
        self._check_run_files(inventory)
        self._check_strays(inventory)
        self._check_attempts(inventory)
        self._check_missing(inventory)
        self._check_inexact(inventory)
        if receipt is not None:
            self._check_receipt(inventory, receipt)

    def _take_inventory(self) -> Inventory:
        return take_inventory(self._folder, self._run_id, self._on_run_line)

    def _on_run_line(self, path: str, line: Line, _fields: dict[str, Any] | None) -> None:
        self.take(path, line)

    def _check_seals(self, inventory: Inventory) -> None:
        """Report what is wrong with the sealed files' own lines, and with parts read elsewhere."""
        for seal in inventory.parts.seals:
            for flaw in itertools.chain(seal.flaws, stray_lines(seal)):
                self.find(flaw.code, seal.path, flaw.detail, flaw)
            for name, part in seal.parts.items():
                if inventory.parts.find(name)[:2] != part[:2]:
                    self._check_twin(inventory.parts.find(name), part)

    def _check_twin(self, read: Part, sealed: Part) -> None:
        """Hold a file that is still there, or sealed a second time, against the sealed one."""
        if checksum(sealed) != sealed.crc32:
            self.find_in("damaged", sealed, "is not what was sealed")
        if checksum(read) != sealed.crc32:
            where = sealed.path.rpartition("/")[2]
            self.find_in("damaged", read, f"is not what was sealed in {where}")

    def _check_inexact(self, inventory: Inventory) -> None:
        """Report a sealed file that is not as it was written, if nothing else was found in it."""
        for seal in inventory.parts.seals:
            path = self.relative(seal.path)
            if not seal.is_exact and all(error.path != path for error in self.report.errors):
                self.find("damaged", seal.path, "is not what was sealed")

    def _check_run_files(self, inventory: Inventory) -> None:
        self.report.segments += len(inventory.segments)
        self.report.bytes += inventory.size_bytes
        for segment, code in inventory.foreign.items():
            self.find_in(code, inventory.run_part(segment), _MISFITS[code])
        if not inventory.segments:
            if inventory.found or inventory.was_sealed:
                self.find("run-lost", self._run_path(1), "the run's own file is gone")
            else:
                self.find("open", self._run_path(1), "the run had not begun when it was killed")
            return
        for before, segment in itertools.pairwise([0, *inventory.segments]):
            if segment > before + 1:
                # One finding, however many: the number in a name can be any.
                others = segment - before - 2
                detail = "a later file of the run is there"
                detail += f", and {others} more before that are missing too" if others else ""
                self.find("missing-file", self._run_path(before + 1), detail)
        if not inventory.ended:
            last = inventory.run_part(inventory.segments[-1])
            self.find_in("open", last, self._why_open(inventory))

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
            self.find("unexpected-file", f"{self._folder}/{name}", "it belongs to no attempt")

    def _check_attempts(self, inventory: Inventory) -> None:
        attempts = [
            Attempt(key, inventory.attempt_part(key), inventory.expected.get(key))
            for key in inventory.found
        ]
        check = partial(
            check_attempt,
            self.report.store,
            self._run_id,
            strict=self._strict,
            may_be_unannounced=inventory.may_be_unannounced,
        )
        for found in each(check, attempts, workers=self._workers):
            add_up(self.report, found)

    def _check_missing(self, inventory: Inventory) -> None:
        """Name the attempts that the run's file tells of and that have no file."""
        there = set(inventory.found)
        for key, expected in inventory.expected.items():
            if key in there:
                continue
            path = f"{self._folder}/{layout.attempt_file(*key)}"
            if inventory.must_have_file(key):
                self.find("missing-file", path, "the run's own file names this attempt")
            elif not expected.is_done:
                self.find("open", path, "the attempt had not begun when the run was killed")

    def _check_receipt(self, inventory: Inventory, receipt: str) -> None:
        if receipt.strip() in {str(position) for position in inventory.last.values()}:
            return
        segment = inventory.segments[-1] if inventory.segments else 1
        last = inventory.last.get(segment)
        says = receipt.strip()
        given = f"says {says}" if _RECEIPT.fullmatch(says) else f"{says!r} is none, which is n:crc"
        detail = f"the receipt {given}; the run's own file ends with {last or 'nothing'}"
        self.find_in("receipt-mismatch", inventory.run_part(segment), detail)
