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
from collections.abc import Callable, Iterator, Sequence
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
    """

    turn: Turn
    waited: _Waiting | None = None
    ticket: Ticket = field(init=False)
    since: float | None = None
    is_told: bool = False
    shortages: tuple[Shortage, ...] = ()

    def __post_init__(self) -> None:
        self.ticket = Ticket(self.turn.job.limits)


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

    def take_out(self, is_over: Callable[[_Ready], bool]) -> list[_Ready]:
        """Take out those that are not to start any more."""
        over = [ready for ready in self if is_over(ready)]
        for line in (self._passed, self._fresh) if over else ():
            line[:] = [placed for placed in line if placed.ready not in over]
            heapq.heapify(line)
        if not self._passed:
            self.claims.clear()
        return over

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
        times += [left for ready in self._all_ready() if (left := _left_s(ready, now)) is not None]
        return Wait(max(0.0, min(times)) if times else None)

    def overdue(self, now: float) -> list[GivenUp]:
        """The jobs that waited for limits to be tried again until all their time was over.

        They are not tried again, and how their last attempt ended counts.
        """
        found = []
        for needs, row in list(self._rows.items()):
            for ready in row.take_out(lambda ready: _is_overdue(ready, now)):
                assert ready.waited is not None  # noqa: S101 - only those can be
                _, _, turn, outcome = ready.waited
                found.append(GivenUp(turn.job, turn.tries, outcome))
                self._end(turn.job, outcome)
            if not row:
                del self._rows[needs]
        return found

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
        return self._rows[frozenset(job.limits.items())]

    def _line_up_due(self, now: float) -> None:
        """Let those whose time has come be looked at."""
        while self._waiting and self._waiting[0].ready_at <= now:
            waited = heapq.heappop(self._waiting)
            place = (_AGAIN, next(self._numbers))
            self._row_of(waited.turn.job).join(place, _Ready(waited.turn, waited))

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
        turn = row.leave().turn
        if not row:
            del self._rows[frozenset(turn.job.limits.items())]
        turn.tries += 1
        turn.began = now if turn.began is None else turn.began
        turn.descriptors = grant.descriptors
        self._grants[turn.job.id] = grant
        self._may_bring_more += self._brings_more(turn.job)
        return turn


def _left_s(ready: _Ready, now: float) -> float | None:
    """Seconds until a job that is to be tried again has no time any more; None: it always has."""
    return None if ready.waited is None else ready.turn.left_s(now)


def _is_overdue(ready: _Ready, now: float) -> bool:
    left_s = _left_s(ready, now)
    return left_s is not None and left_s <= 0
