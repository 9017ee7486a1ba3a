"""What a job's references make of it: checked before the run, put in just before it starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from lorchestra.errors import UnknownReferenceError
from lorchestra.masking import Mask
from lorchestra.model import (
    Action,
    Call,
    Command,
    Hooks,
    Job,
    Parameter,
    Pipeline,
    Shell,
    Webhook,
)
from lorchestra.references import (
    Known,
    Reference,
    Scope,
    data_of,
    job_named,
    mistake_in,
    references_in,
    shell_line,
    shown,
    shown_line,
    text_of,
)
from lorchestra.wording import quoted

_KNOWN_BEFORE = frozenset({"params", "payload", "env"})


class Values:
    """What the references of a run's jobs stand for. Thread-safe.

    Attributes:
        scope: Where they are looked for.
    """

    def __init__(
        self, pipeline: Pipeline, params: Mapping[str, Any], env: Mapping[str, str]
    ) -> None:
        self._wanted = jobs_referred_to(pipeline)
        self._outputs: dict[str, bytes] = {}
        job_ids = frozenset(job.id for job in pipeline.jobs)
        self.scope = Scope(params, env, job_ids, self._outputs)

    def keep(self, job_id: str, output: Any) -> None:
        """Keep the output of a job that succeeded, if another job refers to it.

        It is kept as JSON: whoever gets it gets a value of its own, as from the record.
        """
        if job_id in self._wanted:
            self._outputs[job_id] = orjson.dumps(output)


def references_of(job: Job) -> Iterator[Reference]:
    """All references of a job, in the order in which they are put in."""
    yield from _references_of(job.action)
    yield from references_in(dict(job.env))
    yield from references_in(job.cwd)
    yield from references_in(job.idempotency_key)


def references_of_hooks(hooks: Hooks) -> Iterator[Reference]:
    """All references of hooks."""
    for hook in hooks.all:
        yield from _references_of(hook.action)


def _references_of(action: Action | Webhook) -> Iterator[Reference]:
    match action:
        case Shell():
            yield from references_in(action.line)
        case Command():
            yield from references_in(action.argv)
        case Call():
            yield from references_in(dict(action.arguments))
        case Webhook():
            yield from references_in(action.url)
            yield from references_in(dict(action.headers))


def bound(job: Job, scope: Scope) -> Job:
    """The job with values where its references were.

    Raises:
        ReferenceFailedError: One stands for nothing, or for what cannot stand there.
    """
    action: Action
    variables: dict[str, str] = {}
    match job.action:
        case Shell():
            line, variables = shell_line(job.action.line, scope)
            action = Shell(line)
        case Command():
            action = Command(tuple(text_of(word, scope) for word in job.action.argv))
        case Call():
            action = Call(job.action.target, data_of(dict(job.action.arguments), scope))
    env = {name: text_of(value, scope) for name, value in job.env.items()}
    cwd = None if job.cwd is None else text_of(job.cwd, scope)
    return replace(job, action=action, env={**env, **variables}, cwd=cwd)


def shown_job(job: Job, scope: Scope, mask: Mask) -> Job:
    """The job for people, with its parameters in it, and without secrets.

    Other references stay as they are written.
    """

    def text(written: str) -> str:
        value = shown([written], scope)[0]
        return mask.text(value if isinstance(value, str) else text_of(written, scope))

    action: Action
    match job.action:
        case Shell():
            action = Shell(mask.text(shown_line(job.action.line, scope)))
        case Command():
            action = Command(tuple(map(text, job.action.argv)))
        case Call():
            arguments = shown(dict(job.action.arguments), scope)
            action = Call(job.action.target, mask.data(arguments))
    env = {name: text(value) for name, value in job.env.items()}
    cwd, key = (None if each is None else text(each) for each in (job.cwd, job.idempotency_key))
    return replace(job, action=action, env=env, cwd=cwd, idempotency_key=key)


def parameters_of(pipeline: Pipeline) -> dict[str, Parameter]:
    """The parameters that a pipeline takes: those it declares, and those taken as payload."""
    of_jobs = (reference for job in pipeline.jobs for reference in references_of(job))
    payload = {
        str(reference.path[0])
        for reference in (*of_jobs, *references_of_hooks(pipeline.hooks))
        if reference.root == "payload"
    }
    return {
        **pipeline.params,
        **{name: Parameter() for name in sorted(payload - pipeline.params.keys())},
    }


def params_of(job: Job, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a job uses, with their values; those not given are null."""
    used = {
        str(reference.path[0])
        for reference in references_of(job)
        if reference.root in {"params", "payload"}
    }
    return {name: params.get(name) for name in sorted(used)}


def digests(pipeline: Pipeline, params: Mapping[str, Any]) -> dict[str, str]:
    """What each job does with these parameters, as a digest by its id."""
    return {job.id: job.sha256(params_of(job, params)) for job in pipeline.jobs}


def jobs_referred_to(pipeline: Pipeline) -> set[str]:
    """The jobs whose output another job takes."""
    job_ids = {job.id for job in pipeline.jobs}
    found = (
        job_named(reference, job_ids)
        for job in pipeline.jobs
        for reference in references_of(job)
        if reference.root == "run"
    )
    return {named[0] for named in found if named is not None}


def mistake_in_hook(
    reference: Reference, params: Collection[str], env: Mapping[str, str] | None = None
) -> str | None:
    """What is wrong with a reference of a hook; None: nothing that can be known yet."""
    if reference.root not in _KNOWN_BEFORE:
        known = "params, payload and env"
        return f"{quoted(reference.text)}: a hook can refer to {known} alone"
    return mistake_in(reference, Known(params, env=env))


def mistake_in_key(reference: Reference) -> str | None:
    """What is wrong with a reference of a job's own key; None: nothing."""
    if reference.root in _KNOWN_BEFORE:
        return None
    why = "it is looked up before the run, so it can refer to params, payload and env alone"
    return f"{quoted(reference.text)} in idempotency_key: {why}"


def check_references(
    pipeline: Pipeline, env: Mapping[str, str], left_out: Collection[str] = ()
) -> None:
    """Refuse references that stand for nothing, as far as that can be known before the run.

    Args:
        pipeline: What is to run; that of a file has been checked already, but for `env`.
        env: The environment.
        left_out: Jobs that do not run, and so need nothing and leave nothing.

    Raises:
        UnknownReferenceError: It lists all of them.
    """
    job_ids = {job.id for job in pipeline.jobs}
    earlier: set[str] = set()
    mistakes = []
    for stage in pipeline.stages:
        known = Known(pipeline.params, job_ids, earlier, env, left_out=left_out)
        for job in stage.jobs:
            if job.id in left_out:
                continue
            found = dict.fromkeys(mistake_in(each, known) for each in references_of(job))
            in_key = references_in(job.idempotency_key)
            found |= dict.fromkeys(mistake_in_key(each) for each in in_key)
            mistakes += [f"job {job.id!r}: {mistake}" for mistake in found if mistake]
        earlier = earlier | {job.id for job in stage.jobs}
    of_hooks = references_of_hooks(pipeline.hooks)
    found = dict.fromkeys(mistake_in_hook(each, pipeline.params, env) for each in of_hooks)
    mistakes += [f"a hook: {mistake}" for mistake in found if mistake]
    if mistakes:
        raise UnknownReferenceError(mistakes)
