"""The store's own tests pass on other file systems, and a full or read-only one does no harm.

Every file system is full once while runs are written, and read-only once. What was acknowledged is
there in both, and the command line says in one line what is wrong, and exits 3.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import pytest

from runstore import RunStore, SegmentPoisonedError
from tests.faults.harness import Result
from tests.faults.machine import (
    BTRFS,
    EXFAT,
    EXT4,
    NTFS,
    ROOT,
    TMPFS,
    XFS,
    UnmountableError,
    cannot_mount,
    on_each,
    read_only,
    scratch,
    to_start,
)
from tests.faults.workload import Safe, left_in, write_run, write_runs
from tests.scale import Scale, environment

TITLE = "the store's tests pass on tmpfs, ext4, xfs, btrfs, ntfs-3g and exfat, full and read-only"
IS_SLOW = True
NEEDS = cannot_mount

FILE_SYSTEMS = {each.name: each for each in (TMPFS, EXT4, XFS, BTRFS, NTFS, EXFAT)}
TESTS = ROOT / "tests" / "runstore"
FEW = ("durability", "run", "segment", "store", "storefile", "verify")
# All tests together leave some 1.5 GB and 70,000 files there until their end.
ROOMY_MB = 3072
# Each lets another write be the one for which there is no room, or room for a part of it.
ROOMS = range(100_000, 200_000, 10_000)
# What the tests ask of a file system besides files, by words in their names: owners; names that
# differ in case; that a folder with an open file can be removed, or an open file.
NOT_ON_FUSE = ("owner", "taken_away")
NOT_ON = {"ntfs-3g": NOT_ON_FUSE, "exfat": (*NOT_ON_FUSE, "is_no_run")}

PROGRESS = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2} ")
PIPELINE = """\
stages:
  - name: only
    jobs:
      - id: greet
        run: echo hello
"""


def run(scale: Scale) -> Result:
    """Use each file system that this machine has."""
    figures: dict[str, int | float | str] = {}
    total: Counter[str] = Counter()
    tests = [] if scale.is_full else FEW
    for name, outcome in on_each(FILE_SYSTEMS.values(), __name__, *tests).items():
        if "reason" in outcome:
            figures[name] = f"not run: {outcome['reason']}"
        else:
            figures[f"tests on {name}"] = outcome.pop("passed")
            total.update(outcome)
    figures["acknowledged records on full disks"] = total["acknowledged"]
    lost = total["lost"] + total["empty"]
    return Result(figures=figures, lost=lost, false_alarms=total["errors"])


def use(name: str, tests: list[str]) -> dict[str, int | str]:
    """Fill a file system, make it read-only, and run tests on it; gives what was counted."""
    file_system = FILE_SYSTEMS[name]
    total: Counter[str] = Counter()
    with scratch() as folder:
        pipeline = folder / "hello.yaml"
        pipeline.write_text(PIPELINE, encoding="utf-8")
        try:
            with file_system.mounted(folder / "small") as small:
                for durability in ("disk", "os"):
                    total.update(fill_while_writing(small / durability, durability, pipeline))
                use_read_only(small / "os", pipeline)
        except UnmountableError as error:
            return {"reason": str(error)}
        with file_system.mounted(folder / "roomy", ROOMY_MB) as roomy:
            total["passed"] = tests_passed(roomy, tests, NOT_ON.get(name, ()))
    return dict(total)


def fill_while_writing(path: Path, durability: Any, pipeline: Path) -> Counter[str]:
    """Write runs until the file system is full, again and again; gives what is left of them.

    Raises:
        AssertionError: A full file system shows otherwise than it must.
    """
    told: set[Safe] = set()
    total: Counter[str] = Counter()
    store = RunStore(path, durability)
    write_run(store, told.add)
    with Filler(path.with_suffix(".filler")) as filler:
        for room in ROOMS:
            filler.leave(room)
            with pytest.raises((OSError, SegmentPoisonedError)) as caught:
                write_runs(store, told.add)
            assert getattr(caught.value, "errno", errno.ENOSPC) == errno.ENOSPC
            add_what_is_left(total, path, told)
        filler.leave(0)
        assert_refused(path, pipeline)
    write_run(store, told.add)
    add_what_is_left(total, path, told)
    return total


def add_what_is_left(total: Counter[str], path: Path, told: set[Safe]) -> None:
    """Read all of a store, and add up what is wrong with it."""
    left = left_in(path, told)
    total.update(lost=left.lost, errors=left.errors, empty=left.empty)
    total["acknowledged"] = left.acknowledged


class Filler:
    """A file that takes the room of a file system while the context lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def leave(self, room: int) -> None:
        """Leave so much room, in bytes; 0: not for a byte more."""
        with self._path.open("ab", buffering=0) as file:
            for block in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(block)):
                        pass
            file.truncate(file.tell() - room)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink()


def use_read_only(path: Path, pipeline: Path) -> None:
    """Read all of a store that cannot be written, and try to write to it.

    Raises:
        AssertionError: It shows otherwise than it must.
    """
    before = content(path)
    store = RunStore(path)
    with read_only(path.parent):
        assert store.verify(strict=True).ok
        assert [list(store.read(summary.id).records()) for summary in store.runs()]
        for refusing in (path, path.parent / "another"):
            with pytest.raises(OSError, match="Read-only") as caught:
                RunStore(refusing).create_run("nightly")
            assert caught.value.errno == errno.EROFS
            assert_refused(refusing, pipeline)
        assert lorchestra("runstore", "verify", "--store", str(path)).returncode == 0
    assert content(path) == before


def content(path: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}


def assert_refused(store: Path, pipeline: Path) -> None:
    """Run a pipeline on a store that cannot be written: one line says so, the exit code is 3.

    A few bytes can have room where none has, so there may be lines of a run that had begun.
    """
    done = lorchestra("pipeline", str(pipeline), "--store", str(store))
    said = [line for line in done.stderr.splitlines() if not PROGRESS.match(line)]
    assert (done.returncode, done.stdout, len(said)) == (3, "", 1), done
    assert said[0].startswith("lorchestra: the store cannot be used: "), done


def lorchestra(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    words = [*to_start("lorchestra"), *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def tests_passed(folder: Path, tests: list[str], without: Iterable[str]) -> int:
    """Run tests of the store whose files are on a file system; gives how many pass.

    Raises:
        AssertionError: One does not.
    """
    words = [*to_start("pytest"), "-q", "-p", "no:cacheprovider", "-p", "tests.faults.abilities"]
    # What is left behind would fill it.
    words += ["-o", "tmp_path_retention_policy=none", f"--basetemp={folder / 'tests'}"]
    words += ["-k", " and ".join(f"not {word}" for word in without)]
    words += [str(TESTS / f"test_{test}.py") for test in tests] or [str(TESTS)]
    done = subprocess.run(
        words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    return int(passed[1])


if __name__ == "__main__":
    print(json.dumps(use(sys.argv[1], sys.argv[2:])))
