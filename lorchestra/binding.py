"""What a job's references make of it: checked before the run, put in just before it starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from lorchestra.errors import UnknownReferenceError
from lorchestra.masking import Mask
from lorchestra.model import (
    Action,
    Broken,
    Call,
    Command,
    Hooks,
    Item,
    Job,
    Loop,
    Parameter,
    Pipeline,
    Shell,
    Stage,
    SubPipeline,
    Webhook,
)
from lorchestra.references import (
    IN_LOOPS,
    Known,
    Reference,
    Scope,
    data_of,
    is_known,
    job_named,
    mistake_in,
    only_reference,
    references_in,
    shell_line,
    shown,
    shown_line,
    text_of,
    value_of,
)
from lorchestra.wording import quoted

_NO_KEY_YET = (
    "its idempotency_key is looked up before the run, so its loop must not be over an output"
)
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
        self._job_ids = {job.id for job in pipeline.jobs}
        self._groups: dict[str, Sequence[str]] = {}
        self.scope = Scope(params, env, self._job_ids, self._outputs, groups=self._groups)
        for stage in pipeline.stages:
            self.note_groups(stage)

    def note_groups(self, stage: Stage) -> None:
        """Take in what the loops of a stage have become; no job is at work meanwhile."""
        for name, job_ids in stage.groups.items():
            self._groups[name] = job_ids
            self._job_ids |= {name, *job_ids}
            if name in self._wanted:
                self._wanted.update(job_ids)

    def is_wanted(self, job_id: str) -> bool:
        """Whether a job refers to the output of another."""
        return job_id in self._wanted

    def keep(self, job_id: str, output: Any) -> None:
        """Keep the output of a job that succeeded, if another job refers to it.

        It is kept as JSON: whoever gets it gets a value of its own, as from the record.
        """
        if job_id in self._wanted:
            self._outputs[job_id] = orjson.dumps(output)


def references_of(job: Job, *, in_loop: bool = False) -> Iterator[Reference]:
    """All references of a job, in the order in which they are put in.

    Args:
        job: The job.
        in_loop: Whether it is in a loop, even if it does not say so itself.
    """
    in_loop = in_loop or job.loop is not None or job.item is not None
    yield from _references_of(job.action, in_loop=in_loop)
    yield from references_in(dict(job.env), in_loop=in_loop)
    yield from references_in(job.cwd, in_loop=in_loop)
    yield from references_in(job.idempotency_key, in_loop=in_loop)


def references_of_hooks(hooks: Hooks) -> Iterator[Reference]:
    """All references of hooks."""
    for hook in hooks.all:
        yield from _references_of(hook.action)


def _references_of(action: Action | Webhook, *, in_loop: bool = False) -> Iterator[Reference]:
    match action:
        case Shell():
            yield from references_in(action.line, in_loop=in_loop)
        case Command():
            yield from references_in(action.argv, in_loop=in_loop)
        case Call() | SubPipeline():
            yield from references_in(dict(action.arguments), in_loop=in_loop)
        case Webhook():
            yield from references_in(action.url)
            yield from references_in(dict(action.headers))


def outer_references(job: Job, loop: Loop | None = None) -> Iterator[Reference]:
    """The references of a job to what is outside its loop.

    What the loop's payload takes from outside counts as far as the job uses it.

    Args:
        job: The job, as written or made for an item.
        loop: The loop of its stage, if it has none of its own.
    """
    loop = job.loop or loop
    if loop is not None and isinstance(loop.over, str):
        yield from references_in(loop.over)
    payload = _payload(job, loop)
    used = set()
    for reference in references_of(job, in_loop=loop is not None):
        if reference.root == "payload" and payload is not None:
            used.add(reference.path[0])
        elif reference.root not in IN_LOOPS:
            yield reference
    for name, value in (payload or {}).items():
        if name in used:
            for reference in references_in(value, in_loop=True):
                if reference.root not in IN_LOOPS:
                    yield reference


def _payload(job: Job, loop: Loop | None) -> Mapping[str, Any] | None:
    if job.item is not None:
        return job.item.payload
    return None if loop is None else loop.payload


def all_outer_references(stage: Stage) -> Iterator[tuple[Job, Reference]]:
    """The references of a stage's jobs to what is outside their loops."""
    for job in stage.jobs:
        for reference in outer_references(job, stage.loop):
            yield job, reference


