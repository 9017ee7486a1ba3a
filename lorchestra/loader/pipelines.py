"""From what a pipeline file holds to a pipeline."""

from __future__ import annotations

from pathlib import Path

from lorchestra.config import load_config
from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.files import name_of
from lorchestra.loader.hooks import read_hooks
from lorchestra.loader.jobs import id_mistake, read_job
from lorchestra.loader.limits import check_needs, needs_of, read_quotas
from lorchestra.loader.nodes import Node
from lorchestra.loader.params import read_params
from lorchestra.loader.problems import Problems
from lorchestra.loader.secrets import read_secrets
from lorchestra.loader.stages import JobLibrary, StageReader
from lorchestra.loader.uses import check_references
from lorchestra.model import LONGEST_FIRST, SCHEDULES, Job, Pipeline
from lorchestra.stop import GRACE_S
from lorchestra.wording import quoted

PIPELINE_KEYS = (
    *("pipeline_id", "description", "stop_on_failure", "halt", "schedule", "grace", "timeout"),
    *("params", "secrets", "limits", "hooks", "stages", "jobs"),
)


def read_pipeline(
    document: Node, source: Path, root: Path, problems: Problems, library: JobLibrary
) -> Pipeline | None:
    """Read a pipeline.

    Args:
        document: What its file holds.
        source: The file.
        root: The project folder.
        problems: Where mistakes are noted.
        library: Where the jobs are found that the file does not define.

    Returns:
        The pipeline, without what is mistaken in it; None if nothing of it can be read.
    """
    node = problems.check(values.mapping, document, "a pipeline file")
    if node is None:
        return None
    fields = Fields(node, PIPELINE_KEYS, problems)
    name = _pipeline_id(fields, source)
    description = fields.read("description", values.text)
    stop_on_failure = fields.read("stop_on_failure", values.flag)
    halt = fields.read("halt", values.one_of("soon", "now"))
    schedule = fields.read("schedule", values.one_of(*SCHEDULES))
    grace_s = fields.read("grace", values.duration_or_none)
    timeout_s = fields.read("timeout", values.duration)
    params = read_params(fields)
    secrets, quotas = read_secrets(fields), read_quotas(fields)
    hooks = read_hooks(fields, params)
    reader = StageReader(source, problems, _defined(fields, source, library), library)
    listed = fields.need("stages", values.listing, "a pipeline")
    stages = reader.read(listed) if listed else ()
    check_references(reader.stage_of, reader.loops, params, problems)
    if needs := needs_of(reader.stage_of, problems):
        # Who needs no limit does not read the configuration.
        quotas = (*quotas, *load_config(root).limits)
        check_needs(needs, quotas)
    return Pipeline(
        name or "",
        stages,
        root,
        description or "",
        bool(stop_on_failure),
        source,
        halt or "soon",
        GRACE_S if grace_s is None else grace_s,
        timeout_s,
        params,
        secrets,
        quotas,
        hooks,
        schedule or LONGEST_FIRST,
    )


def _pipeline_id(fields: Fields, source: Path) -> str | None:
    if "pipeline_id" in fields:
        return fields.read("pipeline_id", values.label)
    name = name_of(source)
    if mistake := values.label_mistake(name):
        wrong = f"without pipeline_id the name of the file counts, and it {mistake}"
        fields.problems.add(fields.node, wrong)
    return name


def _defined(fields: Fields, source: Path, library: JobLibrary) -> dict[str, Job | None]:
    node = fields.read("jobs", values.mapping)
    jobs: dict[str, Job | None] = {}
    for name, (key, value) in node.entries.items() if node else ():
        if mistake := id_mistake(name):
            fields.problems.add(key, mistake)
        body = fields.problems.check(values.mapping, value, f"job {quoted(name)}")
        jobs[name] = read_job(body, name, fields.problems, source, library) if body else None
    return jobs
