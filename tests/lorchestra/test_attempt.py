"""One attempt: its records from the first to the last, and who may write the last."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorchestra.attempt import JobAttempt, Surroundings
from lorchestra.binding import Values
from lorchestra.call import importing_from
from lorchestra.capture import captured
from lorchestra.model import Job, Outcome, Pipeline, Stage
from lorchestra.retrying import Turn
from lorchestra.signals import Interruptible
from lorchestra.stop import Stop
from runstore import Run, RunStore, SegmentClosedError, files
from tests.lorchestra.running import Runner, call, eventually, module, shell

FUNCTIONS = """
    import lorchestra, threading
    begun, go_on = threading.Event(), threading.Event()
    late = []
    def hang():
        begun.set()
        go_on.wait(20)
        try:
            lorchestra.current_job().append("metric", rows=1)
        except RuntimeError as error:
            late.append(str(error))
        return {"rows": 1}
    def append_and_wait():
        job = lorchestra.current_job()
        job.append("metric", rows=1)
        job.append("metric", rows=2)
    def never():
        raise AssertionError("it must not be called")
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


@pytest.fixture
def functions(tmp_path: Path) -> str:
    return module(tmp_path, FUNCTIONS)


@pytest.fixture
def around(tmp_path: Path, store: RunStore) -> Iterator[Surroundings]:
    pipeline = Pipeline("p", (Stage("s", (shell("a", "true"),)),), tmp_path)
    new_run = store.create_run(pipeline="p", jobs=["a"])
    with importing_from(tmp_path), captured(), new_run as run:
        values = Values(pipeline, {}, {})
        yield Surroundings(pipeline, run, run.id, Stop(), {}, Interruptible(), values)


def records_of(store: RunStore, run: Run) -> list[dict[str, Any]]:
    return [record for record in store.read(run.id).records() if "attempt" in record]


class TestRecords:
    def test_a_process_from_begin_to_end(self, around: Surroundings, store: RunStore) -> None:
        line = """echo hello; echo '{"rows": 2}' > $LORCHESTRA_OUTPUT"""
        attempt = JobAttempt(around, Turn(shell("a", line)))
        assert (attempt.number, attempt.duration_s, attempt.is_in_thread) == (1, 0.0, False)
        outcome = attempt.run()
        assert outcome is not None
        assert (outcome.status, outcome.output, outcome.log_bytes) == ("succeeded", {"rows": 2}, 6)
        records = records_of(store, around.run)
        assert [record["event"] for record in records] == [
            *("start", "begin", "process", "output", "end", "done"),
        ]
        end = records[4]
        assert end["duration_s"] == attempt.duration_s > 0
        assert {"status", "exit_code", "cpu_s", "log_bytes"} <= end.keys()
        assert Path(attempt.log_path).read_text() == "hello\n"

    def test_attempts_of_a_job_are_counted(self, around: Surroundings, store: RunStore) -> None:
        for number in (1, 2, 3):
            attempt = JobAttempt(around, Turn(shell("a", "echo $LORCHESTRA_ATTEMPT")))
            assert attempt.number == number
            attempt.run()
            assert Path(attempt.log_path).read_text() == f"{number}\n"
        assert len(store.read(around.run.id).jobs["a"].attempts) == 3

    def test_the_key_is_made_from_the_run_key(self, around: Surroundings) -> None:
        logs = []
        for _ in range(2):
            attempt = JobAttempt(around, Turn(shell("a", "echo $LORCHESTRA_IDEMPOTENCY_KEY")))
            attempt.run()
            logs.append(Path(attempt.log_path).read_text())
        assert logs[0] == logs[1] != "\n"

    @pytest.mark.parametrize(
        ("job", "in_thread"),
        [
            (shell("a", "true"), False),
            (call("a", "m:f"), True),
            (call("a", "m:f", env={"A": "1"}), False),
            (call("a", "m:f", cwd="."), False),
        ],
    )
    def test_a_call_with_an_environment_or_a_folder_is_no_thread(
        self, around: Surroundings, job: Job, in_thread: bool
    ) -> None:
        attempt = JobAttempt(around, Turn(job))
        assert attempt.is_in_thread == in_thread
        attempt.abandon()


