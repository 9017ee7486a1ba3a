"""What all goals share: what a result is, and which goals there are."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import ModuleType

import tests.faults
from tests.scale import Scale


class NotRunError(Exception):
    """It turned out on the way that a goal cannot run on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a goal has shown.

    Attributes:
        figures: What was done, by name, in the order to be shown: `{"kills": 10000}`.
        lost: Acknowledged records that were not read back.
        undetected: Faults that verify did not find, or records that were read back changed.
        false_alarms: Errors that verify found where there was no fault.
        took_s: How long it took, in seconds; the harness fills it in.
    """

    figures: dict[str, int | float | str] = field(default_factory=dict)
    lost: int = 0
    undetected: int = 0
    false_alarms: int = 0
    took_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, missed or raised for nothing."""
        return self.lost == self.undetected == self.false_alarms == 0

    @property
    def done(self) -> str:
        """What was done, in words."""
        return ", ".join(
            f"{value:,} {name}" if isinstance(value, int | float) else f"{name} {value}"
            for name, value in self.figures.items()
        )

    def __str__(self) -> str:
        return (
            f"{self.done}; {self.lost} lost, {self.undetected} undetected, "
            f"{self.false_alarms} false alarms; {self.took_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        number: Its number, from 1.
        title: What is promised.
        needs: Gives why it cannot run on this machine, as a sentence; None: it can.
        is_slow: Whether even the reduced counts have an environment of their own in tox.ini.
        run: Makes the faults; raises `NotRunError`.
    """

    number: int
    title: str
    needs: Callable[[], str | None]
    is_slow: bool
    run: Callable[[Scale], Result]


def goals() -> Iterator[Goal]:
    """All goals, in the order of their numbers."""
    names = sorted(
        module.name
        for module in pkgutil.iter_modules(tests.faults.__path__)
        if module.name.startswith("goal_")
    )
    for name in names:
        yield _goal(importlib.import_module(f"tests.faults.{name}"))


def _goal(module: ModuleType) -> Goal:
    return Goal(
        number=int(module.__name__.rsplit(".", 1)[-1].split("_")[1]),
        title=module.TITLE,
        needs=getattr(module, "NEEDS", lambda: None),
        is_slow=getattr(module, "IS_SLOW", False),
        run=module.run,
    )


def measured(goal: Goal, scale: Scale) -> Result:
    """Run a goal and note how long it took.

    Raises:
        NotRunError: It cannot run on this machine.
    """
    began = time.monotonic()
    result = goal.run(scale)
    return replace(result, took_s=round(time.monotonic() - began, 1))
