"""Work that is shared out to processes: the results are the same, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runstore.verifying import workers
from runstore.verifying.workers import each
from tests.leaks import children
from tests.runstore import working

PATIENCE_S = 20
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes import `tests`, which pytest need not; what is installed goes before."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let work be shared out from its beginning."""
    monkeypatch.setattr(workers, "ALONE_S", 0)


@pytest.mark.parametrize(
    ("count", "processes"), [(0, 2), (1, 2), (2, 3), (7, 1), (7, None), (500, 2)]
)
@pytest.mark.usefixtures("at_once")
def test_the_results_come_in_order(count: int, processes: int | None) -> None:
    found = list(each(working.double, range(count), workers=processes))
    assert found == [2 * number for number in range(count)]
    assert children() == []


@pytest.mark.usefixtures("at_once")
def test_so_many_processes_work_at_once() -> None:
    found = set(each(working.pid, range(24), workers=2))
    assert len(found) == 2
    assert os.getpid() not in found


def test_short_work_is_done_here() -> None:
    assert set(each(working.pid, range(8), workers=4)) == {os.getpid()}


@pytest.mark.usefixtures("at_once")
def test_one_worker_is_this_process() -> None:
    assert set(each(working.pid, range(8), workers=1)) == {os.getpid()}


@pytest.mark.usefixtures("at_once")
def test_what_the_function_raises_is_raised_in_its_turn() -> None:
    found = each(working.double, [1, 2, -3, 4], workers=2)
    assert [next(found), next(found)] == [2, 4]
    with pytest.raises(ValueError, match="-3 is negative"):
        next(found)
    assert children() == []


def is_at_work(pid: int) -> bool:
    """Whether a process has not ended; nobody may have asked yet how it did."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.usefixtures("at_once")
def test_when_a_process_is_killed_the_rest_is_done_here() -> None:
    assert list(each(working.die_elsewhere, [os.getpid()] * 30, workers=2)) == [os.getpid()] * 30
    assert children() == []


@pytest.mark.usefixtures("at_once")
def test_who_takes_no_more_results_leaves_no_process() -> None:
    found = each(working.hang_at_a_later_one, range(30), workers=2)
    assert next(found) == 0
    found.close()
    assert children() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_end_with_the_one_that_started_them(number: int) -> None:
    command = [sys.executable, "-m", "tests.runstore.working"]
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_at_work, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_at_work, pids))
