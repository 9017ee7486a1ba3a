"""Ctrl-C and SIGTERM in the middle of a run: what is stopped, how, and what the record says."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from lorchestra.model import Job
from tests.lorchestra.running import (
    Driver,
    Ran,
    call,
    driver,
    eventually,
    is_running,
    module,
    pids_in,
    shell,
)

BOTH_SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])

# Says that it runs, in a file named after it that has its process id, and sleeps.
SLEEP = "echo $$ > pids/$LORCHESTRA_JOB_ID; exec sleep 600"
STUBBORN = "trap '' TERM INT; echo $$ > pids/$LORCHESTRA_JOB_ID; while :; do sleep 0.01; done"
CLEANING = (
    "trap 'sleep 0.3; echo clean > cleaned-{0}; exit 0' TERM; "
    "echo $$ > pids/{0}; while :; do sleep 0.01; done"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pids").mkdir()
    return tmp_path


def stopped(running: Driver, number: int, *, again: bool = False) -> Ran:
    """Send the signal, and wait for the end of the run, whose record must then be complete."""
    running.send(number)
    if again:
        time.sleep(0.5)  # two that come before the first is taken are one
        running.send(number)
    assert running.wait() == 0
    result = running.result
    assert (result["status"], result["signal"]) == ("interrupted", number)
    assert result["signals_are_as_before"]
    ran = running.ran()
    assert ran.view.status == "interrupted"
    ended = {job.id: job.status for job in ran.view.jobs.values() if job.attempts}
    assert running.finished() == ended
    assert running.store.verify(result["run_id"], receipt=result["receipt"]).ok
    return ran


def jobs(line: str, *names: str) -> list[Job]:
    return [shell(name, line.format(name)) for name in names]


def assert_gone(root: Path) -> None:
    for pid in pids_in(root / "pids"):
        assert not is_running(pid)


class TestProcesses:
    @BOTH_SIGNALS
    def test_with_one_worker(self, root: Path, number: int) -> None:
        stages = [
            [shell("done", "true"), *jobs(SLEEP, "running", "next", "last")],
            [shell("later", "true"), shell("later2", "true")],
            [shell("end", "true")],
        ]
        with driver(root, *stages, workers=1) as running:
            running.wait_for("pids/running")
            ran = stopped(running, number)
        assert ran.statuses() == {
            "done": "succeeded",
            "running": "interrupted",
            "next": "cancelled",
            "last": "cancelled",
            "later": "skipped",
            "later2": "skipped",
            "end": "skipped",
        }
        attempt = ran.attempt("running")
        assert (attempt.signal, attempt.exit_code) == (signal.SIGTERM, None)
        assert attempt.error == "stopped with the run (signal 15 (SIGTERM))"
        reasons = {job.reason for job in ran.view.jobs.values() if not job.attempts}
        assert reasons == {"the run was interrupted"}
        assert ran.view.end["counts"] == {
            "succeeded": 1,
            "interrupted": 1,
            "cancelled": 2,
            "skipped": 3,
        }
        assert_gone(root)

    @BOTH_SIGNALS
    def test_with_four_workers(self, root: Path, number: int) -> None:
        names = [f"running{n}" for n in range(4)]
        stages = [
            [shell("done", ": > done"), *jobs(SLEEP, *names, "next")],
            [shell("later", "true")],
        ]
        with driver(root, *stages, workers=4) as running:
            running.wait_for(*(f"pids/{name}" for name in names))
            ran = stopped(running, number)
        assert ran.statuses() == {
            "done": "succeeded",
            **dict.fromkeys(names, "interrupted"),
            "next": "cancelled",
            "later": "skipped",
        }
        assert_gone(root)

    def test_a_job_that_cleans_up_is_given_the_time(self, root: Path) -> None:
        plain = jobs(CLEANING, "plain")
        # The shell that waits for the pipe dies at once; what it started is still at work.
        piped = [shell("piped", f"({CLEANING.format('piped')}) | cat")]
        with driver(root, plain + piped, workers=2) as running:
            running.wait_for("pids/plain", "pids/piped")
            ran = stopped(running, signal.SIGTERM)
        assert ran.statuses() == {"plain": "interrupted", "piped": "interrupted"}
        assert (root / "cleaned-plain").read_text() == "clean\n"
        assert (root / "cleaned-piped").read_text() == "clean\n"
        assert ran.attempt("plain").error == "stopped with the run (exit code 0)"
        assert_gone(root)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_one_that_will_not_end_is_killed_when_the_grace_is_over(
        self, root: Path, workers: int
    ) -> None:
        with driver(root, jobs(STUBBORN, "a", "b"), workers=workers, grace_s=0.3) as running:
            running.wait_for("pids/a")
            if workers == 2:
                running.wait_for("pids/b")
            ran = stopped(running, signal.SIGTERM)
        second = "interrupted" if workers == 2 else "cancelled"
        assert ran.statuses() == {"a": "interrupted", "b": second}
        assert ran.attempt("a").signal == signal.SIGKILL
        assert_gone(root)

    def test_and_at_once_at_a_second_signal(self, root: Path) -> None:
        with driver(root, jobs(STUBBORN, "a", "b"), workers=2, grace_s=600) as running:
            running.wait_for("pids/a", "pids/b")
            ran = stopped(running, signal.SIGINT, again=True)
        assert ran.statuses() == {"a": "interrupted", "b": "interrupted"}
        assert_gone(root)

    def test_an_end_before_the_signal_stays_what_it_was(self, root: Path) -> None:
        first = [shell("good", "true"), shell("bad", "exit 3"), *jobs(SLEEP, "running")]
        with driver(root, first, workers=2) as running:
            running.wait_for("pids/running")
            eventually(lambda: len(running.finished()) == 2)
            ran = stopped(running, signal.SIGTERM)
        assert ran.statuses() == {"good": "succeeded", "bad": "failed", "running": "interrupted"}

    def test_a_signal_among_jobs_that_come_and_go_leaves_a_complete_record(
        self, root: Path
    ) -> None:
        names = [f"job{n}" for n in range(400)]
        with driver(root, [shell(name, ": > $LORCHESTRA_JOB_ID") for name in names], workers=4) as (
            running
        ):
            running.wait_for("job20")
            ran = stopped(running, signal.SIGTERM)
        statuses = ran.statuses()
        assert set(statuses.values()) <= {"succeeded", "interrupted", "cancelled"}
        assert all((root / name).exists() for name in names if statuses[name] == "succeeded")
        assert not any((root / name).exists() for name in names if statuses[name] == "cancelled")


FUNCTIONS = """
    import contextlib, os, pathlib, sys, threading, time, lorchestra
    ROOT = pathlib.Path({root!r})

    def note(what):
        # The signal may come as soon as the file is there.
        print(what, flush=True)
        (ROOT / "pids" / lorchestra.current_job().job_id).write_text("")

    def sleep():
        try:
            note("sleeping")
            time.sleep(600)
        finally:
            print("cleaned up")

    def look():
        note("looking")
        while not lorchestra.current_job().cancelled:
            time.sleep(0.01)
        print("seen")
        return {{"rows": 3}}

    def look_and_raise():
        look()
        raise ValueError("half done")

    def swallow():
        for times in range(2):
            with contextlib.suppress(KeyboardInterrupt):
                if times == 0:
                    note("swallowing")
                time.sleep(600)
        return "swallowed"

    def swallow_once():
        with contextlib.suppress(KeyboardInterrupt):
            note("swallowing")
            time.sleep(600)
        return "swallowed"

    def append_all_the_time():
        job = lorchestra.current_job()
        n = 0
        while True:
            job.append("metric", count=n)
            n += 1
            if n == 100:
                note("appending")

    def unaware():
        note("unaware")
        while not (ROOT / "go-on").exists():
            time.sleep(0.01)
        return "done"

    def never_returns():
        note("for ever")
        threading.Event().wait()

    def prints_for_ever():
        note("printing")
        while True:
            print("stray")
            time.sleep(0.001)

    def quick():
        return lorchestra.current_job().job_id
