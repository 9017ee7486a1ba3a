"""A program whose children write runs and are killed, cut short or refused, and what they leave.

A child says through a pipe what was acknowledged to it; then its parent reads the store, and at the
end prints what it found as one JSON object. This is a program of its own because it forks, and
pytest has threads. It imports no tests, so that it can be started from anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NoReturn, TypeVar

from runstore import AttemptLog, Position, Run, RunStore, RunStoreError, StoreNotFoundError, files

JOBS = ("a", "b")
SIZES = (1, 1, 40, 300, 9000)
# Longer than anything here takes, and short enough to be waited for: then it hangs.
PATIENCE_S = 60.0

Say = Callable[[str], None]
T = TypeVar("T")


def work(store: RunStore, say: Say, records: int, *, threads: bool = False) -> None:
    """Write a run; after a failure go on with what is left to do.

    Args:
        store: The store.
        say: Called with each thing that the store has acknowledged, before the next one is begun.
        records: How many to append to each attempt.
        threads: Whether each job has a thread of its own.
    """
    run = tried(lambda: store.create_run("nightly", JOBS))
    if run is None:
        return
    say(f"{run.id} begun")
    turns = [partial(work_at_job, run, job_id, say, records) for job_id in JOBS]
    if threads:
        side_by_side(turns)
    else:
        for turn in turns:
            turn()
    end = tried(run.end)
    if end is not None:
        say(f"{run.id} over {end}")


def work_at_job(run: Run, job_id: str, say: Say, records: int) -> None:
    """Write an attempt."""
    log = tried(lambda: run.job(job_id))
    if log is None:
        return
    say(f"{run.id} started {job_id}")
    for number in range(records):
        position = tried(partial(append, log, number))
        if position is not None:
            say(f"{run.id} record {position}")
    end = tried(lambda: log.end("succeeded"))
    if end is not None:
        say(f"{run.id} record {end}")
        say(f"{run.id} ended {job_id}")


def append(log: AttemptLog, number: int) -> Position:
    """Append a record of one of several sizes, which it tells."""
    size = random.choice(SIZES)
    return log.append("metric", number=number, size=size, text="x" * size)


def tried(call: Callable[[], T]) -> T | None:
    """Call what may fail in the way that the store says."""
    try:
        return call()
    except (OSError, RunStoreError):
        return None


def side_by_side(calls: Sequence[Callable[[], object]]) -> None:
    """Call each in a thread of its own."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Child:
    """A forked process that says what was acknowledged to it.

    Attributes:
        is_killed: Whether it was killed, once it has ended.
    """

    def __init__(self, do: Callable[[Say], None]) -> None:
        """Fork it, and let it do its work."""
        self.is_killed = False
        self._reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._reader)
            self._do(do, writer)
        os.close(writer)

    def _do(self, do: Callable[[Say], None], writer: int) -> NoReturn:
        try:
            # Shorter than the pipe's buffer: it is there as a whole or not at all.
            do(lambda text: void(os.write(writer, f"{text}\n".encode())))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def wait_for_word(self) -> None:
        """Wait until it has said something."""
        select.select([self._reader], [], [], PATIENCE_S)

    def kill(self) -> None:
        """Kill it, wherever it is."""
        os.kill(self._pid, signal.SIGKILL)

    def said(self) -> list[str]:
        """Wait for its end, and give all that it said.

        Raises:
            TimeoutError: It hangs; it is killed then.
            AssertionError: It failed; why stands on the standard error.
        """
        until = time.monotonic() + PATIENCE_S
        data = b""
        hangs = False
        while True:
            if not select.select([self._reader], [], [], max(0.0, until - time.monotonic()))[0]:
                hangs = True
                self.kill()
            more = os.read(self._reader, 1 << 16)
            if not more:
                break
            data += more
        os.close(self._reader)
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if hangs:
            raise TimeoutError(f"process {self._pid} hangs")
        self.is_killed = status == -signal.SIGKILL
        assert self.is_killed or status == 0, f"process {self._pid} failed"
        return data.decode().splitlines()


def void(_value: object) -> None:
    """Forget a value."""


