"""Compact, repair and prune, stopped at every step: by an error, an interrupt, or a kill.

    python -m tests.runstore.steps FOLDER SCENARIO

kills a forked child at each of its operations on the disk, checks what is left, and prints how many
steps there were. It has one thread before it forks, which pytest has not.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runstore import Report, RunStore, files
from runstore.reading.sealed import read_index, write_seal
from tests import scale
from tests.runstore.samples import (
    FIRST,
    RUN_FILE,
    SECOND,
    THIRD,
    finished_run,
    frozen,
)

WRITES = (
    *("create", "append", "sync_file", "sync_folder", "make_folder", "replace", "place"),
    *("remove", "remove_empty_folder", "remove_folder"),
)

READS = ("names", "open_read", "read", "read_end", "seek")

Stop = Callable[[], None]


def fail() -> None:
    raise OSError(errno.ENOSPC, "injected")


def interrupt() -> None:
    raise KeyboardInterrupt


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Stopped:
    """Stands before `runstore.files` and stops what is done at one of its operations.

    With `after` a writing operation is done before that; with `for_ever` all later ones stop too.

    Attributes:
        done: How many operations there were.
        has_stopped: Whether it came to that one.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        at: int,
        stop: Stop,
        *,
        after: bool = False,
        for_ever: bool = False,
    ) -> None:
        self.done = 0
        self.has_stopped = False
        self._at = at
        self._stop = stop
        self._after = after
        self._for_ever = for_ever
        for name in (*WRITES, *READS):
            patch.setattr(files, name, self._counting(getattr(files, name), name in WRITES))

    def _counting(self, operation: Callable[..., Any], is_write: bool) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            self.done += 1
            is_here = self.done == self._at or (self._for_ever and self.done > self._at)
            if is_here and not (self._after and is_write):
                self._stop_here()
            result = operation(*arguments, **options)
            if is_here:
                if operation.__name__ == "create":
                    files.close(result)
                self._stop_here()
            return result

        return counting

    def _stop_here(self) -> None:
        self.has_stopped = True
        self._stop()


class Scenario:
    """A store, something to be done to it, and what must hold when that is stopped and done again.

    Attributes:
        run: The run it is about.
        store: Its store.
    """

    def __init__(self, folder: Path) -> None:
        self.run = finished_run(folder / "store")
        self.store = self.run.store
        self.prepare()
        self._kept = folder / "kept"
        shutil.copytree(self.store.path, self._kept)
        self.before = contents(Path(self.store.path))

    def prepare(self) -> None:
        """Bring the store into the state in which it is to be done."""

    def act(self) -> None:
        """Do it."""
        raise NotImplementedError

    def check_stopped(self) -> None:
        """Check what a reader finds after it was stopped."""
        raise NotImplementedError

    def check_done(self) -> None:
        """Check the result."""
        raise NotImplementedError

    def move(self, store: str) -> None:
        """Let it be about a copy of the store that is somewhere else."""
        folder = self.run.folder.relative_to(self.store.path)
        self.store = self.run.store = RunStore(store, "os")
        self.run.folder = Path(store) / folder

    def again(self) -> None:
        """Bring the store back into the state in which it is to be done."""
        shutil.rmtree(self.store.path)
        shutil.copytree(self._kept, self.store.path)

    def finish(self) -> None:
        """Check what was left, do it once more, and check that a third time changes nothing."""
        self.check_stopped()
        self.act()
        self.check_done()
        done = contents(Path(self.store.path))
        self.act()
        assert contents(Path(self.store.path)) == done


class Compaction(Scenario):
    """A run is compacted."""

    def prepare(self) -> None:
        self.records = self.run.records()
        self.view = self.store.read(self.run.id)
        self.report = self.run.verify(self.run.receipt)

    def move(self, store: str) -> None:
        super().move(store)
        self.view = replace(self.view, path=self.run.folder.as_posix())
        self.report = replace(self.report, store=store)

    def act(self) -> None:
        self.store.compact(self.run.id)

    def check_stopped(self) -> None:
        assert self.run.records() == self.records
        assert self.store.read(self.run.id) == self.view
        assert self.run.verify(self.run.receipt) == self.report

    def check_done(self) -> None:
        self.check_stopped()
        assert list(contents(self.run.folder)) == ["sealed.jsonl"]


class SecondCompaction(Compaction):
    """A run is compacted that was compacted before, and has got a file since."""

    def prepare(self) -> None:
        super().prepare()
        self.store.compact(self.run.id)
        self.run.path(FIRST).write_bytes(self.run.content[FIRST])
        unseal(self.run.path("sealed.jsonl"), FIRST)

    def check_done(self) -> None:
        self.check_stopped()
        assert list(contents(self.run.folder)) == ["sealed.2.jsonl"]


