"""`idempotency_key` of a job: once it has succeeded under that, no run of the pipeline runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runstore import RunStore
from tests.lorchestra.cli.commands import Done, Project, statuses
from tests.lorchestra.cli.test_run_keys import opens
from tests.lorchestra.running import check_complete

NOTE = 'echo "{0} $LORCHESTRA_IDEMPOTENCY_KEY" >> ran; test ! -e {0}-fails'
LEAVE = "; echo '{\"rows\": 7}' > $LORCHESTRA_OUTPUT"
KEY = "${params.day}-gmail"


def job(name: str, key: str | None = KEY, line: str = "") -> dict[str, Any]:
    given = {} if key is None else {"idempotency_key": key}
    return {"run": NOTE.format(name) + line, **given}


def write(project: Project, *stages: dict[str, Any]) -> None:
    project.pipeline(*stages, params={"day": "mon"})


def ran(project: Project) -> list[str]:
    path = project.root / "ran"
    return path.read_text().splitlines() if path.exists() else []


def run_id_of(done: Done) -> str:
    return str(done.json["run_id"])


def checked(project: Project, done: Done) -> dict[str, Any]:
    """The object that was printed is that of `runs show`, and the record is in order."""
    found: dict[str, Any] = done.json
    assert project("runs", "show", found["run_id"], "--json").stdout == done.stdout
    check_complete(project.store, found["run_id"])
    end = project.store.read(found["run_id"]).end
    assert end["counts"].get("succeeded", 0) == found["succeeded"]
    assert sum(end["counts"].values()) == found["total"]
    return found


def test_a_job_that_succeeded_under_its_key_is_kept_in_every_later_run(project: Project) -> None:
    write(project, {"a": job("a"), "b": job("b", None)})
    first = project.run("--json")
    second = project.run("--json")
    found = checked(project, second)
    kept, again = found["jobs"]
    why = f"succeeded under key 'mon-gmail' in run {run_id_of(first)}"
    assert (second.code, found["succeeded"], found["failed"]) == (0, 2, 0)
    assert kept == {
        "job_id": "a",
        "stage": "s1",
        "status": "succeeded",
        "attempts": 0,
        "exit_code": None,
        "duration_ms": None,
        "log": None,
        "kept": why,
    }
    assert (again["attempts"], "kept" in again) == (1, False)
    assert f"a kept: {why}" in second.err
    assert why in project("runs", "show").out
    assert [line.split()[0] for line in ran(project)] == ["a", "b", "b"]
    assert ran(project)[0] == "a mon-gmail"
    third = checked(project, project.run("--json"))
    assert run_id_of(second) in third["jobs"][0]["kept"]


def test_another_key_another_definition_and_another_job_run(project: Project) -> None:
    write(project, {"a": job("a")})
    project.run()
    project.run("--param", "day=tue")
    write(project, {"a": job("a", line="; true")})
    project.run()
    write(project, {"b": job("a")})
    project.run()
    assert [line.split()[1] for line in ran(project)] == [
        *("mon-gmail", "tue-gmail", "mon-gmail", "mon-gmail"),
    ]


def test_what_failed_under_its_key_runs_again(project: Project) -> None:
    write(project, {"a": job("a")})
    project.write("a-fails")
    assert project.run().code == 1
    (project.root / "a-fails").unlink()
    assert [project.run().code, project.run().code] == [0, 0]
    assert len(ran(project)) == 2


def test_its_output_is_there_for_later_jobs_and_in_every_later_run(project: Project) -> None:
    use = {"run": "echo ${run.a.rows} >> rows"}
    write(project, {"a": job("a", line=LEAVE)}, {"b": use})
    first = project.run("--json")
    second = project.run("--json")
    project.store.prune(keep=1)
    assert project.store.run_ids() == [run_id_of(second)]
    assert project.run().code == 0
    assert (project.root / "rows").read_text().split() == ["7", "7", "7"]
    assert len(ran(project)) == 1
    assert project.store.read(run_id_of(second)).jobs["a"].output == {"rows": 7}
    assert run_id_of(first) != run_id_of(second)


def test_a_run_with_a_kept_job_can_be_gone_on_with(project: Project) -> None:
    use = {"run": "test -e there && echo ${run.a.rows} >> rows"}
    write(project, {"a": job("a", line=LEAVE)}, {"b": use})
    assert project.run().code == 1
    failed = project.run("--json")
    assert (failed.code, statuses(checked(project, failed))["a"]) == (1, "succeeded")
    project.write("there")
    done = project.run(f"--resume={run_id_of(failed)}", "--json")
    found = checked(project, done)
    assert (done.code, found["jobs"][0]["resumed"]) == (0, "succeeded before")
    assert (project.root / "rows").read_text() == "7\n"
    assert len(ran(project)) == 1
    project.store.compact(run_id_of(failed))
    assert project("runs", "show", run_id_of(failed), "--json").stdout == done.stdout


def test_a_resume_keeps_what_another_run_has_done_meanwhile(project: Project) -> None:
    never = {"run": "exit 4"}
    write(project, {"a": job("a"), "b": never})
    project.write("a-fails")
    failed = project.run("--json")
    (project.root / "a-fails").unlink()
    other = project.run("--json")
    resumed = project.run(f"--resume={run_id_of(failed)}", "--json")
    found = checked(project, resumed)
    assert (resumed.code, statuses(found)) == (1, {"a": "succeeded", "b": "failed"})
    assert run_id_of(other) in found["jobs"][0]["kept"]
    assert (found["jobs"][0]["attempts"], found["jobs"][0]["exit_code"]) == (1, None)
    assert [line.split()[0] for line in ran(project)] == ["a", "a"]
    write(project, {"a": job("a", line="; false"), "b": never})
    again = project.run(f"--resume={run_id_of(failed)}", "--json")
    found = checked(project, again)
    assert (statuses(found)["a"], found["jobs"][0]["attempts"]) == ("failed", 2)
    assert "kept" not in found["jobs"][0]
    assert len(ran(project)) == 3


def test_when_all_are_kept_the_run_succeeds(project: Project) -> None:
    write(project, {"a": job("a")}, {"b": job("b")})
    assert project.run().code == 0
    done = project.run("--json")
    assert (done.code, checked(project, done)["status"]) == (0, "succeeded")
    assert len(ran(project)) == 2


def test_a_job_that_is_not_selected_is_not_looked_up(project: Project) -> None:
    write(project, {"a": job("a"), "b": job("b", None)})
    project.run()
    done = project.run("--only", "b", "--json")
    assert statuses(checked(project, done)) == {"a": "skipped", "b": "succeeded"}


def test_a_dry_run_says_what_would_be_kept(project: Project) -> None:
    write(project, {"a": job("a")})
    before = project.files()
    assert "is_kept" not in project.run("--dry-run", "--json").json["stages"][0]["jobs"][0]
    assert project.files() == before
    first = project.run("--json")
    (planned,) = project.run("--dry-run", "--json").json["stages"][0]["jobs"]
    assert planned["is_kept"] is True
    assert run_id_of(first) in planned["reason"]
    assert planned["idempotency_key"] == "mon-gmail"
    assert "a  kept, succeeded under key" in project.run("--dry-run").out


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("${run.a.rows}", "it is looked up before the run, so it can refer to params, payload and"),
        ("${params.dya}", "unknown parameter 'dya'"),
        ("", "idempotency_key must not be empty"),
        ("${env.", "env."),
    ],
)
def test_a_key_that_cannot_be_known_before_the_run_is_a_mistake(
    project: Project, key: str, told: str
) -> None:
    write(project, {"a": job("a", None)}, {"b": job("b", key)})
    done = project.run()
    assert (done.code, told in done.err) == (2, True), done.err
    assert ran(project) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "has 1 to 10,000 characters, not 0"),
        ("k" * 10_001, "has 1 to 10,000 characters, not 10,001"),
        ("swordfish", "holds a secret"),
    ],
)
def test_a_key_that_is_none_is_told_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")
    project.pipeline({"a": job("a", "${params.day}")}, params={"day": "x"}, secrets=["TOKEN"])
    for dry in ((), ("--dry-run",)):
        done = project.run("--param", f"day={value}", *dry)
        assert (done.code, len(done.errors)) == (2, 1)
        assert told in done.err
    assert ran(project) == []


@pytest.mark.parametrize("value", ["a\nb", "k" * 10_000, "\x1b[31m", "\N{GRINNING FACE}" * 3])
def test_any_other_text_is_a_key(project: Project, value: str) -> None:
    write(project, {"a": job("a", "${params.day}")})
    for _ in range(2):
        done = project.run("--param", f"day={value}")
        assert done.code == 0
        assert "\x1b" not in done.err
        assert max(map(len, done.errors)) < 400
    assert (project.root / "ran").read_text() == f"a {value}\n"


def test_old_runs_are_read_only_when_a_job_has_a_key_and_only_where_they_begin(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, {"a": job("a")})
    first = run_id_of(project.run("--json"))
    store = RunStore(project.root / ".lorchestra", "os")
    for number in range(100):
        with store.create_run("p" if number % 2 else "q", ["a"]) as run, run.job("a") as log:
            log.append("metric", rows=1)
    old = set(store.run_ids())
    opened = opens(monkeypatch)
    write(project, {"a": job("a", None)})
    project.run()
    assert not [name for name in opened if name.split("/")[0] in old]
    write(project, {"a": job("a")})
    opened.clear()
    assert project.run("--json").json["jobs"][0]["attempts"] == 0
    attempts = [name for name in opened if not name.endswith("/run.jsonl")]
    assert len(attempts) <= 4  # of the run that was found
    assert Path(project.store.read(first).path).name == first


def test_items_of_a_parameter_have_keys_of_their_own(project: Project) -> None:
    each = {"run": "echo ${item} >> ran", "loop": {"over": "@params.days"}}
    each["idempotency_key"] = "day-${item}"
    project.pipeline({"each": each}, params={"days": {"type": "list", "required": True}})
    assert project.run("--param", "days=mon,tue").code == 0
    assert project.run("--param", "days=tue,wed").code == 0
    assert (project.root / "ran").read_text().split() == ["mon", "tue", "wed"]


def test_no_key_is_looked_up_in_a_loop_over_an_output(project: Project) -> None:
    each = {"run": "true", "loop": {"over": "@run.peek.items"}, "idempotency_key": "${item}"}
    project.pipeline({"peek": "true"}, {"each": each})
    done = project.run()
    assert done.code == 2
    assert "its loop must not be over an output" in done.errors[0]
