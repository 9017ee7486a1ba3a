"""One attempt of one job as a process of its own: start it, wait for it, say how it ended.

What it prints goes straight into its log by the file descriptor, without passing through Python.
It leads a process group (and session) of its own, so that a Ctrl-C at the terminal reaches only
lorchestra, and that stopping it reaches what it started. Its standard input is empty.

How platforms differ in starting, stopping and accounting is here and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lorchestra.model import Outcome
from lorchestra.stop import Stop

if TYPE_CHECKING:
    import psutil

_IS_WINDOWS = sys.platform == "win32"
_GROUP_POLL_S = 0.05
_MAX_SHOWN = 1000


class Usage(NamedTuple):
    """What a process cost, where the system tells it."""

    cpu_s: float | None = None
    max_rss_kb: int | None = None


class ChildProcess:
    """A started process and its group. `ask_to_end` and `kill` may come from any thread, late too.

    Attributes:
        pid: Its process id.
        was_stopped: Whether it was asked to end, or killed, before it had ended.
        returncode: The exit code, or the negative number of the signal that ended it; None: it
            has not been waited for, or somebody else did that first.
    """

    def __init__(
        self,
        argv: Sequence[str] | str,
        *,
        log: int,
        env: Mapping[str, str],
        cwd: Path,
        stdin: int = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            argv: The program and its arguments; on Windows a line for `cmd` may be a text.
            log: The descriptor that its output and error output go to.
            env: Its whole environment.
            cwd: The folder it runs in.
            stdin: As for `subprocess.Popen`.
            inherited: Descriptors that it keeps open, besides the standard ones; not on Windows.

        Raises:
            OSError: It cannot be started.
            ValueError: An argument or variable holds a NUL byte.
        """
        self.was_stopped = False
        self.returncode: int | None = None
        self._is_reaped = False
        self._is_killed = False
        self.popen = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            shell=isinstance(argv, str),
            pass_fds=() if _IS_WINDOWS else inherited,
            start_new_session=not _IS_WINDOWS,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.pid = self.popen.pid

    def feed(self, text: bytes) -> None:
        """Write its input and close it, once; a process that ended before has lost nothing."""
        pipe = self.popen.stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError), pipe:
                pipe.write(text)

    def wait(self) -> Usage:
        """Wait until it has ended, and its group too if it was stopped; gives what it cost."""
        try:
            usage = self._wait_windows() if _IS_WINDOWS else self._wait_posix()
        except ChildProcessError:
            usage = Usage()
        self._is_reaped = True
        # Else it would look for the process when it is thrown away.
        self.popen.returncode = self.returncode or 0
        if self.was_stopped and not _IS_WINDOWS:
            self._wait_for_group()
        return usage

    def ask_to_end(self) -> None:
        """Send SIGTERM to the group; on Windows, where no such thing is, Ctrl-Break."""
        self._send(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))

    def kill(self) -> None:
        """Send SIGKILL to the group; on Windows, end the process."""
        self._is_killed = True
        if _IS_WINDOWS:
            self.popen.kill()
        else:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if not self._has_ended():
            self.was_stopped = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _IS_WINDOWS:
                self.popen.send_signal(number)
            elif self.was_stopped:
                os.killpg(self.pid, number)

    def _has_ended(self) -> bool:
        """Whether it has ended, even if its thread has not come to notice."""
        if self._is_reaped or not hasattr(os, "waitid"):
            return self._is_reaped
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return True
        return ended is not None

    def _wait_posix(self) -> Usage:
        if hasattr(os, "waitid"):
            # Until it is reaped, no other process can be given its pid: a signal sent in between
            # finds it, not a stranger.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self._is_reaped = True
        _, status, used = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        peak_kb = used.ru_maxrss // 1024 if sys.platform == "darwin" else used.ru_maxrss
        max_rss_kb = peak_kb if _is_own_peak(peak_kb) else None
        return Usage(round(used.ru_utime + used.ru_stime, 6), max_rss_kb)

    def _wait_windows(self) -> Usage:
        self.returncode = self.popen.wait()
        return Usage()

    def _wait_for_group(self) -> None:
        """Let what the stopped process started finish its own clean-up, until it is killed."""
        while not self._is_killed and _is_group_at_work(self.pid):
            time.sleep(_GROUP_POLL_S)


