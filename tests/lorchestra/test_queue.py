"""Which job starts next: in the order written, and those that are tried again when it is time."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorchestra.fanout import unfold_jobs
from lorchestra.limits import Limits, Shortage
from lorchestra.model import Job, Loop, Outcome, Retries, Shell
from lorchestra.queue import GivenUp, Held, NotStarted, StageQueue, Wait
from lorchestra.quota import Quota, Rate
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


def needing(job_id: str, retries: int | None = None, **limits: int) -> Job:
    again = None if retries is None else Retries(retries)
    return Job(job_id, Shell("true"), limits=limits, retries=again)


def limited(jobs: list[Job], *quotas: Quota, stop_on_failure: bool = False) -> StageQueue:
    return StageQueue(jobs, stop_on_failure=stop_on_failure, limits=Limits(quotas))


class TestLimits:
    def test_the_first_one_whose_limits_are_free_starts(self) -> None:
        queue = limited([needing("a", x=1), needing("b", x=1), needing("c")], Quota("x", 1))
        first = started(queue)
        assert (first.job.id, started(queue).job.id) == ("a", "c")
        assert isinstance(queue.next(0), Wait)
        queue.finished(first, GOOD, None, 0)
        assert started(queue).job.id == "b"
        assert queue.next(0) is None

    def test_until_something_ends_there_is_no_time_to_look_again(self) -> None:
        queue = limited([needing("a", x=1), needing("b", x=1)], Quota("x", 1))
        started(queue)
        assert queue.next(5) == Wait(1.0)  # to tell of the wait
        queue.held(6)
        assert queue.next(6) == Wait(None)

    def test_all_limits_of_a_job_are_taken_or_none(self) -> None:
        jobs = [needing("a", x=1), needing("both", x=1, y=1), needing("c", y=1)]
        queue = limited(jobs, Quota("x", 1), Quota("y", 1))
        a = started(queue)
        # `both` has been passed over for x, and holds no y meanwhile.
        c = started(queue)
        assert (a.job.id, c.job.id) == ("a", "c")
        queue.finished(a, GOOD, None, 0)
        assert isinstance(queue.next(0), Wait)
        queue.finished(c, GOOD, None, 0)
        assert started(queue).job.id == "both"

    def test_nobody_takes_of_a_limit_for_which_one_before_it_was_passed_over(self) -> None:
        jobs = [needing("small1", x=1), needing("big", x=2), needing("small2", x=1)]
        queue = limited(jobs, Quota("x", 2))
        small = started(queue)
        assert isinstance(queue.next(0), Wait)
        queue.finished(small, GOOD, None, 0)
        big = started(queue)
        assert big.job.id == "big"
        queue.finished(big, GOOD, None, 0)
        assert started(queue).job.id == "small2"

    def test_not_even_one_that_is_tried_again_for_ever(self) -> None:
        jobs = [needing("stubborn", 1000, x=1), needing("patient", x=1)]
        queue = limited(jobs, Quota("x", 1))
        stubborn = started(queue)
        assert isinstance(queue.next(0), Wait)
        queue.finished(stubborn, BAD, 0.0, 0)
        assert started(queue).job.id == "patient"

    def test_a_job_that_waits_to_be_tried_again_holds_no_limit(self) -> None:
        queue = limited([needing("a", 1, x=1), needing("b", x=1)], Quota("x", 1))
        queue.finished(started(queue), BAD, 60.0, 0)
        assert started(queue, 1).job.id == "b"

    def test_a_rate_says_when_to_look_again_and_counts_every_attempt(self) -> None:
        jobs = [needing("a", 1, x=1), needing("b", x=1)]
        queue = limited(jobs, Quota("x", rate=Rate(2, "min")))
        queue.finished(started(queue, 100.0), BAD, 0.0, 100.25)
        assert started(queue, 101.0).tries == 2
        assert queue.next(101.0) == Wait(1.0)
        assert queue.held(102.0) == [Held(jobs[1], (Shortage("x", "2/min reached"),))]
        assert queue.next(102.0) == Wait(58.0)
        assert started(queue, 160.0).job.id == "b"

    def test_a_wait_is_told_once_with_its_reason(self) -> None:
        jobs = [needing("a", x=2), needing("b", x=1), needing("c", x=1), needing("d", x=2)]
        queue = limited(jobs, Quota("x", 2))
        turn = started(queue)
        queue.next(0.5)
        assert queue.held(1.4) == []
        queue.next(1.5)
        assert queue.held(1.5) == [
            Held(jobs[1], (Shortage("x", "2 of 2 in use"),)),
            Held(jobs[3], (Shortage("x", "other jobs are before it"),)),
        ]
        queue.next(9)
        assert queue.held(9) == []
        queue.finished(turn, GOOD, None, 9)
        assert [started(queue, 9).job.id for _ in "bc"] == ["b", "c"]

    def test_those_that_wait_for_limits_when_it_is_halted_never_started(self) -> None:
        jobs = [needing("a", 1, x=1), needing("b", x=1), needing("c", x=1)]
        queue = limited(jobs, Quota("x", 1))
        first = started(queue)
        queue.next(0)
        queue.finished(first, BAD, 0.0, 0)
        second = started(queue, 1)  # b: it was passed over before a was to be tried again
        assert isinstance(queue.next(2), Wait)
        queue.halt("enough")
        queue.finished(second, GOOD, None, 3)
        assert queue.next(3) is None
        assert queue.given_up() == [GivenUp(jobs[0], 1, BAD)]
        assert queue.rest() == [NotStarted(jobs[2], "enough")]

    @settings(max_examples=100)
    @given(
        capacities=st.lists(st.integers(1, 4), min_size=3, max_size=3),
        wishes=st.lists(
            st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12
        ),
        choices=st.lists(st.integers(0, 99), min_size=1, max_size=20),
        workers=st.integers(1, 5),
        fails=st.just([0] * 12) | st.lists(st.integers(0, 2), min_size=12, max_size=12),
    )
    def test_whatever_happens_no_limit_is_exceeded_and_every_job_gets_its_turn(
        self,
        capacities: list[int],
        wishes: list[list[int]],
        choices: list[int],
        workers: int,
        fails: list[int],
    ) -> None:
        """`wishes`: units of each limit that a job needs; `fails`: how often it fails at first.

        `choices`: which job at work ends next, and when.
        """
        capacity = dict(zip("xyz", capacities, strict=True))
        needs = [
            {
                name: min(units, capacity[name])
                for name, units in zip("xyz", wish, strict=True)
                if units
            }
            for wish in wishes
        ]
        model = Model(
            [needing(str(n), 2, **each) for n, each in enumerate(needs)],
            capacity,
            in_written_order=not any(fails),
        )
        chosen, now = itertools.cycle(choices), 0.0
        while (
            found := model.next(now) if len(model.at_work) < workers else Wait(None)
        ) is not None:
            if isinstance(found, Turn):
                continue
            # Nobody waits for nothing.
            assert model.at_work or found.seconds is not None
            if model.at_work:
                turn = model.at_work.pop(next(chosen) % len(model.at_work))
                failed = turn.tries <= fails[int(turn.job.id)]
                delay = next(chosen) / 10 if failed else None
                model.queue.finished(turn, BAD if failed else GOOD, delay, now)
            now += next(chosen) / 50 if model.at_work else found.seconds or 0.1
        assert model.tries == {job.id: fails[int(job.id)] + 1 for job in model.jobs}


class Model:
    """A queue, and beside it a count of what is in use and of who was passed over for what."""

    def __init__(
        self, jobs: list[Job], capacity: dict[str, int], *, in_written_order: bool
    ) -> None:
        self.jobs, self.capacity = jobs, capacity
        self.queue = limited(jobs, *(Quota(name, most) for name, most in capacity.items()))
        self.at_work: list[Turn] = []
        self.tries: Counter[str] = Counter()
        self.passed_over: dict[str, set[str]] = {job.id: set() for job in jobs}
        self.in_written_order = in_written_order

    def next(self, now: float) -> Turn | Wait | None:
        before = [each.job for each in self.queue.rest()]
        found = self.queue.next(now)
        if not isinstance(found, Turn):
            assert found is not None or not before
            self.pass_over(before)
            return found
        number = int(found.job.id)
        if self.in_written_order:
            self.pass_over([job for job in before if int(job.id) < number])
            for job in before:
                if int(job.id) < number:
                    assert not self.passed_over[job.id] & found.job.limits.keys(), (found, job)
        self.at_work.append(found)
        self.tries[found.job.id] += 1
        assert all(self.in_use(name) <= most for name, most in self.capacity.items())
        return found

    def pass_over(self, jobs: list[Job]) -> None:
        """Note what each lacks: what one before it was passed over for, else what is in use."""
        claimed: set[str] = set()
        for job in jobs:
            short = {n for n, u in job.limits.items() if self.in_use(n) + u > self.capacity[n]}
            self.passed_over[job.id] |= (claimed & job.limits.keys()) or short
            claimed |= self.passed_over[job.id]

    def in_use(self, name: str) -> int:
        return sum(turn.job.limits.get(name, 0) for turn in self.at_work)


def test_thousands_of_jobs_that_need_the_same_are_started_quickly() -> None:
    jobs = [needing(str(n), x=1, y=1 + n % 2) for n in range(5_000)]
    queue = limited(jobs, Quota("x", 3), Quota("y", 5))
    at_work: list[Turn] = []
    order = []
    while (found := queue.next(0)) is not None:
        if isinstance(found, Turn):
            order.append(found.job)
            at_work.append(found)
        else:
            queue.finished(at_work.pop(0), GOOD, None, 0)
    assert order == jobs


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
