"""From `params` to the parameters of a pipeline."""

from __future__ import annotations

import re
from typing import Any, cast

from lorchestra.loader import values
from lorchestra.loader.data import data
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import Entry, MapNode, Node, described
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.model import Parameter, ParameterType
from lorchestra.params import KINDS, type_of, value_mistake
from lorchestra.wording import did_you_mean, near, quoted

PARAM_KEYS = ("type", "default", "required", "choices", "description")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def read_params(fields: Fields) -> dict[str, Parameter]:
    """Read the parameters of a pipeline: for each a default, or a mapping that says more.

    Args:
        fields: The keys of the pipeline.

    Returns:
        The parameters by name; of one that is mistaken as much as could be read.
    """
    node = fields.read("params", values.mapping)
    params = {}
    for name, (key, value) in node.entries.items() if node else ():
        if not _NAME.fullmatch(name):
            wrong = f"the parameter {quoted(name)} must be letters, digits, _ and -"
            fields.problems.add(key, f"{wrong}, and begin with a letter")
        params[name] = _param(value, fields.problems, f"parameter {name}")
    return params


def _param(node: Node, problems: Problems, what: str) -> Parameter:
    if isinstance(node, MapNode):
        return _full(Fields(node, PARAM_KEYS, problems), what)
    default = data(node, problems, what)
    return Parameter(type_of(default), default)


def _full(fields: Fields, what: str) -> Parameter:
    problems = fields.problems
    default = _read_data(fields, "default", what)
    listed = fields.read("choices", values.listing)
    items = listed.items if listed else []
    choices = [data(item, problems, f"a choice of {what}") for item in items]
    if listed is not None and not listed.items:
        problems.add(listed, f"choices of {what} must not be empty")
    examples = [value for value in (default, *choices) if value is not None]
    kind = fields.read("type", _type) or (type_of(examples[0]) if examples else "string")
    required = bool(fields.read("required", values.flag))
    description = fields.read("description", values.text) or ""
    if required and "default" in fields:
        problems.add(fields.key("default"), f"{what} is required, so it has no default")
        required = False
    parameter = Parameter(kind, default, required, (), description)
    for item, choice in zip(items, choices, strict=True):
        if choice is None or value_mistake(parameter, choice):
            problems.add(item, f"a choice of {what} must be {KINDS[kind]}, not {described(item)}")
    parameter = Parameter(kind, default, required, tuple(choices), description)
    if default is not None and (mistake := value_mistake(parameter, default)):
        problems.add(fields.node.entries["default"].value, f"the default of {what} {mistake}")
    return parameter


def _read_data(fields: Fields, name: str, what: str) -> Any:
    entry: Entry | None = fields.node.entries.get(name)
    return data(entry.value, fields.problems, f"the {name} of {what}") if entry else None


def _type(node: Node, what: str) -> ParameterType:
    name = values.text(node, what)
    if name not in KINDS:
        known = ", ".join(KINDS)
        guesses = did_you_mean(near(name, KINDS))
        raise Mistake(node, f"{what} must be one of {known}, not {quoted(name)}{guesses}")
    return cast(ParameterType, name)
