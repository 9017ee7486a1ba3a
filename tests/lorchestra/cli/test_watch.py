"""`runs watch`, `runs diff` and the filters of `runs list`: from the store alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from runstore import RunStore
from tests.lorchestra.cli.commands import Done, Project, ended
from tests.lorchestra.running import eventually


def lines(text: str) -> list[str]:
    """Lines without what is another in every run, or later: the time of day, how long it took."""
    return [re.sub(r"^\d\d:\d\d:\d\d |\d+\.\d+ s", "", line) for line in text.splitlines()]


PIPELINES: dict[str, dict[str, Any]] = {
    "plain": {"stages": [{"a": "echo one; echo two", "b": "echo x; exit 3"}, {"c": "true"}]},
    "retried": {
        "stages": [{"a": {"run": "test -e ok || { touch ok; exit 1; }", "retries": {"max": 1}}}]
    },
    "stopped": {"stages": [{"a": "exit 1", "b": "true"}, {"c": "true"}], "stop_on_failure": True},
    "loop": {
        "stages": [
            {"peek": "echo '{\"items\": [1, 2]}' > $LORCHESTRA_OUTPUT"},
            {"each": {"loop": {"over": "@run.peek.items"}, "run": "echo ${item}"}},
        ]
    },
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("output", ["failed", "grouped"])
def test_what_is_watched_is_what_the_runner_showed(
    project: Project, name: str, output: str
) -> None:
    keys = dict(PIPELINES[name])
    project.pipeline(*keys.pop("stages"), **keys)
    ran = project.run("--output", output)
    watched = project("runs", "watch", "--output", output)
    assert (watched.code, watched.out) == (ran.code, "")
    shown = [line for line in lines(ran.err) if not line.startswith(("to go on", "receipt"))]
    assert lines(watched.err) == shown


def test_a_resumed_run_is_watched_from_its_beginning(project: Project) -> None:
    project.pipeline({"a": "true", "b": "test -e ok"})
    first = project.run()
    project.write("ok")
    again = project.run("--resume")
    watched = project("runs", "watch")
    shown = [
        line
        for line in lines(first.err + again.err)
        if not line.startswith(("to go on", "receipt", "---", "    log")) and line
    ]
    assert watched.code == 0
    assert lines(watched.err) == shown


def test_events_are_those_of_the_run(project: Project) -> None:
    project.pipeline({"a": "true", "b": "exit 3"})
    ran = project.run("--progress", "json")
    watched = project("runs", "watch", "--progress", "json")

    def events(done: Done) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in done.err.splitlines()]
        return [{key: each[key] for key in each.keys() - {"at", "duration_s"}} for each in found]

    assert events(watched) == events(ran)


def test_one_at_work_is_watched_to_its_end(project: Project) -> None:
    project.pipeline({"a": "echo begun; while [ ! -e go-on ]; do sleep 0.02; done"})
    with project.started("pipeline", "p") as running:
        eventually(lambda: bool(RunStore(project.root / ".lorchestra").run_ids()))
        with project.started("runs", "watch", "--output", "prefixed") as watching:
            assert watching.stderr is not None
            while watching.stderr.readline() != b"a | begun\n":
                pass
            project.write("go-on")
            done = ended(watching)
        ended(running)
    assert done.code == 0
    assert "run succeeded" in done.err


def test_one_that_was_killed_is_over(project: Project) -> None:
    project.pipeline({"a": "sleep 5"})
    with project.started("pipeline", "p") as running:
        eventually(lambda: "a.a1.log" in " ".join(project.files()))
        running.kill()
        running.wait()
        running.communicate()
        done = project("runs", "watch")
    assert done.code == 1
    assert "is over without an end" in done.err


def record(project: Project, pipeline: str, status: str) -> str:
    with RunStore(project.root / ".lorchestra", "os").create_run(pipeline) as run:
        run.end(status)
    return run.id


class TestList:
    def listed(self, project: Project, *options: str) -> list[str]:
        found = project("runs", "list", "--json", *options).json
        return [each["run_id"] for each in found]

    def test_the_runs_asked_for_are_listed(self, project: Project) -> None:
        a = record(project, "a", "failed")
        b = record(project, "b", "succeeded")
        c = record(project, "b", "interrupted")
        assert self.listed(project) == [c, b, a]
        assert self.listed(project, "--pipeline", "b") == [c, b]
        assert self.listed(project, "--status", "failed", "--status", "succeeded") == [b, a]
        assert self.listed(project, "--since", "1h") == [c, b, a]
        assert self.listed(project, "--since", "0s") == []
        assert self.listed(project, "--since", "2020-01-01") == [c, b, a]
        assert self.listed(project, "--since", "2999-01-01T10:00") == []
        assert self.listed(project, "--pipeline", "b", "-n", "1") == [c]

    def test_of_none_it_is_said(self, project: Project) -> None:
        record(project, "a", "failed")
        done = project("runs", "list", "--status", "crashed")
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith("no such run in the store ")

    @pytest.mark.parametrize("since", ["yesterday", "", "2026-13-01", "5", "1h 2"])
    def test_what_is_no_moment_is_refused(self, project: Project, since: str) -> None:
        done = project("runs", "list", "--since", since)
        assert done.code == 2
        assert "must be like 2026-11-24" in done.err

    def test_runs_inside_others_are_listed_when_asked_for(self, project: Project) -> None:
        project.pipeline({"x": "true"}, name="inner.yaml")
        project.pipeline({"a": {"pipeline": "inner"}})
        outer = project.run("--json").json["run_id"]
        assert self.listed(project) == [outer]
        assert len(self.listed(project, "--inside")) == 2


class TestDiff:
    def test_what_is_another_is_said_the_worst_first(self, project: Project) -> None:
        project.pipeline({"a": "true", "b": "exit 1", "c": "true", "gone": "true"})
        project.run()
        (before,) = project.store.run_ids()
        project.pipeline({"a": "exit 1", "b": "true", "c": "sleep 0.4", "new": "true"})
        project.run()
        found = project("runs", "diff", before, "--json").json
        assert [(each["job_id"], each["change"]) for each in found["changes"]] == [
            *(("a", "failed anew"), ("b", "mended"), ("c", "slower")),
            *(("new", "added"), ("gone", "removed")),
        ]
        assert found["changes"][0]["after"]["status"] == "failed"
        done = project("runs", "diff", before)
        rows = [re.split("  +", line) for line in done.out.splitlines()]
        assert rows[0][:2] == ["before", before]
        assert [row[:2] for row in rows[4:]] == [
            [each["job_id"], each["change"]] for each in found["changes"]
        ]

    def test_a_run_and_itself(self, project: Project) -> None:
        project.pipeline({"a": "true"})
        project.run()
        done = project("runs", "diff", "last", "last")
        assert (done.code, done.out.splitlines()[-1]) == (0, "nothing is another")


class TestFollowedLog:
    def test_a_job_is_followed_to_its_end(self, project: Project) -> None:
        project.pipeline(
            {"a": "echo one; while [ ! -e go-on ]; do sleep 0.02; done; printf two"},
            {"b": "while [ ! -e end ]; do sleep 0.02; done"},
        )
        with project.started("pipeline", "p") as running:
            eventually(lambda: "a.a1.log" in " ".join(project.files()))
            with project.started("runs", "logs", "last", "a", "--follow") as following:
                assert following.stdout is not None
                assert following.stdout.readline() == b"one\n"
                project.write("go-on")
                assert ended(following).stdout == b"two"  # although its run is still at work
            project.write("end")
            assert ended(running).code == 0

    def test_one_that_has_ended_is_printed(self, project: Project) -> None:
        project.pipeline({"a": "echo one"})
        project.run()
        assert project("runs", "logs", "last", "a", "-f").stdout == b"one\n"

    def test_one_whose_run_was_killed_is_over(self, project: Project) -> None:
        project.pipeline({"a": "echo one; sleep 5"})
        with project.started("pipeline", "p") as running:
            eventually(lambda: "a.a1.log" in " ".join(project.files()))
            running.kill()
            running.wait()
            running.communicate()
            done = project("runs", "logs", "last", "a", "--follow")
        assert (done.code, done.out) == (0, "one\n")
