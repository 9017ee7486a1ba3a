"""What files a run has, and what its own file says that it must have.

Both readers and `verify` start here. The run's own files are read first and the folder of attempts
is listed after that: a writer says `start` before it makes a file and `done` after that is
complete, so what is read in this order can be held against each other while the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runstore import files, layout
from runstore.errors import RunIsAliveError, RunNotFoundError
from runstore.layout import AttemptKey
from runstore.lines.part import Part
from runstore.lines.record import Position, fields_in, position_in
from runstore.lines.scan import Line, Scan
from runstore.liveness import Owner, is_at_work, owner_in
from runstore.reading.merge import attempt_named
from runstore.reading.parts import Parts

FORMAT = 1

OnLine = Callable[[str, Line, dict[str, Any] | None], None]


@dataclass(slots=True)
class Expected:
    """An attempt that the run's file names.

    Attributes:
        job_id: Its job's exact id.
        has_start: Whether a `start` names it; without one, a `done` does.
        is_done: Whether a `done` names it.
        witness: Where its last record stands, once it is done; None then: it had left none when a
            resume looked.
    """

    job_id: str
    has_start: bool = False
    is_done: bool = False
    witness: Position | None = None


@dataclass(slots=True)
class Inventory:
    """The files of a run.

    Attributes:
        folder: The run's folder.
        run_id: Its id.
        parts: Where its files are.
        segments: Numbers of its own files that are there, in order.
        expected: The attempts that its own files name.
        found: The attempts whose files are there.
        strays: Names in `jobs/` and in the run's folder that nothing explains.
        begin: The first record of its last own file; None when that cannot be read.
        ended: Whether its last own file has an `end`.
        incomplete: Whether records of its own files are known to be missing.
        foreign: Its own files that belong to another run, or are of a newer format, and the code.
        last: Where the last record of each own file stands, by segment.
        witnesses: Where each own file ends by what the one after it says, by segment.
        size_bytes: How many bytes its own files have.
    """

    folder: str
    run_id: str
    parts: Parts
    segments: list[int] = field(default_factory=list)
    expected: dict[AttemptKey, Expected] = field(default_factory=dict)
    found: list[AttemptKey] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    begin: dict[str, Any] | None = None
    ended: bool = False
    incomplete: bool = False
    foreign: dict[int, str] = field(default_factory=dict)
    last: dict[int, Position] = field(default_factory=dict)
    witnesses: dict[int, Position] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def owner(self) -> Owner | None:
        """The process that coordinates the run, or did."""
        return owner_in(self.begin) if self.begin else None

    @property
    def was_sealed(self) -> bool:
        """Whether something says that there is a sealed file, or was."""
        return layout.SEALED in self.parts.in_folder or bool(self.parts.seals)

    def run_part(self, segment: int) -> Part:
        """Where the lines of one of its own files are."""
        return self.parts.find(layout.run_file(segment))

    def attempt_part(self, key: AttemptKey) -> Part:
        """Where the lines of an attempt are."""
        return self.parts.find(layout.attempt_file(*key))

    def must_have_file(self, key: AttemptKey) -> bool:
        """Whether an attempt that the run's own files name must have left a file.

        One that was started may have been killed before it made it.
        """
        expected = self.expected[key]
        if expected.is_done:
            return expected.witness is not None
        return self.ended and not self.incomplete

    @property
    def without_start(self) -> list[AttemptKey]:
        """Attempts that are there although no `start` is left that names them."""
        return [
            key for key in self.found if not (key in self.expected and self.expected[key].has_start)
        ]

    @property
    def may_be_unannounced(self) -> bool:
        """Whether an attempt counts without being named: what named it can have been lost."""
        return not self.ended or self.incomplete


def folder_of_run(store: str, run_id: str) -> str:
    """The folder of a run that is there.

    Raises:
        RunNotFoundError: The store has none of this id.
    """
    folder = layout.run_folder(store, run_id)
    if not layout.is_run_id(run_id) or not files.is_folder(folder):
        raise RunNotFoundError(run_id, store)
    return folder


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
    parts = Parts(folder)
    inventory = Inventory(folder, run_id, parts)
    parts.look()
    while True:
        state = parts.state
        _read_run_files(inventory, parts.segments, on_line)
        parts.look_at_attempts()
        _list_attempts(inventory)
        # An own file that was made in between can name attempts that were listed, and a sealed one
        # can have attempts that were not.
        parts.look()
        if state == parts.state:
            return inventory


def run_files_in(names: list[str]) -> list[int]:
    """The numbers of a run's own files among the names in its folder, in order."""
    return sorted(filter(None, map(layout.parse_run_file, names)))


def record_in(line: Line) -> dict[str, Any] | None:
    """The fields of a line that counts; None: it does not, or it is no record all the same."""
    return fields_in(line.raw, line.frame.n) if line.counts and line.frame else None


