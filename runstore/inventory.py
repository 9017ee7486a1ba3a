"""What files a run has, and what its own file says that it must have.

Both readers and `verify` start here. The run's own files are read first and the folder of attempts
is listed after that: a writer says `start` before it makes a file and `done` after that is
complete, so what is read in this order can be held against each other while the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runstore import files, layout
from runstore.layout import AttemptKey
from runstore.liveness import Owner, owner_in
from runstore.record import Position, decode
from runstore.scan import Line, Scan

FORMAT = 1

OnLine = Callable[[str, Line, dict[str, Any] | None], None]


@dataclass(slots=True)
class Expected:
    """An attempt that the run's file names: its job's exact id, and its last record, once done."""

    job_id: str
    witness: Position | None = None


@dataclass(slots=True)
class Inventory:
    """The files of a run.

    Attributes:
        folder: The run's folder.
        run_id: Its id.
        segments: Numbers of its own files that are there, in order.
        expected: The attempts that its own files name.
        found: The attempts whose files are there.
        strays: Names in `jobs/` and in the run's folder that nothing explains.
        begin: The first record of its last own file; None when that cannot be read.
        ended: Whether its last own file has an `end`.
        incomplete: Whether records of its own files are known to be missing.
        foreign: Its own files that belong to another run, or are of a newer format, and the code.
        last: Where the last record of each own file stands, by segment.
    """

    folder: str
    run_id: str
    segments: list[int] = field(default_factory=list)
    expected: dict[AttemptKey, Expected] = field(default_factory=dict)
    found: list[AttemptKey] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    begin: dict[str, Any] | None = None
    ended: bool = False
    incomplete: bool = False
    foreign: dict[int, str] = field(default_factory=dict)
    last: dict[int, Position] = field(default_factory=dict)

    @property
    def owner(self) -> Owner | None:
        """The process that coordinates the run, or did."""
        return owner_in(self.begin) if self.begin else None

    @property
    def unannounced(self) -> list[AttemptKey]:
        """Attempts that are there although no record of the run's own files names them."""
        return [key for key in self.found if key not in self.expected]

    @property
    def may_be_unannounced(self) -> bool:
        """Whether an attempt counts without being named: what named it can have been lost."""
        return not self.ended or self.incomplete


def take_inventory(folder: str, run_id: str, on_line: OnLine | None = None) -> Inventory:
    """Read the run's own files and list the attempts.

    Args:
        folder: The run's folder.
        run_id: Its id.
        on_line: Called for every line of the run's own files: its path, the line, and its fields
            when it is a record that counts.

    Raises:
        OSError: A file cannot be read.
    """
    inventory = Inventory(folder, run_id)
    in_folder = files.names(folder)
    inventory.segments = sorted(filter(None, map(layout.parse_run_file, in_folder)))
    witnesses = _witnesses(inventory)
    for segment in inventory.segments:
        _read_run_file(inventory, segment, witnesses.get(segment), on_line)
    _list_attempts(inventory, in_folder)
    return inventory


def _witnesses(inventory: Inventory) -> dict[int, Position]:
    """Where each own file ends, by the `begin` of the one after it."""
    found = {}
    for segment in inventory.segments[1:]:
        first = next(iter(Scan(f"{inventory.folder}/{layout.run_file(segment)}")), None)
        fields = decode(first.raw) if first is not None and first.counts else None
        witness = position_in(fields or {})
        if witness is not None:
            found[segment - 1] = witness
    return found


def position_in(fields: dict[str, Any]) -> Position | None:
    """The position that a `done`, or the `begin` of a resume, vouches for."""
    n, crc = fields.get("last_n"), fields.get("last_crc")
    return Position(n, crc) if type(n) is int and isinstance(crc, str) else None


def _read_run_file(
    inventory: Inventory, segment: int, witness: Position | None, on_line: OnLine | None
) -> None:
    path = f"{inventory.folder}/{layout.run_file(segment)}"
    scan = Scan(path, witness)
    inventory.begin = None
    for line in scan:
        fields = decode(line.raw) if line.counts else None
        if fields is not None:
            _take_note(inventory, segment, fields)
        if on_line is not None:
            on_line(path, line, None if segment in inventory.foreign else fields)
    inventory.ended = scan.ended
    inventory.incomplete = inventory.incomplete or scan.incomplete
    if scan.last is not None:
        inventory.last[segment] = scan.last


def _take_note(inventory: Inventory, segment: int, fields: dict[str, Any]) -> None:
    """Take from a record of the run's own file what it says of files."""
    event = fields["event"]
    if fields["n"] == 0:
        code = _misfit(fields, event, inventory.run_id, segment)
        if code is not None:
            inventory.foreign[segment] = code
            inventory.incomplete = True
        inventory.begin = fields
    if segment in inventory.foreign or event not in {"start", "done"}:
        return
    job_id, attempt = fields.get("job"), fields.get("attempt")
    if layout.is_job_id(job_id) and type(attempt) is int:
        key = AttemptKey(layout.job_name(job_id), attempt)
        expected = inventory.expected.setdefault(key, Expected(job_id))
        if event == "done":
            expected.witness = position_in(fields)


def _misfit(fields: dict[str, Any], event: str, run_id: str, segment: int) -> str | None:
    """The code of a run's own file that does not belong where it stands; None: it does."""
    if event == "begin" and fields.get("format") != FORMAT:
        return "bad-version"
    fits = event == "begin" and fields.get("run") == run_id and fields.get("segment") == segment
    return None if fits or event == "lost" else "wrong-file"


def _list_attempts(inventory: Inventory, in_folder: list[str]) -> None:
    for name in in_folder:
        is_known_folder = name in layout.RUN_FOLDERS and files.is_folder(
            f"{inventory.folder}/{name}"
        )
        if not is_known_folder and layout.parse_run_file(name) is None:
            inventory.strays.append(name)
    for name in files.names(f"{inventory.folder}/{layout.JOBS}"):
        key = layout.parse_attempt_file(name)
        if key is None:
            inventory.strays.append(f"{layout.JOBS}/{name}")
        else:
            inventory.found.append(key)
    kept = (layout.DAMAGED_SUFFIX, layout.TEMPORARY_SUFFIX)
    inventory.strays = [name for name in inventory.strays if not name.endswith(kept)]


def attempt_misfit(inventory: Inventory, key: AttemptKey, first: dict[str, Any]) -> str | None:
    """Hold an attempt's first record against the path of its file.

    Returns:
        The code of what is wrong, `wrong-file` or `bad-version`; None: it belongs there.
    """
    if first["event"] == "lost":
        return None
    if first["event"] == "begin" and first.get("format") != FORMAT:
        return "bad-version"
    job_id = first.get("job")
    fits = (
        first["event"] == "begin"
        and layout.is_job_id(job_id)
        and layout.job_name(job_id) == key.name
        and first.get("attempt") == key.attempt
        and first.get("run") == inventory.run_id
    )
    return None if fits else "wrong-file"


def job_id_of(inventory: Inventory, key: AttemptKey) -> str:
    """The exact id of an attempt's job, where its own `begin` does not give it."""
    expected = inventory.expected.get(key)
    return expected.job_id if expected else key.name
