"""A small project that works, and what is never written over."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from lorchestra.cli import init
from tests.lorchestra.cli.commands import Project

posix = pytest.mark.skipif(sys.platform == "win32", reason="the pipeline of Windows differs")


@posix
def test_what_it_writes_works_at_once(project: Project) -> None:
    done = project("init")
    assert (done.code, done.stderr) == (0, b"")
    assert done.out.splitlines()[:3] == [
        f"wrote {os.path.join('pipelines', 'nightly.yaml')}",
        "wrote lorchestra.toml",
        "wrote .gitignore",
    ]
    assert project("validate", "nightly").code == 0
    assert project("pipeline", "nightly", "--max-workers", "3").code == 0
    assert project("runs", "logs", "last", "count").out.strip() == "3"
    # Each command that it tells of is one.
    told = [line.split("  ")[1] for line in done.out.splitlines() if line.startswith("  lor")]
    assert len(told) == 3
    for line in told:
        assert project(*line.split()[1:]).code == 0


def test_into_a_folder_that_is_made(project: Project) -> None:
    done = project("init", "a b/c")
    assert done.code == 0
    assert "  cd 'a b/c'" in done.out
    assert (project.root / "a b/c/pipelines/nightly.yaml").is_file()


@pytest.mark.parametrize("there", ["pipelines/nightly.yaml", "lorchestra.toml"])
def test_nothing_that_is_there_is_changed(project: Project, there: str) -> None:
    project.write(there, "mine")
    done = project("init")
    assert (done.code, done.out) == (2, "")
    assert done.errors == [f"lorchestra: {Path(there)}: is there already, so nothing was written"]
    files = [path for path in project.root.rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["mine"]


def test_a_gitignore_stays_as_it_is(project: Project) -> None:
    project.write(".gitignore", "mine")
    assert project("init").code == 0
    assert (project.root / ".gitignore").read_text() == "mine"


def test_where_nothing_can_be_written(project: Project) -> None:
    project.write("file", "")
    done = project("init", "file")
    assert done.code == 3
    assert "cannot be written: " in done.err
    assert len(done.errors) == 1


def test_the_settings_show_the_defaults_and_are_valid_without_their_marks() -> None:
    lines = [line.removeprefix("# ") for line in init.CONFIG.splitlines() if " = " in line]
    settings = tomllib.loads("\n".join(lines))
    assert settings == {
        "max_workers": 1,
        "guard": "none",
        "durability": "disk",
        "store": ".lorchestra",
        "secrets": [],
    }


def test_the_pipeline_of_windows_is_right_too(project: Project) -> None:
    project.write("w.yaml", init.PIPELINE_ON_WINDOWS)
    assert project("validate", "w").code == 0
    for word in ("sleep", "cat ", "wc ", "sh,"):
        assert word not in init.PIPELINE_ON_WINDOWS