"""


@pytest.fixture
def functions(root: Path) -> str:
    return module(root, FUNCTIONS.format(root=str(root)))


class TestFunctionsInTheMainThread:
    @BOTH_SIGNALS
    def test_get_keyboard_interrupt(self, root: Path, functions: str, number: int) -> None:
        first = [call("a", f"{functions}:sleep"), call("b", f"{functions}:quick")]
        with driver(root, first, [shell("c", "true")]) as running:
            running.wait_for("pids/a")
            ran = stopped(running, number)
        assert ran.statuses() == {"a": "interrupted", "b": "cancelled", "c": "skipped"}
        assert ran.attempt("a").error == "stopped with the run (KeyboardInterrupt)"
        assert ran.log("a").startswith(b"sleeping\ncleaned up\nTraceback")

    def test_what_swallows_it_was_interrupted_all_the_same(
        self, root: Path, functions: str
    ) -> None:
        with driver(root, [call("a", f"{functions}:swallow_once")]) as running:
            running.wait_for("pids/a")
            ran = stopped(running, signal.SIGINT)
        attempt = ran.attempt("a")
        assert (attempt.status, attempt.error) == ("interrupted", "stopped with the run")
        assert attempt.output == "swallowed"

    def test_a_second_signal_interrupts_again(self, root: Path, functions: str) -> None:
        with driver(root, [call("a", f"{functions}:swallow")], grace_s=600) as running:
            running.wait_for("pids/a")
            ran = stopped(running, signal.SIGINT, again=True)
        assert ran.statuses() == {"a": "interrupted"}

    def test_records_of_their_own_are_never_torn(self, root: Path, functions: str) -> None:
        with driver(root, [call("a", f"{functions}:append_all_the_time")]) as running:
            running.wait_for("pids/a")
            ran = stopped(running, signal.SIGINT)
        counts = [record["count"] for record in ran.records("metric", "a")]
        assert len(counts) >= 100
        assert counts == [*range(len(counts))]
        assert ran.statuses() == {"a": "interrupted"}

    def test_one_that_looks_whether_it_is_cancelled_may_miss_nothing(
        self, root: Path, functions: str
    ) -> None:
        with driver(root, [call("a", f"{functions}:look")]) as running:
            running.wait_for("pids/a")
            ran = stopped(running, signal.SIGTERM)
        assert ran.statuses() == {"a": "interrupted"}


class TestFunctionsInThreads:
    def test_see_that_they_are_cancelled(self, root: Path, functions: str) -> None:
        names = ["look", "look_and_raise"]
        first = [*(call(name, f"{functions}:{name}") for name in names), shell("next", "true")]
        with driver(root, first, [call("later", f"{functions}:quick")], workers=2) as running:
            running.wait_for("pids/look", "pids/look_and_raise")
            ran = stopped(running, signal.SIGTERM)
        assert ran.statuses() == {
            "look": "interrupted",
            "look_and_raise": "interrupted",
            "next": "cancelled",
            "later": "skipped",
        }
        assert ran.attempt("look").output == {"rows": 3}
        assert ran.attempt("look").error == "stopped with the run"
        assert ran.log("look") == b"looking\nseen\n"
        raised = ran.attempt("look_and_raise").error
        assert raised == "stopped with the run (ValueError: half done)"

    def test_one_that_does_its_work_to_the_end_unaware_has_succeeded(
        self, root: Path, functions: str
    ) -> None:
        first = [call("a", f"{functions}:unaware"), *jobs(SLEEP, "b"), shell("c", "true")]
        with driver(root, first, workers=2) as running:
            running.wait_for("pids/a", "pids/b")
            running.send(signal.SIGTERM)
            eventually(lambda: "b" in running.finished())
            (root / "go-on").touch()
            assert running.wait() == 0
            ran = running.ran()
        assert ran.statuses() == {"a": "succeeded", "b": "interrupted", "c": "cancelled"}
        assert ran.attempt("a").output == "done"

    @pytest.mark.parametrize("again", [True, False], ids=["second signal", "grace"])
    def test_one_that_never_returns_is_abandoned_and_recorded(
        self, root: Path, functions: str, again: bool
    ) -> None:
        names = ["never_returns", "prints_for_ever"]
        first = [*(call(name, f"{functions}:{name}") for name in names), *jobs(STUBBORN, "c")]
        first.append(shell("next", "true"))
        with driver(root, first, workers=3, grace_s=600 if again else 0.2) as running:
            running.wait_for("pids/never_returns", "pids/prints_for_ever", "pids/c")
            ran = stopped(running, signal.SIGINT, again=again)
        assert running.result["hung"]
        assert ran.statuses() == {
            "never_returns": "interrupted",
            "prints_for_ever": "interrupted",
            "c": "interrupted",
            "next": "cancelled",
        }
        error = "stopped with the run; it did not react"
        assert ran.attempt("never_returns").error == error
        assert ran.log("prints_for_ever").startswith(b"printing\nstray\n")
        assert ran.log("c") == b""


class TestFunctionsInProcesses:
    @BOTH_SIGNALS
    def test_are_ended_as_other_processes_are(
        self, root: Path, functions: str, number: int
    ) -> None:
        first = [call("a", f"{functions}:never_returns", env={"A": "1"})]
        with driver(root, first, workers=1) as running:
            running.wait_for("pids/a")
            ran = stopped(running, number)
        assert ran.statuses() == {"a": "interrupted"}
        assert ran.attempt("a").signal == signal.SIGTERM
        (process,) = ran.records("process", "a")
        assert not is_running(process["pid"])


@BOTH_SIGNALS
def test_a_signal_when_all_is_done_changes_nothing(root: Path, number: int) -> None:
    with driver(root, [shell("a", "true")]) as running:
        eventually(lambda: any(line["event"] == "result" for line in running.lines))
        running.send(number)
        running.wait()
        assert running.ran().statuses() == {"a": "succeeded"}
    assert running.result["status"] == "succeeded"
