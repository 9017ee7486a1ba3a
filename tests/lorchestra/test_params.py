"""The parameters of a run: read by their type, and checked."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.errors import ParameterError
from lorchestra.model import Parameter, ParameterType
from lorchestra.params import param_values, parsed_params

KNOWN = {
    "day": Parameter("string", "2026-01-01"),
    "count": Parameter("int", 1),
    "rate": Parameter("number", 1.5),
    "full": Parameter("bool", False),
    "names": Parameter("list", []),
    "level": Parameter("string", "low", choices=("low", "high")),
}


@pytest.mark.parametrize(
    ("given_", "value"),
    [
        ("day=2026-11-24", "2026-11-24"),
        ("day=", ""),
        ("day=a=b", "a=b"),
        ("day=007", "007"),
        ("count=-12", -12),
        ("rate=2", 2),
        ("rate=2.50", 2.5),
        ("rate=1e-3", 0.001),
        ("full=true", True),
        ("full=False", False),
        ("names=a,b", ["a", "b"]),
        ("names=a", ["a"]),
        ("names=", []),
        ('names=[1,"a,b",null]', [1, "a,b", None]),
        ("level=high", "high"),
    ],
)
def test_a_value_is_read_by_its_type(given_: str, value: Any) -> None:
    name = given_.partition("=")[0]
    values = param_values(KNOWN, parsed_params(KNOWN, [given_]))
    assert values[name] == value
    assert type(values[name]) is type(value)


def test_what_is_not_given_has_its_default() -> None:
    defaults = {name: parameter.default for name, parameter in KNOWN.items()}
    assert param_values(KNOWN, {}) == defaults


@pytest.mark.parametrize(
    ("given_", "mistake"),
    [
        ("dya=x", "unknown parameter 'dya' (did you mean day?)"),
        ("day", "a parameter is given as NAME=VALUE, not 'day'"),
        ("count=1_000", "parameter count must be a whole number, not '1_000'"),
        ("count=1.5", "parameter count must be a whole number, not '1.5'"),
        ("count=٣", "must be a whole number"),
        ("count=99999999999999999999", "must be a whole number"),
        ("rate=nan", "parameter rate must be a number, not 'nan'"),
        ("rate=inf", "must be a number"),
        ("rate=1e999", "must be a number"),
        ("full=yes", "parameter full must be true or false, not 'yes'"),
        ("names=[1", "parameter names must be a list, not '[1'"),
        ("names=[99999999999999999999]", "parameter names must be a list, not"),
        ("level=hihg", "must be one of low, high, not 'hihg' (did you mean high?)"),
        ("day=\udcff", "parameter day must be text"),
    ],
)
def test_what_is_no_value_is_refused(given_: str, mistake: str) -> None:
    with pytest.raises(ParameterError) as caught:
        param_values(KNOWN, parsed_params(KNOWN, [given_]))
    assert mistake in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        parsed_params(KNOWN, ["x=1", "count=x", "day=1", "day=2"])
    assert len(caught.value.mistakes) == 3
    assert "parameter 'day' is given twice" in caught.value.mistakes


def test_what_is_required_must_be_given_and_not_be_null() -> None:
    known = {"day": Parameter(required=True)}
    with pytest.raises(ParameterError, match="parameter day must be given"):
        param_values(known, {})
    with pytest.raises(ParameterError, match="parameter day must not be null"):
        param_values(known, {"day": None})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("int", True),
        ("int", 1.0),
        ("int", 2**64),
        ("number", float("nan")),
        ("number", "1"),
        ("bool", 1),
        ("list", ("a",)),
        ("list", [object()]),
    ],
)
def test_code_must_give_values_of_the_type_too(kind: ParameterType, value: Any) -> None:
    with pytest.raises(ParameterError):
        param_values({"x": Parameter(kind)}, {"x": value})
    assert param_values({"x": Parameter(kind)}, {"x": None}) == {"x": None}


@given(st.sampled_from(sorted(KNOWN)), st.text())
def test_any_text_is_a_value_or_a_mistake(name: str, text: str) -> None:
    with contextlib.suppress(ParameterError):
        assert param_values(KNOWN, parsed_params(KNOWN, [f"{name}={text}"])).keys() == KNOWN.keys()
