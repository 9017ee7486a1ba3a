"""A run is gone on with: what succeeded is kept, the rest runs, and nothing runs beside itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra import Job, Options, Pipeline, run_pipeline
from lorchestra.errors import OrphansError
from lorchestra.orphans import find_orphans
from lorchestra.progress import JobChosen, JobStarted, OrphanFound
from lorchestra.resuming import choose
from lorchestra.runner import left_of_time
from runstore import Attempt, RunIsAliveError, RunNotFoundError, RunStore
from runstore import Job as JobBefore
from tests.lorchestra.cli.commands import Project, ended, statuses
from tests.lorchestra.running import (
    Runner,
    call,
    check_complete,
    eventually,
    is_running,
    module,
    shell,
    stage,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

STATUSES = ("succeeded", "failed", "timed_out", "interrupted", "crashed")
NOTE = "echo {0} >> ran; test ! -e {0}-fails"


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capfdbinary)


def noting(*names: str) -> list[Job]:
    return [shell(name, NOTE.format(name)) for name in names]


class Resumable:
    """A pipeline that is run, and gone on with, in one folder."""

    def __init__(self, runner: Runner, pipeline: Pipeline) -> None:
        self.root, self.store, self.pipeline = runner.root, runner.store, pipeline
        self.run_id = ""
        self.events: list[object] = []

    def go(self, pipeline: Pipeline | None = None, **fields: object) -> str:
        """Run, or resume; gives the status of the run, whose record must be in order."""
        self.events = []
        result = run_pipeline(
            pipeline or self.pipeline,
            self.store,
            Options(2),
            handlers=[self.events.append],
            resume=self.run_id or None,
            **fields,  # type: ignore[arg-type]
        )
        self.run_id = result.run_id
        check_complete(self.store, self.run_id)
        assert self.store.verify(self.run_id, receipt=result.receipt).ok
        assert self.store.read(self.run_id).status == result.status
        return result.status

    def ran(self) -> Counter[str]:
        return Counter((self.root / "ran").read_text().split())

    def reasons(self) -> dict[str, tuple[bool, str]]:
        chosen = (event for event in self.events if isinstance(event, JobChosen))
        return {event.job_id: (event.is_kept, event.reason) for event in chosen}


@given(st.sampled_from(STATUSES), st.booleans(), st.booleans())
def test_a_job_is_kept_only_if_it_succeeded_as_it_is_defined_now(
    status: str, changed: bool, known: bool
) -> None:
    job = shell("a", "true")
    sha256 = ("other" if changed else job.sha256()) if known else None
    before = JobBefore("a", attempts=[Attempt(1, status="failed"), Attempt(2, sha256=sha256)])
    before.attempts[1].status = status
    choice = choose(job.sha256(), before)
    assert choice.is_kept == (status == "succeeded" and not (changed and known))
    assert choice.before == status
    assert choice.reason


def test_what_succeeded_is_kept_and_the_rest_runs(run: Runner) -> None:
    resumable = Resumable(
        run,
        run.pipeline(
            stage(*noting("a", "b", "c"), name="one"),
            stage(*noting("d"), name="two"),
            stop_on_failure=True,
        ),
    )
    (run.root / "b-fails").touch()
    assert resumable.go() == "failed"
    first = resumable.run_id
    (run.root / "b-fails").unlink()
    assert resumable.go() == "succeeded"
    assert resumable.run_id == first
    assert resumable.reasons() == {
        "a": (True, "succeeded before"),
        "b": (False, "failed before"),
        "c": (True, "succeeded before"),
        "d": (False, "did not start"),
    } or resumable.reasons()["c"] == (False, "did not start")
    ran = resumable.ran()
    assert (ran["a"], ran["b"], ran["d"]) == (1, 2, 1)
    view = run.store.read(first)
    assert {job.id: job.status for job in view.jobs.values()} == dict.fromkeys("abcd", "succeeded")
    assert [attempt.number for attempt in view.jobs["b"].attempts] == [1, 2]
    assert view.jobs["b"].planned["reason"] == "failed before"


def test_a_changed_pipeline_is_compared_job_by_job(run: Runner) -> None:
    resumable = Resumable(run, run.pipeline(*noting("same", "changed", "gone", "late")))
    (run.root / "late-fails").touch()
    assert resumable.go() == "failed"
    (run.root / "late-fails").unlink()
    changed = shell("changed", "echo changed >> ran; echo anew")
    same = shell("same", NOTE.format("same"), timeout_s=60, description="for people")
    new = run.pipeline(same, changed, *noting("late", "new"))
    assert resumable.go(new) == "succeeded"
    assert resumable.reasons() == {
        "same": (True, "succeeded before"),
        "changed": (False, "definition changed"),
        "late": (False, "failed before"),
        "new": (False, "new in the pipeline"),
    }
    assert resumable.ran() == {"same": 1, "changed": 2, "gone": 1, "late": 2, "new": 1}
    assert list(run.store.read(resumable.run_id).jobs) == ["same", "changed", "late", "new"]


def test_the_key_of_a_job_is_that_of_before(run: Runner) -> None:
    line = "echo $LORCHESTRA_IDEMPOTENCY_KEY >> ran; test -e ok"
    resumable = Resumable(run, run.pipeline(shell("a", line)))
    resumable.go()
    (run.root / "ok").touch()
    assert resumable.go() == "succeeded"
    assert list(resumable.ran().values()) == [2]


def test_functions_are_kept_and_run_again_as_well(run: Runner) -> None:
    functions = module(
        run.root,
        f"""
        from pathlib import Path
        def note(name, needs=None):
            with open({str(run.root / "ran")!r}, "a") as file:
                file.write(name + "\\n")
            if needs is not None:
                return Path({str(run.root)!r}, needs).stat().st_size
        """,
    )
    jobs = [call("a", f"{functions}:note", {"name": "a"})]
    jobs.append(call("b", f"{functions}:note", {"name": "b", "needs": "there"}))
    resumable = Resumable(run, run.pipeline(*jobs))
    assert resumable.go() == "failed"
    (run.root / "there").touch()
    assert resumable.go() == "succeeded"
    assert resumable.ran() == {"a": 1, "b": 2}


def test_an_unknown_run_and_one_at_work_are_refused(run: Runner) -> None:
    pipeline = run.pipeline(*noting("a"))
    run.store.create_run("p").end("failed")
    unknown = "01a211c5-bb14-738c-aea1-7dc953f81b00"
    with pytest.raises(RunNotFoundError):
        run_pipeline(pipeline, run.store, resume=unknown)
    with run.store.create_run("p", ["a"]) as alive, pytest.raises(RunIsAliveError):
        run_pipeline(pipeline, run.store, resume=alive.id)
    assert not (run.root / "ran").exists()


# After kill -9

HOLDING = "echo {0} >> ran; echo $$ > {0}-pid; while [ ! -e go-on ]; do sleep 0.02; done"


def killed(project: Project, *names: str, options: Sequence[str] = ()) -> list[int]:
    """Run jobs that wait, and kill the runner once all are at work; gives their pids."""
    project.pipeline({name: HOLDING.format(name) for name in names}, {"last": "echo last >> ran"})
    files = [project.root / f"{name}-pid" for name in names]
    command = ("pipeline", "p", "--max-workers", str(len(names)), *options)
    with project.started(*command) as process:
        eventually(lambda: all(file.exists() and file.read_text().strip() for file in files))
        process.kill()
        process.wait()
        process.communicate()
    return [int(file.read_text()) for file in files]


def end(project: Project, pids: list[int]) -> None:
    (project.root / "go-on").touch()
    eventually(lambda: not any(map(is_running, pids)))


def ran_in(project: Project) -> Counter[str]:
    return Counter((project.root / "ran").read_text().split())


def test_jobs_that_are_still_at_work_are_named_and_nothing_is_run(project: Project) -> None:
    pids = killed(project, "a", "b")
    try:
        done = project("pipeline", "p", "--resume")
        assert (done.code, done.out) == (75, "")
        for name, pid in zip("ab", pids, strict=True):
            assert f"'{name}' (pid {pid})" in done.err
        assert all(map(is_running, pids))
        orphans = find_orphans(project.store.read(project.store.run_ids()[0]))
        assert {(orphan.job_id, orphan.attempt) for orphan in orphans} == {("a", 1), ("b", 1)}
    finally:
        end(project, pids)
    done = project("pipeline", "p", "--resume", "--json")
    assert done.code == 0
    assert ran_in(project) == {"a": 2, "b": 2, "last": 1}


def test_they_are_waited_for(project: Project) -> None:
    pids = killed(project, "a")
    with project.started("pipeline", "p", "--resume", "--orphans", "wait") as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        assert f"a (pid {pids[0]}) is still at work: waiting for it" in said
        time.sleep(0.5)
        assert ran_in(project) == {"a": 1}
        assert process.poll() is None
        end(project, pids)
        done = ended(process)
    assert done.code == 0
    assert ran_in(project) == {"a": 2, "last": 1}


@pytest.mark.parametrize("key", [[], ["--run-key", "monday"]], ids=["", "run key"])
def test_a_wait_for_them_is_a_part_of_the_time_of_the_run(project: Project, key: list[str]) -> None:
    pids = killed(project, "a", options=key)
    resume = key or ["--resume"]
    try:
        done = project("pipeline", "p", *resume, "--orphans", "wait", "--timeout", "300ms")
        assert done.code == 75
        assert "a (pid " in done.err
        assert "they have not ended in the time of the whole run" in done.err
        assert all(map(is_running, pids))
        assert ran_in(project) == {"a": 1}
    finally:
        end(project, pids)
    assert project("pipeline", "p", *resume, "--timeout", "1m").code == 0


def test_what_is_left_of_the_time_is_for_the_run(tmp_path: Path) -> None:
    pipeline = Pipeline("p", (), tmp_path, timeout_s=10)
    limits = [left_of_time(pipeline, waited_s) for waited_s in (0, 4)]
    assert [each.seconds for each in limits if each is not None] == [10, 6]


def test_a_wait_for_them_can_be_interrupted(project: Project) -> None:
    pids = killed(project, "a")
    try:
        with project.started("pipeline", "p", "--resume", "--orphans", "wait") as process:
            assert process.stderr is not None
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            done = ended(process)
        assert done.code == 130
        assert ran_in(project) == {"a": 1}
    finally:
        end(project, pids)


def test_they_are_stopped(project: Project) -> None:
    pids = killed(project, "a", "b")
    with project.started("pipeline", "p", "--resume", "--orphans", "kill") as process:
        eventually(lambda: not any(map(is_running, pids)))
        (project.root / "go-on").touch()
        done = ended(process)
    assert done.code == 0
    assert "is still at work: it is stopped" in done.err
    assert ran_in(project) == {"a": 2, "b": 2, "last": 1}


def test_those_of_pipelines_inside_are_named_at_once(project: Project) -> None:
    project.pipeline({"deep": HOLDING.format("deep")}, name="inner.yaml")
    files = [project.root / f"{name}-pid" for name in ("deep", "side")]
    project.pipeline({"in": {"pipeline": "inner"}, "side": HOLDING.format("side")})
    with project.started("pipeline", "p", "--max-workers", "2") as process:
        eventually(lambda: all(file.exists() and file.read_text().strip() for file in files))
        process.kill()
        process.wait()
        process.communicate()
    pids = [int(file.read_text()) for file in files]
    try:
        done = project("pipeline", "p", "--resume")
        assert done.code == 75
        for name, pid in zip(("deep", "side"), pids, strict=True):
            assert f"'{name}' (pid {pid})" in done.err
    finally:
        end(project, pids)


def test_under_a_run_key_they_are_named_too(project: Project) -> None:
    pids = killed(project, "a", options=["--run-key", "monday"])
    try:
        done = project("pipeline", "p", "--run-key", "monday")
        assert done.code == 75
        assert f"jobs of run {project.store.run_ids()[0]} are still at work" in done.err
        assert f"'a' (pid {pids[0]})" in done.err
        assert "waits for them with --orphans wait, and stops them with --orphans kill" in done.err
    finally:
        end(project, pids)


def test_a_resume_that_died_as_it_began_can_be_gone_on_with(project: Project) -> None:
    project.pipeline({"a": "test -e ok"})
    project.run()
    (run_id,) = project.store.run_ids()
    project.write(f".lorchestra/runs/{run_id}/run.2.jsonl")
    project.write("ok")
    done = project.run("--resume", "--json")
    assert (done.code, done.json["run_id"]) == (0, run_id)


def test_the_events_name_them(project: Project) -> None:
    pids = killed(project, "a")
    (project.root / "go-on").touch()
    eventually(lambda: not any(map(is_running, pids)))
    store = project.store
    events: list[object] = []
    pipeline = Pipeline("p", (stage(shell("a", "true")),), project.root)
    run_pipeline(pipeline, store, handlers=[events.append], resume=store.run_ids()[0])
    assert not [event for event in events if isinstance(event, OrphanFound)]
    assert [event.attempt for event in events if isinstance(event, JobStarted)] == [2]


def test_the_error_says_which_and_where() -> None:
    error = OrphansError("run", [(f"job {n}", 1, 100 + n) for n in range(12)])
    assert "'job 0' (pid 100)" in str(error)
    assert str(error).endswith("...")


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_is_gone_on_with_to_its_end(project: Project, seed: int) -> None:
    """Every job runs to its end once at least, and no job beside itself."""
    line = "mkdir {0}-at-work || echo {0} >> twice; sleep 0.05; echo {0} >> ran; rmdir {0}-at-work"
    names = [f"j{n}" for n in range(8)]
    half = [{name: line.format(name) for name in part} for part in (names[:5], names[5:])]
    project.pipeline(*half)
    options = ["--max-workers", "3", "--durability", "os"]
    resume: list[str] = []
    for kill in range(40):
        command = ["pipeline", "p", *resume, *options, "--orphans", "wait", "--json"]
        with project.started(*command) as process:
            try:
                # Later each time, so that it comes to its end.
                done = process.communicate(timeout=0.25 + 0.05 * ((kill + seed) % 7) + kill * 0.1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                resume = ["--resume"] if project.store.run_ids() else []
                continue
        assert process.returncode == 0, done
        break
    (run_id,) = project.store.run_ids()[:1]
    assert not (project.root / "twice").exists()
    view = project.store.read(run_id)
    assert view.status == "succeeded"
    assert project.store.verify(strict=True).errors == []
    ran = ran_in(project)
    for job in view.jobs.values():
        ends = sum(attempt.status == "succeeded" for attempt in job.attempts)
        assert ends == 1
        assert 1 <= ran[job.id] <= len(job.attempts)


# On the command line


def test_without_a_run_that_did_not_succeed_there_is_nothing_to_do(project: Project) -> None:
    project.pipeline({"a": "echo a >> ran"})
    done = project("pipeline", "p", "--resume")
    assert done.code == 0
    assert "none, or all succeeded" in done.err
    assert not (project.root / "ran").exists()
    project("pipeline", "p")
    done = project("pipeline", "p", "--resume")
    assert (done.code, ran_in(project)) == (0, {"a": 1})


@pytest.mark.parametrize("reference", ["nonsense", "01a211c5-bb14-738c-aea1-7dc953f81b00"])
def test_an_unknown_run_is_a_mistake(project: Project, reference: str) -> None:
    project.pipeline({"a": "exit 1"})
    project("pipeline", "p")
    done = project("pipeline", "p", f"--resume={reference}")
    assert (done.code, done.out) == (2, "")
    assert f"no run {reference!r}" in done.err


def test_a_run_of_another_pipeline_is_a_mistake(project: Project) -> None:
    project.pipeline({"a": "exit 1"}, name="q.yaml")
    project("pipeline", "q")
    project.pipeline({"a": "exit 1"})
    done = project("pipeline", "p", "--resume=last")
    assert done.code == 0
    run_id = project.store.run_ids()[0]
    done = project("pipeline", "p", f"--resume={run_id}")
    assert (done.code, "is of 'q', not of 'p'" in done.err) == (2, True)


def test_the_object_covers_the_whole_run(project: Project) -> None:
    project.pipeline({"a": "true", "b": "test -e ok"})
    assert project("pipeline", "p").code == 1
    (project.root / "ok").touch()
    done = project("pipeline", "p", "--resume", "--json")
    run = done.json
    assert (run["total"], run["succeeded"], run["failed"]) == (2, 2, 0)
    assert statuses(run) == {"a": "succeeded", "b": "succeeded"}
    assert [job["attempts"] for job in run["jobs"]] == [1, 2]
    assert [job["resumed"] for job in run["jobs"]] == ["succeeded before", "failed before"]
    assert project("runs", "show", "last", "--json").json == run
    assert os.listdir(RunStore(project.root / ".lorchestra").path)


# With parameters and references

PARAMETRISED = """
params: {day: 1}
stages:
  - name: peek
    jobs:
      - {id: peek, run: 'echo peek >> ran; echo "{\\"rows\\": 7}" > $LORCHESTRA_OUTPUT'}
      - {id: plain, run: echo plain >> ran}
      - {id: daily, run: 'echo daily-${params.day} >> ran'}
  - name: use
    jobs:
      - {id: use, run: 'echo use-${run.peek.rows} >> ran; test -e ok'}
