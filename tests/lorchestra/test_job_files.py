"""Jobs that have a file of their own in the jobs folder of a project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lorchestra.errors import PipelineSyntaxError, UnreadableFileError
from lorchestra.loader import load_job_files, load_pipeline
from lorchestra.model import Call, Command, Job, Shell

NOWHERE = "neither under jobs nor in the jobs folder"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, **texts: str) -> None:
    """Write files; `__` in a name is a folder, and `.yaml` is added."""
    for name, text in texts.items():
        path = root / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def mistakes_of_pipeline(root: Path) -> list[str]:
    with pytest.raises(PipelineSyntaxError) as caught:
        load_pipeline(root / "p.yaml", root)
    return str(caught.value).replace(os.sep, "/").splitlines()


def mistakes_of_jobs(root: Path) -> list[str]:
    with pytest.raises(PipelineSyntaxError) as caught:
        load_job_files(root)
    return str(caught.value).replace(os.sep, "/").splitlines()


def pipeline_of(*jobs: str) -> str:
    return f"stages: [{{name: s, jobs: [{', '.join(jobs)}]}}]"


def test_a_stage_names_a_job_file_at_any_depth(root: Path) -> None:
    write(
        root,
        p=pipeline_of("one", "two"),
        jobs__one="job_id: one\ncommand: [x]\nenv: {A: 1}\ncwd: w\ndescription: d",
        jobs__deep__er__two="run: y",
    )
    assert load_pipeline(root / "p.yaml", root).jobs == (
        Job("one", Command(("x",)), {"A": "1"}, "w", "d", root / "jobs/one.yaml"),
        Job("two", Shell("y"), source=root / "jobs/deep/er/two.yaml"),
    )


def test_yml_is_as_good_as_yaml(root: Path) -> None:
    write(root, p=pipeline_of("one"), jobs__x="run: y")
    (root / "jobs/one.yml").write_text("run: x")
    assert load_pipeline(root / "p.yaml", root).jobs[0].action == Shell("x")


def test_the_pipeline_s_own_definition_comes_first(root: Path) -> None:
    write(root, p=pipeline_of("one") + "\njobs: {one: {run: own}}", jobs__one="rubbish")
    assert load_pipeline(root / "p.yaml", root).jobs[0].action == Shell("own")


def test_files_that_are_not_named_are_not_read(root: Path) -> None:
    write(root, p=pipeline_of("one"), jobs__one="run: x", jobs__two="rubbish", jobs__a__two="@")
    load_pipeline(root / "p.yaml", root)


@pytest.mark.parametrize(("jobs", "times"), [(["{id: a, run: x}"], 0), (["one", "two"], 1)])
def test_the_folder_is_listed_once_and_only_when_needed(
    root: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[str], times: int
) -> None:
    write(root, p=pipeline_of(*jobs), jobs__one="run: x", jobs__two="run: x")
    listed = []
    walk = os.walk

    def counting_walk(folder: Path, **keywords: Any) -> Any:
        listed.append(folder)
        return walk(folder, **keywords)

    monkeypatch.setattr(os, "walk", counting_walk)
    load_pipeline(root / "p.yaml", root)
    assert len(listed) == times


def test_mistakes_of_job_files_come_after_those_of_the_pipeline(root: Path) -> None:
    write(
        root,
        p=pipeline_of("two", "one", "on") + "\nx: 1",
        jobs__one="run: x\npriority: 5\njob_id: other",
        jobs__two="run: x\nenv: [a]\nrun: y",
    )
    assert mistakes_of_pipeline(root) == [
        f"p.yaml:1:37: job 'on' is not defined, {NOWHERE} (did you mean one?)",
        "p.yaml:2:1: unknown key 'x'",
        "jobs/two.yaml:2:6: env must be a mapping, not a list",
        "jobs/two.yaml:3:1: duplicate key 'run' (first in line 1)",
        "jobs/one.yaml:2:1: unknown key 'priority'",
        "jobs/one.yaml:3:9: job_id must be the name of the file, 'one', or be left out",
    ]


def test_two_files_of_one_job_are_both_named(root: Path) -> None:
    write(root, p=pipeline_of("one"), jobs__a__one="run: x", jobs__b__one="run: x")
    (root / "jobs/b/one.yml").write_text("run: x")
    expected = [
        "jobs/b/one.yaml:1:1: job 'one' has another file, jobs/a/one.yaml",
        "jobs/b/one.yml:1:1: job 'one' has another file, jobs/a/one.yaml",
    ]
    assert mistakes_of_pipeline(root) == expected
    assert mistakes_of_jobs(root) == expected


def test_all_job_files_by_id(root: Path) -> None:
    write(root, jobs__b="run: x", jobs__a__c="call: a:b", jobs__a="command: [x]")
    (root / "jobs/.hidden").mkdir()
    write(root, **{"jobs__.hidden__x": "@", "jobs__.x": "@"})
    (root / "jobs/readme.txt").write_text("@")
    jobs = load_job_files(root)
    assert list(jobs) == ["a", "b", "c"]
    assert jobs["c"] == Job("c", Call("a:b"), source=root / "jobs/a/c.yaml")


def test_no_jobs_folder_is_no_jobs(root: Path) -> None:
    assert load_job_files(root) == {}
    (root / "jobs").write_text("a file")
    assert load_job_files(root) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("[x]", "1:1: a job file must be a mapping, not a list"),
        ("run: @", "1:6: text cannot begin with '@' here; put it in quotes"),
        ("job_id: 7\nrun: x", "1:9: job_id must be text in quotes, not 7"),
        ("job_id: ''\nrun: x", "1:9: a job id must not be empty"),
        ("id: a\nrun: x", "1:1: unknown key 'id'"),
        ("jobid: a\nrun: x", "1:1: unknown key 'jobid' (did you mean job_id?)"),
        ("description: d", "1:1: a job needs one of run, command, call or pipeline"),
    ],
)
def test_mistakes_of_job_files(root: Path, text: str, message: str) -> None:
    write(root, jobs__a=text, jobs__b="run: 1")
    assert mistakes_of_jobs(root) == [f"jobs/a.yaml:{message}"]


def test_mistakes_of_all_job_files_are_told(root: Path) -> None:
    write(root, jobs__b="", jobs__c="run: x", jobs__a="")
    assert mistakes_of_jobs(root) == [
        "jobs/a.yaml:1:1: the file is empty",
        "jobs/b.yaml:1:1: the file is empty",
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs file names that are bytes")
def test_a_file_name_that_is_no_text_cannot_be_a_job_id(root: Path) -> None:
    write(root, jobs__a="run: x")
    try:
        (root / "jobs/a.yaml").rename(root / "jobs/a\udcff.yaml")
    except OSError:
        pytest.skip("needs a file system that takes any name")
    (message,) = mistakes_of_jobs(root)
    assert message == r"jobs/a\udcff.yaml:1:1: the job id 'a\udcff' is not valid Unicode text"


def test_a_folder_called_like_a_job_file_is_looked_into(root: Path) -> None:
    write(root, **{"jobs__x.yaml__y": "run: x"})
    assert list(load_job_files(root)) == ["y"]


def test_a_job_file_that_cannot_be_read(root: Path) -> None:
    (root / "jobs").mkdir()
    try:
        (root / "jobs/x.yaml").symlink_to(root / "nowhere")
    except OSError:
        pytest.skip("needs symbolic links")
    with pytest.raises(UnreadableFileError, match=r"^cannot read jobs.x\.yaml: No such file"):
        load_job_files(root)


def test_a_jobs_folder_that_cannot_be_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, jobs__x="run: x")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UnreadableFileError, match=r"^cannot read jobs: Permission denied$"):
        load_job_files(root)
