"""The limits of a run and of this machine together: all at once, or none."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lorchestra.limits.answers import Grant, Refusal, Ticket
from lorchestra.limits.run import RunLimits
from lorchestra.quota import Quota

if TYPE_CHECKING:
    from lorchestra.limits.host import HostLimits
    from lorchestra.limits.slots import Slots


class Limits:
    """What the jobs of a run take and give back. Thread-safe; nothing here waits."""

    def __init__(self, quotas: Iterable[Quota] = (), state_folder: Path | None = None) -> None:
        """Begin with nothing taken.

        Args:
            quotas: What is allowed; where a name has several, each holds.
            state_folder: Where what is shared with other runs is kept; None: the user's.
        """
        quotas = tuple(quotas)
        shared = [quota for quota in quotas if quota.scope == "host"]
        self._run = RunLimits(quota for quota in quotas if quota.scope == "run")
        self._shared_names = frozenset(quota.name for quota in shared)
        self._host = _host_limits(shared, state_folder) if shared else None
        self._turn = threading.Lock()
        self._taken: set[Slots] = set()

    def prepare(self) -> None:
        """Find out whether what is shared with other runs can be kept.

        Raises:
            ConfigError: It cannot.
        """
        if self._host is not None:
            self._host.prepare()

    def take(self, ticket: Ticket, now: float) -> Grant | Refusal:
        """Take all that a job needs, or nothing.

        Args:
            ticket: The job; the same one whenever it asks again.
            now: The time, by the monotonic clock.
        """
        if not ticket.needs:
            return Grant()
        with self._turn:
            # First what costs nothing to ask for.
            refusal = self._run.refusal(ticket.needs, now)
            if refusal is not None:
                return refusal
            slots: Slots | None = None
            if self._host is not None and not self._shared_names.isdisjoint(ticket.needs):
                answer = self._host.take(ticket, now)
                if isinstance(answer, Refusal):
                    return answer
                slots = answer
            self._run.take(ticket.needs, now)
            if slots is not None:
                self._taken.add(slots)
        descriptors = slots.descriptors() if slots else ()
        return Grant(descriptors, partial(self._give_back, ticket.needs, slots))

    def _give_back(self, needs: Mapping[str, int], slots: Slots | None) -> None:
        with self._turn:
            self._run.give_back(needs)
            if self._host is not None and slots is not None:
                self._taken.discard(slots)
                self._host.give_back(slots)

    def stand_aside(self) -> None:
        """Let other runs go first, because nobody of this one waits any more."""
        if self._host is not None:
            with self._turn:
                self._host.stand_aside()

    def close(self) -> None:
        """Give back to other runs whatever is still taken."""
        self.stand_aside()
        with self._turn:
            for slots in self._taken:
                slots.release()
            self._taken.clear()


def _host_limits(quotas: list[Quota], state_folder: Path | None) -> HostLimits:
    from lorchestra.limits.host import HostLimits

    return HostLimits(quotas, state_folder)
