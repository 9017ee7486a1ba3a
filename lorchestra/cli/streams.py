"""The standard streams: there from the start, for data alone in a run, quiet when they fail."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO


def open_missing() -> None:
    """Lead the standard streams that are closed to nowhere.

    Else a file of records could get the number 1 or 2, and what somebody prints end up in it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is given, and those below are open by now.
            null, mode = os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"
            setattr(sys, name, open(null, mode, encoding="utf-8"))  # noqa: SIM115 - to the end


@contextlib.contextmanager
def only_data_on_stdout() -> Iterator[BinaryIO]:
    """Give what is stdout now, and send all else that is printed there to stderr meanwhile.

    A function of a job can write to descriptor 1 itself, or start a program that does, and who
    reads our JSON must not find that in it.
    """
    sys.stdout.flush()
    with open(os.dup(1), "wb") as data:
        os.dup2(2, 1)
        try:
            yield data
        finally:
            sys.stdout.flush()
            os.dup2(data.fileno(), 1)


def let_go(descriptor: int) -> None:
    """Lead a stream that fails to nowhere: the interpreter would complain of it at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
