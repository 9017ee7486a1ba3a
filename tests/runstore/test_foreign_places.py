"""What is no file where a file should be, no folder where a folder should be, and hostile names."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from runstore import RunStore, RunStoreError, layout
from tests.runstore.foreign import (
    RUN_ID,
    Fields,
    attempt_file,
    command,
    patience,
    read,
    repair,
    run_file,
    seal,
    try_all,
    try_changing,
    whole,
    write,
)
from tests.scale import ASKED_FOR, count

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such files")

RUN = f"runs/{RUN_ID}"
PLACES = (
    "store.json",
    ".gitignore",
    "locks",
    "runs",
    "runs/01a20fd3-7953-774b-81e5-f3a9c07d2b49",
    "runs/01a20fd3-7953-774b-81e5-f3a9c07d2b49.pruned",
    "runs/foreign",
    RUN,
    f"{RUN}/run.jsonl",
    f"{RUN}/run.2.jsonl",
    f"{RUN}/run.999999999.jsonl",
    f"{RUN}/jobs",
    f"{RUN}/jobs/ingest.a1.jsonl",
    f"{RUN}/jobs/other.a1.jsonl",
    f"{RUN}/logs",
    f"{RUN}/logs/ingest.a1.log",
    f"{RUN}/sealed",
    f"{RUN}/sealed.jsonl",
    f"{RUN}/sealed.999999999.jsonl",
    f"{RUN}/run.jsonl.damaged",
    f"{RUN}/jobs/ingest.a1.jsonl.damaged",
    f"{RUN}/0123456789abcdef.tmp",
    f"{RUN}/jobs/0123456789abcdef.tmp",
)


def socket_at(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def device_at(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except OSError:  # exfat-fuse: EIO
        pytest.skip("may not make devices, or the file system has none")


def missing_device_at(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(240, 77))
    except OSError:  # exfat-fuse: EIO
        pytest.skip("may not make devices, or the file system has none")


def deep_folder_at(path: Path) -> None:
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    try:
        for _ in range(300):
            os.mkdir("d" * 20, dir_fd=here)
            below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)


def folder_with_files_at(path: Path) -> None:
    path.mkdir()
    (path / "x").write_bytes(b"x")


def link_to_pipe_at(path: Path) -> None:
    os.mkfifo(f"{path}.pipe")
    path.symlink_to(f"{path}.pipe")


KINDS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "empty file": lambda path: path.touch(),
    "NULs": lambda path: path.write_bytes(bytes(5_000)),
    "folder": lambda path: path.mkdir(),
    "folder with files": folder_with_files_at,
    "deep folder": deep_folder_at,
    "pipe": os.mkfifo if hasattr(os, "mkfifo") else lambda path: None,
    "socket": socket_at,
    "device": device_at,
    "device that is not there": missing_device_at,
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the folder above": lambda path: path.symlink_to(".."),
    "link to the folder": lambda path: path.symlink_to("."),
    "link to the root": lambda path: path.symlink_to("/"),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to a device without end": lambda path: path.symlink_to("/dev/zero"),
    "link to a pipe": link_to_pipe_at,
}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_stands_in_a_place_harms_no_reader(place: str, kind: str, tmp_path: Path) -> None:
    is_sealed = (PLACES.index(place) + list(KINDS).index(kind)) % 2 == 0
    for each in (False, True) if ASKED_FOR.is_full else (is_sealed,):
        check_place(tmp_path / str(each), place, kind, is_sealed=each)


def check_place(folder: Path, place: str, kind: str, *, is_sealed: bool) -> None:
    store = folder / "store"
    content = whole()
    if is_sealed:
        log = content.popitem()
        content = {"sealed.jsonl": seal(content), log[0]: log[1]}
    run = write(store, content)
    if is_sealed:
        (run / "sealed").mkdir()
    path = store / place
    remove(path)
    KINDS[kind](path)
    outside = sorted(os.listdir(folder))
    try_all(store, changing=False)
    command(store, ("runs", "logs", RUN_ID, "ingest"))
    try_changing(store)
    command(store, ("runstore", "repair"))
    assert sorted(os.listdir(folder)) == outside


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_the_place_of_a_store_harms_no_reader(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "store")
    assert "" not in try_changing(tmp_path / "store").values()
    command(tmp_path / "store", ("runstore", "verify"))
    command(tmp_path / "store", ("runs", "list"))


def test_a_run_below_a_circle_of_links_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    run = write(tmp_path, whole())
    (run.parent / RUN_ID.replace("2b48", "2b49")).symlink_to(RUN_ID.replace("2b48", "2b49"))
    shutil.copytree(run, other := run.parent / RUN_ID.replace("2b48", "2b50"))
    shutil.rmtree(other / "jobs")
    (other / "jobs").symlink_to("jobs")
    store = RunStore(tmp_path)
    assert RUN_ID in {summary.id for summary in store.runs()}
    assert f"{RUN}/jobs" not in {error.path for error in store.verify().errors}
    assert not store.verify().ok
    assert store.verify(RUN_ID).ok


def test_runs_that_is_no_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path, whole())
    shutil.rmtree(tmp_path / "runs")
    for make in (Path.touch, lambda path: path.symlink_to("runs")):
        make(tmp_path / "runs")
        (error,) = RunStore(tmp_path).verify().errors
        assert (error.code, error.path) == ("unexpected-file", "runs")
        (tmp_path / "runs").unlink()


def test_repair_takes_nothing_from_beyond_a_link(tmp_path: Path) -> None:
    run = write(tmp_path / "store", whole())
    shutil.move(run / "jobs", tmp_path / "jobs")
    (tmp_path / "jobs" / "mine.txt").write_bytes(b"mine")
    (run / "jobs").symlink_to(tmp_path / "jobs")
    repair(RunStore(tmp_path / "store"), RUN_ID)
    assert sorted(os.listdir(tmp_path / "jobs")) == ["ingest.a1.jsonl", "mine.txt"]
    assert (run / "jobs.damaged").is_symlink()


NAMES = (
    "UPPER.a1.jsonl",
    "日本.a1.jsonl",
    "ingest.a0.jsonl",
    "ingest.a01.jsonl",
    "ingest.a1000000000.jsonl",
    "ingest.a999999999.jsonl",
    "x~0123456789abcdef.a1.jsonl",
    "con.a1.jsonl",
    ".a1.jsonl",
    "a..a1.jsonl",
    "-rf",
    "a\nb",
    "a\x1b[2Jb.a1.jsonl",
    " ",
    "x" * 255,
    "..." + "y" * 100 + ".a1.jsonl",
    os.fsdecode(b"\xff\xfe.a1.jsonl"),
    os.fsdecode(b"\xc0\xaf"),
    "~.a1.jsonl",
    "run.jsonl",
    "sealed.1.jsonl",
    "run.02.jsonl",
    "run.4294967296.jsonl",
    "run.٣.jsonl",
)


def can_list(folder: Path) -> bool:
    """Tell whether a folder can be read: that of exfat-fuse cannot after some names."""
    try:
        os.listdir(folder)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_foreign_file_harms_a_reader(name: str, tmp_path: Path, *, ends: bool) -> None:
    attempt = attempt_file()
    own = run_file(attempt, ends=ends).content
    for number, content in enumerate((b"", attempt.content, b"\0" * 100)):
        for folder in ("jobs", ".", "../../runs", "logs"):
            store = tmp_path / f"{number}-{folder.strip('./') or 'run'}"
            run = write(store, {"run.jsonl": own, "jobs/ingest.a1.jsonl": attempt.content})
            with suppress(OSError):  # not every file system has every name
                if not (run / folder / name).exists():
                    (run / folder / name).write_bytes(content)
            if not can_list(run / folder):
                pytest.skip("the file system makes this name, and cannot list it")
            try_all(store, changing=False, commands=not number)
            read(RunStore(store), RUN_ID)
            try_changing(store)


def test_a_file_named_like_the_id_of_another_job_hides_no_attempt(tmp_path: Path) -> None:
    for number, job_id in enumerate(("日本", "job~0123456789abcdef", "UPPER")):

        def named(event: str, fields: Fields, job_id: str = job_id) -> Fields:
            is_named = event in {"attempt.begin", "run.start", "run.done"}
            return {**fields, "job": job_id} if is_named else fields

        attempt = attempt_file(named)
        own = run_file(attempt, named, ends=False)
        own.lines = [each for each in own.lines if b'"event":"start"' not in each]
        store = tmp_path / str(number)
        path = layout.attempt_file(layout.job_name(job_id), 1)
        run = write(store, {"run.jsonl": own.content, path: attempt.content})
        (run / "jobs" / f"{job_id}.a1.jsonl").write_bytes(b"another file\n")
        records = list(RunStore(store).read(RUN_ID).records())
        assert len([each for each in records if each.get("job") == job_id]) >= len(attempt.lines)
        try_all(store)


@pytest.mark.parametrize("place", ["jobs", "."])
@pytest.mark.parametrize("suffix", [".txt", ".a1.jsonl"])
@pytest.mark.parametrize("ends", [True, False], ids=["ended", "open"])
def test_very_many_foreign_files_take_no_more_than_their_time(
    place: str, suffix: str, tmp_path: Path, *, ends: bool
) -> None:
    attempt = attempt_file()
    own = run_file(attempt, ends=ends).content
    run = write(tmp_path, {"run.jsonl": own, "jobs/ingest.a1.jsonl": attempt.content})
    number = count(100_000, 2_000)
    for each in range(number):
        os.close(os.open(run / place / f"foreign-{each}{suffix}", os.O_CREAT | os.O_WRONLY, 0o600))
    with patience(600):
        said = try_all(tmp_path, changing=False)
        assert said["runs list"] == "0"
        store = RunStore(tmp_path)
        found = store.verify().errors
        counts = ends or suffix == ".txt" or place == "."
        assert len(found) == (number if counts else 0)
        list(store.read(RUN_ID).records())
        store.repair(RUN_ID)
        assert store.verify().ok


def test_own_files_of_any_number_make_no_more_work_than_there_are(tmp_path: Path) -> None:
    run = write(tmp_path, whole())
    for number in (7, 2_000, 999_999_998, 999_999_999):
        (run / f"run.{number}.jsonl").touch()
    with patience(30):
        report = RunStore(tmp_path).verify(RUN_ID)
        assert [each.code for each in report.errors].count("missing-file") == 3
        left = RunStore(tmp_path).repair(RUN_ID).left
    assert len(left) == 2
    assert len(os.listdir(run)) < 50
    try_all(tmp_path)


def refusing(names: tuple[str, ...], function: Callable[..., object]) -> Callable[..., object]:
    def refuse(path: object, *args: object, **kwargs: object) -> object:
        if isinstance(path, str) and path.endswith(names):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return function(path, *args, **kwargs)

    return refuse


@pytest.mark.parametrize("call", ["open", "listdir", "lstat"])
@pytest.mark.parametrize("place", PLACES)
def test_what_may_not_be_read_is_an_error_of_the_system_and_one_line(
    place: str, call: str, tmp_path: Path
) -> None:
    write(tmp_path, whole())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, refusing((f"/{place}",), getattr(os, call)))
        try_all(tmp_path, changing=False, allowed=(RunStoreError, PermissionError))
        try_changing(tmp_path, (RunStoreError, PermissionError))
