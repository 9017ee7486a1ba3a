"""Limits from the command line: between processes, after kill -9, at Ctrl-C, and mistakes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lorchestra.limits import Grant, Limits, Ticket
from lorchestra.limits.host import STATE_DIR
from lorchestra.quota import Quota
from tests.lorchestra.cli.commands import Job, Project, ended, run_object, statuses
from tests.lorchestra.running import eventually, is_running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and /bin/sh")

CONFIG = '[limits.x]\ncapacity = {}\nscope = "{}"\n'
# Each job writes when it began and when it ended, into a file of its own.
LOGGED = "date +%s%N > $WHO.$LORCHESTRA_JOB_ID; sleep 0.05; date +%s%N >> $WHO.$LORCHESTRA_JOB_ID"
AT_WORK = "echo $$ > pid; exec sleep 600"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv(STATE_DIR, str(folder))
    return folder


def configure(project: Project, capacity: int = 1, scope: str = "host") -> None:
    project.write("lorchestra.toml", CONFIG.format(capacity, scope))


def is_free(state: Path) -> bool:
    """Whether a run of its own would get the only unit."""
    limits = Limits([Quota("x", 1, scope="host")], state)
    limits.prepare()
    try:
        return isinstance(limits.take(Ticket({"x": 1}), time.monotonic()), Grant)
    finally:
        limits.close()


def pid_in(project: Project) -> int:
    path = project.root / "pid"
    eventually(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


@contextmanager
def at_work(project: Project, job: str = AT_WORK) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A run in a process of its own whose job has the only unit, and the job's pid."""
    configure(project)
    project.pipeline({"a": {"run": job, "limits": ["x"]}})
    with project.started("pipeline", "p") as process:
        pid = pid_in(project)
        try:
            yield process, pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def test_two_processes_share_a_limit_of_the_machine(project: Project) -> None:
    configure(project, 2)
    project.pipeline({str(n): {"run": LOGGED, "limits": ["x"]} for n in range(6)})
    command = ("pipeline", "p", "--max-workers", "3")
    environments = [{**os.environ, "WHO": who} for who in ("first", "second")]
    with (
        project.started(*command, env=environments[0]) as one,
        project.started(*command, env=environments[1]) as other,
    ):
        assert [ended(one).code, ended(other).code] == [0, 0]
    found = [path.read_text().split() for path in project.root.glob("*.[0-9]")]
    spans = [(int(began), int(end)) for began, end in found]
    assert len(spans) == 12
    assert max(sum(b <= moment < e for b, e in spans) for moment, _ in spans) <= 2


def test_after_kill_9_a_unit_is_taken_until_the_job_has_ended(
    project: Project, state: Path
) -> None:
    with at_work(project) as (process, pid):
        process.kill()
        process.wait()
        assert is_running(pid)
        assert not is_free(state)
        os.killpg(pid, signal.SIGKILL)
        eventually(lambda: not is_running(pid))
        assert is_free(state)


def test_after_kill_9_a_unit_is_free_at_once_where_the_job_has_ended(
    project: Project, state: Path
) -> None:
    """The run's own process is suspended, so that it cannot notice that its job has ended."""
    with at_work(project) as (process, pid):
        process.send_signal(signal.SIGSTOP)
        os.killpg(pid, signal.SIGKILL)
        eventually(lambda: not is_running(pid))
        assert not is_free(state)
        process.kill()
        process.wait()
        assert is_free(state)


def test_what_a_job_leaves_in_the_background_does_not_keep_its_unit(
    project: Project, state: Path
) -> None:
    with at_work(project, "sleep 600 & echo $! > pid") as (process, pid):
        assert ended(process).code == 0
        assert is_running(pid)
        assert is_free(state)
        os.kill(pid, signal.SIGKILL)


def test_a_killed_run_that_waited_is_not_waited_for(project: Project, state: Path) -> None:
    holder = Limits([Quota("x", 1, scope="host")], state)
    holder.prepare()
    held = holder.take(Ticket({"x": 1}), time.monotonic())
    assert isinstance(held, Grant)
    configure(project)
    project.pipeline({"a": {"run": ":", "limits": ["x"]}})
    with project.started("pipeline", "p") as process:
        eventually((state / "limits" / "line").exists)
        process.kill()
        process.wait()
    held.release()
    holder.close()
    assert project.process("pipeline", "p").code == 0


