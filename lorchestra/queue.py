"""Which job of a stage starts next, and which one has to wait: no I/O of its own, no clock.

Jobs start in the order written, or in one that is given: the first one whose limits are free. In a
loop one of an item starts when the one before it has ended. One that is to be tried again waits its
time out here: it takes up neither a worker nor a limit meanwhile.

A job that is passed over for a limit claims it: from then on no job behind it takes of that limit
before it has started, and it stands before all jobs that are tried again later. So no job starves,
however much it needs and however often others are tried again. Jobs that need the same stand in one
row: they are passed over together, and only the first is looked at.

Not thread-safe.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lorchestra.limits import Grant, Limits, Refusal, Shortage, Ticket
from lorchestra.model import Job, Outcome
from lorchestra.retrying import Turn

TOLD_AFTER_S = 1.0  # a wait for a limit that is shorter is not worth a line

_IN_ORDER = "other jobs are before it"

# Who stands before whom: those who were passed over, in the order written, and those who were and
# are tried again; then those whose time has come to be tried again, those whose item has begun, and
# those who are new.
_PASSED_NEW, _PASSED_AGAIN, _AGAIN, _NEXT, _NEW = range(5)


class Wait(NamedTuple):
    """There is nothing to start now, but there may be later.

    Attributes:
        seconds: When; None: not before something has ended.
    """

    seconds: float | None


class GivenUp(NamedTuple):
    """A job that was to be tried again, and will not be."""

    job: Job
    tries: int
    outcome: Outcome


class NotStarted(NamedTuple):
    """A job that never started, and why."""

    job: Job
    reason: str


class Held(NamedTuple):
    """A job that has been waiting for limits for a while, and what it lacks."""

    job: Job
    shortages: tuple[Shortage, ...]


class _Waiting(NamedTuple):
    """A job that is tried again when its time has come."""

    ready_at: float
    number: int
    turn: Turn
    outcome: Outcome


@dataclass(slots=True)
class _Ready:
    """A job that may start as soon as its limits are free.

    Attributes:
        turn: Its turn.
        waited: How it has waited until it is tried again; None: it is new.
        ticket: With what it asks for its limits.
        since: When it was first passed over; None: it has not been.
        is_told: Whether somebody has been told of that.
        shortages: What it lacked when it was looked at last.
        is_gone: Whether it has started, or is not to start any more.
    """

    turn: Turn
    waited: _Waiting | None = None
    ticket: Ticket = field(init=False)
    since: float | None = None
    is_told: bool = False
    shortages: tuple[Shortage, ...] = ()
    is_gone: bool = False

    def __post_init__(self) -> None:
        self.ticket = Ticket(self.turn.job.limits)


class _End(NamedTuple):
    """When a job that waits for limits to be tried again has no time any more."""

    at: float
    number: int
    ready: _Ready


class _Placed(NamedTuple):
    """A ready job and its place; no two have the same one."""

    place: tuple[int, int]
    ready: _Ready


class _Row:
    """The jobs that need the same limits: what one of them cannot have, none can.

    Attributes:
        claims: The limits for which those have been passed over that were.
    """

    def __init__(self) -> None:
        self.claims: set[str] = set()
        self._passed: list[_Placed] = []
        self._fresh: list[_Placed] = []

    def __iter__(self) -> Iterator[_Ready]:
        return (placed.ready for placed in (*self._passed, *self._fresh))

    def __bool__(self) -> bool:
        return bool(self._passed or self._fresh)

    @property
    def first(self) -> _Placed:
        """Who is looked at."""
        return (self._passed or self._fresh)[0]

    def join(self, place: tuple[int, int], ready: _Ready) -> None:
        """Stand where one belongs."""
        heapq.heappush(self._fresh, _Placed(place, ready))

    def pass_over(self, shortages: tuple[Shortage, ...], now: float) -> None:
        """Let all claim what the first one lacks."""
        self.claims.update(short.name for short in shortages)
        for (rank, number), ready in self._fresh:
            ready.since = now
            passed = _PASSED_AGAIN if rank == _AGAIN else _PASSED_NEW
            heapq.heappush(self._passed, _Placed((passed, number), ready))
        self._fresh.clear()
        self.first.ready.shortages = shortages

    def take_out(self, gone: _Ready) -> None:
        """Take out one that is not to start any more."""
        for line in (self._passed, self._fresh):
            line[:] = [placed for placed in line if placed.ready is not gone]
            heapq.heapify(line)
        if not self._passed:
            self.claims.clear()

    def leave(self) -> _Ready:
        """Take out the first one, which starts."""
        ready = heapq.heappop(self._passed or self._fresh).ready
        if not self._passed:
            self.claims.clear()
        return ready


class Seating(Protocol):
    """Where a job that starts takes its seat."""

    def has_seat(self, job: Job) -> bool:
        """Whether there is a seat, or the job needs none."""

    def sit_down(self, job: Job) -> bool:
        """Take a seat if the job needs one; False: another stage has taken the last."""


class _EnoughSeats:
    """As many as there are workers, who ask for no more jobs than they can run."""

    def has_seat(self, _job: Job) -> bool:
        return True

    def sit_down(self, _job: Job) -> bool:
        return True


class StageQueue:
    """The jobs of a stage that are to be started.

    Attributes:
        halted_by: Why nothing more is started; None: more is.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        stop_on_failure: bool,
        limits: Limits | None = None,
        seating: Seating | None = None,
        order: Sequence[Job] | None = None,
    ) -> None:
        """Line them up.

        Args:
            jobs: The jobs, in the order written.
            stop_on_failure: Whether nothing is started after a failure.
            limits: What they share.
            seating: Where they take their seats.
            order: The same jobs in the order in which they are to start; None: as written.
        """
        self.halted_by: str | None = None
        self._stop_on_failure = stop_on_failure
        self._limits = limits or Limits()
        self._seating = seating or _EnoughSeats()
        self._rows: dict[frozenset[tuple[str, int]], _Row] = defaultdict(_Row)
        self._grants: dict[str, Grant] = {}
        self._waiting: list[_Waiting] = []
        self._ends: list[_End] = []
        self._numbers = itertools.count()
        self._may_bring_more = 0  # jobs at work that may be tried again, or that others wait for
        self._order = {job.id: number for number, job in enumerate(jobs)}
        self._places = {job.id: number for number, job in enumerate(order or jobs)}
        # One whose predecessor does not run, because that is kept for example, does not wait.
        self._followers = {
            job.item.after: job
            for job in jobs
            if job.item is not None and job.item.after in self._order
        }
        self._without: list[NotStarted] = []  # those whose predecessor did not succeed
        following = {job.id for job in self._followers.values()}
        for job in jobs:
            if job.id not in following:
                self._join(job, _NEW)

    def next(self, now: float) -> Turn | Wait | None:
        """What to start now, with its limits taken; None: there is nothing to start any more.

        Args:
            now: The time, by a clock that never steps back, in seconds.
        """
        if self.halted_by is not None:
            return None
        self._line_up_due(now)
        times: list[float] = []
        if (turn := self._first_free(now, times)) is not None:
            return turn
        if not (self._rows or self._waiting):
            return Wait(None) if self._may_bring_more else None
        if self._waiting:
            times.append(self._waiting[0].ready_at - now)
        times += [since + TOLD_AFTER_S - now for since, _ in self._untold()]
        if self._next_to_end() is not None:
            times.append(self._ends[0].at - now)
        return Wait(max(0.0, min(times)) if times else None)

    def overdue(self, now: float) -> list[GivenUp]:
        """The jobs that waited for limits to be tried again until all their time was over.

        They are not tried again, and how their last attempt ended counts.
        """
        found = []
        while (ready := self._next_to_end()) is not None and self._ends[0].at <= now:
            waited, row = ready.waited, self._row_of(ready.turn.job)
            assert waited is not None  # noqa: S101 - only those have an end
            row.take_out(ready)
            ready.is_gone = True
            if not row:
                self._drop_row(ready.turn.job)
            found.append(GivenUp(ready.turn.job, ready.turn.tries, waited.outcome))
            self._end(ready.turn.job, waited.outcome)
        return found

    def _next_to_end(self) -> _Ready | None:
        """Whose time is over first of those who wait for limits to be tried again."""
        while self._ends and self._ends[0].ready.is_gone:
            heapq.heappop(self._ends)
        return self._ends[0].ready if self._ends else None

    def finished(self, turn: Turn, outcome: Outcome, again_in_s: float | None, now: float) -> None:
        """Take in how an attempt ended, and give back its limits.

        Args:
            turn: What was started.
            outcome: How it ended.
            again_in_s: When the job is to be tried again; None: it is not.
            now: The time.
        """
        self._may_bring_more -= self._brings_more(turn.job)
        if (grant := self._grants.pop(turn.job.id, None)) is not None:
            grant.release()
        turn.descriptors = ()
        if again_in_s is not None:
            waiting = _Waiting(now + again_in_s, next(self._numbers), turn, outcome)
            heapq.heappush(self._waiting, waiting)
            return
        self._end(turn.job, outcome)

    def _end(self, job: Job, outcome: Outcome) -> None:
        is_failure = not (outcome.succeeded or outcome.allowed)
        self._let_follow(job, is_failure=is_failure)
        if self._stop_on_failure and is_failure:
            self.halt(f"job {job.id!r} did not succeed")

    def halt(self, reason: str) -> None:
        """Start nothing more."""
        self.halted_by = self.halted_by or reason

    def held(self, now: float) -> list[Held]:
        """The jobs that have been waiting for limits for a second; each is told once a wait."""
        found = []
        for since, ready in self._untold():
            if now - since >= TOLD_AFTER_S:
                ready.is_told = True
                found.append(Held(ready.turn.job, ready.shortages))
        return found

    def rest(self) -> list[NotStarted]:
        """The jobs that never started, in the order written."""
        new = [ready.turn.job for ready in self._all_ready() if ready.waited is None]
        halted = [*new, *self._followers.values()]
        found = [*(NotStarted(job, self.halted_by or "") for job in halted), *self._without]
        return sorted(found, key=lambda each: self._order[each.job.id])

    def given_up(self) -> list[GivenUp]:
        """The jobs that were to be tried again when the queue was halted, in that order."""
        due = [ready.waited for ready in self._all_ready() if ready.waited is not None]
        found = sorted([*self._waiting, *due])
        self._waiting.clear()
        return [GivenUp(each.turn.job, each.turn.tries, each.outcome) for each in found]

    def _join(self, job: Job, rank: int) -> None:
        self._row_of(job).join((rank, self._places[job.id]), _Ready(Turn(job)))

    def _brings_more(self, job: Job) -> bool:
        return job.retries is not None or job.id in self._followers

    def _let_follow(self, job: Job, *, is_failure: bool) -> None:
        """Let the next job of the item start, or none of the item's any more."""
        follower = self._followers.pop(job.id, None)
        if follower is None:
            return
        if not is_failure:
            self._join(follower, _NEXT)
            return
        reason = f"job {job.id!r} did not succeed"
        while follower is not None:
            self._without.append(NotStarted(follower, reason))
            follower = self._followers.pop(follower.id, None)

    def _all_ready(self) -> Iterator[_Ready]:
        return itertools.chain.from_iterable(self._rows.values())

    def _in_order(self) -> list[_Row]:
        return sorted(self._rows.values(), key=lambda row: row.first.place)

    def _untold(self) -> list[tuple[float, _Ready]]:
        """Those who wait for limits, and since when, of whom nobody has been told."""
        firsts = (row.first.ready for row in self._in_order())
        return [
            (ready.since, ready)
            for ready in firsts
            if ready.since is not None and not ready.is_told
        ]

    def _row_of(self, job: Job) -> _Row:
        return self._rows[_needs(job)]

    def _drop_row(self, job: Job) -> None:
        del self._rows[_needs(job)]

    def _line_up_due(self, now: float) -> None:
        """Let those whose time has come be looked at."""
        while self._waiting and self._waiting[0].ready_at <= now:
            waited = heapq.heappop(self._waiting)
            place = (_AGAIN, next(self._numbers))
            ready = _Ready(waited.turn, waited)
            self._row_of(waited.turn.job).join(place, ready)
            if (left_s := waited.turn.left_s(now)) is not None:
                heapq.heappush(self._ends, _End(now + left_s, next(self._numbers), ready))

    def _first_free(self, now: float, times: list[float]) -> Turn | None:
        """Start the first one whose limits are free; else note when to ask again."""
        claimed: set[str] = set()
        for row in self._in_order():
            job = row.first.ready.turn.job
            # Whoever gives a seat back lets all look again. None is taken before it is needed: who
            # sees none in that moment would not be told that it has been put back.
            if not self._seating.has_seat(job):
                continue
            ticket, ticket.order = row.first.ready.ticket, row.first.place
            if before := claimed.intersection(ticket.needs):
                passed = tuple(Shortage(name, _IN_ORDER) for name in sorted(before))
                answer: Grant | Refusal = Refusal(passed, None)
            else:
                answer = self._limits.take(ticket, now)
            if isinstance(answer, Grant):
                if self._seating.sit_down(job):
                    return self._start(row, answer, now)
                answer.release()
                continue
            row.pass_over(answer.shortages, now)
            claimed |= row.claims
            if answer.again_in_s is not None:
                times.append(answer.again_in_s)
        return None

    def _start(self, row: _Row, grant: Grant, now: float) -> Turn:
        ready = row.leave()
        ready.is_gone, turn = True, ready.turn
        if not row:
            self._drop_row(turn.job)
        turn.tries += 1
        turn.began = now if turn.began is None else turn.began
        turn.descriptors = grant.descriptors
        self._grants[turn.job.id] = grant
        self._may_bring_more += self._brings_more(turn.job)
        return turn


def _needs(job: Job) -> frozenset[tuple[str, int]]:
    """What those of one row have in common."""
    return frozenset(job.limits.items())
