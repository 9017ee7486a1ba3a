"""`lorchestra plan`: what a run would do, and how long it will take."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from lorchestra.cli import completing
from lorchestra.cli.options import json_option, store_option, store_path
from lorchestra.cli.planning import Asked, Plan, plan_of
from lorchestra.cli.printing import show, show_json
from lorchestra.cli.selection import (
    max_workers_option,
    part_options,
    resume_option,
    run_key_option,
    schedule_option,
)
from lorchestra.forecast import Forecast, by_workers, forecast
from lorchestra.history import History
from lorchestra.plan import Options
from lorchestra.report.text import counted, duration, printable, short, table
from runstore import RunStore

_MOST_NAMED = 5


@click.command("plan", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", shell_complete=completing.pipelines)
@max_workers_option
@store_option
@schedule_option
@part_options
@run_key_option
@resume_option
@json_option
def command(
    name: str,
    max_workers: int | None,
    store: Path | None,
    schedule: str | None,
    params: tuple[str, ...],
    only: tuple[str, ...],
    from_stage: str | None,
    tags: tuple[str, ...],
    run_key: str | None,
    resume: str | None,
    as_json: bool,
) -> None:
    """Say what a run of the pipeline NAME would do, and how long it will take.

    The forecast is made from how long jobs took in the last runs, with as many workers as are asked
    for, and with others, to show how many are worth it. Nothing is run, and nothing is written.

    \b
    Examples:
        lorchestra plan ingest --max-workers 4
        lorchestra plan ingest --resume --json
    """
    asked = Asked.find(name)
    options = Options(
        asked.workers(max_workers),
        params=asked.params(params),
        only=only,
        from_stage=from_stage,
        tags=tags,
        schedule=schedule,
    )
    folder = store_path(store, asked.root)
    plan = plan_of(asked.pipeline, options, folder, resume, run_key, as_json=as_json)
    if plan is None:
        return
    kept = {job_id for job_id, choice in plan.choices.items() if choice.is_kept}
    without = {*kept, *plan.unselected}
    pipeline = plan.options.over(plan.unfolded)
    seconds = History(RunStore(folder), pipeline.id).seconds
    expected = forecast(pipeline, seconds, plan.options.max_workers, without)
    others = by_workers(pipeline, seconds, without)
    if as_json:
        show_json({**plan.as_object(), "forecast": _object(expected, others)})
    else:
        show(f"{plan.as_text()}\n\n{_text(plan, expected, others, folder)}")


def _object(expected: Forecast | None, others: list[tuple[int, float]]) -> dict[str, Any] | None:
    if expected is None:
        return None
    return {
        "duration_ms": _ms(expected.seconds),
        "workers": expected.workers,
        "stages": [
            {
                "name": stage.name,
                "workers": stage.workers,
                "duration_ms": _ms(stage.seconds),
                "last_job": stage.last_job,
            }
            for stage in expected.stages
        ],
        "unknown": list(expected.unknown),
        "best_workers": others[-1][0],
        "by_workers": [{"workers": n, "duration_ms": _ms(seconds)} for n, seconds in others],
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _text(
    plan: Plan, expected: Forecast | None, others: list[tuple[int, float]], folder: Path
) -> str:
    if expected is None:
        where = printable(str(folder))
        return f"no forecast: none of these jobs has succeeded in a run that is known in {where}"
    end = datetime.now() + timedelta(seconds=expected.seconds)
    size = f"{duration(expected.seconds)} with {counted(expected.workers, 'worker')}"
    lines = [f"forecast: {size}, so until {end:%H:%M:%S} if it began now"]
    for stage in expected.stages:
        if stage.last_job is not None:
            took, last = duration(stage.seconds), short(stage.last_job)
            lines.append(f"  stage {short(stage.name)}: {took}, the end of {last}")
    if expected.unknown:
        named = ", ".join(short(job_id) for job_id in expected.unknown[:_MOST_NAMED])
        more = ", ..." if len(expected.unknown) > _MOST_NAMED else ""
        lines.append(f"  not known, and taken for the middle of the others: {named}{more}")
    rows = [(str(workers), duration(seconds)) for workers, seconds in others]
    return "\n".join([*lines, "", table(("WORKERS", "FORECAST"), rows)])
