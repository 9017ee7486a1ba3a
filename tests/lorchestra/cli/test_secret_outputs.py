"""What jobs leave with a secret in it: later jobs get it, the record does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lorchestra.cli.commands import Done, Project, statuses

SECRET = "swordfish"
FETCH = 'echo fetch >> ran; printf \'{"token": "%s", "n": 3}\' $TOKEN > $LORCHESTRA_OUTPUT'
USE = 'echo use >> ran; test -e ok && test "${run.fetch.token}" = $TOKEN'
MODULE = """\
import os
from lorchestra import current_job


def fetch():
    with open("ran", "a") as file:
        file.write("fetch\\n")
    return {"token": os.environ["TOKEN"], "n": 3}


def record():
    current_job().append("got", token=os.environ["TOKEN"], **{os.environ["TOKEN"]: 1})
"""
WHY = "its output had a secret, which is not recorded"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)


def write(project: Project, fetch: dict[str, Any], use: str = USE) -> None:
    project.pipeline({"fetch": fetch}, {"use": {"run": use}}, secrets=["TOKEN"])
    project.write("steps.py", MODULE)


def ran(project: Project) -> list[str]:
    return (project.root / "ran").read_text().split()


def assert_not_recorded(project: Project) -> None:
    """No record of any run has the secret, and all of them can be verified."""
    found = [
        path for path in (project.root / ".lorchestra").rglob("*.jsonl") if path.stat().st_size
    ]
    assert found
    assert [path for path in found if SECRET.encode() in path.read_bytes()] == []
    assert project.store.verify(strict=True).errors == []


def reason(project: Project, done: Done, job_id: str) -> str | None:
    found = project.store.read(done.json["run_id"]).jobs[job_id].planned.get("reason")
    assert found is None or isinstance(found, str)
    return found


FETCHES: dict[str, dict[str, Any]] = {
    "process": {"run": FETCH},
    "thread": {"call": "steps:fetch"},
    "process of its own": {"call": "steps:fetch", "isolation": "process"},
}
of_every_kind = pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)


@of_every_kind
def test_a_later_job_gets_the_secret_and_the_record_does_not(
    project: Project, fetch: dict[str, Any]
) -> None:
    write(project, fetch)
    project.write("ok")
    done = project.run("--json")
    assert statuses(done.json) == {"fetch": "succeeded", "use": "succeeded"}
    job = project.store.read(done.json["run_id"]).jobs["fetch"]
    assert (job.output, job.output_is_masked) == ({"token": "***", "n": 3}, True)
    assert_not_recorded(project)


@of_every_kind
@pytest.mark.parametrize("compacted", [False, True], ids=["loose", "sealed"])
def test_a_resume_has_it_still(project: Project, fetch: dict[str, Any], *, compacted: bool) -> None:
    write(project, fetch)
    first = project.run("--json")
    assert statuses(first.json) == {"fetch": "succeeded", "use": "failed"}
    if compacted:
        project.store.compact(first.json["run_id"])
    project.write("ok")
    again = project.run("--resume", "--json")
    assert statuses(again.json) == {"fetch": "succeeded", "use": "succeeded"}
    assert ran(project) == ["fetch", "use", "use"]
    assert reason(project, again, "fetch") == "succeeded before"
    assert_not_recorded(project)


def gone(project: Project, _monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (project.root / ".lorchestra").rglob("*output*"):
        path.unlink()


def other(project: Project, _monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (project.root / ".lorchestra").rglob("*output*"):
        path.write_text('{"token": "swordfish", "n": 4}')


def rubbish(project: Project, _monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (project.root / ".lorchestra").rglob("*output*"):
        path.write_bytes(b"\xff{")


def replaced(_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "haddock")


@pytest.mark.parametrize("lose", [gone, other, rubbish, replaced])
def test_what_cannot_be_had_any_more_is_made_again(
    project: Project,
    lose: Callable[[Project, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(project, {"run": FETCH})
    project.run()
    project.write("ok")
    lose(project, monkeypatch)
    plan = project.run("--resume", "--dry-run", "--json").json
    assert [job.get("reason") for job in plan["stages"][0]["jobs"]] == [WHY]
    again = project.run("--resume", "--json")
    assert statuses(again.json) == {"fetch": "succeeded", "use": "succeeded"}
    assert ran(project) == ["fetch", "use", "fetch", "use"]
    assert reason(project, again, "fetch") == WHY


def test_what_nobody_needs_is_not_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, {"run": FETCH}, "echo use >> ran; test -e ok")
    project.run()
    project.write("ok")
    gone(project, monkeypatch)
    assert project.run("--resume").code == 0
    assert ran(project) == ["fetch", "use", "use"]


def test_what_it_was_made_of_is_made_again_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pipeline(
        {"a": {"run": 'echo a >> ran; printf \'{"t": "%s"}\' $TOKEN > $LORCHESTRA_OUTPUT'}},
        {"b": {"run": 'echo b >> ran; printf \'{"t": "%s"}\' "${run.a.t}" > $LORCHESTRA_OUTPUT'}},
        {"c": {"run": 'echo c >> ran; test -e ok && test "${run.b.t}" = $TOKEN'}},
        secrets=["TOKEN"],
    )
    project.run()
    project.write("ok")
    gone(project, monkeypatch)
    assert project.run("--resume").code == 0
    assert ran(project) == ["a", "b", "c", "a", "b", "c"]


def test_a_job_of_its_own_key_gives_it_to_later_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, {"run": FETCH, "idempotency_key": "monday"})
    project.write("ok")
    for _ in range(3):  # the last one finds a run in which it was kept
        assert project.run().code == 0
    assert ran(project) == ["fetch", "use", "use", "use"]
    assert_not_recorded(project)
    gone(project, monkeypatch)
    assert project.run().code == 0
    assert ran(project)[4:] == ["fetch", "use"]


def test_a_resume_of_a_run_that_kept_it_has_it_still(project: Project) -> None:
    write(project, {"run": FETCH, "idempotency_key": "monday"})
    project.run("--only", "fetch")
    project.run()
    project.write("ok")
    assert project.run("--resume").code == 0
    assert ran(project) == ["fetch", "use", "use"]


def test_the_items_of_a_loop_have_it_still(project: Project) -> None:
    peek = 'printf \'{"items": [{"id": 1, "t": "%s"}, {"id": 2}]}\' $TOKEN'
    project.pipeline(
        {"peek": {"run": f"{peek} > $LORCHESTRA_OUTPUT"}},
        {
            "fetch": {
                "loop": {"over": "@run.peek.items", "key": "${item.id}"},
                "run": 'echo ${item.id} >> ran; printf \'{"t": "%s"}\' $TOKEN > $LORCHESTRA_OUTPUT',
            }
        },
        {"use": {"run": "echo use >> ran; test -e ok && echo ${run.fetch} | grep -q swordfish"}},
        secrets=["TOKEN"],
    )
    assert project.run().code == 1
    project.write("ok")
    assert project.run("--resume").code == 0
    assert ran(project) == ["1", "2", "use", "use"]
    assert_not_recorded(project)


@pytest.mark.parametrize("over", ["output", "parameter"])
def test_an_item_whose_key_is_a_secret_is_refused(project: Project, over: str) -> None:
    peek = {"run": 'printf \'{"items": ["%s"]}\' $TOKEN > $LORCHESTRA_OUTPUT'}
    what = "@run.peek.items" if over == "output" else "@params.items"
    project.pipeline(
        {"peek": peek},
        {"fetch": {"loop": {"over": what}, "run": "echo ${item}"}},
        secrets=["TOKEN"],
        params={"items": {"type": "list", "default": [SECRET]}},
    )
    done = project.run()
    assert done.code != 0
    assert "the key of an item of 'fetch' holds a secret" in done.err
    assert SECRET not in done.err
    if over == "output":
        assert_not_recorded(project)


def test_what_a_function_records_is_masked(project: Project) -> None:
    write(project, {"call": "steps:record"}, "true")
    assert project.run().code == 0
    (run_id,) = project.store.run_ids()
    (got,) = (each for each in project.store.read(run_id).records() if each["event"] == "got")
    assert (got["token"], got["***"]) == ("***", 1)
    assert_not_recorded(project)


LONG = "github_pat_" + "Q" * 82
INNER = {"n": {"type": "int", "default": 0}}
QUOTING: dict[str, dict[str, Any]] = {
    "a parameter": {"pipeline": "inner", "with": {"n": "@env.TOKEN"}},
    "an error that is cut": {"call": "failing:fail", "with": {"text": "@env.TOKEN"}},
    "a program": {"command": ["no/" + "x" * 950 + "${env.TOKEN}"]},
    "a folder": {"run": "true", "cwd": "no/" + ("x" * 97 + "/") * 8 + "${env.TOKEN}${env.TOKEN}"},
}


@pytest.mark.parametrize("job", QUOTING.values(), ids=QUOTING)
def test_an_error_that_quotes_and_cuts_a_secret_shows_nothing_of_it(
    project: Project, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", LONG)
    project.pipeline({"x": "true"}, name="inner.yaml", params=INNER)
    project.pipeline({"a": job}, secrets=["TOKEN"])
    project.write("failing.py", "def fail(text): raise ValueError('x' * 1950 + text)\n")
    done = project.run("--json")
    shown = done.out + done.err + project("runs", "show", "last", "--json").out
    shown += "".join(path.read_text() for path in (project.root / ".lorchestra").rglob("*.jsonl"))
    assert done.code == 1
    assert "github_pat" not in shown
    assert "***" in shown


def test_a_secret_that_is_a_number_is_masked_where_it_is_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "73219846")
    write(project, {"run": "printf '{\"token\": %s}' $TOKEN > $LORCHESTRA_OUTPUT"})
    project.write("ok")
    project.write("ran")
    assert project.run().code == 0
    job = project.store.read(project.store.run_ids()[0]).jobs["fetch"]
    assert (job.output, job.output_is_masked) == ({"token": "***"}, True)


def test_the_name_of_an_event_is_masked(project: Project) -> None:
    function = "def f(name): lorchestra.current_job().append(name)"
    project.write("naming.py", f"import lorchestra\n{function}")
    job = {"call": "naming:f", "with": {"name": "@env.TOKEN"}}
    project.pipeline({"a": job}, secrets=["TOKEN"])
    assert project.run().code == 0
    assert_not_recorded(project)
