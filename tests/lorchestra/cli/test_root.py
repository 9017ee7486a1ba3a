"""The program: its help, its version, and how errors become exit codes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import lorchestra
from lorchestra import __main__ as program
from lorchestra import cli
from lorchestra.cli import root
from tests.lorchestra.cli.commands import Project


def commands(name: str = "", command: click.Command = root.root) -> Iterator[tuple[str, ...]]:
    """Every command there is, as the words that call it."""
    path = tuple(name.split())
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(f"{name} {child}", found)


def command_of(words: tuple[str, ...]) -> click.Command:
    command: click.Command = root.root
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


COMMANDS = list(commands())
of_every_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


# Help


def test_the_commands_are_those_that_the_program_lists(project: Project) -> None:
    names = {words[0] for words in COMMANDS if words}
    assert names == {
        *("pipeline", "plan", "validate", "graph", "schema", "jobs", "runs", "explain"),
        *("runstore", "init", "schedule", "completion", "doctor"),
    }
    listed = project("--help").out.partition("Commands:")[2].split("\n")
    assert {line.split()[0] for line in listed if line.strip()} == names


@of_every_command
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_goes_to_stdout(project: Project, words: tuple[str, ...], option: str) -> None:
    done = project(*words, option)
    assert (done.code, done.stderr) == (0, b"")
    assert done.out.startswith(" ".join(["Usage: lorchestra", *words, "["]))
    assert max(map(len, done.out.splitlines())) <= 80


@of_every_command
def test_the_help_tells_what_a_command_is_for_and_what_each_option_does(
    project: Project, words: tuple[str, ...]
) -> None:
    command = command_of(words)
    told = " ".join(project(*words, "--help").out.split())
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help
            assert option.help.rstrip().endswith((".", "]"))
            assert " ".join(option.help.replace("\b", "").split()) in told
            for spelling in (*option.opts, *option.secondary_opts):
                assert spelling in told


@of_every_command
def test_no_short_help_is_cut(project: Project, words: tuple[str, ...]) -> None:
    assert "..." not in project(*words, "--help").out.partition("Commands:")[2]


# Version


def test_the_version_is_the_same_both_ways(
    project: Project,
) -> None:
    by_click = project("--version")
    assert by_click.code == 0
    assert by_click.out == f"lorchestra {lorchestra.__version__}\n"
    by_program = project.process("--version")
    assert (by_program.code, by_program.stdout) == (0, by_click.stdout)


def test_the_version_costs_no_import_of_click(project: Project) -> None:
    source = (
        "import sys; sys.argv[1:] = ['--version']; from lorchestra.__main__ import main; main();"
        "assert not {'click', 'orjson', 'yaml'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"lorchestra ")


# The program


@pytest.mark.parametrize("line", ["--help", "pipeline nothing", "pipeline p --dry-run --json"])
def test_the_script_and_the_module_are_the_same_program(project: Project, line: str) -> None:
    script = shutil.which("lorchestra", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the project is not installed with its script")
    project.pipeline({"a": "true"})
    done = subprocess.run([script, *line.split()], capture_output=True, check=False)
    module = project.process(*line.split())
    assert (done.returncode, done.stdout, done.stderr) == (
        module.code,
        module.stdout,
        module.stderr,
    )


def test_the_program_exits_with_the_code_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["lorchestra", "runs", "list"])
    monkeypatch.setattr(cli, "run", lambda: 75)
    with pytest.raises(SystemExit) as exit_:
        program.main()
    assert exit_.value.code == 75


def test_ctrl_c_while_the_program_is_loaded_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["lorchestra", "runs", "list"])
    monkeypatch.setattr(cli, "run", interrupted)
    with pytest.raises(SystemExit) as exit_:
        program.main()
    assert exit_.value.code == 130


# Errors


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raise_it(*_: object) -> None:
        raise error

    monkeypatch.setattr("lorchestra.cli.validate._check", raise_it)


def test_a_bug_keeps_its_traceback(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        project("validate", "p")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "lorchestra: interrupted\n"),
        (SystemExit(5), 5, ""),
        (SystemExit(), 0, ""),
        (PermissionError(13, "Permission denied", "x/y"), 3,
         "lorchestra: the store cannot be used: x/y: Permission denied\n"),
        (OSError("something"), 3, "lorchestra: the store cannot be used: something\n"),
    ],
)  # fmt: skip
def test_what_is_raised_becomes_a_code_and_a_line(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    text: str,
) -> None:
    raising(monkeypatch, error)
    done = project("validate", "p")
    assert (done.code, done.stdout) == (code, b"")
    assert done.err.lstrip("\n") == text


def test_every_error_of_the_store_has_a_code(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runstore

    codes = {
        runstore.RecordError("r"): 2,
        runstore.RunNotFoundError("r", "s"): 2,
        runstore.StoreNotFoundError("s"): 3,
        runstore.StoreFormatError("s", "f", "v"): 3,
        runstore.CorruptSegmentError("s", 1, "r"): 3,
        runstore.SegmentPoisonedError("s", "r"): 3,
        runstore.GuardTimeoutError("s", 0.0, {}): 75,
        runstore.RunIsAliveError("r", "h", 1): 75,
        runstore.RunDamagedError("r", "f"): 3,
        runstore.RunNotEndedError("r"): 3,
        runstore.GuardUnavailableError("filelock"): 3,
    }
    for error, code in codes.items():
        raising(monkeypatch, error)
        done = project("validate", "p")
        assert (done.code, done.err) == (code, f"lorchestra: {error}\n")
