"""What would run, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra.model import Action, Call, Command, Job, Pipeline, Shell, Stage
from lorchestra.plan import Options
from lorchestra.report.plan import action_text, job_text, plan_object, plan_text

HOSTILE = "a\x1b[2J\nb\u202e"
ROOT = Path("project").absolute()


def pipeline(*stages: Stage, pipeline_id: str = "p", source: Path | None = None) -> Pipeline:
    return Pipeline(pipeline_id, stages, ROOT, source=source)


def jobs(*names: str) -> tuple[Job, ...]:
    return tuple(Job(name, Shell("true")) for name in names)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Shell("echo a\n  echo b"), "run: echo a echo b"),
        (Command(("echo", "a b", "$x")), "command: echo 'a b' '$x'"),
        (Call("m:f"), "call: m:f()"),
        (Call("m:f", {"a": 1, "b": [None, "x"]}), "call: m:f(a=1, b=[None, 'x'])"),
        (Shell(f"echo {HOSTILE}"), r"run: echo a\x1b[2J b\u202e"),
        (Command(("echo", HOSTILE)), r"command: echo 'a\x1b[2J\nb\u202e'"),
        (Call("m:f", {"a": HOSTILE}), r"call: m:f(a='a\x1b[2J\nb\u202e')"),
        (Call("m:f", {HOSTILE: 1}), r"call: m:f(a\x1b[2J\nb\u202e=1)"),
    ],
)
def test_an_action_is_one_line(action: Action, text: str) -> None:
    assert action_text(action) == text


def test_a_job_is_shown_whole() -> None:
    job = Job("a", Shell("true"), {"A": "1", "B": HOSTILE}, "sub", "First\nsecond")
    assert job_text(job).split("\n") == [
        "a",
        "  First",
        "  second",
        "  run: true",
        "  env: A=1",
        r"  env: B=a\x1b[2J\nb\u202e",
        "  cwd: sub",
    ]


def test_a_plan_lists_stages_and_jobs() -> None:
    plan = pipeline(Stage("one", jobs("a", "long-name"), max_workers=2), Stage("two", jobs("b")))
    assert plan_text(plan, Options(5, True)).split("\n") == [
        "p: 3 jobs in 2 stages; nothing is run",
        "",
        "stage one: 2 jobs, 2 workers, stop on failure",
        "  a          run: true",
        "  long-name  run: true",
        "",
        "stage two: 1 job, 1 worker, stop on failure",
        "  b  run: true",
    ]


def test_long_names_and_actions_do_not_push_the_others_out_of_sight() -> None:
    names = jobs("a", "x" * 10_000)
    plan = pipeline(Stage("s", (*names, Job("b", Shell("y" * 100_000)))))
    lines = plan_text(plan, Options()).split("\n")
    assert lines[3] == f"  a{' ' * 39}  run: true"
    assert max(map(len, lines)) < 300


def test_nothing_in_a_plan_moves_the_cursor() -> None:
    plan = pipeline(Stage(HOSTILE, (Job(HOSTILE, Shell(HOSTILE)),)), pipeline_id=HOSTILE)
    lines = plan_text(plan, Options()).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_a_plan_as_an_object() -> None:
    plan = pipeline(Stage("s", jobs("a"), stop_on_failure=True), source=ROOT / "p.yaml")
    assert plan_object(plan, Options(3)) == {
        "pipeline_id": "p",
        "source": str(ROOT / "p.yaml"),
        "root": str(ROOT),
        "sha256": plan.sha256(),
        "params": {},
        "total": 1,
        "limits": [],
        "stages": [
            {
                "name": "s",
                "workers": 1,
                "stop_on_failure": True,
                "jobs": [{"job_id": "a", "run": "true"}],
            }
        ],
    }
    assert plan_object(pipeline(Stage("s", jobs("a"))), Options())["source"] is None
