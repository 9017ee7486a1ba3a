"""Which job starts next: in the order written, and those that are tried again when it is time."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.fanout import unfold_jobs
from lorchestra.model import Job, Loop, Outcome, Retries, Shell
from lorchestra.queue import GivenUp, NotStarted, StageQueue, Wait
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


class TestJobsOfItems:
    @staticmethod
    def jobs(items: int, of_each: int) -> list[Job]:
        written = [Job(name, Shell("true")) for name in "abcd"[:of_each]]
        return unfold_jobs(written, Loop("x"), [str(n) for n in range(items)])

    def test_one_after_another_they_are_in_the_order_of_the_items(self) -> None:
        jobs = self.jobs(3, 2)
        queue = StageQueue(jobs, stop_on_failure=True)
        found = []
        while isinstance(turn := queue.next(0), Turn):
            found.append(turn.job.id)
            queue.finished(turn, GOOD, None, 0)
        assert found == [job.id for job in jobs]

    def test_a_job_waits_for_the_one_before_it(self) -> None:
        queue = StageQueue(self.jobs(2, 2), stop_on_failure=False)
        first, second = started(queue), started(queue)
        assert [first.job.id, second.job.id] == ["a[0]", "a[1]"]
        assert queue.next(0) == Wait(None)
        queue.finished(second, GOOD, None, 0)
        assert started(queue).job.id == "b[1]"
        assert queue.next(0) == Wait(None)
        queue.finished(first, BAD, None, 0)
        assert queue.next(0) is None
        assert queue.rest() == [NotStarted(self.jobs(2, 2)[1], "job 'a[0]' did not succeed")]

    def test_a_failure_that_is_allowed_keeps_nobody_waiting(self) -> None:
        queue = StageQueue(self.jobs(1, 2), stop_on_failure=True)
        queue.finished(started(queue), replace(BAD, allowed=True), None, 0)
        assert started(queue).job.id == "b[0]"

    def test_one_whose_predecessor_is_not_there_does_not_wait(self) -> None:
        queue = StageQueue(self.jobs(1, 3)[1:], stop_on_failure=True)
        assert started(queue).job.id == "b[0]"

    @given(
        st.integers(1, 5),
        st.integers(1, 4),
        st.integers(1, 4),
        st.lists(st.integers(0, 99), min_size=60, max_size=60),
        st.booleans(),
    )
    def test_whatever_happens_no_job_starts_before_its_time_and_none_is_lost(
        self, items: int, of_each: int, workers: int, choices: list[int], stops: bool
    ) -> None:
        jobs = self.jobs(items, of_each)
        queue = StageQueue(jobs, stop_on_failure=stops)
        chosen = itertools.cycle(choices)
        at_work: list[Turn] = []
        done: dict[str, Outcome] = {}
        while True:
            found = queue.next(0) if len(at_work) < workers else Wait(None)
            if isinstance(found, Turn):
                item = found.job.item
                assert item is not None
                assert item.after is None or done[item.after].succeeded
                at_work.append(found)
            elif at_work:
                turn = at_work.pop(next(chosen) % len(at_work))
                done[turn.job.id] = BAD if next(chosen) % 5 == 0 else GOOD
                queue.finished(turn, done[turn.job.id], None, 0)
            else:
                break
        rest = [each.job.id for each in queue.rest()]
        assert sorted([*done, *rest]) == sorted(job.id for job in jobs)
        assert rest == [job.id for job in jobs if job.id in rest]
        assert all(each.reason for each in queue.rest())