def _read_run_files(inventory: Inventory, segments: list[int], on_line: OnLine | None) -> None:
    """Read those of the run's own files that have not been read yet."""
    unread = [segment for segment in segments if segment not in inventory.segments]
    inventory.segments = segments
    if segments != list(range(1, len(segments) + 1)):
        inventory.incomplete = True
    for segment in unread:
        find_witness(inventory, segment)
    for segment in unread:
        _read_run_file(inventory, segment, on_line)


def find_witness(inventory: Inventory, segment: int) -> None:
    """Take from an own file's `begin` where the one before it ends, as it is now."""
    first = next(iter(Scan(inventory.run_part(segment))), None)
    fields = record_in(first) if first is not None else None
    if fields is None or _misfit(fields, inventory.run_id, segment) is not None:
        return
    witness = position_in(fields)
    if witness is not None:
        inventory.witnesses[segment - 1] = witness


def _read_run_file(inventory: Inventory, segment: int, on_line: OnLine | None) -> None:
    part = inventory.run_part(segment)
    scan = Scan(part, inventory.witnesses.get(segment))
    inventory.begin = None
    for line in scan:
        fields = record_in(line)
        if fields is not None:
            take_note(inventory, segment, fields)
        if on_line is not None:
            on_line(part.path, line, None if segment in inventory.foreign else fields)
    inventory.ended = scan.ended and segment not in inventory.foreign
    inventory.incomplete = inventory.incomplete or scan.incomplete
    inventory.size_bytes += scan.size_bytes
    if scan.last is not None:
        inventory.last[segment] = scan.last


def take_note(inventory: Inventory, segment: int, fields: dict[str, Any]) -> None:
    """Take from a record of the run's own file what it says of files."""
    if fields["n"] == 0:
        code = _misfit(fields, inventory.run_id, segment)
        if code is not None:
            inventory.foreign[segment] = code
            inventory.incomplete = True
        else:
            inventory.begin = fields
    named = attempt_named(fields) if fields["event"] in {"start", "done"} else None
    if named is None or segment in inventory.foreign:
        return
    job_id, attempt = named
    key = AttemptKey(layout.job_name(job_id), attempt)
    expected = inventory.expected.setdefault(key, Expected(job_id))
    if fields["event"] == "start":
        expected.has_start = True
    else:
        expected.is_done = True
        expected.witness = position_in(fields)


def _misfit(fields: dict[str, Any], run_id: str, segment: int) -> str | None:
    """The code of a run's own file that does not belong where it stands; None: it does."""
    event = fields["event"]
    if event == "begin" and fields.get("format") != FORMAT:
        return "bad-version"
    fits = event == "begin" and fields.get("run") == run_id and fields.get("segment") == segment
    return None if fits or event == "lost" else "wrong-file"


def _list_attempts(inventory: Inventory) -> None:
    inventory.found = []
    inventory.strays = [
        name for name in inventory.parts.in_folder if not _is_known(inventory, name)
    ]
    for name in inventory.parts.attempt_names:
        key = layout.parse_attempt_file(name)
        if key is None:
            inventory.strays.append(f"{layout.JOBS}/{name}")
        else:
            inventory.found.append(key)
    kept = (layout.DAMAGED_SUFFIX, layout.TEMPORARY_SUFFIX)
    inventory.strays = [name for name in inventory.strays if not name.endswith(kept)]


def _is_known(inventory: Inventory, name: str) -> bool:
    """Tell whether a name in the run's folder is one that a run has."""
    if name in layout.RUN_FOLDERS:
        return files.is_folder(f"{inventory.folder}/{name}")
    return layout.parse_run_file(name) is not None or layout.parse_sealed_file(name) is not None


def attempt_misfit(run_id: str, key: AttemptKey, line: Line) -> str | None:
    """Hold the first record of an attempt's file against its path in a run.

    Returns:
        The code of what is wrong, `wrong-file` or `bad-version`; None: it belongs there, or the
        line is not the first record.
    """
    if not line.counts or line.frame is None or line.frame.n != 0:
        return None
    first = record_in(line) or {"event": ""}
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
        and first.get("run") == run_id
    )
    return None if fits else "wrong-file"


def job_id_of(inventory: Inventory, key: AttemptKey) -> str:
    """The exact id of an attempt's job, where its own `begin` does not give it."""
    expected = inventory.expected.get(key)
    return expected.job_id if expected else key.name


def refuse_live(inventory: Inventory) -> bool:
    """Refuse to change a run that somebody may still write.

    Returns:
        Whether it has ended, or names the process that wrote it, which is gone.

    Raises:
        RunIsAliveError: Its process is at work, or is on another host and cannot be seen.
    """
    if inventory.ended:
        return True
    owners = [inventory.owner] if inventory.owner else list(_owners(inventory))
    for owner in owners:
        if is_at_work(owner, inventory.run_id) is not False:
            raise RunIsAliveError(inventory.run_id, owner.host, owner.pid)
    return bool(owners)


def _owners(inventory: Inventory) -> Iterator[Owner]:
    """The processes that the first records of attempts name."""
    for key in inventory.found:
        first = next(iter(Scan(inventory.attempt_part(key))), None)
        fields = record_in(first) if first is not None else None
        owner = owner_in(fields) if fields is not None else None
        if owner is not None:
            yield owner
