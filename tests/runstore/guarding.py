"""A program that holds the guard, and what starts it. It has one thread, which pytest has not.

`compete STORE ROUNDS FOLDER HOW` takes the guard so many times, waiting for it, and prints how
often it found somebody else inside, and what it was told is safe: run, job, attempt, last record.
With `removed` it removes the lock each time; with `none` there is no guard.
`hang STORE` takes it, prints the run's id, and waits to be killed.
`job STORE` does the same with a process that has inherited the guard, and prints that one's pid.
`forked STORE` forks while it holds the guard, and prints what is true after each way to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runstore import GuardTimeoutError, Run, RunStore, RunStoreError

PIPELINE = "guarded"
SLEEP = [sys.executable, "-c", "import time; time.sleep(3600)"]


def guarded(store_path: str | Path, guard_timeout_s: float = 0.0) -> RunStore:
    return RunStore(store_path, "os", "filelock", guard_timeout_s=guard_timeout_s)


def program(*arguments: object) -> list[str]:
    """The command line of this program."""
    return [sys.executable, __file__, *map(str, arguments)]


@contextlib.contextmanager
def holding(command: str, store: RunStore) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that holds the guard; gives it and what it said. It is killed at the end."""
    with subprocess.Popen(program(command, store.path), stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        try:
            yield held, held.stdout.readline().split()
        finally:
            held.kill()


def competing(
    store_path: str, processes: int, rounds: int, folder: str, how: str
) -> list[dict[str, Any]]:
    """Let processes compete; gives what each has printed."""
    Path(folder, "count").touch()
    command = program("compete", store_path, rounds, folder, how)
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    printed = [each.communicate()[0] for each in running]
    assert not any(each.returncode for each in running)
    return [json.loads(text) for text in printed]


def compete(store_path: str, rounds: int, folder: str, how: str) -> None:
    """Enter again and again what only one may be in."""
    store = RunStore(store_path, "os") if how == "none" else guarded(store_path, -1)
    overlaps = 0
    told: list[tuple[str, str | None, int, int]] = []
    for _ in range(rounds):
        with store.create_run(PIPELINE, ["a"]) as run:
            overlaps += not is_entered(f"{folder}/inside")
            if how == "removed":
                remove(f"{store_path}/locks/{PIPELINE}.lock")
            if how != "filelock":
                time.sleep(0.02)  # so that others come in
            with run.job("a") as log:
                log.append("metric", rows=1)
                count_up(f"{folder}/count")
                told.append((run.id, "a", log.attempt, log.end("succeeded").n))
            remove(f"{folder}/inside")
            told.append((run.id, None, 0, run.end("succeeded").n))
        time.sleep(0)
    print(json.dumps({"overlaps": overlaps, "told": told}))


def is_entered(path: str) -> bool:
    """Go inside; False: somebody else is."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def count_up(path: str) -> None:
    """Add one in a way that loses some when two do it at once."""
    with open(path, encoding="ascii") as file:
        number = int(file.read() or 0)
    with open(path, "w", encoding="ascii") as file:
        file.write(str(number + 1))


def hang(store_path: str, argv: list[str] | None) -> None:
    run = guarded(store_path).create_run(PIPELINE)
    said = [run.id]
    if argv:
        child = subprocess.Popen(argv, pass_fds=run.guard_descriptors, start_new_session=True)
        said.append(str(child.pid))
    print(*said, flush=True)
    time.sleep(3600)


def forked(store_path: str) -> None:
    """Let children end in every way while their parent holds the guard."""
    store = guarded(store_path)
    run = store.create_run(PIPELINE, ["a"])
    for end in (leave_at_once, leave_the_context, release, take_it_too, leave_as_a_program_does):
        child = os.fork()
        if child == 0:
            end(store, run)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        say(end.__name__, status, holder_of(store) == run.id, others_see(store_path) == run.id)
    with run:
        say("descriptor", len(run.guard_descriptors) == 1)
    say("freed", holder_of(store), others_see(store_path))


def leave_at_once(_store: RunStore, _run: Run) -> None:
    os._exit(0)


def leave_the_context(_store: RunStore, run: Run) -> None:
    try:
        with run:
            pass
    except RunStoreError:
        os._exit(0)
    os._exit(1)


def release(_store: RunStore, run: Run) -> None:
    for guard in run._guards:
        guard.release()
    os._exit(0)


def take_it_too(store: RunStore, run: Run) -> None:
    os._exit(0 if holder_of(store) == run.id else 1)


def leave_as_a_program_does(_store: RunStore, _run: Run) -> None:
    sys.exit(0)


def holder_of(store: RunStore) -> str | None:
    """The run that holds the guard, as a contender is told; None: nobody."""
    try:
        with store.create_run(PIPELINE):
            return None
    except GuardTimeoutError as error:
        return str(error.holder.get("run", "unknown"))


def others_see(store_path: str) -> str | None:
    done = subprocess.run(
        [sys.executable, __file__, "holder", store_path], check=True, capture_output=True
    )
    seen: str | None = json.loads(done.stdout)
    return seen


def say(*values: object) -> None:
    print(json.dumps(values), flush=True)


COMMANDS: dict[str, Callable[..., None]] = {
    "compete": lambda store, rounds, folder, how: compete(store, int(rounds), folder, how),
    "hang": lambda store: hang(store, None),
    "job": lambda store: hang(store, SLEEP),
    "forked": forked,
    "holder": lambda store: print(json.dumps(holder_of(guarded(store)))),
}

if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    COMMANDS[command](*arguments)
