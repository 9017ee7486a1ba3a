"""Ctrl-C and SIGTERM become a request to stop, whatever the main thread is doing.

A handler in Python runs between two instructions of the main thread, which may hold the very lock
that it needs. So the handlers do nothing; the interpreter writes the signal's number into a socket
(`signal.set_wakeup_fd`), and a thread that waits there does the work.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

from lorchestra.errors import Interrupted
from lorchestra.stop import GRACE_S, Stop

# SIGHUP comes when the terminal is closed; Windows has SIGBREAK (Ctrl-Break).
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
_NO_SIGNAL = b"\0"

Result = TypeVar("Result")


class Interruptible:
    """Where the main thread calls a function of the user, in which Ctrl-C is to raise.

    Everywhere else an exception out of nowhere could tear a record.

    Attributes:
        signal: The number of the first signal that came; None: none did.
        interrupted: Whether one came before the last call had ended.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.interrupted = False
        self._inside = False
        self._came = 0

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in which a signal raises KeyboardInterrupt, one that just came too."""
        try:
            self._inside = True
            if self._came:
                raise KeyboardInterrupt
            return function()
        finally:
            self._inside = False
            self.interrupted = self._came > 0

    def wait(self, function: Callable[[], Result]) -> Result:
        """Call one of ours that may wait for long; a signal ends it.

        Raises:
            Interrupted: One came, before or meanwhile.
        """
        if threading.current_thread() is not threading.main_thread():
            return function()
        try:
            return self.call(function)
        except KeyboardInterrupt:
            if self.signal is None:
                raise
            raise Interrupted(self.signal) from None

    def shield(self, function: Callable[[], Result]) -> Result:
        """Call, from the user's function, one of ours that must not be torn; then let raise."""
        if threading.current_thread() is not threading.main_thread():
            return function()
        came, was_inside = self._came, self._inside
        self._inside = False
        try:
            return function()
        finally:
            self._inside = was_inside
            if was_inside and self._came > came:
                raise KeyboardInterrupt

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt in the user's function; elsewhere only note that it came."""
        self.signal = self.signal or number
        self._came += 1
        if self._inside:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stop_on_signals(
    stop: Stop,
    interruptible: Interruptible,
    grace_s: float = GRACE_S,
    on_first: Callable[[int], object] | None = None,
) -> Iterator[None]:
    """Let SIGINT and SIGTERM stop a run, while the context lasts.

    Outside the main thread, where Python gives no signals, it does nothing.

    Args:
        stop: What is told.
        interruptible: Where the main thread may be interrupted.
        grace_s: Seconds from the first signal until what still runs is killed; a second signal
            does that at once.
        on_first: Called with the number of the first signal, from another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    handlers = {
        number: signal.signal(number, interruptible.on_signal)
        for number in SIGNALS
        if not _is_to_be_ignored(number)
    }
    handlers |= _keep_exit_codes()
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(
        target=_watch,
        args=(receiver, stop, grace_s, on_first),
        name="lorchestra-signals",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sender.setblocking(True)
        sender.sendall(_NO_SIGNAL)
        watcher.join()
        sender.close()
        receiver.close()


def _is_to_be_ignored(number: int) -> bool:
    """Whether a process is to outlive its terminal: `nohup` says so."""
    is_hangup = number == getattr(signal, "SIGHUP", None)
    return is_hangup and signal.getsignal(number) is signal.SIG_IGN


def _keep_exit_codes() -> dict[int, Any]:
    """Where SIGCHLD is ignored, which processes inherit, the system forgets how children end."""
    number = getattr(signal, "SIGCHLD", None)
    if number is None or signal.getsignal(number) is not signal.SIG_IGN:
        return {}
    return {number: signal.signal(number, signal.SIG_DFL)}


def _watch(
    receiver: socket.socket,
    stop: Stop,
    grace_s: float,
    on_first: Callable[[int], object] | None,
) -> None:
    """Pass signals on until the context ends."""
    kill_at: float | None = None
    is_first = True
    while True:
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select([receiver], [], [], timeout)
        if not ready:
            stop.force()
            kill_at = None
            continue
        for number in receiver.recv(64):
            if number == _NO_SIGNAL[0]:
                return
            if number not in SIGNALS:
                continue
            if is_first:
                stop.request(number)
                kill_at = time.monotonic() + grace_s
                is_first = False
                if on_first is not None:
                    on_first(number)
            else:
                stop.force()
                kill_at = None
