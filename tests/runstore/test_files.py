"""The door to the disk: what is made is whole, what is synced is synced once, nothing hangs."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from runstore import files
from runstore.files import FolderSync, NotAFileError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")
needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="needs permission bits")
needs_null = pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs /dev/null")

SLOW_S = 30.0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the system, in order: the function, and the name of the file it is about."""
    asked: list[tuple[str, str]] = []
    names: dict[int, str] = {}
    real_open = os.open

    def opened(path: str, *arguments: Any) -> int:
        descriptor = real_open(path, *arguments)
        names[descriptor] = os.path.basename(path)
        asked.append(("open", names[descriptor]))
        return descriptor

    def recorded(name: str) -> Callable[..., Any]:
        real = getattr(os, name, None)

        def call(descriptor: int, *arguments: Any) -> Any:
            asked.append((name, names.get(descriptor, "made before")))
            return real(descriptor, *arguments) if real else None

        return call

    def renamed(name: str) -> Callable[[str, str], None]:
        real: Callable[[str, str], None] = getattr(os, name)

        def call(old: str, new: str) -> None:
            asked.append((name, os.path.basename(new)))
            real(old, new)

        return call

    monkeypatch.setattr(os, "open", opened)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, renamed(name))
    for name in ("write", "close", "fsync", "fdatasync"):
        monkeypatch.setattr(os, name, recorded(name), raising=False)
    return asked


@pytest.fixture
def full_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the module believe that it is on macOS, and give the commands that it gives to fcntl."""
    commands: list[int] = []

    def command(_descriptor: int, number: int) -> int:
        commands.append(number)
        return 0

    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setitem(sys.modules, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=command))
    return commands


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A second copy of the module, made as on Windows."""
    if sys.platform == "win32":
        pytest.skip("the module itself is of that kind here")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        patch.setattr(os, "O_BINARY", os.O_NOCTTY, raising=False)
        patch.setattr(os, "O_NOINHERIT", os.O_CLOEXEC, raising=False)
        spec = importlib.util.spec_from_file_location("runstore.files_on_windows", files.__file__)
        assert spec is not None
        assert spec.loader is not None
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
    monkeypatch.setattr(copy, "sys", SimpleNamespace(platform="win32"))
    return copy


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = files.create(str(tmp_path / "made"))
    yield opened
    os.close(opened)


