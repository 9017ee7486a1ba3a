"""From a mapping to a job: what it does, and what it runs in."""

from __future__ import annotations

from pathlib import Path

from lorchestra.loader import values
from lorchestra.loader.actions import ACTION_KEYS, PipelineLibrary, read_action
from lorchestra.loader.fields import Fields
from lorchestra.loader.files import name_of
from lorchestra.loader.limits import read_needs
from lorchestra.loader.loops import read_repetition
from lorchestra.loader.nodes import MapNode, Node
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.loader.retries import read_retries
from lorchestra.loader.uses import note_references
from lorchestra.model import Action, Call, Job, SubPipeline
from lorchestra.wording import quoted

LONGEST_ID_BYTES = 10_000
JOB_KEYS = (
    *(*ACTION_KEYS, "env", "cwd", "tags", "allow_failure", "description"),
    *("timeout", "total_timeout", "retries", "isolation", "limits", "idempotency_key"),
    *("loop", "matrix"),
)


def read_job(
    node: MapNode,
    job_id: str | None,
    problems: Problems,
    source: Path,
    library: PipelineLibrary,
    id_key: str | None = None,
) -> Job | None:
    """Read what a job does.

    Args:
        node: The mapping.
        job_id: The id; None if it is mistaken, which has been noted.
        problems: Where mistakes are noted.
        source: The file that the mapping stands in.
        library: Where pipelines are found that are jobs.
        id_key: The key that the id was read from, if it stands in the mapping.

    Returns:
        The job; None if anything is wrong with it.

    Numbers, `true` and `false` without quotes are taken as they are written in `run`, `cwd`, the
    items of `command` and the values of `env`, because a program gets nothing but text:
    `PORT: 8080` is "8080", `DEBUG: true` is "true". `null` and nothing at all are mistakes.
    """
    before = len(problems)
    fields = Fields(node, JOB_KEYS if id_key is None else (id_key, *JOB_KEYS), problems)
    action = read_action(fields, library)
    env = _env(fields)
    cwd = fields.read("cwd", values.filled)
    description = fields.read("description", values.text)
    timeout_s = fields.read("timeout", values.duration)
    total_timeout_s = fields.read("total_timeout", values.duration)
    retries = read_retries(fields)
    isolation = _isolation(fields, action)
    tags = _tags(fields)
    allow_failure = bool(fields.read("allow_failure", values.flag))
    limits = read_needs(fields, job_id or "")
    idempotency_key = fields.read("idempotency_key", values.filled)
    loop = read_repetition(fields, job_id or "")
    note_references(node, job_id or "", problems)
    if job_id is None or action is None or len(problems) > before:
        return None
    return Job(
        job_id,
        action,
        env,
        cwd,
        description or "",
        source,
        timeout_s,
        total_timeout_s,
        retries,
        isolation,
        tags,
        allow_failure,
        limits,
        idempotency_key,
        loop,
    )


def read_job_file(
    document: Node, source: Path, problems: Problems, library: PipelineLibrary
) -> Job | None:
    """Read a file that holds one job, whose id is the name of the file.

    Args:
        document: What the file holds.
        source: The file.
        problems: Where mistakes are noted.
        library: Where pipelines are found that are jobs.

    Returns:
        The job; None if anything is wrong with it.
    """
    node = problems.check(values.mapping, document, "a job file")
    if node is None:
        return None
    name = name_of(source)
    if mistake := id_mistake(name):
        problems.add(node, mistake)
    given = node.entries.get("job_id")
    if given and problems.check(read_id, given.value, "job_id") not in {None, name}:
        must = f"job_id must be the name of the file, {quoted(name)}, or be left out"
        problems.add(given.value, must)
    return read_job(node, name, problems, source, library, id_key="job_id")


def read_id(node: Node, what: str) -> str:
    """The id of a job, as a stage or a file names it."""
    name = values.text(node, what)
    if mistake := id_mistake(name):
        raise Mistake(node, mistake)
    return name


def id_mistake(name: str) -> str | None:
    """What is wrong with the id of a job; None if nothing is."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return f"the job id {quoted(name)} is not valid Unicode text"
    if size == 0:
        return "a job id must not be empty"
    if size > LONGEST_ID_BYTES:
        return f"a job id has at most {LONGEST_ID_BYTES:,} bytes, not {size:,}"
    return None


def _isolation(fields: Fields, action: Action | None) -> str:
    isolation = fields.read("isolation", values.one_of("thread", "process"))
    other = action is not None and not isinstance(action, Call | SubPipeline)
    if isolation is not None and other:
        fields.problems.add(fields.key("isolation"), "isolation is only for a call")
    return isolation or "thread"


def _tags(fields: Fields) -> tuple[str, ...]:
    node = fields.read("tags", values.listing)
    check = fields.problems.check
    tags = [check(values.label, item, "a tag") for item in (node.items if node else ())]
    return tuple(dict.fromkeys(tag for tag in tags if tag is not None))


def _env(fields: Fields) -> dict[str, str]:
    node = fields.read("env", values.mapping)
    env = {}
    for name, (key, value) in node.entries.items() if node else ():
        if not name or "=" in name or "\0" in name:
            wrong = f"{quoted(name)} in env cannot be the name of an environment variable"
            fields.problems.add(key, wrong)
        env[name] = fields.problems.check(values.written, value, f"{name} in env") or ""
    return env
