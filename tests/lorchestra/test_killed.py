"""kill -9 in the middle of a parallel run: what was acknowledged is there."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstore import RunStore, RunView
from tests.lorchestra.running import Driver, call, driver, eventually, module, shell

FUNCTIONS = """
    import lorchestra, os, pathlib
    def work(folder):
        # What `append` has returned for is told to the test, in a file that no kill can take back.
        job = lorchestra.current_job()
        told = os.open(pathlib.Path(folder) / job.job_id, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for n in range(40):
            job.append("metric", count=n)
            os.write(told, b"%d\\n" % n)
        os.close(told)
        return {"rows": 40}
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Driver]:
    """A run of many short jobs on four workers: functions with records, and processes."""
    name = module(tmp_path, FUNCTIONS)
    (tmp_path / "told").mkdir()
    folder = {"folder": str(tmp_path / "told")}
    jobs = [
        call(f"job{n}", f"{name}:work", folder) if n % 2 else shell(f"job{n}", "sleep 0.01")
        for n in range(300)
    ]
    with driver(tmp_path, jobs, workers=4) as process:
        yield process


@pytest.mark.parametrize("round_", range(10))
def test_everything_acknowledged_is_read_back(running: Driver, round_: int) -> None:
    eventually(lambda: len(running.finished()) > 4)
    time.sleep(0.007 * round_)
    running.send(signal.SIGKILL)
    running.wait()
    (run_id,) = running.store.run_ids()
    view = running.store.read(run_id)
    assert view.status == "crashed"
    assert running.store.verify(strict=True).errors == []
    assert len(view.jobs) == 300
    assert_told_is_recorded(running, view)
    assert_statuses_fit(view)
    assert_store_goes_on(running.store, run_id)


def assert_told_is_recorded(running: Driver, view: RunView) -> None:
    finished = running.finished()
    assert len(finished) > 4
    for job_id, status in finished.items():
        assert view.jobs[job_id].status == status == "succeeded"
    recorded: dict[str, list[int]] = {}
    for record in view.records():
        if record["event"] == "metric":
            recorded.setdefault(record["job"], []).append(record["count"])
    for path in (running.root / "told").iterdir():
        told = [int(line) for line in path.read_text().splitlines()]
        assert recorded.get(path.name, [])[: len(told)] == told


def assert_statuses_fit(view: RunView) -> None:
    statuses = [job.status for job in view.jobs.values()]
    assert set(statuses) <= {"succeeded", "crashed", "planned"}
    assert 1 <= statuses.count("crashed") <= 4
    for job in view.jobs.values():
        assert (job.status == "planned") == (not job.attempts)
        if job.status == "succeeded" and int(job.id.removeprefix("job")) % 2:
            assert job.output == {"rows": 40}


def assert_store_goes_on(store: RunStore, killed: str) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a"):
        pass
    assert store.read(run.id).status == "succeeded"
    assert store.read(killed).status == "crashed"
    assert store.verify().ok


def test_the_process_of_an_orphan_is_named(tmp_path: Path) -> None:
    with driver(tmp_path, [shell("a", "echo $$ > pid; exec sleep 600")], workers=1) as process:
        eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        (run_id,) = process.store.run_ids()
        eventually(
            lambda: any(r["event"] == "process" for r in process.store.read(run_id).records())
        )
        process.send(signal.SIGKILL)
        process.wait()
        records = list(process.store.read(run_id).records())
    (named,) = [record for record in records if record["event"] == "process"]
    assert named["pid"] == int((tmp_path / "pid").read_text())
    assert isinstance(named["token"], str)
