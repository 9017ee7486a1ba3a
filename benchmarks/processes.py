"""Run whole programs, and see what they cost: wall time, processor time, memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a program cost.

    Attributes:
        wall_s: Seconds from its start to its end.
        cpu_s: Processor seconds of it and of all that it waited for.
        peak_kb: Largest resident size of it alone, in KiB.
    """

    wall_s: float
    cpu_s: float
    peak_kb: int


class ProgramFailedError(Exception):
    """A program that is to be timed did not do its work."""


def run_program(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    text: str = "",
    *,
    exit_code: int = 0,
) -> Cost:
    """Run a program to its end; what it prints is thrown away.

    Args:
        argv: The program and its arguments.
        cwd: The folder that it runs in.
        env: Variables over those of this process.
        text: What it reads from its standard input.
        exit_code: With what it has to exit.

    Raises:
        ProgramFailedError: It exited with something else; the message has what it printed.
    """
    with (cwd / "printed.txt").open("w+b") as printed:
        reader, writer = os.pipe()
        os.set_inheritable(reader, True)
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=reader,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        os.close(reader)
        with os.fdopen(writer, "w") as feed:
            feed.write(text)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != exit_code:
            printed.seek(0)
            tail = printed.read()[-2000:].decode(errors="replace")
            raise ProgramFailedError(f"{list(argv)} exited with {process.returncode}: {tail}")
    return Cost(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
