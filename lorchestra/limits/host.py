"""The limits of this machine: shared by all runs of a user, through files in a state folder.

    limits/lock                    whose turn it is to look and take: for a moment, never waited for
    limits/line                    who waits, in which order (`line`)
    limits/<name>.<number>.slot    the units; who has locked one has it (`slots`)
    limits/<name>.starts           when the last units started, where a rate is set (`window`)

Nothing there has to be right for a slot to be free again: that is a lock of the operating system.
Line and starts are replaced whole, under the lock; one that cannot be read counts as empty. The
starts go by the wall clock, so that a rate of so many a day holds over a restart.

Between processes nobody is told when something has become free: who waits looks again, after
20 ms at first, then after a tenth of the time that it has waited, and every quarter of a second in
the end. So looking costs next to nothing, and short jobs are not held up for long. Nobody looks who
does not wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from lorchestra.errors import ConfigError
from lorchestra.limits.answers import Refusal, Shortage, Ticket
from lorchestra.limits.line import Line
from lorchestra.limits.slots import Slots, turn
from lorchestra.limits.window import recent, wait_s
from lorchestra.paths import absolute, shown_path
from lorchestra.quota import Quota

STATE_DIR = "LORCHESTRA_STATE_DIR"

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_LONGER_BY = 1.1
_IN_LINE = "other runs are before it"


def state_folder() -> Path:
    """Where what all runs of this user share is kept: LORCHESTRA_STATE_DIR, else as usual."""
    if given := os.environ.get(STATE_DIR):
        return absolute(Path(given).expanduser())
    from platformdirs import user_state_path

    return user_state_path("lorchestra", appauthor=False)


class HostLimits:
    """What this run takes of the limits of this machine. Not thread-safe.

    Args:
        quotas: What is allowed, one for each name.
        folder: Where that is kept; None: in the state folder.
    """

    def __init__(self, quotas: Iterable[Quota], folder: Path | None = None) -> None:
        self._quotas = {quota.name: quota for quota in quotas}
        self._given_folder = folder
        self._in_line: dict[str, Ticket] = {}
        self._given_back = 0

    def prepare(self) -> None:
        """Make the folder, and find out whether it has locks.

        Raises:
            ConfigError: It cannot be made or used.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with turn(self._folder):
                pass
        except OSError as error:
            reason = f"limits of scope host cannot be kept there: {error.strerror or error}"
            raise ConfigError(shown_path(self._folder), reason) from None

    def take(self, ticket: Ticket, now: float) -> Slots | Refusal:
        """Take all that a job needs of this machine, or nothing and a place in the line.

        Args:
            ticket: The job that asks; what it was told is told again until it is time to look.
            now: The time, by the monotonic clock.
        """
        if now < ticket.looks_at and ticket.seen == self._given_back:
            return Refusal(ticket.last, ticket.looks_at - now)
        needs = {name: units for name, units in ticket.needs.items() if name in self._quotas}
        try:
            answer = self._look(ticket, needs, now)
        except OSError as error:
            # It may pass, as a disk that is full does; the folder was there when the run began.
            why = f"its state folder cannot be used: {error.strerror or error}"
            answer = tuple(Shortage(name, why) for name in needs)
        if isinstance(answer, Slots):
            return answer
        ticket.pause_s = min(ticket.pause_s * _LONGER_BY or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        ticket.looks_at, ticket.seen = now + ticket.pause_s, self._given_back
        ticket.last = answer
        return Refusal(answer, ticket.pause_s)

    def give_back(self, slots: Slots) -> None:
        """Give back what a job had."""
        slots.release()
        self._given_back += 1  # who waits looks again at once

    def stand_aside(self) -> None:
        """Leave the line: nobody of this run waits any more, so nobody is to wait for it."""
        if not self._in_line:
            return
        # Where that fails it is forgotten soon.
        with contextlib.suppress(OSError), turn(self._folder) as is_ours:
            if is_ours:
                line = self._read_line(time.monotonic())
                if line.leave(self._in_line):
                    self._write_line(line)
        self._in_line.clear()

    def _look(
        self, ticket: Ticket, needs: Mapping[str, int], now: float
    ) -> Slots | tuple[Shortage, ...]:
        with turn(self._folder) as is_ours:
            if not is_ours:
                return ticket.last or tuple(Shortage(name, _IN_LINE) for name in needs)
            line = self._read_line(now)
            self._take_over(ticket, line)
            attempt = self._attempt(needs, line.claimed_before(ticket.number, self._in_line))
            if attempt.shortages:
                attempt.slots.release()
                ticket.number = ticket.number or os.urandom(8).hex()
                line.stay(ticket.number, attempt.shortages, now)
                self._in_line[ticket.number] = ticket
                line.see(self._in_line, now)
                self._write_line(line)
                return tuple(attempt.shortages.values())
            if self._in_line.pop(ticket.number, None) and line.leave({ticket.number}):
                with contextlib.suppress(OSError):  # it is forgotten soon
                    self._write_line(line)
            return attempt.slots

    def _take_over(self, ticket: Ticket, line: Line) -> None:
        """Give a job the place of one that stands behind it in this run, if that is better."""
        for number in line.numbers():
            other = self._in_line.get(number)
            if number == ticket.number:
                return
            if other is not None and other.order > ticket.order:
                other.number, ticket.number = ticket.number, number
                self._in_line[number] = ticket
                if other.number:
                    self._in_line[other.number] = other
                return

    def _attempt(self, needs: Mapping[str, int], claimed: set[str]) -> _Attempt:
        """Take what there is; the starts are written when there is enough of everything."""
        attempt = _Attempt()
        wall = time.time()
        starts: dict[str, list[float]] = {}
        try:
            for name, units in needs.items():
                if name in claimed:
                    attempt.refuse(name, _IN_LINE)
                    continue
                self._take_units(attempt, self._quotas[name], units)
                if (rate := self._quotas[name].rate) is not None:
                    starts[name] = self._read_starts(name)
                    if wait_s(starts[name], rate, units, wall) > 0:
                        attempt.refuse(name, f"{rate} on this machine reached")
                    starts[name] = [*recent(starts[name], rate, wall), *[wall] * units]
            if not attempt.shortages:
                for name, times in starts.items():
                    self._replace(self._file(name, "starts"), orjson.dumps(times))
        except BaseException:
            attempt.slots.release()
            raise
        return attempt

    def _take_units(self, attempt: _Attempt, quota: Quota, units: int) -> None:
        if quota.capacity is None:
            return
        taken = attempt.slots.take(self._folder, _key(quota.name), quota.capacity, units)
        if taken < units:
            in_use = quota.capacity - taken
            attempt.refuse(quota.name, f"{in_use} of {quota.capacity} in use on this machine")

    @property
    def _folder(self) -> Path:
        self._given_folder = self._given_folder or state_folder()
        return self._given_folder / "limits"

    def _file(self, name: str, ending: str) -> Path:
        return self._folder / f"{_key(name)}.{ending}"

    def _read_line(self, now: float) -> Line:
        return Line.decoded(_read(self._folder / "line"), now)

    def _write_line(self, line: Line) -> None:
        self._replace(self._folder / "line", line.encoded())

    def _read_starts(self, name: str) -> list[float]:
        try:
            return sorted(map(float, orjson.loads(_read(self._file(name, "starts")))))
        except (ValueError, TypeError):
            return []

    def _replace(self, path: Path, data: bytes) -> None:
        # Under the lock nobody has it open.
        new = path.with_name(f"{path.name}.new")
        new.write_bytes(data)
        new.replace(path)


@dataclass(slots=True)
class _Attempt:
    """What could be taken, and what there was not enough of."""

    slots: Slots = field(default_factory=Slots)
    shortages: dict[str, Shortage] = field(default_factory=dict)

    def refuse(self, name: str, why: str) -> None:
        self.shortages.setdefault(name, Shortage(name, why))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b"[]"


def _key(name: str) -> str:
    """A name for files: `A` and `a` are two limits, and one file on some systems."""
    return f"{name.lower()}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
