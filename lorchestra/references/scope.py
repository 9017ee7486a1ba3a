"""What references stand for, and what is wrong with them before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from lorchestra.references.template import Part, Reference, parse
from lorchestra.wording import did_you_mean, near, quoted

IN_LOOPS = ("item", "matrix")


class ReferenceFailedError(ValueError):
    """A reference stands for nothing; the text says which, and why."""

    def __init__(self, reference: Reference, reason: str) -> None:
        super().__init__(reference, reason)
        self.reference = reference
        self.reason = reason

    def __str__(self) -> str:
        return f"{quoted(self.reference.text)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Scope:
    """What the references of a job stand for while its run goes on.

    Attributes:
        params: The parameters of the run.
        env: The environment.
        job_ids: All jobs of the pipeline.
        outputs: What jobs that succeeded left as output, as JSON, by job; filled while the run
            goes on.
        loop: Inside a loop its `item`, `payload` and `matrix`; empty elsewhere.
        groups: Of each loop, by the id of its job as written, the jobs in the order of the items;
            filled while the run goes on.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    job_ids: Collection[str] = ()
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def in_loop(self) -> bool:
        """Whether there is an item."""
        return "item" in self.loop


@dataclass(frozen=True, slots=True)
class Known:
    """What can be known of references before anything runs.

    Attributes:
        params: The names of the parameters.
        job_ids: All jobs of the pipeline.
        earlier: Those of earlier stages.
        env: The environment; None: it is not known yet.
        loop: Which of `item`, `matrix` there are here.
        left_out: Jobs that do not run this time.
        fields: The fields that every item has; None: that is not known.
    """

    params: Collection[str] = ()
    job_ids: Collection[str] = ()
    earlier: Collection[str] = ()
    env: Mapping[str, str] | None = None
    loop: Collection[str] = ()
    left_out: Collection[str] = ()
    fields: Collection[str] | None = None


def mistake_in(reference: Reference, known: Known) -> str | None:
    """What is wrong with a reference; None: nothing that can be known yet."""
    mistake = _mistake(reference, known)
    return mistake and f"{quoted(reference.text)}: {mistake}"


def _mistake(reference: Reference, known: Known) -> str | None:
    name = reference.path[0] if reference.path else ""
    match reference.root:
        case "params" if name not in known.params:
            guesses = did_you_mean(near(str(name), known.params))
            return f"unknown parameter {quoted(str(name))}{guesses}"
        case "env" if known.env is not None and name not in known.env:
            return f"the environment variable {name} is not set"
        case "run":
            return _mistaken_job(reference, known)
        case "item" | "matrix" if reference.root not in known.loop:
            return f"{reference.root} is only there inside a loop"
        case "item" | "matrix" if name and known.fields is not None and name not in known.fields:
            guesses = did_you_mean(near(str(name), known.fields))
            return f"the matrix has no {quoted(str(name))}{guesses}"
    return None


def _mistaken_job(reference: Reference, known: Known) -> str | None:
    found = job_named(reference, known.job_ids)
    if found is None:
        name = str(reference.path[0])
        guesses = did_you_mean(near(name, known.earlier))
        return f"there is no job {quoted(name)} in this pipeline{guesses}"
    if found[0] not in known.earlier:
        return f"job {quoted(found[0])} is not in an earlier stage, so its output is not there yet"
    if found[0] in known.left_out:
        return f"job {quoted(found[0])} is not selected, so its output is not there"
    return None


def job_named(
    reference: Reference, job_ids: Collection[str]
) -> tuple[str, tuple[Part, ...]] | None:
    """The job whose output a reference means, and the way into that output.

    Of `@run.a.b.c` the longest job id counts that there is: `a.b.c`, `a.b`, then `a`. A name in
    brackets is a whole job id. None: there is no such job.
    """
    path = reference.path
    names = next((n for n, part in enumerate(path) if not isinstance(part, str)), len(path))
    for count in range(1 if reference.is_exact else names, 0, -1):
        name = ".".join(map(str, path[:count]))
        if name in job_ids:
            return name, path[count:]
    return None


def value_of(reference: Reference, scope: Scope) -> Any:
    """What a reference stands for, a value of its own.

    Raises:
        ReferenceFailedError: There is no such thing.
    """
    root, path = reference.root, reference.path
    if root == "env":
        return _variable(reference, scope)
    if root == "run":
        return _output(reference, scope)
    # Copies: what one function does to its argument must not reach another's.
    if root == "payload":
        return copy.deepcopy(_given(scope.loop.get("payload", scope.params), path))
    if root == "params":
        return copy.deepcopy(_walk(reference, scope.params, path))
    if root in scope.loop:
        return copy.deepcopy(_walk(reference, scope.loop[root], path))
    raise ReferenceFailedError(reference, f"{root} is only there inside a loop")