class TestAbandoning:
    def test_the_first_to_settle_it_counts(
        self, around: Surroundings, functions: str, store: RunStore
    ) -> None:
        attempt = JobAttempt(around, Turn(call("a", f"{functions}:hang")))
        outcomes: list[Outcome | None] = []
        thread = threading.Thread(target=lambda: outcomes.append(attempt.run()))
        thread.start()
        # A module is listed before its names are there.
        eventually(lambda: hasattr(sys.modules.get(functions), "hang"))
        functions_module = sys.modules[functions]
        functions_module.begun.wait(20)
        abandoned = attempt.abandon()
        assert abandoned == Outcome("interrupted", error="stopped with the run; it did not react")
        assert attempt.abandon() is None
        functions_module.go_on.set()
        thread.join()
        assert outcomes == [None]
        assert functions_module.late == ["job 'a' takes no more records"]
        events = [record["event"] for record in records_of(store, around.run)]
        assert events == ["start", "begin", "end", "done"]
        assert store.read(around.run.id).jobs["a"].status == "interrupted"

    def test_one_that_has_ended_cannot_be_abandoned(
        self, around: Surroundings, store: RunStore
    ) -> None:
        attempt = JobAttempt(around, Turn(shell("a", "true")))
        attempt.run()
        assert attempt.abandon() is None
        assert store.read(around.run.id).jobs["a"].status == "succeeded"

    def test_after_the_run_there_is_nothing_to_record(self, around: Surroundings) -> None:
        around.run.end()
        with pytest.raises(SegmentClosedError):
            JobAttempt(around, Turn(shell("a", "true")))


class TestStopping:
    def test_after_the_stop_no_function_is_called(
        self, around: Surroundings, functions: str
    ) -> None:
        around.stop.request(signal.SIGTERM)
        outcome = JobAttempt(around, Turn(call("a", f"{functions}:never"))).run()
        assert outcome is not None
        assert (outcome.status, outcome.error) == ("interrupted", "stopped with the run")

    def test_a_signal_counts_as_soon_as_the_main_thread_knows_of_it(
        self, around: Surroundings
    ) -> None:
        assert not around.is_stopping()
        around.interruptible.on_signal(signal.SIGINT, None)
        assert not around.stop.requested
        assert around.is_stopping()
        assert around.stop.signal == signal.SIGINT


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_in_the_middle_of_a_record_of_the_function_does_not_tear_it(
    around: Surroundings,
    functions: str,
    store: RunStore,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    append = files.append

    def interrupted(descriptor: int, data: bytes) -> None:
        if when == "after":
            append(descriptor, data)
        if b'"rows":1' in data:
            around.interruptible.on_signal(signal.SIGINT, None)
        if when == "before":
            append(descriptor, data)

    monkeypatch.setattr(files, "append", interrupted)
    outcome = JobAttempt(around, Turn(call("a", f"{functions}:append_and_wait"))).run()
    assert outcome is not None
    assert (outcome.status, outcome.error) == (
        "interrupted",
        "stopped with the run (KeyboardInterrupt)",
    )
    rows = [r["rows"] for r in records_of(store, around.run) if r["event"] == "metric"]
    assert rows == [1]
    assert store.read(around.run.id).jobs["a"].status == "interrupted"


def test_a_job_that_prints_nothing_has_an_empty_log(run: Runner) -> None:
    ran = run(shell("a", ":"), call("b", "os:getpid"))
    assert (ran.log("a"), ran.log("b")) == (b"", b"")
    assert ran.attempt("b").end["log_bytes"] == 0
