"""The kinds of locks that `locking` compares, each around the same four records of a job."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import filelock
import portalocker

from runstore import RunStore

NO_LOCK = "no lock"
Lock = Callable[[], AbstractContextManager[object]]
LockOf = Callable[[str], Lock]  # by the path of what it is to protect


class Work(NamedTuple):
    """What one process does.

    Attributes:
        kind: Which lock, a key of `KINDS`.
        folder: Where; other processes may work there too.
        jobs: How many.
        seconds: How long each sleeps.
        workers: How many threads.
    """

    kind: str
    folder: str
    jobs: int
    seconds: float
    workers: int


class Keeper(Protocol):
    """Keeps the records of one job."""

    def append(self, event: str, /, **fields: object) -> object:
        """Keep one."""


Keep = Callable[[int], AbstractContextManager[Keeper]]


def work(task: Work) -> float:
    """Do it; gives the seconds from the first job to the last."""
    with KINDS[task.kind](task) as keep:

        def one(number: int) -> None:
            with keep(number) as keeper:
                keeper.append("metric", rows=number)
                time.sleep(task.seconds)
                keeper.append("output", value={"rows": number})

        began = time.perf_counter()
        if task.workers == 1:
            for number in range(task.jobs):
                one(number)
        else:
            with ThreadPoolExecutor(task.workers) as pool:
                list(pool.map(one, range(task.jobs)))
        return time.perf_counter() - began


@contextlib.contextmanager
def _own_files(
    task: Work, guard: Literal["filelock"] | None = None, lock_of: LockOf | None = None
) -> Iterator[Keep]:
    """The store as it is: a file for each attempt; with a lock of the file around each record.

    The guard is of a pipeline, so that each process has one of its own.
    """
    store = RunStore(task.folder, "os", guard)
    with store.create_run(f"bench{os.getpid()}", [f"job{n}" for n in range(task.jobs)]) as run:

        @contextlib.contextmanager
        def keep(number: int) -> Iterator[Keeper]:
            log = run.job(f"job{number}")  # writes the first record
            with log:
                path = os.path.join(task.folder, f"{os.getpid()}-{number}")
                yield log if lock_of is None else _Locked(log.append, lock_of(path))
                log.end("succeeded")

        yield keep
        run.end("succeeded")


class _Locked:
    def __init__(self, append: Callable[..., object], lock: Lock) -> None:
        self._append = append
        self._lock = lock

    def append(self, event: str, /, **fields: object) -> object:
        with self._lock():
            return self._append(event, **fields)


@contextlib.contextmanager
def _one_file(task: Work, lock_of: LockOf) -> Iterator[Keep]:
    """One file for all jobs of all processes: each record is a line, written under a lock."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    path = os.path.join(task.folder, "records.jsonl")
    lock = lock_of(path)
    descriptor = os.open(path, flags, 0o600)

    def write(event: str, **fields: object) -> object:
        return os.write(descriptor, json.dumps({"event": event, **fields}).encode() + b"\n")

    @contextlib.contextmanager
    def keep(number: int) -> Iterator[Keeper]:
        keeper = _Locked(write, lock)
        keeper.append("begin", job=number)
        yield keeper
        keeper.append("end", job=number)

    try:
        yield keep
    finally:
        os.close(descriptor)


def _file_lock(path: str) -> Lock:
    return lambda: filelock.FileLock(f"{path}.lock", thread_local=False, fallback_to_soft=False)


def _portalocker(path: str) -> Lock:
    return lambda: portalocker.Lock(f"{path}.lock", "a", timeout=60)


def _flock(path: str) -> Lock:
    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    return locked


def _threads_only(_path: str) -> Lock:
    lock = threading.Lock()
    return lambda: lock


KINDS: dict[str, Callable[[Work], AbstractContextManager[Keep]]] = {
    NO_LOCK: _own_files,
    "filelock, once a run (the guard)": lambda task: _own_files(task, guard="filelock"),
    "filelock around each record": lambda task: _own_files(task, lock_of=_file_lock),
    "portalocker around each record": lambda task: _own_files(task, lock_of=_portalocker),
    "flock around each record": lambda task: _own_files(task, lock_of=_flock),
    "one file, filelock": lambda task: _one_file(task, _file_lock),
    "one file, portalocker": lambda task: _one_file(task, _portalocker),
    "one file, flock": lambda task: _one_file(task, _flock),
    "one file, threading.Lock": lambda task: _one_file(task, _threads_only),
}


def main() -> None:
    """Do one process's part: say that it is ready, wait, work, and print the seconds."""
    task = Work(*json.loads(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(work(task), flush=True)


if __name__ == "__main__":
    main()
