"""Jobs that are planned while the run goes on stand where those stood that stood for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runstore import RecordError, Run, RunStore, SegmentClosedError


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


def item(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"id": f"{name}[{key}]", "stage": "loop", "of": name, **more}


def jobs(store: RunStore, run: Run) -> dict[str, str]:
    return {job.id: job.status for job in store.read(run.id).jobs.values()}


def succeed(run: Run, *names: str) -> None:
    for name in names:
        run.job(name).end("succeeded")


def test_they_stand_in_the_place_of_the_first_and_the_others_are_gone(store: RunStore) -> None:
    with store.create_run("p", ["peek", "a", "b", "last"]) as run:
        succeed(run, "peek")
        run.plan_more([item("a", "1"), item("b", "1"), item("a", "2")], instead_of=["a", "b"])
        planned = {"peek": "succeeded", "a[1]": "planned", "b[1]": "planned", "a[2]": "planned"}
        assert jobs(store, run) == {**planned, "last": "planned"}
        assert list(jobs(store, run)) == ["peek", "a[1]", "b[1]", "a[2]", "last"]
        succeed(run, "a[2]", "b[1]", "a[1]", "last")
        run.end()
    view = store.read(run.id)
    assert view.status == "succeeded"
    assert view.end["counts"] == {"succeeded": 5}
    assert view.jobs["a[2]"].stage == "loop"
    assert store.verify(run.id, strict=True).ok


def test_without_any_the_job_is_gone(store: RunStore) -> None:
    with store.create_run("p", ["a", "b"]) as run:
        run.plan_more([], instead_of=["a"])
        succeed(run, "b")
        run.end()
    assert jobs(store, run) == {"b": "succeeded"}
    assert store.read(run.id).end["counts"] == {"succeeded": 1}


def test_thousands_stand_in_several_records(store: RunStore) -> None:
    with store.create_run("p", ["a", "b"]) as run:
        run.plan_more((item("a", str(n)) for n in range(1234)), instead_of=["a"])
        succeed(run, "a[1233]")
    assert [*jobs(store, run)] == [*(f"a[{n}]" for n in range(1234)), "b"]
    records = [each for each in store.read(run.id).records() if each["event"] == "planned"]
    assert [len(each["jobs"]) for each in records] == [2, 500, 500, 234]
    assert store.verify(run.id, strict=True).ok
    before = jobs(store, run)
    store.compact(run.id)
    assert jobs(store, run) == before


def test_a_resume_keeps_what_is_planned_again_and_loses_the_rest(store: RunStore) -> None:
    run = store.create_run("p", ["a", "b"])
    run.plan_more([item("a", "kept"), item("a", "gone"), item("a", "late")], instead_of=["a"])
    succeed(run, "a[kept]", "a[gone]")
    run.end("failed")
    before = [item("a", "kept"), item("a", "gone"), item("a", "late")]
    with store.resume_run(run.id, ["a", *before, "b"]) as again:
        # What has been done is known, also before the loop is unfolded again.
        assert jobs(store, run)["a[kept]"] == "succeeded"
        again.plan_more([item("a", "late"), item("a", "kept"), item("a", "new")], instead_of=["a"])
        succeed(again, "a[late]", "a[new]", "b")
        again.end()
    assert jobs(store, run) == dict.fromkeys(("a[late]", "a[kept]", "a[new]", "b"), "succeeded")
    assert [*jobs(store, run)] == ["a[late]", "a[kept]", "a[new]", "b"]
    view = store.read(run.id)
    assert view.end["counts"] == {"succeeded": 4}
    assert view.status == "succeeded"
    assert store.verify(run.id, strict=True).ok


def test_a_resume_of_the_same_plan_knows_it(store: RunStore) -> None:
    run = store.create_run("p", ["a"])
    run.plan_more([item("a", "1"), item("a", "2")], instead_of=["a"])
    succeed(run, "a[1]")
    run.end("failed")
    with store.resume_run(run.id) as again:
        succeed(again, "a[2]")
        again.end()
    assert jobs(store, run) == {"a[1]": "succeeded", "a[2]": "succeeded"}


@pytest.mark.parametrize("given", [None, ["a", "b", "c"]])
def test_a_resume_that_plans_nothing_anew_loses_no_job_by_what_is_planned_later(
    store: RunStore, given: list[str] | None
) -> None:
    run = store.create_run("p", ["a", "b", "c"])
    succeed(run, "b")
    run.end("failed")
    with store.resume_run(run.id, given) as again:
        again.plan_more([item("a", "1"), item("a", "2")], instead_of=["a"])
        succeed(again, "a[1]", "a[2]")
        again.end()
    with store.resume_run(run.id, given and [item("a", "1"), item("a", "2"), "b", "c"]) as again:
        again.plan_more([item("a", "2"), item("a", "3")], instead_of=["a"])
        succeed(again, "a[3]", "c")
        again.end()
    view = store.read(run.id)
    assert [*view.jobs] == ["a[2]", "a[3]", "b", "c"]
    assert jobs(store, run) == dict.fromkeys(view.jobs, "succeeded")
    assert view.end["counts"] == {"succeeded": 4}


def test_one_that_succeeded_before_a_resume_and_is_planned_later_counts_as_that(
    store: RunStore,
) -> None:
    run = store.create_run("p", ["loop"])
    run.plan_more([item("loop", "0"), item("loop", "1")], instead_of=["loop"])
    succeed(run, "loop[0]")
    run.end("failed")
    with store.resume_run(run.id, ["loop"]) as again:
        again.plan_more([item("loop", "0"), item("loop", "1")], instead_of=["loop"])
        succeed(again, "loop[1]")
        again.end()
    view = store.read(run.id)
    assert (view.status, view.end["counts"]) == ("succeeded", {"succeeded": 2})


def test_two_plans_for_one_job_in_one_file_add_up(store: RunStore) -> None:
    with store.create_run("p", ["loop"]) as run:
        run.plan_more([item("loop", "0")], instead_of=["loop"])
        run.plan_more([item("loop", "1")], instead_of=["loop"])
        succeed(run, "loop[1]")
    view = store.read(run.id)
    assert {job.id: job.status for job in view.jobs.values()} == {
        "loop[0]": "planned",
        "loop[1]": "succeeded",
    }
    assert (view.status, view.end["counts"]) == ("failed", {"planned": 1, "succeeded": 1})


def test_one_that_is_at_work_when_others_take_its_place_counts_no_more(store: RunStore) -> None:
    with store.create_run("p", ["loop"]) as run:
        log = run.job("loop")
        run.plan_more([item("loop", "0")], instead_of=["loop"])
        log.end("failed")
        succeed(run, "loop[0]")
    view = store.read(run.id)
    assert [*view.jobs] == ["loop[0]"]
    assert (view.status, view.end["counts"]) == ("succeeded", {"succeeded": 1})


@pytest.mark.parametrize("instead_of", ["loop", [5], [["loop"]], [None]])
def test_places_that_are_no_ids_are_refused_and_nothing_is_written(
    store: RunStore, instead_of: Any
) -> None:
    with store.create_run("p", ["loop"]) as run:
        before = len(list(store.read(run.id).records()))
        with pytest.raises(RecordError):
            run.plan_more(["x"], instead_of=instead_of)
        with pytest.raises(RecordError):
            run.plan_more([{"id": "x", "of": ["loop"]}])
        assert len(list(store.read(run.id).records())) == before


def test_a_job_that_was_taken_out_and_is_put_back_counts_as_what_it_was(store: RunStore) -> None:
    run = store.create_run("p", ["a", "b"])
    succeed(run, "a", "b")
    run.end()
    for plan in (["a"], ["a", "b"]):
        with store.resume_run(run.id, plan) as again:
            again.end()
        view = store.read(run.id)
        assert view.end["counts"] == {"succeeded": len(plan)}
        assert [*view.jobs] == plan


def test_what_cannot_be_planned_is_refused_and_leaves_nothing(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        for wrong in (["x", "x"], [""], [{"stage": "s"}]):
            with pytest.raises(RecordError):
                run.plan_more(wrong, instead_of=["a"])
        assert jobs(store, run) == {"a": "planned"}
        run.job("a").end("succeeded")
        run.end()
        with pytest.raises(SegmentClosedError):
            run.plan_more(["b"])


def test_the_run_inside_an_attempt_is_known(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        inner = store.create_run("q", ["x"], parent={"run": run.id, "job": "a"})
        inner.end("failed")
        with run.job("a") as log:
            log.append("child_run", child=inner.id)
            log.end("failed")
        with run.job("b") as log:
            log.append("child_run", child=7)
    assert store.read(run.id).jobs["a"].attempts[0].child == inner.id
    assert store.read(run.id).jobs["b"].attempts[0].child is None
    assert {each.id: each.parent for each in store.runs()} == {run.id: None, inner.id: run.id}