class TestCreate:
    def test_a_new_file_is_empty_and_appended_to(self, tmp_path: Path, descriptor: int) -> None:
        os.write(descriptor, b"one")
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b"two")
        assert (tmp_path / "made").read_bytes() == b"onetwo"

    def test_a_file_that_is_there_is_refused(self, tmp_path: Path, descriptor: int) -> None:
        with pytest.raises(FileExistsError):
            files.create(str(tmp_path / "made"))

    @needs_modes
    def test_files_and_folders_are_for_their_owner_alone(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            os.close(files.create(str(tmp_path / "file")))
            files.make_folder(str(tmp_path / "folder"))
            files.make_folders(str(tmp_path / "a" / "b"), sync=False)
            files.publish(str(tmp_path / "published"), b"x", sync=False)
        finally:
            os.umask(old)
        for name, mode in (("file", 0o600), ("published", 0o600)):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        for name in ("folder", "a", "a/b"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700

    def test_descriptors_are_not_inherited(self, tmp_path: Path, descriptor: int) -> None:
        reader = files.open_read(str(tmp_path / "made"))
        try:
            assert not os.get_inheritable(descriptor)
            assert not os.get_inheritable(reader)
        finally:
            os.close(reader)


class TestAppend:
    def test_bytes_are_added_with_one_write(
        self, tmp_path: Path, calls: list[tuple[str, str]]
    ) -> None:
        descriptor = files.create(str(tmp_path / "f"))
        files.append(descriptor, b"x" * 1_000_000)
        files.close(descriptor)
        assert calls == [("open", "f"), ("write", "f"), ("close", "f")]
        assert (tmp_path / "f").stat().st_size == 1_000_000

    @pytest.mark.parametrize("written", [0, 1, 9])
    def test_a_short_write_is_an_error(
        self, descriptor: int, monkeypatch: pytest.MonkeyPatch, written: int
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda _descriptor, _data: written)
            with pytest.raises(OSError, match=f"only {written} of 10 bytes") as caught:
                files.append(descriptor, b"x" * 10)
        assert caught.value.errno == errno.ENOSPC

    def test_a_failed_write_passes_through(self, descriptor: int, tmp_path: Path) -> None:
        reader = files.open_read(str(tmp_path / "made"))
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                files.append(reader, b"x")
        finally:
            os.close(reader)


class TestSync:
    @needs_posix
    def test_a_file_is_synced_with_its_length(
        self, tmp_path: Path, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "sys", SimpleNamespace(platform="linux"))
        descriptor = files.create(str(tmp_path / "f"))
        files.sync_file(descriptor)
        files.close(descriptor)
        assert calls == [("open", "f"), ("fdatasync", "f"), ("close", "f")]

    def test_a_file_is_synced_to_the_medium_on_macos(
        self, full_syncs: list[int], descriptor: int, calls: list[tuple[str, str]]
    ) -> None:
        files.sync_file(descriptor)
        assert (full_syncs, calls) == ([51], [])

    def test_a_file_is_flushed_on_windows(
        self, on_windows: ModuleType, tmp_path: Path, calls: list[tuple[str, str]]
    ) -> None:
        descriptor = on_windows.create(str(tmp_path / "f"))
        on_windows.sync_file(descriptor)
        on_windows.close(descriptor)
        assert calls == [("open", "f"), ("fsync", "f"), ("close", "f")]

    @needs_posix
    def test_a_folder_is_synced(self, tmp_path: Path, calls: list[tuple[str, str]]) -> None:
        files.sync_folder(str(tmp_path))
        assert [call for call, _ in calls] == ["open", "fsync", "close"]

    @needs_posix
    def test_a_folder_is_synced_to_the_medium_on_macos(
        self, full_syncs: list[int], tmp_path: Path, calls: list[tuple[str, str]]
    ) -> None:
        files.sync_folder(str(tmp_path))
        assert full_syncs == [51]
        assert [call for call, _ in calls] == ["open", "close"]

    def test_a_folder_cannot_be_synced_on_windows_and_is_not_opened(
        self, on_windows: ModuleType, tmp_path: Path, calls: list[tuple[str, str]]
    ) -> None:
        on_windows.sync_folder(str(tmp_path))
        on_windows.sync_folder(str(tmp_path / "missing"))
        assert calls == []

    @needs_posix
    def test_a_failed_sync_of_a_folder_passes_through(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: fail(OSError(errno.EIO, "lost")))
            with pytest.raises(OSError, match="lost"):
                files.sync_folder(str(tmp_path))

    @needs_posix
    def test_what_is_no_folder_cannot_be_synced_as_one(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        with pytest.raises(NotADirectoryError):
            files.sync_folder(str(tmp_path / "f"))


def fail(error: BaseException) -> None:
    raise error


class TestFolderSync:
    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folders synced, in order."""
        folders: list[str] = []
        monkeypatch.setattr(files, "sync_folder", folders.append)
        return folders

    def test_files_made_before_a_sync_share_it(self, synced: list[str]) -> None:
        folder = FolderSync("/f")
        tickets = [folder.made() for _ in range(5)]
        for ticket in reversed(tickets):
            folder.sync(ticket)
            folder.sync(ticket)
        assert synced == ["/f"]

    def test_a_file_made_after_a_sync_needs_another(self, synced: list[str]) -> None:
        folder = FolderSync("/f")
        for _ in range(3):
            folder.sync(folder.made())
        assert synced == ["/f"] * 3

    def test_an_older_ticket_is_covered_by_a_younger_sync(self, synced: list[str]) -> None:
        folder = FolderSync("/f")
        older, younger = folder.made(), folder.made()
        folder.sync(younger)
        folder.sync(older)
        assert synced == ["/f"]

    def test_threads_return_only_when_their_file_is_covered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: set[int] = set()
        covered: set[int] = set()
        syncs = []
        folder = FolderSync("/f")

        def sync(_path: str) -> None:
            seen = set(made)
            syncs.append(len(seen))
            covered.update(seen)

        def work(number: int) -> bool:
            made.add(number)
            ticket = folder.made()
            folder.sync(ticket)
            return number in covered

        monkeypatch.setattr(files, "sync_folder", sync)
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(work, range(400)))
        assert 1 <= len(syncs) <= 400

    def test_waiting_threads_share_the_next_sync(self, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = FolderSync("/f")
        tickets = [folder.made() for _ in range(8)]
        began, go_on, syncs = threading.Event(), threading.Event(), []

        def sync(path: str) -> None:
            syncs.append(path)
            began.set()
            assert go_on.wait(SLOW_S)

        monkeypatch.setattr(files, "sync_folder", sync)
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(folder.sync, ticket) for ticket in tickets]
            assert began.wait(SLOW_S)
            go_on.set()
            for future in waiting:
                future.result(SLOW_S)
        assert syncs == ["/f"]

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "lost"), KeyboardInterrupt()])
    def test_a_failed_sync_does_not_count_and_is_not_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, synced: list[str], error: BaseException
    ) -> None:
        folder = FolderSync("/f")
        ticket = folder.made()
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync_folder", lambda _: fail(error))
            with pytest.raises(type(error)) as caught:
                folder.sync(ticket)
            assert caught.value is error
        for again in (ticket, folder.made()):
            with pytest.raises(OSError, match="an earlier sync of the folder failed"):
                folder.sync(again)
        assert synced == []

    def test_what_was_synced_before_a_failure_stays_so(
        self, monkeypatch: pytest.MonkeyPatch, synced: list[str]
    ) -> None:
        folder = FolderSync("/f")
        before = folder.made()
        folder.sync(before)
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync_folder", lambda _: fail(OSError(errno.EIO, "lost")))
            with pytest.raises(OSError, match="lost"):
                folder.sync(folder.made())
        folder.sync(before)
        assert synced == ["/f"]


class TestFolders:
    def test_a_folder_that_is_there_is_refused(self, tmp_path: Path) -> None:
        files.make_folder(str(tmp_path / "f"))
        with pytest.raises(FileExistsError):
            files.make_folder(str(tmp_path / "f"))

    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        folders: list[str] = []
        monkeypatch.setattr(files, "sync_folder", lambda path: folders.append(Path(path).name))
        return folders

    def test_missing_folders_are_made_and_their_entries_synced(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        (tmp_path / "a").mkdir()
        files.make_folders(str(tmp_path / "a/b/c"), sync=True)
        assert (tmp_path / "a/b/c").is_dir()
        assert synced == ["a", "b"]
        files.make_folders(str(tmp_path / "a/b/c"), sync=True)
        assert synced == ["a", "b"]

    def test_nothing_is_synced_when_that_is_not_asked(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        files.make_folders(str(tmp_path / "a/b"), sync=False)
        assert (tmp_path / "a/b").is_dir()
        assert synced == []

    def test_a_folder_that_another_makes_first_is_synced_too(
        self, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = files.make_folder

        def late(path: str) -> None:
            real(path)
            real(path)

        monkeypatch.setattr(files, "make_folder", late)
        files.make_folders(str(tmp_path / "a"), sync=True)
        assert synced == [tmp_path.name]

    def test_many_threads_may_make_the_same_folders(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(8)

        def make(_: int) -> None:
            barrier.wait(SLOW_S)
            files.make_folders(str(tmp_path / "a/b/c/d"), sync=True)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(make, range(8)))
        assert (tmp_path / "a/b/c/d").is_dir()

    def test_a_file_in_the_way_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with pytest.raises(OSError, match="a"):
            files.make_folders(str(tmp_path / "a/b/c"), sync=False)
        assert (tmp_path / "a").is_file()

    def test_a_root_that_is_not_there_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on Windows for a drive that does not exist: it is its own parent."""
        with monkeypatch.context() as patch:
            patch.setattr(os.path, "isdir", lambda _: False)
            patch.setattr(files, "make_folder", lambda path: fail(FileNotFoundError(path)))
            with pytest.raises(FileNotFoundError, match=r"^/$"):
                files.make_folders("/a/b", sync=False)


class TestPublish:
    def test_the_file_is_there_whole_and_nothing_beside_it(self, tmp_path: Path) -> None:
        for sync in (True, False):
            path = tmp_path / str(sync) / "f"
            path.parent.mkdir()
            files.publish(str(path), b"content", sync=sync)
            assert path.read_bytes() == b"content"
            assert os.listdir(path.parent) == ["f"]

    def test_a_file_that_is_there_is_left(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"first")
        files.publish(str(tmp_path / "f"), b"second", sync=True)
        assert (tmp_path / "f").read_bytes() == b"first"
        assert os.listdir(tmp_path) == ["f"]

    @needs_posix
    def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_after(
        self, tmp_path: Path, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "sys", SimpleNamespace(platform="linux"))
        files.publish(str(tmp_path / "f"), b"content", sync=True)
        assert [call for call, _ in calls] == [
            *("open", "write", "fdatasync", "close", "rename"),
            *("open", "fsync", "close"),
        ]
        assert {name for call, name in calls if call == "rename"} == {"f"}
        assert {name for call, name in calls if call == "fsync"} == {tmp_path.name}

    def test_nothing_is_synced_when_that_is_not_asked(
        self, tmp_path: Path, calls: list[tuple[str, str]]
    ) -> None:
        files.publish(str(tmp_path / "f"), b"content", sync=False)
        assert [call for call, _ in calls] == ["open", "write", "close", "rename"]

    @pytest.mark.parametrize("step", ["append", "sync_file", "_rename_new"])
    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_a_failure_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
    ) -> None:
        monkeypatch.setattr(files, step, lambda *_: fail(error))
        with pytest.raises(type(error)) as caught:
            files.publish(str(tmp_path / "f"), b"content", sync=True)
        assert caught.value is error
        assert os.listdir(tmp_path) == []

    def test_a_short_write_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
            with pytest.raises(OSError, match="only 3 of 7 bytes"):
                files.publish(str(tmp_path / "f"), b"content", sync=True)
        assert os.listdir(tmp_path) == []

    def test_what_cannot_be_cleaned_up_does_not_hide_the_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "append", lambda *_: fail(OSError(errno.ENOSPC, "full")))
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", lambda _: fail(PermissionError("no")))
            with pytest.raises(OSError, match="full"):
                files.publish(str(tmp_path / "f"), b"content", sync=True)
        (left,) = os.listdir(tmp_path)
        assert left.endswith(".tmp")

    def test_a_failed_rename_passes_through(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", lambda *_: fail(OSError(errno.EIO, "lost")))
            with pytest.raises(OSError, match="lost"):
                files.publish(str(tmp_path / "f"), b"content", sync=True)
        assert os.listdir(tmp_path) == []

    def test_a_rename_that_windows_refuses_because_another_was_first_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def another_first(_old: str, new: str) -> None:
            Path(new).write_bytes(b"content")
            raise FileExistsError(errno.EEXIST, "exists")

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", another_first)
            files.publish(str(tmp_path / "f"), b"content", sync=True)
        assert (tmp_path / "f").read_bytes() == b"content"
        assert os.listdir(tmp_path) == ["f"]

    @pytest.mark.parametrize("is_race", [False, True], ids=["as it comes", "all see no file"])
    def test_threads_may_publish_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_race: bool
    ) -> None:
        path = tmp_path / "f"
        content = b"x" * 50_000
        barrier = threading.Barrier(9)
        seen: set[int] = set()

        def publish(_: int) -> None:
            barrier.wait(SLOW_S)
            files.publish(str(path), content, sync=False)

        def watch() -> None:
            barrier.wait(SLOW_S)
            deadline = time.monotonic() + SLOW_S
            while not seen and time.monotonic() < deadline:
                if path.is_file():
                    seen.add(len(path.read_bytes()))

        with monkeypatch.context() as patch, ThreadPoolExecutor(9) as pool:
            if is_race:
                patch.setattr(files, "os", without_a_look(os))
            watcher = pool.submit(watch)
            list(pool.map(publish, range(8)))
            watcher.result(SLOW_S)
        assert seen == {50_000}
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["f"]

    def test_processes_may_publish_at_once(self, tmp_path: Path) -> None:
        code = (
            "import sys; from runstore import files; sys.stdout.write('.'); sys.stdout.flush()\n"
            "sys.stdin.read()\n"
            "for i in range(50): files.publish(f'{sys.argv[1]}/{i}', b'x' * 20_000, sync=False)"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"."
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            assert process.wait(SLOW_S) == 0
            assert process.stdout is not None
            process.stdout.close()
        assert sorted(os.listdir(tmp_path), key=int) == [str(i) for i in range(50)]
        assert {path.stat().st_size for path in tmp_path.iterdir()} == {20_000}


def without_a_look(real: Any) -> SimpleNamespace:
    """An `os` in which no file is ever there: what a thread sees that looks too early."""
    names = {name: getattr(real, name) for name in dir(real) if not name.startswith("__")}
    path = SimpleNamespace(exists=lambda _: False, dirname=real.path.dirname)
    return SimpleNamespace(**names | {"path": path})


class TestReplace:
    def test_the_new_content_is_on_the_disk_before_it_has_the_name_and_the_name_after(
        self, tmp_path: Path, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if sys.platform == "win32":
            pytest.skip("needs folders that can be synced")
        monkeypatch.setattr(files, "sys", SimpleNamespace(platform="linux"))
        path = str(tmp_path / "f")
        (tmp_path / "f").write_bytes(b"old")
        temporary = files.temporary_beside(path)
        with files.writing(temporary) as write:
            write(b"new ")
            write(b"content")
        files.replace(temporary, path)
        assert [call for call, _ in calls] == [
            *("open", "write", "write", "fdatasync", "close", "replace"),
            *("open", "fsync", "close"),
        ]
        assert calls[-2] == ("fsync", tmp_path.name)
        assert (tmp_path / "f").read_bytes() == b"new content"
        assert os.listdir(tmp_path) == ["f"]

    def test_what_is_written_has_a_name_of_its_own(self, tmp_path: Path) -> None:
        path = str(tmp_path / "f")
        names = {files.temporary_beside(path) for _ in range(100)}
        assert len(names) == 100
        assert all(name.startswith(f"{tmp_path}/") and name.endswith(".tmp") for name in names)
        (tmp_path / "f").touch()
        with pytest.raises(FileExistsError), files.writing(path):
            pytest.fail("it was there")

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_a_failure_in_between_closes_the_file_and_syncs_nothing(
        self, tmp_path: Path, calls: list[tuple[str, str]], error: BaseException
    ) -> None:
        with pytest.raises(type(error)), files.writing(str(tmp_path / "f")):
            fail(error)
        assert [call for call, _ in calls] == ["open", "close"]

    @pytest.mark.parametrize("block_bytes", [1, 3, 7, 8, 100])
    def test_a_copy_has_the_same_bytes(self, tmp_path: Path, block_bytes: int) -> None:
        (tmp_path / "f").write_bytes(b"content")
        blocks: list[bytes] = []
        files.copy_into(str(tmp_path / "f"), blocks.append, block_bytes)
        assert b"".join(blocks) == b"content"
        assert max(map(len, blocks)) <= block_bytes

    def test_files_are_the_same_when_all_bytes_are(self, tmp_path: Path) -> None:
        one = tmp_path / "one"
        other = tmp_path / "other"
        for size in (0, 1, 1 << 20, (1 << 20) + 1, 3 << 20):
            content = bytearray(os.urandom(size))
            one.write_bytes(content)
            other.write_bytes(content)
            assert files.same_content(str(one), str(other))
            other.write_bytes(content + b"x")
            assert not files.same_content(str(one), str(other))
            if size:
                content[-1] ^= 1
                other.write_bytes(content)
                assert not files.same_content(str(one), str(other))

    def test_what_is_no_file_is_never_the_same(self, tmp_path: Path) -> None:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        (tmp_path / "file").touch()
        for name in ("other", "none", "file"):
            assert not files.same_content(str(tmp_path / "one"), str(tmp_path / name))
            assert not files.same_content(str(tmp_path / name), str(tmp_path / "one"))

    def test_a_file_that_is_gone_need_not_be_removed(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        files.remove(str(tmp_path / "f"))
        files.remove(str(tmp_path / "f"))
        assert os.listdir(tmp_path) == []
        (tmp_path / "folder").mkdir()
        with pytest.raises(OSError, match="folder"):
            files.remove(str(tmp_path / "folder"))


class TestOpenRead:
    def test_a_file_is_opened_for_reading_alone(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"content")
        descriptor = files.open_read(str(tmp_path / "f"))
        try:
            assert files.read(descriptor, 100) == b"content"
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(descriptor, b"x")
        finally:
            files.close(descriptor)

    def test_a_missing_file_is_an_error_of_the_system(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            files.open_read(str(tmp_path / "f"))

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(NotAFileError, match="is not a regular file"):
            files.open_read(str(tmp_path))

    @needs_posix
    def test_a_link_is_no_file_wherever_it_leads(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"content")
        for name, target in (("good", "f"), ("dangling", "none"), ("loop", "loop"), ("dir", ".")):
            (tmp_path / name).symlink_to(tmp_path / target)
            with pytest.raises(NotAFileError):
                files.open_read(str(tmp_path / name))

    def test_a_fifo_is_no_file_and_does_not_hang(self, tmp_path: Path) -> None:
        if sys.platform == "win32":
            pytest.skip("needs FIFOs")
        os.mkfifo(tmp_path / "f")
        with pytest.raises(NotAFileError):
            files.open_read(str(tmp_path / "f"))

    def test_a_socket_is_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if sys.platform == "win32":
            pytest.skip("needs sockets with a path")
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("f")
            with pytest.raises(NotAFileError):
                files.open_read(str(tmp_path / "f"))

    @needs_null
    def test_a_device_is_no_file(self) -> None:
        with pytest.raises(NotAFileError):
            files.open_read("/dev/null")

    def test_the_error_names_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(NotAFileError) as caught:
            files.open_read(str(tmp_path))
        assert caught.value.filename == str(tmp_path)

    @pytest.mark.parametrize("code", ["ELOOP", "EMLINK", "ENXIO"])
    def test_what_systems_answer_for_links_and_sockets_is_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_: fail(OSError(getattr(errno, code), "no")))
            with pytest.raises(NotAFileError):
                files.open_read(str(tmp_path / "f"))

    @pytest.mark.parametrize("code", ["EACCES", "EMFILE", "EIO", "ENOENT"])
    def test_other_errors_pass_through(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        error = OSError(getattr(errno, code), "no")
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_: fail(error))
            with pytest.raises(OSError, match="no") as caught:
                files.open_read(str(tmp_path / "f"))
        assert caught.value is error

    def test_a_folder_that_windows_refuses_to_open_is_no_file(
        self, on_windows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_: fail(PermissionError(errno.EACCES, "denied")))
            with pytest.raises(on_windows.NotAFileError):
                on_windows.open_read(str(tmp_path))
            with pytest.raises(PermissionError, match="denied"):
                on_windows.open_read(str(tmp_path / "f"))


def test_on_windows_files_are_binary_and_not_inherited(
    on_windows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("the flags stand for others of that system")
    (tmp_path / "f").touch()
    flags = []
    real = os.open

    def opened(path: str, with_flags: int, *mode: int) -> int:
        flags.append(with_flags)
        return real(path, with_flags, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        for descriptor in (
            on_windows.create(str(tmp_path / "g")),
            on_windows.open_read(str(tmp_path / "f")),
        ):
            os.close(descriptor)
    both = os.O_NOCTTY | os.O_CLOEXEC  # which stand for O_BINARY and O_NOINHERIT
    new = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
    assert flags == [new | both, os.O_RDONLY | both]


class TestRead:
    CONTENT = bytes(range(256)) * 4

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Iterator[int]:
        (tmp_path / "f").write_bytes(self.CONTENT)
        descriptor = files.open_read(str(tmp_path / "f"))
        yield descriptor
        os.close(descriptor)

    def test_pieces_follow_each_other_to_the_end(self, reader: int) -> None:
        pieces = [files.read(reader, 400) for _ in range(5)]
        assert [len(piece) for piece in pieces] == [400, 400, 224, 0, 0]
        assert b"".join(pieces) == self.CONTENT

    @pytest.mark.parametrize("size", [1, 3, 399])
    def test_a_system_that_gives_little_at_a_time_is_asked_again(
        self, reader: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        real = os.read
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", lambda descriptor, most: real(descriptor, min(most, size)))
            assert files.read(reader, 400) == self.CONTENT[:400]
            assert files.read(reader, 4000) == self.CONTENT[400:]
            assert files.read_end(reader, 500) == self.CONTENT[-500:]
            assert files.read_whole(str(tmp_path / "f"), 1 << 20) == self.CONTENT

    @pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 1 << 20])
    def test_the_end_is_read_wherever_the_descriptor_stands(self, reader: int, size: int) -> None:
        files.read(reader, 100)
        assert files.read_end(reader, size) == self.CONTENT[-size:]

    def test_of_a_file_no_more_is_read_at_once_than_asked(
        self, reader: int, tmp_path: Path
    ) -> None:
        assert files.read_whole(str(tmp_path / "f"), 10) == self.CONTENT[:10]
        assert files.read_whole(str(tmp_path / "f"), 1024) == self.CONTENT
        with pytest.raises(NotAFileError):
            files.read_whole(str(tmp_path), 10)

    def test_an_empty_file_has_an_empty_end(self, tmp_path: Path) -> None:
        (tmp_path / "e").touch()
        descriptor = files.open_read(str(tmp_path / "e"))
        try:
            assert files.read(descriptor, 10) == b""
            assert files.read_end(descriptor, 10) == b""
        finally:
            files.close(descriptor)


class TestNames:
    def test_names_are_sorted(self, tmp_path: Path) -> None:
        for name in ("b", "a", "c", "A"):
            (tmp_path / name).mkdir(exist_ok=True)
        assert files.names(str(tmp_path)) == sorted(os.listdir(tmp_path))

    def test_there_are_none_where_there_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        assert files.names(str(tmp_path / "none")) == []
        assert files.names(str(tmp_path / "f")) == []

    def test_other_errors_pass_through(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", lambda _: fail(PermissionError("no")))
            with pytest.raises(PermissionError):
                files.names(str(tmp_path))

    @needs_posix
    def test_a_link_to_a_folder_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        (tmp_path / "file").touch()
        assert {
            name: files.is_folder(str(tmp_path / name))
            for name in ("folder", "link", "file", "none", "file/x")
        } == {"folder": True, "link": False, "file": False, "none": False, "file/x": False}

    @needs_posix
    def test_a_link_to_a_file_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "file")
        names = ("folder", "link", "file", "none")
        assert [files.is_file(str(tmp_path / name)) for name in names] == [
            *(False, False, True, False),
        ]

    @needs_posix
    def test_a_dangling_link_is_something(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "none")
        assert files.exists(str(tmp_path / "link"))
        assert not files.exists(str(tmp_path / "none"))

    def test_what_cannot_be_seen_is_not_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", lambda _: fail(OSError(errno.EIO, "broken")))
            for tell in (files.exists, files.is_file, files.is_folder):
                with pytest.raises(OSError, match="broken"):
                    tell(str(tmp_path / "file"))

    @needs_posix
    def test_links_on_the_way_are_followed_when_that_is_asked(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        assert files.resolved(str(tmp_path / "link")) == os.path.realpath(tmp_path / "folder")
        assert files.absolute(tmp_path / "link").endswith("/link")

    def test_the_size_of_what_is_not_there_is_0(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"1234")
        assert files.size_bytes(str(tmp_path / "f")) == 4
        assert files.size_bytes(str(tmp_path / "none")) == 0

    def test_paths_are_absolute_with_slashes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert files.absolute("a/../b") == f"{tmp_path.as_posix()}/b"
        assert files.absolute(Path("b")) == f"{tmp_path.as_posix()}/b"

    def test_on_windows_backslashes_become_slashes(
        self, on_windows: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = SimpleNamespace(abspath=lambda path: f"C:\\{path}")
        monkeypatch.setattr(
            on_windows, "os", SimpleNamespace(path=path, fspath=os.fspath, sep="\\")
        )
        assert on_windows.absolute("a\\b") == "C:/a/b"
