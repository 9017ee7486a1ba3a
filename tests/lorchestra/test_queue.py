"""Which job starts next: in the order written, and those that are tried again when it is time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.model import Job, Outcome, Retries, Shell
from lorchestra.queue import GivenUp, StageQueue, Wait
from lorchestra.retrying import Turn

JOBS = tuple(Job(name, Shell("true")) for name in "abcd")
PATIENT = tuple(Job(name, Shell("true"), retries=Retries(3)) for name in "abcd")
GOOD, BAD, STOPPED = Outcome("succeeded"), Outcome("failed"), Outcome("interrupted")


def started(queue: StageQueue, now: float = 0.0) -> Turn:
    turn = queue.next(now)
    assert isinstance(turn, Turn)
    return turn


class TestJobsThatRunOnce:
    def test_it_gives_the_jobs_in_the_order_written_and_then_none(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        assert [started(queue).job for _ in JOBS] == [*JOBS]
        assert [queue.next(0) for _ in range(2)] == [None, None]
        assert queue.rest() == []
        assert queue.halted_by is None

    @pytest.mark.parametrize("outcome", [BAD, STOPPED])
    def test_after_a_failure_it_gives_none_where_that_stops(self, outcome: Outcome) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        first, second = started(queue), started(queue)
        queue.finished(first, GOOD, None, 0)
        assert queue.halted_by is None
        queue.finished(second, outcome, None, 0)
        assert queue.next(0) is None
        assert queue.halted_by == "job 'b' did not succeed"
        assert [each.job for each in queue.rest()] == list(JOBS[2:])
        assert {each.reason for each in queue.rest()} == {"job 'b' did not succeed"}

    def test_and_goes_on_where_it_does_not(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=False)
        queue.finished(started(queue), BAD, None, 0)
        assert started(queue).job is JOBS[1]

    def test_the_first_reason_counts(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        queue.halt("one")
        queue.halt("two")
        queue.finished(Turn(JOBS[0], 1, 0.0), BAD, None, 0)
        assert queue.halted_by == "one"
        assert [each.job for each in queue.rest()] == list(JOBS)


class TestJobsThatAreTriedAgain:
    def test_one_waits_while_others_start(self) -> None:
        queue = StageQueue(PATIENT, stop_on_failure=True)
        first = started(queue, 10)
        queue.finished(first, BAD, 5, 11)
        assert [started(queue, 12).job for _ in range(3)] == [*PATIENT[1:]]
        assert queue.next(12) == Wait(4)
        assert queue.halted_by is None
        again = started(queue, 16)
        assert (again.job, again.tries, again.began) == (PATIENT[0], 2, 10)

    def test_its_time_come_it_starts_before_new_ones(self) -> None:
        queue = StageQueue(PATIENT, stop_on_failure=False)
        queue.finished(started(queue), BAD, 1, 0)
        assert [started(queue, 1).job.id for _ in range(4)] == ["a", "b", "c", "d"]

    def test_the_one_whose_time_comes_first_starts_first(self) -> None:
        queue = StageQueue(PATIENT[:2], stop_on_failure=False)
        first, second = started(queue), started(queue)
        queue.finished(first, BAD, 9, 0)
        queue.finished(second, BAD, 3, 0)
        assert queue.next(0) == Wait(3)
        assert [started(queue, 20).job.id for _ in range(2)] == ["b", "a"]

    def test_while_one_is_at_work_that_may_come_back_there_is_more_to_come(self) -> None:
        queue = StageQueue(PATIENT[:1], stop_on_failure=False)
        turn = started(queue)
        assert queue.next(0) == Wait(None)
        queue.finished(turn, GOOD, None, 0)
        assert queue.next(0) is None

    def test_those_that_wait_when_it_is_halted_are_given_up(self) -> None:
        queue = StageQueue(PATIENT, stop_on_failure=False)
        queue.finished(started(queue), BAD, 1, 0)
        queue.halt("the run was interrupted")
        assert queue.next(5) is None
        assert queue.given_up() == [GivenUp(PATIENT[0], 1, BAD)]
        assert queue.given_up() == []
        assert [each.job for each in queue.rest()] == list(PATIENT[1:])

    @given(
        jobs=st.lists(st.integers(0, 3), min_size=1, max_size=8),
        choices=st.lists(st.integers(0, 9), min_size=80, max_size=80),
        workers=st.integers(1, 4),
    )
    def test_whatever_happens_each_is_tried_as_often_as_it_may(
        self, jobs: list[int], choices: list[int], workers: int
    ) -> None:
        """`jobs`: how often each fails before it succeeds; `choices`: which one ends next."""
        queue = StageQueue(
            [Job(str(n), Shell("x"), retries=Retries(3)) for n in range(len(jobs))],
            stop_on_failure=False,
        )
        at_work: list[Turn] = []
        tries: Counter[str] = Counter()
        now, chosen = 0.0, itertools.cycle(choices)
        while True:
            found = queue.next(now) if len(at_work) < workers else Wait(None)
            if isinstance(found, Turn):
                at_work.append(found)
                assert len({turn.job.id for turn in at_work}) == len(at_work)
                continue
            if found is None and not at_work:
                break
            if at_work:
                turn = at_work.pop(next(chosen) % len(at_work))
                tries[turn.job.id] += 1
                fails = tries[turn.job.id] <= jobs[int(turn.job.id)]
                delay = float(next(chosen)) if fails else None
                queue.finished(turn, BAD if fails else GOOD, delay, now)
            else:
                assert isinstance(found, Wait)
                assert found.seconds is not None
                now += found.seconds
        assert tries == {str(n): fails + 1 for n, fails in enumerate(jobs)}
