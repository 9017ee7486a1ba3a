"""That the harness finds what a page shows wrongly, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Command, Project, commands, differs, needs_shell
from tests.docs.markdown import Block

RUN = "01a211a3-d8ad-76fe-8a8c-a9d6eeee961d"
OTHER_RUN = "01a211a6-51cf-7129-837e-7675aafe4b04"


def console(text: str) -> Block:
    return Block(1, "console", {}, text)


def test_a_console_block_gives_commands_and_what_they_print() -> None:
    text = "$ one\n$ two \\\n> more # exit code 2\nx\n\ny\n"
    assert list(commands(console(text))) == [
        Command("one", []),
        Command("two \\\nmore # exit code 2", ["x", "", "y"]),
    ]
    assert [command.exit_code for command in commands(console(text))] == [0, 2]


def test_a_console_block_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a command"):
        list(commands(console("lorchestra\n")))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ([f"run {RUN} of p"], [f"run {OTHER_RUN} of p"]),
        (["07:40:42 a started"], ["23:59:59 a started"]),
        (["a  0.01 s  exit code 3"], ["a  12.3 s   exit code 3"]),
        (['"duration_ms": 20.137,'], ['"duration_ms": 4,']),
        (["receipt 11:2850c32e"], ["receipt 9:00000000"]),
        (["whole: 9,184 bytes"], ["whole: 984 bytes"]),
        (["first", "...", "last"], ["first", "last"]),
        (["first", "...", "last"], ["first", "between", "", "last"]),
        (["log: ...a.log"], ["log: anywhere/a.log"]),
    ],
)
def test_what_varies_from_run_to_run_may_differ(shown: list[str], printed: list[str]) -> None:
    assert not differs(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a"], ["a", "b"]),
        (["a", "b"], ["a"]),
        (["a.c"], ["abc"]),
        (["  a"], ["a"]),
        (["run 1 of p"], [f"run {RUN} of p"]),
        (["took 1.0 s, exit code 3"], ["took 1.0 s, exit code 4"]),
        (["first", "...", "last"], ["first", "between"]),
        (["a ... c"], ["a b d"]),
    ],
)
def test_everything_else_may_not(shown: list[str], printed: list[str]) -> None:
    assert differs(shown, printed)


@needs_shell
@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        (console("$ exit 1\n"), "exit code 1, not 0"),
        (console("$ true # exit code 2\n"), "exit code 0, not 2"),
        (console("$ echo a\nb\n"), "something else"),
        (Block(1, "sh", {}, "false\ntrue\n"), "exit code 1, not 0"),
        (Block(1, "python", {"run": ""}, "assert False\n"), "exit code 1, not 0"),
    ],
)
def test_a_block_that_does_not_do_what_is_shown_fails(
    tmp_path: Path, block: Block, wrong: str
) -> None:
    with pytest.raises(pytest.fail.Exception, match=wrong):
        Project(tmp_path).perform(block)


@needs_shell
def test_a_reader_writes_files_and_uses_them(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.perform(Block(1, "yaml", {"title": "jobs/a.yaml"}, "run: echo\n"))
    project.perform(console("$ cat jobs/a.yaml; pwd\nrun: echo\n/srv/nightly\n"))
    project.perform(Block(1, "python", {"run": ""}, "open('jobs/a.yaml').read()\n"))


def test_a_block_that_is_not_to_be_run_is_skipped_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="set-up"):
        Project(tmp_path).perform(Block(1, "sh", {"no-run": "set-up"}, "exit 1\n"))
