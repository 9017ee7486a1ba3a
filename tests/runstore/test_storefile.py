"""What makes a folder a store, and what is refused as one."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from runstore import RunStore, StoreFormatError, files
from runstore.storefile import check_store, create_store, store_file_problem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_a_new_store_says_its_format_and_its_version(path: Path) -> None:
    create_store(str(path), sync=False)
    data = (path / "store.json").read_bytes()
    assert data.endswith(b"}\n")
    content = json.loads(data)
    assert (content["format"], content["version"]) == ("runstore", 1)
    covered = data[: data.index(b',"crc":')]
    assert content["crc"] == f"{crc32(covered):08x}"
    assert names(path) == [".gitignore", "runs", "store.json"]
    assert check_store(str(path))
    assert store_file_problem(str(path)) is None


def test_a_store_that_is_there_is_left_as_it_is(path: Path) -> None:
    create_store(str(path), sync=False)
    (path / ".gitignore").write_bytes(b"mine\n")
    create_store(str(path), sync=True)
    assert (path / ".gitignore").read_bytes() == b"mine\n"


def test_a_folder_above_is_made_too(tmp_path: Path) -> None:
    create_store(str(tmp_path / "a" / "b" / "c"), sync=True)
    assert check_store(str(tmp_path / "a" / "b" / "c"))


@pytest.mark.parametrize("left", [[], ["runs"], [".gitignore"], ["store.json.12.tmp", "runs"]])
def test_what_a_crash_in_the_making_leaves_becomes_a_store(path: Path, left: list[str]) -> None:
    path.mkdir()
    for name in left:
        (path / name).mkdir() if name == "runs" else (path / name).write_bytes(b"")
    assert not check_store(str(path))
    create_store(str(path), sync=False)
    assert check_store(str(path))


def test_an_empty_folder_becomes_a_store(path: Path) -> None:
    path.mkdir()
    with RunStore(path).create_run(pipeline="p"):
        pass
    assert check_store(str(path))


@pytest.mark.parametrize("name", ["notes.txt", "src", "storexjson"])
def test_a_folder_of_something_else_is_refused_and_not_touched(path: Path, name: str) -> None:
    path.mkdir()
    (path / name).mkdir()
    with pytest.raises(StoreFormatError, match=f"has '{name}' and no store.json") as raised:
        RunStore(path)
    assert raised.value.path == str(path)
    with pytest.raises(StoreFormatError):
        create_store(str(path), sync=False)
    assert names(path) == [name]


def test_a_file_is_refused_and_not_touched(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(StoreFormatError, match="is a file, not a folder"):
        RunStore(path)
    assert path.read_bytes() == b"mine"


def test_a_path_below_a_file_cannot_be_made(path: Path) -> None:
    path.write_bytes(b"mine")
    store = RunStore(path / "below")
    assert list(store.runs()) == []
    with pytest.raises(OSError, match="below"):
        store.create_run(pipeline="p")
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("version", [0, 2, 99, -1, "1", None, 1.5, [1]])
def test_a_store_of_another_version_is_refused(path: Path, version: Any) -> None:
    create_store(str(path), sync=False)
    (path / "store.json").write_text(json.dumps({"format": "runstore", "version": version}))
    with pytest.raises(StoreFormatError, match="is of version") as raised:
        RunStore(path)
    assert raised.value.supported == "stores of version 1"
    with pytest.raises(StoreFormatError):
        create_store(str(path), sync=False)


@pytest.mark.parametrize("content", ["{}", "[]", "1", '{"format":"other","version":1}', "null"])
def test_a_file_of_another_program_is_refused(path: Path, content: str) -> None:
    path.mkdir()
    (path / "store.json").write_text(content)
    with pytest.raises(StoreFormatError, match="is no store's file"):
        RunStore(path)
    assert (path / "store.json").read_text() == content


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 51, b"{", b"\xff\xfe", b'{"format":"runstore","version":1}\n']
)
def test_a_damaged_file_is_left_to_verify_and_the_runs_are_read(path: Path, damage: bytes) -> None:
    with RunStore(path).create_run(pipeline="p") as run:
        pass
    (path / "store.json").write_bytes(damage)
    store = RunStore(path)
    assert store.read(run.id).status == "succeeded"
    (error,) = store.verify().errors
    assert (error.code, error.path, error.line, error.offset) == ("damaged", "store.json", 1, 0)


def test_a_folder_in_the_place_of_the_file_is_damage(path: Path) -> None:
    create_store(str(path), sync=False)
    (path / "store.json").unlink()
    (path / "store.json").mkdir()
    assert RunStore(path).verify().errors[0].path == "store.json"


def test_a_store_whose_file_is_lost_has_it_made_again(path: Path) -> None:
    with RunStore(path).create_run(pipeline="p") as run:
        pass
    (path / "store.json").unlink()
    with RunStore(path).create_run(pipeline="p"):
        pass
    assert run.id in RunStore(path).run_ids()
    assert RunStore(path).verify().ok


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="the system has no links")
def test_a_store_may_be_reached_by_a_link_that_leads_somewhere(path: Path, tmp_path: Path) -> None:
    create_store(str(path), sync=False)
    link = tmp_path / "link"
    link.symlink_to(path)
    with RunStore(link).create_run(pipeline="p"):
        pass
    assert RunStore(path).verify().runs == 1
    nowhere = tmp_path / "nowhere"
    nowhere.symlink_to(tmp_path / "gone")
    with pytest.raises(StoreFormatError):
        RunStore(nowhere)


def test_another_process_that_makes_the_store_at_this_moment_is_no_stranger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.mkdir()
    listed = files.names

    def names_of_a_moment_later(folder: str) -> list[str]:
        monkeypatch.undo()
        create_store(folder, sync=False)
        return listed(folder)

    monkeypatch.setattr(files, "names", names_of_a_moment_later)
    assert check_store(str(path))


def test_what_cannot_be_written_is_an_error_of_the_system_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(files, "make_folder", refuse)
    with pytest.raises(PermissionError):
        RunStore(path).create_run(pipeline="p")
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="the system has no /proc")
def test_a_place_where_nothing_can_be_made_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="/proc/"):
        RunStore("/proc/store").create_run(pipeline="p")


def test_on_a_full_disk_nothing_is_left_and_the_error_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "append", full)
    with pytest.raises(OSError, match="No space left") as caught:
        create_store(str(tmp_path / "store"), sync=False)
    assert caught.value.filename == str(tmp_path / "store" / ".gitignore")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "store").mkdir()
    with pytest.raises(OSError, match="No space left"):
        create_store(str(tmp_path / "store"), sync=False)
    assert (tmp_path / "store").exists()