def _is_group_at_work(leader: int) -> bool:
    """Tell whether a process of the group still runs; one that nobody has reaped does not."""
    import psutil

    def is_member(pid: int) -> bool:
        try:
            return os.getpgid(pid) == leader and _has_not_ended(psutil.Process(pid))
        except (OSError, psutil.Error):
            return False

    return any(map(is_member, psutil.pids()))


def _has_not_ended(process: psutil.Process) -> bool:
    import psutil

    return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


_known_peak_kb = 0


def _is_own_peak(peak_kb: int) -> bool:
    """Tell whether so large a size was the child's own.

    Between fork and exec a child counts as large as its parent, so only more than that is.
    """
    global _known_peak_kb  # noqa: PLW0603 - it only grows, and is asked for only when it may have
    if peak_kb > _known_peak_kb:
        _known_peak_kb = _peak_kb()
    return peak_kb > _known_peak_kb


def _peak_kb() -> int:
    """The largest size that this process has had, in KiB.

    On Linux from proc(5): what getrusage says has the size of *our* parent in it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            status = Path("/proc/self/status").read_bytes()
            return int(status.partition(b"VmHWM:")[2].split(maxsplit=1)[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def shell_command(line: str) -> Sequence[str] | str:
    """How the system's shell is given one line."""
    return line if _IS_WINDOWS else ("/bin/sh", "-c", line)


def run_process(
    argv: Sequence[str] | str,
    *,
    log: int,
    env: Mapping[str, str],
    cwd: Path,
    stop: Stop,
    on_start: Callable[[int], object],
    stdin_text: bytes | None = None,
    inherited: Sequence[int] = (),
) -> Outcome:
    """Run a process to its end.

    Args:
        argv: The program and its arguments, or a line for the shell from `shell_command`.
        log: The descriptor that everything it prints goes to.
        env: Its whole environment.
        cwd: The folder it runs in.
        stop: What can stop it.
        on_start: Called with its pid.
        stdin_text: What it reads from its standard input; None: nothing.
        inherited: Descriptors that it keeps open, besides the standard ones; not on Windows.

    Returns:
        How it ended. A process that cannot be started has failed, and its log says why.
    """
    stdin = subprocess.DEVNULL if stdin_text is None else subprocess.PIPE
    try:
        process = ChildProcess(argv, log=log, env=env, cwd=cwd, stdin=stdin, inherited=inherited)
    except (OSError, ValueError) as error:
        reason = _why_not_started(argv, cwd, error)
        os.write(log, f"lorchestra: {reason}\n".encode())
        return Outcome("failed", error=reason)
    stop.enter(process)
    try:
        on_start(process.pid)
        if stdin_text is not None:
            process.feed(stdin_text)
    finally:
        # It must not wait for its input for ever when its start could not be recorded.
        process.feed(b"")
        usage = process.wait()
        stop.leave(process)
    return _outcome(process, usage)


def _outcome(process: ChildProcess, usage: Usage) -> Outcome:
    code = process.returncode
    if code is None:
        return Outcome("failed", error="its exit code is lost: something else waited for it")
    exit_code, number = (code, None) if code >= 0 else (None, -code)
    how_it_ended = f"exit code {code}" if number is None else f"signal {_signal_name(number)}"
    status, error = ("succeeded", None) if code == 0 else ("failed", how_it_ended)
    if process.was_stopped:
        status, error = "interrupted", f"stopped with the run ({how_it_ended})"
    return Outcome(
        status,
        exit_code=exit_code,
        signal=number,
        error=error,
        cpu_s=usage.cpu_s,
        max_rss_kb=usage.max_rss_kb,
    )


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _why_not_started(argv: Sequence[str] | str, cwd: Path, error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not os.path.isdir(cwd):
        return f"cannot start in the folder {str(cwd)[:_MAX_SHOWN]!r}: {reason}"
    program = argv if isinstance(argv, str) else argv[0]
    return f"cannot start {program[:_MAX_SHOWN]!r}: {reason}"
