"""How far long work is: a line on a terminal, not before a second has passed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lorchestra.cli.streams import let_go

_CLEARED = "\x1b[K"  # from the cursor to the end of the line
_PATIENCE_S = 1.0


class Counter:
    """A line that is written anew each second and gone at the end: a context manager.

    Where stderr is no terminal, nothing is written.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._is_shown = False

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how much is done of how much."""
        now = time.monotonic()
        if not self._is_terminal or now - self._shown_at < _PATIENCE_S:
            return
        self._shown_at = now
        self._is_shown = True
        self._write(f"\r{what} {done:,} of {total:,}{_CLEARED}")

    def counting(self, what: str, total: int) -> Callable[[object], None]:
        """Make a function that is called before each of so many."""
        done = 0

        def begin(_each: object) -> None:
            nonlocal done
            done += 1
            self.tell(what, done, total)

        return begin

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            let_go(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_shown:
            self._write(f"\r{_CLEARED}")
