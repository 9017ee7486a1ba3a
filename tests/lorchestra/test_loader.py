"""A pipeline file becomes a pipeline, or the list of everything that is wrong with it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorchestra.errors import PipelineSyntaxError, UnreadableFileError
from lorchestra.loader import load_pipeline
from lorchestra.model import Action, Call, Command, Job, Pipeline, Shell, Stage

NOWHERE = "neither under jobs nor in the jobs folder"
COLON = "check the indentation, and put text that contains ': ' in quotes"

Load = Callable[[str], Pipeline]
Mistakes = Callable[[str], list[str]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the working folder too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(root: Path) -> Load:
    def load(text: str) -> Pipeline:
        (root / "p.yaml").write_text(text, encoding="utf-8")
        return load_pipeline(root / "p.yaml", root)

    return load


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    def mistakes(text: str) -> list[str]:
        with pytest.raises(PipelineSyntaxError) as caught:
            load(text)
        assert all(problem.path == "p.yaml" for problem in caught.value.problems)
        return [str(problem).removeprefix("p.yaml:") for problem in caught.value.problems]

    return mistakes


WHOLE = """\
pipeline_id: pipeline.ingest
description: Ingest every account
stop_on_failure: true
stages:
  - name: ingest
    description: One job for each account
    max_workers: 4
    stop_on_failure: false
    jobs:
      - acct1
      - id: acct2
        run: python -m ingest --account 2
        env: {ACCOUNT: two}
        cwd: work
        description: The second account
  - name: report
    jobs:
      - {id: report, call: "reports.daily:Report.write", with: {rows: 3, of: [a, null]}}
jobs:
  acct1:
    command: [python, -m, ingest, --account, "1"]
  unused:
    run: "true"
