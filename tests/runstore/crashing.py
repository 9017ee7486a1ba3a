"""A program that is killed, forked or run many times at once: see `test_crash`.

Each command prints one JSON value a line. It has one thread before it forks, which pytest has not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from runstore import Run, RunStore, RunStoreError

THREADS = 3


def work(store_path: str, durability: Any, acknowledge: Callable[[str], None]) -> None:
    """Run jobs in several threads, again and again; acknowledge each record that is written."""
    store = RunStore(store_path, durability)
    while True:
        with store.create_run("nightly", [f"job {n}" for n in range(THREADS)] + ["never"]) as run:
            acknowledge(f"{run.id} run.jsonl 0")
            threads = [
                threading.Thread(target=work_at_job, args=(run, f"job {n}", acknowledge))
                for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def work_at_job(run: Run, job_id: str, acknowledge: Callable[[str], None]) -> None:
    for _ in range(2):
        log = run.job(job_id)
        said = f"{run.id} {job_id}/{log.attempt}"
        acknowledge(f"{said} 0")
        for count in range(20):
            position = log.append("metric", text="x" * random.choice([1, 300, 9000]), count=count)
            acknowledge(f"{said} {position.n}")
        acknowledge(f"{said} {log.end('failed').n} end")


def killed(store_path: str, durability: str, rounds: int, seed: int) -> None:
    """Fork a worker and kill it, some times; print what it had acknowledged."""
    choice = random.Random(seed)
    for _ in range(rounds):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            random.seed(choice.random())
            work(store_path, durability, partial(write_line, writer))
        os.close(writer)
        acknowledged = read_lines(reader, choice.randrange(150))
        time.sleep(choice.uniform(0, 0.002))
        os.kill(child, signal.SIGKILL)
        acknowledged += read_lines(reader, sys.maxsize)
        os.waitpid(child, 0)
        os.close(reader)
        print(json.dumps(acknowledged.decode().splitlines()), flush=True)


def write_line(descriptor: int, text: str) -> None:
    """Write to a pipe; what is shorter than its buffer is there as a whole or not at all."""
    os.write(descriptor, f"{text}\n".encode())


def read_lines(descriptor: int, count: int) -> bytes:
    """Read from a pipe until so many lines came, or it is closed."""
    data = b""
    while data.count(b"\n") < count and (more := os.read(descriptor, 1 << 16)):
        data += more
    return data


def void(_value: object) -> None:
    """Forget a value."""


def forked(store_path: str) -> None:
    """Fork in the middle of a run; print what the children were refused, then end the run."""
    with RunStore(store_path, "os").create_run("nightly", ["a", "b"]) as run:
        with run.job("a") as log:
            log.append("metric", by="parent")
            refused_in_child(
                lambda: log.append("metric", by="child"),
                lambda: log.end("succeeded"),
                lambda: log.__exit__(None, None, None),
                lambda: run.job("b"),
                lambda: run.append("stage_begin"),
                lambda: run.not_run("b", "skipped", "no"),
            )
            log.append("metric", by="parent")
        refused_in_child(lambda: run.end("failed"), lambda: run.__exit__(None, None, None))
        with run.job("b"):
            pass


def refused_in_child(*calls: Callable[[], object]) -> None:
    """Fork, call all of these in the child, and print with which errors it was refused."""
    child = os.fork()
    if child != 0:
        os.waitpid(child, 0)
        return
    refused = []
    for call in calls:
        try:
            call()
        except RunStoreError as error:
            refused.append(type(error).__name__)
    print(json.dumps(refused), flush=True)
    os._exit(0)


def alive(store_path: str, seconds: float) -> None:
    """Create runs for so long, and end each."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with RunStore(store_path, "os").create_run("nightly", ["a", "b"]) as run:
            threads = [
                threading.Thread(target=work_at_job, args=(run, job_id, void))
                for job_id in ("a", "b")
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def created(folder: str, rounds: int, processes: int) -> None:
    """Let many processes make the same store at the same moment; print how each exited."""
    for number in range(rounds):
        reader, writer = os.pipe()
        children = []
        for _ in range(processes):
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)  # until all are there
                with RunStore(f"{folder}/{number}/store", "os").create_run("nightly"):
                    os._exit(0)
            children.append(child)
        os.close(reader)
        os.close(writer)
        print(json.dumps([os.waitpid(child, 0)[1] for child in children]), flush=True)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "killed":
        killed(arguments[0], arguments[1], int(arguments[2]), int(arguments[3]))
    elif command == "forked":
        forked(arguments[0])
    elif command == "alive":
        alive(arguments[0], float(arguments[1]))
    elif command == "created":
        created(arguments[0], int(arguments[1]), int(arguments[2]))
