"""Pipeline files as installations have them: pipelines of pipelines, and stages that are loops."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from lorchestra.binding import parameters_of
from lorchestra.loader import find_pipelines, load_pipeline
from lorchestra.loader.schema import pipeline_schema
from tests.lorchestra.cli.commands import Project, statuses
from tests.lorchestra.running import check_complete

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

SAMPLES = Path(__file__).with_name("existing")


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "sessions", raising=False)
    return Project(tmp_path, capfdbinary)


def run(project: Project, name: str, *arguments: str) -> dict[str, Any]:
    done = project.run("--json", "--progress", "none", *arguments, name=name)
    assert done.code == 0, done.err
    for run_id in project.store.run_ids():
        check_complete(project.store, run_id)
    found: dict[str, Any] = done.json
    return found


def lines(project: Project) -> list[str]:
    return (project.root / "ran").read_text().splitlines()


@pytest.mark.parametrize("path", find_pipelines(SAMPLES), ids=lambda path: path.stem)
def test_each_loads(path: Path) -> None:
    assert load_pipeline(path, SAMPLES).id == path.stem


@pytest.mark.parametrize("path", find_pipelines(SAMPLES), ids=lambda path: path.stem)
def test_each_fits_the_schema(path: Path) -> None:
    Draft202012Validator(pipeline_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("workers", ["1", "8"])
def test_pipelines_of_pipelines_run(project: Project, workers: str) -> None:
    found = run(project, "pipeline.nightly", "--max-workers", workers)
    assert statuses(found) == dict.fromkeys(
        ("pipeline.fetch", "pipeline.shape", "pipeline.work_batch"), "succeeded"
    )
    listed = [each.pipeline for each in project.store.runs()]
    assert sorted(map(str, listed)) == [
        "pipeline.fetch",
        "pipeline.nightly",
        "pipeline.shape",
        "pipeline.views",
        "pipeline.work_batch",
    ]
    ran = lines(project)
    fetched, shaped = {*ran[:3]}, {*ran[3:6]}
    assert fetched == {"fetch_mail_1", "fetch_mail_2", "fetch_forms"}
    assert shaped == {"shape_mail", "shape_forms", "view_daily"}
    assert len(ran[6:]) == 6


@pytest.mark.parametrize("workers", ["1", "8"])
def test_a_stage_that_is_a_loop_runs_its_jobs_for_each_item(project: Project, workers: str) -> None:
    found = run(
        project, "work_batch", "--max-workers", workers, "--param", "model=m", "--param", "limit=2"
    )
    assert list(statuses(found)) == [
        "peek.new_sessions",
        *("extract_facts[0]", "extract_summary[0]", "extract_facts[1]", "extract_summary[1]"),
        "report",
    ]
    ran = lines(project)
    for number in range(2):
        # An object inside a shell line is JSON.
        client = f'{{"name":"client {number}","number":{number}}}'
        assert [line for line in ran if f" s{number} " in line] == [
            f"facts s{number} client {number} m",
            f"summary s{number} {client} m",
        ]
    view = project.store.read(found["run_id"])
    assert view.jobs["report"].output == {"asked": 2, "numbers": [0, 1]}


def test_what_is_not_given_is_null(project: Project) -> None:
    run(project, "pipeline.work_batch")
    assert lines(project)[0] == "facts s0 client 0 None"
    path = project.root / "pipelines" / "pipeline.work_batch.yaml"
    assert set(parameters_of(load_pipeline(path, project.root))) == {"model", "limit"}


def test_a_pipeline_in_a_loop_takes_what_it_knows_of_the_payload(project: Project) -> None:
    found = run(project, "pipeline.direct", "--param", "limit=1")
    assert list(statuses(found)) == [
        "peek.new_sessions",
        "extract_facts[0]",
        "pipeline.one_session[0]",
    ]
    assert lines(project)[1].startswith("summary s0 ")