def scope_of(job: Job, scope: Scope) -> Scope:
    """What the references of one job stand for: in a loop also its item, and its payload.

    Raises:
        ReferenceFailedError: A reference of the payload stands for nothing.
    """
    if job.item is None:
        return scope
    inner = replace(scope, loop=_loop_values(job.item))
    if job.item.payload is None:
        return inner
    payload = data_of(dict(job.item.payload), inner)
    return replace(inner, loop={**inner.loop, "payload": payload})


def _shown_scope(job: Job, scope: Scope) -> Scope:
    if job.item is None:
        return scope
    inner = replace(scope, loop=_loop_values(job.item))
    if job.item.payload is None:
        return inner
    payload = shown(dict(job.item.payload), inner)
    return replace(inner, loop={**inner.loop, "payload": payload})


def _loop_values(item: Item) -> dict[str, Any]:
    return {"item": item.value, **({"matrix": item.value} if item.is_matrix else {})}


def bound(job: Job, scope: Scope) -> Job:
    """The job with values where its references were.

    Raises:
        ReferenceFailedError: One stands for nothing, or for what cannot stand there.
    """
    scope = scope_of(job, scope)
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
        case SubPipeline():
            arguments = data_of(dict(job.action.arguments), scope)
            payload = scope.loop.get("payload", {})
            taken = parameters_of(job.action.pipeline).keys() & payload.keys()
            given = {name: payload[name] for name in sorted(taken)}
            action = replace(job.action, arguments={**given, **arguments})
        case Broken():
            action = job.action
    env = {name: text_of(value, scope) for name, value in job.env.items()}
    cwd = None if job.cwd is None else text_of(job.cwd, scope)
    if not variables and (action, env, cwd) == (job.action, job.env, job.cwd):
        return job
    return replace(job, action=action, env={**env, **variables}, cwd=cwd)


def shown_job(job: Job, scope: Scope, mask: Mask) -> Job:
    """The job for people, with its parameters and its item in it, and without secrets.

    Other references stay as they are written.
    """
    scope = _shown_scope(job, scope)

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
        case SubPipeline():
            arguments = shown(dict(job.action.arguments), scope)
            action = replace(job.action, arguments=mask.data(arguments))
        case Broken():
            action = job.action
    env = {name: text(value) for name, value in job.env.items()}
    cwd, key = (None if each is None else text(each) for each in (job.cwd, job.idempotency_key))
    return replace(job, action=action, env=env, cwd=cwd, idempotency_key=key)


def parameters_of(pipeline: Pipeline) -> dict[str, Parameter]:
    """The parameters that a pipeline takes: those it declares, and those taken as payload."""
    of_jobs = (each for stage in pipeline.stages for _, each in all_outer_references(stage))
    payload = {
        str(reference.path[0])
        for reference in (*of_jobs, *references_of_hooks(pipeline.hooks))
        if reference.root == "payload"
    }
    lists = {
        str(reference.path[0])
        for loop in loops_of(pipeline)
        if isinstance(loop.over, str)
        and (reference := only_reference(loop.over)) is not None
        and reference.root == "payload"
        and len(reference.path) == 1
    }
    return {
        **pipeline.params,
        **{
            name: Parameter("list" if name in lists else "any")
            for name in sorted((payload | lists) - pipeline.params.keys())
        },
    }