@pytest.mark.parametrize("scope", ["host", "run"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_a_wait(project: Project, scope: str, workers: str) -> None:
    project.write("lorchestra.toml", f'[limits.x]\nrate = "1/day"\nscope = "{scope}"\n')
    jobs = {name: {"run": ":", "limits": {"x": 1}} for name in "ab"}
    project.pipeline(jobs, {"c": "true"})
    with project.started("pipeline", "p", "--json", "--max-workers", workers) as process:
        assert process.stderr is not None
        told = b""
        while b" waits for " not in told:
            told = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        done = ended(process)
    where = " on this machine" if scope == "host" else ""
    assert re.search(rf"\d b waits for x \(1/day{where} reached\)\n$", told.decode())
    assert done.code == 130
    found = run_object(project, done)
    assert statuses(found) == {"a": "succeeded", "b": "cancelled", "c": "skipped"}
    assert " waits for " not in done.err


def test_a_resume_of_a_killed_run_gets_its_limits_back(project: Project) -> None:
    with at_work(project) as (process, _):
        process.kill()
        process.wait()
        assert project("pipeline", "p", "--resume").code == 75
        configure(project)
        project.pipeline({"a": {"run": ":", "limits": ["x"]}})
        done = project("pipeline", "p", "--resume", "--orphans", "kill")
    assert done.code == 0


class TestMistakes:
    def test_a_limit_that_is_not_defined(self, project: Project) -> None:
        text = "stages: [{name: s, jobs: [{id: a, run: x, limits: [bigqeury]}]}]\n"
        project.write("p.yaml", f"limits: {{bigquery: 2}}\n{text}")
        for command in (["pipeline", "p"], ["pipeline", "p", "--dry-run"], ["validate", "p"]):
            done = project(*command)
            assert done.code == 2
            assert done.err.startswith("p.yaml:2:52: ") or "p.yaml:2:52: " in done.err
            assert "(did you mean bigquery?)" in done.err
        assert not project.store.exists()

    def test_a_wrong_configuration(self, project: Project) -> None:
        project.write("lorchestra.toml", "[limits.x]\ncapacity = 0\n")
        project.pipeline({"a": {"run": ":", "limits": ["x"]}})
        done = project("pipeline", "p")
        assert done.code == 2
        assert "limits.x.capacity must be a whole number from 1 to 1,000, not 0" in done.err

    def test_a_state_folder_that_cannot_be(self, project: Project, state: Path) -> None:
        state.write_text("a file")
        configure(project)
        project.pipeline({"a": {"run": ":", "limits": ["x"]}})
        done = project("pipeline", "p")
        assert done.code == 2
        assert "limits of scope host cannot be kept there" in done.err
        assert "Traceback" not in done.err


class TestShown:
    def test_a_dry_run_says_what_jobs_need_and_what_there_is(self, project: Project) -> None:
        configure(project, 3)
        jobs: dict[str, Job] = {"a": {"run": ":", "limits": {"x": 1, "y": 2}}, "b": ":"}
        project.pipeline(jobs, limits={"y": {"capacity": 2, "rate": "60/min"}, "unused": 1})
        done = project("pipeline", "p", "--dry-run")
        assert "run: :  (needs x, 2 of y)" in done.out
        assert "limit y: 2 at once, 60/min in this run\n" in done.out
        assert "limit x: 3 at once on this machine\n" in done.out
        assert "unused" not in done.out
        found = project("pipeline", "p", "--dry-run", "--json").json
        assert found["limits"] == [
            {"name": "y", "capacity": 2, "rate": "60/min", "scope": "run"},
            {"name": "x", "capacity": 3, "rate": None, "scope": "host"},
        ]
        assert found["stages"][0]["jobs"][0]["limits"] == {"x": 1, "y": 2}

    def test_a_job_says_what_it_needs(self, project: Project) -> None:
        project.pipeline({"a": {"run": ":", "limits": {"y": 2}}}, limits={"y": 2})
        assert "  limits: y 2\n" in project("jobs", "show", "a").out
        (found,) = project("jobs", "show", "a", "--json").json
        assert found["limits"] == {"y": 2}


def test_without_limits_of_the_machine_nothing_is_imported_for_them(project: Project) -> None:
    project.pipeline({"a": {"run": ":", "limits": ["y"]}}, limits={"y": 1})
    program = (
        "import sys; from lorchestra.cli import run; code = run(['pipeline', 'p']); "
        "print(code, {'portalocker', 'platformdirs', 'lorchestra.limits.host'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 set()"
