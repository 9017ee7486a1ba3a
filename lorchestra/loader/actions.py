"""From the keys of a job to its action: a shell line, a command, or a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lorchestra.loader import values
from lorchestra.loader.data import data
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import Node
from lorchestra.loader.problems import Mistake
from lorchestra.model import Action, Call, Command, Shell
from lorchestra.wording import quoted

ACTION_KEYS = ("run", "command", "call", "with")


def read_action(fields: Fields) -> Action | None:
    """Read what a job does: exactly one of `run`, `command` and `call` with `with`.

    Args:
        fields: The keys of the job.

    Returns:
        The action; None if there is none or more than one. What is mistaken in it has been noted
        and is left out.
    """
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
        arguments[name] = data(value, fields.problems, "with")
    return arguments


_ACTIONS: dict[str, Callable[[Fields], Action | None]] = {
    "run": _shell,
    "command": read_command,
    "call": _call,
}
