"""Which process wrote something, and whether it is still there.

A pid alone tells little: the system gives it to another process later. The start token, taken from
the system's own record of when the process began, tells the two apart.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from typing import Any, NamedTuple


class Owner(NamedTuple):
    """A process of a machine: host name, pid, and start token."""

    host: str
    pid: int
    token: str

    def fields(self) -> dict[str, Any]:
        """The owner as records hold it."""
        return {"host": self.host, "pid": self.pid, "token": self.token}


def owner_in(fields: dict[str, Any]) -> Owner | None:
    """The owner that a record names; None when it names none, or in no form that can be used."""
    host, pid, token = fields.get("host"), fields.get("pid"), fields.get("token")
    if isinstance(host, str) and type(pid) is int and isinstance(token, str) and 0 < pid < 2**31:
        return Owner(host, pid, token)
    return None


def this_process() -> Owner:
    """The process that calls."""
    pid = os.getpid()
    return Owner(_host(), pid, start_token(pid) or "")


def start_token(pid: int) -> str | None:
    """The start token of a process of this machine; None when there is none that still runs.

    On Linux: the boot, and the clock ticks from it to the start of the process (proc(5), `stat`,
    field 22). Elsewhere: the moment it began, from psutil. A zombie has ended.
    """
    return _token_linux(pid) if sys.platform == "linux" else _token_psutil(pid)


_written_here: set[str] = set()


def run_opened(run_id: str) -> None:
    """Note that this process writes a run."""
    _written_here.add(run_id)


def run_closed(run_id: str) -> None:
    """Note that this process writes a run no more, whether it has an `end` or not."""
    _written_here.discard(run_id)


def is_at_work(owner: Owner, run_id: str) -> bool | None:
    """Tell whether the process that wrote a run may write more of it.

    Of this process that is known exactly. Another one of this machine is at work on the run as
    long as it lives.

    Returns:
        None when it cannot be seen from here: for a process of another host, and where the system
        gave no start token.
    """
    if owner.pid == os.getpid() and owner == this_process():
        return run_id in _written_here
    return is_alive(owner)


def is_alive(owner: Owner) -> bool | None:
    """Tell whether a process still runs; None when that cannot be seen from here.

    That is so for a process of another host, and where the system gave no start token.
    """
    if owner.host != _host() or not owner.token:
        return None
    return start_token(owner.pid) == owner.token


@functools.cache
def _host() -> str:
    return socket.gethostname()


def _content(path: str) -> bytes:
    """Read a file of proc(5), which gives up to 4 KiB at once, without the cost of a buffer."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _token_linux(pid: int) -> str | None:
    try:
        stat = _content(f"/proc/{pid}/stat")
    except OSError:
        return None
    # The name, in parentheses, may itself hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in {b"Z", b"X"}:
        return None
    return f"{_boot()}-{int(fields[19]):x}"


@functools.cache
def _boot() -> str:
    try:
        return _content("/proc/sys/kernel/random/boot_id")[:8].decode("ascii")
    except OSError:
        return "0"


def _token_psutil(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.6f}"
    except psutil.Error:
        return None
