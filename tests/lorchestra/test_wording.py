"""Values, near misses and paths in words for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra.paths import absolute, shown_path
from lorchestra.wording import did_you_mean, near, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("four", "'four'"),
        ("a\nb\x1b", r"'a\nb\x1b'"),
        ("it's", '"it\'s"'),
        ("x" * 60, f"'{'x' * 60}'"),
        ("x" * 61, f"'{'x' * 57}...'"),
    ],
)
def test_text_in_quotes_is_short_and_on_one_line(text: str, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("stpo_on_failure", ["stages", "stop_on_failure"], ("stop_on_failure",)),
        ("STAGES", ["jobs", "stages"], ("stages",)),
        ("job", ["Jobs", "job_id", "stages"], ("Jobs", "job_id")),
        ("xyz", ["jobs", "stages"], ()),
        ("abcd", ["abce", "abcf", "abcg", "abch"], ("abch", "abcg", "abcf")),
        ("x" * 101, ["x" * 100], ()),
        ("x" * 100, ["x" * 101, "x" * 99], ("x" * 99,)),
        ("", ["a"], ()),
        ("a", [], ()),
    ],
)
def test_near_words(word: str, known: list[str], found: tuple[str, ...]) -> None:
    assert near(word, known) == found


def test_no_more_near_words_than_asked_for() -> None:
    assert near("abc", ["abcd", "abce"], at_most=1) == ("abce",)


@pytest.mark.parametrize(
    ("names", "question"),
    [
        ([], ""),
        (["a"], " (did you mean a?)"),
        (["a", "b", "c"], " (did you mean a or b or c?)"),
    ],
)
def test_the_question_behind_a_message(names: list[str], question: str) -> None:
    assert did_you_mean(names) == question


def test_a_path_is_shown_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown_path(tmp_path / "here/a/b.yaml") == str(Path("a/b.yaml"))
    assert shown_path(tmp_path / "there/b.yaml") == str(tmp_path / "there/b.yaml")
    assert shown_path(Path("a/b.yaml")) == str(Path("a/b.yaml"))
    assert shown_path(tmp_path / "here/\udcff") == r"\udcff"


def test_a_path_is_shown_whole_when_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert shown_path(tmp_path / "x") == str(tmp_path / "x")


def test_an_absolute_path_has_no_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(Path("a/../b/./c")) == tmp_path / "b/c"
