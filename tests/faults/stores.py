"""Runs in memory that are damaged on purpose, and what may be made of them afterwards."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import orjson
import pytest

from runstore import RunStore
from runstore.layout import RUN_FOLDERS, parse_attempt_file, run_file, run_folder
from tests.faults.memory import ROOT, MemoryOs, Tree, holding, mounted
from tests.runstore.samples import DEAD, Record, abandon, parsed

STORE = f"{ROOT}/store"
RUN_ID, OTHER_RUN_ID = (f"01a211c5-bb14-738c-aea1-7dc953f81b{number:02}" for number in range(2))
RUN_FILE = run_file(1)
# One flipped bit makes line feeds of J, * and \x0b, and other characters of those of many bytes.
TEXT = 'J*\x0b\x7f \\ " é Σ \U0001f600 \n'

Files = dict[str, bytes | None]  # by name below the run's folder; None: a folder


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a store says of a run that was damaged.

    Attributes:
        errors: Code and path, below the run's folder, of each error.
        kept: Which of the records that were written are read.
        changed: How many are read that nobody wrote.
        strange: How many are read as they were written, but to another file, or twice.
    """

    errors: frozenset[tuple[str, str]]
    kept: frozenset[bytes]
    changed: int
    strange: int

    @property
    def places(self) -> set[str]:
        """The files that the errors name."""
        return {path for _, path in self.errors}


@dataclass(frozen=True)
class Sample:
    """A run as it was written.

    Attributes:
        run_id: Its id.
        tree: The whole store.
        receipt: Its receipt; None: it was left open.
    """

    run_id: str
    tree: Tree
    receipt: str | None

    @property
    def folder(self) -> str:
        """The run's folder."""
        return run_folder(STORE, self.run_id)

    @cached_property
    def content(self) -> dict[str, bytes]:
        """The run's files of records, by name below its folder, the run's own first."""
        found = {name: data for name, data in self.files.items() if data is not None}
        return dict(sorted(found.items(), key=lambda item: (item[0] != RUN_FILE, item[0])))

    @cached_property
    def written(self) -> dict[bytes, tuple[str, int]]:
        """Every record, frozen, and where it stands: its file, and its number there."""
        return {
            frozen(record): (name, record["n"])
            for name, data in self.content.items()
            for record in parsed(data)
        }

    @cached_property
    def keys(self) -> dict[bytes, bytes]:
        """Every record, frozen, by its line."""
        lines = (line for name in self.content for line in self.lines(name))
        return dict(zip(lines, self.written, strict=True))

    @cached_property
    def bare(self) -> frozenset[bytes]:
        """Every record without what tells of which attempt it is."""
        return frozenset(bare(r) for data in self.content.values() for r in parsed(data))

    @cached_property
    def vouched(self) -> dict[str, int]:
        """Where in the run's own file the line ends that vouches for an attempt's file."""
        found, end = {}, 0
        for line in self.content[RUN_FILE].splitlines(keepends=True):
            end += len(line)
            record = orjson.loads(line)
            if record["event"] == "done":
                found[f"jobs/{record['job']}.a{record['attempt']}.jsonl"] = end
        return found

    @cached_property
    def files(self) -> Files:
        """What is in the run's folder."""
        start = f"{self.folder}/"
        return {p[len(start) :]: data for p, data in self.tree.items() if p.startswith(start)}

    def lines(self, name: str) -> list[bytes]:
        """The lines of one of its files."""
        return self.content[name].splitlines(keepends=True)

    def store_of(self, files: Files) -> Tree:
        """The whole store, with other files in the run's folder."""
        start = f"{self.folder}/"
        others = {path: data for path, data in self.tree.items() if not path.startswith(start)}
        return {**others, **{start + name: data for name, data in files.items()}}

    def judge(self, files: Files, *others: Sample) -> Verdict:
        """Let the store say what it makes of these files, with lines of other runs among them."""
        with mounted(holding(self.store_of(files))):
            return self.verdict(RunStore(STORE), self.receipt, others)

    def judge_repaired(self, files: Files, *others: Sample) -> Verdict:
        """Repair the run, and let the store say what it makes of it then."""
        with mounted(holding(self.store_of(files))):
            store = RunStore(STORE)
            store.repair(self.run_id)
            return self.verdict(store, None, others)

    def verdict(self, store: RunStore, receipt: str | None, others: Iterable[Sample]) -> Verdict:
        """Verify and read the run in a store."""
        errors = store.verify(self.run_id, receipt=receipt).errors
        start = f"runs/{self.run_id}/"
        places = frozenset((error.code, error.path.removeprefix(start)) for error in errors)
        return Verdict(places, *self._compare(store.read(self.run_id).records(), others))

    def _compare(
        self, records: Iterable[Record], others: Iterable[Sample]
    ) -> tuple[frozenset[bytes], int, int]:
        """Hold what is read against what was written: which is kept, how much changed, strange."""
        kept: set[bytes] = set()
        changed = strange = 0
        last: Counter[str] = Counter()
        for record in records:
            key = frozen(record)
            name, n = self.written.get(key, ("", -1))
            if name and n >= last[name]:
                kept.add(key)
                last[name] = n + 1
            elif any(bare(record) in sample.bare for sample in (self, *others)):
                strange += 1
            else:
                changed += record["event"] != "lost"  # which a repair has written
        return frozenset(kept), changed, strange

    def damaged(self, files: Files) -> set[str]:
        """The files in which there is damage to be found: no crash can have left them so.

        Of a run that has ended and whose receipt is known only the very last line feed of a file
        may be missing. Of one that was left open it may be the end of each file that nobody
        vouches for: whole records, and then what looks like the beginning of one.
        """
        extra = {
            name for name in files.keys() - self.content if self._is_damaged_extra(files, name)
        }
        return extra | {name for name in self.content if self._is_damaged(files, name)}

    def _is_damaged_extra(self, files: Files, name: str) -> bool:
        data = files[name]
        if data is None:
            return name not in RUN_FOLDERS
        if b"\n" not in data and name == run_file(2) and RUN_FILE in files:
            return False  # a resume that was killed as it began
        # With nothing in it, it may be an attempt that was begun when the run's own file was lost.
        may_be_attempt = name.startswith("jobs/") and parse_attempt_file(name[len("jobs/") :])
        return self.receipt is not None or not may_be_attempt or b"\n" in data

    def _is_damaged(self, files: Files, name: str) -> bool:
        original, data = self.content[name], files.get(name, b"")
        if data is None:
            return True
        own_is_whole = files.get(RUN_FILE) == self.content.get(RUN_FILE)
        if name not in files and name != RUN_FILE and not own_is_whole:
            return False  # nobody tells of it
        if data in (original, original[:-1]):
            return False
        if self.receipt is not None or self._is_vouched(files, name):
            return True
        if name == RUN_FILE and name not in files and files.keys() & self.content.keys():
            return True
        lines = whole_lines(data)
        written = data[len(lines) :].rstrip(b"\0")
        # NUL bytes after the beginning of a record are what a power cut leaves; after a whole one
        # they stand where its line feed was.
        is_overwritten = data.endswith(b"\0") and original.startswith(lines + written + b"\n")
        return is_overwritten or not original.startswith(lines)

    def _is_vouched(self, files: Files, name: str) -> bool:
        """Tell whether the run's own file still says where one of an attempt ends."""
        own, end = files.get(RUN_FILE) or b"", self.vouched.get(name, 0)
        return end > 0 and own[: end - 1] == self.content[RUN_FILE][: end - 1]


