"""Calls of the system fail or are cut short: every record is acknowledged and there, or refused.

In memory each call that a workload makes fails in turn, in every way there is, once and ever after;
then each call of the readers. Then it is for real: a limit on the size of files, a disk that is
full, a device that always is, and failures that `strace` puts into a process.
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runstore import RunStore, RunStoreError, SegmentPoisonedError, StoreNotFoundError, files
from runstore.writing.segment import SegmentWriter
from tests.faults.dying import JOBS, examine, told, tried, work
from tests.faults.failing import READING, WRITING, FailingOs, Failure
from tests.faults.harness import Result
from tests.faults.machine import APART, cannot_mount
from tests.faults.memory import ROOT, CrashPoint, MemoryOs, Op, Tree, holding, mounted
from tests.faults.sharing import (
    DYING,
    counted,
    dying,
    needs_fork,
    processors,
    result_of,
    shared_out,
    total,
)
from tests.faults.stores import STORE, Sample, finished_run, open_run
from tests.scale import Scale

TITLE = "whatever call fails or is cut short, a record is acknowledged and there, or is refused"

ERRORS = (
    *(errno.ENOSPC, errno.EIO, errno.EINTR),
    *(errno.EDQUOT, errno.EMFILE, errno.EROFS),
)
# What is acknowledged when it is on the disk; records are when the system has them.
ON_DISK = ("begun", "ended", "over")
# A name with `?` is one that not every processor's Linux has.
TRACED = ("fdatasync", "fsync", "write", "?mkdir,?mkdirat", "?rename,?renameat,?renameat2")
STRACE = ("strace", "-f", "--seccomp-bpf", "-qq")
TRACED_ERRORS = ("EIO", "ENOSPC", "EDQUOT")


def run(scale: Scale) -> Result:
    """Let calls fail, in memory and for real."""
    return total([shared_out(__name__, scale), really(scale)])


def share(part: int, parts: int, scale: Scale) -> Result:
    """Let one of so many parts of the calls fail in memory."""
    found: Counter[str] = Counter()
    step = parts * scale.count(1, 13)
    for error, for_ever, kept in ways_to_fail_writing():
        kinds = frozenset({"write"}) if error is None else WRITING
        for number in count(1 + part, step):
            if not write(Failure(number, kinds, error, for_ever, kept), found):
                break
    for sample, error, for_ever in product(samples(), ERRORS, (False, True)):
        for number in count(1 + part, step):
            if not read(sample, Failure(number, READING, error, for_ever), found):
                break
    return counted(found)


def ways_to_fail_writing() -> Iterator[tuple[int | None, bool, float]]:
    """The error, whether for ever, and how much a write keeps that is cut short instead."""
    for for_ever in (False, True):
        yield from ((error, for_ever, 0.0) for error in ERRORS)
        yield from ((None, for_ever, kept) for kept in (0.0, 0.5, 1.0))


def write(failure: Failure, found: Counter[str]) -> bool:
    """Write runs with a failure; gives False when they end before it."""
    memory = FailingOs(failure)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        memory.ack(text)

    random.seed(0)
    with mounted(memory):
        for _ in range(2):  # the second time on what the first one left
            store = tried(lambda: RunStore(STORE, "disk"))
            if store is not None:
                work(store, say, records=2)
        is_made = memory.steps >= failure.number
        memory.failure = None
        found["failures of writers"] += is_made
        found["lost"] += len(set(said) - there())
        found["lost"] += sum(not is_on_disk(op.label, memory.ops[:n]) for n, op in promised(memory))
        found["false_alarms"] += errors()
        found["undetected"] += len(memory.tried_again) + left_open(failure)
    return is_made


def there() -> set[str]:
    """All that can be read of the runs, in the words of those who wrote them."""
    store = RunStore(STORE)
    return {text for run_id in store.run_ids() for text in told(store, run_id)}


def errors() -> int:
    """How many errors verify finds."""
    try:
        return len(RunStore(STORE).verify().errors)
    except StoreNotFoundError:
        return 0


def promised(memory: MemoryOs) -> Iterator[tuple[int, Op]]:
    """What was said to be on the disk, and how many operations came before."""
    for number, op in enumerate(memory.ops):
        if op.what == "ack" and op.label.split()[1] in ON_DISK:
            yield number, op


def is_on_disk(text: str, ops: list[Op]) -> bool:
    """Tell whether something can be read when all is lost that is not on the disk for certain."""
    with mounted(holding(certain(CrashPoint(ops)))):
        return text in there()


def certain(point: CrashPoint) -> Tree:
    """What is on the disk for certain."""
    tree: Tree = {}
    for path, inode in sorted(point.sure_names.items()):
        if path == ROOT or posixpath.dirname(path) in tree:
            tree[path] = None if inode is None else point.written[inode][: point.synced[inode]]
    return tree


def left_open(failure: Failure) -> int:
    """Write a run in contexts, with a failure; gives how many descriptors they leave open."""
    memory = FailingOs(failure)
    with mounted(memory), suppress(OSError, RunStoreError):
        write_in_contexts()
    return memory.descriptors


def write_in_contexts() -> None:
    """Write a run; what fails leaves its contexts."""
    with RunStore(STORE, "disk").create_run("nightly", JOBS) as run:
        for job_id in JOBS:
            with run.job(job_id) as log:
                log.append("metric")


def samples() -> list[Sample]:
    """Runs to read: one that ended, and one that was left open."""
    return [finished_run({"ingest": 2}, 1), open_run({"ingest": True, "report": False}, 1)]


def read(sample: Sample, failure: Failure, found: Counter[str]) -> bool:
    """Read a run with a failure; gives False when the readers end before it.

    They say so, or what they say is what there is: what cannot be read is not missing.
    """
    memory = FailingOs(failure)
    memory.take(sample.tree)
    with mounted(memory):
        verdict = tried(lambda: sample.verdict(RunStore(STORE), sample.receipt, []))
    is_made = memory.steps >= failure.number
    found["failures of readers"] += is_made
    if verdict is not None:
        found["false_alarms"] += len(verdict.errors)
        found["undetected"] += verdict.kept != sample.written.keys()
    found["undetected"] += memory.descriptors
    return is_made


def really(scale: Scale) -> Result:
    """Let calls fail for real, as far as this machine can."""
    with TemporaryDirectory() as folder:
        return total([limited(folder, scale), filled(scale), always_full(), traced(folder, scale)])


def limited(folder: str, scale: Scale) -> Result:
    """Let no file grow beyond a size, whichever it is: the kernel cuts the write that would."""
    if not hasattr(os, "fork"):
        return Result({"limits of size": f"not run: {needs_fork()}"})
    parts = scale.count(processors(), 1)
    step = scale.count(1, 499) * parts
    return dying("limited", [(f"{folder}/limited {part}", part, step) for part in range(parts)])


def filled(scale: Scale) -> Result:
    """Write to a small disk with each number of pages free, down to none."""
    reason = cannot_mount()
    if reason is not None:
        return Result({"full disks": f"not run: {reason}"})
    mount = 'mount -t tmpfs -o size=512k none /mnt && exec "$@"'
    program = [sys.executable, str(DYING), "filled", "/mnt", str(scale.count(160, 40)), "4"]
    return result_of([[*APART, "sh", "-c", mount, "sh", *program]])


def always_full() -> Result:
    """Write to a device that is always full."""
    if not os.path.exists("/dev/full"):
        return Result({"writes to /dev/full": "not run: the system has none"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "create", lambda _path: os.open("/dev/full", os.O_WRONLY))
        segment = SegmentWriter("a device")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        segment.append("begin", {})
    with pytest.raises(SegmentPoisonedError):
        segment.append("begin", {})
    segment.close()
    return Result({"writes to /dev/full": 1})


def traced(folder: str, scale: Scale) -> Result:
    """Let `strace` make the calls of a process fail, one after the other."""
    reason = cannot_trace()
    if reason is not None:
        return Result({"calls failed by strace": f"not run: {reason}"})
    found: Counter[str] = Counter()
    errors = TRACED_ERRORS if scale.is_full else TRACED_ERRORS[:1]
    for calls, error, ever in product(TRACED, errors, ("", "+") if scale.is_full else ("",)):
        for number in count(1, scale.count(1, 6)):
            if not trace(Path(folder), f"{calls}:error={error}:when={number}{ever}", found):
                break
    return counted(found)


def cannot_trace() -> str | None:
    """Why `strace` cannot be used here, as a sentence; None: it can."""
    if shutil.which("strace") is None:
        return "strace is missing"
    tried = subprocess.run([*STRACE, "true"], check=False, capture_output=True)
    return None if tried.returncode == 0 else "strace may not trace"


def trace(folder: Path, failure: str, found: Counter[str]) -> bool:
    """Write a run in a process of which a call fails; gives False when it ends before."""
    store, log, printed = (folder / name for name in ("traced", "log", "printed"))
    shutil.rmtree(store, ignore_errors=True)
    program = [sys.executable, "-B", str(DYING), "once", str(store)]
    calls = "trace=fdatasync,fsync,write"
    options = ["-y", "-e", calls, "-e", f"inject={failure}", "-o", str(log)]
    command: list[str] = [*STRACE, *options, *program]
    with printed.open("wb") as file:
        subprocess.run(command, check=True, stdout=file)
    lines = log.read_text(errors="replace").splitlines()
    failed = [number for number, line in enumerate(lines) if line.endswith("(INJECTED)")]
    if not failed:
        return False
    found["calls failed by strace"] += 1
    found["undetected"] += tried_again(lines[failed[0] :])
    examine(str(store), printed.read_text().splitlines(), set(), found)
    return True


def tried_again(lines: list[str]) -> int:
    """How many calls there are for the file of the first one, after that has failed."""
    files_called = [line.split("<", 1)[-1].split(">", 1)[0] for line in lines]
    return files_called[1:].count(files_called[0])
