"""Pipelines that are jobs of others: runs of their own, within one number of workers."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorchestra.seats import Seats
from runstore import RunView
from tests.lorchestra.cli.commands import Project, ended, statuses
from tests.lorchestra.running import check_complete, eventually, is_running, module

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

INTERVAL = (
    "import os,sys,time,pathlib; a=time.monotonic_ns(); time.sleep(float(sys.argv[1])); "
    'pathlib.Path("times", sys.argv[2] + os.environ["LORCHESTRA_RUN_ID"])'
    '.write_text(f"{a} {time.monotonic_ns()}")'
)
HOLD = "echo $$ > {0}-pid; echo {0} >> ran; while [ ! -e go-on ]; do sleep 0.02; done"


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capfdbinary)


def busy(name: str, seconds: float = 0.1) -> dict[str, Any]:
    return {"command": [sys.executable, "-S", "-c", INTERVAL, str(seconds), name]}


def most_at_once(project: Project) -> int:
    """How many jobs of all runs were at work at the same time, by what they say themselves."""
    changes = []
    for path in (project.root / "times").iterdir():
        begin, end = map(int, path.read_text().split())
        changes += [(begin, 1), (end, -1)]
    return max(itertools.accumulate(change for _, change in sorted(changes)))


def ran(project: Project) -> Counter[str]:
    path = project.root / "ran"
    return Counter(path.read_text().split() if path.exists() else [])


def run(project: Project, *arguments: str, code: int = 0, name: str = "p") -> dict[str, Any]:
    done = project.run("--json", "--progress", "none", *arguments, name=name)
    assert done.code == code, done.err
    found: dict[str, Any] = done.json
    assert project("runs", "show", found["run_id"], "--json").json == found
    for run_id in project.store.run_ids():
        check_complete(project.store, run_id)
    return found


def child_of(project: Project, job_id: str, run_id: str | None = None) -> RunView:
    """The run that a job of the last run was."""
    by_themselves = (each.id for each in project.store.runs() if each.parent is None)
    view = project.store.read(run_id or next(by_themselves))
    child = view.jobs[job_id].attempts[-1].child
    assert child is not None
    inner = project.store.read(child)
    assert inner.begin["parent"] == {"run": view.id, "job": job_id}
    return inner


def test_a_pipeline_is_a_run_of_its_own_that_knows_its_parent(project: Project) -> None:
    project.pipeline({"a": "echo ${params.n}"}, name="inner.yaml", params={"n": 1})
    show = {"command": ["echo", "@run.inner.status", "@run.inner.counts"]}
    project.pipeline({"inner": {"pipeline": "inner", "with": {"n": 7}}}, {"show": show})
    found = run(project)
    inner = child_of(project, "inner")
    assert (inner.status, inner.begin["params"]) == ("succeeded", {"n": 7})
    assert project("runs", "logs", inner.id, "a").out == "7\n"
    assert found["jobs"][0]["run_id"] == inner.id
    assert project("runs", "logs", "last", "show").out == 'succeeded {"succeeded":1}\n'
    assert f"run {inner.id}" in project("runs", "show").out
    assert f"parent    {found['run_id']}, job inner" in project("runs", "show", inner.id).out
    listed = {
        each["run_id"]: each.get("parent")
        for each in project("runs", "list", "--inside", "--json").json
    }
    assert listed == {found["run_id"]: None, inner.id: found["run_id"]}


def test_what_fails_inside_fails_the_job_and_is_shown(project: Project) -> None:
    project.pipeline({"bad": "echo why; exit 3", "good": "true"}, name="inner.yaml")
    project.pipeline({"inner": {"pipeline": "inner"}, "other": "true"})
    done = project.run()
    assert done.code == 1
    assert "--- inner: bad failed: exit code 3" in done.err
    assert "    | why" in done.err
    assert "inner: bad failed in" in done.err
    view = project.store.read(project("runs", "show", "--json").json["run_id"])
    inner = child_of(project, "inner")
    error = f"run {inner.id} of inner failed: 1 succeeded, 1 failed"
    assert view.jobs["inner"].attempts[0].error == error
    assert view.jobs["inner"].output["counts"] == {"failed": 1, "succeeded": 1}


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_all_levels_together_never_exceed_the_workers(project: Project, workers: int) -> None:
    (project.root / "times").mkdir()
    project.pipeline({f"a{n}": busy(f"a{n}") for n in range(3)}, name="deep.yaml")
    project.pipeline(
        {"deep": {"pipeline": "deep"}, **{f"b{n}": busy(f"b{n}") for n in range(2)}},
        name="inner.yaml",
    )
    project.pipeline(
        {
            **{f"inner{n}": {"pipeline": "inner"} for n in range(3)},
            **{f"c{n}": busy(f"c{n}") for n in range(3)},
        }
    )
    run(project, "--max-workers", str(workers))
    assert len(list((project.root / "times").iterdir())) == 3 * (3 + 2) + 3
    assert min(workers, 2) <= most_at_once(project) <= workers


def test_a_ceiling_of_a_stage_counts_for_the_pipelines_in_it(project: Project) -> None:
    (project.root / "times").mkdir()
    project.pipeline({f"a{n}": busy(f"a{n}", 0.05) for n in range(4)}, name="inner.yaml")
    stage = {"name": "s", "max_workers": 2, "jobs": []}
    stage["jobs"] = [{"id": f"inner{n}", "pipeline": "inner"} for n in range(4)]
    project.write("p.yaml", json.dumps({"stages": [stage]}))
    run(project, "--max-workers", "8")
    assert most_at_once(project) <= 2


def test_without_a_number_each_pipeline_has_its_own(project: Project) -> None:
    (project.root / "times").mkdir()
    stage = {"name": "s", "max_workers": 3, "jobs": []}
    stage["jobs"] = [{"id": f"a{n}", **busy(f"a{n}", 0.1)} for n in range(3)]
    project.write("inner.yaml", json.dumps({"stages": [stage]}))
    project.pipeline({"x": {"pipeline": "inner"}, "y": {"pipeline": "inner"}})
    run(project)
    assert most_at_once(project) <= 3
    records = child_of(project, "y").records()
    assert [each["workers"] for each in records if each["event"] == "stage_begin"] == [3]


def test_with_one_worker_everything_runs_in_this_thread(project: Project) -> None:
    (project.root / "where.py").write_text(
        "import threading\ndef where():\n    return threading.current_thread().name\n"
    )
    project.pipeline({"a": {"call": "where:where"}}, name="inner.yaml")
    project.pipeline({"inner": {"pipeline": "inner"}})
    run(project, "--max-workers", "1")
    assert child_of(project, "inner").jobs["a"].output == threading.main_thread().name


class TestResume:
    def test_a_resume_goes_on_with_the_run_inside(self, project: Project) -> None:
        note = "echo {0} >> ran; test ! -e {0}-fails"
        inner = {name: note.format(name) for name in ("a", "b")}
        project.pipeline(inner, {"c": note.format("c")}, name="inner.yaml", stop_on_failure=True)
        project.pipeline({"inner": {"pipeline": "inner"}, "d": note.format("d")})
        (project.root / "b-fails").touch()
        run(project, code=1)
        first = child_of(project, "inner")
        (project.root / "b-fails").unlink()
        run(project, "--resume")
        assert child_of(project, "inner").id == first.id
        assert child_of(project, "inner").status == "succeeded"
        assert ran(project) == {"a": 1, "b": 2, "c": 1, "d": 1}

    def test_a_further_attempt_goes_on_with_it_too(self, project: Project) -> None:
        line = "echo b >> ran; mkdir b || { touch failed; exit 1; }"
        inner = {"a": "echo a >> ran", "b": line}
        project.pipeline(inner, name="inner.yaml")
        (project.root / "b").mkdir()
        job = {"pipeline": "inner", "retries": {"max": 1, "backoff": "2s"}}
        wait = "while [ ! -e failed ]; do sleep 0.02; done; rmdir b"
        project.pipeline({"inner": job, "rm": wait})
        found = run(project, "--max-workers", "2")
        assert ran(project) == {"a": 1, "b": 2}
        attempts = project.store.read(found["run_id"]).jobs["inner"].attempts
        assert [attempt.status for attempt in attempts] == ["failed", "succeeded"]
        assert attempts[0].child == attempts[1].child

    def test_the_keys_of_its_jobs_stay_whatever_becomes_of_the_run(self, project: Project) -> None:
        inner = {"a": "echo $LORCHESTRA_IDEMPOTENCY_KEY >> ran; test -e ok"}
        project.pipeline(inner, name="inner.yaml")
        project.pipeline({"x": {"pipeline": "inner"}, "y": {"pipeline": "inner"}})
        run(project, code=1)
        (project.root / "ok").touch()
        run(project, "--resume")
        assert list(ran(project).values()) == [2, 2]

    def test_where_its_run_is_gone_it_begins_anew(self, project: Project) -> None:
        project.pipeline({"a": "echo a >> ran; test -e ok"}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner"}})
        first = run(project, code=1)
        gone = child_of(project, "inner").id
        folder = project.root / ".lorchestra" / "runs" / gone
        folder.rename(project.root / "gone")
        (project.root / "ok").touch()
        found = run(project, f"--resume={first['run_id']}")
        assert child_of(project, "inner", found["run_id"]).id != gone
        assert ran(project) == {"a": 2}

    def test_another_definition_inside_counts(self, project: Project) -> None:
        project.pipeline({"a": "echo a >> ran", "b": "echo b >> ran"}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner"}, "bad": "test -e ok"})
        run(project, code=1)
        project.pipeline({"a": "echo a >> ran", "b": "echo anew >> ran"}, name="inner.yaml")
        (project.root / "ok").touch()
        run(project, "--resume")
        assert ran(project) == {"a": 1, "b": 1, "anew": 1}

    def test_resume_alone_means_the_run_around(self, project: Project) -> None:
        project.pipeline({"a": "test -e ok"}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner"}})
        run(project, code=1)
        done = project.run("--resume", name="inner")
        assert "no run of inner" in done.err
        assert done.code == 0

    def test_gone_on_with_by_itself_it_still_keeps_the_secrets_of_the_run_around(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "swordfish")
        project.write("key", "hunter2\n")
        line = 'echo $TOKEN $KEY; printf \'{"a": "%s"}\' $TOKEN > $LORCHESTRA_OUTPUT; test -e ok'
        project.pipeline({"a": line}, name="inner.yaml")
        secrets = ["TOKEN", {"KEY": {"file": "key"}}]
        project.pipeline({"inner": {"pipeline": "inner"}}, secrets=secrets)
        run(project, code=1)
        inner = child_of(project, "inner")
        done = project.run("--resume", inner.id, "--output", "prefixed", name="inner")
        project.write("ok", "")
        again = project.run("--resume", inner.id, "--json", name="inner")
        assert (done.code, again.code) == (1, 0)
        for text in (done.out, done.err, again.out, again.err):
            assert "swordfish" not in text
            assert "hunter2" not in text
        assert "*** ***" in done.err
        for path in (project.root / ".lorchestra").rglob("*.jsonl"):
            assert b"swordfish" not in path.read_bytes()
        # What was said of them then does not keep a run from going on.
        (project.root / "key").unlink()
        monkeypatch.delenv("TOKEN")
        (project.root / "ok").unlink()
        assert project.run("--resume", inner.id, name="inner").code == 0

    @pytest.mark.parametrize("workers", ["1", "4"])
    def test_killed_inside_it_is_crashed_and_gone_on_with(
        self, project: Project, workers: str
    ) -> None:
        project.pipeline({"a": "echo a >> ran", "b": HOLD.format("b")}, name="deep.yaml")
        project.pipeline({"deep": {"pipeline": "deep"}, "c": "echo c >> ran"}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner"}}, {"d": "echo d >> ran"})
        pid_file = project.root / "b-pid"
        with project.started("pipeline", "p", "--max-workers", workers) as process:
            eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
            eventually(lambda: ran(project)["a"])
            process.kill()
            process.wait()
        pid = int(pid_file.read_text())
        outer = next(each for each in project.store.runs() if each.parent is None)
        inner = child_of(project, "inner")
        deep = project.store.read(str(inner.jobs["deep"].attempts[0].child))
        assert [outer.status, inner.status, deep.status] == ["crashed"] * 3
        assert deep.jobs["b"].status == "crashed"
        done = project.run("--resume")
        assert done.code == 75
        assert f"'b' (pid {pid})" in done.err
        (project.root / "go-on").touch()
        eventually(lambda: not is_running(pid))
        found = run(project, "--resume", "--max-workers", workers)
        assert found["run_id"] == outer.id
        assert len(project.store.run_ids()) == 3
        assert (ran(project)["b"], ran(project)["d"]) == (2, 1)
        # With more workers they may not have been recorded when the run was killed.
        once = {1} if workers == "1" else {1, 2}
        assert {ran(project)["a"], ran(project)["c"]} <= once


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_comes_to_its_end(project: Project, seed: int) -> None:
    """A loop of pipelines: every job runs to its end once at least, and none beside itself."""
    line = (
        "n=${params.name}-%s; mkdir $n-at-work || echo $n >> twice; sleep 0.05; "
        "echo $n >> ran; rmdir $n-at-work"
    )
    inner = {name: line % name for name in ("a", "b")}
    project.pipeline(inner, name="inner.yaml", params={"name": "x"})
    names = [f"n{number}" for number in range(4)]
    project.write("items.json", json.dumps({"items": names}))
    loop = {"over": "@run.peek.items"}
    job = {"pipeline": "inner", "with": {"name": "@item"}, "loop": loop}
    project.pipeline({"peek": "cat items.json > $LORCHESTRA_OUTPUT"}, {"inner": job})
    options = ["--max-workers", "3", "--durability", "os", "--orphans", "wait", "--json"]
    resume: list[str] = []
    for kill in range(40):
        with project.started("pipeline", "p", *resume, *options) as process:
            try:
                process.communicate(timeout=0.3 + 0.06 * ((kill + seed) % 5) + kill * 0.15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                resume = ["--resume"] if project.store.run_ids() else []
                continue
        assert process.returncode == 0
        break
    assert not (project.root / "twice").exists()
    view = project.store.read(next(each.id for each in project.store.runs() if not each.parent))
    assert view.status == "succeeded"
    assert [*view.jobs] == ["peek", *(f"inner[{name}]" for name in names)]
    assert project.store.verify(strict=True).errors == []
    assert set(ran(project)) == {f"{name}-{job}" for name in names for job in "ab"}
    for name in names:
        child = child_of(project, f"inner[{name}]", view.id)
        assert {job.status for job in child.jobs.values()} == {"succeeded"}
        for job_before in child.jobs.values():
            assert ran(project)[f"{name}-{job_before.id}"] <= len(job_before.attempts)


def test_what_is_at_work_inside_a_killed_run_can_be_stopped(project: Project) -> None:
    project.pipeline({"b": HOLD.format("b")}, name="inner.yaml")
    project.pipeline({"inner": {"pipeline": "inner"}})
    pid_file = project.root / "b-pid"
    with project.started("pipeline", "p") as process:
        eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
        process.kill()
        process.wait()
    pid = int(pid_file.read_text())
    with project.started("pipeline", "p", "--resume", "--orphans", "kill") as process:
        eventually(lambda: not is_running(pid))
        (project.root / "go-on").touch()
        assert ended(process).code == 0
    assert ran(project) == {"b": 2}


class TestStop:
    @pytest.fixture(params=["1", "4"])
    def held(self, project: Project, request: pytest.FixtureRequest) -> Iterator[Any]:
        project.pipeline({"b": HOLD.format("b")}, {"late": "echo late >> ran"}, name="deep.yaml")
        project.pipeline({"deep": {"pipeline": "deep"}}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner"}}, {"d": "echo d >> ran"})
        pid_file = project.root / "b-pid"
        with project.started("pipeline", "p", "--max-workers", request.param) as process:
            eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
            yield process
        assert not is_running(int(pid_file.read_text()))

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_reaches_the_deepest(
        self, project: Project, held: Any, number: int, code: int
    ) -> None:
        held.send_signal(number)
        assert ended(held).code == code
        inner = child_of(project, "inner")
        deep = project.store.read(str(inner.jobs["deep"].attempts[0].child))
        outer = next(each for each in project.store.runs() if each.parent is None)
        assert [outer.status, inner.status, deep.status] == ["interrupted"] * 3
        assert {job.id: job.status for job in deep.jobs.values()} == {
            "b": "interrupted",
            "late": "skipped",
        }
        assert ran(project) == {"b": 1}
        for run_id in project.store.run_ids():
            check_complete(project.store, run_id)
        (project.root / "go-on").touch()
        run(project, "--resume")
        assert ran(project) == {"b": 2, "late": 1, "d": 1}

    def test_the_limit_of_the_job_ends_it(self, project: Project) -> None:
        project.pipeline({"b": HOLD.format("b")}, {"late": "true"}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner", "timeout": "300ms"}, "other": "true"})
        found = run(project, code=1)
        assert statuses(found) == {"inner": "timed_out", "other": "succeeded"}
        assert found["failures"][0]["error"].startswith("timed out after 300ms (run ")
        inner = child_of(project, "inner")
        assert [job.status for job in inner.jobs.values()] == ["timed_out", "skipped"]
        assert not is_running(int((project.root / "b-pid").read_text()))

    def test_a_function_inside_a_limited_job_can_be_ended(self, project: Project) -> None:
        (project.root / "work.py").write_text("import time\ndef hang():\n    time.sleep(600)\n")
        project.pipeline({"a": {"call": "work:hang"}}, name="inner.yaml")
        project.pipeline({"inner": {"pipeline": "inner", "timeout": "500ms"}})
        began = time.monotonic()
        run(project, "--grace", "5s", code=1)
        assert time.monotonic() - began < 60
        assert child_of(project, "inner").jobs["a"].status == "timed_out"

    def test_a_failure_that_stops_the_run_now_stops_it(self, project: Project) -> None:
        project.pipeline({"b": HOLD.format("b")}, name="inner.yaml")
        bad = "while [ ! -e b-pid ]; do sleep 0.02; done; exit 1"
        project.pipeline({"inner": {"pipeline": "inner"}, "bad": bad})
        options = ("--max-workers", "2", "--stop-on-failure", "--halt", "now")
        found = run(project, *options, code=1)
        assert statuses(found) == {"inner": "interrupted", "bad": "failed"}
        assert child_of(project, "inner").jobs["b"].status == "interrupted"

    def test_a_function_that_hangs_inside_is_left_behind(self, project: Project) -> None:
        (project.root / "work.py").write_text(
            "import pathlib, time\n"
            "def hang():\n"
            "    pathlib.Path('there').touch()\n"
            "    time.sleep(600)\n"
        )
        inner = {"name": "s", "max_workers": 1, "jobs": [{"id": "a", "call": "work:hang"}]}
        project.write("inner.yaml", json.dumps({"stages": [inner]}))
        project.pipeline({"inner": {"pipeline": "inner"}, "other": "sleep 600"})
        with project.started("pipeline", "p", "--max-workers", "2", "--grace", "0s") as process:
            eventually((project.root / "there").exists)
            process.send_signal(signal.SIGINT)
            assert ended(process).code == 130
        assert child_of(project, "inner").jobs["a"].status == "interrupted"
        for run_id in project.store.run_ids():
            check_complete(project.store, run_id)


class TestFiles:
    def test_pipelines_inside_each_other_are_told_with_the_way(self, project: Project) -> None:
        for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
            project.pipeline({f"x{name}": {"pipeline": other}}, name=f"{name}.yaml")
        done = project.run(name="a")
        assert done.code == 2
        assert done.errors == [
            "lorchestra: c.yaml:1:62: pipeline 'a' is inside itself: a -> b -> c -> a"
        ]

    def test_one_that_is_itself_is_told_too(self, project: Project) -> None:
        project.write("a.yaml", "stages:\n  - name: s\n    jobs: [pipeline.a]\n")
        done = project.run(name="a")
        assert done.errors == [
            "lorchestra: a.yaml:3:12: pipeline 'pipeline.a' is inside itself: a -> pipeline.a"
        ]

    def test_the_mistakes_of_all_files_are_told_at_once(self, project: Project) -> None:
        project.write(
            "p.yaml",
            "stages:\n"
            "  - name: s\n"
            "    jobs:\n"
            "      - {id: a, pipeline: iner}\n"
            "      - {id: b, pipeline: inner, with: {dya: 1, limit: many}, env: {A: b}}\n"
            "      - {id: c, pipeline: inner, run: echo}\n",
        )
        project.write(
            "inner.yaml",
            "params: {day: mon, limit: 1}\nstages:\n  - name: s\n    jobs: [{id: a, rum: echo}]\n",
        )
        done = project.run()
        assert done.code == 2
        assert done.errors == [
            f"lorchestra: {line}"
            for line in (
                "p.yaml:4:27: there is no pipeline 'iner' (did you mean inner?)",
                "p.yaml:5:41: pipeline 'inner' has no parameter 'dya' (did you mean day?)",
                "p.yaml:5:56: parameter limit must be a whole number, not 'many'",
                "p.yaml:5:63: env may not stand beside pipeline",
                "p.yaml:6:34: a job has one action: run is beside pipeline in line 6",
                "inner.yaml:4:12: a job needs one of run, command, call or pipeline",
                "inner.yaml:4:20: unknown key 'rum' (did you mean run?)",
            )
        ]

    def test_what_is_missing_inside_is_told_before_anything_runs(self, project: Project) -> None:
        params = {"day": {"required": True}}
        project.pipeline({"a": "echo ${env.NO_SUCH}"}, name="inner.yaml", params=params)
        project.pipeline({"inner": {"pipeline": "inner"}, "b": "touch ran"})
        done = project.run()
        assert done.code == 2
        assert "job 'inner': parameter day must be given, in with" in done.err
        assert "job 'inner', pipeline 'inner': job 'a': '${env.NO_SUCH}': " in done.err
        assert not (project.root / "ran").exists()

    def test_values_that_do_not_fit_fail_the_job(self, project: Project) -> None:
        project.pipeline({"a": "true"}, name="inner.yaml", params={"n": 1})
        peek = 'echo \'{"n":"many"}\' > $LORCHESTRA_OUTPUT'
        job = {"pipeline": "inner", "with": {"n": "@run.peek.n"}}
        project.pipeline({"peek": peek}, {"inner": job})
        found = run(project, code=1)
        assert found["failures"][0]["error"] == "parameter n must be a whole number, not 'many'"

    def test_parameters_that_no_record_can_hold_fail_the_job(self, project: Project) -> None:
        name = module(project.root, "def much():\n    return {'x': 'x' * 1_040_000}\n")
        project.pipeline({"a": "true"}, name="inner.yaml", params={"x": "", "y": ""})
        job = {"pipeline": "inner", "with": {"x": "@run.much.x", "y": "@run.much.x"}}
        project.pipeline({"much": {"call": f"{name}:much"}}, {"inner": job, "other": "true"})
        found = run(project, code=1)
        assert statuses(found) == {"much": "succeeded", "inner": "failed", "other": "succeeded"}

    def test_jobs_of_one_name_in_several_pipelines_have_nothing_to_do_with_each_other(
        self, project: Project
    ) -> None:
        project.write("jobs/shared.yaml", "run: echo ${params.day}\n")
        for name, day in (("p", "mon"), ("inner", "tue")):
            jobs: list[Any] = ["shared"]
            if name == "p":
                jobs.append({"id": "inner", "pipeline": "inner.yaml"})
            text = json.dumps({"params": {"day": day}, "stages": [{"name": "s", "jobs": jobs}]})
            project.write(f"{name}.yaml", text)
        run(project)
        assert project("runs", "logs", "last", "shared").out == "mon\n"
        assert project("runs", "logs", child_of(project, "inner").id, "shared").out == "tue\n"

    def test_a_guard_is_that_of_the_pipeline_around(self, project: Project) -> None:
        project.pipeline({"a": "sleep 0.1"}, name="inner.yaml")
        project.pipeline({name: {"pipeline": "inner"} for name in "xyz"})
        run(project, "--guard", "fail", "--max-workers", "3")


class TestSeats:
    def test_whoever_sits_in_the_inner_row_sits_in_the_outer_one(self) -> None:
        outer = Seats(2)
        inner, other = Seats(5, outer), Seats(1, outer)
        assert (outer.most, inner.most, other.most) == (2, 2, 1)
        assert other.take()
        assert not other.take()
        assert inner.take()
        assert not inner.take()
        assert not outer.take()
        other.give_back()
        assert outer.take()

    def test_those_who_wait_are_told(self) -> None:
        outer = Seats(1)
        inner = Seats(1, outer)
        told: list[str] = []

        def listener() -> None:
            told.append("told")

        inner.listen(listener)
        assert outer.take()
        outer.give_back()
        inner.leave(listener)
        assert inner.take()
        inner.give_back()
        assert told == ["told"]

    @given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=5))
    @settings(max_examples=50)
    def test_no_row_ever_has_more_than_it_has_seats(self, rows: list[tuple[int, int]]) -> None:
        seats: list[Seats] = []
        for count, outer in rows:
            seats.append(Seats(count, seats[outer] if outer < len(seats) else None))
        taken: Counter[int] = Counter()
        for each in seats * 6:
            if each.take():
                taken.update(map(id, each.rows))
        limits = {id(each.rows[0]): count for each, (count, _) in zip(seats, rows, strict=True)}
        assert all(taken[row] <= limits[row] for row in taken)
        assert all(any(not row.free for row in each.rows) for each in seats)
