"""Loops and matrices in pipeline files, and what is told of those that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lorchestra.errors import PipelineSyntaxError
from lorchestra.loader import load_pipeline
from lorchestra.model import Item, Loop, Pipeline

Load = Callable[[str], Pipeline]

HEAD = "params: {days: [mon]}\nstages:\n- {name: first, jobs: [{id: peek, run: x}]}\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(text: str) -> Pipeline:
        (tmp_path / "p.yaml").write_text(HEAD + text, encoding="utf-8")
        return load_pipeline(tmp_path / "p.yaml", tmp_path)

    return load


def mistakes(load: Load, text: str) -> list[str]:
    with pytest.raises(PipelineSyntaxError) as caught:
        load(text)
    return [str(problem).removeprefix("p.yaml:") for problem in caught.value.problems]


def job(*keys: str) -> str:
    return "- name: s\n  jobs:\n  - id: a\n    run: echo\n" + "".join(f"    {k}\n" for k in keys)


def test_what_is_written_out_is_unfolded_and_the_rest_is_kept(load: Load) -> None:
    pipeline = load(
        "- name: s\n"
        "  jobs:\n"
        "  - {id: a, run: 'echo ${item}', loop: {over: [x, y]}}\n"
        "  - {id: b, run: 'echo ${item.n}', loop: {over: '@run.peek.items', key: '@item.n'}}\n"
        "- name: t\n"
        "  loop: {over: '${params.days}', payload: {day: '@item'}, jobs: [c, {id: d, run: x}]}\n"
        "jobs: {c: {run: 'echo ${payload.day} ${item}'}}\n"
    )
    first, second = pipeline.stages[1:]
    assert [job.id for job in first.jobs] == ["a[x]", "a[y]", "b"]
    assert first.jobs[0].item == Item("a", "x")
    assert first.jobs[2].loop == Loop("@run.peek.items", "@item.n")
    assert first.groups == {"a": ("a[x]", "a[y]")}
    assert second.loop == Loop("${params.days}", None, {"day": "@item"})
    assert [job.id for job in second.jobs] == ["c", "d"]


def test_both_forms_of_a_stage_are_the_same(load: Load) -> None:
    inside = "loop: {over: [1], key: '${item}', payload: {x: 1}, jobs: [{id: a, run: x}]}"
    beside = inside.removeprefix("loop: {").removesuffix("}").replace("[1], ", "[1]\n  ")
    beside = beside.replace("', ", "'\n  ").replace("}, jobs", "}\n  jobs")
    assert load(f"- name: s\n  {inside}\n").stages == load(f"- name: s\n  {beside}\n").stages


def test_a_matrix(load: Load) -> None:
    pipeline = load(
        job("matrix: {x: [1, 2], y: [a, b], exclude: [{x: 1, y: b}], include: [{y: c, x: 3}]}")
    )
    assert [each.id for each in pipeline.stages[1].jobs] == [
        *("a[x=1,y=a]", "a[x=2,y=a]", "a[x=2,y=b]", "a[x=3,y=c]"),
    ]


def test_later_jobs_refer_to_the_id_as_written_and_to_single_ones(load: Load) -> None:
    load(
        job("matrix: {x: [1, 2]}")
        + "- {name: t, jobs: [{id: b, command: [echo, '@run.a', '@run.a[0].n', "
        + "'@run.[\"a[x=1]\"].n']}]}\n"
    )
    wrong = "- {name: t, jobs: [{id: b, command: [echo, '@run.[\"a[x=3]\"].n']}]}\n"
    (found,) = mistakes(load, job("matrix: {x: [1, 2]}") + wrong)
    assert found.startswith(
        "9:44: '@run.[\"a[x=3]\"].n': there is no job 'a[x=3]' in this pipeline"
    )


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ("loop: {key: '@item.id'}", "8:11: a loop needs 'over'"),
        ("loop: {ovr: [a], over: [a]}", "8:12: unknown key 'ovr' (did you mean over?)"),
        (
            "loop: {over: days}",
            (
                "8:18: over must be a list, or stand for one as '@run.peek.items' and "
                "'@params.days' do, not 'days'"
            ),
        ),
        (
            "loop: {over: '@env.DAYS'}",
            (
                "8:18: over must be a list, or stand for one as '@run.peek.items' and "
                "'@params.days' do, not '@env.DAYS'"
            ),
        ),
        (
            "loop: {over: '@params.dyas'}",
            "8:18: '@params.dyas': unknown parameter 'dyas' (did you mean days?)",
        ),
        (
            "loop: {over: '@run.peak.items'}",
            "8:18: '@run.peak.items': there is no job 'peak' in this pipeline (did you mean peek?)",
        ),
        (
            "loop: {over: '@run.a.items'}",
            (
                "8:18: '@run.a.items': job 'a' is not in an earlier stage, so its output is "
                "not there yet"
            ),
        ),
        ("loop: {over: [a, b, a]}", "8:18: items 0 and 2 have the same key 'a'"),
        (
            "loop: {over: [{id: 1}, {idd: 2}], key: '@item.id'}",
            "8:18: item 1 has no key: '@item.id': item has no field 'id' (did you mean idd?)",
        ),
        (
            "loop: {over: [a], key: same}",
            "8:28: key must be made from the item, as '@item.id' is, not 'same'",
        ),
        (
            "loop: {over: [a], key: '@params.days'}",
            "8:28: key must be made from the item, as '@item.id' is, not '@params.days'",
        ),
        ("loop: {over: [a], payload: [x]}", "8:32: payload must be a mapping, not a list"),
        (
            "loop: {over: [a], payload: {x: '@params.dyas'}}",
            "8:36: '@params.dyas': unknown parameter 'dyas' (did you mean days?)",
        ),
        ("matrix: {}", "8:13: a matrix needs at least one list of values by name"),
        ("matrix: {x: []}", "8:17: x in matrix must not be empty"),
        ("matrix: {x: 1}", "8:17: x in matrix must be a list, not 1"),
        (
            "matrix: {x: [null]}",
            "8:18: a value of x in matrix must be text, a number, true or false, not null",
        ),
        (
            "matrix: {1x: [1]}",
            "8:14: '1x' in matrix must be letters, digits, _ and -, and begin with a letter",
        ),
        ("matrix: {x: [1, 1]}", "8:13: items 0 and 1 have the same key 'x=1'"),
        (
            "matrix: {account: [1], exclude: [{acount: 1}]}",
            "8:39: unknown key 'acount' (did you mean account?)",
        ),
        ("matrix: {x: [1], exclude: [{x: 2}]}", "8:32: this entry of exclude fits no combination"),
        (
            "matrix: {x: [1], y: [1], include: [{x: 2}]}",
            "8:40: an entry of include must have x, y",
        ),
        ("matrix: {x: [1]}\n    loop: {over: [a]}", "8:5: a job has either a loop or a matrix"),
    ],
)
def test_mistakes_are_told_with_their_places(load: Load, keys: str, wrong: str) -> None:
    assert mistakes(load, job(keys)) == [wrong]


def test_references_to_what_a_matrix_has_not(load: Load) -> None:
    text = job("matrix: {account: [1]}", "env: {A: '${item.acount}', B: '${matrix.account}'}")
    assert mistakes(load, text) == [
        "9:14: '${item.acount}': the matrix has no 'acount' (did you mean account?)"
    ]


def test_references_to_items_outside_of_loops(load: Load) -> None:
    text = job("env: {A: '${item.x}', B: '${matrix.x}', C: '${item}', D: '@item'}")
    assert mistakes(load, text) == [
        "8:14: '${item.x}': item is only there inside a loop",
        "8:30: '${matrix.x}': matrix is only there inside a loop",
    ]
    text = job("loop: {over: [a]}", "env: {A: '${matrix.x}'}")
    assert mistakes(load, text) == ["9:14: '${matrix.x}': matrix is only there inside a loop"]


@pytest.mark.parametrize(
    ("stage", "wrong"),
    [
        ("{name: s, over: [a]}", ["4:3: a stage needs 'jobs'"]),
        ("{name: s, jobs: [peek2], key: '@item'}", ["4:28: key may only stand beside over"]),
        ("{name: s, loop: {over: [a]}}", ["4:19: the loop of a stage needs 'jobs'"]),
        ("{name: s, loop: {jobs: [peek2]}}", ["4:19: the loop of a stage needs 'over'"]),
        (
            "{name: s, loop: {over: [a], jobs: [peek2]}, jobs: [peek2]}",
            ["4:47: jobs stands in the loop already"],
        ),
        (
            "{name: s, loop: {over: '@run.peek2.x'}}",  # nothing is said of where peek2 is
            ["4:19: the loop of a stage needs 'jobs'"],
        ),
        (
            "{name: s, over: [a], jobs: [{id: x, run: x, matrix: {y: [1]}}]}",
            ["4:3: job 'x' has a loop or matrix of its own inside the loop of its stage"],
        ),
        (
            "{name: s, loop: {over: [a], jobs: [nothing]}}",
            ["4:38: job 'nothing' is not defined, neither under jobs nor in the jobs folder"],
        ),
        (
            "{name: s, jobs: [{id: 'x[a]', run: x}, {id: x, run: x, loop: {over: [a]}}]}",
            ["4:3: duplicate job 'x[a]' (first in line 4)"],
        ),
    ],
)
def test_mistakes_of_stages(load: Load, stage: str, wrong: list[str]) -> None:
    assert mistakes(load, f"- {stage}\njobs: {{peek2: {{run: x}}}}\n") == wrong


def test_a_matrix_that_is_too_large_is_refused_before_it_is_made(load: Load) -> None:
    axes = ", ".join(f"x{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]" for n in range(9))
    assert mistakes(load, job(f"matrix: {{{axes}}}")) == [
        "8:13: a matrix has at most 100,000 combinations"
    ]
