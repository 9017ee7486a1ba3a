"""The queue of a stage under any order of events: with several workers, and a clock of its own."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lorchestra.model import Job, Outcome, Retries, Shell
from lorchestra.queue import StageQueue, Wait
from lorchestra.retrying import Turn, delay_s
from tests import scale

OUTCOMES = {
    "good": Outcome("succeeded", exit_code=0),
    "bad": Outcome("failed", exit_code=1),
    "again": Outcome("failed", exit_code=75),
    "late": Outcome("timed_out"),
    "stopped": Outcome("interrupted"),
}


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    retries = st.none() | st.builds(
        Retries,
        max=st.integers(1, 3),
        backoff_s=st.sampled_from([0.0, 1.0, 5.0]),
        on_exit_codes=st.sampled_from([None, frozenset({75})]),
    )
    return [
        Job(f"j{n}", Shell("true"), retries=draw(retries), total_timeout_s=draw(TOTALS))
        for n in range(draw(st.integers(1, 6)))
    ]


TOTALS = st.sampled_from([None, None, 4.0])


class QueueMachine(RuleBasedStateMachine):
    """Workers take jobs, jobs end, time goes by; a list of what happened is the model."""

    @initialize(jobs=jobs(), stop_on_failure=st.booleans())
    def begin(self, jobs: list[Job], stop_on_failure: bool) -> None:
        self.jobs = jobs
        self.stop_on_failure = stop_on_failure
        self.queue = StageQueue(jobs, stop_on_failure=stop_on_failure)
        self.now = 0.0
        self.at_work: list[Turn] = []
        self.tries: dict[str, int] = {job.id: 0 for job in jobs}
        self.ready_at: dict[str, float] = {}
        self.settled: dict[str, Outcome] = {}
        self.halted = False

    @rule()
    def take(self) -> None:
        found = self.queue.next(self.now)
        never_started = [job for job in self.jobs if not self.tries[job.id]]
        due = {job_id for job_id, at in self.ready_at.items() if at <= self.now}
        if isinstance(found, Turn):
            job_id = found.job.id
            assert not self.halted
            assert job_id not in {turn.job.id for turn in self.at_work}, "beside itself"
            assert job_id not in self.settled
            if due:
                assert self.ready_at[job_id] == min(self.ready_at.values())
                del self.ready_at[job_id]
            else:
                assert found.job is never_started[0], "not in the order written"
            self.tries[job_id] += 1
            assert found.tries == self.tries[job_id]
            self.at_work.append(found)
            return
        assert self.halted or not (due or never_started), "there was something to start"
        if isinstance(found, Wait):
            assert not self.halted
            assert self.ready_at or self.at_work, "it would wait for ever"
            if found.seconds is not None:
                assert found.seconds == min(self.ready_at.values()) - self.now > 0
        elif not self.halted:
            # A worker that leaves does not come back: nothing may come that needs it.
            assert not self.ready_at
            assert all(turn.job.retries is None for turn in self.at_work)

    @precondition(lambda self: self.at_work)
    @rule(number=st.integers(0, 5), kind=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, number: int, kind: str) -> None:
        turn = self.at_work.pop(number % len(self.at_work))
        outcome, retries = OUTCOMES[kind], turn.job.retries
        again_in_s = delay_s(turn, outcome, self.now)
        may_be_tried_again = (
            retries is not None
            and kind in {"bad", "again", "late"}
            and self.tries[turn.job.id] <= retries.max
            and (retries.on_exit_codes is None or outcome.exit_code in retries.on_exit_codes)
        )
        if again_in_s is None:
            left_s = turn.left_s(self.now)
            assert not may_be_tried_again or left_s is not None
            self.settled[turn.job.id] = outcome
            self.halted |= self.stop_on_failure and not outcome.succeeded
        else:
            assert may_be_tried_again
            assert retries is not None
            assert again_in_s == retries.backoff_s * 2 ** (self.tries[turn.job.id] - 1)
            self.ready_at[turn.job.id] = self.now + again_in_s
        self.queue.finished(turn, outcome, again_in_s, self.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 20.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def halt(self) -> None:
        self.queue.halt("the run was interrupted")
        self.halted = True

    @invariant()
    def it_is_halted_exactly_when_there_is_a_reason(self) -> None:
        if hasattr(self, "queue"):
            assert (self.queue.halted_by is not None) == self.halted

    def teardown(self) -> None:
        """Drain it: then every job has settled, was given up, or never started; none twice."""
        if not hasattr(self, "queue"):
            return
        while not isinstance(found := self.queue.next(self.now), Wait | None):
            self.queue.finished(found, OUTCOMES["good"], None, self.now)
            self.settled[found.job.id] = OUTCOMES["good"]
            self.ready_at.pop(found.job.id, None)
        given_up = self.queue.given_up()
        never = [each.job for each in self.queue.rest()]
        waited = sorted(self.ready_at)
        assert sorted(each.job.id for each in given_up) == waited
        assert all(each.tries == self.tries[each.job.id] for each in given_up)
        parts = [*self.settled, *waited, *(job.id for job in never)]
        parts += [turn.job.id for turn in self.at_work]
        assert sorted(parts) == sorted(job.id for job in self.jobs)
        assert [job.id for job in never] == [job.id for job in self.jobs[-len(never) :] if never]


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=scale.count(full=5000, reduced=300), stateful_step_count=40, deadline=None
)
