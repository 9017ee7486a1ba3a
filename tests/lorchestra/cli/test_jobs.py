"""`lorchestra jobs`: which there are, what they do, and where they are used."""

from __future__ import annotations

import pytest

from tests.lorchestra.cli.commands import Project


@pytest.fixture
def nightly(project: Project) -> Project:
    """A project with a job of its own file that two pipelines use, and one that none does."""
    project.write("jobs/shared.yaml", "description: |\n  First\n  second\nrun: echo shared")
    project.write("jobs/deep/unused.yaml", "call: math:sqrt\nwith: {x: 4}\nenv: {A: b}\ncwd: sub")
    project.write("pipelines/one.yaml", "stages: [{name: s, jobs: [shared]}]")
    project.write(
        "two.yaml",
        "stages: [{name: t, jobs: [shared, own]}]\njobs: {own: {command: [echo, a b]}}",
    )
    return project


def test_the_list_has_every_job_with_its_uses(nightly: Project) -> None:
    done = nightly("jobs", "list")
    assert (done.code, done.stderr) == (0, b"")
    assert [line.split(maxsplit=3) for line in done.out.splitlines()] == [
        ["JOB", "PIPELINE", "STAGE", "WHAT IT DOES"],
        ["shared", "one", "s", "run: echo shared"],
        ["shared", "two", "t", "run: echo shared"],
        ["own", "two", "t", "command: echo 'a b'"],
        ["unused", "-", "-", "call: math:sqrt(x=4)"],
    ]


def test_the_list_as_json(nightly: Project) -> None:
    done = nightly("jobs", "list", "--json")
    assert done.code == 0
    assert [(job["job_id"], job["pipeline_id"], job["stage"]) for job in done.json] == [
        ("shared", "one", "s"),
        ("shared", "two", "t"),
        ("own", "two", "t"),
        ("unused", None, None),
    ]
    assert done.json[-1] == {
        "job_id": "unused",
        "description": "",
        "call": "math:sqrt",
        "with": {"x": 4},
        "env": {"A": "b"},
        "cwd": "sub",
        "tags": [],
        "allow_failure": False,
        "limits": {},
        "source": str(nightly.root / "jobs" / "deep" / "unused.yaml"),
        "pipeline_id": None,
        "stage": None,
    }


def test_a_project_without_jobs(project: Project) -> None:
    assert project("jobs", "list").out == "no jobs\n"
    assert project("jobs", "list", "--json").json == []


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("name", ["pipelines/wrong.yaml", "jobs/wrong.yaml"])
def test_a_file_that_is_wrong_does_not_hide_the_others(
    nightly: Project, name: str, options: list[str]
) -> None:
    nightly.write(name, "x: 1\ny: 2")
    done = nightly("jobs", "list", *options)
    assert done.code == 2
    assert "own" in done.out
    assert len(done.errors) == 3
    assert all(line.startswith(f"{name}:") for line in done.errors)


def test_a_job_is_shown_with_its_uses(nightly: Project) -> None:
    done = nightly("jobs", "show", "shared")
    assert (done.code, done.stderr) == (0, b"")
    shown = "shared\n  First\n  second\n  run: echo shared\n  defined in: jobs/shared.yaml\n"
    assert done.out == (f"{shown}  used in: one, stage s\n{shown}  used in: two, stage t\n")


def test_a_job_that_nothing_uses_is_shown_with_what_it_runs_in(nightly: Project) -> None:
    assert nightly("jobs", "show", "unused").out == (
        "unused\n  call: math:sqrt(x=4)\n  env: A=b\n  cwd: sub\n"
        "  defined in: jobs/deep/unused.yaml\n"
    )


def test_a_job_as_json_is_a_list_of_its_uses(nightly: Project) -> None:
    found = nightly("jobs", "show", "shared", "--json").json
    assert [job["pipeline_id"] for job in found] == ["one", "two"]
    assert found[0]["description"] == "First\nsecond\n"


def test_the_project_is_that_of_the_working_folder(
    nightly: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly.write("lorchestra.toml")
    nightly.write("sub/x")
    monkeypatch.chdir(nightly.root / "sub")
    assert "own" in nightly("jobs", "list").out


def test_nothing_of_a_job_can_move_the_cursor(project: Project) -> None:
    job = {
        "run": "printf '\x1b[31m\u202e'",
        "description": "a\x1b[1mb\nc\rd",
        "env": {"A": "\x1b]0;title\x07"},
        "cwd": "\x9b2J",
    }
    project.pipeline(
        {"bad\x1b[2J\nid": job, "good \N{PARTY POPPER}": "true"}, pipeline_id="\u2028x"
    )
    for done in (project("jobs", "list"), project("jobs", "show", "bad\x1b[2J\nid")):
        assert done.code == 0
        assert all(line.isprintable() for line in done.out.split("\n"))
        assert r"bad\x1b[2J\nid" in done.out
    assert "good \N{PARTY POPPER}" in project("jobs", "list").out
    assert project("jobs", "list", "--json").json[0]["description"] == job["description"]


def test_long_definitions_are_cut_in_the_list_and_whole_when_shown(project: Project) -> None:
    project.pipeline({"a": f"echo {'x' * 100_000}"})
    assert max(map(len, project("jobs", "list").out.splitlines())) < 200
    assert "x" * 100_000 in project("jobs", "show", "a").out
