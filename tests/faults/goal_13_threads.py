"""Many threads append through one store object: nothing is lost, doubled or out of order.

Each thread has an attempt of its own, and from time to time writes to the run's own file, which all
of them share. Then a process forks while its threads append: the child is refused everything that
it tries, at once, although the threads that held a lock are not there to give it back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from tempfile import TemporaryDirectory

from runstore import Run, RunStore
from tests.faults.harness import Result
from tests.faults.sharing import dying, total
from tests.scale import Scale

TITLE = (
    "32 threads through one store object lose, double and mix nothing, and a fork writes nothing"
)

THREADS = 32
# A thread writes to the run's own file after so many records of its own.
SHARED_EVERY = 10


def run(scale: Scale) -> Result:
    """Let the threads append, read everything back, and fork."""
    appends = scale.count(10_000, 200)
    with TemporaryDirectory() as folder:
        results = [of_one_run(f"{folder}/one", appends), of_many_runs(f"{folder}/many")]
        if hasattr(os, "fork"):
            results.append(dying("forked", [(f"{folder}/forked", scale.count(300, 10))]))
    return total(results)


def of_one_run(path: str, appends: int) -> Result:
    """One run, a job for each thread."""
    store = RunStore(path, "os")
    with store.create_run("nightly", jobs=[f"job {number}" for number in range(THREADS)]) as run:
        at_the_same_time(lambda number: append_all(run, number, appends))
    report = store.verify()
    own, shared = numbers_read(store, run.id)
    expected = list(range(appends))
    lost = sum(own[f"job {number}"] != expected for number in range(THREADS))
    lost += sum(shared[number] != expected[::SHARED_EVERY] for number in range(THREADS))
    alarms = len(report.errors) + len(report.notes)
    figures: dict[str, int | float | str] = {"threads": THREADS, "appends": report.records}
    return Result(figures, lost=lost, false_alarms=alarms)


def append_all(run: Run, number: int, appends: int) -> None:
    """What one thread does."""
    with run.job(f"job {number}") as log:
        for count in range(appends):
            position = log.append("metric", number=count)
            assert position.n == count + 1
            if count % SHARED_EVERY == 0:
                run.append("note", thread=number, number=count)


def numbers_read(store: RunStore, run_id: str) -> tuple[dict[str, list[int]], dict[int, list[int]]]:
    """The numbers that are read of each job, and of each thread in the run's own file."""
    own: dict[str, list[int]] = defaultdict(list)
    shared: dict[int, list[int]] = defaultdict(list)
    for record in store.read(run_id).records():
        if record["event"] == "metric":
            own[record["job"]].append(record["number"])
        elif record["event"] == "note":
            shared[record["thread"]].append(record["number"])
    return own, shared


def of_many_runs(path: str) -> Result:
    """A run for each thread, all begun at the same moment in a store that is not there yet."""
    store = RunStore(path, "os")
    ended: list[str] = []

    def write(_number: int) -> None:
        with store.create_run("nightly", jobs=["a"]) as run, run.job("a") as log:
            log.append("metric")
        ended.append(run.id)

    at_the_same_time(write)
    report = store.verify()
    there = {summary.id for summary in store.runs() if summary.status == "succeeded"}
    alarms = len(report.errors) + len(report.notes)
    return Result({}, lost=len(set(ended) - there) + THREADS - len(ended), false_alarms=alarms)


def at_the_same_time(call: Callable[[int], None]) -> None:
    """Call with each number in a thread of its own, changing threads as often as can be.

    Raises:
        BaseException: What one of the calls has raised.
    """
    raised: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> None:
        try:
            barrier.wait()
            call(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if raised:
        raise raised[0]