class CompactedSample(Sample):
    """A run that ended, in the one file that it was folded into."""

    def __init__(self, sample: Sample) -> None:
        """Compact a run."""
        with mounted(holding(sample.tree)) as memory:
            RunStore(STORE).compact(sample.run_id)
            super().__init__(sample.run_id, tree_of(memory), sample.receipt)
        # Frozen like its base, whose properties keep what they found in the same way.
        self.__dict__.update(written=sample.written, keys=sample.keys, bare=sample.bare)


def whole_lines(data: bytes) -> bytes:
    """The beginning of a file up to its last line feed."""
    return data[: data.rfind(b"\n") + 1]


def frozen(record: Record) -> bytes:
    """A record as a key."""
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def bare(record: Record) -> bytes:
    """A record as a key, whichever attempt it is of."""
    return frozen({name: record[name] for name in record if name not in {"job", "attempt"}})


def finished_run(jobs: Mapping[str, int], records: int, run_id: str = RUN_ID) -> Sample:
    """A run that ended: each job with so many attempts, each attempt with so many records between.

    All attempts but a job's last have failed.
    """
    with recorded(run_id) as memory:
        store = RunStore(STORE, "os")
        with store.create_run("nightly", jobs=jobs) as run:
            for job_id, attempts in jobs.items():
                for attempt in range(attempts):
                    with run.job(job_id, stage="s") as log:
                        for number in range(records):
                            log.append("metric", number=number, text=TEXT)
                        status = "succeeded" if attempt + 1 == attempts else "failed"
                        log.end(status, exit_code=0, duration_s=0.25)
        return Sample(run.id, tree_of(memory), run.receipt)


def open_run(jobs: Mapping[str, bool], records: int) -> Sample:
    """A run whose process is gone: each job with one attempt, which is done or not."""
    with recorded(RUN_ID) as memory:
        run = RunStore(STORE, "os").create_run("nightly", jobs=[*jobs, "later"])
        for job_id, is_done in jobs.items():
            log = run.job(job_id, stage="s")
            for number in range(records):
                log.append("metric", number=number, text=TEXT)
            log.end("succeeded", duration_s=0.25) if is_done else abandon(log)
        abandon(run)
        return Sample(run.id, tree_of(memory), None)


@contextmanager
def recorded(run_id: str) -> Iterator[MemoryOs]:
    """An empty file system in memory, in use by a process that will be gone.

    What is written to it is the same each time, so that a fault by its number is the same, too.
    """
    seconds = itertools.count(1_796_000_000)
    with mounted(MemoryOs()) as memory, pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.writing.run.this_process", lambda: DEAD)
        patch.setattr("runstore.lines.record.now_ns", lambda: next(seconds) * 10**9)
        patch.setattr("runstore.layout.new_run_id", lambda: run_id)
        yield memory


def tree_of(memory: MemoryOs) -> Tree:
    """All that a file system in memory holds."""
    return {
        path: None if inode is None else bytes(memory.contents[inode])
        for path, inode in memory.entries.items()
    }
