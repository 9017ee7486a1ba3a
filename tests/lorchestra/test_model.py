"""Pipelines as values: what decides what they do, and what is only for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorchestra.model import Call, Command, Job, Outcome, Pipeline, Shell, Stage

ROOT = Path("/project")


@pytest.mark.parametrize(
    ("job", "definition"),
    [
        (Job("a", Shell("ls | wc")), {"run": "ls | wc"}),
        (Job("a", Command(("ls", "-l"))), {"command": ["ls", "-l"]}),
        (Job("a", Call("m:f")), {"call": "m:f"}),
        (Job("a", Call("m:f", {"x": [1]})), {"call": "m:f", "with": {"x": [1]}}),
        (
            Job("a", Shell("ls"), env={"A": "1"}, cwd="sub", description="d", source=ROOT),
            {"run": "ls", "env": {"A": "1"}, "cwd": "sub"},
        ),
        (Job("a", Shell("ls"), cwd=""), {"run": "ls", "cwd": ""}),
    ],
)
def test_a_job_is_defined_by_what_it_does(job: Job, definition: dict[str, Any]) -> None:
    assert job.definition() == definition


def test_jobs_that_do_the_same_have_one_digest() -> None:
    job = Job("a", Call("m:f", {"x": 1, "y": 2}), env={"A": "1", "B": "2"})
    same = Job("b", Call("m:f", {"y": 2, "x": 1}), env={"B": "2", "A": "1"}, description="other")
    assert job.sha256() == same.sha256()
    others = [
        Job("a", Call("m:g", {"x": 1, "y": 2}), env={"A": "1", "B": "2"}),
        Job("a", Call("m:f", {"x": 1, "y": 3}), env={"A": "1", "B": "2"}),
        Job("a", Call("m:f", {"x": 1, "y": 2}), env={"A": "1"}),
        Job("a", Call("m:f", {"x": 1, "y": 2}), env={"A": "1", "B": "2"}, cwd="sub"),
    ]
    assert len({job.sha256(), *(other.sha256() for other in others)}) == 5


def test_a_line_for_the_shell_and_a_command_differ() -> None:
    assert Job("a", Shell("ls")).sha256() != Job("a", Command(("ls",))).sha256()


class TestPipeline:
    A, B, C = (Job(name, Shell("true")) for name in "abc")

    def test_its_jobs_stand_in_the_order_declared(self) -> None:
        pipeline = Pipeline("p", (Stage("x", (self.C, self.A)), Stage("y", (self.B,))), ROOT)
        assert pipeline.jobs == (self.C, self.A, self.B)

    def test_its_digest_tells_everything_that_decides_what_it_does(self) -> None:
        stages = (Stage("x", (self.A, self.B)),)
        pipelines = [
            Pipeline("p", stages, ROOT),
            Pipeline("q", stages, ROOT),
            Pipeline("p", stages, ROOT, stop_on_failure=True),
            Pipeline("p", (Stage("y", (self.A, self.B)),), ROOT),
            Pipeline("p", (Stage("x", (self.B, self.A)),), ROOT),
            Pipeline("p", (Stage("x", (self.A,)), Stage("y", (self.B,))), ROOT),
            Pipeline("p", (Stage("x", (self.A, self.B), max_workers=2),), ROOT),
            Pipeline("p", (Stage("x", (self.A, self.B), stop_on_failure=False),), ROOT),
        ]
        assert len({pipeline.sha256() for pipeline in pipelines}) == len(pipelines)

    def test_texts_for_people_and_places_do_not_count(self) -> None:
        stages = (Stage("x", (self.A,)),)
        described = (Stage("x", (Job("a", Shell("true"), description="d", source=ROOT),)),)
        first = Pipeline("p", stages, ROOT)
        second = Pipeline("p", described, ROOT / "other", description="d", source=ROOT)
        assert first.sha256() == second.sha256()


class TestOutcome:
    def test_what_is_not_known_is_not_told(self) -> None:
        assert Outcome("succeeded").fields() == {}
        assert Outcome("failed", exit_code=0, cpu_s=0.0, output={"a": 1}).fields() == {
            "exit_code": 0,
            "cpu_s": 0.0,
        }
        whole = Outcome("failed", 1, 2, "e", None, 3.0, 4, 5)
        assert whole.fields() == {
            "exit_code": 1,
            "signal": 2,
            "error": "e",
            "cpu_s": 3.0,
            "max_rss_kb": 4,
            "log_bytes": 5,
        }

    def test_only_success_is_success(self) -> None:
        assert Outcome("succeeded").succeeded
        assert not Outcome("failed").succeeded
        assert not Outcome("interrupted").succeeded