def examine(path: str, said: list[str], known: set[str], found: Counter[str]) -> None:
    """Read what a child has left, and count what is not as it was said to be.

    Args:
        path: The store.
        said: What was acknowledged.
        known: The runs that were there before; those that are there now are added.
        found: Where to count.
    """
    there: set[str] = set()
    try:
        store = RunStore(path)
        new = [run_id for run_id in store.run_ids() if run_id not in known]
        report = store.verify()  # all of it, so that its own file is held to account too
        if report.errors:
            print(*report.errors, sep="\n", file=sys.stderr)
        found["false_alarms"] += len(report.errors)
        for run_id in new:
            there |= set(told(store, run_id))
        known |= set(new)
    except StoreNotFoundError:
        pass
    missing = set(said) - there
    if missing:
        print("missing:", *missing, sep="\n", file=sys.stderr)
    found["acknowledged"] += len(said)
    found["lost"] += len(missing)


def told(store: RunStore, run_id: str) -> Iterator[str]:
    """What can be read of a run, in the words of those who wrote it."""
    view = store.read(run_id)
    if set(view.jobs) >= set(JOBS):
        yield f"{run_id} begun"
    for job in view.jobs.values():
        for attempt in job.attempts:
            yield f"{run_id} started {job.id}"
            if attempt.status == "succeeded":
                yield f"{run_id} ended {job.id}"
    for record in view.records():
        yield f"{run_id} record {record['n']}:{record['crc']}"
    if view.receipt is not None:
        yield f"{run_id} over {view.receipt}"


def killed(folder: str, cycles: str, seed: str) -> Counter[str]:
    """Kill children at moments drawn by chance, several in one store."""
    chance = random.Random(int(seed))
    found: Counter[str] = Counter()
    path, known = "", set[str]()
    for cycle in range(int(cycles)):
        if cycle % 8 == 0:
            shutil.rmtree(path, ignore_errors=True)
            path, known = f"{folder}/{cycle}", set()
        store = RunStore(path, chance.choice(("disk", "os", "os", "os")))
        random.seed(chance.random())
        child = Child(partial(work_for_ever, store, threads=chance.random() < 0.3))
        if chance.random() < 0.7:  # else it may die before it has begun a run
            child.wait_for_word()
        time.sleep(chance.uniform(0, 0.006))
        child.kill()
        examine(path, child.said(), known, found)
        found["kills"] += child.is_killed
    return found


def work_for_ever(store: RunStore, say: Say, *, threads: bool) -> None:
    """Write one run after the other."""
    while True:
        work(store, say, records=20, threads=threads)


def cut(folder: str, first: str, step: str) -> Counter[str]:
    """Kill children at every so manieth byte that they write, until one comes to its end."""
    found: Counter[str] = Counter()
    for size in range(int(first), 1 << 30, int(step)):
        path = f"{folder}/{size}"
        child = Child(partial(work_until, path, size))
        examine(path, child.said(), set(), found)
        shutil.rmtree(path, ignore_errors=True)
        if not child.is_killed:
            return found
        found["kills"] += 1
    return found


def work_until(path: str, size: int, say: Say) -> None:
    """Write a run, and die when so many bytes are written."""
    append_whole, left = files.append, size

    def append_or_die(descriptor: int, data: bytes) -> None:
        nonlocal left
        if left < len(data):
            os.write(descriptor, data[:left])
            os.kill(os.getpid(), signal.SIGKILL)
        left -= len(data)
        append_whole(descriptor, data)

    files.append = append_or_die
    random.seed(0)
    work(RunStore(path, "os"), say, records=4)


def limited(folder: str, first: str, step: str) -> Counter[str]:
    """Let no file of a child grow beyond a size, each so manieth size, until none is refused."""
    found: Counter[str] = Counter()
    for size in range(int(first), 1 << 30, int(step)):
        path = f"{folder}/{size}"
        child = Child(partial(work_below, path, size))
        said = child.said()
        examine(path, said, set(), found)
        shutil.rmtree(path, ignore_errors=True)
        found["limits"] += 1
        if any(" over " in text for text in said):
            return found
    return found


