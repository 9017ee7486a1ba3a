"""Loops and matrices, from the file to the record: run, refer to, resume."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lorchestra.cli.commands import Project, statuses
from tests.lorchestra.running import check_complete, eventually, module

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

PEEK = "cat items.json > $LORCHESTRA_OUTPUT"
NOTE = "echo ${item.id} >> ran; test ! -e ${item.id}-fails"


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capfdbinary)


def offer(project: Project, *names: str, **more: Any) -> None:
    items = [{"id": name, **more} for name in names]
    project.write("items.json", json.dumps({"items": items}))


def loop(project: Project, over: Any = "@run.peek.items", **keys: Any) -> None:
    fetch = {"run": NOTE, "loop": {"over": over, "key": "@item.id"}, **keys}
    last = {"command": ["echo", "@run.fetch"]}
    project.pipeline({"peek": PEEK}, {"fetch": fetch}, {"last": last})


def ran(project: Project) -> Counter[str]:
    path = project.root / "ran"
    return Counter(path.read_text().split() if path.exists() else [])


def shown(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project("runs", "show", "--json").json
    check_complete(project.store, found["run_id"])
    return found


def run(project: Project, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = project.run("--json", "--progress", "none", *arguments)
    assert done.code == code, done.err
    found: dict[str, Any] = done.json
    assert shown(project) == found
    return found


@pytest.mark.parametrize("workers", ["1", "8"])
def test_each_item_of_an_output_is_a_job(project: Project, workers: str) -> None:
    offer(project, "a", "b", "c")
    loop(project)
    found = run(project, "--max-workers", workers)
    assert [job["job_id"] for job in found["jobs"]] == [
        *("peek", "fetch[a]", "fetch[b]", "fetch[c]", "last")
    ]
    assert set(statuses(found).values()) == {"succeeded"}
    assert ran(project) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("workers", ["1", "8"])
def test_two_thousand_items(project: Project, workers: str) -> None:
    name = module(
        project.root,
        "def peek():\n    return {'items': [{'n': n} for n in range(2000)]}\n"
        "def work(n):\n    return n\n"
        "def total(found):\n    return sum(found)\n",
    )
    fetch = {"call": f"{name}:work", "with": {"n": "@item.n"}}
    fetch |= {"loop": {"over": "@run.peek.items", "key": "@item.n"}}
    total = {"call": f"{name}:total", "with": {"found": "@run.fetch"}}
    project.pipeline({"peek": {"call": f"{name}:peek"}}, {"fetch": fetch}, {"total": total})
    found = run(project, "--max-workers", workers)
    assert found["total"] == found["succeeded"] == 2002
    view = project.store.read(found["run_id"])
    assert view.jobs["total"].output == sum(range(2000))
    assert [*view.jobs][1:2001] == [f"fetch[{n}]" for n in range(2000)]


def test_the_outputs_of_a_loop_are_a_list_in_the_order_of_the_items(project: Project) -> None:
    line = 'test ${item} != quiet && echo "{\\"n\\":\\"${item}\\"}" > $LORCHESTRA_OUTPUT; true'
    each = {"run": line, "loop": {"over": ["b", "quiet", "a"]}}
    show = {"command": ["echo", "@run.each", "${run.each[2].n}", '@run.["each[b]"].n']}
    project.pipeline({"each": each}, {"show": show})
    run(project, "--max-workers", "4")
    assert project("runs", "logs", "last", "show").out == '[{"n":"b"},null,{"n":"a"}] a b\n'


def test_an_empty_list_is_a_stage_with_nothing_to_do(project: Project) -> None:
    offer(project)
    loop(project)
    found = run(project)
    assert statuses(found) == {"peek": "succeeded", "last": "succeeded"}
    assert project("runs", "logs", "last", "last").out == "[]\n"


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ({"items": 7}, "the loop needs a list to go over, and @run.peek.items is a number"),
        ({"items": [{"id": "a"}, {"id": "a"}]}, "items 0 and 1 have the same key 'a'"),
        ({"items": [{}]}, "item 0 has no key: '@item.id': item has no field 'id'"),
        ({"itmes": []}, "the loop goes over nothing: '@run.peek.items': the output of job 'peek' "),
    ],
)
def test_items_that_are_none_fail_the_loop(
    project: Project, items: dict[str, Any], reason: str
) -> None:
    loop(project)
    project.write("items.json", json.dumps(items))
    found = run(project, code=1)
    assert statuses(found) == {"peek": "succeeded", "fetch": "failed", "last": "failed"}
    assert found["failures"][0]["job_id"] == "fetch"
    assert found["failures"][0]["error"].startswith(reason)
    assert reason in project("runs", "logs", "last", "fetch").out
    offer(project, "a")
    # The output of `peek` counts as it was: what it says now is not asked for.
    assert run(project, "--resume", code=1)["failed"] == 2


def test_a_loop_over_a_job_that_failed_fails(project: Project) -> None:
    loop(project)
    found = run(project, code=1)
    assert statuses(found) == dict.fromkeys(("peek", "fetch", "last"), "failed")
    offer(project, "a", "b")
    found = run(project, "--resume")
    assert list(statuses(found)) == ["peek", "fetch[a]", "fetch[b]", "last"]
    assert found["succeeded"] == found["total"] == 4


def test_parameters_and_lists_are_unfolded_before_the_run(project: Project) -> None:
    over = {"a": {"run": "echo ${item}", "loop": {"over": "${params.days}"}}}
    over["b"] = {"run": "echo ${matrix.x}", "matrix": {"x": [1, 2], "y": ["q", "r r"]}}
    over["c"] = {"run": "echo ${item}", "loop": {"over": "@payload.more"}}
    project.pipeline(over, params={"days": ["mon", "tue"]})
    plan = project("pipeline", "p", "--dry-run", "--json", "--param", "more=u,v").json
    names = [
        *("a[mon]", "a[tue]", "b[x=1,y=q]", 'b[x=1,y="r r"]', "b[x=2,y=q]", 'b[x=2,y="r r"]'),
        *("c[u]", "c[v]"),
    ]
    assert [job["job_id"] for job in plan["stages"][0]["jobs"]] == names
    text = project("pipeline", "p", "--dry-run", "--param", "more=u,v").out
    assert "a[mon]          run: echo mon\n" in text
    found = run(project, "--param", "more=u,v")
    assert list(statuses(found)) == names
    assert project("runs", "logs", "last", 'b[x=2,y="r r"]').out == "2\n"
    done = project.run("--param", "days=")
    assert done.errors == [
        "lorchestra: the loop needs a list to go over, and @payload.more is null"
    ]
    assert done.code == 2


def test_a_dry_run_says_what_a_later_loop_goes_over(project: Project) -> None:
    loop(project)
    assert (
        "fetch  for each of @run.peek.items, run: echo" in project("pipeline", "p", "--dry-run").out
    )
    assert not (project.root / ".lorchestra").exists()


@pytest.mark.parametrize("workers", ["1", "8"])
def test_the_jobs_of_an_item_run_one_after_another(project: Project, workers: str) -> None:
    stage = {
        "name": "each",
        "loop": {
            "over": ["x", "y", "z"],
            "payload": {"name": "@item", "day": "@payload.day"},
            "jobs": [
                {"id": "a", "run": "echo a${payload.name}${payload.day} >> ran; test ${item} != y"},
                {"id": "b", "run": "echo b${payload.name}${payload.day} >> ran"},
                {"id": "c", "run": "echo c${payload.name}${payload.day} >> ran"},
            ],
        },
    }
    project.write("p.yaml", json.dumps({"stages": [stage]}))
    found = run(project, "--max-workers", workers, "--param", "day=1", code=1)
    lines = (project.root / "ran").read_text().split()
    if workers == "1":
        assert lines == ["ax1", "bx1", "cx1", "ay1", "az1", "bz1", "cz1"]
    for name in "xz":
        assert [line for line in lines if name in line] == [f"{job}{name}1" for job in "abc"]
    assert statuses(found)["b[y]"] == statuses(found)["c[y]"] == "cancelled"
    view = project.store.read(found["run_id"])
    assert view.jobs["c[y]"].reason == "job 'a[y]' did not succeed"
    project.write("p.yaml", json.dumps({"stages": [stage]}).replace("test ${item} != y", "true"))
    found = run(project, "--resume")
    assert set(statuses(found).values()) == {"succeeded"}


def test_a_stage_may_say_directly_what_it_goes_over(project: Project) -> None:
    stage = {"name": "s", "over": [{"id": "x"}], "key": "@item.id", "payload": {"n": "@item.id"}}
    stage["jobs"] = [{"id": "a", "command": ["echo", "@payload.n"]}]
    project.write("p.yaml", json.dumps({"stages": [stage]}))
    assert list(statuses(run(project))) == ["a[x]"]


def test_a_job_tried_again_keeps_the_next_one_of_its_item_waiting(project: Project) -> None:
    retries = {"max": 2, "backoff": "10ms"}
    first = {"id": "a", "run": "echo a${item} >> ran; mkdir ${item} && exit 1; true"}
    stage = {"name": "s", "over": ["x", "y"], "jobs": [{**first, "retries": retries}]}
    stage["jobs"].append({"id": "b", "run": "echo b${item} >> ran"})  # type: ignore[attr-defined]
    project.write("p.yaml", json.dumps({"stages": [stage]}))
    run(project, "--max-workers", "4")
    assert ran(project) == {"ax": 2, "ay": 2, "bx": 1, "by": 1}
    lines = (project.root / "ran").read_text().split()
    assert [line for line in lines if "x" in line] == ["ax", "ax", "bx"]


def test_a_resume_keeps_items_that_succeeded(project: Project) -> None:
    offer(project, "a", "b", "c")
    loop(project)
    (project.root / "b-fails").touch()
    found = run(project, "--stop-on-failure", code=1)
    assert statuses(found)["fetch[c]"] == "cancelled"
    assert statuses(found)["last"] == "skipped"
    (project.root / "b-fails").unlink()
    run(project, "--resume")
    assert ran(project) == {"a": 1, "b": 2, "c": 1}


def test_an_item_that_had_dropped_out_and_is_there_again_is_kept(project: Project) -> None:
    offer(project, "x", "y")
    loop(project)
    (project.root / "y-fails").touch()
    run(project, code=1)
    for names, code in ((["y"], 1), (["x", "y"], 0)):
        offer(project, *names)
        text = (project.root / "p.yaml").read_text().replace("cat ", "cat  ")
        (project.root / "p.yaml").write_text(text)
        if code == 0:
            (project.root / "y-fails").unlink()
        found = run(project, "--resume", code=code)
    assert ran(project) == {"x": 1, "y": 3}
    assert statuses(found)["fetch[x]"] == "succeeded"
    assert found["total"] == found["succeeded"] == 4


def test_the_plan_of_a_resume_gives_no_reason_before_the_items_are_known(project: Project) -> None:
    offer(project, "a", "b")
    loop(project)
    (project.root / "b-fails").touch()
    run_id = run(project, code=1)["run_id"]
    plan = project("plan", "p", "--resume").out
    assert "fetch  for each of @run.peek.items, run: echo ${item.id}" in plan
    for _ in range(2):
        run(project, "--resume", code=1)
    reasons = [
        {job["id"]: job.get("reason") for job in record["jobs"] if "fetch" in job["id"]}
        for record in project.store.read(run_id).records()
        if record["event"] == "planned"
    ]
    known = {"fetch[a]": "succeeded before", "fetch[b]": "failed before"}
    # When it begins, when the items are known, and that in each resume.
    assert reasons[2:] == [{"fetch": None, "fetch[a]": None, "fetch[b]": None}, known] * 2


def test_a_resume_says_which_items_are_new_and_which_are_gone(project: Project) -> None:
    offer(project, "a", "b", "c", "d")
    loop(project)
    (project.root / "b-fails").touch()
    first = run(project, code=1)
    (project.root / "b-fails").unlink()
    offer(project, "new", "c", "a")
    # Its definition is another, so that it looks again.
    text = (project.root / "p.yaml").read_text().replace("cat items.json", "cat ./items.json")
    (project.root / "p.yaml").write_text(text)
    done = project.run("--resume")
    said = [line.split(maxsplit=1)[1] for line in done.errors if "fetch" in line and "]" in line]
    assert said[:5] == [
        "fetch[new] to run: new item",
        "fetch[c] kept: succeeded before",
        "fetch[a] kept: succeeded before",
        "fetch[b] left out: no item of the loop any more",
        "fetch[d] left out: no item of the loop any more",
    ]
    assert ran(project) == {"a": 1, "b": 1, "c": 1, "d": 1, "new": 1}
    found = shown(project)
    assert found["run_id"] == first["run_id"]
    assert found["status"] == "succeeded"
    assert list(statuses(found)) == ["peek", "fetch[new]", "fetch[c]", "fetch[a]", "last"]


def test_an_item_that_is_another_under_the_same_key_runs_again(project: Project) -> None:
    loop(project, run="echo ${item.id}${item.n} >> ran; test ! -e ${item.id}-fails")
    offer(project, "a", "b", n=1, at=1)
    (project.root / "b-fails").touch()
    run(project, code=1)
    (project.root / "b-fails").unlink()
    text = (project.root / "p.yaml").read_text().replace("cat items.json", "cat ./items.json")
    (project.root / "p.yaml").write_text(text)
    project.write("items.json", json.dumps({"items": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}))
    run(project, "--resume")
    assert ran(project) == {"a1": 1, "b1": 1, "b2": 1}


@pytest.mark.parametrize("workers", ["1", "8"])
def test_killed_in_the_midst_of_a_loop_and_resumed_twice(project: Project, workers: str) -> None:
    names = [f"n{number}" for number in range(20)]
    offer(project, *names)
    line = (
        "echo ${item.id} >> ran; test ${item.id} != n5 || while [ ! -e go-on ]; do sleep 0.02; done"
    )
    loop(project, run=line)
    with project.started("pipeline", "p", "--max-workers", workers) as process:
        enough = 6 if workers == "1" else 20
        eventually(lambda: ran(project).total() >= enough)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = project("runs", "show", "--json").json
    assert found["status"] == "crashed"
    assert found["total"] == 22
    assert statuses(found)["fetch[n5]"] == "crashed"
    # The orphan is at work still: nothing runs beside it.
    assert project.run("--resume").code == 75
    (project.root / "go-on").touch()
    run(project, "--resume", "--orphans", "wait", "--max-workers", workers)
    counts = ran(project)
    assert counts["n5"] == 2
    assert all(counts[name] == 1 for name in names if name != "n5") or workers == "8"
    assert set(counts) == set(names)


def test_killed_again_before_the_loop_is_unfolded_again_nothing_is_forgotten(
    project: Project,
) -> None:
    offer(project, "a", "b")
    loop(project)
    (project.root / "b-fails").touch()
    first = run(project, code=1)
    # A resume that got no further than its plan.
    view = project.store.read(first["run_id"])
    plan = [view.jobs["peek"].planned, {"id": "fetch", "stage": "s2"}]
    plan += [view.jobs[name].planned for name in ("fetch[a]", "fetch[b]", "last")]
    project.store.resume_run(first["run_id"], plan).end("failed")
    (project.root / "b-fails").unlink()
    run(project, "--resume")
    assert ran(project) == {"a": 1, "b": 2}


def test_a_loop_can_be_selected_by_its_name(project: Project) -> None:
    each = {"run": "echo ${item} >> ran", "loop": {"over": ["x", "y"]}}
    project.pipeline({"each": each, "other": "echo other >> ran"})
    found = run(project, "--only", "each")
    assert statuses(found) == {"each[x]": "succeeded", "each[y]": "succeeded", "other": "skipped"}
    run(project, "--only", "each[y]")
    assert ran(project) == {"x": 1, "y": 2}


def test_a_loop_that_does_not_come_to_its_turn_is_skipped(project: Project) -> None:
    offer(project, "a")
    loop(project)
    project.write("items.json", "no JSON")
    found = run(project, "--stop-on-failure", code=1)
    assert statuses(found) == {"peek": "failed", "fetch": "skipped", "last": "skipped"}


def test_resumed_and_stopped_before_its_turn_its_items_are_not_forgotten(project: Project) -> None:
    offer(project, "a", "b")
    loop(project)
    (project.root / "b-fails").touch()
    run(project, code=1)
    text = (project.root / "p.yaml").read_text().replace("cat items.json", "cat nothing")
    (project.root / "p.yaml").write_text(text)
    found = run(project, "--resume", "--stop-on-failure", code=1)
    assert statuses(found)["fetch[a]"] == "succeeded"
    assert statuses(found)["fetch[b]"] == "failed"
    view = project.store.read(found["run_id"])
    done = project.run("--resume", "--stop-on-failure")
    again = project.store.read(found["run_id"])
    assert again.end["counts"] == view.end["counts"]
    counts = {"succeeded": 2, "failed": 2, "skipped": 1}
    assert view.end["counts"] == counts
    (line,) = (line for line in done.errors if "run failed in" in line)
    assert all(f"{number} {status}" in line for status, number in counts.items())
    (project.root / "p.yaml").write_text(text.replace("cat nothing", "cat items.json"))
    (project.root / "b-fails").unlink()
    run(project, "--resume")
    assert ran(project) == {"a": 1, "b": 2}
