"""The parameters of a run: given as text or values, checked against what the pipeline takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from lorchestra.errors import ParameterError
from lorchestra.jsonvalues import INTEGERS, parsed_json
from lorchestra.masking import MASKED
from lorchestra.model import Parameter, ParameterType
from lorchestra.wording import did_you_mean, near, quoted

KINDS: Mapping[ParameterType, str] = {
    "string": "text",
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "list": "a list",
}
# Python's own int() and float() take 1_000 and the digits of every script.
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")


def parsed_params(known: Mapping[str, Parameter], given: Iterable[str]) -> dict[str, Any]:
    """Read parameters as they are given on a command line, `NAME=VALUE` each.

    Args:
        known: The parameters that there are.
        given: Those that are given.

    Raises:
        ParameterError: One is unknown, given twice, or not of its type; it lists all mistakes.
    """
    values: dict[str, Any] = {}
    mistakes = []
    for item in given:
        name, equals, text = item.partition("=")
        if not equals:
            mistakes.append(f"a parameter is given as NAME=VALUE, not {quoted(item)}")
        elif name not in known:
            mistakes.append(_unknown(name, known))
        elif name in values:
            mistakes.append(f"parameter {quoted(name)} is given twice")
        else:
            try:
                values[name] = _PARSERS[known[name].type](text)
            except ValueError:
                expected = KINDS.get(known[name].type, "text")
                mistakes.append(f"parameter {name} must be {expected}, not {quoted(text)}")
    if mistakes:
        raise ParameterError(mistakes)
    return values


def param_values(known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run: what was given, and defaults for what was not.

    Args:
        known: The parameters that there are.
        given: Values by name.

    Raises:
        ParameterError: One is unknown, missing, of another type, or none of its choices; it lists
            all mistakes.
    """
    mistakes = _mistakes(known, given)
    mistakes += [
        f"parameter {name} must be given"
        for name, parameter in known.items()
        if parameter.required and name not in given
    ]
    if mistakes:
        raise ParameterError(mistakes)
    return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def refuse_values(known: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """Refuse values that a pipeline does not take; others may be missing yet.

    Args:
        known: The parameters that there are.
        given: Values by name.

    Raises:
        ParameterError: One is unknown, of another type, or none of its choices; it lists all.
    """
    if mistakes := _mistakes(known, given):
        raise ParameterError(mistakes)


def _mistakes(known: Mapping[str, Parameter], given: Mapping[str, Any]) -> list[str]:
    mistakes = [_unknown(name, known) for name in given if name not in known]
    for name, parameter in known.items():
        mistake = value_mistake(parameter, given[name]) if name in given else None
        mistakes += [f"parameter {name} {mistake}"] if mistake else []
    return mistakes


def value_mistake(parameter: Parameter, value: Any) -> str | None:
    """What is wrong with a value for a parameter, as the end of a sentence; None: nothing is.

    Null is a value for each that is not required.
    """
    if value is None:
        return "must not be null" if parameter.required else None
    if not _is_of_type(value, parameter.type):
        return f"must be {KINDS.get(parameter.type, 'JSON')}, not {quoted(str(value))}"
    if parameter.choices and value not in parameter.choices:
        choices = ", ".join(map(str, parameter.choices))
        guesses = did_you_mean(near(str(value), map(str, parameter.choices)))
        return f"must be one of {choices}, not {quoted(str(value))}{guesses}"
    return None


def type_of(value: Any) -> ParameterType:
    """The type of a parameter of which only a default is known; text where that is null."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "number"
    return "list" if isinstance(value, list) else "string"


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    guesses = did_you_mean(near(name, known)) if known else "; the pipeline takes none"
    return f"unknown parameter {quoted(name)}{guesses}"


def _text(text: str) -> str:
    text.encode()  # raises for halves of characters, which no record takes
    return text


def _bool(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _int(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _list(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        value: list[Any] = parsed_json(text.encode())
        return value
    return _text(text).split(",") if text else []


_PARSERS: Mapping[ParameterType, Callable[[str], Any]] = {
    "string": _text,
    "int": _int,
    "number": _number,
    "bool": _bool,
    "list": _list,
    "any": _text,
}


def _is_of_type(value: Any, kind: ParameterType) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str) and _is_json(value)
        case "list":
            return isinstance(value, list) and _is_json(value)
        case "any":
            return _is_json(value)
        case "int":
            return _is_integer(value)
        case "number":
            return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in INTEGERS


def _is_json(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def resumed_params(
    known: Mapping[str, Parameter], begin: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of a resume: those given, else those that the run had, else the defaults.

    Args:
        known: The parameters that the pipeline takes.
        begin: The first record of the run so far.
        given: What was given for the resume.

    Raises:
        ParameterError: The pipeline does not take what is given, or needs more: what held a secret
            is not in the record.
    """
    recorded = begin.get("params")
    before = recorded if isinstance(recorded, dict) else {}
    kept = {name: value for name, value in before.items() if name in known}
    hidden = [name for name, value in kept.items() if name not in given and MASKED in str(value)]
    if hidden:
        raise ParameterError(
            [f"the parameter {quoted(name)} held a secret: give it again" for name in hidden]
        )
    return param_values(known, {**kept, **given})
