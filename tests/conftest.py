"""What every test gets: an environment of its own, and a check that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker

import pytest
from hypothesis import settings

from tests.leaks import nothing_left_behind

# Each changes what the program does or how it prints, and is set on one machine and not on another.
FOREIGN = (
    *("CI", "COLUMNS", "FORCE_COLOR", "GITLAB_CI", "LINES", "NO_COLOR", "PY_COLORS"),
    *("TF_BUILD", "TTY_COMPATIBLE"),
)
FOREIGN_PREFIXES = ("LORCHESTRA_", "GITHUB_")

# Who starts the tests in the background of a script hands them an ignored SIGINT, which they would
# hand on; `default_int_handler` is one, so that what they start begins with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# And `nohup` an ignored SIGHUP.
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Processes that are started by `spawn` have one that looks after what they share. It stays, with
# its pipe, for as long as this process.
if sys.platform != "win32":
    resource_tracker.ensure_running()

# A busy machine is no fault of the code.
settings.register_profile("lorchestra", deadline=None)
settings.load_profile("lorchestra")


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail the test that leaves a descriptor open or a thread running."""
    with nothing_left_behind():
        yield


@pytest.fixture(autouse=True)
def own_environment(no_leaks: None) -> Iterator[None]:
    """Take out of the environment what would make a test depend on who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in FOREIGN or name.startswith(FOREIGN_PREFIXES):
                patch.delenv(name)
        yield
