"""Do what a page shows, in a fresh project, and hold what is printed against what is shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.markdown import Block

# Where the project of the pages is. What is printed names the real folder, which is replaced.
SHOWN_FOLDER = "/srv/nightly"
ANYTHING = "..."

needs_shell = pytest.mark.skipif(
    shutil.which("sh") is None or os.sep != "/", reason="needs a POSIX shell and paths with /"
)

_TIMEOUT_S = 60
_EXIT_CODE = re.compile(r" # exit code (\d+)$")
# What is different each time; both what is shown and what is printed are reduced to it.
_VARYING = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<run id>"),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"\b\d+:[0-9a-f]{8}\b", "<receipt>"),
        (r'"[0-9a-f]{8}"', '"<crc>"'),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{6}Z)?", "<time>"),
        (r"\b\d\d:\d\d:\d\d\b", "<time>"),
        (r"\b\d+(\.\d+)? s\b", "<duration>"),
        (r'("duration_(?:ms|s)": ?)[\d.]+', r"\1<duration>"),
        (r"\b[\d,]+ bytes\b", "<size>"),
        (r'("bytes": ?)\d+', r"\1<size>"),
        (r"(?<=\S) {2,}", "  "),
    )
]


@dataclass
class Command:
    """One line after `$ `, and what the page shows under it.

    Attributes:
        text: The line, for the shell; its comment `# exit code 1` says how it ends.
        shown: What it prints; empty: the page does not say.
    """

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """How it is to end."""
        found = _EXIT_CODE.search(self.text)
        return int(found[1]) if found else 0


def commands(block: Block) -> Iterator[Command]:
    """The commands of a `console` block; a line after `> ` goes on with the one before."""
    command: Command | None = None
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line.removeprefix("$ "))
        elif command is None:
            raise ValueError(f"line {block.line}: a console block begins with a command")
        elif line.startswith("> ") and not command.shown:
            command.text += "\n" + line.removeprefix("> ")
        else:
            command.shown.append(line)
    if command is not None:
        yield command


def differs(shown: list[str], printed: list[str]) -> bool:
    """Tell whether something else was printed than is shown.

    Ids, times, durations and sizes may be others. `...` stands for any text in a line, and alone
    for any lines.
    """
    return re.fullmatch(_pattern(shown), _reduced(printed)) is None


def _pattern(shown: list[str]) -> str:
    return "".join(map(_line_pattern, _reduced(shown).splitlines()))


def _line_pattern(line: str) -> str:
    if line == ANYTHING:
        return r"(?:.*\n)*?"
    return ".*".join(map(re.escape, line.split(ANYTHING))) + r"\n"


def _reduced(lines: list[str]) -> str:
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


class Project:
    """The folder of a reader who does what a page says, from its first block to its last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scripts = sysconfig.get_path("scripts")
        self._environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "LORCHESTRA_STATE_DIR": f"{folder}.state",
        }

    def perform(self, block: Block) -> None:
        """Write the block's file, run its commands, or skip it where it says so."""
        if reason := block.words.get("no-run"):
            pytest.skip(reason)
        if name := block.words.get("title"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in commands(block):
                self._check(command)
        elif block.language == "sh":
            self._check(Command(block.text), "sh", "-eu", "-c")
        elif block.language == "python" and "run" in block.words:
            self._check(Command(block.text), sys.executable, "-c")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; what it prints, on stdout and stderr, comes together."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )

    def _check(self, command: Command, *interpreter: str) -> None:
        ended = self.run(*(interpreter or ("sh", "-c")), command.text)
        printed = ended.stdout.replace(str(self.folder), SHOWN_FOLDER)
        if ended.returncode != command.exit_code:
            wrong = f"ends with exit code {ended.returncode}, not {command.exit_code}"
        elif command.shown and differs(command.shown, printed.splitlines()):
            wrong = "prints something else than is shown"
        else:
            return
        pytest.fail(f"$ {command.text}\n{printed}\n{wrong}", pytrace=False)
