"""One JSON object a line for every event: for programs that show a run, or watch over it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from lorchestra.model import Outcome
from lorchestra.progress.events import Event, InChild

_WORD = re.compile("(?<!^)(?=[A-Z])")
_OF_OUTCOME = ("status", "exit_code", "signal", "error", "cpu_s", "max_rss_kb", "log_bytes")


class JsonProgress:
    """A handler that says a line of ASCII for every event, also for those that people are spared.

    `event` is the name of the event, `at` the moment (UTC) in which it was said. Of how an attempt
    ended there is all but its output. What happens in a pipeline that is a job has `inside`: the
    jobs around it, the outermost first.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        """Say lines by calling `say` with each, without its line feed."""
        self._say = say

    def __call__(self, event: Event) -> None:
        """Say the line of one event."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._say(json.dumps({"at": at, **event_object(event)}, allow_nan=False))


def event_object(event: Event) -> dict[str, Any]:
    """What programs are told of an event."""
    inside = []
    while isinstance(event, InChild):
        inside.append(event.job_id)
        event = event.event
    name = _WORD.sub("_", type(event).__name__).lower()
    found: dict[str, Any] = {"event": name, **({"inside": inside} if inside else {})}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Outcome):
            found |= {each: getattr(value, each) for each in _OF_OUTCOME}
            found["allowed"] = value.allowed
        else:
            found[field.name] = dict(value) if isinstance(value, dict) else value
    return found