"""


def test_a_whole_pipeline(load: Load, root: Path) -> None:
    source = root / "p.yaml"
    assert load(WHOLE) == Pipeline(
        id="pipeline.ingest",
        description="Ingest every account",
        stop_on_failure=True,
        root=root,
        source=source,
        stages=(
            Stage(
                name="ingest",
                max_workers=4,
                stop_on_failure=False,
                jobs=(
                    Job(
                        "acct1",
                        Command(("python", "-m", "ingest", "--account", "1")),
                        source=source,
                    ),
                    Job(
                        "acct2",
                        Shell("python -m ingest --account 2"),
                        env={"ACCOUNT": "two"},
                        cwd="work",
                        description="The second account",
                        source=source,
                    ),
                ),
            ),
            Stage(
                name="report",
                jobs=(
                    Job(
                        "report",
                        Call("reports.daily:Report.write", {"rows": 3, "of": ["a", None]}),
                        source=source,
                    ),
                ),
            ),
        ),
    )


def test_what_is_not_said_has_its_default(load: Load) -> None:
    pipeline = load("stages: [{name: s, jobs: [{id: j, run: x}]}]")
    assert (pipeline.description, pipeline.stop_on_failure) == ("", False)
    (stage,) = pipeline.stages
    assert (stage.max_workers, stage.stop_on_failure) == (None, None)
    (job,) = stage.jobs
    assert (job.env, job.cwd, job.description) == ({}, None, "")


@pytest.mark.parametrize(
    ("file", "pipeline_id"),
    [
        ("ingest.yaml", "ingest"),
        ("ingest.yml", "ingest"),
        ("pipeline.ingest.yaml", "pipeline.ingest"),
        ("a.yaml.yaml", "a.yaml"),
        ("ingest.txt", "ingest.txt"),
        ("ïngest.yaml", "ïngest"),
    ],
)
def test_the_default_id_is_the_name_of_the_file(root: Path, file: str, pipeline_id: str) -> None:
    (root / file).write_text("stages: [{name: s, jobs: [{id: j, run: x}]}]")
    assert load_pipeline(Path(file), Path()).id == pipeline_id
    assert load_pipeline(Path(file), Path()).root == root


def test_source_and_root_are_absolute(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub/p.yaml").write_text("stages: [{name: s, jobs: [{id: j, run: x}]}]")
    pipeline = load_pipeline(Path("sub/../sub/p.yaml"), Path("sub/.."))
    assert (pipeline.source, pipeline.root) == (root / "sub/p.yaml", root)
    assert pipeline.jobs[0].source == root / "sub/p.yaml"


def in_stage(*lines: str) -> str:
    """A pipeline with one job, given by its lines; the first is line 4, column 9."""
    head = "stages:\n- name: s\n  jobs:\n      - "
    return head + "\n        ".join(lines)


WORDS = ("1.50", "0x10", "True", "no", "", "007")


def job(load: Load, *lines: str) -> Job:
    (only,) = load(in_stage("id: j", *lines)).jobs
    return only


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("run: echo hi && echo 'ho'", Shell("echo hi && echo 'ho'")),
        ("run: |\n          a\n          b", Shell("a\nb")),
        ("run: true", Shell("true")),
        ("run: 7", Shell("7")),
        ("command: [sleep, 2]", Command(("sleep", "2"))),
        ("command: [x, 1.50, 0x10, True, no, '', 007]", Command(("x", *WORDS))),
        ("command: [true]", Command(("true",))),
        ("call: a:b", Call("a:b")),
        ("call: a.b_1.ç:D.e", Call("a.b_1.ç:D.e")),
    ],
)  # fmt: skip
def test_actions(load: Load, line: str, action: Action) -> None:
    assert job(load, line).action == action


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("8080", "8080"),
        ("true", "true"),
        ("False", "False"),
        ("no", "no"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("0777", "0777"),
        ("0x1F", "0x1F"),
        (".nan", ".nan"),
        ("9" * 50, "9" * 50),
        ("22:22", "22:22"),
        ("2026-11-24", "2026-11-24"),
        ("''", ""),
        ("'null'", "null"),
        ("a=b", "a=b"),
    ],
)
def test_the_environment_has_values_as_they_are_written(
    load: Load, written: str, value: str
) -> None:
    assert job(load, "run: x", f"env: {{NAME: {written}}}").env == {"NAME": value}


def test_arguments_of_a_call_are_plain_data(load: Load) -> None:
    action = job(
        load,
        "call: a:b",
        "with: {i: -3, o: 0o17, h: 0x1F, f: 1.5, e: 1e3, t: true, n: null, s: no, d: 2026-11-24,",
        "       big: 18446744073709551615, small: -9223372036854775808, plus: +5,",
        "       x: {a-b: [1, {c: ~}]}, nothing: }",
    ).action
    assert action == Call(
        "a:b",
        {
            "i": -3,
            "o": 15,
            "h": 31,
            "f": 1.5,
            "e": 1000.0,
            "t": True,
            "n": None,
            "s": "no",
            "d": "2026-11-24",
            "big": 2**64 - 1,
            "small": -(2**63),
            "plus": 5,
            "x": {"a-b": [1, {"c": None}]},
            "nothing": None,
        },
    )
    assert isinstance(action, Call)
    assert [type(action.arguments[name]) for name in "ife"] == [int, float, float]


def test_aliases_spare_repetition(load: Load) -> None:
    pipeline = load(
        "stages:\n"
        "- name: s\n"
        "  jobs:\n"
        "  - {id: a, run: x, env: &e {A: b}}\n"
        "  - {id: b, run: x, env: *e}\n"
        "- {name: t, jobs: &j [c, d]}\n"
        "jobs: {c: &c {run: x}, d: *c}\n"
    )
    assert [job.env for job in pipeline.jobs] == [{"A": "b"}, {"A": "b"}, {}, {}]


def test_a_mistake_behind_aliases_is_told_once(mistakes: Mistakes) -> None:
    job = "{id: %s, run: x, env: %s}"
    first, second, third = job % ("a", "&e {A: }"), job % ("b", "*e"), job % ("c", "*e")
    assert mistakes(f"stages: [{{name: s, jobs: [{first}, {second}, {third}]}}]") == [
        "1:55: A in env must be text, not empty"
    ]


def test_a_loaded_pipeline_has_a_digest_whatever_it_holds(load: Load) -> None:
    deep = "[" * 90 + "]" * 90
    pipeline = load(in_stage("id: 'é\\0'", "call: a:b", f"with: {{x: {deep}, y: 1e308}}"))
    assert len(pipeline.sha256()) == 64


DUPLICATE_JOBS = """\
stages:
- name: s
  jobs:
  - a
  - {id: b, run: x}
  - a
- name: t
  jobs: [{id: a, run: x}, b, b]
