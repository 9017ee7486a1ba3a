"""A signal while a run is being opened: the run is complete, or there is none."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Options, run_pipeline
from lorchestra.errors import Interrupted
from runstore import Run, RunStore
from tests.lorchestra.cli.commands import Project, ended
from tests.lorchestra.running import Runner, check_complete, shell, stage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

BOTH_SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


class SignalledStore(RunStore):
    """A store that is sent a signal just before, or just after, it opens a run."""

    def __init__(self, path: Path, number: int, *, before: bool) -> None:
        super().__init__(path, "os")
        self.number = number
        self.before = before

    def create_run(self, *args: Any, **fields: Any) -> Run:
        return self._signalled(lambda: super(SignalledStore, self).create_run(*args, **fields))

    def resume_run(self, *args: Any, **fields: Any) -> Run:
        return self._signalled(lambda: super(SignalledStore, self).resume_run(*args, **fields))

    def _signalled(self, opened: Any) -> Run:
        if self.before:
            signal.raise_signal(self.number)
        run: Run = opened()
        if not self.before:
            signal.raise_signal(self.number)
        return run


@BOTH_SIGNALS
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_run_is_complete_and_nothing_has_run(
    run: Runner, number: int, before: bool, workers: int
) -> None:
    store = SignalledStore(run.root / "store", number, before=before)
    pipeline = run.pipeline(
        stage(shell("a", ": > ran"), shell("b", ": > ran"), name="one"),
        stage(shell("c", ": > ran"), name="two"),
    )
    told: list[int] = []
    result = run_pipeline(pipeline, store, Options(workers), on_signal=told.append)
    assert (result.status, result.signal, told) == ("interrupted", number, [number])
    check_complete(store, result.run_id)
    view = store.read(result.run_id)
    assert view.status == "interrupted"
    assert [job.status for job in view.jobs.values()] == ["cancelled", "cancelled", "skipped"]
    again = run_pipeline(pipeline, store, Options(workers), resume=result.run_id)
    assert again.status == "interrupted"
    check_complete(store, result.run_id)
    assert not (run.root / "ran").exists()
    assert run_pipeline(pipeline, run.store, resume=result.run_id).succeeded


@BOTH_SIGNALS
def test_a_wait_for_the_guard_is_ended_and_there_is_no_run(run: Runner, number: int) -> None:
    holder = RunStore(run.root / "store", "os", "filelock")
    waiting = RunStore(run.root / "store", "os", "filelock", guard_timeout_s=-1)
    told: list[int] = []
    with holder.create_run("p", ["a"]) as held:
        sender = threading.Timer(0.3, lambda: os.kill(os.getpid(), number))
        sender.start()
        with pytest.raises(Interrupted) as caught:
            run_pipeline(run.pipeline(shell("a", ": > ran")), waiting, on_signal=told.append)
        sender.join()
        assert (caught.value.signal, caught.value.exit_code, told) == (number, 128 + number, [])
        assert holder.run_ids() == [held.id]
    assert not (run.root / "ran").exists()


@BOTH_SIGNALS
def test_the_command_says_so_and_exits_with_the_number_of_the_signal(
    project: Project, number: int
) -> None:
    project.pipeline({"a": ": > ran"})
    with (
        RunStore(project.root / ".lorchestra", "os", "filelock").create_run("p"),
        project.started("pipeline", "p", "--guard", "wait") as process,
    ):
        assert process.stderr is not None
        assert b"waiting for it" in process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(number)
        done = ended(process)
    assert (done.code, done.stdout) == (128 + number, b"")
    assert done.err.strip() == "lorchestra: interrupted"
    assert not (project.root / "ran").exists()


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capfdbinary)