def work_below(path: str, size: int, say: Say) -> None:
    """Write a run with no file larger than a size: the kernel cuts the write that would make it."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    random.seed(0)
    work(RunStore(path, "os"), say, records=4)


def filled(folder: str, pages: str, step: str) -> Counter[str]:
    """Let children write to a small disk with ever less space, and afterwards once more.

    Args:
        folder: Where the disk is, empty.
        pages: How many pages to leave free at first.
        step: How many less each time.
    """
    found: Counter[str] = Counter()
    for free in range(4096 * int(pages), -1, -4096 * int(step)):
        path, filler = f"{folder}/store", f"{folder}/filler"
        fill(filler, os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - free)
        known: set[str] = set()
        for _ in range(2):  # the second time on what the first one left
            child = Child(partial(work, RunStore(path, "disk"), records=4))
            examine(path, child.said(), known, found)
        os.unlink(filler)
        child = Child(partial(work, RunStore(path, "disk"), records=1))
        said = child.said()
        assert any(" over " in text for text in said), said
        examine(path, said, known, found)
        shutil.rmtree(path)
        found["full disks"] += 1
    return found


def forked(folder: str, forks: str) -> Counter[str]:
    """Fork while threads append: a child is to be refused everything, at once."""
    found: Counter[str] = Counter()
    store = RunStore(folder, "os")
    run = store.create_run("nightly", JOBS)
    logs = [run.job(job_id) for job_id in JOBS]
    over = threading.Event()
    counts = [0] * len(logs)

    def write(number: int) -> None:
        while not over.is_set():
            logs[number].append("metric", number=counts[number])
            run.append("note", job_number=number, number=counts[number])
            counts[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(logs))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(int(forks)):
            said = Child(partial(refused, run, logs)).said()
            found["forks"] += 1
            found["undetected"] += said != ["SegmentPoisonedError"] * len(said) or len(said) < 6
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for log in logs:
        log.end("succeeded")
    run.end("succeeded")
    report = store.verify()
    found["false_alarms"] += len(report.errors) + len(report.notes)
    records = list(store.read(run.id).records())
    for number, (job_id, count) in enumerate(zip(JOBS, counts, strict=True)):
        own = [r["number"] for r in records if r["event"] == "metric" and r["job"] == job_id]
        shared = [r["number"] for r in records if r.get("job_number") == number]
        found["lost"] += (own != [*range(count)]) + (shared != [*range(count)])
        found["appends"] += 2 * count
    return found


def refused(run: Run, logs: list[AttemptLog], say: Say) -> None:
    """Try everything that writes; say with what each is refused."""
    calls: list[Callable[[], object]] = [
        *(partial(log.append, "metric") for log in logs),
        *(partial(log.end, "failed") for log in logs),
        partial(run.append, "note"),
        partial(run.job, "c"),
        partial(run.not_run, "c", "skipped", "no"),
        partial(run.end, "failed"),
    ]
    for call in calls:
        try:
            call()
        except RunStoreError as error:
            say(type(error).__name__)
        else:
            say("done")


def alive(path: str, seconds: str) -> Counter[str]:
    """Write runs for so long, in two threads, slowly enough to be read in the midst of them."""
    until = time.monotonic() + float(seconds)
    found: Counter[str] = Counter()
    while time.monotonic() < until:
        work(RunStore(path, "os"), lambda _: time.sleep(0.001), records=60, threads=True)
        found["runs"] += 1
    return found


def once(path: str) -> NoReturn:
    """Write a run, then print what was acknowledged, with a call that writes nothing else here."""
    said: list[str] = []
    random.seed(0)
    work(RunStore(path, "disk"), said.append, records=2)
    os.pwrite(1, "\n".join(said).encode(), 0)
    os._exit(0)


def fill(path: str, size: int) -> None:
    """Write a file of so many bytes, or as many as there is space for."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while size > 0:
            size -= file.write(bytes(min(size, 4096)))


if __name__ == "__main__":
    commands = (killed, cut, limited, filled, forked, alive, once)
    command = {command.__name__: command for command in commands}[sys.argv[1]]
    print(json.dumps(command(*sys.argv[2:])))
