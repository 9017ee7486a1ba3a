"""The published schema says what the loader does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lorchestra.errors import PipelineSyntaxError
from lorchestra.loader import load_job_files, load_pipeline
from lorchestra.loader.hooks import HOOK_KEYS, HOOKS_KEYS
from lorchestra.loader.jobs import JOB_KEYS
from lorchestra.loader.limits import LIMIT_KEYS
from lorchestra.loader.loops import LOOP_KEYS
from lorchestra.loader.params import PARAM_KEYS
from lorchestra.loader.pipelines import PIPELINE_KEYS
from lorchestra.loader.schema import job_file_schema, pipeline_schema
from lorchestra.loader.secrets import SECRET_KEYS
from lorchestra.loader.stages import STAGE_KEYS, STAGE_LOOP_KEYS
from tests.docs.markdown import Page
from tests.docs.program import ROOT
from tests.lorchestra.cli.commands import yaml_of

SCHEMA = pipeline_schema()
PARTS = SCHEMA["$defs"]


def loads(value: Any, folder: Path) -> bool:
    (folder / "p.yaml").write_text(yaml_of(value), encoding="utf-8")
    try:
        load_pipeline(folder / "p.yaml", folder)
    except PipelineSyntaxError:
        return False
    return True


def fits(value: Any, schema: dict[str, Any] = SCHEMA) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize("schema", [SCHEMA, job_file_schema()])
def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        (SCHEMA, {*PIPELINE_KEYS}),
        (PARTS["stage"], {*STAGE_KEYS}),
        (PARTS["job"], {*JOB_KEYS}),
        (PARTS["inline_job"], {"id", *JOB_KEYS}),
        (job_file_schema(), {"job_id", *JOB_KEYS}),
        (PARTS["parameter"], {*PARAM_KEYS}),
        (SCHEMA["properties"]["hooks"], {*HOOKS_KEYS}),
        (PARTS["hook"], {*HOOK_KEYS}),
        (PARTS["loop"], {*LOOP_KEYS}),
        (PARTS["stage"]["properties"]["loop"], {*STAGE_LOOP_KEYS}),
        (SCHEMA["properties"]["secrets"]["items"]["then"]["additionalProperties"], {*SECRET_KEYS}),
        (SCHEMA["properties"]["limits"]["additionalProperties"]["then"], {*LIMIT_KEYS}),
    ],
)
def test_it_has_every_key_of_the_loader_and_no_other(part: dict[str, Any], keys: set[str]) -> None:
    assert part["properties"].keys() == keys
    assert part["additionalProperties"] is False
    assert all(each.get("description") for each in part["properties"].values())


LOOPED = {"id": "looped", "run": "true"}
OTHER = {"id": "other", "run": "true"}
WHOLE: dict[str, Any] = {
    "pipeline_id": "p",
    "description": "",
    "stop_on_failure": True,
    "params": {
        "a": None,
        "b": 1,
        "c": [1],
        "d": {"type": "int", "default": 1, "choices": [1, 2], "description": ""},
        "e": {"required": True},
    },
    "secrets": ["A", {"B": {"file": "b"}}],
    "limits": {"x": 2, "rate": 1, "y": {"capacity": 1, "rate": "10/min"}},
    "hooks": {
        "on_start": ["echo ${env.A}", {"run": "true", "timeout": "1m"}],
        "on_failure": [
            {"url": "https://example.org/${env.A}", "headers": {"X-A": "b"}, "timeout": 5},
            {"command": ["a", "", 1], "timeout": 1.5},
        ],
        "on_success": [],
        "on_finish": [{"url": "${env.A}"}],
    },
    "stages": [
        {
            "name": "s",
            "description": "",
            "max_workers": 2,
            "stop_on_failure": False,
            "jobs": [
                "named",
                {
                    "id": "a",
                    "run": "true",
                    "env": {"A": 1},
                    "cwd": "x",
                    "tags": ["t"],
                    "idempotency_key": "${env.A}-x",
                },
                {"id": "l", "run": "true", "limits": {"x": 1, "y": 1}},
                {"id": "b", "command": ["a", "", 1, True], "allow_failure": True},
                {"id": "c", "call": "m:f", "with": {"x": [None, {"y": 1.5}]}, "description": ""},
                {"id": "d", "run": "true", "matrix": {"x": [1, "a"], "y": [True]}},
                {"id": "e", "run": "true", "loop": {"over": [1, 2]}},
            ],
        },
        {
            "name": "l",
            "loop": {"over": "@payload.items", "payload": {"x": "@item.x"}, "jobs": [LOOPED]},
        },
        {"name": "o", "over": ["a", "b"], "key": "k${item}", "payload": {}, "jobs": [OTHER]},
    ],
    "jobs": {"named": {"run": "true"}},
}
JOB = ("stages", 0, "jobs", 1)
NEEDING = ("stages", 0, "jobs", 2)
MATRIX = ("stages", 0, "jobs", 5, "matrix")
LOOP = ("stages", 0, "jobs", 6, "loop")
PARAM = ("params", "d")
HOOK = ("hooks", "on_failure", 0)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    1.5,
    "",
    " ",
    "x",
    "a\nb",
    "a=b",
    "ftp://example.org",
    "https://example.org",
    "https://example.org/a b",
    "@env.A",
    [],
    ["x"],
    ["x", "x"],
    [None],
    {},
    {"x": "y"},
    {"x": 1},
    {"rate": 1},
    {"rate": "1/s"},
    "10000/day",
    "10001/day",
)
PLACES: list[tuple[str | int, ...]] = [
    *((key,) for key in WHOLE),
    *(("stages", 0, key) for key in WHOLE["stages"][0]),
    *((*JOB, key) for key in ("id", "run", "env", "cwd", "tags", "allow_failure", "command")),
    (*JOB, "idempotency_key"),
    *((*JOB, "env", "A"), (*JOB, "tags", 0), ("stages", 0, "jobs", 0), ("jobs", "named")),
    *(("stages", 0, "jobs", 3, "command"), ("stages", 0, "jobs", 3, "command", 0)),
    *(("stages", 0, "jobs", 3, "command", 1), ("stages", 0, "jobs", 4, "with")),
    *(("stages", 0, "jobs", 4, "with", "x"), ("stages", 0, "jobs", 4, "call")),
    *(("params", "a"), (*PARAM, "required"), (*PARAM, "description"), (*PARAM, "other")),
    *(("secrets", 0), ("secrets", 1), ("secrets", 1, "B"), ("secrets", 1, "B", "file")),
    *(("limits", "x"), ("limits", "y"), ("limits", "other"), ("limits", "-x")),
    *(("limits", "y", key) for key in ("capacity", "rate", "other")),
    *((*NEEDING, "limits"), (*NEEDING, "limits", "x"), (*NEEDING, "limits", "-x")),
    *((*HOOK, key) for key in ("url", "headers", "timeout", "run", "other")),
    *(("hooks", "on_start"), ("hooks", "on_start", 0), ("hooks", "on_start", 1, "run"), HOOK),
    *((*HOOK, "headers", "X-A"), (*HOOK, "headers", "a b"), ("hooks", "other")),
    *(("hooks", "on_failure", 1, "command"), ("hooks", "on_failure", 1, "command", 0)),
    *((*MATRIX, key) for key in ("x", "other", "1x", "include", "exclude")),
    *((*LOOP, key) for key in ("over", "key", "payload", "other", "jobs")),
    *(MATRIX, LOOP, (*MATRIX, "x", 0), (*MATRIX, "x", 1), (*LOOP, "over", 0)),
    *(("stages", 1, "loop", key) for key in ("over", "key", "payload", "jobs", "other")),
    *(("stages", 1, "loop"), ("stages", 1, "jobs"), ("stages", 1, "over"), ("stages", 1, "key")),
    *(("stages", 2, key) for key in ("over", "key", "payload", "loop", "jobs")),
    *(("stages", 0, "key"), ("stages", 0, "payload"), (*JOB, "loop"), (*JOB, "pipeline")),
    *(("params", "1x"), ("other",), ("stages", 0, "other"), (*JOB, "other"), (*JOB, "with")),
]


def changed(place: tuple[str | int, ...], value: Any) -> Any:
    whole = copy.deepcopy(WHOLE)
    target: Any = whole
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return whole


def test_a_whole_pipeline_fits(tmp_path: Path) -> None:
    assert loads(WHOLE, tmp_path)
    assert fits(WHOLE)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_what_fits_at_a_place_is_what_loads_there(
    place: tuple[str | int, ...], tmp_path: Path
) -> None:
    for value in VALUES:
        whole = changed(place, value)
        if is_told_apart_by_the_loader_alone(place, value):
            continue
        assert fits(whole) == loads(whole, tmp_path), (place, value)


def is_told_apart_by_the_loader_alone(place: tuple[str | int, ...], value: Any) -> bool:
    """What is named and not defined, and a default that is required, concern two places."""
    is_name = isinstance(value, str) and place == ("stages", 0, "jobs", 0)
    names = value in (["x"], ["x", "x"]) and place[0] == "stages" and place[-1] == "jobs"
    # Whether the items of a loop can be told apart.
    names |= value == ["x", "x"] and place[-1] == "over"
    # Whether a limit that a job needs is there.
    names |= place == ("limits",) and isinstance(value, dict) and "y" not in value
    unnamed = place in {("jobs",), ("jobs", "named")} and fits({**WHOLE, "jobs": {}})
    return is_name or names or unnamed


@pytest.mark.parametrize("key", ["name", "jobs", "id", "run", "stages"])
def test_what_is_needed_is_needed(key: str, tmp_path: Path) -> None:
    whole = copy.deepcopy(WHOLE)
    for mapping in (whole, whole["stages"][0], whole["stages"][0]["jobs"][1]):
        mapping.pop(key, None)
    assert not fits(whole) or key == "jobs"
    assert not loads(whole, tmp_path)


def test_a_job_file_fits(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    for job in ({"run": "x", "job_id": "a"}, {"run": "x", "id": "a"}, {"job_id": "a"}):
        (tmp_path / "jobs" / "a.yaml").write_text(yaml_of(job))
        try:
            load_job_files(tmp_path)
            is_loaded = True
        except PipelineSyntaxError:
            is_loaded = False
        assert fits(job, job_file_schema()) == is_loaded


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_pipelines_of_the_documentation_fit(page: Path) -> None:
    import yaml

    for block in Page(page).blocks:
        name = block.words.get("title", "")
        if not name.endswith(".yaml") or name.startswith("jobs/"):
            continue
        if Path(name).stem in {"mistakes", "broken", "wrong"}:
            continue
        assert fits(yaml.safe_load(block.text)), f"{page.name}:{block.line}"
