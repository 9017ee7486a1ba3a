"""The limits of one run: counted in its own memory, pure, no I/O, no clock. Not thread-safe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lorchestra.limits.answers import Refusal, Shortage
from lorchestra.limits.window import recent, wait_s
from lorchestra.quota import Quota


class RunLimits:
    """Counts what the jobs of a run use."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        """Begin with nothing in use.

        Args:
            quotas: What is allowed; where a name has several, each holds.
        """
        self._meters: dict[str, list[_Meter]] = {}
        for quota in quotas:
            self._meters.setdefault(quota.name, []).append(_Meter(quota))

    def refusal(self, needs: Mapping[str, int], now: float) -> Refusal | None:
        """Why a job cannot have what it needs now; None: it can.

        Args:
            needs: How many units of which limits; those that are not counted here are passed over.
            now: The time, by a clock that never steps back, in seconds.
        """
        found = [
            (Shortage(name, why), wait)
            for name, meter, units in self._metered(needs)
            for why, wait in meter.shortages(units, now)
        ]
        if not found:
            return None
        # A capacity is free when something ends, nobody knows when; a rate's time is known.
        waits = [wait for _, wait in found if wait is not None]
        return Refusal(
            tuple({short.name: short for short, _ in reversed(found)}.values()),
            max(waits, default=None) if len(waits) == len(found) else None,
        )

    def take(self, needs: Mapping[str, int], now: float) -> None:
        """Count a job that starts now, after it was not refused."""
        for _, meter, units in self._metered(needs):
            meter.take(units, now)

    def give_back(self, needs: Mapping[str, int]) -> None:
        """Count a job no more that has ended."""
        for _, meter, units in self._metered(needs):
            meter.in_use -= units

    def _metered(self, needs: Mapping[str, int]) -> Iterator[tuple[str, _Meter, int]]:
        for name, units in needs.items():
            for meter in self._meters.get(name, ()):
                yield name, meter, units


class _Meter:
    """What is used of one quota."""

    def __init__(self, quota: Quota) -> None:
        self.in_use = 0
        self._quota = quota
        self._starts: list[float] = []

    def shortages(self, units: int, now: float) -> Iterator[tuple[str, float | None]]:
        """What there is not enough of, and how long, where that is known."""
        capacity, rate = self._quota.capacity, self._quota.rate
        if capacity is not None and self.in_use + units > capacity:
            yield f"{self.in_use} of {capacity} in use", None
        if rate is not None and (wait := wait_s(self._starts, rate, units, now)) > 0:
            yield f"{rate} reached", wait

    def take(self, units: int, now: float) -> None:
        self.in_use += units
        if (rate := self._quota.rate) is not None:
            self._starts = [*recent(self._starts, rate, now), *[now] * units]
