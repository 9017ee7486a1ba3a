"""The interpreter, the packages, and the clock."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lorchestra.health.finding import Finding
from lorchestra.report.text import moment_of
from runstore import RunStore, start_token

_PACKAGES = ("lorchestra", "click", "filelock", "orjson", "portalocker", "psutil", "PyYAML")
_SKEW_S = 2.0  # file systems keep times in steps of up to two seconds
_PATIENCE_S = 5


def check_python() -> Iterator[Finding]:
    """Which interpreter and packages there are, and whether a process knows when it started."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    kind = "" if has_gil else ", free-threaded"
    what = f"{platform.python_implementation()} {platform.python_version()}{kind}"
    yield Finding("python", "ok", f"{what} on {platform.platform()}")
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "install lorchestra with pip, which brings them along"
        yield Finding("packages", "problem", f"not installed: {', '.join(missing)}", advice)
    else:
        yield Finding("packages", "ok", ", ".join(found))
    if start_token(os.getpid()) is None:
        text = "the system does not tell when this process started"
        advice = "a run whose pid is in use again may be taken for alive: repair or prune by hand"
        yield Finding("processes", "note", text, advice)
    else:
        yield Finding("processes", "ok", "a killed run can be told from one at work")


def check_clock(folder: Path, store: RunStore | None) -> Iterator[Finding]:
    """Whether this machine's clock agrees with the file system's, the records', and the network's.

    Args:
        folder: Where a file may be made.
        store: Whose newest run is looked at; None: there is none.
    """
    notes = [*_of_file_system(folder), *_of_records(store)]
    if _is_synchronized() is False:
        advice = "switch that on (timedatectl set-ntp true): times in records are this clock's"
        notes.append(Finding("clock", "note", "it is not set by the network (NTP)", advice))
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    yield from notes or [Finding("clock", "ok", now)]


def _of_file_system(folder: Path) -> Iterator[Finding]:
    probe = folder / "clock"
    before = time.time()
    probe.write_bytes(b"x")
    skew_s = probe.stat().st_mtime - before
    if abs(skew_s) > _SKEW_S:
        where = "ahead" if skew_s > 0 else "behind"
        text = f"the file system's clock is {abs(skew_s):,.0f} s {where}"
        yield Finding("clock", "note", text, "let both machines take the time from one place (NTP)")


def _of_records(store: RunStore | None) -> Iterator[Finding]:
    newest = None if store is None else next(store.runs(), None)
    began = None if newest is None else moment_of(newest.started)
    if began is not None and (ahead_s := (began - datetime.now(UTC)).total_seconds()) > _SKEW_S:
        text = f"the newest run began {ahead_s:,.0f} s from now"
        advice = "set the clock: until then, new runs are listed before that one"
        yield Finding("clock", "note", text, advice)


def _is_synchronized() -> bool | None:
    """Whether the system sets its clock by the network; None: it does not say."""
    program = shutil.which("timedatectl")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "show", "--property=NTPSynchronized", "--value"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())
