"""What would run: for `--dry-run`."""

from __future__ import annotations

import shlex
from typing import Any

from lorchestra.binding import parameters_of, shown_job
from lorchestra.model import Action, Command, Job, Pipeline, Shell
from lorchestra.params import param_values
from lorchestra.plan import Options, workers_for
from lorchestra.references import Scope
from lorchestra.report.text import counted, printable, short


def plan_object(pipeline: Pipeline, options: Options) -> dict[str, Any]:
    """The plan as one object, for programs: parameters stand where jobs refer to them.

    Raises:
        ParameterError: The pipeline does not take these parameters, or needs others.
    """
    scope = _scope(pipeline, options)
    return {
        "pipeline_id": pipeline.id,
        "source": str(pipeline.source) if pipeline.source else None,
        "root": str(pipeline.root),
        "sha256": pipeline.sha256(),
        "params": dict(scope.params),
        "total": len(pipeline.jobs),
        "stages": [
            {
                "name": stage.name,
                "workers": workers_for(stage, options.max_workers),
                "stop_on_failure": options.stops(pipeline, stage),
                "jobs": [
                    {"job_id": job.id, **shown_job(job, scope).definition()} for job in stage.jobs
                ],
            }
            for stage in pipeline.stages
        ],
    }


def plan_text(pipeline: Pipeline, options: Options) -> str:
    """The plan for people: stages, workers, and each job with what it does.

    Raises:
        ParameterError: As for `plan_object`.
    """
    scope = _scope(pipeline, options)
    size = f"{counted(len(pipeline.jobs), 'job')} in {counted(len(pipeline.stages), 'stage')}"
    lines = [f"{short(pipeline.id)}: {size}; nothing is run"]
    for stage in pipeline.stages:
        workers = counted(workers_for(stage, options.max_workers), "worker")
        rule = ", stop on failure" if options.stops(pipeline, stage) else ""
        name, jobs = short(stage.name), counted(len(stage.jobs), "job")
        lines.append(f"\nstage {name}: {jobs}, {workers}{rule}")
        rows = [
            (short(job.id), short(action_text(shown_job(job, scope).action))) for job in stage.jobs
        ]
        width = min(40, max(len(job_id) for job_id, _ in rows))
        lines += [f"  {job_id.ljust(width)}  {action}" for job_id, action in rows]
    return "\n".join(lines)


def _scope(pipeline: Pipeline, options: Options) -> Scope:
    return Scope(param_values(parameters_of(pipeline), options.params))


def action_text(action: Action) -> str:
    """What a job does, on one line."""
    if isinstance(action, Shell):
        return printable(f"run: {' '.join(action.line.split())}")
    if isinstance(action, Command):
        return printable(f"command: {shlex.join(action.argv)}")
    arguments = ", ".join(f"{name}={value!r}" for name, value in action.arguments.items())
    return printable(f"call: {action.target}({arguments})")


def job_text(job: Job) -> str:
    """A job's whole definition, for people."""
    lines = [job.id]
    lines += [f"  {line}" for line in job.description.splitlines()]
    lines.append(f"  {action_text(job.action)}")
    lines += [f"  env: {name}={value}" for name, value in job.env.items()]
    if job.cwd is not None:
        lines.append(f"  cwd: {job.cwd}")
    return "\n".join(map(printable, lines))
