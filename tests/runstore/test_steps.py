"""Compact, repair and prune can be stopped anywhere, lose nothing, and go on from there."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runstore.steps import SCENARIOS, Stop, Stopped, contents, fail, interrupt
from tests.scale import count

ROOT = Path(__file__).parents[2]

of_every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the disk when is not what these tests are about."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: None, raising=False)


def stopped_at_each_step(folder: Path, name: str, stop: Stop, **how: Any) -> int:
    """Do it again and again, stopped one step later each time; gives how many steps there are."""
    scenario = SCENARIOS[name](folder)
    for step in itertools.count(1, count(1, 3)):
        scenario.again()
        with pytest.MonkeyPatch.context() as patch:
            stopped = Stopped(patch, step, stop, **how)
            try:
                scenario.act()
            except (OSError, KeyboardInterrupt):
                assert stopped.has_stopped
        if not stopped.has_stopped:
            return step - 1
        scenario.finish()
    raise AssertionError


@of_every_scenario
def test_a_disk_that_fails_from_any_step_on_costs_nothing(tmp_path: Path, name: str) -> None:
    assert stopped_at_each_step(tmp_path, name, fail, for_ever=True) > 10


@of_every_scenario
def test_an_interrupt_after_any_step_costs_nothing(tmp_path: Path, name: str) -> None:
    assert stopped_at_each_step(tmp_path, name, interrupt, after=True) > 10


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@of_every_scenario
def test_a_kill_after_any_step_costs_nothing(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runstore.steps", tmp_path, name],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_a_full_disk_leaves_a_run_as_it_was(tmp_path: Path) -> None:
    scenario = SCENARIOS["Compaction"](tmp_path)
    writing = ("create", "append", "sync_file", "make_folder")
    for operation in writing:
        scenario.again()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"runstore.files.{operation}", lambda *_: fail())
            with pytest.raises(OSError, match="injected"):
                scenario.act()
        assert contents(Path(scenario.store.path)) == scenario.before
        assert not (scenario.run.folder / "sealed").exists()
