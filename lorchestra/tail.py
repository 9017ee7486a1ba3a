"""The last bytes of what a process prints; all that came before is read and thrown away."""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 1 << 16
_CHUNKS_IN_PIPE = 2  # at most, once the process has ended
_WAKE_S = 0.01


class Tail:
    """A pipe that is read while the context lasts.

    Attributes:
        descriptor: What a process is given to print to.
        content: The last bytes that came, once the context has been left; line feeds may follow.
    """

    def __init__(self, most_bytes: int) -> None:
        """Keep so many bytes."""
        self.content = b""
        self._most_bytes = most_bytes
        self._is_over = False
        self._source, self.descriptor = os.pipe()
        self._reader = threading.Thread(target=self._read, name="lorchestra-tail", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        if hasattr(os, "set_blocking"):
            os.set_blocking(self.descriptor, False)
        # What the process has left in the background may keep the pipe open, and nobody waits for
        # that: the reader is woken. Where the pipe is full, it has enough to read.
        while self._reader.is_alive():
            with contextlib.suppress(BlockingIOError):
                os.write(self.descriptor, b"\n")
            self._reader.join(_WAKE_S)
        os.close(self.descriptor)
        os.close(self._source)

    def _read(self) -> None:
        left = _CHUNKS_IN_PIPE
        while left:
            is_over = self._is_over  # then all that the process has printed is in the pipe
            chunk = os.read(self._source, _CHUNK_BYTES)
            self.content = (self.content + chunk)[-self._most_bytes :]
            if is_over:
                left = left - 1 if len(chunk) == _CHUNK_BYTES else 0
