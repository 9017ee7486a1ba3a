"""The line of those who wait for limits of this machine, in the order in which they came: pure.

Each has a claim on what it was refused. The rule is the one that holds among the jobs of a run:
nobody takes of a limit on which somebody before it has a claim. So the first in the line waits for
nothing but jobs that end, and everybody becomes the first.

Among those of one run the queue of the run decides who is first: its first job takes the first of
their places. Else a job could wait here for a run that waits for a job behind it there.

Who has not been seen for three seconds has been killed or suspended, and loses its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

_FORGOTTEN_S = 3.0


@dataclass(slots=True)
class _Place:
    number: str
    claims: set[str]
    seen_at: float


@dataclass(slots=True)
class Line:
    """Those who wait, first come first."""

    _places: list[_Place] = field(default_factory=list)

    @classmethod
    def decoded(cls, data: bytes, now: float) -> Line:
        """The line that a file holds, without those who have gone.

        Args:
            data: What it holds; a file that was cut short is an empty line, and all who wait join
                it again.
            now: The time, by a clock that all processes of the machine share and that never steps
                back; times in the future are from before a restart.
        """
        try:
            places = [
                _Place(str(number), set(map(str, claims)), float(seen_at))
                for number, claims, seen_at in orjson.loads(data)
            ]
        except (ValueError, TypeError):
            return cls()
        return cls([each for each in places if 0 <= now - each.seen_at <= _FORGOTTEN_S])

    def encoded(self) -> bytes:
        """The line for a file."""
        places: list[Any] = [
            [each.number, sorted(each.claims), each.seen_at] for each in self._places
        ]
        return orjson.dumps(places)

    def numbers(self) -> list[str]:
        """Who stands here, first come first."""
        return [place.number for place in self._places]

    def claimed_before(self, number: str, own: Collection[str]) -> set[str]:
        """The limits on which others before this one have a claim; all, if it stands nowhere.

        Args:
            number: Who asks.
            own: Those of the same run, which are no others.
        """
        claimed: set[str] = set()
        for place in self._places:
            if place.number == number:
                break
            if place.number not in own:
                claimed |= place.claims
        return claimed

    def stay(self, number: str, claims: Iterable[str], now: float) -> None:
        """Join at the end, or keep one's place; claims are added to those made before."""
        place = next((each for each in self._places if each.number == number), None)
        if place is None:
            place = _Place(number, set(), now)
            self._places.append(place)
        place.claims |= set(claims)

    def see(self, numbers: Collection[str], now: float) -> None:
        """Note that these are still there."""
        for place in self._places:
            if place.number in numbers:
                place.seen_at = now

    def leave(self, numbers: Collection[str]) -> bool:
        """Leave the line; tells whether any of these stood in it."""
        before = len(self._places)
        self._places = [each for each in self._places if each.number not in numbers]
        return len(self._places) < before
