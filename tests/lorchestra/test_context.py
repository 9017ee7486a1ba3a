"""Who a job is, told to functions and to processes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lorchestra import current_job
from lorchestra.context import CurrentJob, Identity, idempotency_key, set_current_job
from lorchestra.model import Call, Job
from tests.lorchestra.running import PYTHON, Runner, call, command, module

FUNCTIONS = """
    import lorchestra, threading, runstore

    kept = []

    def who():
        me = lorchestra.current_job()
        return [me.run_id, me.job_id, me.attempt, me.idempotency_key, me.cancelled]

    def append():
        job = lorchestra.current_job()
        kept.append(job)
        job.append("metric", rows=978, names=["a"])
        threads = [
            threading.Thread(target=job.append, args=("metric",), kwargs={"thread": n})
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job.append("log", level="info")

    def append_late():
        try:
            kept[0].append("metric", rows=1)
        except RuntimeError as error:
            return str(error)

    def append_wrong():
        job = lorchestra.current_job()
        errors = []
        for event, fields in [
            ("end", {"status": "succeeded"}),
            ("", {}),
            ("metric", {"n": 1}),
            ("metric", {"event": 1}),
            ("metric", {"x": float("nan")}),
            ("metric", {"x": "x" * 2_000_000}),
        ]:
            try:
                job.append(event, **fields)
            except runstore.RunStoreError as error:
                errors.append(type(error).__name__)
        job.append("metric", after="all that")
        return errors

    def append_in_process():
        try:
            lorchestra.current_job().append("metric", rows=1)
        except RuntimeError as error:
            return str(error)
"""


@pytest.fixture
def functions(run: Runner) -> str:
    return module(run.root, FUNCTIONS)


@pytest.mark.parametrize("fields", [{}, {"env": {"A": "1"}}], ids=["thread", "process"])
def test_a_function_finds_who_it_is(run: Runner, functions: str, fields: dict[str, Any]) -> None:
    ran = run(call("a", f"{functions}:who", **fields))
    key = idempotency_key("p", ran.result.run_id, "a")
    assert ran.attempt("a").output == [ran.result.run_id, "a", 1, key, False]


def test_so_does_a_python_that_a_job_starts(run: Runner) -> None:
    source = "import lorchestra; print(lorchestra.current_job().identity)"
    ran = run(command("a", PYTHON, "-c", source))
    key = idempotency_key("p", ran.result.run_id, "a")
    assert ran.log("a").decode() == f"{Identity(ran.result.run_id, 'a', 1, key)}\n"


def test_what_it_appends_is_in_the_record_from_all_its_threads(run: Runner, functions: str) -> None:
    ran = run(call("a", f"{functions}:append"), call("b", f"{functions}:append"), workers=2)
    for job in "ab":
        first, *others = ran.records("metric", job)
        assert (first["rows"], first["names"], first["attempt"]) == (978, ["a"], 1)
        assert sorted(record["thread"] for record in others) == list(range(20))
        assert [record["level"] for record in ran.records("log", job)] == ["info"]


def test_after_its_end_it_takes_no_more(run: Runner, functions: str) -> None:
    ran = run(call("a", f"{functions}:append"), call("b", f"{functions}:append_late"))
    assert ran.attempt("b").output == "job 'a' takes no more records"
    assert len(ran.records("metric", "a")) == 21


def test_what_cannot_be_recorded_raises_and_costs_nothing_else(run: Runner, functions: str) -> None:
    ran = run(call("a", f"{functions}:append_wrong"))
    assert ran.attempt("a").output == ["RecordError"] * 6
    assert [record["after"] for record in ran.records("metric", "a")] == ["all that"]


def test_in_a_process_of_its_own_it_cannot_append(run: Runner, functions: str) -> None:
    ran = run(call("a", f"{functions}:append_in_process", env={"A": "1"}))
    refused = "a function in a process of its own appends no records"
    assert str(ran.attempt("a").output).startswith(refused)


class TestOutside:
    def test_there_is_no_job(self) -> None:
        with pytest.raises(LookupError, match="no job of lorchestra runs here"):
            current_job()

    def test_nor_is_there_one_after_a_run(self, run: Runner, functions: str) -> None:
        run(call("a", f"{functions}:who"))
        with pytest.raises(LookupError):
            current_job()

    @pytest.mark.parametrize("spoiled", ["LORCHESTRA_ATTEMPT", "LORCHESTRA_RUN_ID"])
    def test_an_environment_that_is_not_whole_makes_none(
        self, monkeypatch: pytest.MonkeyPatch, spoiled: str
    ) -> None:
        for name, value in Identity("r", "j", 2, "k").environment("/output").items():
            monkeypatch.setenv(name, value)
        assert current_job().identity == Identity("r", "j", 2, "k")
        assert os.environ["LORCHESTRA_OUTPUT"] == "/output"
        if spoiled == "LORCHESTRA_ATTEMPT":
            monkeypatch.setenv(spoiled, "two")
        else:
            monkeypatch.delenv(spoiled)
        with pytest.raises(LookupError):
            current_job()


class TestKey:
    def test_it_differs_with_pipeline_run_and_job_and_with_nothing_else(self) -> None:
        keys = {
            idempotency_key(*parts)
            for parts in [("p", "r", "j"), ("q", "r", "j"), ("p", "s", "j"), ("p", "r", "k")]
        }
        assert len(keys) == 4
        assert idempotency_key("p", "r", "j") in keys

    def test_parts_do_not_run_into_each_other(self) -> None:
        assert idempotency_key("pr", "", "j") != idempotency_key("p", "r", "j")


class TestCancelled:
    def test_a_job_that_has_seen_it_was_told(self) -> None:
        stopping: list[int] = []
        job = CurrentJob(Identity("r", "j", 1, "k"), None, lambda: bool(stopping))
        assert not job.cancelled
        assert not job.was_told
        stopping.append(1)
        assert not job.was_told
        assert job.cancelled
        assert job.was_told

    def test_one_set_by_hand_is_the_current_one_for_its_context_alone(self) -> None:
        from contextvars import copy_context

        job = CurrentJob(Identity("r", "j", 1, "k"))

        def set_and_get() -> CurrentJob:
            set_current_job(job)
            return current_job()

        assert copy_context().run(set_and_get) is job
        with pytest.raises(LookupError):
            current_job()


def test_jobs_of_one_definition_have_different_keys_in_different_runs(run: Runner) -> None:
    job = Job("a", Call("lorchestra:current_job"))
    assert job.sha256() == Job("a", Call("lorchestra:current_job")).sha256()
    line = command("a", "sh", "-c", "echo $LORCHESTRA_IDEMPOTENCY_KEY")
    assert run(line).log("a") != run(line).log("a")
