"""What makes a machine run a pipeline regularly; what can be run here of it is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lorchestra.cli.commands import Project

ANALYZE = shutil.which("systemd-analyze")
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture
def odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Project:
    """A project whose folder has a name that has to be quoted, with one of its pipelines."""
    root = tmp_path / '100% o\'dd $HOME "x"'
    root.mkdir()
    monkeypatch.chdir(root)
    project = Project(root, capfdbinary)
    project.pipeline({"a": {"run": "echo ${params.x} > ran"}}, params={"x": "?"})
    return project


def command_of_cron(text: str) -> str:
    """What cron gives to the shell: the sixth field, where a percent sign is escaped."""
    line = text.splitlines()[-1]
    command = line.split(None, 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    return command.replace("\\%", "%")


@on_posix
def test_the_line_of_cron_runs_it_from_any_folder(odd: Project, tmp_path: Path) -> None:
    text = odd("schedule", "p", "--with", "cron", "--", "--param", "x=a 'b' %c $d").out
    path = next(line for line in text.splitlines() if line.startswith("PATH="))
    done = subprocess.run(
        ["/bin/sh", "-c", command_of_cron(text)],
        cwd=tmp_path,
        env={"PATH": path.removeprefix("PATH="), "HOME": "/"},
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (odd.root / "ran").read_text() == "a 'b' %c $d\n"
    assert text.startswith("# p, every day at 02:00. Put these lines in with: crontab -e\n")


def units(text: str, folder: Path) -> list[Path]:
    """The units that a text has, as files."""
    found = []
    for part in re.split(r"^# (?=\S+\.(?:service|timer)$)", text, flags=re.MULTILINE)[1:]:
        name, _, content = part.partition("\n")
        found.append(folder / Path(name).name)
        found[-1].write_text(content.partition("\n# Then:")[0])
    return found


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("when", [["--at", "7:30", "--days", "mon,fri"], ["--every", "15m"]])
def test_systemd_takes_the_units(odd: Project, tmp_path: Path, when: list[str]) -> None:
    assert ANALYZE is not None
    text = odd("schedule", "p", "--with", "systemd", *when, "--", "--param", "x=a $b %c").out
    service, timer = units(text, tmp_path)
    assert (service.name, timer.name) == ("lorchestra-p.service", "lorchestra-p.timer")
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(service), str(timer)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "lorchestra-p" in line]
    assert told == []
    assert f"WorkingDirectory={str(odd.root).replace('%', '%%')}" in service.read_text()


def test_what_systemd_reads_is_the_command(project: Project) -> None:
    project.pipeline({"a": "true"}, grace="1m")
    text = project("schedule", "p", "--with", "systemd", "--", "--only", 'a"b\\ $c %d').out
    line = next(each for each in text.splitlines() if each.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart=").replace("$$", "$").replace("%%", "%"))
    assert words[1:] == [
        *("-m", "lorchestra", "pipeline", "p", "--only", 'a"b\\ $c %d'),
        *("--guard", "skip", "--progress", "none"),
    ]
    assert "TimeoutStopSec=80" in text


def test_options_that_are_given_are_not_given_twice(project: Project) -> None:
    project.pipeline({"a": "true"})
    text = project("schedule", "p", "--with", "cron", "--", "--guard=wait", "--progress", "json")
    assert text.out.rstrip().endswith("lorchestra pipeline p --guard=wait --progress json")


def test_a_path_is_one_from_the_project_folder(project: Project) -> None:
    project.pipeline({"a": "true"}, name="pipelines/p.yaml")
    path = os.path.join("pipelines", "p.yaml")
    done = project("schedule", f".{os.sep}{path}", "--with", "cron")
    assert f"cd {shlex.quote(str(project.root))} && " in done.out
    assert f" pipeline {path} --guard skip" in done.out


def test_windows_gets_one_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.pipeline({"a": "true"}, secrets=["TOKEN"])
    monkeypatch.setattr(sys, "executable", "C:\\Python\\python.exe")
    done = project("schedule", "p", "--with", "windows", "--every", "6h")
    if done.code == 2:
        assert "the Task Scheduler takes at most 261 characters" in done.err
        return
    title, secrets, line = done.out.splitlines()
    assert title == "rem p, every 6 hours"
    assert secrets == "rem It needs TOKEN from the environment: set them for the user with setx."
    task = 'schtasks /Create /TN "lorchestra p" /SC HOURLY /MO 6 /ST 00:00 /TR "cmd /c cd /d \\"'
    assert line.startswith(task)
    assert line.endswith('-m lorchestra pipeline p --guard skip --progress none"')


@pytest.mark.parametrize("scheduler", ["cron", "systemd"])
def test_secrets_of_the_environment_are_named(project: Project, scheduler: str) -> None:
    project.pipeline({"a": "true"}, secrets=["TOKEN", {"KEY": {"file": "key"}}])
    text = project("schedule", "p", "--with", scheduler).out
    assert "# It needs TOKEN from the environment: " in text


def test_the_scheduler_is_that_of_this_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pipeline({"a": "true"})
    isdir = os.path.isdir
    for is_there, word in ((True, "OnCalendar="), (False, "crontab -e")):
        monkeypatch.setattr(
            os.path,
            "isdir",
            lambda path, found=is_there: found if path == "/run/systemd/system" else isdir(path),
        )
        if sys.platform != "win32":
            assert word in project("schedule", "p").out
    monkeypatch.setattr(sys, "platform", "win32")
    done = project("schedule", "p")
    assert "schtasks" in done.out or "the Task Scheduler takes at most" in done.err


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["--at", "25:00"], "'--at': must be a time of day such as 02:00, not '25:00'"),
        (["--days", "mo"], "'--days': must be days such as mon,thu, not 'mo'"),
        (["--every", "7m"], "'--every': must be 5m, 15m, 1h or 6h"),
        (["--every", "1h", "--at", "1:00"], "--every is for all day long"),
        (["--with", "cron", "--", "--param", "a=1\n2"], "cron takes no line breaks"),
        (["--with", "systemd", "--", "--param", "a=1\n2"], "systemd takes no line breaks"),
        (["--with", "cron", "--", "--param", "a" * 1000], "lines of at most 998 bytes"),
        (["--with", "windows", "--", "--param", "a" * 261], "at most 261 characters"),
    ],
)
def test_mistakes(project: Project, arguments: list[str], mistake: str) -> None:
    project.pipeline({"a": "true"})
    done = project("schedule", "p", *arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.errors) == 1
    assert mistake in done.err
    assert project("schedule", "q", "--with", "cron").code == 2
