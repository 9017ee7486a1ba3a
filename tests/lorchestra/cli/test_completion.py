"""What the shell offers when Tab is pressed, asked for as the shells' own scripts ask."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lorchestra.cli.commands import Project

BASH = shutil.which("bash")


@pytest.fixture
def nightly(project: Project) -> Project:
    project.write(
        "pipelines/ingest.yaml",
        "params: {day: 1}\n"
        "stages: [{name: fetch, jobs: [gmail, imap]}, {name: load, jobs: [load]}]\n"
        "jobs: {gmail: {run: 'true', tags: [mail]}, imap: {run: 'true'}, load: {run: 'true'}}\n",
    )
    project.write("pipelines/report.yaml", "stages: [{name: s, jobs: [{id: a, run: 'true'}]}]")
    project.write("jobs/unused.yaml", "run: 'true'")
    return project


def words(project: Project, *typed: str, shell: str = "bash") -> list[str]:
    """What is offered for the last word of a line."""
    variables = {
        "_LORCHESTRA_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["lorchestra", *typed]),
        "COMP_CWORD": str(len(typed)),
    }
    if shell == "powershell":
        shown = [word for word in typed if word]
        variables["COMP_WORDS"] = "\n".join(["lorchestra", *shown])
        variables["COMP_WORD"] = typed[-1]
    done = project.process(env=variables)
    assert done.errors == []
    return done.out.splitlines()


def offered(project: Project, *typed: str) -> list[str]:
    return [line.removeprefix("plain,") for line in words(project, *typed) if line]


def test_commands_and_options(nightly: Project) -> None:
    assert offered(nightly, "pip") == ["pipeline"]
    assert offered(nightly, "runs", "w") == ["watch"]
    assert "--max-workers" in offered(nightly, "pipeline", "ingest", "--max")


def test_pipelines_and_files(nightly: Project) -> None:
    for command in ("pipeline", "plan", "graph", "validate"):
        assert offered(nightly, command, "") == ["ingest", "report"]
        assert offered(nightly, command, "in") == ["ingest"]
    assert offered(nightly, "pipeline", "./pip") == ["file,./pip"]


def test_the_parts_of_the_pipeline_that_is_named(nightly: Project) -> None:
    of_ingest = ("pipeline", "--max-workers", "2", "ingest")
    assert offered(nightly, *of_ingest, "--only", "") == ["gmail", "imap", "load"]
    assert offered(nightly, *of_ingest, "--from-stage", "l") == ["load"]
    assert offered(nightly, *of_ingest, "--tag", "") == ["mail"]
    assert offered(nightly, *of_ingest, "--param", "d") == ["day="]
    assert offered(nightly, "pipeline", "--only", "") == []
    assert offered(nightly, "pipeline", "nowhere", "--only", "") == []


def test_runs_and_their_jobs(nightly: Project) -> None:
    assert offered(nightly, "runs", "show", "") == []  # there is no store yet
    assert nightly.run(name="ingest").code == 0
    run_id = nightly.run("--json", name="report").json["run_id"]
    found = offered(nightly, "runs", "show", "")
    assert found[:2] == ["last", run_id]
    assert len(found) == 3
    assert offered(nightly, "explain", run_id[:-3]) == [run_id]
    assert offered(nightly, "runs", "diff", "last", run_id[:-3]) == [run_id]
    assert offered(nightly, "runs", "logs", "last", "") == ["a"]
    assert offered(nightly, "explain", found[2], "g") == ["gmail"]
    assert offered(nightly, "runs", "logs", "nowhere", "") == []


def test_a_store_that_is_named_counts(nightly: Project) -> None:
    nightly.run("--store", "other", name="report")
    assert offered(nightly, "runs", "show", "l") == []
    assert offered(nightly, "runs", "show", "--store", "other", "l") == ["last"]


def test_jobs_of_the_project_though_a_file_is_wrong(nightly: Project) -> None:
    nightly.write("pipelines/wrong.yaml", "stages: [")
    assert offered(nightly, "jobs", "show", "") == ["gmail", "imap", "load", "a", "unused"]


def test_shells_that_show_help_get_it(nightly: Project) -> None:
    nightly.run(name="report")
    assert words(nightly, "runs", "show", "la", shell="zsh") == ["plain", "last", "the newest run"]
    shown = words(nightly, "runs", "show", "0", shell="powershell")
    assert [line.split("\t")[1].split(", ")[:2] for line in shown] == [["report", "succeeded"]]


def test_powershell_gives_words_as_they_are_written(nightly: Project) -> None:
    assert words(nightly, "pipeline", "'in'", shell="powershell") == ["ingest\t"]
    assert words(nightly, "pipeline", "", shell="powershell") == ["ingest\t", "report\t"]
    assert words(nightly, "pipeline", "x", shell="powershell") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_its_script(project: Project, shell: str) -> None:
    done = project("completion", shell)
    assert done.code == 0
    assert f"_LORCHESTRA_COMPLETE={shell}_complete" in done.out.replace(' = "', "=")


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_itself_completes_with_it(nightly: Project, tmp_path: Path) -> None:
    assert BASH is not None
    script = tmp_path / "script"
    script.write_text(nightly("completion", "bash").out)
    program = tmp_path / "lorchestra"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lorchestra "$@"\n')
    program.chmod(0o755)
    line = (
        f'source "{script}"; COMP_WORDS=(lorchestra plan r); COMP_CWORD=2;'
        f' _lorchestra_completion "{program}"; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run([BASH, "-c", line], cwd=nightly.root, capture_output=True, check=True)
    assert done.stdout == b"report\n"
