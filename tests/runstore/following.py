"""A program that writes a run for others to follow: see `test_follow`.

`write STORE SECONDS THREADS` prints the run's id, works for so long, and ends the run. `hang STORE`
prints the id and writes until it is killed.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable

from runstore import Run, RunStore


def work(run: Run, thread: int, goes_on: Callable[[], bool]) -> None:
    """Run short jobs, one after the other, with records of very different lengths."""
    jobs = 0
    while goes_on():
        jobs += 1
        with run.job(f"job {thread}.{jobs % 5}") as log:
            for count in range(random.randrange(40)):
                log.append("metric", text="ä" * random.choice([1, 100, 9000]), count=count)
                if count % 10 == 0:
                    time.sleep(random.choice([0, 0.001, 0.02]))
            log.end(random.choice(["succeeded", "failed"]))


def write(store_path: str, seconds: float, threads: int) -> None:
    """Write one run from several threads."""
    until = time.monotonic() + seconds
    with RunStore(store_path, "os").create_run("followed", ["never"]) as run:
        print(run.id, flush=True)
        workers = [
            threading.Thread(target=work, args=(run, number, lambda: time.monotonic() < until))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    match sys.argv[1:]:
        case "write", store, seconds, threads:
            write(store, float(seconds), int(threads))
        case "hang", store:
            write(store, 3600, 3)
