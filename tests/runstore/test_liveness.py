"""A process is told from one that ended, from a zombie, and from another with the same pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from runstore import liveness
from runstore.liveness import (
    Owner,
    is_alive,
    is_at_work,
    owner_in,
    run_closed,
    run_opened,
    start_token,
    this_process,
)

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs zombies")
BOTH = pytest.mark.parametrize("platform", ["here", "elsewhere"])
SLEEP = [sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(60)"]


def pretend(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Let the module look at processes as it does on this system, or as on one without /proc."""
    if platform == "elsewhere":
        monkeypatch.setattr(liveness, "sys", SimpleNamespace(platform="darwin"))


def owner_of(pid: int) -> Owner:
    return Owner(socket.gethostname(), pid, start_token(pid) or "")


@BOTH
def test_the_calling_process_is_alive(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    pretend(monkeypatch, platform)
    owner = this_process()
    assert (owner.host, owner.pid) == (socket.gethostname(), os.getpid())
    assert owner.token
    assert is_alive(owner) is True


@BOTH
def test_a_process_is_alive_until_it_ends(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    pretend(monkeypatch, platform)
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        try:
            owner = owner_of(process.pid)
            assert owner.token
            assert is_alive(owner) is True
        finally:
            process.kill()
    assert start_token(process.pid) is None
    assert is_alive(owner) is False


@needs_fork
@BOTH
def test_a_zombie_has_ended(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    pretend(monkeypatch, platform)
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        owner = owner_of(process.pid)
        process.kill()
        assert process.stdout is not None
        # It is not reaped before `wait`; when its pipe is at its end, it is about to be a zombie.
        process.stdout.read()
        deadline = time.monotonic() + 10
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert start_token(process.pid) is None
        assert is_alive(owner) is False


@BOTH
def test_another_process_with_the_same_pid_is_not_the_owner(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    pretend(monkeypatch, platform)
    owner = this_process()
    assert is_alive(owner._replace(token=owner.token + "0")) is False
    assert is_alive(owner._replace(token="x")) is False


@BOTH
def test_a_token_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    pretend(monkeypatch, platform)
    assert len({start_token(os.getpid()) for _ in range(20)}) == 1


@BOTH
def test_two_processes_have_two_tokens(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Only those that began within one clock tick can share one, and they have two pids."""
    pretend(monkeypatch, platform)
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        try:
            assert start_token(process.pid) != start_token(os.getpid())
        finally:
            process.kill()


@BOTH
def test_a_pid_that_no_process_has_is_not_alive(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    pretend(monkeypatch, platform)
    for pid in (2**31 - 1, 2**22 + 1):
        assert start_token(pid) is None
        assert is_alive(this_process()._replace(pid=pid)) is False


def test_a_process_of_another_host_cannot_be_seen() -> None:
    owner = this_process()
    assert is_alive(owner._replace(host=f"not-{owner.host}")) is None
    assert is_alive(owner._replace(host="")) is None


def test_a_process_without_a_token_cannot_be_told() -> None:
    assert is_alive(this_process()._replace(token="")) is None


def test_a_process_that_the_system_does_not_show_has_no_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "start_token", lambda _pid: None)
    owner = this_process()
    assert owner.token == ""
    assert is_alive(owner) is None


@needs_proc
def test_the_token_is_the_boot_and_the_ticks_from_it() -> None:
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read()[:8]
    assert start_token(os.getpid()) == f"{boot}-{ticks:x}"


@BOTH
def test_this_process_is_at_work_on_the_runs_that_it_has_open(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    pretend(monkeypatch, platform)
    owner = this_process()
    assert is_at_work(owner, "run") is False
    run_opened("run")
    try:
        assert is_at_work(owner, "run") is True
        assert is_at_work(owner, "another") is False
        assert is_at_work(owner._replace(token="x"), "run") is False
        assert is_at_work(owner._replace(host="elsewhere"), "run") is None
    finally:
        run_closed("run")
    assert is_at_work(owner, "run") is False
    run_closed("run")


@BOTH
def test_another_process_is_at_work_as_long_as_it_lives(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    pretend(monkeypatch, platform)
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        try:
            owner = owner_of(process.pid)
            assert is_at_work(owner, "run") is True
            assert is_at_work(owner._replace(host="elsewhere"), "run") is None
            assert is_at_work(owner._replace(token=""), "run") is None
        finally:
            process.kill()
    assert is_at_work(owner, "run") is False


STAT = b"4711 (%b) %b 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0 0 0"
NAMES = [b"python", b"a) b (c", b"a b", b"))) Z 1 2 (", b") Z", b"(", b")", b"", b"\xff\n) S 0"]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A way to put other files in the place of those of `/proc`, on a Linux of a known boot."""
    monkeypatch.setattr(liveness, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(liveness, "_boot", lambda: "b007b007")
    return monkeypatch


def show(patch: pytest.MonkeyPatch, path: str, content: bytes | OSError) -> None:
    """Let the module find this file, or this error, and no other file."""

    def read(asked: str) -> bytes:
        assert asked == path
        if isinstance(content, OSError):
            raise content
        return content

    patch.setattr(liveness, "_content", read)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", [b"R", b"S", b"D", b"T", b"t", b"I"])
def test_odd_process_names_do_not_matter(
    patch: pytest.MonkeyPatch, name: bytes, state: bytes
) -> None:
    show(patch, "/proc/4711/stat", STAT % (name, state))
    assert start_token(4711) == f"b007b007-{987654:x}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", [b"Z", b"X"])
def test_a_dead_process_has_no_token_whatever_its_name(
    patch: pytest.MonkeyPatch, name: bytes, state: bytes
) -> None:
    show(patch, "/proc/4711/stat", STAT % (name, state))
    assert start_token(4711) is None


@pytest.mark.parametrize("error", [ProcessLookupError, FileNotFoundError, PermissionError])
def test_a_process_that_ends_while_it_is_looked_at_has_no_token(
    patch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    show(patch, "/proc/4711/stat", error())
    assert start_token(4711) is None


def test_a_system_that_hides_its_boot_gives_tokens_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show(monkeypatch, "/proc/sys/kernel/random/boot_id", PermissionError())
    assert liveness._boot.__wrapped__() == "0"


def test_an_owner_goes_through_its_record() -> None:
    owner = this_process()
    assert owner_in({"event": "begin", **owner.fields()}) == owner


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": None}, {"host": 1}, {"pid": None}, {"pid": "1"}, {"pid": True}, {"pid": 1.0},
        {"pid": 0}, {"pid": -1}, {"pid": 2**31}, {"pid": 2**64 - 1}, {"token": None}, {"token": 1},
    ],
)  # fmt: skip
def test_a_record_that_names_no_process_has_no_owner(wrong: dict[str, Any]) -> None:
    fields = {"host": "h", "pid": 1, "token": "t"}
    assert owner_in(fields) == Owner("h", 1, "t")
    assert owner_in(fields | wrong) is None
    (name,) = wrong
    assert owner_in({key: value for key, value in fields.items() if key != name}) is None