jobs: {a: {run: x}, b: {run: x}}
"""

MANY = """\
pipeline_id: ""
stpo_on_failure: true
stop_on_failure: "no"
stages:
  - name: a
    max_workers: four
    jobs: [x, nobody]
  - name: a
    jobs: []
  - jobs: [{id: y}]
  - just text
jobs:
  x: {run: 1, command: [], env: {A: , B=: 1}}
"""


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    assert mistakes(MANY) == [
        "1:14: pipeline_id must not be empty",
        "2:1: unknown key 'stpo_on_failure' (did you mean stop_on_failure?)",
        "3:18: stop_on_failure must be true or false, not 'no'",
        "6:18: max_workers must be a whole number of at least 1, not 'four'",
        f"7:15: job 'nobody' is not defined, {NOWHERE}",
        "8:11: duplicate stage 'a' (first in line 5)",
        "9:11: a stage needs at least one job",
        "10:5: a stage needs 'name'",
        "10:12: a job needs one of run, command, call or pipeline",
        "11:5: a stage must be a mapping, not 'just text'",
        "13:15: a job has one action: command is beside run in line 13",
        "13:24: command must not be empty",
        "13:37: A in env must be text, not empty",
        "13:39: 'B=' in env cannot be the name of an environment variable",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", ["1:1: a pipeline file must be a mapping, not a list"]),
        ("run", ["1:1: a pipeline file must be a mapping, not 'run'"]),
        ("null", ["1:1: a pipeline file must be a mapping, not null"]),
        ("", ["1:1: the file is empty"]),
        ("{}", ["1:1: a pipeline needs 'stages'"]),
        ("stages: []", ["1:9: a pipeline needs at least one stage"]),
        ("stages:", ["1:8: stages must be a list, not empty"]),
        ("stages: {a: b}", ["1:9: stages must be a list, not a mapping"]),
        ("jobs: [a]\nstages: []", [
            "1:7: jobs must be a mapping, not a list",
            "2:9: a pipeline needs at least one stage",
        ]),
        ("stages: [{}]", ["1:10: a stage needs 'name'", "1:10: a stage needs 'jobs'"]),
        ("stages: [{name: s, jobs: x}]", ["1:26: jobs must be a list, not 'x'"]),
        ("stages: [{name: [s], jobs: [1, [a], ~]}]", [
            "1:17: name must be text, not a list",
            "1:29: a job must be the id of one or a mapping, not 1",
            "1:32: a job must be the id of one or a mapping, not a list",
            "1:37: a job must be the id of one or a mapping, not ~",
        ]),
        ("stages: [{name: 2024, jobs: [{id: 1, run: x}]}]", [
            "1:17: name must be text in quotes, not 2024",
            "1:35: id must be text in quotes, not 1",
        ]),
        ("stages: [{name: s, jobs: [''], mxa_workers: 1}]", [
            "1:27: a job id must not be empty",
            "1:32: unknown key 'mxa_workers' (did you mean max_workers?)",
        ]),
        ("stages: [{name: s, jobs: [{run: x}]}]", ["1:27: a job in a stage needs 'id'"]),
        ("stages: &s [{name: s, jobs: *s}]", ["1:29: *s stands for a value that contains it"]),
        (DUPLICATE_JOBS, [
            "6:5: duplicate job 'a' (first in line 4)",
            "8:15: duplicate job 'a' (first in line 4)",
            "8:27: duplicate job 'b' (first in line 5)",
            "8:30: duplicate job 'b' (first in line 5)",
        ]),
        ("stages: [{name: s, jobs: [a]}]\njobs: {a: , '': {run: x}}", [
            "2:11: job 'a' must be a mapping, not empty",
            "2:13: a job id must not be empty",
        ]),
        ("stages: [{name: s, jobs: [a]}]\njobs: {a: {run: x, id: a}}", [
            "2:20: unknown key 'id'",
        ]),
        ("stages: [{name: s, jobs: [ingset]}]\njobs: {ingest: {run: x}}", [
            f"1:27: job 'ingset' is not defined, {NOWHERE} (did you mean ingest?)",
        ]),
        ("stages: [{name: s, jobs: [{id: ab, run: x}, abb]}]", [
            f"1:45: job 'abb' is not defined, {NOWHERE} (did you mean ab?)",
        ]),
        ("description: 7\nstages: [{name: s, description: [x], jobs: [{id: a, run: x}]}]", [
            "1:14: description must be text in quotes, not 7",
            "2:33: description must be text, not a list",
        ]),
        ("a: b: c", [
            f"1:5: no ':' is possible here: {COLON}",
        ]),
    ],
)  # fmt: skip
def test_mistakes_of_pipelines_and_stages(
    mistakes: Mistakes, text: str, expected: list[str]
) -> None:
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("four", "must be a whole number of at least 1, not 'four'"),
        ("'4'", "must be a whole number of at least 1, not '4'"),
        ("0", "must be a whole number of at least 1, not 0"),
        ("-1", "must be a whole number of at least 1, not -1"),
        ("1.0", "must be a whole number of at least 1, not 1.0"),
        ("true", "must be a whole number of at least 1, not true"),
        ("", "must be a whole number of at least 1, not empty"),
        ("[4]", "must be a whole number of at least 1, not a list"),
        ("1000001", "must be at most 1,000,000, not 1000001"),
        ("9" * 5000, f"must be at most 1,000,000, not {'9' * 5000}"),
        ("-" + "9" * 30, f"must be a whole number of at least 1, not -{'9' * 30}"),
    ],
)
def test_max_workers_is_a_whole_number_of_at_least_one(
    mistakes: Mistakes, value: str, problem: str
) -> None:
    text = f"stages: [{{name: s, jobs: [{{id: a, run: x}}], max_workers: {value}}}]"
    (message,) = mistakes(text)
    assert message.endswith(f": max_workers {problem}")


@pytest.mark.parametrize(
    ("value", "number"), [("1", 1), ("+2", 2), ("0x10", 16), ("1000000", 10**6)]
)
def test_max_workers(load: Load, value: str, number: int) -> None:
    text = f"stages: [{{name: s, jobs: [{{id: a, run: x}}], max_workers: {value}}}]"
    assert load(text).stages[0].max_workers == number


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("''", "must not be empty"),
        ("' '", "must not be empty"),
        ("x" * 201, "must have at most 200 characters, not 201"),
        (r'"a\tb"', "must not contain control characters"),
        (r'"a\x9bb"', "must not contain control characters"),
        ("7", "must be text in quotes, not 7"),
        ("", "must be text, not empty"),
        ("[x]", "must be text, not a list"),
    ],
)
def test_the_pipeline_id_and_the_name_of_a_stage_are_short_texts_on_one_line(
    mistakes: Mistakes, value: str, problem: str
) -> None:
    text = f"pipeline_id: {value}\nstages: [{{name: {value}, jobs: [{{id: a, run: x}}]}}]"
    first, second = mistakes(text)
    assert first.endswith(f": pipeline_id {problem}")
    assert second.endswith(f": name {problem}")


def test_a_long_pipeline_id_is_allowed(load: Load) -> None:
    text = f"pipeline_id: {'é' * 200}\nstages: [{{name: s, jobs: [{{id: a, run: x}}]}}]"
    assert load(text).id == "é" * 200


@pytest.mark.skipif(os.name == "nt", reason="needs such file names")
@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"a\nb.yaml", "must not contain control characters"),
        (b" .yaml", "must not be empty"),
        (b".yaml", "must not be empty"),
        (b"a\xff.yaml", "must not contain control characters"),
        (b"x" * 201 + b".yaml", "must have at most 200 characters, not 201"),
    ],
)
def test_a_file_name_that_cannot_be_the_pipeline_id(root: Path, file: bytes, problem: str) -> None:
    path = root / os.fsdecode(file)
    try:
        path.write_text("stages: [{name: s, jobs: [{id: a, run: x}]}]")
    except OSError:
        pytest.skip("needs a file system that takes any name")
    with pytest.raises(PipelineSyntaxError) as caught:
        load_pipeline(path, root)
    expected = f":1:1: without pipeline_id the name of the file counts, and it {problem}"
    assert str(caught.value).endswith(expected)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["description: x"], ["4:9: a job needs one of run, command, call or pipeline"]),
        (["rnu: x"], [
            "4:9: a job needs one of run, command, call or pipeline",
            "5:9: unknown key 'rnu' (did you mean run?)",
        ]),
        (["priority: 5", "run: x"], ["5:9: unknown key 'priority'"]),
        (["job_id: j", "run: x"], ["5:9: unknown key 'job_id'"]),
        (["run: x", "call: a:b", "command: [x]"], [
            "6:9: a job has one action: call is beside run in line 5",
            "7:9: a job has one action: command is beside run in line 5",
        ]),
        (["run: x", "with: {a: 1}"], ["6:9: with may only stand beside call or pipeline"]),
        (["run:"], ["5:13: run must be text, not empty"]),
        (["run: null"], ["5:14: run must be text, not null"]),
        (["run: ' '"], ["5:14: run must not be empty"]),
        (["run: [x]"], ["5:14: run must be text, not a list"]),
        ([r'run: "a\0b"'], ["5:14: run must not contain a NUL byte"]),
        (["command: x y"], ["5:18: command must be a list, not 'x y'"]),
        (["command: []"], ["5:18: command must not be empty"]),
        (["command: ['', x]"], ["5:19: the first item of command must not be empty"]),
        (["command: [null, [x], {a: b}, ~, x]"], [
            "5:19: the first item of command must be text, not null",
            "5:25: an item of command must be text, not a list",
            "5:30: an item of command must be text, not a mapping",
            "5:38: an item of command must be text, not ~",
        ]),
        ([r'command: [x, "\0"]'], ["5:22: an item of command must not contain a NUL byte"]),
        (["cwd: ''", "run: x"], ["5:14: cwd must not be empty"]),
        (["cwd: [a]", "run: x"], ["5:14: cwd must be text, not a list"]),
        ([r'cwd: "\0"', "run: x"], ["5:14: cwd must not contain a NUL byte"]),
        (["env: [A=b]", "run: x"], ["5:14: env must be a mapping, not a list"]),
        (["env:", "run: x"], ["5:13: env must be a mapping, not empty"]),
        (["env: {A: null, B: [x], C: {}, D: }", "run: x"], [
            "5:18: A in env must be text, not null",
            "5:27: B in env must be text, not a list",
            "5:35: C in env must be text, not a mapping",
            "5:42: D in env must be text, not empty",
        ]),
        ([r'env: {"": 1, A=B: 1, "\0": 1, C: "\0"}', "run: x"], [
            "5:15: '' in env cannot be the name of an environment variable",
            "5:22: 'A=B' in env cannot be the name of an environment variable",
            r"5:30: '\x00' in env cannot be the name of an environment variable",
            "5:42: C in env must not contain a NUL byte",
        ]),
        (["call: [a]"], ["5:15: call must be text, not a list"]),
        (["call: 7", "with: {x: 1}"], ["5:15: call must be text in quotes, not 7"]),
        (["call: a:b", "with: [1]"], ["6:15: with must be a mapping, not a list"]),
        (["call: a:b", "with: {a-b: 1, 1a: .inf, c: [{d: .NaN}], e: 1e999}"], [
            "6:16: 'a-b' in with cannot be the name of a Python argument",
            "6:24: '1a' in with cannot be the name of a Python argument",
            "6:28: with has a number that JSON cannot hold: .inf",
            "6:42: with has a number that JSON cannot hold: .NaN",
            "6:53: with has a number that JSON cannot hold: 1e999",
        ]),
        (["call: a:b", "with: {a: 18446744073709551616, b: -9223372036854775809,",
          "  c: 0x10000000000000000}"], [
            "6:19: with has a number that JSON cannot hold: 18446744073709551616",
            "6:44: with has a number that JSON cannot hold: -9223372036854775809",
            "7:14: with has a number that JSON cannot hold: 0x10000000000000000",
        ]),
    ],
)  # fmt: skip
def test_mistakes_of_jobs(mistakes: Mistakes, lines: list[str], expected: list[str]) -> None:
    assert mistakes(in_stage("id: j", *lines)) == expected


@pytest.mark.parametrize(
    "target",
    ["a", "a.b", "a:", ":b", "a:b:c", "a b:c", "a..b:c", "a.:c", "a:b.", "a:1b", "a-b:c", "a:b()"],
)
def test_a_call_names_a_function_in_a_module(mistakes: Mistakes, target: str) -> None:
    assert mistakes(in_stage("id: j", f"call: '{target}'")) == [
        f"5:15: call must be package.module:function, not {target!r}"
    ]


def test_job_ids_have_up_to_10000_bytes(load: Load, mistakes: Mistakes) -> None:
    longest = "é" * 5000
    assert load(in_stage(f"? id\n        : {longest}", "run: x")).jobs[0].id == longest
    assert mistakes(in_stage(f"id: {longest}x", "run: x")) == [
        "4:13: a job id has at most 10,000 bytes, not 10,001"
    ]


def test_job_ids_may_have_any_characters(load: Load) -> None:
    stages = "stages: [{name: s, jobs: ['a/b: c', {id: \"\\0\\n\", run: x}]}]"
    pipeline = load(f"{stages}\njobs: {{'a/b: c': {{run: x}}}}")
    assert [job.id for job in pipeline.jobs] == ["a/b: c", "\0\n"]


def test_a_long_value_is_shortened_in_a_message(mistakes: Mistakes) -> None:
    (message,) = mistakes(in_stage("id: j", f"call: {'x' * 1000}"))
    assert len(message) < 130


def test_a_mistaken_definition_is_told_once_and_its_use_is_no_other_mistake(
    mistakes: Mistakes,
) -> None:
    text = "stages: [{name: s, jobs: [a]}]\njobs: {a: {run: x, cwd: 1, env: 2}, b: {}}"
    assert mistakes(text) == [
        "2:33: env must be a mapping, not 2",
        "2:40: a job needs one of run, command, call or pipeline",
    ]


def test_the_path_in_a_mistake_is_absolute_when_the_file_is_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "p.yaml").write_text("x")
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    with pytest.raises(PipelineSyntaxError) as caught:
        load_pipeline(Path("../p.yaml"), root)
    assert caught.value.path == str(root / "p.yaml")


def test_a_syntax_error_survives_pickling(load: Load) -> None:
    with pytest.raises(PipelineSyntaxError) as caught:
        load(MANY)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.problems) == (str(caught.value), caught.value.problems)


def unreadable(path: Path, root: Path) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        load_pipeline(path, root)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_a_folder_in_place_of_a_file(root: Path) -> None:
    (root / "p.yaml").mkdir()
    assert unreadable(root / "p.yaml", root) == "cannot read p.yaml: it is a folder"


def test_a_file_that_is_gone(root: Path) -> None:
    assert unreadable(root / "p.yaml", root).startswith("cannot read p.yaml: No such file")


def test_a_file_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_keywords: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert unreadable(root / "p.yaml", root) == "cannot read p.yaml: Permission denied"


def test_a_file_without_end(root: Path) -> None:
    (root / "p.yaml").write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    assert unreadable(root / "p.yaml", root) == "cannot read p.yaml: it is larger than 16 MiB"


def test_ten_megabytes_are_read(load: Load) -> None:
    pipeline = load(in_stage("id: j", f"run: {'x' * 10_000_000}"))
    assert pipeline.jobs[0].action == Shell("x" * 10_000_000)


def test_ten_thousand_jobs_are_read_in_a_few_seconds(load: Load) -> None:
    jobs = "\n".join(f"  - {{id: job{n}, run: echo {n}, env: {{N: {n}}}}}" for n in range(10_000))
    start = time.process_time()
    pipeline = load(f"stages:\n- name: s\n  jobs:\n{jobs}\n")
    assert time.process_time() - start < 10
    assert len(pipeline.jobs) == 10_000


def test_thousands_of_mistakes_are_told_in_a_few_seconds(mistakes: Mistakes) -> None:
    named = "\n".join(f"  - jbo{n}" for n in range(1000))
    defined = "\n".join(f"  job{n}: {{rnu: x}}" for n in range(1000))
    start = time.process_time()
    found = mistakes(f"stages:\n- name: s\n  jobs:\n{named}\njobs:\n{defined}\n")
    assert time.process_time() - start < 20
    assert len(found) == 3_000


@pytest.mark.parametrize("length", [90, 101])
def test_guesses_for_long_names_take_no_time(mistakes: Mistakes, length: int) -> None:
    named = "\n".join(f"  - {'a' * length}{n}" for n in range(2000))
    defined = "\n".join(f"  {'a' * (length - 1)}b{n}: {{run: x}}" for n in range(2000))
    start = time.process_time()
    found = mistakes(f"stages:\n- name: s\n  jobs:\n{named}\njobs:\n{defined}\n")
    assert time.process_time() - start < 20
    assert len(found) == 2000
