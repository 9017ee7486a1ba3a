"""What `doctor` finds: here as it is, and where something is wrong."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from lorchestra.health import Finding, locks, machine, place
from runstore import GuardUnavailableError, RunStore, RunSummary
from tests.lorchestra.cli.commands import Project

ABOUT = [
    *("python", "packages", "processes", "settings", "pipelines", "store", "room", "file system"),
    *("file names", "sync", "locks", "clock", "limits"),
]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def findings(project: Project, *arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    done = project("doctor", "--json", *arguments)
    assert (done.code, done.stderr) == (code, b"")
    assert done.json["ok"] is (code == 0)
    return {each["about"]: each for each in done.json["findings"]}


def level(found: list[Finding]) -> tuple[str, str]:
    (finding,) = found
    assert finding.level == "ok" or finding.advice
    return finding.level, finding.text


def test_a_project_that_is_well(project: Project) -> None:
    project.pipeline({"a": "true"})
    project.run()
    before = sorted(path for path in project.root.rglob("*"))
    found = findings(project)
    assert [*found] == ABOUT
    assert [about for about, each in found.items() if each["level"] == "problem"] == []
    assert found["pipelines"]["text"] == "p"
    assert found["store"]["text"].startswith(".lorchestra, 1 run; ")
    assert sorted(path for path in project.root.rglob("*")) == before
    assert project.store.verify(strict=True).errors == []


def test_for_people_each_finding_is_a_line_and_advice_another(project: Project) -> None:
    done = project("doctor")
    assert (done.code, done.stderr) == (0, b"")
    lines = done.out.splitlines()
    assert lines[0].startswith("ok       python       CPython ")
    at = next(number for number, line in enumerate(lines) if "pipelines" in line)
    assert lines[at] == "note     pipelines    none in ."
    assert lines[at + 1].strip() == "lorchestra init writes one to begin with"
    assert lines[-1].startswith("0 problems, ")


def test_mistakes_of_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    project.write("lorchestra.toml", 'secrets = ["TOKEN"]')
    project.pipeline({"a": "true"})
    found = findings(project)
    assert found["settings"]["text"] == "lorchestra.toml; not set in this environment: TOKEN"
    assert found["settings"]["level"] == "note"
    project.write("lorchestra.toml", 'secrets = ["A=B"]')
    project.write("pipelines/wrong.yaml", "stages: [")
    found = findings(project, code=3)
    assert "must be the name of an environment variable" in found["settings"]["text"]
    assert found["pipelines"]["text"] == f"mistakes in {Path('pipelines/wrong.yaml')}"
    assert found["pipelines"]["advice"] == f"lorchestra validate {Path('pipelines/wrong.yaml')}"
    project.write("lorchestra.toml", "[")
    assert project("doctor").code == 2


def test_a_store_that_is_none(project: Project) -> None:
    project.write("file")
    found = findings(project, "--store", "file", code=3)
    assert found["store"]["level"] == "problem"
    assert "say where else with --store" in found["store"]["advice"]
    assert (project.root / "file").read_text() == ""


def test_a_place_that_cannot_be_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    found = findings(project, code=3)
    assert found["room"]["text"] == ". cannot be written: Permission denied"
    assert "locks" not in found


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nfs4", "nfs4, which is a network's"),
        ("fuse.sshfs", "fuse.sshfs, which is a network's"),
        ("tmpfs", "tmpfs: it is empty after a restart"),
        ("ext4", "ext4"),
        ("", "of a kind that the system does not name"),
    ],
)
def test_kinds_of_file_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, text: str
) -> None:
    mounts = [
        SimpleNamespace(mountpoint=str(tmp_path.anchor), fstype="other"),
        SimpleNamespace(mountpoint=os.path.realpath(tmp_path), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_options: mounts)
    system, names = place.check_kind(tmp_path)
    assert system.text == text
    assert (system.level == "ok") == (not system.advice)
    assert names.level == "ok"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5_000_000))
    assert level(list(place.check_room(tmp_path))) == ("note", "0.0 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5e9))
    monkeypatch.setattr(place, "_free_inodes", lambda _path: 12)
    assert level(list(place.check_room(tmp_path))) == ("note", "5.0 GB free, but for 12 files")
    monkeypatch.setattr(place, "_free_inodes", lambda _path: None)
    assert level(list(place.check_room(tmp_path))) == ("ok", "5.0 GB free")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1e-6, "note"), (0.002, "ok"), (0.2, "note")], ids=str
)
def test_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: str
) -> None:
    now = [0.0]

    def sync(_descriptor: int) -> None:
        now[0] += seconds

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(place, "kind_of", lambda _folder: "ext4")
    assert level(list(place.check_sync(tmp_path)))[0] == expected


HELD, FREE, FAILED = 75, 0, 70


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        ([FREE, FREE], "a lock that one process holds does not keep another one out"),
        ([HELD, HELD], "a lock that nobody holds any more keeps others out"),
        ([HELD, FAILED], "another process could not try for one: said why"),
        ([FAILED, FREE], "another process could not try for one: said why"),
    ],
)
def test_locks_that_do_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], text: str
) -> None:
    left = iter(codes)

    def done(*_command: object, **_options: object) -> Any:
        return SimpleNamespace(returncode=next(left), stdout="said why\n")

    monkeypatch.setattr(subprocess, "run", done)
    assert level(list(locks.check_locks(tmp_path))) == ("problem", text)


def test_locks_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_fields: object) -> None:
        raise GuardUnavailableError("no locks here")

    monkeypatch.setattr(RunStore, "create_run", refuse)
    assert "no locks here" in level(list(locks.check_locks(tmp_path)))[1]


def test_a_process_that_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_command: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired("python", 30)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "it did not end in 30 s" in level(list(locks.check_locks(tmp_path)))[1]


def test_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_synchronized", lambda: None)
    assert level(list(machine.check_clock(tmp_path, None)))[0] == "ok"
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    run = RunSummary("id", "p", "succeeded", later, None)
    store = cast("RunStore", SimpleNamespace(runs=lambda: iter([run])))
    assert "the newest run began 3," in level(list(machine.check_clock(tmp_path, store)))[1]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    text = level(list(machine.check_clock(tmp_path, None)))[1]
    assert text.startswith("the file system's clock is ")
    assert text.endswith(" s behind")
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(machine, "_is_synchronized", lambda: False)
    assert level(list(machine.check_clock(tmp_path, None)))[1].startswith("it is not set by")


def _fails(*_command: object, **_options: object) -> Any:
    raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (lambda *_, **__: SimpleNamespace(stdout="yes\n"), True),
        (lambda *_, **__: SimpleNamespace(stdout="no\n"), False),
        (lambda *_, **__: SimpleNamespace(stdout="\n"), None),
        (_fails, None),
    ],
    ids=["yes", "no", "nothing", "failure"],
)
def test_what_the_system_says_of_its_clock(
    monkeypatch: pytest.MonkeyPatch, said: Callable[..., Any], expected: bool | None
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", said)
    assert machine._is_synchronized() is expected
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert machine._is_synchronized() is None
