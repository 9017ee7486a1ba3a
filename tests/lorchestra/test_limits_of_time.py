"""Attempts, jobs and runs that take too long are ended, and recorded as timed out."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Options, Retries, run_pipeline
from lorchestra.progress import JobFinished, JobGivenUp
from tests.lorchestra.running import (
    Runner,
    call,
    eventually,
    is_running,
    module,
    pids_in,
    python,
    shell,
    stage,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

LONG = "exec sleep 600"


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


class TestOfAnAttempt:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_one_that_takes_too_long_is_ended(self, run: Runner, workers: int) -> None:
        ran = run(shell("a", LONG, timeout_s=0.2), shell("b", "echo b"), workers=workers)
        assert ran.statuses() == {"a": "timed_out", "b": "succeeded"}
        assert (ran.result.status, ran.result.signal) == ("failed", None)
        assert ran.attempt("a").error == "timed out after 200ms (signal 15 (SIGTERM))"

    def test_one_that_does_not_end_is_killed_when_the_grace_is_over(self, run: Runner) -> None:
        line = "trap '' TERM; while :; do sleep 0.05; done"
        ran = run(shell("a", line, timeout_s=0.2), grace_s=0.2)
        assert ran.attempt("a").error == "timed out after 200ms (signal 9 (SIGKILL))"

    def test_one_that_ends_in_time_is_left_alone(self, run: Runner) -> None:
        ran = run(*(shell(str(n), "sleep 0.1", timeout_s=600) for n in range(4)), workers=4)
        assert set(ran.statuses().values()) == {"succeeded"}

    def test_what_it_had_to_say_is_kept(self, run: Runner) -> None:
        line = f"echo before; echo '{{\"rows\": 1}}' > $LORCHESTRA_OUTPUT; {LONG}"
        ran = run(shell("a", line, timeout_s=0.3))
        assert ran.log("a") == b"before\n"
        assert ran.attempt("a").output == {"rows": 1}

    @pytest.mark.parametrize("fields", [{"timeout_s": 0.4}, {"total_timeout_s": 0.4}])
    def test_a_function_that_is_limited_runs_in_a_python_of_its_own(
        self, run: Runner, fields: dict[str, Any]
    ) -> None:
        functions = module(run.root, "import time\ndef hang():\n    time.sleep(600)\n")
        ran = run(call("a", f"{functions}:hang", **fields))
        assert ran.statuses() == {"a": "timed_out"}

    def test_so_does_one_that_is_isolated(self, run: Runner) -> None:
        functions = module(run.root, "import os\ndef who():\n    return {'pid': os.getpid()}\n")
        ran = run(call("a", f"{functions}:who", isolation="process"), call("b", f"{functions}:who"))
        assert ran.attempt("a").output["pid"] != os.getpid()
        assert ran.attempt("b").output["pid"] == os.getpid()


class TestOfAllAttempts:
    def test_the_last_one_has_what_is_left(self, run: Runner) -> None:
        job = shell("a", LONG, timeout_s=0.3, total_timeout_s=0.5, retries=Retries(9, 0.0))
        ran = run(job)
        first, second = ran.view.jobs["a"].attempts
        assert (first.status, second.status) == ("timed_out", "timed_out")
        assert (first.error or "").startswith("timed out after 300ms")
        assert (second.error or "").startswith("timed out: all attempts together may take 500ms")

    def test_no_wait_goes_beyond_it(self, run: Runner) -> None:
        ran = run(shell("a", "exit 1", total_timeout_s=60, retries=Retries(9, 600.0, 1.0, 600.0)))
        assert len(ran.view.jobs["a"].attempts) == 1


class TestOfTheRun:
    @pytest.mark.parametrize("workers", [1, 3])
    def test_what_runs_is_ended_and_nothing_more_starts(self, run: Runner, workers: int) -> None:
        jobs = [shell(name, LONG) for name in "ab"]
        ran = run(
            stage(*jobs, name="first"),
            stage(shell("c", "true"), name="second"),
            workers=workers,
            timeout_s=0.3,
        )
        rest = "timed_out" if workers > 1 else "cancelled"
        assert ran.statuses() == {"a": "timed_out", "b": rest, "c": "skipped"}
        assert ran.result.status == "failed"
        attempt = ran.attempt("a")
        assert (attempt.error or "").startswith("timed out: the whole run may take 300ms")
        assert ran.view.jobs["c"].reason == "timed out: the whole run may take 300ms"

    def test_a_function_is_ended_too(self, run: Runner) -> None:
        functions = module(run.root, "import time\ndef hang():\n    time.sleep(600)\n")
        ran = run(call("a", f"{functions}:hang"), timeout_s=0.5)
        assert ran.statuses() == {"a": "timed_out"}

    def test_a_job_that_waits_to_be_tried_again_is_given_up(self, run: Runner) -> None:
        job = shell("a", "exit 1", retries=Retries(3, 600.0, 1.0, 600.0))
        ran = run(job, timeout_s=0.3)
        assert ran.statuses() == {"a": "failed"}
        (given_up,) = [event for event in ran.events if isinstance(event, JobGivenUp)]
        assert (given_up.job_id, given_up.tries) == ("a", 1)
        (record,) = ran.records("retry_cancelled")
        assert (record["of"], record["reason"]) == ("a", given_up.reason)


class TestRetries:
    COUNTING = "echo x >> {0}; [ $(wc -l < {0}) -gt {1} ]"

    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_job_is_tried_until_it_succeeds(self, run: Runner, workers: int) -> None:
        jobs = [
            shell(name, self.COUNTING.format(name, fails), retries=Retries(3, 0.02))
            for name, fails in (("a", 0), ("b", 1), ("c", 3), ("d", 4))
        ]
        ran = run(*jobs, workers=workers)
        assert ran.statuses() == {
            "a": "succeeded",
            "b": "succeeded",
            "c": "succeeded",
            "d": "failed",
        }
        tried = {job.id: len(job.attempts) for job in ran.view.jobs.values()}
        assert tried == {"a": 1, "b": 2, "c": 4, "d": 4}
        lines = {name: len((run.root / name).read_text()) // 2 for name in "abcd"}
        assert lines == tried
        (end,) = ran.records("stage_end")
        assert end["counts"] == {"succeeded": 3, "failed": 1}

    def test_each_wait_is_recorded_and_told(self, run: Runner) -> None:
        ran = run(shell("a", "exit 3", retries=Retries(2, 0.01, 3.0)))
        waits = ran.records("retry_wait", "a")
        assert [(wait["attempt"], wait["delay_s"]) for wait in waits] == [(1, 0.01), (2, 0.03)]
        told = [event.again_in_s for event in ran.events if isinstance(event, JobFinished)]
        assert told == [0.01, 0.03, None]

    def test_who_reads_the_run_meanwhile_sees_it_at_work(self, run: Runner) -> None:
        seen: list[tuple[str, list[str]]] = []

        def look(event: object) -> None:
            if isinstance(event, JobFinished):
                job = run.store.read(run.store.run_ids()[0]).jobs["a"]
                seen.append((job.status, [attempt.status for attempt in job.attempts]))

        run(shell("a", "exit 1", retries=Retries(1, 0.2)), handlers=[look])
        assert seen == [("running", ["failed"]), ("failed", ["failed", "failed"])]

    def test_the_key_stays_the_same_and_the_attempt_counts(self, run: Runner) -> None:
        line = "echo $LORCHESTRA_ATTEMPT $LORCHESTRA_IDEMPOTENCY_KEY >> said; exit 1"
        run(shell("a", line, retries=Retries(2, 0.0)))
        said = [text.split() for text in (run.root / "said").read_text().splitlines()]
        assert [number for number, _ in said] == ["1", "2", "3"]
        assert len({key for _, key in said}) == 1

    def test_one_that_waits_takes_up_no_worker(self, run: Runner) -> None:
        patient = shell("a", "echo a >> order; exit 1", retries=Retries(1, 0.3))
        ran = run(patient, *(shell(name, f"echo {name} >> order") for name in "bcd"))
        assert (run.root / "order").read_text().split() == ["a", "b", "c", "d", "a"]
        assert ran.statuses()["a"] == "failed"

    def test_only_these_exit_codes_are_worth_it(self, run: Runner) -> None:
        retries = Retries(1, 0.0, on_exit_codes=frozenset({75}))
        ran = run(shell("a", "exit 75", retries=retries), shell("b", "exit 1", retries=retries))
        assert [len(job.attempts) for job in ran.view.jobs.values()] == [2, 1]

    def test_a_failure_that_is_made_good_stops_nothing(self, run: Runner) -> None:
        flaky = shell("a", self.COUNTING.format("a", 1), retries=Retries(1, 0.0))
        ran = run(flaky, shell("b", "true"), stop_on_failure=True)
        assert ran.statuses() == {"a": "succeeded", "b": "succeeded"}

    def test_after_a_failure_that_stops_no_job_is_tried_again(self, run: Runner) -> None:
        patient = shell("a", "exit 1", retries=Retries(3, 600.0, 1.0, 600.0))
        ran = run(patient, shell("b", "exit 2"), stop_on_failure=True)
        assert ran.statuses() == {"a": "failed", "b": "failed"}
        (record,) = ran.records("retry_cancelled")
        assert record["reason"] == "job 'b' did not succeed"


class TestHalt:
    def test_now_ends_the_jobs_at_work(self, run: Runner) -> None:
        ran = run(
            shell("a", "while [ ! -e begun ]; do sleep 0.01; done; exit 1"),
            shell("b", f"touch begun; {LONG}"),
            shell("c", "true"),
            shell("d", "true"),
            workers=2,
            stop_on_failure=True,
            halt="now",
        )
        assert ran.statuses() == {
            "a": "failed",
            "b": "interrupted",
            "c": "cancelled",
            "d": "cancelled",
        }
        assert (ran.result.status, ran.result.signal) == ("failed", None)
        error = ran.attempt("b").error
        assert error == "stopped because job 'a' did not succeed (signal 15 (SIGTERM))"

    def test_soon_lets_them_finish(self, run: Runner) -> None:
        begun = "while [ ! -e begun ]; do sleep 0.01; done; exit 1"
        jobs = [shell("a", begun), shell("b", "touch begun; sleep 0.3"), shell("c", "true")]
        ran = run(*jobs, workers=2, stop_on_failure=True)
        assert ran.statuses() == {"a": "failed", "b": "succeeded", "c": "cancelled"}

    def test_without_a_stop_on_failure_it_means_nothing(self, run: Runner) -> None:
        jobs = [shell("a", "exit 1"), shell("b", "sleep 0.3")]
        ran = run(*jobs, workers=2, halt="now")
        assert ran.statuses() == {"a": "failed", "b": "succeeded"}


class TestWhatLeftTheGroup:
    AWAY = """
        import os, subprocess, sys, time
        os.makedirs("pids", exist_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c",
             "import os, time\\nopen('pids/child', 'w').write(str(os.getpid()))\\n"
             "time.sleep(600)"],
            start_new_session=True,
        )
        {orphan}
        time.sleep(600)
    """
    # The one between has ended: its child has the system for a parent.
    ORPHAN = """if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open("pids/orphan", "w").write(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
    """

    @pytest.mark.parametrize("orphan", ["", ORPHAN], ids=["session", "orphan"])
    def test_it_is_ended_with_the_job(self, run: Runner, orphan: str) -> None:
        ran = run(python("a", self.AWAY.replace("{orphan}", orphan), timeout_s=1.5), grace_s=5)
        assert ran.statuses() == {"a": "timed_out"}
        pids = pids_in(run.root / "pids")
        assert len(pids) == (2 if orphan else 1)
        assert not any(map(is_running, pids))

    def test_and_killed_where_it_does_not_end(self, run: Runner) -> None:
        stubborn = """
            import os, signal, subprocess, sys, time
            os.makedirs("pids", exist_ok=True)
            code = ("import os, signal, time\\n"
                    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
                    "open('pids/child', 'w').write(str(os.getpid()))\\n"
                    "time.sleep(600)")
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
            time.sleep(600)
        """
        run(python("a", stubborn, timeout_s=1.5), grace_s=0.3)
        (pid,) = pids_in(run.root / "pids")
        assert not is_running(pid)

    def test_what_another_job_started_is_left_alone(self, run: Runner) -> None:
        ran = run(shell("a", LONG, timeout_s=0.5), shell("b", "sleep 1.5"), workers=2)
        assert ran.statuses() == {"a": "timed_out", "b": "succeeded"}

    def test_in_the_background_of_a_job_that_ended_by_itself_it_may_stay(self, run: Runner) -> None:
        run(shell("a", "sleep 600 > /dev/null 2>&1 & mkdir pids; echo $! > pids/a"))
        (pid,) = pids_in(run.root / "pids")
        assert is_running(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_running(pid))


def test_no_thread_is_there_where_nothing_is_limited(run: Runner) -> None:
    import threading

    seen: list[int] = []
    run(shell("a", "true"), handlers=[lambda _event: seen.append(threading.active_count())])
    before = threading.active_count()
    assert max(seen) == before + 1  # the one that passes signals on


def test_the_time_for_the_run_is_that_of_the_command_line(run: Runner) -> None:
    began = time.monotonic()
    result = run_pipeline(
        run.pipeline(shell("a", LONG), timeout_s=600.0), run.store, Options(timeout_s=0.2)
    )
    assert result.status == "failed"
    assert time.monotonic() - began < 300
