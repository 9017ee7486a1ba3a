"""One attempt of one job as a process of its own: start it, wait for it, say how it ended.

What it prints goes straight into its log by the file descriptor, without passing through Python.
It leads a process group (and session) of its own, so that a Ctrl-C at the terminal reaches only
lorchestra, and that stopping it reaches what it started; see `belonging` for what has left that
group. Its standard input is empty.

How platforms differ in starting, stopping and accounting is here and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lorchestra.belonging import belonging, has_not_ended
from lorchestra.context import MARKS, MARKS_OF_HOOKS
from lorchestra.deadline import Deadline, Limit
from lorchestra.model import Outcome
from lorchestra.stop import Cause, Stop
from lorchestra.wording import cut

if TYPE_CHECKING:
    import psutil

_IS_WINDOWS = sys.platform == "win32"
_REST_POLL_S = 0.05
_UNKILLABLE_S = 5.0
_MAX_SHOWN = 1000


class Usage(NamedTuple):
    """What a process cost, where the system tells it."""

    cpu_s: float | None = None
    max_rss_kb: int | None = None


class ChildProcess:
    """A started process and its group. `ask_to_end` and `kill` may come from any thread, late too.

    Attributes:
        pid: Its process id.
        stopped_by: Why it was asked to end, or killed, before it had ended; None: it was not.
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
        self.stopped_by: Cause | None = None
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
        self._env = env
        self._rest: set[psutil.Process] = set()

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
        return usage

    def ask_to_end(self, cause: Cause) -> None:
        """Send SIGTERM to the group; on Windows, where no such thing is, Ctrl-Break.

        What belongs to the job and has left the group is sent SIGTERM too.
        """
        if self._has_ended():
            return
        self.stopped_by = self.stopped_by or cause
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _IS_WINDOWS:
                self.popen.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
            else:
                os.killpg(self.pid, signal.SIGTERM)
        self._end_rest()

    def kill(self) -> None:
        """Send SIGKILL to the group and to what has left it, once it was asked to end."""
        self._is_killed = True
        if self.stopped_by is None or self._is_reaped:
            return
        rest = self._rest_now()  # first: what is left of its parents shows what belongs to it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _IS_WINDOWS:
                self.popen.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)
        self._end(rest)

    def _end_rest(self) -> bool:
        """End what is not in the group in the same way; tells whether anything is still there."""
        self._end(self._rest_now())
        return any(map(has_not_ended, self._rest))

    def _rest_now(self) -> set[psutil.Process]:
        """All processes of the job but the first."""
        names = MARKS if set(MARKS) <= self._env.keys() else MARKS_OF_HOOKS
        is_marked = set(names) <= self._env.keys()
        marks = {name: self._env[name] for name in names} if is_marked else {}
        return {each for each in belonging(self.pid, marks) if each.pid != self.pid}

    def _end(self, found: set[psutil.Process]) -> None:
        for process in found if self._is_killed else found - self._rest:
            with contextlib.suppress(psutil_error(), OSError):
                if self._is_killed:
                    process.kill()
                elif not self._is_in_group(process):
                    process.terminate()
        self._rest |= found

    def _is_in_group(self, process: psutil.Process) -> bool:
        return not _IS_WINDOWS and os.getpgid(process.pid) == self.pid

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
            self._wait_for_rest()
            self._is_reaped = True
        _, status, used = os.wait4(self.pid, 0)
        if not self._is_reaped:  # macOS
            self._is_reaped = True
            self._wait_for_rest()
        self.returncode = os.waitstatus_to_exitcode(status)
        peak_kb = used.ru_maxrss // 1024 if sys.platform == "darwin" else used.ru_maxrss
        max_rss_kb = peak_kb if _is_own_peak(peak_kb) else None
        return Usage(round(used.ru_utime + used.ru_stime, 6), max_rss_kb)

    def _wait_windows(self) -> Usage:
        self.returncode = self.popen.wait()
        self._wait_for_rest()
        return Usage()

    def _wait_for_rest(self) -> None:
        """Let what a stopped process started finish its own clean-up, until it is killed."""
        if self.stopped_by is None:
            return
        give_up_at: float | None = None
        while self._end_rest():
            if self._is_killed:
                # One that does not go even then waits for a device: nothing can be done.
                give_up_at = give_up_at or time.monotonic() + _UNKILLABLE_S
                if time.monotonic() > give_up_at:
                    return
            time.sleep(_REST_POLL_S)


def psutil_error() -> type[Exception]:
    """What psutil raises of a process that is gone, or another user's."""
    import psutil

    return psutil.Error


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


@contextlib.contextmanager
def empty_input() -> Iterator[int]:
    """A standard input for any number of processes, where there is nothing to read.

    It is opened once: `subprocess.DEVNULL` opens a file for each process.
    """
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def shell_command(line: str) -> Sequence[str] | str:
    """How the system's shell is given one line."""
    return line if _IS_WINDOWS else ("/bin/sh", "-c", line)


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and what it is given.

    Attributes:
        argv: The program and its arguments, or a line for the shell from `shell_command`.
        log: The descriptor that everything it prints goes to.
        env: Its whole environment.
        cwd: The folder it runs in.
        stdin_text: What it reads from its standard input; None: nothing.
        inherited: Descriptors that it keeps open, besides the standard ones; not on Windows.
        stdin: The descriptor of a file that is its standard input, instead of a text.
    """

    argv: Sequence[str] | str
    log: int
    env: Mapping[str, str]
    cwd: Path
    stdin_text: bytes | None = None
    inherited: Sequence[int] = ()
    stdin: int = subprocess.DEVNULL

    def start(self) -> ChildProcess:
        """Start it.

        Raises:
            OSError: It cannot be started.
            ValueError: An argument or variable holds a NUL byte.
        """
        stdin = self.stdin if self.stdin_text is None else subprocess.PIPE
        return ChildProcess(
            self.argv,
            log=self.log,
            env=self.env,
            cwd=self.cwd,
            stdin=stdin,
            inherited=self.inherited,
        )


def run_process(
    program: Program,
    stop: Stop,
    on_start: Callable[[int], object],
    limit: Limit | None = None,
) -> Outcome:
    """Run a process to its end.

    Args:
        program: What to start.
        stop: What can stop it.
        on_start: Called with its pid.
        limit: How long it may take; None: for ever.

    Returns:
        How it ended. A process that cannot be started has failed, and its log says why.
    """
    try:
        process = program.start()
    except (OSError, ValueError) as error:
        reason = _why_not_started(program.argv, program.cwd, error)
        os.write(program.log, f"lorchestra: {reason}\n".encode())
        return Outcome("failed", error=reason)
    stop.enter(process)
    with Deadline(limit, process):
        try:
            on_start(process.pid)
            if program.stdin_text is not None:
                process.feed(program.stdin_text)
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
    if process.stopped_by is not None:
        status, error = process.stopped_by.status, f"{process.stopped_by.text} ({how_it_ended})"
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
        return f"cannot start in the folder {cut(str(cwd), _MAX_SHOWN)!r}: {reason}"
    program = argv if isinstance(argv, str) else argv[0]
    return f"cannot start {cut(program, _MAX_SHOWN)!r}: {reason}"
