"""The Python of its own for one call, started as lorchestra starts it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lorchestra.call import child_command
from lorchestra.context import Identity
from lorchestra.model import Call
from tests.lorchestra.running import module


class Child:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"

    def run(self, target: str, **arguments: Any) -> subprocess.CompletedProcess[str]:
        argv, task = child_command(Call(target, arguments), self.folder)
        identity = Identity("r", "j", 1, "k").environment(str(self.output))
        return subprocess.run(
            argv,
            input=json.dumps(task),
            env={**os.environ, **identity},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


def test_what_a_function_returns_is_left_in_the_file(child: Child) -> None:
    ended = child.run("builtins:dict", rows=3)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert child.output.read_bytes() == b'{"rows":3}'


def test_nothing_returned_is_nothing_left(child: Child) -> None:
    assert child.run("builtins:print", sep="").returncode == 0
    assert not child.output.exists()


def test_an_error_is_left_there_too(child: Child) -> None:
    name = module(child.folder, "def f():\n    print('x')\n    raise ValueError('no rows')")
    ended = child.run(f"{name}:f")
    assert ended.returncode == 1
    assert json.loads(child.output.read_bytes()) == {"error": "ValueError: no rows"}
    assert ended.stdout.startswith("x\nTraceback")


def test_it_exits_as_the_function_says(child: Child) -> None:
    name = module(child.folder, "import sys\ndef f(code): sys.exit(code)")
    assert child.run(f"{name}:f", code=7).returncode == 7
    assert child.run(f"{name}:f", code="text").returncode == 1
    assert child.run(f"{name}:f", code=None).returncode == 0


def test_what_it_starts_and_leaves_running_prints_to_the_same_place(child: Child) -> None:
    name = module(
        child.folder,
        """
        import subprocess, threading, time
        def f():
            def late():
                time.sleep(0.1)
                print("late")
            threading.Thread(target=late).start()
            subprocess.run(["echo", "echoed"])
            print("returning")
        """,
    )
    assert child.run(f"{name}:f").stdout == "echoed\nreturning\nlate\n"
