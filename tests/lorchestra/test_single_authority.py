"""What is shown while a run goes on, what `--json` prints and what is read later are one record."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Options, Retries, run_pipeline
from lorchestra.plan import NOT_SELECTED
from lorchestra.report.summary import error_of, job_duration_s, run_duration_s
from lorchestra.report.text import duration, status_counts
from runstore import Attempt, RunView
from tests.lorchestra.cli.commands import Done, Project, ended
from tests.lorchestra.running import (
    Runner,
    check_complete,
    eventually,
    is_running,
    module,
    shell,
    stage,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and a POSIX shell")

WORD = "succeeded|failed|timed_out|interrupted"
STARTED = re.compile(r"(\S+?)(?: \(attempt (\d+)\))? started")
FINISHED = re.compile(
    rf"(\S+?)(?: \(attempt (\d+)\))? ({WORD}) in ([\d.]+ s)(?:: (.*?))?(?:; again in [^:;]+)?"
)
NOT_RUN = re.compile(r"(\S+) (cancelled|skipped): (.*)")
STAYS = re.compile(rf"(\S+) stays ({WORD}|crashed): (.*)")
CHOSEN = re.compile(r"(\S+) (kept|to run): (.*)")
RUN_ENDED = re.compile(r"run (\w+) in ([\d.]+ s): (.*)")
FAILURE = re.compile(rf"--- (\S+) ({WORD}): (.*)\n(?:    \| .*\n)*    .*log: (.*)\n")

SLOW = "touch at-work-$LORCHESTRA_JOB_ID; exec sleep 60"
STUBBORN = "trap '' TERM; touch at-work-$LORCHESTRA_JOB_ID; while :; do sleep 0.05; done"
FLAKY = "echo x >> tries-$LORCHESTRA_JOB_ID; [ $(wc -l < tries-$LORCHESTRA_JOB_ID) -gt {} ]"


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capfdbinary)


@dataclass
class Told:
    """What the lines of the progress say of a run."""

    statuses: dict[str, str] = field(default_factory=dict)
    finished: dict[tuple[str, int], tuple[str, str, str | None]] = field(default_factory=dict)
    started: set[tuple[str, int]] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    run: tuple[str, str, str] | None = None
    receipt: str | None = None

    @classmethod
    def by(cls, text: str) -> Told:
        told = cls()
        for line in text.splitlines():
            told._take(re.sub(r"^\d\d:\d\d:\d\d ", "", line))
        return told

    def _take(self, line: str) -> None:
        if line.startswith("receipt "):
            self.receipt = line.removeprefix("receipt ")
        elif found := RUN_ENDED.fullmatch(line):
            self.run = (found[1], found[2], found[3])
        elif found := STARTED.fullmatch(line):
            self.started.add((found[1], int(found[2] or 1)))
        elif found := FINISHED.fullmatch(line):
            job_id, number, status, took, error = found.groups()
            self.finished[job_id, int(number or 1)] = (status, took, error)
            self.statuses[job_id] = status
        elif found := NOT_RUN.fullmatch(line) or STAYS.fullmatch(line):
            self.statuses[found[1]], self.reasons[found[1]] = found[2], found[3]
        elif found := CHOSEN.fullmatch(line):
            self.chosen[found[1]] = found[3]
            if found[2] == "kept":
                self.statuses[found[1]] = "succeeded"


def of_attempt(attempt: Attempt) -> tuple[str, str, str | None]:
    return attempt.status, duration(attempt.duration_s), attempt.error


def assert_progress_tells_the_record(told: Told, view: RunView, started: str) -> None:
    """What the progress of the last command told, held against the record."""
    recorded = {
        (job.id, attempt.number): attempt
        for job in view.jobs.values()
        for attempt in job.attempts
        if (attempt.started or "") >= started
    }
    assert {key: of_attempt(attempt) for key, attempt in recorded.items()} == told.finished
    assert told.started == recorded.keys()
    unselected = {
        job.id for job in view.jobs.values() if (job.reason or "").startswith(NOT_SELECTED)
    }
    assert told.statuses == {
        job.id: job.status for job in view.jobs.values() if job.id not in unselected
    }
    for job_id, reason in told.reasons.items():
        assert view.jobs[job_id].reason == reason
    resumed = {job.id: job.planned.get("reason") for job in view.jobs.values()}
    assert told.chosen == {job_id: reason for job_id, reason in resumed.items() if reason}
    counts = Counter(job.status for job in view.jobs.values())
    assert told.run == (view.status, duration(view.end["duration_s"]), status_counts(counts))
    assert view.end["counts"] == counts
    assert told.receipt == view.receipt


def assert_object_is_the_record(found: Mapping[str, Any], view: RunView) -> None:
    counts = Counter(job.status for job in view.jobs.values())
    began = {"succeeded", "failed", "timed_out", "interrupted", "crashed"}
    assert (found["run_id"], found["pipeline_id"]) == (view.id, view.pipeline)
    assert (found["status"], found["success"]) == (view.status, view.status == "succeeded")
    assert (found["total"], found["succeeded"]) == (len(view.jobs), counts["succeeded"])
    assert found["failed"] == sum(counts[word] for word in began - {"succeeded"})
    assert found["receipt"] == view.receipt
    took = view.end.get("duration_s")
    assert found["duration_ms"] == (None if took is None else pytest.approx(took * 1000))
    assert found["failures"] == [
        {"job_id": job.id, "error": error_of(job)}
        for job in view.jobs.values()
        if job.status in {"failed", "timed_out", "crashed"}
    ]
    assert [job["job_id"] for job in found["jobs"]] == list(view.jobs)
    for told, job in zip(found["jobs"], view.jobs.values(), strict=True):
        last = job.attempts[-1] if job.attempts else None
        took = job_duration_s(job)
        assert told["duration_ms"] == (None if took is None else pytest.approx(took * 1000))
        assert {key: told[key] for key in ("stage", "status", "attempts", "exit_code", "log")} == {
            "stage": job.stage,
            "status": job.status,
            "attempts": len(job.attempts),
            "exit_code": last.exit_code if last else None,
            "log": view.log_path(job.id),
        }


def assert_text_is_the_record(text: str, view: RunView) -> None:
    head, _, rows = text.partition("\n\n")
    shown = dict(re.split(r" {2,}", line, maxsplit=1) for line in head.splitlines())
    took = run_duration_s(view)
    counts = status_counts(Counter(job.status for job in view.jobs.values()))
    assert (shown["run"], shown["pipeline"]) == (view.id, view.pipeline)
    assert (shown["status"], shown["receipt"]) == (view.status, view.receipt or "-")
    assert shown["jobs"].endswith(f": {counts}")
    last_time = shown["started" if view.segment == 1 else "resumed"]
    assert last_time.endswith(f", took {duration(took)}")
    cells = [re.split(r" {2,}", line.rstrip(), maxsplit=5) for line in rows.splitlines()[1:]]
    assert cells == [
        [
            job.stage,
            job.id,
            job.status,
            str(len(job.attempts)),
            duration(job_duration_s(job)),
            *([error_of(job)] if job.status not in {"succeeded", "running", "planned"} else []),
        ]
        for job in view.jobs.values()
    ]


def assert_failures_are_those_of_the_record(text: str, view: RunView) -> None:
    told = {(job_id, status, error, log) for job_id, status, error, log in FAILURE.findall(text)}
    assert len(told) == text.count("\n--- ")
    for job_id, status, error, log in told:
        job = view.jobs[job_id]
        assert (job.status, error_of(job), view.log_path(job_id)) == (status, error, log)


def exit_code_of(view: RunView) -> int:
    """What the process exited with, by its record."""
    return {"succeeded": 0, "failed": 1}.get(view.status) or 128 + int(view.end.get("signal", -128))


def assert_all_are_one(project: Project, done: Done) -> RunView:
    """Hold everything that a command told, that had a run to its end, against the record."""
    assert b"Traceback" not in done.stderr
    run_id = project.store.run_ids()[0]
    view = project.store.read(run_id)
    begin = view.begin["at"]
    assert_progress_tells_the_record(Told.by(done.err), view, begin)
    assert_failures_are_those_of_the_record(done.err, view)
    assert_object_is_the_record(done.json, view)
    assert done.code == exit_code_of(view)
    assert_later_is_the_same(project, view, done.json)
    (line,) = [line for line in project("runs", "list").out.splitlines() if run_id in line]
    assert view.status in line.split()
    assert project.store.verify(run_id, receipt=view.receipt).ok
    return view


def assert_later_is_the_same(project: Project, view: RunView, found: Any) -> None:
    assert project("runs", "show", view.id, "--json").json == found
    assert_text_is_the_record(project("runs", "show", view.id).out, view)
    (listed,) = project("runs", "list", "--json").json
    assert (listed["run_id"], listed["status"]) == (view.id, view.status)


def statuses(view: RunView) -> dict[str, str]:
    return {job.id: job.status for job in view.jobs.values()}


RETRIED = {"max": 2, "backoff": "10ms"}


@pytest.mark.parametrize("workers", ["1", "4"])
class TestEndings:
    def test_every_way_in_which_a_job_ends_by_itself(self, project: Project, workers: str) -> None:
        project.pipeline(
            {
                "succeeded": "echo fine",
                "failed": "echo why; exit 3",
                "allowed": {"run": "exit 4", "allow_failure": True},
                "killed": "kill -9 $$",
                "retried": {"run": FLAKY.format(1), "retries": RETRIED},
            },
            {
                "tried-in-vain": {"run": "exit 5", "retries": RETRIED},
                "slow": {"run": "sleep 60", "timeout": "100ms"},
                "not-there": {"command": ["no-such-program"]},
            },
        )
        view = assert_all_are_one(project, project.run("--json", "--max-workers", workers))
        assert statuses(view) == {
            "succeeded": "succeeded",
            "failed": "failed",
            "allowed": "failed",
            "killed": "failed",
            "retried": "succeeded",
            "tried-in-vain": "failed",
            "slow": "timed_out",
            "not-there": "failed",
        }
        assert [len(job.attempts) for job in view.jobs.values()] == [1, 1, 1, 1, 2, 3, 1, 1]

    def test_all_succeed_or_may_fail(self, project: Project, workers: str) -> None:
        project.pipeline({"a": "true", "b": {"run": "exit 1", "allow_failure": True}})
        done = project.run("--json", "--max-workers", workers)
        assert (assert_all_are_one(project, done).status, done.code) == ("succeeded", 0)

    def test_stop_on_failure(self, project: Project, workers: str) -> None:
        waits = {"run": "exit 6", "retries": {"max": 3, "backoff": "10m", "max_backoff": "10m"}}
        project.pipeline({"w": waits, "a": "exit 2", "b": SLOW, "c": "true"}, {"d": "true"})
        options = ["--stop-on-failure", "--halt", "now", "--json", "--max-workers", workers]
        view = assert_all_are_one(project, project.run(*options))
        assert view.status == "failed"
        found = statuses(view)
        assert (found["w"], found["a"], found["d"]) == ("failed", "failed", "skipped")
        assert found["b"] in {"interrupted", "cancelled"}

    def test_a_run_that_takes_too_long(self, project: Project, workers: str) -> None:
        project.pipeline({"a": "true", "b": SLOW, "c": SLOW}, {"d": "true"})
        done = project.run("--timeout", "500ms", "--json", "--max-workers", workers)
        view = assert_all_are_one(project, done)
        assert (view.status, statuses(view)["b"]) == ("failed", "timed_out")

    @pytest.mark.parametrize("options", [["--only", "a"], ["--tag", "t"], ["--from-stage", "s2"]])
    def test_a_selection(self, project: Project, workers: str, options: list[str]) -> None:
        project.pipeline({"a": "exit 1", "b": {"run": "true", "tags": ["t"]}}, {"c": "true"})
        view = assert_all_are_one(
            project, project.run("--json", "--max-workers", workers, *options)
        )
        assert "skipped" in statuses(view).values()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("again", [False, True])
    def test_an_interrupt(self, project: Project, workers: str, number: int, again: bool) -> None:
        retried = {"run": "exit 5", "retries": {"max": 3, "backoff": "1h", "max_backoff": "1h"}}
        job = STUBBORN if again else SLOW
        project.pipeline({"x": "exit 1", "r": retried, "a": job, "b": job}, {"c": "true"})
        done = interrupted(project, workers, number, again=again)
        view = assert_all_are_one(project, done)
        assert (view.status, done.code) == ("interrupted", 128 + number)
        assert (statuses(view)["r"], statuses(view)["a"]) == ("failed", "interrupted")

    def test_a_resume_of_what_failed(self, project: Project, workers: str) -> None:
        project.pipeline(
            {"a": "true", "b": "test -e ok", "c": {"run": FLAKY.format(2), "retries": RETRIED}},
            {"d": "test -e ok"},
        )
        assert project.run("--stop-on-failure", "--max-workers", workers).code == 1
        project.write("ok")
        done = project.run("--resume", "--json", "--max-workers", workers)
        assert assert_all_are_one(project, done).status == "succeeded"

    def test_a_resume_that_fails_again_before_it_comes_to_all(
        self, project: Project, workers: str
    ) -> None:
        project.pipeline({"a": "exit 1"}, {"b": "exit 2", "c": "true"}, {"d": "exit 3"})
        assert project.run("--max-workers", workers).code == 1
        options = ["--resume", "--stop-on-failure", "--json", "--max-workers", workers]
        view = assert_all_are_one(project, project.run(*options))
        assert statuses(view) == {"a": "failed", "b": "failed", "c": "succeeded", "d": "failed"}

    def test_a_resume_of_some(self, project: Project, workers: str) -> None:
        project.pipeline({"a": "exit 1", "b": "exit 2", "c": "true"})
        assert project.run("--max-workers", workers).code == 1
        options = ["--resume", "--only", "b", "--json", "--max-workers", workers]
        assert assert_all_are_one(project, project.run(*options)).status == "failed"

    def test_a_resume_after_an_interrupt_and_an_interrupt_of_that(
        self, project: Project, workers: str
    ) -> None:
        project.pipeline({"x": "true", "a": SLOW, "b": SLOW}, {"c": "true"})
        interrupted(project, workers, signal.SIGINT)
        for path in project.root.glob("at-work-*"):
            path.unlink()
        done = interrupted(project, workers, signal.SIGTERM, "--resume")
        view = assert_all_are_one(project, done)
        assert [attempt.status for attempt in view.jobs["a"].attempts] == ["interrupted"] * 2

    def test_a_run_that_is_killed_and_its_resume(self, project: Project, workers: str) -> None:
        project.pipeline({"x": "exit 1", "a": "touch at-work-a; test -e ok || exec sleep 60"})
        with project.started(*command(workers)) as process:
            wait_for(project, "a")
            eventually(lambda: statuses_now(project) == {"x": "failed", "a": "running"})
            process.kill()
            done = ended(process)
        (run_id,) = project.store.run_ids()
        view = project.store.read(run_id)
        told = Told.by(done.err)
        assert (view.status, statuses(view)) == ("crashed", {"x": "failed", "a": "crashed"})
        # What is told is recorded before; the other way round, the kill may have come between.
        recorded = {("x", 1): of_attempt(view.jobs["x"].attempts[0])}
        assert told.finished.items() <= recorded.items()
        assert told.run is None
        found = project("runs", "show", run_id, "--json").json
        assert_object_is_the_record(found, view)
        assert_later_is_the_same(project, view, found)
        project.write("ok")
        done = project.run("--resume", "--orphans", "kill", "--json", "--max-workers", workers)
        assert not any(map(is_running, at_work(project)))
        assert statuses(assert_all_are_one(project, done)) == {"x": "failed", "a": "succeeded"}


def statuses_now(project: Project) -> dict[str, str]:
    return statuses(project.store.read(project.store.run_ids()[0]))


def at_work(project: Project) -> list[int]:
    """The pids that the record names of jobs."""
    records = project.store.read(project.store.run_ids()[0]).records()
    return [
        record["pid"]
        for record in records
        if record["event"] == "process" and is_running(record["pid"])
    ]


def command(workers: str, *options: str) -> list[str]:
    return ["pipeline", "p", "--durability", "os", "--json", "--max-workers", workers, *options]


def wait_for(project: Project, *names: str) -> None:
    eventually(lambda: all((project.root / f"at-work-{name}").exists() for name in names))


def interrupted(
    project: Project, workers: str, number: int, *options: str, again: bool = False
) -> Done:
    """Run the pipeline in a process of its own, and send it a signal once `a` is at work."""
    with project.started(*command(workers, *options)) as process:
        wait_for(project, *(["a"] if workers == "1" else ["a", "b"]))
        process.send_signal(number)
        if again:
            time.sleep(0.3)  # two that come before the first is taken are one
            process.send_signal(number)
        return ended(process)


def test_whoever_reads_a_run_at_work_never_sees_a_job_go_back(run: Runner) -> None:
    """Planned, at work, ended: in that order, and never crashed, however often it is tried."""
    retries = Retries(2, 0.01, 1.0)
    jobs = [
        shell(f"j{n}", FLAKY.format(n % 4), retries=retries if n % 3 else None) for n in range(60)
    ]
    pipeline = run.pipeline(stage(*jobs[:30], name="one"), stage(*jobs[30:], name="two"))
    worker = threading.Thread(target=run_pipeline, args=(pipeline, run.store, Options(8)))
    worker.start()
    order = {"planned": 0, "running": 1}
    seen: dict[str, str] = {}
    reads = 0
    eventually(run.store.run_ids)
    (run_id,) = run.store.run_ids()
    while worker.is_alive():
        view = run.store.read(run_id)
        assert view.status in {"running", "failed"}
        for job in view.jobs.values():
            before = seen.get(job.id, "planned")
            assert job.status != "crashed"
            assert order.get(job.status, 2) >= order.get(before, 2), (job.id, before, job.status)
            assert before in order or before == job.status
            seen[job.id] = job.status
        reads += 1
    worker.join()
    assert reads > 1
    check_complete(run.store, run_id)


HUNG = """
    import time
    from pathlib import Path
    def hang(name):
        Path(f"at-work-{name}").touch()
        while True:
            time.sleep(0.01)
