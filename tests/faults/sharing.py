"""Faults that take long or need a process of their own: shared out to processes, and added up."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.harness import Result
from tests.scale import FULL, Scale

ROOT = Path(__file__).parents[2]
DYING = Path(__file__).with_name("dying.py")
# Last in the path: the store that is tested is the one that is installed.
_START = f"""
import sys
sys.path.append({str(ROOT)!r})
from tests.faults.sharing import main
main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


def shared_out(module: str, scale: Scale) -> Result:
    """Make all faults of a goal, whose module has `share(part, parts, scale)`.

    Args:
        module: The goal's module.
        scale: The full counts take a process for each processor; the reduced ones none.
    """
    if not scale.is_full:
        result: Result = importlib.import_module(module).share(0, 1, scale)
        return result
    parts = processors()
    start = [sys.executable, "-P", "-c", _START, module]
    printed = outputs_of([[*start, str(part), str(parts)] for part in range(parts)])
    return total(Result(**json.loads(text)) for text in printed)


def main(module: str, part: int, parts: int) -> None:
    """Make one part of the full count, and print the result."""
    print(json.dumps(asdict(importlib.import_module(module).share(part, parts, FULL))))


def total(results: Iterable[Result]) -> Result:
    """Add results up."""
    figures: dict[str, Any] = {}
    lost = undetected = false_alarms = 0
    for result in results:
        for name, value in result.figures.items():
            is_count = isinstance(value, int)
            figures[name] = figures.get(name, 0) + value if is_count else value
        lost += result.lost
        undetected += result.undetected
        false_alarms += result.false_alarms
    return Result(figures, lost, undetected, false_alarms)


def dying(name: str, arguments: Iterable[Sequence[object]]) -> Result:
    """Start a command of `dying.py` with each of these arguments, all at once, and add up."""
    return result_of([sys.executable, str(DYING), name, *map(str, each)] for each in arguments)


def result_of(commands: Iterable[Sequence[str]]) -> Result:
    """Run programs at the same time that each print what they counted, and add that up."""
    found: Counter[str] = Counter()
    for text in outputs_of(commands):
        found.update(json.loads(text))
    return counted(found)


def counted(found: Counter[str]) -> Result:
    """What was counted, as a result."""
    marks = {mark: found.pop(mark, 0) for mark in ("lost", "undetected", "false_alarms")}
    return Result(dict(found), **marks)


def outputs_of(commands: Iterable[Sequence[str]]) -> list[str]:
    """Run programs at the same time, and give what each has printed.

    Raises:
        AssertionError: One failed; why stands on the standard error.
    """
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        printed = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not any(process.returncode for process in processes)
    return printed


def needs_fork() -> str | None:
    """Why no process can be forked here; None: it can."""
    return None if hasattr(os, "fork") else "the system has no fork"


def processors() -> int:
    """How many processes are of use."""
    return os.cpu_count() or 1
