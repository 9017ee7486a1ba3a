"""On Windows, processes of jobs end with lorchestra, however that ends.

No descriptor of the guard can be handed to a process there, so that a guard could be free while a
job of a killed run is still at work. Instead this process enters a Job Object, and with it all that
it starts from then on; when its last handle is closed, which the system does when this process is
gone, what is in it is ended (`JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE`). A run that ends by itself takes
the rule back, and what its jobs have left in the background stays.

Nested Job Objects take Windows 8 or later. This has been tested against a simulation only.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol


class Kernel(Protocol):
    """What is needed of the system. Each call raises OSError when it fails."""

    def create(self) -> int:
        """Make a Job Object; gives its handle."""

    def end_with_handle(self, handle: int, *, does: bool) -> None:
        """Say whether what is in it ends when its last handle is closed."""

    def enter(self, handle: int) -> None:
        """Put this process into it."""

    def close(self, handle: int) -> None:
        """Close the handle."""


@contextlib.contextmanager
def ending_with_us(kernel: Kernel | None = None) -> Iterator[None]:
    """Let processes started in the context end with this one, where the system is Windows.

    Args:
        kernel: The system; None: the real one, and nothing at all on others.
    """
    kernel = kernel or _windows()
    if kernel is None:
        yield
        return
    handle = kernel.create()
    try:
        kernel.end_with_handle(handle, does=True)
        kernel.enter(handle)
        yield
    finally:
        # First: this process is in it, and would end with the handle.
        with contextlib.suppress(OSError):
            kernel.end_with_handle(handle, does=False)
            kernel.close(handle)


def _windows() -> Kernel | None:
    if sys.platform != "win32":
        return None
    import ctypes
    from ctypes import wintypes

    extended_limits, kill_on_close = 9, 0x2000
    size_t = ctypes.c_size_t

    class Basic(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
            ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", size_t),
            ("MaximumWorkingSetSize", size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class Extended(ctypes.Structure):
        _fields_ = (
            ("BasicLimitInformation", Basic),
            ("IoInfo", ctypes.c_ulonglong * 6),
            ("ProcessMemoryLimit", size_t),
            ("JobMemoryLimit", size_t),
            ("PeakProcessMemoryUsed", size_t),
            ("PeakJobMemoryUsed", size_t),
        )

    library = ctypes.WinDLL("kernel32", use_last_error=True)
    library.CreateJobObjectW.restype = wintypes.HANDLE
    library.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
    library.SetInformationJobObject.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        wintypes.LPVOID,
        wintypes.DWORD,
    )
    library.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    library.GetCurrentProcess.restype = wintypes.HANDLE
    library.CloseHandle.argtypes = (wintypes.HANDLE,)

    def checked(result: int | None) -> int:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result

    class Real:
        def create(self) -> int:
            return checked(library.CreateJobObjectW(None, None))

        def end_with_handle(self, handle: int, *, does: bool) -> None:
            limits = Extended()
            limits.BasicLimitInformation.LimitFlags = kill_on_close if does else 0
            checked(
                library.SetInformationJobObject(
                    handle, extended_limits, ctypes.byref(limits), ctypes.sizeof(limits)
                )
            )

        def enter(self, handle: int) -> None:
            checked(library.AssignProcessToJobObject(handle, library.GetCurrentProcess()))

        def close(self, handle: int) -> None:
            checked(library.CloseHandle(handle))

    return Real()