def text_of(text: str, scope: Scope) -> str:
    """A text for another program, with the values of its references in it.

    A value that is text stands there as it is, null as nothing, any other as JSON.

    Raises:
        ReferenceFailedError: One stands for nothing, or for what no program can be given.
    """
    return "".join(
        part if isinstance(part, str) else text_for_program(part, scope)
        for part in parse(text, in_loop=scope.in_loop).parts
    )


def data_of(data: Any, scope: Scope) -> Any:
    """A value with the values of its references in it, at any depth.

    A text that is one `@` reference becomes what that stands for.

    Raises:
        ReferenceFailedError: One stands for nothing.
    """
    if isinstance(data, str):
        template = parse(data, in_loop=scope.in_loop)
        if template.is_whole:
            return value_of(template.references[0], scope)
        return "".join(
            part if isinstance(part, str) else written(value_of(part, scope))
            for part in template.parts
        )
    if isinstance(data, dict):
        return {key: data_of(value, scope) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [data_of(value, scope) for value in data]
    return data


def shown(data: Any, scope: Scope) -> Any:
    """A value as `data_of` gives it, for people: only parameters and items are put in.

    What is known when the run goes on, and what the environment holds, stays as it is written.
    """
    if isinstance(data, str):
        template = parse(data, in_loop=scope.in_loop)
        if template.is_whole:
            reference = template.references[0]
            return value_of(reference, scope) if is_known(reference, scope) else data
        return "".join(shown_part(part, scope) for part in template.parts)
    if isinstance(data, dict):
        return {key: shown(value, scope) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [shown(value, scope) for value in data]
    return data


def shown_part(part: str | Reference, scope: Scope) -> str:
    """A part of a text, for people."""
    if isinstance(part, str):
        return part
    return written(value_of(part, scope)) if is_known(part, scope) else part.text


def is_known(reference: Reference, scope: Scope) -> bool:
    """Whether a reference stands for what is known before the run: a parameter, or an item."""
    if reference.root not in {"params", "payload", *scope.loop}:
        return False
    try:
        value_of(reference, scope)
    except ReferenceFailedError:
        return False
    return True


def written(value: Any) -> str:
    """A value inside a text: text as it is, null as nothing, any other as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def text_for_program(reference: Reference, scope: Scope) -> str:
    """What a reference stands for, as text that a program can be given.

    Raises:
        ReferenceFailedError: It stands for nothing, or has a NUL byte.
    """
    text = written(value_of(reference, scope))
    if "\0" in text:
        raise ReferenceFailedError(reference, "it has a NUL byte, which no program can be given")
    return text


def _variable(reference: Reference, scope: Scope) -> str:
    name = str(reference.path[0])
    value = scope.env.get(name)
    if value is None:
        raise ReferenceFailedError(reference, f"the environment variable {name} is not set")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ReferenceFailedError(reference, f"{name} is not valid UTF-8 text") from None
    return value


def _output(reference: Reference, scope: Scope) -> Any:
    found = job_named(reference, scope.job_ids)
    if found is None:
        raise ReferenceFailedError(reference, "there is no such job in this pipeline")
    job_id, path = found
    if job_id in scope.groups:
        outputs = (scope.outputs.get(each) for each in scope.groups[job_id])
        listed = [None if output is None else orjson.loads(output) for output in outputs]
        return _walk(reference, listed, path, f"the outputs of job {quoted(job_id)}")
    output = scope.outputs.get(job_id)
    if output is None:
        raise ReferenceFailedError(
            reference, f"job {quoted(job_id)} left no output, or did not succeed"
        )
    return _walk(reference, orjson.loads(output), path, f"the output of job {quoted(job_id)}")


def _walk(
    reference: Reference, value: Any, path: tuple[Part, ...], where: str | None = None
) -> Any:
    where = where or reference.root
    for part in path:
        try:
            value = _step(value, part)
        except LookupError:
            raise ReferenceFailedError(reference, _nothing_there(value, part, where)) from None
        where = f"{where}[{part}]" if isinstance(part, int) else f"{where}.{part}"
    return value


def _given(value: Any, path: tuple[Part, ...]) -> Any:
    """What was given; None: it was not."""
    for part in path:
        try:
            value = _step(value, part)
        except LookupError:
            return None
    return value


def _step(value: Any, part: Part) -> Any:
    if isinstance(value, Mapping) and isinstance(part, str):
        return value[part]
    if isinstance(value, list) and (isinstance(part, int) or (part.isascii() and part.isdigit())):
        return value[int(part)]
    raise LookupError(part)


def _nothing_there(value: Any, part: Part, where: str) -> str:
    name = f"item {part}" if isinstance(part, int) else f"field {quoted(part)}"
    if isinstance(value, Mapping):
        return f"{where} has no {name}{did_you_mean(near(str(part), map(str, value)))}"
    if isinstance(value, list):
        return f"{where} is a list of {len(value)} and has no {name}"
    return f"{where} is no object and no list, so it has no {name}"
