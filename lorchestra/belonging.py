"""Find all processes of an attempt, also those that left its group or were orphaned.

A process belongs to an attempt when it is in the group or session that its first process leads,
when one that belongs has started it, or when it has the attempt's variables in its environment,
which every process inherits. One that has done all it can to get away is not found: a session of
its own, a parent that has ended, and another environment.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def belonging(leader: int, marks: Mapping[str, str]) -> list[psutil.Process]:
    """The processes of an attempt that have not ended, its first one among them.

    Args:
        leader: The pid of its first process, which leads a group and a session. It must not have
            been given to another process: it has not ended, or nobody has waited for it.
        marks: Variables that are in the environment of no other process.

    Costs a look at every process of the system: some 10 ms for 300 of them.
    """
    import psutil

    processes = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    for process in processes:
        with suppress(psutil.Error):
            children[process.ppid()].append(process)
    found: dict[int, psutil.Process] = {}
    new = [process for process in processes if _is_marked(process, leader, marks)]
    while new:
        found.update((process.pid, process) for process in new)
        new = [
            child
            for parent in new
            for child in children[parent.pid]
            if child.pid not in found and _is_younger(child, parent)
        ]
    return [process for process in found.values() if has_not_ended(process)]


def has_not_ended(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that nobody has waited for yet does not."""
    import psutil

    try:
        return process.is_running() and process.status() not in {
            psutil.STATUS_ZOMBIE,
            psutil.STATUS_DEAD,
        }
    except psutil.Error:
        return False


def _is_younger(child: psutil.Process, parent: psutil.Process) -> bool:
    """Tell whether a process can have been started by another, and not by one with its old pid."""
    import psutil

    try:
        return child.create_time() >= parent.create_time()
    except psutil.Error:
        return False


def _is_marked(process: psutil.Process, leader: int, marks: Mapping[str, str]) -> bool:
    if process.pid == leader:
        return True
    ids: Iterator[Callable[[int], int]] = (
        getattr(os, name) for name in ("getpgid", "getsid") if hasattr(os, name)
    )
    with suppress(OSError):
        if any(of(process.pid) == leader for of in ids):
            return True
    return bool(marks) and _has_in_environment(process, marks)


def _has_in_environment(process: psutil.Process, marks: Mapping[str, str]) -> bool:
    import psutil

    try:
        environment = process.environ()
    except (psutil.Error, OSError):  # of another user, or it has just ended
        return False
    return all(environment.get(name) == value for name, value in marks.items())