def params_of(job: Job, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a job uses, with their values; those not given are null."""
    used = {
        str(reference.path[0])
        for reference in outer_references(job)
        if reference.root in {"params", "payload"}
    }
    return {name: params.get(name) for name in sorted(used)}


def item_of(job: Job) -> dict[str, Any]:
    """What a job takes from its item, by how that is written; empty outside loops."""
    if job.item is None:
        return {}
    found = {}
    payload = job.item.payload
    scope = Scope(loop=_loop_values(job.item))
    for reference in references_of(job):
        if reference.root == "payload" and payload is not None:
            found[reference.text] = shown(payload.get(str(reference.path[0])), scope)
        elif reference.root in IN_LOOPS:
            found[reference.text] = (
                value_of(reference, scope) if is_known(reference, scope) else None
            )
    return found


def digest(job: Job, params: Mapping[str, Any]) -> str:
    """What a job does with these parameters, as a digest."""
    return job.sha256(params_of(job, params), item_of(job))


def digests(pipeline: Pipeline, params: Mapping[str, Any]) -> dict[str, str]:
    """What each job does with these parameters, as a digest by its id."""
    return {job.id: digest(job, params) for job in pipeline.jobs}


def loops_of(pipeline: Pipeline) -> Iterator[Loop]:
    """The loops that are still to be unfolded."""
    for stage in pipeline.stages:
        if stage.loop is not None:
            yield stage.loop
        yield from (job.loop for job in stage.jobs if job.loop is not None)


def jobs_referred_to(pipeline: Pipeline, but: Collection[str] = ()) -> set[str]:
    """The jobs whose output another job takes: as written, and those made of them.

    Args:
        pipeline: The pipeline.
        but: Jobs that take nothing, since they do not run.
    """
    job_ids = {job.id for job in pipeline.jobs}
    for stage in pipeline.stages:
        job_ids |= stage.groups.keys()
    found = (
        job_named(reference, job_ids)
        for stage in pipeline.stages
        for job, reference in all_outer_references(stage)
        if reference.root == "run" and job.id not in but
    )
    named = {each[0] for each in found if each is not None}
    groups = {name: made for stage in pipeline.stages for name, made in stage.groups.items()}
    return named.union(*(groups.get(name, ()) for name in named))


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
    if reference.root in _KNOWN_BEFORE or reference.root in IN_LOOPS:
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
    skipped = {*left_out}
    for stage in pipeline.stages:
        job_ids |= stage.groups.keys()
        skipped |= {name for name, of in stage.groups.items() if not {*of}.isdisjoint(skipped)}
    earlier: set[str] = set()
    mistakes = []
    for stage in pipeline.stages:
        known = Known(pipeline.params, job_ids, earlier, env, left_out=skipped)
        found: dict[tuple[str, str], None] = {}
        for job, reference in all_outer_references(stage):
            if job.id not in left_out and (mistake := mistake_in(reference, known)):
                found[job.id, mistake] = None
        for job in stage.jobs:
            in_loop = job.loop is not None or job.item is not None or stage.loop is not None
            for reference in references_in(job.idempotency_key, in_loop=in_loop):
                if job.id not in left_out and (mistake := mistake_in_key(reference)):
                    found[job.id, mistake] = None
            if job.idempotency_key is not None and _is_over_output(job.loop or stage.loop):
                found[job.id, _NO_KEY_YET] = None
        mistakes += [f"job {job_id!r}: {mistake}" for job_id, mistake in found]
        mistakes += _mistakes_inside(stage, env, left_out)
        earlier = earlier | {job.id for job in stage.jobs} | stage.groups.keys()
    of_hooks = references_of_hooks(pipeline.hooks)
    in_hooks = dict.fromkeys(mistake_in_hook(each, pipeline.params, env) for each in of_hooks)
    mistakes += [f"a hook: {mistake}" for mistake in in_hooks if mistake]
    if mistakes:
        raise UnknownReferenceError(mistakes)


def _is_over_output(loop: Loop | None) -> bool:
    if loop is None or not isinstance(loop.over, str):
        return False
    reference = only_reference(loop.over)
    return reference is not None and reference.root == "run"


def _mistakes_inside(
    stage: Stage, env: Mapping[str, str], left_out: Collection[str]
) -> Iterator[str]:
    """What is wrong in the pipelines that are jobs of a stage."""
    for job in stage.jobs:
        if isinstance(job.action, SubPipeline) and job.id not in left_out:
            given = {*job.action.arguments, *(_payload(job, job.loop or stage.loop) or ())}
            for name, parameter in job.action.pipeline.params.items():
                if parameter.required and name not in given:
                    yield f"job {job.id!r}: parameter {name} must be given, in with"
            try:
                check_references(job.action.pipeline, env)
            except UnknownReferenceError as error:
                for mistake in error.mistakes:
                    yield f"job {job.id!r}, pipeline {job.action.pipeline.id!r}: {mistake}"
