"""The pure part: from records to what became of a run, and from files to one stream."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstore.reading.merge import (
    ATTEMPT_STATUSES,
    JOB_STATUSES,
    NOT_RUN_STATUSES,
    RUN_END_STATUSES,
    RUN_STATUSES,
    Fold,
    RunState,
    attempt_named,
    merge,
)
from tests.runstore.samples import Record, statuses

JOB_WORDS = "planned running succeeded failed timed_out cancelled skipped interrupted crashed"


def at(second: int) -> str:
    return f"2026-11-24T23:10:{second:02d}.000000Z"


def record(event: str, second: int = 0, **fields: Any) -> Record:
    return {"n": 0, "at": at(second), "event": event, **fields}


def fold(
    own: Iterable[Record],
    attempts: dict[tuple[str, int], list[Record]] | None = None,
    *,
    alive: bool = False,
) -> RunState:
    folded = Fold()
    for one in own:
        folded.add(one)
    for key, records in (attempts or {}).items():
        for one in records:
            folded.add({**one, "job": key[0], "attempt": key[1]}, key)
    return folded.result(alive=alive)


def planned(*names: str) -> Record:
    return record("planned", jobs=[{"id": name, "stage": "s"} for name in names])


def test_the_words_are_those_of_the_contract() -> None:
    assert set(JOB_WORDS.split()) == JOB_STATUSES
    assert {"running", "succeeded", "failed", "interrupted", "crashed"} == RUN_STATUSES


class TestFold:
    def test_without_records_a_run_is_what_its_process_is(self) -> None:
        assert fold([], alive=True).status == "running"
        assert fold([], alive=False).status == "crashed"

    def test_jobs_stand_in_declared_order_whatever_order_they_ran_in(self) -> None:
        own = [
            record("begin", pipeline="p"),
            planned("c", "a", "b"),
            record("start", job="b", attempt=1),
            record("start", job="new", attempt=1),
            record("start", job="a", attempt=1),
        ]
        state = fold(own, alive=True)
        assert list(state.jobs) == ["c", "a", "b", "new"]
        assert statuses(state) == {"c": "planned", "a": "running", "b": "running", "new": "running"}
        assert [job.stage for job in state.jobs.values()] == ["s", "s", "s", None]

    @pytest.mark.parametrize("status", sorted(ATTEMPT_STATUSES))
    def test_an_attempt_is_what_done_says(self, status: str) -> None:
        own = [record("start", job="a", attempt=1), record("done", job="a", attempt=1)]
        own[1]["status"] = status
        end = record("end", status="failed")
        state = fold(own, {("a", 1): [end]}, alive=True)
        assert statuses(state) == {"a": status}

    @pytest.mark.parametrize("status", sorted(ATTEMPT_STATUSES))
    def test_an_attempt_that_no_done_names_is_what_its_end_says(self, status: str) -> None:
        state = fold([], {("a", 1): [record("begin"), record("end", 3, status=status)]})
        assert statuses(state) == {"a": status}
        (attempt,) = state.jobs["a"].attempts
        assert (attempt.started, attempt.ended) == (at(0), at(3))

    @pytest.mark.parametrize("status", sorted(NOT_RUN_STATUSES))
    def test_a_job_that_did_not_run_says_why(self, status: str) -> None:
        state = fold([planned("a"), record("not_run", job="a", status=status, reason="so")])
        assert (state.jobs["a"].status, state.jobs["a"].reason) == (status, "so")
        assert state.jobs["a"].attempts == []

    @pytest.mark.parametrize("status", sorted(RUN_END_STATUSES))
    @pytest.mark.parametrize("alive", [True, False])
    def test_a_run_that_ended_is_what_its_end_says(self, status: str, alive: bool) -> None:
        state = fold([record("begin"), record("end", 9, status=status)], alive=alive)
        assert (state.status, state.ended) == (status, at(9))

    def test_what_a_dead_process_left_open_has_crashed(self) -> None:
        own = [planned("a", "b", "c"), record("start", job="a", attempt=1)]
        own += [record("start", job="b", attempt=1)]
        own += [record("done", job="b", attempt=1, status="succeeded")]
        assert statuses(fold(own)) == {"a": "crashed", "b": "succeeded", "c": "planned"}
        assert statuses(fold(own, alive=True))["a"] == "running"

    def test_what_an_ended_run_left_open_has_crashed_even_if_its_process_is_there(self) -> None:
        own = [record("start", job="a", attempt=1), record("end", status="failed")]
        assert statuses(fold(own, alive=True)) == {"a": "crashed"}

    def test_a_job_is_what_its_last_attempt_is(self) -> None:
        attempts = {
            ("a", 10): [record("output", value={"x": 10}), record("end", status="succeeded")],
            ("a", 2): [record("output", value={"x": 2}), record("end", status="failed")],
        }
        job = fold([], attempts).jobs["a"]
        assert [attempt.number for attempt in job.attempts] == [2, 10]
        assert (job.status, job.output) == ("succeeded", {"x": 10})

    WAITS = (
        planned("a"),
        record("start", job="a", attempt=1),
        record("done", job="a", attempt=1, status="failed"),
    )
    TRIED = (record("retry_wait", delay_s=9.0, tries=1), record("end", status="failed"))

    @pytest.mark.parametrize("known", [3, 2], ids=["done", "not yet done"])
    def test_a_job_that_waits_to_be_tried_again_is_at_work_as_long_as_its_run(
        self, known: int
    ) -> None:
        tried = {("a", 1): [*self.TRIED]}
        alive = fold(self.WAITS[:known], tried, alive=True)
        assert statuses(alive) == {"a": "running"}
        assert alive.jobs["a"].attempts[0].status == "failed"
        assert statuses(fold(self.WAITS[:known], tried)) == {"a": "failed"}
        ended = [*self.WAITS, record("end", status="interrupted")]
        assert statuses(fold(ended, tried, alive=True)) == {"a": "failed"}

    @pytest.mark.parametrize(
        "more",
        [
            record("retry_cancelled", of="a", reason="the run was interrupted"),
            record("begin", segment=2),
        ],
        ids=["it is given up", "the run is resumed"],
    )
    def test_it_waits_no_more_when(self, more: Record) -> None:
        own = [*self.WAITS, more, planned("a")]
        assert statuses(fold(own, {("a", 1): [*self.TRIED]}, alive=True)) == {"a": "failed"}

    def test_it_is_what_its_next_attempt_becomes(self) -> None:
        own = [*self.WAITS, record("start", job="a", attempt=2)]
        own += [record("done", job="a", attempt=2, status="succeeded")]
        assert statuses(fold(own, {("a", 1): [*self.TRIED]}, alive=True)) == {"a": "succeeded"}

    def test_so_it_does_when_the_file_of_the_run_was_read_too_early_to_tell_of_it(self) -> None:
        state = fold([planned("a")], {("a", 1): [*self.TRIED]}, alive=True)
        assert statuses(state) == {"a": "running"}

    def test_but_not_after_a_resume_that_settles_an_attempt_whose_start_is_lost(self) -> None:
        own = [planned("a"), record("begin", segment=2), self.WAITS[2]]
        assert statuses(fold(own, {("a", 1): [*self.TRIED]}, alive=True)) == {"a": "failed"}

    @pytest.mark.parametrize("of", [None, 3, ["a"]])
    def test_a_retry_that_nobody_names_is_not_cancelled(self, of: object) -> None:
        own = [*self.WAITS, record("retry_cancelled", of=of)]
        assert statuses(fold(own, {("a", 1): [*self.TRIED]}, alive=True)) == {"a": "running"}

    def test_a_job_without_attempts_has_no_output(self) -> None:
        assert fold([planned("a")]).jobs["a"].output is None

    def test_an_attempt_has_what_its_end_tells(self) -> None:
        end = record("end", 5, status="failed", exit_code=3, error="no", duration_s=1.5, cpu_s=1)
        (attempt,) = fold([], {("a", 1): [end]}).jobs["a"].attempts
        assert (attempt.exit_code, attempt.signal) == (3, None)
        assert (attempt.error, attempt.duration_s) == ("no", 1.5)
        assert attempt.end["cpu_s"] == 1
        killed = record("end", status="failed", signal=9, duration_s=2)
        (attempt,) = fold([], {("a", 1): [killed]}).jobs["a"].attempts
        assert (attempt.exit_code, attempt.signal, attempt.duration_s) == (None, 9, 2)

    def test_a_stage_is_taken_from_an_attempt_only_where_the_plan_gives_none(self) -> None:
        begin = record("begin", stage="t")
        state = fold([planned("a")], {("a", 1): [begin], ("b", 1): [begin]})
        assert [job.stage for job in state.jobs.values()] == ["s", "t"]

    def test_a_resume_goes_on_where_the_run_was_left(self) -> None:
        own = [
            record("begin", 1, pipeline="p"),
            planned("a", "b"),
            record("start", job="a", attempt=1),
            record("not_run", job="b", status="skipped", reason="a failed"),
            record("end", 2, status="interrupted"),
            record("begin", 3, segment=2),
            record("done", job="a", attempt=1, status="crashed"),
        ]
        state = fold(own, alive=True)
        assert (state.status, state.started, state.ended) == ("running", at(1), None)
        assert (state.pipeline, state.begin["segment"], state.end) == ("p", 2, {})
        assert statuses(state) == {"a": "crashed", "b": "planned"}
        assert state.jobs["b"].reason is None

    def test_events_of_callers_change_nothing(self) -> None:
        own = [record("stage_begin", stage="s"), record("anything", job="x")]
        state = fold(own, {("a", 1): [record("done", status="failed"), record("metric", x=1)]})
        assert statuses(state) == {"a": "crashed"}

    @given(st.randoms(use_true_random=False))
    def test_any_order_that_keeps_each_files_own_gives_the_same(self, choice: Any) -> None:
        own = [
            record("begin", 1, pipeline="p"),
            planned("a", "b"),
            *(record("start", job=job, attempt=1) for job in "ab"),
            record("done", job="a", attempt=1, status="failed"),
            record("start", job="a", attempt=2),
            record("done", job="a", attempt=2, status="succeeded"),
            record("done", job="b", attempt=1, status="succeeded"),
        ]
        attempts = {
            key: [record("begin", 2), record("output", value=key[1]), record("end", 3, status=end)]
            for key, end in {("a", 1): "failed", ("a", 2): "succeeded", ("b", 1): "failed"}.items()
        }
        folded = Fold()
        waiting: dict[tuple[str, int] | None, Iterator[Record]] = {None: iter(own)}
        waiting |= {key: iter(records) for key, records in attempts.items()}
        while waiting:
            key = choice.choice(list(waiting))
            one = next(waiting[key], None)
            if one is None:
                del waiting[key]
            else:
                name = {} if key is None else {"job": key[0], "attempt": key[1]}
                folded.add({**one, **name}, key)
        state, expected = folded.result(alive=False), fold(own, attempts)
        assert statuses(state) == statuses(expected) == {"a": "succeeded", "b": "succeeded"}
        assert [a.status for a in state.jobs["a"].attempts] == ["failed", "succeeded"]
        assert state.jobs["a"].output == 2


ANY: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], ["x"], {}, {"id": []}, "x" * 20_000, 10**18]


class TestForeignRecords:
    """Records of other programs, whose checksum holds and that lack what their event must have."""

    @pytest.mark.parametrize("event", ["begin", "planned", "start", "done", "not_run", "end"])
    def test_in_a_runs_file_they_never_crash_the_fold(self, event: str) -> None:
        for job, other in itertools.product(ANY, ANY):
            fields = {"job": job, "attempt": other, "status": other, "pipeline": job, "reason": job}
            for jobs in (job, [job], [{"id": job, "stage": other}]):
                own = [planned("a"), record(event, jobs=jobs, **fields), record(event)]
                state = fold(own)
                assert state.status in RUN_STATUSES
                assert all(type(name) is str and name for name in state.jobs)
                assert set(statuses(state).values()) <= JOB_STATUSES
                assert list(merge(own, {})) == own

    @pytest.mark.parametrize("value", ANY)
    def test_in_an_attempts_file_they_say_nothing(self, value: Any) -> None:
        names = ["status", "exit_code", "signal", "error", "duration_s", "stage"]
        fields: dict[str, Any] = dict.fromkeys(names, value)
        records = [record(event, **fields) for event in ("begin", "output", "end")]
        job = fold([], {("a", 1): records}).jobs["a"]
        (attempt,) = job.attempts
        assert job.status in ATTEMPT_STATUSES
        assert attempt.error is None or isinstance(attempt.error, str)
        assert type(attempt.exit_code) in {int, type(None)}
        assert type(attempt.duration_s) in {int, float, type(None)}
        assert type(job.stage) in {str, type(None)}

    def test_unknown_words_count_as_bad(self) -> None:
        own = [
            record("start", job="a", attempt=1),
            record("done", job="a", attempt=1, status="exploded"),
            record("not_run", job="b", status="exploded"),
            record("end", status="exploded"),
        ]
        state = fold(own, {("c", 1): [record("end", status="exploded")]})
        assert state.status == "failed"
        assert statuses(state) == {"a": "crashed", "b": "skipped", "c": "crashed"}

    def test_one_bad_job_of_a_plan_does_not_hide_the_others(self) -> None:
        jobs = [{"id": "a"}, 5, {"stage": "s"}, {"id": ""}, {"id": "b", "stage": 5}]
        state = fold([record("planned", jobs=jobs)])
        assert list(state.jobs) == ["a", "b"]

    @pytest.mark.parametrize("number", [None, "1", 1.0, True, 0, -1])
    def test_only_a_positive_number_names_an_attempt(self, number: Any) -> None:
        assert attempt_named({"job": "a", "attempt": number}) is None
        assert attempt_named({"job": "a", "attempt": 1}) == ("a", 1)


Sources = dict[tuple[str, int], Callable[[], Iterable[Record]]]


def merged(own: list[Record], attempts: dict[tuple[str, int], list[Record]]) -> list[str]:
    sources: Sources = {key: partial(iter, records) for key, records in attempts.items()}
    return [one["id"] for one in merge(own, sources)]


def start(second: int, job: str) -> Record:
    return record("start", second, job=job, attempt=1, id=f"start {job}")


class TestMerge:
    def test_records_come_by_time(self) -> None:
        own = [start(1, "a"), start(2, "b"), record("end", 9, id="end")]
        attempts = {
            ("a", 1): [record("x", 3, id="a0"), record("x", 6, id="a1")],
            ("b", 1): [record("x", 4, id="b0"), record("x", 5, id="b1")],
        }
        assert merged(own, attempts) == ["start a", "start b", "a0", "b0", "b1", "a1", "end"]

    def test_each_file_keeps_its_own_order_where_its_clock_stepped_back(self) -> None:
        own = [start(5, "a"), record("done", 2, id="done"), record("end", 1, id="end")]
        attempts = {("a", 1): [record("x", n, id=f"a{i}") for i, n in enumerate([6, 3, 9, 0])]}
        order = merged(own, attempts)
        assert [one for one in order if one.startswith("a")] == ["a0", "a1", "a2", "a3"]
        assert [one for one in order if not one.startswith("a")] == ["start a", "done", "end"]
        assert len(order) == 7

    def test_at_one_moment_done_follows_what_it_tells_of(self) -> None:
        own = [start(1, "a"), record("done", 1, id="done"), record("end", 1, id="end")]
        attempts = {("a", 1): [record("begin", 1, id="a0"), record("end", 1, id="a1")]}
        assert merged(own, attempts) == ["start a", "a0", "a1", "done", "end"]

    def test_no_more_files_are_open_than_jobs_ran_at_once(self) -> None:
        reading: set[int] = set()
        most = 0

        def attempt(number: int) -> Iterator[Record]:
            nonlocal most
            reading.add(number)
            most = max(most, len(reading))
            yield record("begin", number)
            yield record("end", number)
            reading.discard(number)

        own = [record("start", n, job=f"j{n}", attempt=1) for n in range(60)]
        sources: Sources = {(f"j{n}", 1): partial(attempt, n) for n in range(60)}
        assert len(list(merge(own, sources))) == 180
        assert most <= 2

    def test_attempts_whose_start_is_lost_are_there(self) -> None:
        sources: Sources = {("a", 1): partial(iter, [record("x", 5, id="a0")])}
        own = [record("begin", 1, id="begin"), record("end", 9, id="end")]
        order = [one["id"] for one in merge(own, sources, without_start=[("a", 1)])]
        assert order == ["begin", "a0", "end"]

    def test_empty_files_and_files_that_are_not_there_give_nothing(self) -> None:
        assert merged([], {}) == []
        assert merged([start(1, "a"), start(2, "b")], {("a", 1): []}) == ["start a", "start b"]

    @given(st.lists(st.lists(st.integers(0, 59), max_size=8), max_size=5), st.integers())
    def test_nothing_is_lost_doubled_or_out_of_its_own_order(
        self, clocks: list[list[int]], seed: int
    ) -> None:
        names = [f"j{i}" for i in range(len(clocks))]
        own = [start(random.Random(seed).randrange(60), name) for name in names]
        attempts = {
            (name, 1): [record("x", second, id=f"{name} {i}") for i, second in enumerate(seconds)]
            for name, seconds in zip(names, clocks, strict=True)
        }
        order = merged(own, attempts)
        for name, seconds in zip(names, clocks, strict=True):
            own_order = [one for one in order if one.startswith(f"{name} ")]
            assert own_order == [f"{name} {i}" for i in range(len(seconds))]
            if seconds:
                assert order.index(f"start {name}") < order.index(f"{name} 0")
        assert len(order) == len(own) + sum(map(len, clocks))
