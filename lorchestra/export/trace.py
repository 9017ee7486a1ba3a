"""A run as a trace of Chrome's: Perfetto (ui.perfetto.dev) and chrome://tracing open it.

The format: "Trace Event Format", Google, 2016. Times are microseconds from the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lorchestra.export.lanes import Span, spans
from lorchestra.report.text import moment_of
from runstore import RunView

_PID = 1
# Names of colours that both viewers know.
_COLOURS = {"succeeded": "good", "failed": "terrible", "timed_out": "terrible", "crashed": "bad"}


def trace_object(view: RunView) -> dict[str, Any]:
    """The trace: an event for each attempt, in as many lanes as there were workers.

    Args:
        view: The run; one at work as far as it has come.
    """
    found = spans(view)
    began = moment_of(view.started)
    start_s = began.timestamp() if began else (found[0].begin_s if found else 0.0)
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "run_id": view.id,
            "pipeline_id": view.pipeline,
            "status": view.status,
            "started": view.started,
        },
        "traceEvents": [*_names(view, found), *(_event(span, start_s) for span in found)],
    }


def _names(view: RunView, found: list[Span]) -> Iterator[dict[str, Any]]:
    yield _name("process_name", 0, f"{view.pipeline or 'run'} {view.id}")
    for lane in range(max((span.lane + 1 for span in found), default=0)):
        yield _name("thread_name", lane, f"worker {lane + 1}")


def _name(what: str, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": _PID, "tid": lane, "name": what, "args": {"name": name}}


def _event(span: Span, start_s: float) -> dict[str, Any]:
    job, attempt = span.job, span.attempt
    number = "" if attempt.number == 1 else f" (attempt {attempt.number})"
    args = {
        "job": job.id,
        "stage": job.stage,
        "attempt": attempt.number,
        "status": attempt.status,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "error": attempt.error,
    }
    colour = _COLOURS.get(attempt.status)
    return {
        "ph": "X",
        "pid": _PID,
        "tid": span.lane,
        "name": f"{job.id}{number}",
        "cat": job.stage or "job",
        "ts": round((span.begin_s - start_s) * 1e6),
        "dur": round((span.end_s - span.begin_s) * 1e6),
        **({} if colour is None else {"cname": colour}),
        "args": {name: value for name, value in args.items() if value is not None},
    }
