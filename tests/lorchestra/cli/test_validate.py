"""`lorchestra validate`: what is right, what is not, and nothing run."""

from __future__ import annotations

import json

import pytest

from tests.lorchestra.cli.commands import Project


@pytest.fixture
def mixed(project: Project) -> Project:
    """A project with a pipeline that is right, and one with two mistakes."""
    project.pipeline({"a": "touch ran", "b": "touch ran"}, {"c": "touch ran"}, name="right.yaml")
    project.write("wrong.yaml", "stages: []\nname: x")
    return project


@pytest.mark.parametrize("name", ["right", "right.yaml", "pipeline.right"])
def test_a_file_that_is_right(mixed: Project, name: str) -> None:
    before = mixed.files()
    done = mixed("validate", name)
    assert (done.code, done.stderr) == (0, b"")
    assert done.out == f"{name}: ok: right, 3 jobs in 2 stages\n"
    assert mixed.files() == before


def test_every_mistake_is_a_line_that_says_where_it_is(mixed: Project) -> None:
    done = mixed("validate", "wrong")
    assert (done.code, done.stdout) == (2, b"")
    assert done.errors == [
        "wrong.yaml:1:9: a pipeline needs at least one stage",
        "wrong.yaml:2:1: unknown key 'name'",
    ]


def test_several_files_are_all_checked(mixed: Project) -> None:
    done = mixed("validate", "wrong", "nothing", "right", ".")
    assert done.code == 2
    assert done.out == "right: ok: right, 3 jobs in 2 stages\n"
    assert [line.split(";")[0] for line in done.errors[2:]] == [
        "no pipeline 'nothing'",
        "no pipeline '.'",
    ]


def test_the_mistakes_as_json(mixed: Project) -> None:
    done = mixed("validate", "right", "wrong", "./nothing.yaml", "--json")
    assert (done.code, done.stderr) == (2, b"")
    right, wrong, nothing = done.json
    assert right == {
        "file": "right",
        "ok": True,
        "pipeline_id": "right",
        "stages": 2,
        "jobs": 3,
        "errors": [],
    }
    assert (wrong["file"], wrong["ok"]) == ("wrong", False)
    assert wrong["errors"] == [
        {
            "path": "wrong.yaml",
            "line": 1,
            "column": 9,
            "message": "a pipeline needs at least one stage",
        },
        {"path": "wrong.yaml", "line": 2, "column": 1, "message": "unknown key 'name'"},
    ]
    assert nothing["ok"] is False
    assert nothing["errors"] == [{"message": nothing["text"]}]


def test_right_files_as_json_exit_with_0(mixed: Project) -> None:
    assert mixed("validate", "right", "--json").code == 0


def test_a_name_cannot_move_the_cursor(mixed: Project) -> None:
    mixed.pipeline({"a": "true"}, name="\x1b[2J.yaml", pipeline_id="\u202eid")
    done = mixed("validate", "./\x1b[2J.yaml", "./\x1b[3J.yaml")
    assert done.out == r"./\x1b[2J.yaml: ok: \u202eid, 1 job in 1 stage" + "\n"
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize(("arguments", "key"), [((), "stages"), (("--job",), "job_id")])
def test_the_schema_is_printed_as_json(
    project: Project, arguments: tuple[str, ...], key: str
) -> None:
    done = project("schema", *arguments)
    assert (done.code, done.err) == (0, "")
    assert key in json.loads(done.out)["properties"]
