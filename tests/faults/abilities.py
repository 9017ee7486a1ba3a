"""A plugin for pytest: a test that needs what its file system has not is skipped, with the reason.

exFAT has no links, no pipes and no sockets with a name. A test that makes one to show how the store
treats it has nothing to show there.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
from collections.abc import Callable, Generator
from typing import Any

import pytest

# What the systems say; EIO is the word of exfat-fuse.
REFUSALS = {errno.EIO, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


class LackingError(OSError):
    """The file system has no such thing."""


def pytest_configure() -> None:
    """Let what is refused be told apart from what fails."""
    make_telling(os, "symlink", "links")
    make_telling(os, "mkfifo", "pipes with a name")
    make_telling(socket.socket, "bind", "sockets with a path")


def make_telling(owner: Any, name: str, what: str) -> None:
    """Let a function raise `LackingError` where the file system refuses what it makes."""
    real: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(real)
    def telling(*args: Any, **kwargs: Any) -> Any:
        try:
            return real(*args, **kwargs)
        except OSError as error:
            if error.errno in REFUSALS:
                raise LackingError(error.errno, f"the file system has no {what}") from error
            raise

    setattr(owner, name, telling)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    """Skip the test whose fixtures need what there is not."""
    return (yield from skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Skip the test that needs what there is not."""
    return (yield from skipping())


def skipping() -> Generator[None, Any, Any]:
    """Let go on what was to be done; what it lacks is the reason to skip it."""
    try:
        return (yield)
    except LackingError as error:
        pytest.skip(str(error.strerror))
