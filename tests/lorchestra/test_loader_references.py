"""Parameters and references in pipeline files, and what is told of those that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lorchestra.errors import PipelineSyntaxError
from lorchestra.loader import load_job_files, load_pipeline
from lorchestra.model import Parameter, Pipeline

Load = Callable[[str], Pipeline]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(text: str) -> Pipeline:
        (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
        return load_pipeline(tmp_path / "p.yaml", tmp_path)

    return load


def mistakes(load: Load, text: str) -> list[str]:
    with pytest.raises(PipelineSyntaxError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


STAGES = "stages: [{name: s, jobs: [{id: a, run: 'true'}]}]\n"


def test_parameters_in_both_forms(load: Load) -> None:
    pipeline = load(
        STAGES + "params:\n"
        "  day: 2026-01-01\n"
        "  account: null\n"
        "  count: 3\n"
        "  rate: 1.5\n"
        "  full: false\n"
        "  names: [a, b]\n"
        "  must: {required: true, type: int, description: A number}\n"
        "  level: {default: low, choices: [low, high]}\n"
        "  size: {type: number, choices: [1, 2.5]}\n"
        "  nothing: {}\n"
    )
    assert pipeline.params == {
        "day": Parameter("string", "2026-01-01"),
        "account": Parameter("string", None),
        "count": Parameter("int", 3),
        "rate": Parameter("number", 1.5),
        "full": Parameter("bool", False),
        "names": Parameter("list", ["a", "b"]),
        "must": Parameter("int", None, True, (), "A number"),
        "level": Parameter("string", "low", False, ("low", "high")),
        "size": Parameter("number", None, False, (1, 2.5)),
        "nothing": Parameter(),
    }


@pytest.mark.parametrize(
    ("params", "mistake"),
    [
        ("[a]", "2:9: params must be a mapping, not a list"),
        ("{1a: x}", "2:10: the parameter '1a' must be letters, digits, _ and -"),
        ("{a: {typ: int}}", "2:14: unknown key 'typ' (did you mean type?)"),
        ("{a: {type: float}}", "2:20: type must be one of string, int, number, bool, list"),
        ("{a: {type: int, default: x}}", "2:34: the default of parameter a must be a whole number"),
        ("{a: {required: true, default: x}}", "2:30: parameter a is required, so it has no"),
        ("{a: {choices: []}}", "2:23: choices of parameter a must not be empty"),
        ("{a: {choices: [x, 1]}}", "2:27: a choice of parameter a must be text, not 1"),
        ("{a: {choices: [x], default: y}}", "2:37: the default of parameter a must be one of x"),
        ("{a: .inf}", "2:13: parameter a has a number that JSON cannot hold"),
    ],
)
def test_mistaken_parameters(load: Load, params: str, mistake: str) -> None:
    (found,) = mistakes(load, f"{STAGES}params: {params}\n")
    assert found.startswith(f"p.yaml:{mistake}"), found


def test_all_mistaken_references_are_told_with_their_places(load: Load, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "filed.yaml").write_text("run: echo ${params.acount} ${run.peek.x}\n")
    found = mistakes(
        load,
        "params: {account: null}\n"
        "stages:\n"
        "  - name: one\n"
        "    jobs:\n"
        "      - id: peek\n"
        "        run: echo ${params.acount}\n"
        "      - id: beside\n"
        "        command: [echo, '@run.peek.x', '${params.']\n"
        "      - {id: wrong, run: echo, cmd: x}\n"
        "  - name: two\n"
        "    jobs:\n"
        "      - filed\n"
        "      - id: late\n"
        "        call: m:f\n"
        "        with: {x: [{y: '@run.peak.x'}], z: '${prams.x}'}\n"
        "        env: {A: '@run.late.x'}\n"
        "        cwd: out/${item.x}\n"
        "      - {id: fine, run: 'echo ${run.wrong.x} ${payload.x} ${env.X} ${params.account}'}\n"
        "      - {id: escaped, run: 'echo \\${params.account}'}\n",
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        *("p.yaml:6:14", "p.yaml:8:25", "p.yaml:8:40", "p.yaml:9:32"),
        *("p.yaml:15:24", "p.yaml:15:44", "p.yaml:16:18", "p.yaml:17:14", "p.yaml:19:28"),
        "jobs/filed.yaml:1:6",
    ]
    assert found[0].endswith("unknown parameter 'acount' (did you mean account?)")
    assert found[1].endswith("'peek' is not in an earlier stage, so its output is not there yet")
    assert found[4].endswith("no job 'peak' in this pipeline (did you mean peek?)")
    assert "did you mean params?" in found[5]
    assert found[-1].endswith(
        "'${params.acount}': unknown parameter 'acount' (did you mean account?)"
    )


def test_a_job_file_alone_is_not_held_against_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.yaml").write_text("run: echo ${params.x} ${run.b.c}\n")
    assert list(load_job_files(tmp_path)) == ["a"]


def test_what_is_the_shell_s_stays_the_shell_s(load: Load) -> None:
    pipeline = load(
        "stages: [{name: s, jobs: [{id: a, run: 'echo ${HOME} $${x} ${a.b} @me.x',"
        " env: {A: '${HOME}'}}]}]\n"
    )
    assert pipeline.jobs[0].definition() == {
        "run": "echo ${HOME} $${x} ${a.b} @me.x",
        "env": {"A": "${HOME}"},
    }
