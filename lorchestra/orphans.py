"""Processes of a killed run's jobs that are still at work: find them, wait for them, stop them.

A job's record names its process by pid and start token, so a pid that was used again is not taken
for it. What such a process has started, and one that was killed for before its record was written,
is found by the variables that every job gets.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from lorchestra.context import ATTEMPT, JOB_ID, RUN_ID
from lorchestra.errors import OrphansError
from lorchestra.stop import GRACE_S
from runstore import RunView, start_token

OrphanRule = Literal["fail", "wait", "kill"]
WHAT_TO_DO = "a resume waits for them with --orphans wait, and stops them with --orphans kill"

_POLL_S = 0.2
_KILL_PATIENCE_S = 10.0


class Orphan(NamedTuple):
    """A process of an attempt that the end of its run did not end."""

    job_id: str
    attempt: int
    pid: int
    token: str


def find_orphans(view: RunView) -> list[Orphan]:
    """The processes of attempts without an end that are still at work, in the order of their jobs.

    Args:
        view: A run whose own process is gone.

    Costs a pass over the records, and a look at every process of this user, if there are such
    attempts.
    """
    unended = {
        (job.id, attempt.number): order
        for order, job in enumerate(view.jobs.values())
        for attempt in job.attempts
        if attempt.ended is None
    }
    if not unended:
        return []
    found = {orphan.pid: orphan for orphan in _by_environment(view.id)}
    found |= {orphan.pid: orphan for orphan in _by_record(view)}
    at_work = [orphan for orphan in found.values() if orphan[:2] in unended]
    return sorted(at_work, key=lambda orphan: (unended[orphan[:2]], orphan.attempt, orphan.pid))


def clear_orphans(
    view: RunView,
    rule: OrphanRule,
    tell: Callable[[Orphan], object],
    *,
    grace_s: float = GRACE_S,
    at_most_s: float | None = None,
) -> None:
    """Return when none is at work any more.

    Args:
        view: A run whose own process is gone.
        rule: `fail`: raise if there are any. `wait`: wait until they have ended. `kill`: ask them
            to end, and kill them when the grace is over.
        tell: Called once with each that is waited for or stopped.
        grace_s: How long they have to end, in seconds.
        at_most_s: How long to wait for them, in seconds; None: for ever.

    Raises:
        OrphansError: There are some, and the rule is `fail`; or some cannot be killed, or have not
            ended in time.
    """
    told: set[Orphan] = set()
    deadline = None if at_most_s is None else time.monotonic() + at_most_s
    while orphans := find_orphans(view):
        if rule == "fail":
            raise OrphansError(view.id, [orphan[:3] for orphan in orphans], WHAT_TO_DO)
        for orphan in orphans:
            if orphan not in told:
                told.add(orphan)
                tell(orphan)
        if rule == "kill":
            _stop(view.id, orphans, grace_s)
        elif not _wait(orphans, None if deadline is None else deadline - time.monotonic()):
            left = [orphan[:3] for orphan in orphans if _is_at_work(orphan)]
            raise OrphansError(view.id, left, "they have not ended in the time of the whole run")


def _stop(run_id: str, orphans: list[Orphan], grace_s: float) -> None:
    _send(orphans, signal.SIGTERM)
    if _wait(orphans, grace_s):
        return
    _send(orphans, getattr(signal, "SIGKILL", signal.SIGTERM))
    if not _wait(orphans, _KILL_PATIENCE_S):
        left = [orphan[:3] for orphan in orphans if _is_at_work(orphan)]
        raise OrphansError(run_id, left, "they cannot be killed")


def _wait(orphans: list[Orphan], at_most_s: float | None = None) -> bool:
    """Wait until all have ended; False: the time is over."""
    deadline = None if at_most_s is None else time.monotonic() + at_most_s
    while any(map(_is_at_work, orphans)):
        if deadline is not None and time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_at_work(orphan: Orphan) -> bool:
    return start_token(orphan.pid) == orphan.token


def _send(orphans: Iterable[Orphan], number: int) -> None:
    """Send a signal to each, and to its group if it leads one."""
    for orphan in filter(_is_at_work, orphans):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32" and os.getpgid(orphan.pid) == orphan.pid:
                os.killpg(orphan.pid, number)
            else:
                os.kill(orphan.pid, number)


def _by_record(view: RunView) -> Iterator[Orphan]:
    for record in view.records():
        pid, token = record.get("pid"), record.get("token")
        if record["event"] == "process" and type(pid) is int and isinstance(token, str) and pid > 0:
            orphan = Orphan(record["job"], record["attempt"], pid, token)
            if token and _is_at_work(orphan):
                yield orphan


def _by_environment(run_id: str) -> Iterator[Orphan]:
    import psutil

    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
            variables = process.environ()
            if variables.get(RUN_ID) == run_id:
                attempt, token = int(variables[ATTEMPT]), start_token(process.pid)
                if token:
                    yield Orphan(variables[JOB_ID], attempt, process.pid, token)
