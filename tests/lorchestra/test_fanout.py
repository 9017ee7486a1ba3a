"""What loops become: ids that are unique, stable and readable, and references that are resolved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.binding import bound, digest
from lorchestra.errors import LoopError
from lorchestra.fanout import (
    broken,
    combinations,
    groups_of,
    items_of,
    keys_of,
    unfold_jobs,
    unfold_stage,
)
from lorchestra.model import Call, Command, Job, Loop, Shell, Stage
from lorchestra.references import Scope

WORDS = st.text("abc[],= \"'é", min_size=1, max_size=6).filter(str.strip)
POINTS = st.one_of(WORDS, st.integers(-5, 5), st.booleans())
AXES = st.dictionaries(
    st.sampled_from("xyz"), st.lists(POINTS, min_size=1, max_size=4), min_size=1, max_size=3
)
TRUE = Job("fetch", Shell("true"))


def ids(loop: Loop, items: list[Any], *jobs: Job) -> list[str]:
    return [job.id for job in unfold_jobs(jobs or (TRUE,), loop, items)]


@given(AXES)
def test_the_combinations_of_a_matrix_have_ids_of_their_own(axes: dict[str, list[Any]]) -> None:
    for values in axes.values():
        values[:] = {str(value).lower(): value for value in values}.values()
    made = list(combinations(axes))
    found = ids(Loop(tuple(made), is_matrix=True), made)
    assert len(set(found)) == len(found)
    assert all(f"{name}=" in job_id for name in axes for job_id in found)


def test_the_ids_of_a_matrix_are_readable() -> None:
    made = list(combinations({"account": [1, 2], "region": ["eu", "us, west"]}))
    assert ids(Loop(tuple(made), is_matrix=True), made) == [
        "fetch[account=1,region=eu]",
        'fetch[account=1,region="us, west"]',
        "fetch[account=2,region=eu]",
        'fetch[account=2,region="us, west"]',
    ]


@given(st.lists(st.one_of(WORDS, st.integers(-99, 99)), unique_by=str), st.randoms())
def test_the_id_of_an_item_does_not_depend_on_its_place(items: list[Any], chance: Any) -> None:
    there = {job.id: job.item and job.item.value for job in unfold_jobs([TRUE], Loop("x"), items)}
    assert len(there) == len(items)
    chance.shuffle(items)
    assert {
        job.id: job.item and job.item.value for job in unfold_jobs([TRUE], Loop("x"), items)
    } == there


@pytest.mark.parametrize(
    ("loop", "items", "keys"),
    [
        (Loop("x"), ["a", "b c", 7, 1.5, True], ["a", "b c", "7", "1.5", "true"]),
        (Loop("x"), [], []),
        (Loop("x"), [{"id": "a"}, "b"], ["0", "1"]),
        (Loop("x"), ["a", ""], ["0", "1"]),
        (Loop("x"), ["a", "x" * 201], ["0", "1"]),
        (Loop("x"), ["a", "b\n"], ["0", "1"]),
        (Loop("x", "@item.id"), [{"id": "a"}, {"id": 2}], ["a", "2"]),
        (Loop("x", "${item.a}-${item.b}"), [{"a": 1, "b": None}], ["1-"]),
        (Loop("x", "k${item}"), ["a", "b"], ["ka", "kb"]),
    ],
)
def test_the_key_of_an_item(loop: Loop, items: list[Any], keys: list[str]) -> None:
    assert keys_of(loop, items) == keys


@pytest.mark.parametrize(
    ("loop", "items", "reason"),
    [
        (Loop("x"), ["a", "b", "a"], "items 0 and 2 have the same key 'a'"),
        (Loop("x"), [1, "1"], "items 0 and 1 have the same key '1'"),
        (Loop("x", "@item.id"), [{"id": 1}, {}], "item 1 has no key: '@item.id': item has no"),
        (Loop("x", "@item.id"), [{"id": None}], "the key of item 0 is empty"),
        (Loop("x", "@item.id"), [{"id": "x" * 201}], "the key of item 0 has 201 characters"),
    ],
)
def test_items_that_cannot_be_told_apart_are_refused(
    loop: Loop, items: list[Any], reason: str
) -> None:
    with pytest.raises(LoopError, match=r"^" + reason.replace("(", r"\(")):
        keys_of(loop, items)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), ("a,b", "text"), ({"a": 1}, "an object"), (7, "a number"), (True, "true")],
)
def test_what_is_no_list_is_refused(value: Any, kind: str) -> None:
    scope = Scope({"days": value})
    with pytest.raises(LoopError, match=f"needs a list to go over, and @params.days is {kind}$"):
        items_of(Loop("@params.days"), scope)
    assert items_of(Loop("${params.days}"), Scope({"days": [1]})) == [1]


def test_the_jobs_of_an_item_follow_each_other() -> None:
    jobs = [Job(name, Shell("true")) for name in "ab"]
    made = unfold_jobs(jobs, Loop("x"), ["1", "2"])
    assert [(job.id, job.item and job.item.after) for job in made] == [
        ("a[1]", None),
        ("b[1]", "a[1]"),
        ("a[2]", None),
        ("b[2]", "a[2]"),
    ]
    assert groups_of(jobs, made) == {"a": ("a[1]", "a[2]"), "b": ("b[1]", "b[2]")}


def test_what_is_not_known_yet_stays_as_it_is() -> None:
    later, now = Loop("@run.peek.items"), Loop("@params.days")
    stage = Stage("s", (Job("a", Shell("x"), loop=later), Job("b", Shell("x"), loop=now)))
    made = unfold_stage(stage, Scope({"days": ["mon"]}), ["params"])
    assert [job.id for job in made.jobs] == ["a", "b[mon]"]
    assert made.groups == {"b": ("b[mon]",)}
    with pytest.raises(LoopError, match="goes over nothing"):
        unfold_stage(stage, Scope(), ["params"])


def test_a_loop_that_cannot_be_unfolded_is_one_job_that_fails_before_the_others() -> None:
    first, second = broken([Job("a", Shell("x"), allow_failure=True), TRUE], "why")
    assert (first.id, second.id, second.item and second.item.after) == ("a", "fetch", "a")
    assert first.allow_failure


def test_references_in_a_loop_are_resolved_and_keep_their_types() -> None:
    arguments = {
        "item": "@item",
        "n": "@item.n",
        "whole": "@payload.model",
        "text": "n=${item.n} of ${payload.of}",
        "none": "@payload.nothing",
        "escaped": "@@item",
    }
    job = Job("a", Call("m:f", arguments))
    payload = {"model": "@payload.model", "of": "@run.peek.total"}
    loop = Loop("@run.peek.items", "@item.n", payload)
    (made,) = unfold_jobs([job], loop, [{"n": 7}])
    scope = Scope({"model": ["m"]}, job_ids=["peek"], outputs={"peek": b'{"total":2}'})
    action = bound(made, scope).action
    assert isinstance(action, Call)
    assert action.arguments == {
        "item": {"n": 7},
        "n": 7,
        "whole": ["m"],
        "text": "n=7 of 2",
        "none": None,
        "escaped": "@item",
    }


def test_a_variable_of_the_shell_is_no_item_outside_a_loop() -> None:
    line = "for item in a b; do echo ${item} @item; done"
    assert bound(Job("a", Shell(line)), Scope()).action == Shell(line)
    words = bound(Job("a", Command(("echo", "@item", "${item}"))), Scope()).action
    assert words == Command(("echo", "@item", "${item}"))


def test_only_what_a_job_uses_of_its_item_decides_whether_it_is_another() -> None:
    jobs = [Job("a", Command(("echo", "@item.n"))), Job("b", Command(("echo", "@payload.n")))]
    loop = Loop("x", "@item.id", {"n": "@item.n", "at": "@item.at"})

    def digests(**item: Any) -> list[str]:
        return [digest(job, {}) for job in unfold_jobs(jobs, loop, [{"id": 1, **item}])]

    assert digests(n=1, at=1) == digests(n=1, at=2)
    assert not set(digests(n=1, at=1)) & set(digests(n=2, at=1))