"""


def test_the_output_of_a_kept_job_is_there_for_those_that_refer_to_it(project: Project) -> None:
    project.write("p.yaml", PARAMETRISED)
    assert project("pipeline", "p").code == 1
    project.write("ok")
    done = project("pipeline", "p", "--resume")
    assert done.code == 0, done.err
    assert ran_in(project) == {"peek": 1, "plain": 1, "daily-1": 1, "use-7": 2}


def test_its_parameters_are_those_of_the_run_unless_others_are_given(project: Project) -> None:
    project.write("p.yaml", PARAMETRISED)
    assert project("pipeline", "p", "--param", "day=2").code == 1
    assert project("pipeline", "p", "--resume").code == 1
    assert ran_in(project)["daily-2"] == 1
    plan = project("pipeline", "p", "--resume", "--param", "day=3", "--dry-run").out
    assert "daily  to run, definition changed; run: echo daily-3" in plan
    project.write("ok")
    assert project("pipeline", "p", "--resume", "--param", "day=3").code == 0
    assert ran_in(project) == {"peek": 1, "plain": 1, "daily-2": 1, "daily-3": 1, "use-7": 3}
    begins = project.store.read(project.store.run_ids()[0]).records()
    params = [r["params"] for r in begins if r["event"] == "begin" and "params" in r]
    assert params == [{"day": 2}, {"day": 2}, {"day": 3}]


def test_a_job_that_is_not_selected_and_had_failed_leaves_the_run_failed(project: Project) -> None:
    project.pipeline({"a": "test -e ok", "b": "test -e ok"})
    assert project("pipeline", "p").code == 1
    project.write("ok")
    assert project("pipeline", "p", "--resume", "--only", "a").code == 1
    done = project("pipeline", "p", "--resume", "--json")
    assert (done.code, statuses(done.json)) == (0, {"a": "succeeded", "b": "succeeded"})
    assert [job["attempts"] for job in done.json["jobs"]] == [2, 2]


def test_but_one_that_may_fail_or_had_succeeded_does_not(project: Project) -> None:
    may_fail = {"run": "exit 1", "allow_failure": True}
    jobs: dict[str, Any] = {"a": "test -e ok", "b": may_fail, "c": "true"}
    project.pipeline(jobs)
    assert project("pipeline", "p").code == 1
    project.pipeline({**jobs, "c": "exit 0"})
    project.write("ok")
    done = project("pipeline", "p", "--resume", "--only", "a", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert statuses(done.json) == {"a": "succeeded", "b": "failed", "c": "succeeded"}


def test_a_job_may_be_selected_alone_when_what_it_refers_to_is_kept(project: Project) -> None:
    project.write("p.yaml", PARAMETRISED)
    assert project("pipeline", "p").code == 1
    project.write("ok")
    assert project("pipeline", "p", "--only", "use").code == 2
    done = project("pipeline", "p", "--resume", "--only", "use", "--dry-run")
    assert done.code == 0, done.err
    done = project("pipeline", "p", "--resume", "--only", "use")
    assert done.code == 0, done.err
    assert ran_in(project)["use-7"] == 2


def test_a_parameter_that_held_a_secret_is_asked_for_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hidden-value")
    project.write(
        "p.yaml",
        "secrets: [TOKEN]\nparams: {token: none}\nstages:\n"
        "  - name: s\n"
        "    jobs: [{id: a, run: 'test ${params.token} = hidden-value && test -e ok'}]\n",
    )
    assert project("pipeline", "p", "--param", "token=hidden-value").code == 1
    project.write("ok")
    done = project("pipeline", "p", "--resume")
    assert (done.code, "the parameter 'token' held a secret: give it again" in done.err) == (
        2,
        True,
    )
    assert project("pipeline", "p", "--resume", "--param", "token=hidden-value").code == 0
    assert b"hidden-value" not in b"".join(
        path.read_bytes() for path in project.root.rglob("*.jsonl")
    )