"""


def test_a_function_that_does_not_react_to_a_second_signal(project: Project) -> None:
    target = f"{module(project.root, HUNG)}:hang"
    jobs = {name: {"call": target, "with": {"name": name}} for name in "ab"}
    project.pipeline({**jobs, "c": "true"}, {"d": "true"})
    done = interrupted(project, "2", signal.SIGINT, again=True)
    view = assert_all_are_one(project, done)
    expected = {"a": "interrupted", "b": "interrupted", "c": "cancelled", "d": "skipped"}
    assert statuses(view) == expected, done.err


def test_a_run_at_work_reads_the_same_everywhere(project: Project) -> None:
    waits = {"run": "exit 6", "retries": {"max": 3, "backoff": "10m", "max_backoff": "10m"}}
    project.pipeline({"x": "true", "w": waits, "a": SLOW}, {"b": "true"})
    with project.started(*command("3")) as process:
        wait_for(project, "a")
        run_id = project.store.run_ids()[0]
        expected = {"x": "succeeded", "w": "running", "a": "running", "b": "planned"}
        eventually(lambda: statuses_now(project) == expected)
        # While it waits for its next attempt it is `running`, too.
        eventually(lambda: project.store.read(run_id).jobs["w"].attempts[0].ended is not None)
        view = project.store.read(run_id)
        found = project("runs", "show", run_id, "--json").json
        assert_object_is_the_record(found, view)
        assert_text_is_the_record(project("runs", "show", run_id).out, view)
        assert (found["status"], found["failed"], found["failures"]) == ("running", 0, [])
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 143
