"""Which folder is the project's, and what its settings say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lorchestra.config import Config, find_root, load_config
from lorchestra.errors import ConfigError
from lorchestra.loader import secrets_of
from lorchestra.masking import Secret
from lorchestra.quota import Quota, Rate


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake(root: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(root)
    assert caught.value.exit_code == 2
    return str(caught.value)


OWN = ("lorchestra.toml", "{}")
SHARED = ("pyproject.toml", "[tool.lorchestra]\n{}")


@pytest.mark.parametrize(("file", "form"), [OWN, SHARED])
def test_the_store_is_taken_from_the_project_folder(root: Path, file: str, form: str) -> None:
    (root / file).write_text(form.format('store = "../runs/x"'))
    config = load_config(root)
    assert config == Config(root, root.parent / "runs/x", root / file)


@pytest.mark.parametrize(("file", "form"), [OWN, SHARED])
def test_settings_may_be_empty(root: Path, file: str, form: str) -> None:
    (root / file).write_text(form.format(""))
    assert load_config(root) == Config(root, None, root / file)


def test_a_project_needs_no_settings(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "lorchestra.toml").write_text('store = "x"')
    assert load_config(root / "sub") == Config(root / "sub")


def test_an_absolute_store_stays(root: Path, tmp_path: Path) -> None:
    (root / "lorchestra.toml").write_text(f"store = '{tmp_path / 'there'}'")
    assert load_config(root).store == tmp_path / "there"


def test_a_store_at_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("USERPROFILE", str(root / "home"))
    (root / "lorchestra.toml").write_text('store = "~/runs"')
    assert load_config(root).store == root / "home/runs"


def test_lorchestra_toml_counts_before_pyproject(root: Path) -> None:
    (root / "lorchestra.toml").write_text('store = "own"')
    (root / "pyproject.toml").write_text('[tool.lorchestra]\nstore = "shared"')
    assert load_config(root).store == root / "own"


def test_a_relative_root_becomes_absolute(root: Path) -> None:
    (root / "lorchestra.toml").write_text('store = "x"')
    assert load_config(Path()) == Config(root, root / "x", root / "lorchestra.toml")


def test_a_byte_order_mark_does_no_harm(root: Path) -> None:
    (root / "lorchestra.toml").write_text('store = "é"', encoding="utf-8-sig")
    assert load_config(root).store == root / "é"


@pytest.mark.parametrize(("file", "form"), [OWN, SHARED])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('stroe = "x"', "unknown key 'stroe' (did you mean store?)"),
        ("limits = 2", "limits must be a table, not 2"),
        ("store = 3", "store must be the path of a folder, not 3"),
        ("store = ['x']", "store must be the path of a folder, not ['x']"),
        ("store = ''", "store must be the path of a folder, not ''"),
        ("store = ' '", "store must be the path of a folder, not ' '"),
        (r'store = "a\u0000b"', r"store must be the path of a folder, not 'a\x00b'"),
    ],
)
def test_a_wrong_setting(root: Path, file: str, form: str, line: str, message: str) -> None:
    (root / file).write_text(form.format(line))
    assert mistake(root) == f"{file}: {message}"


@pytest.mark.parametrize(("file", "form"), [OWN, SHARED])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"store = ", "not valid TOML: Invalid value (at "),
        (b'store = "a"\nstore = "b"', "not valid TOML: Cannot overwrite a value (at "),
        (b"x = " + b"[" * 100_000, "not valid TOML: "),
        (b"x = " + b"9" * 5000, "not valid TOML: "),
        (b"x = '\xff'", "not valid UTF-8 text"),
        (b"\0", "not valid TOML: "),
    ],
)
def test_what_is_no_toml(root: Path, file: str, form: str, text: bytes, message: str) -> None:
    (root / file).write_bytes(form.format("").encode() + text)
    assert mistake(root).startswith(f"{file}: {message}")


@pytest.mark.parametrize("text", ["tool.lorchestra = 3", "[[tool.lorchestra]]"])
def test_the_table_must_be_a_table(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(text)
    assert mistake(root) == "pyproject.toml: tool.lorchestra must be a table"


def test_a_file_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lorchestra.toml").touch()

    def refuse(*_args: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert mistake(root) == "lorchestra.toml: cannot be read: Permission denied"


@pytest.mark.parametrize(("file", "form"), [OWN, SHARED])
def test_the_root_is_the_nearest_folder_with_settings(root: Path, file: str, form: str) -> None:
    start = root / "a/b/c"
    start.mkdir(parents=True)
    assert find_root(start) == start
    (root / file).write_text(form.format(""))
    assert find_root(start) == root
    (root / "a" / file).write_text(form.format(""))
    assert find_root(start) == root / "a"
    assert find_root(Path("a/b/../b")) == root / "a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[project]\nname = 'x'\n[tool.ruff]",
        "[project]\ndependencies = ['lorchestra']",
        "tool = 'lorchestra'",
        "[tool.other]\nx = 'lorchestra'",
        "not TOML and not ours",
    ],
)
def test_a_pyproject_without_our_table_is_passed_by(root: Path, text: str) -> None:
    (root / "sub").mkdir()
    (root / "lorchestra.toml").touch()
    (root / "sub/pyproject.toml").write_text(text)
    assert find_root(root / "sub") == root
    assert load_config(root / "sub") == Config(root / "sub")


def test_broken_settings_do_not_hide_the_root(root: Path) -> None:
    (root / "lorchestra.toml").write_text("[")
    assert find_root(root) == root


def test_a_folder_in_place_of_a_pyproject_is_passed_by(root: Path) -> None:
    (root / "pyproject.toml").mkdir()
    assert load_config(root) == Config(root)


def test_settings_that_are_there_and_cannot_be_read_are_not_passed_by(root: Path) -> None:
    (root / "lorchestra.toml").symlink_to(root / "not mounted")
    assert find_root(root) == root
    assert mistake(root).endswith("lorchestra.toml: cannot be read: No such file or directory")
    (root / "lorchestra.toml").unlink()
    (root / "lorchestra.toml").mkdir()
    assert "lorchestra.toml: cannot be read: " in mistake(root)


def test_the_parser_is_imported_only_for_a_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)  # importing it fails from now on
    assert load_config(find_root(root)) == Config(root)
    (root / "lorchestra.toml").touch()
    with pytest.raises(ImportError):
        load_config(find_root(root))


def test_options_may_be_configured(root: Path) -> None:
    (root / "lorchestra.toml").write_text(
        'max_workers = 4\ndurability = "os"\nguard = "skip"\nprogress = "none"\n'
        'secrets = ["TOKEN", {KEY = {file = "~/key"}}]'
    )
    config = load_config(root)
    assert (config.max_workers, config.durability) == (4, "os")
    assert (config.guard, config.progress) == ("skip", "none")
    assert secrets_of(config) == (Secret("TOKEN"), Secret("KEY", "~/key"))


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("max_workers = 1000001", "a whole number from 1 to 1,000,000, not 1000001"),
        ("max_workers = 0", "max_workers must be a whole number from 1 to 1,000,000, not 0"),
        ("max_workers = true", "max_workers must be a whole number from 1 to 1,000,000, not True"),
        ('max_workers = "4"', "max_workers must be a whole number from 1 to 1,000,000, not '4'"),
        ("max_worker = 4", "unknown key 'max_worker' (did you mean max_workers?)"),
        ('durability = "dsk"', "must be one of disk, os, not 'dsk' (did you mean disk?)"),
        ("guard = true", "guard must be one of fail, wait, skip, none, not True"),
        ('progress = ["plain"]', "progress must be one of auto, plain, json, none, not ['plain']"),
    ],
)
def test_mistaken_options(root: Path, setting: str, wrong: str) -> None:
    (root / "lorchestra.toml").write_text(setting)
    assert wrong in mistake(root)


@pytest.mark.parametrize(
    ("secrets", "wrong"),
    [
        ('"TOKEN"', "secrets must be a list, not 'TOKEN'"),
        ("[{A = 1}]", "secret 'A' must be a mapping, not 1"),
        ("[{A = {}}]", "a secret needs 'file'"),
        ("[{A = {file = 3}}]", "file must be text in quotes, not 3"),
        ('[{A = {file = " "}}]', "file must not be empty"),
        ("[{A = {file = 'a'}, B = {file = 'b'}}]", "a secret must be NAME or NAME: {file: path}"),
        ('["A=B"]', "a secret must be the name of an environment variable"),
        ("[{'A=B' = {file = 'a'}}]", "a secret must be the name of an environment variable"),
        ('[""]', "a secret must not be empty"),
        ('["A\\u0000"]', "a secret must not contain a NUL byte"),
        ("[3]", "a secret must be text in quotes, not 3"),
    ],
)
def test_mistaken_secrets(root: Path, secrets: str, wrong: str) -> None:
    (root / "lorchestra.toml").write_text(f"secrets = {secrets}")
    with pytest.raises(ConfigError) as caught:
        secrets_of(load_config(root))
    assert str(caught.value).startswith("lorchestra.toml: ")
    assert wrong in str(caught.value)


def test_a_project_without_settings_has_no_secrets(root: Path) -> None:
    assert secrets_of(load_config(root)) == ()


class TestLimits:
    def test_a_limit_is_of_the_machine_unless_it_says_otherwise(self, root: Path) -> None:
        (root / "lorchestra.toml").write_text(
            '[limits.a]\ncapacity = 2\n[limits.b]\nrate = "5/s"\nscope = "run"\n'
        )
        assert load_config(root).limits == (
            Quota("a", 2, None, "host"),
            Quota("b", None, Rate(5, "s"), "run"),
        )

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("a = 2", "limits.a must be a table with capacity or rate, not 2"),
            ("a = {}", "limits.a needs a capacity, a rate, or both"),
            ("a = {capcity = 2}", "limits.a: unknown key 'capcity' (did you mean capacity?)"),
            (
                "a = {capacity = 0}",
                "limits.a.capacity must be a whole number from 1 to 1,000, not 0",
            ),
            (
                "a = {capacity = 1001}",
                "limits.a.capacity must be a whole number from 1 to 1,000, not 1001",
            ),
            (
                "a = {capacity = true}",
                "limits.a.capacity must be a whole number from 1 to 1,000, not True",
            ),
            (
                "a = {capacity = '2'}",
                "limits.a.capacity must be a whole number from 1 to 1,000, not '2'",
            ),
            (
                "a = {rate = 60}",
                "limits.a.rate must be such as 60/min, 5/s, 100/h or 1000/day, not 60",
            ),
            (
                "a = {rate = '60/m'}",
                "limits.a.rate must be such as 60/min, 5/s, 100/h or 1000/day, not '60/m'",
            ),
            (
                "a = {capacity = 1, scope = 'hsot'}",
                "limits.a.scope must be one of host, run, not 'hsot' (did you mean host?)",
            ),
            (
                "'a b' = {capacity = 1}",
                (
                    "the name of limit 'a b' must be 1 to 64 letters, digits, _, . and -, "
                    "and begin with a letter or a digit"
                ),
            ),
        ],
    )
    def test_a_wrong_limit(self, root: Path, line: str, message: str) -> None:
        (root / "lorchestra.toml").write_text(f"[limits]\n{line}")
        assert mistake(root) == f"lorchestra.toml: {message}"
