"""Which file a pipeline's name means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lorchestra.errors import ConfigError, PipelineNotFoundError
from lorchestra.loader import find_pipeline, find_pipelines


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def not_found(name: str, start: Path) -> PipelineNotFoundError:
    with pytest.raises(PipelineNotFoundError) as caught:
        find_pipeline(name, start)
    assert caught.value.exit_code == 2
    assert caught.value.name == name
    return caught.value


ORDER = [
    *("pipelines/pipeline.ingest.yaml", "pipelines/pipeline.ingest.yml"),
    *("pipeline.ingest.yaml", "pipeline.ingest.yml"),
    *("pipelines/ingest.yaml", "pipelines/ingest.yml"),
    *("ingest.yaml", "ingest.yml"),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_order_in_which_a_name_is_looked_for(root: Path, first: int) -> None:
    touch(root, *ORDER[first:])
    assert find_pipeline("pipeline.ingest", root) == (root / ORDER[first], root)
    plain_first = [*ORDER[4:], *ORDER[:4]]
    found = next(name for name in plain_first if name in ORDER[first:])
    assert find_pipeline("ingest", root) == (root / found, root)


def test_a_name_is_looked_for_from_the_project_folder_above(root: Path) -> None:
    touch(root, "lorchestra.toml", "pipelines/ingest.yaml", "a/b/ingest.yaml")
    assert find_pipeline("ingest", root / "a/b") == (root / "pipelines/ingest.yaml", root)


def test_without_settings_a_name_is_looked_for_in_the_working_folder(root: Path) -> None:
    touch(root, "ingest.yaml", "a/pipelines/x.yaml")
    assert find_pipeline("x", root / "a") == (root / "a/pipelines/x.yaml", root / "a")
    not_found("ingest", root / "a")


@pytest.mark.parametrize(
    ("name", "file", "project"),
    [
        ("x.yaml", "x.yaml", "."),
        ("x.yml", "x.yml", "."),
        ("./x.yaml", "x.yaml", "."),
        ("./x.txt", "x.txt", "."),
        ("a/x.yaml", "a/x.yaml", "a"),
        ("a/../b/./x", "b/x", "b"),
        ("pipelines/x.yaml", "pipelines/x.yaml", "."),
        ("a/pipelines/x.yaml", "a/pipelines/x.yaml", "a"),
        ("pipelines/sub/x.yaml", "pipelines/sub/x.yaml", "pipelines/sub"),
    ],
)
def test_a_path_is_opened_and_brings_its_own_project_folder(
    root: Path, name: str, file: str, project: str
) -> None:
    touch(root, "lorchestra.toml", file)
    (root / "a").mkdir(exist_ok=True)
    assert find_pipeline(name, root) == (root / file, root / project)
    assert find_pipeline(str(root / name), root / "a") == (root / file, root / project)


def test_a_path_in_the_folder_pipelines_itself(root: Path) -> None:
    touch(root, "pipelines/x.yaml")
    assert find_pipeline("x.yaml", root / "pipelines") == (root / "pipelines/x.yaml", root)


def test_a_name_that_is_not_there_tells_where_it_was_looked_for_and_what_is_near(
    root: Path,
) -> None:
    touch(root, "pipelines/pipeline.ingest.yaml", "report.yml", "Ingset2.yaml")
    error = not_found("ingset", root)
    assert error.near == ("Ingset2", "pipeline.ingest")
    assert tuple(path.replace(os.sep, "/") for path in error.searched) == (
        *("pipelines/ingset.yaml", "pipelines/ingset.yml", "ingset.yaml", "ingset.yml"),
        *("pipelines/pipeline.ingset.yaml", "pipelines/pipeline.ingset.yml"),
        *("pipeline.ingset.yaml", "pipeline.ingset.yml"),
    )
    assert str(error).startswith(
        "no pipeline 'ingset' (did you mean Ingset2 or pipeline.ingest?); looked for pipelines"
    )
    assert not_found("pipeline.qwxyz", root).near == ()
    assert not_found("reprot", root).near == ("report",)
    assert not_found("pipeline.reprot", root).near == ("report",)
    assert not_found("pipelin.ingest", root).near == ("pipeline.ingest",)


def test_a_name_behind_another_prefix_is_near(root: Path) -> None:
    touch(root, "pipelines/ingest.yaml")
    assert not_found("pipelines.ingest", root).near == ("ingest",)
    assert not_found("pipelines.qwxyz", root).near == ()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("a/auidt.yaml", ("a/audit.yaml",)),
        ("./ingset.yaml", ("./ingest.yml",)),
        ("a/audit", ("a/audit.yaml",)),
        ("audti.yaml", ("pipeline.audit",)),
        ("nowhere/pipeline.audit.yaml", ("pipeline.audit",)),
        ("nowhere/x/", ()),
        ("a/", None),
    ],
)
def test_a_path_that_is_not_there_tells_what_is_near(
    root: Path, name: str, near: tuple[str, ...] | None
) -> None:
    touch(root, "a/audit.yaml", "ingest.yml", "pipelines/pipeline.audit.yaml")
    if near is None:  # a folder is there; reading it says what is wrong
        assert find_pipeline(name, root)[0] == root / "a"
        return
    error = not_found(name, root)
    assert error.near == near
    assert error.searched == (os.path.normpath(name),)


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 5000, "a\0b", "a\0b.yaml", "é\udcff", "\n"])
def test_names_that_no_file_can_have_are_not_found(root: Path, name: str) -> None:
    touch(root, "x.yaml")
    assert not_found(name, root).searched


def test_folders_and_hidden_files_are_no_pipelines(root: Path) -> None:
    touch(root, "pipelines/x.yaml/y", "pipelines/.z.yaml", "pipelines/b.yml", "a.yaml", "c.txt")
    assert find_pipelines(root) == [root / "pipelines/b.yml", root / "a.yaml"]
    not_found("x", root)


def test_the_settings_of_other_tools_are_no_pipelines(root: Path) -> None:
    touch(root, "a.yaml")
    (root / "mkdocs.yml").write_text("site_name: stages of life\n")
    assert find_pipelines(root) == [root / "a.yaml"]


def test_a_project_without_pipelines_has_none(root: Path) -> None:
    assert find_pipelines(root / "nowhere") == []


def test_settings_that_cannot_be_read_are_told(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.lorchestra\n")
    with pytest.raises(ConfigError):
        find_pipeline("x", root)
