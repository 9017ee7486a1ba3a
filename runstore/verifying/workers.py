"""Share work out to processes once it turns out to be long.

Checking lines keeps the interpreter busy, which only one thread at a time can do; so it is other
processes that help. Starting them takes a while, which short work does not repay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# What starting processes costs a few times over.
ALONE_S = 1.0
# Tasks handed out before the first of them is asked for: enough to keep all processes busy.
_AHEAD = 4
_MOST_IN_TASK = 64


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = 1,
) -> Generator[Result, None, None]:
    """Call a function with each item, and give the results in order.

    Args:
        function: It and what it takes and gives can be pickled.
        items: The items.
        workers: How many processes may work at once, after this one has for a second; 1: only
            this one; None: as many as it may use processors.

    Raises:
        Exception: What the function raises.

    Processes are started by `spawn`, so the main module must not run when it is imported. They end
    with the iteration, and with this process however that ends.
    """
    workers = workers or _processors()
    began = time.monotonic()
    for number, item in enumerate(items):
        if workers > 1 and time.monotonic() - began >= ALONE_S and number + 1 < len(items):
            yield from _shared_out(function, items[number:], min(workers, len(items) - number))
            return
        yield function(item)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # neither macOS nor Windows has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _shared_out(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Generator[Result, None, None]:
    size = max(1, min(_MOST_IN_TASK, len(items) // (workers * _AHEAD)))
    tasks = [items[start : start + size] for start in range(0, len(items), size)]
    futures: deque[Future[list[Result]]] = deque()
    spawn = get_context("spawn")
    theirs, ours = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, spawn, _end_with, (theirs,))
    done = 0
    try:
        for done in range(len(tasks)):
            for task in tasks[done + len(futures) : done + workers * _AHEAD]:
                futures.append(pool.submit(_call_each, function, task))
            yield from futures.popleft().result()
        pool.shutdown()
    except BrokenProcessPool:
        # One was killed, for want of memory perhaps: what is left is done here, one at a time.
        for task in tasks[done:]:
            yield from map(function, task)
    finally:
        ours.close()
        theirs.close()
        pool.shutdown(cancel_futures=True)


def _call_each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


def _end_with(pipe: Connection) -> None:
    """Let a process end at once, and without a word, when the other end of a pipe is closed.

    It is when nobody wants the results any more, and when the process that wanted them is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv_bytes()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
