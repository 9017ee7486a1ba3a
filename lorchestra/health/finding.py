"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing.

    Attributes:
        about: What: `python`, `locks`, ...
        level: `ok`; `note`: good to know; `problem`: runs, or their records, will fail.
        text: What was found.
        advice: What to do; empty: nothing.
    """

    about: str
    level: Level
    text: str
    advice: str = ""
