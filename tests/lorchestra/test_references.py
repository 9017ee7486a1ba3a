"""References: where they stand, what they stand for, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.errors import ReferenceSyntaxError
from lorchestra.references import (
    Known,
    ReferenceFailedError,
    Scope,
    data_of,
    job_named,
    mistake_in,
    parse,
    references_in,
    text_of,
)

JOBS = ("peek", "a", "a.b", "a.b.c", "with space")
OUTPUTS = {
    "peek": orjson.dumps({"items": [1, {"x": "deep"}], "n": 3, "no": None, "on": True}),
    "a.b": orjson.dumps({"c": "from a.b", "d": 4}),
    "with space": orjson.dumps({"of.all": "kept"}),
}
SCOPE = Scope(
    params={"day": "2026-11-24", "n": 7, "none": None, "full": True, "names": ["x", "y"]},
    env={"HOME": "/home/someone", "BAD": "\udcff"},
    job_ids=JOBS,
    outputs=OUTPUTS,
    loop={"item": {"x": 1}},
)


@pytest.mark.parametrize(
    "text",
    [
        *("", "plain", "${HOME}", "$${HOME}", "$HOME", "${run}", "${run[1]}", "${env:-x}"),
        *("${team.name}", "${x.y}", "@someone", "@team.x", "a@run.peek.n", "@run.me if you can"),
        *("$$", "{params.x}", "$ {params.x}", "@run", "${ params.x }"),
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert data_of(text, SCOPE) == text
    assert list(references_in(text)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@run.peek.items", [1, {"x": "deep"}]),
        ("@run.peek.items[1].x", "deep"),
        ("@run.peek.items.1.x", "deep"),
        ("@run.peek", orjson.loads(OUTPUTS["peek"])),
        ("@run.peek.no", None),
        ("@run.peek.on", True),
        ("@payload.n", 7),
        ("@payload.names[1]", "y"),
        ("@payload.never", None),
        ("@payload.never.given", None),
        ("@payload.names[9]", None),
        ("@params.n", 7),
        ("@env.HOME", "/home/someone"),
        ("@item.x", 1),
        ("${params.n}", "7"),
        ("<${run.peek.items}>", '<[1,{"x":"deep"}]>'),
        ("<${run.peek.on}|${params.none}|${params.full}>", "<true||true>"),
        ("${params.day}-${env.HOME}", "2026-11-24-/home/someone"),
        ("$${params.day}", "${params.day}"),
        ("$$${params.day}", "$${params.day}"),
        ("$${params.day} ${params.n}", "${params.day} 7"),
        ("@@run.peek.n", "@run.peek.n"),
        ("mail@run.peek", "mail@run.peek"),
    ],
)
def test_what_a_reference_stands_for(text: str, value: Any) -> None:
    assert data_of(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "job", "rest"),
    [
        ("@run.a.b.c", "a.b.c", ()),
        ("@run.a.b.d", "a.b", ("d",)),
        ("@run.a.x", "a", ("x",)),
        ("@run.a[0]", "a", (0,)),
        ('@run.["a"].b.c', "a", ("b", "c")),
        ('@run.["a.b"].c', "a.b", ("c",)),
        ('@run.["with space"]["of.all"]', "with space", ("of.all",)),
    ],
)
def test_of_job_ids_with_dots_the_longest_counts_unless_it_is_in_brackets(
    text: str, job: str, rest: tuple[object, ...]
) -> None:
    (reference,) = parse(text).references
    assert job_named(reference, JOBS) == (job, rest)


def test_values_are_put_in_at_any_depth_and_keys_are_left_alone() -> None:
    data = {"@run.peek.n": ["@run.peek.n", {"deep": "n=${run.peek.n}"}], "n": 1.5, "none": None}
    assert data_of(data, SCOPE) == {"@run.peek.n": [3, {"deep": "n=3"}], "n": 1.5, "none": None}


def test_who_gets_a_value_gets_one_of_its_own() -> None:
    for text in ("@payload.names", "@params.names", "@run.peek.items"):
        data_of(text, SCOPE).append("more")
        assert "more" not in data_of(text, SCOPE)


def test_what_is_put_in_is_not_looked_through_again() -> None:
    scope = Scope(params={"x": "${env.HOME} @run.a $${params.x}"}, env={"HOME": "/"})
    assert text_of("${params.x}", scope) == "${env.HOME} @run.a $${params.x}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@run.peek.item", "the output of job 'peek' has no field 'item' (did you mean items?)"),
        ("@run.peek.items[2]", "the output of job 'peek'.items is a list of 2 and has no item 2"),
        ("@run.peek.n.x", "the output of job 'peek'.n is no object and no list"),
        ("@run.a.x", "job 'a' left no output, or did not succeed"),
        ("@run.nobody.x", "there is no such job in this pipeline"),
        ("${params.dya}", "params has no field 'dya' (did you mean day?)"),
        ("${env.NOT_SET}", "the environment variable NOT_SET is not set"),
        ("${env.BAD}", "BAD is not valid UTF-8 text"),
        ("@matrix.x", "matrix is only there inside a loop"),
    ],
)
def test_what_stands_for_nothing_fails_and_says_why(text: str, reason: str) -> None:
    with pytest.raises(ReferenceFailedError) as caught:
        data_of(text, SCOPE)
    assert reason in str(caught.value)
    assert repr(text) in str(caught.value)


def test_a_program_can_be_given_no_nul_byte() -> None:
    with pytest.raises(ReferenceFailedError, match="NUL byte"):
        text_of("${params.x}", Scope(params={"x": "a\0b"}))


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("${parms.x}", "unknown reference ${parms...* (did you mean params?)"),
        ("@items.x", "unknown reference @items...* (did you mean item?)"),
        ("${params.}", "is no reference"),
        ("${params.x", "is no reference"),
        ("${params. x}", "is no reference"),
        ("@run.", "is no reference"),
        ("@run.a[x]", "is no reference"),
        ('@run.["a]', "is no reference"),
        (r'@run.["\x"]', "is no reference"),
        ("${env.A.b}", "has no fields"),
    ],
)
def test_what_begins_a_reference_must_be_one(text: str, mistake: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        parse(text)
    assert mistake.replace("*", "") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("${params.day}", None),
        ("${params.dya}", "unknown parameter 'dya' (did you mean day?)"),
        ("@payload.anything", None),
        ("@run.first.x", None),
        ("@run.frist.x", "there is no job 'frist' in this pipeline (did you mean first?)"),
        ("@run.second.x", "job 'second' is not in an earlier stage"),
        ("@item.x", "item is only there inside a loop"),
        ("${env.SET}", None),
        ("${env.UNSET}", "the environment variable UNSET is not set"),
    ],
)
def test_what_is_known_to_be_wrong_before_the_run(text: str, mistake: str | None) -> None:
    known = Known({"day"}, ["first", "second"], ["first"], {"SET": ""})
    (reference,) = parse(text).references
    found = mistake_in(reference, known)
    assert found is None if mistake is None else mistake in (found or "")


def test_the_environment_is_not_held_against_references_where_it_is_not_known() -> None:
    (reference,) = parse("${env.UNSET}").references
    assert mistake_in(reference, Known()) is None


@given(st.text(alphabet="${}@.[]\"'\\ \nparmsunevit0x", max_size=40))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        template = parse(text)
    except ReferenceSyntaxError:
        return
    if not template.references and "$${" not in text and not text.startswith("@@"):
        assert "".join(map(str, template.parts)) == text


@given(st.text())
def test_any_value_comes_through_as_it_is(value: str) -> None:
    assert text_or_nul("<${params.x}>", value) in {f"<{value}>", "NUL"}
    assert data_of("@params.x", Scope(params={"x": value})) == value


def text_or_nul(text: str, value: str) -> str:
    try:
        return text_of(text, Scope(params={"x": value}))
    except ReferenceFailedError:
        return "NUL" if "\0" in value else "?"
