"""A file system in memory of which one operation fails, once or ever after, in any way there is."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.memory import MemoryOs

# What writes, and what only reads: the kinds of operations that can fail.
WRITING = frozenset({"open", "write", "fdatasync", "fsync", "close", "mkdir", "rename", "unlink"})
READING = frozenset({"open", "read", "close", "listdir", "lstat", "fstat"})


@dataclass(frozen=True, slots=True)
class Failure:
    """How an operation fails.

    Attributes:
        number: Which one of them, from 1.
        error: Its `errno`; 0: it is a write that is cut short.
        for_ever: Whether all later ones of its kind fail too.
        kept: How much of a write that is cut short is written: of its bytes from 0.0 to 1.0, but
            never all.
    """

    number: int
    error: int
    for_ever: bool = False
    kept: float = 0.5


class FailingOs(MemoryOs):
    """What `runstore.files` needs of the module `os`, with one failure.

    Attributes:
        steps: How many operations there were of the kinds that can fail.
        tried_again: What must not be: writes and syncs of a file, or syncs of a folder, after one
            of the same has failed.
    """

    def __init__(self, failure: Failure | None = None, kinds: frozenset[str] = WRITING) -> None:
        super().__init__()
        self.failure = failure
        self.steps = 0
        self.tried_again: list[str] = []
        self._kinds = kinds
        self._failed_kind = ""
        self._spoilt: set[tuple[str, Any]] = set()
