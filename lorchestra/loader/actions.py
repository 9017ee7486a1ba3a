"""From the keys of a job to its action: a shell line, a command, a call, or a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lorchestra.binding import parameters_of
from lorchestra.errors import ReferenceSyntaxError
from lorchestra.loader import values
from lorchestra.loader.data import data
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import MapNode, Node
from lorchestra.loader.problems import Mistake, Place, Problems
from lorchestra.model import Action, Call, Command, Pipeline, Shell, SubPipeline
from lorchestra.params import value_mistake
from lorchestra.references import references_in
from lorchestra.wording import did_you_mean, near, quoted

ACTION_KEYS = ("run", "command", "call", "pipeline", "with")


class InnerPipelineError(ValueError):
    """A pipeline that is to be a job is not there, or cannot be; the text says why."""


class PipelineLibrary(Protocol):
    """Where pipelines are found that are jobs of others."""

    def has_pipeline(self, name: str) -> bool:
        """Whether there is one of this name, or at this path."""

    def pipeline(self, name: str) -> Pipeline | None:
        """Read it; None if it says nothing. Raises InnerPipelineError when that cannot be."""


def read_action(fields: Fields, library: PipelineLibrary) -> Action | None:
    """Read what a job does: one of `run`, `command`, and `call` and `pipeline` with `with`.

    Args:
        fields: The keys of the job.
        library: Where pipelines are found.

    Returns:
        The action; None if there is none or more than one. What is mistaken in it has been noted
        and is left out.
    """
    given = [name for name in fields.node.entries if name in _ACTIONS]
    if not given:
        fields.problems.add(fields.node, "a job needs one of run, command, call or pipeline")
    for name in given[1:]:
        first = f"{given[0]} in line {fields.key(given[0]).line}"
        fields.problems.add(fields.key(name), f"a job has one action: {name} is beside {first}")
    if "with" in fields and "call" not in fields and "pipeline" not in fields:
        fields.problems.add(fields.key("with"), "with may only stand beside call or pipeline")
    actions = [_ACTIONS[name](fields, library) for name in given]
    return actions[0] if len(actions) == 1 else None


def inner_pipeline(
    name: str, place: Place, problems: Problems, library: PipelineLibrary
) -> Pipeline | None:
    """Read a pipeline that is a job; None, and a mistake, where that cannot be."""
    try:
        return library.pipeline(name)
    except InnerPipelineError as error:
        problems.add(place, str(error))
        return None


def _shell(fields: Fields, _library: PipelineLibrary) -> Shell | None:
    line = fields.read("run", values.filled)
    return None if line is None else Shell(line)


def _command(fields: Fields, _library: PipelineLibrary) -> Command | None:
    return read_command(fields)


def read_command(fields: Fields) -> Command | None:
    """Read a program and its arguments; None: there is none, or its name is mistaken."""
    node = fields.read("command", values.listing)
    if node is None:
        return None
    if not node.items:
        fields.problems.add(node, "command must not be empty")
        return None
    program, *arguments = node.items
    check = fields.problems.check
    words = [check(values.filled, program, "the first item of command")]
    words += [check(values.written, argument, "an item of command") for argument in arguments]
    return Command(tuple(word for word in words if word is not None))


def _call(fields: Fields, _library: PipelineLibrary) -> Call | None:
    target = fields.read("call", _target)
    arguments = _arguments(fields)
    return None if target is None else Call(target, arguments)


def _pipeline(fields: Fields, library: PipelineLibrary) -> SubPipeline | None:
    for key in ("env", "cwd", "isolation", "limits"):
        if key in fields:
            fields.problems.add(fields.key(key), f"{key} may not stand beside pipeline")
    name = fields.read("pipeline", values.filled)
    node = fields.read("with", values.mapping)
    if name is None:
        return None
    place = fields.node.entries["pipeline"].value
    pipeline = inner_pipeline(name, place, fields.problems, library)
    if pipeline is None:
        return None
    arguments = {} if node is None else _parameters(node, name, pipeline, fields.problems)
    return SubPipeline(name, pipeline, arguments)


def _parameters(node: MapNode, name: str, pipeline: Pipeline, problems: Problems) -> dict[str, Any]:
    known = parameters_of(pipeline)
    arguments = {}
    for parameter, (key, value) in node.entries.items():
        given = arguments[parameter] = data(value, problems, "with")
        if parameter not in known:
            guesses = did_you_mean(near(parameter, known)) if known else "; it takes none"
            wrong = f"pipeline {quoted(name)} has no parameter {quoted(parameter)}{guesses}"
            problems.add(key, wrong)
        elif not _refers(given) and (mistake := value_mistake(known[parameter], given)):
            problems.add(value, f"parameter {parameter} {mistake}")
    return arguments


def _refers(value: Any) -> bool:
    try:
        return any(references_in(value, in_loop=True))
    except ReferenceSyntaxError:
        return True  # which is noted elsewhere


def _target(node: Node, what: str) -> str:
    target = values.text(node, what)
    module, colon, function = target.partition(":")
    names = [*module.split("."), *function.split(".")]
    if not colon or not all(map(str.isidentifier, names)):
        raise Mistake(node, f"{what} must be package.module:function, not {quoted(target)}")
    return target


def _arguments(fields: Fields) -> dict[str, Any]:
    node = fields.read("with", values.mapping)
    arguments = {}
    for name, (key, value) in node.entries.items() if node else ():
        if not name.isidentifier():
            wrong = f"{quoted(name)} in with cannot be the name of a Python argument"
            fields.problems.add(key, wrong)
        arguments[name] = data(value, fields.problems, "with")
    return arguments


_ACTIONS: dict[str, Callable[[Fields, PipelineLibrary], Action | None]] = {
    "run": _shell,
    "command": _command,
    "call": _call,
    "pipeline": _pipeline,
}
