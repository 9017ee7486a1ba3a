"""What would run: for `--dry-run`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lorchestra.binding import parameters_of, shown_job
from lorchestra.durations import written
from lorchestra.fanout import unfold_pipeline
from lorchestra.masking import Mask
from lorchestra.model import Action, Broken, Command, Job, Loop, Pipeline, Shell, Stage, SubPipeline
from lorchestra.params import param_values
from lorchestra.plan import Options, left_out, workers_for
from lorchestra.quota import Quota
from lorchestra.references import Scope
from lorchestra.report.text import counted, printable, short
from lorchestra.resuming import Choices


def plan_object(
    pipeline: Pipeline,
    options: Options,
    choices: Choices | None = None,
    run_id: str | None = None,
    mask: Mask | None = None,
) -> dict[str, Any]:
    """The plan as one object, for programs: parameters stand where jobs refer to them.

    Args:
        pipeline: What would run.
        options: How.
        choices: What a resume does with each job; None: it is a new run.
        run_id: The run that it resumes.
        mask: What takes secrets out of it; None: there are none.

    Raises:
        ParameterError: The pipeline does not take these parameters, or needs others.
        SelectionError: A job, stage or tag that was asked for is not there.
    """
    sha256, scope = pipeline.sha256(), _scope(pipeline, options)
    pipeline = unfold_pipeline(pipeline, scope.params)
    reasons, mask = left_out(pipeline, options), mask or Mask()
    plan = {
        **({} if run_id is None else {"run_id": run_id}),
        "pipeline_id": pipeline.id,
        "source": str(pipeline.source) if pipeline.source else None,
        "root": str(pipeline.root),
        "sha256": sha256,
        "params": scope.params,
        "total": len(pipeline.jobs),
        "limits": [
            {
                "name": quota.name,
                "capacity": quota.capacity,
                "rate": str(quota.rate) if quota.rate else None,
                "scope": quota.scope,
            }
            for quota in _needed(pipeline)
        ],
        "stages": [
            {
                "name": stage.name,
                "workers": _workers(stage, options, reasons),
                "stop_on_failure": options.stops(pipeline, stage),
                **({} if stage.loop is None else {"loop": stage.loop.definition()}),
                "jobs": [
                    {
                        **_job_object(job, scope, mask, reasons.get(job.id)),
                        **_choice_object(job, choices or {}),
                    }
                    for job in stage.jobs
                ],
            }
            for stage in pipeline.stages
        ],
    }
    masked: dict[str, Any] = mask.data(plan)
    return masked


def _choice_object(job: Job, choices: Choices) -> dict[str, Any]:
    choice = choices.get(job.id)
    return {} if choice is None else {"is_kept": choice.is_kept, "reason": choice.reason}


def plan_text(
    pipeline: Pipeline,
    options: Options,
    choices: Choices | None = None,
    run_id: str | None = None,
    mask: Mask | None = None,
) -> str:
    """The plan for people: stages, workers, and each job with what it does.

    Args and errors: as for `plan_object`.
    """
    scope = _scope(pipeline, options)
    pipeline = unfold_pipeline(pipeline, scope.params)
    reasons, mask = left_out(pipeline, options), mask or Mask()
    size = f"{counted(len(pipeline.jobs), 'job')} in {counted(len(pipeline.stages), 'stage')}"
    lines = [f"{short(pipeline.id)}: {size}; nothing is run"]
    if run_id is not None:
        lines.append(f"would resume run {run_id}")
    lines += [f"limit {quota}" for quota in _needed(pipeline)]
    for stage in pipeline.stages:
        workers = counted(_workers(stage, options, reasons), "worker")
        rule = ", stop on failure" if options.stops(pipeline, stage) else ""
        name, jobs = short(stage.name), counted(len(stage.jobs), "job")
        lines.append(f"\nstage {name}: {jobs}, {workers}{rule}")
        rows = [
            (short(job.id), _job_line(job, scope, mask, reasons.get(job.id), choices or {}))
            for job in stage.jobs
        ]
        if stage.loop is not None:
            lines.append(f"  for each of {short(_over(stage.loop))}")
        width = min(40, max((len(job_id) for job_id, _ in rows), default=0))
        lines += [f"  {job_id.ljust(width)}  {action}" for job_id, action in rows]
    return mask.text("\n".join(lines))


def _job_object(job: Job, scope: Scope, mask: Mask, reason: str | None) -> dict[str, Any]:
    shown = shown_job(job, scope, mask)
    words = {"tags": list(job.tags)} if job.tags else {}
    rule = {"allow_failure": True} if job.allow_failure else {}
    skipped = {"skipped": reason} if reason else {}
    return {"job_id": job.id, **shown.definition(), **job.rules(), **words, **rule, **skipped}


def _job_line(job: Job, scope: Scope, mask: Mask, reason: str | None, choices: Choices) -> str:
    """What a job does, how it runs, what a resume does with it."""
    if reason:
        return short(f"skipped, {reason}")
    action, choice = short(action_text(shown_job(job, scope, mask).action)), choices.get(job.id)
    rules = [f"timeout {written(job.timeout_s)}"] if job.timeout_s is not None else []
    if job.retries is not None:
        rules.append(f"retried {job.retries.max} {'time' if job.retries.max == 1 else 'times'}")
    if job.limits:
        rules.append(f"needs {_needs_text(job.limits)}")
    text = f"{action}  ({', '.join(rules)})" if rules else action
    if job.loop is not None:
        text = f"for each of {short(_over(job.loop))}, {text}"
    if choice is None:
        return text
    return f"{'kept' if choice.is_kept else 'to run'}, {choice.reason}; {text}"


def _over(loop: Loop) -> str:
    return loop.over if isinstance(loop.over, str) else f"{counted(len(loop.over), 'item')}"


def _workers(stage: Stage, options: Options, reasons: Mapping[str, str]) -> int:
    jobs = tuple(job for job in stage.jobs if job.id not in reasons)
    return workers_for(replace(stage, jobs=jobs), options.max_workers)


def _needed(pipeline: Pipeline) -> list[Quota]:
    names = {name for job in pipeline.jobs for name in job.limits}
    return [quota for quota in pipeline.limits if quota.name in names]


def _needs_text(needs: Mapping[str, int]) -> str:
    """What a job needs of limits: `bigquery, 2 of memory`."""
    return ", ".join(name if units == 1 else f"{units} of {name}" for name, units in needs.items())


def _scope(pipeline: Pipeline, options: Options) -> Scope:
    return Scope(param_values(parameters_of(pipeline), options.params))


def action_text(action: Action) -> str:
    """What a job does, on one line."""
    if isinstance(action, Shell):
        return printable(f"run: {' '.join(action.line.split())}")
    if isinstance(action, Command):
        return printable(f"command: {shlex.join(action.argv)}")
    if isinstance(action, Broken):
        return printable(f"fails: {action.reason}")
    arguments = ", ".join(f"{name}={value!r}" for name, value in action.arguments.items())
    if isinstance(action, SubPipeline):
        return printable(f"pipeline: {action.name}{f'({arguments})' if arguments else ''}")
    return printable(f"call: {action.target}({arguments})")


def job_text(job: Job) -> str:
    """A job's whole definition, for people."""
    lines = [job.id]
    lines += [f"  {line}" for line in job.description.splitlines()]
    lines.append(f"  {action_text(job.action)}")
    lines += [f"  env: {name}={value}" for name, value in job.env.items()]
    if job.cwd is not None:
        lines.append(f"  cwd: {job.cwd}")
    lines += [f"  {name}: {_rule_text(value)}" for name, value in job.rules().items()]
    if job.tags:
        lines.append(f"  tags: {', '.join(job.tags)}")
    if job.allow_failure:
        lines.append("  allow_failure: true")
    return "\n".join(map(printable, lines))


def _rule_text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name} {each}" for name, each in value.items())
