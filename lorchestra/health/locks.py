"""Whether locks hold here: tried with the guard itself, against another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lorchestra.health.finding import Finding
from runstore import GuardUnavailableError, RunStore

_PATIENCE_S = 30
_HELD, _FREE, _FAILED = 75, 0, 70
# What the other process does: it says by its exit code whether it got the guard.
_TRY = f"""\
import sys
from runstore import GuardTimeoutError, RunStore
try:
    with RunStore(sys.argv[1], "os", "filelock").create_run("probe"):
        pass
except GuardTimeoutError:
    sys.exit({_HELD})
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
    sys.exit({_FAILED})
"""
_ADVICE = "leave out --guard there, or set store to a folder on a local disk"


def check_locks(folder: Path) -> Iterator[Finding]:
    """Hold the guard of a store of our own, and let another process try for it, then and after.

    Args:
        folder: Where that store may be made.
    """
    path = folder / "guarded"
    try:
        with RunStore(path, "os", "filelock").create_run("probe"):
            held = _try(path)
    except GuardUnavailableError as error:
        yield Finding("locks", "problem", str(error), _ADVICE)
        return
    free = _try(path)
    for code, said in (held, free):
        if code not in {_HELD, _FREE}:
            text = f"another process could not try for one: {said or f'exit code {code}'}"
            yield Finding("locks", "problem", text, _ADVICE)
            return
    if held[0] == _FREE:
        text = "a lock that one process holds does not keep another one out"
        yield Finding("locks", "problem", text, _ADVICE)
    elif free[0] == _HELD:
        text = "a lock that nobody holds any more keeps others out"
        yield Finding("locks", "problem", text, _ADVICE)
    else:
        yield Finding("locks", "ok", "they keep another process out, and are free afterwards")


def _try(path: Path) -> tuple[int, str]:
    """How the other process ended, and what it said."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TRY, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _FAILED, f"it did not end in {_PATIENCE_S} s"
    return done.returncode, done.stdout.strip()