class Repair(Scenario):
    """A run is repaired that is damaged in several ways."""

    def prepare(self) -> None:
        run = self.run
        run.path(FIRST).write_bytes(flipped(run.content[FIRST], run.content[FIRST].index(b"rows")))
        run.path(SECOND).unlink()
        run.path(THIRD).write_bytes(run.content[THIRD][:-40])
        run.path("stray").write_bytes(b"mine")
        run.path(RUN_FILE).write_bytes(flipped(run.content[RUN_FILE], 20))
        self.lost = len(run.lines(SECOND)) + 3
        self.readable = {*map(frozen, run.records())}
        self.found = {
            name: run.path(name).read_bytes() for name in (RUN_FILE, FIRST, THIRD, "stray")
        }

    def act(self) -> None:
        self.store.repair(self.run.id)

    def check_stopped(self) -> None:
        read = [frozen(each) for each in self.run.records() if each["event"] != "lost"]
        assert self.readable <= set(read) <= self.run.written
        assert len(read) == len(set(read))
        kept = contents(self.run.folder)
        for name, data in self.found.items():
            places = (kept.get(name), kept.get(f"{name}.damaged"))
            assert data in places, name

    def check_done(self) -> None:
        assert self.run.verify().errors == []
        kept = contents(self.run.folder)
        assert {name: kept[f"{name}.damaged"] for name in self.found} == self.found
        written = {line for name in self.run.content for line in self.run.lines(name)}
        assert record_lines(self.run.folder) <= written
        assert len(written - record_lines(self.run.folder)) == self.lost


class SealedRepair(Repair):
    """A run is repaired whose sealed file is damaged: a header, a record, the index."""

    def prepare(self) -> None:
        self.store.compact(self.run.id)
        sealed = self.run.path("sealed.jsonl")
        data = sealed.read_bytes()
        for place in (b'{"part":2', b"rows", b'{"index":3'):
            data = flipped(data, data.index(place) + 2)
        sealed.write_bytes(data)
        self.lost = 1
        self.readable = {*map(frozen, self.run.records())}
        self.found = {"sealed.jsonl": data}


class Pruning(Scenario):
    """All runs of a store are pruned."""

    def act(self) -> None:
        self.store.prune(older_than=timedelta())

    def check_stopped(self) -> None:
        report: Report = self.store.verify()
        assert report.ok, report.errors
        assert [run.id for run in self.store.runs()] in ([], [self.run.id])
        if self.run.id in self.store.run_ids():
            assert {*map(frozen, self.run.records())} == self.run.written

    def check_done(self) -> None:
        assert self.store.run_ids() == []
        assert files.names(f"{self.store.path}/runs") == []


SCENARIOS: dict[str, type[Scenario]] = {
    scenario.__name__: scenario
    for scenario in (Compaction, SecondCompaction, Repair, SealedRepair, Pruning)
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, in order; through `files`, so that it may be in memory."""
    found = {path: files.read_whole(f"{folder}/{path}", 1 << 20) for path in paths(str(folder))}
    return dict(sorted(found.items()))


def paths(folder: str) -> Iterator[str]:
    """The path of every file below a folder."""
    for name in files.names(folder):
        if files.is_folder(f"{folder}/{name}"):
            yield from (f"{name}/{path}" for path in paths(f"{folder}/{name}"))
        elif files.is_file(f"{folder}/{name}"):
            yield name


def record_lines(folder: Path) -> set[bytes]:
    """The lines of all files of records below a folder that are records, but for `lost` ones."""
    lines = (
        line
        for name, data in contents(folder).items()
        if name.endswith(".jsonl")
        for line in data.splitlines(keepends=True)
    )
    return {line for line in lines if line.startswith(b'{"n"') and b'"event":"lost"' not in line}


def flipped(data: bytes, offset: int, bit: int = 1) -> bytes:
    """The data with one bit changed."""
    return data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]


def unseal(sealed: Path, name: str) -> None:
    """Take one file out of a sealed file, as if it had been made without it."""
    seal = read_index(str(sealed))
    assert seal is not None
    blocks: list[bytes] = []
    write_seal([each for each in seal.parts.items() if each[0] != name], blocks.append)
    sealed.write_bytes(b"".join(blocks))


def main(folder: Path, name: str) -> None:
    """Kill a child at each step, and check what it leaves."""
    # A killed process loses nothing that was not synced.
    for name_of_sync in ("fsync", "fdatasync"):
        setattr(os, name_of_sync, lambda _descriptor: None)
    scenario = SCENARIOS[name](folder)
    for step in itertools.count(1, scale.count(1, 3)):
        scenario.again()
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                Stopped(patch, step, kill, after=True)
                scenario.act()
            os._exit(0)
        if os.WIFEXITED(os.waitpid(child, 0)[1]):
            break
        scenario.finish()
    print(step - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
