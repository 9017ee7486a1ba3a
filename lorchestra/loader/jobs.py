"""From a mapping to a job: exactly one action, and what it runs in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.files import name_of
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.model import Action, Call, Command, Job, Shell
from lorchestra.wording import quoted

LONGEST_ID_BYTES = 10_000
JOB_KEYS = ("run", "command", "call", "with", "env", "cwd", "description")


def read_job(
    node: MapNode, job_id: str | None, problems: Problems, source: Path, id_key: str | None = None
) -> Job | None:
    """Read what a job does.

    Args:
        node: The mapping.
        job_id: The id; None if it is mistaken, which has been noted.
        problems: Where mistakes are noted.
        source: The file that the mapping stands in.
        id_key: The key that the id was read from, if it stands in the mapping.

    Returns:
        The job; None if anything is wrong with it.

    Numbers, `true` and `false` without quotes are taken as they are written in `run`, in the
    elements of `command` and in the values of `env`, because a program gets nothing but text:
    `PORT: 8080` is "8080", `DEBUG: true` is "true". Empty ones and `null` are mistakes.
    """
    before = len(problems)
    fields = Fields(node, JOB_KEYS if id_key is None else (id_key, *JOB_KEYS), problems)
    action = _action(fields)
    env = _env(fields)
    cwd = fields.read("cwd", values.filled)
    description = fields.read("description", values.text)
    if job_id is None or action is None or len(problems) > before:
        return None
    return Job(job_id, action, env, cwd, description or "", source)


def read_job_file(document: Node, source: Path, problems: Problems) -> Job | None:
    """Read a file that holds one job, whose id is the name of the file.

    Args:
        document: What the file holds.
        source: The file.
        problems: Where mistakes are noted.

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
    if given and problems.check(job_id, given.value, "job_id") not in {None, name}:
        must = f"job_id must be the name of the file, {quoted(name)}, or be left out"
        problems.add(given.value, must)
    return read_job(node, name, problems, source, id_key="job_id")


def job_id(node: Node, what: str) -> str:
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


def _action(fields: Fields) -> Action | None:
    given = [name for name in fields.node.entries if name in _ACTIONS]
    if not given:
        fields.problems.add(fields.node, "a job needs one of run, command or call")
    for name in given[1:]:
        first = f"{given[0]} in line {fields.key(given[0]).line}"
        fields.problems.add(fields.key(name), f"a job has one action: {name} is beside {first}")
    if "with" in fields and "call" not in fields:
        fields.problems.add(fields.key("with"), "with may only stand beside call")
    actions = [_ACTIONS[name](fields) for name in given]
    return actions[0] if len(actions) == 1 else None


def _shell(fields: Fields) -> Shell | None:
    line = fields.read("run", values.filled)
    return None if line is None else Shell(line)


def _command(fields: Fields) -> Command | None:
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


def _call(fields: Fields) -> Call | None:
    target = fields.read("call", _target)
    arguments = _arguments(fields)
    return None if target is None else Call(target, arguments)


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
        arguments[name] = _data(value, fields.problems)
    return arguments


def _data(node: Node, problems: Problems) -> Any:
    match node:
        case MapNode():
            return {key: _data(entry.value, problems) for key, entry in node.entries.items()}
        case ListNode():
            return [_data(item, problems) for item in node.items]
        case ScalarNode():
            return problems.check(values.single, node, "with")


def _env(fields: Fields) -> dict[str, str]:
    node = fields.read("env", values.mapping)
    env = {}
    for name, (key, value) in node.entries.items() if node else ():
        if not name or "=" in name or "\0" in name:
            wrong = f"{quoted(name)} in env cannot be the name of an environment variable"
            fields.problems.add(key, wrong)
        env[name] = fields.problems.check(values.written, value, f"{name} in env") or ""
    return env


_ACTIONS: dict[str, Callable[[Fields], Action | None]] = {
    "run": _shell,
    "command": _command,
    "call": _call,
}
