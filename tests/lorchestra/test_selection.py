"""A part of a pipeline is run, and jobs that may fail do so without consequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.errors import SelectionError, UnknownReferenceError
from lorchestra.model import Pipeline
from lorchestra.plan import Options, left_out
from lorchestra.report import run_object
from lorchestra.runner import run_pipeline
from tests.lorchestra.running import Ran, Runner, check_complete, shell, stage

STAGES = (
    stage(shell("a", "true", tags=("x",)), shell("b", "true", tags=("y", "x")), name="one"),
    stage(shell("c", "true"), name="two"),
    stage(shell("d", "true", tags=("y",)), name="three"),
)
PIPELINE = Pipeline("p", STAGES, Path())


def selected(**options: Any) -> str:
    return "".join(
        job.id for job in PIPELINE.jobs if job.id not in left_out(PIPELINE, Options(**options))
    )


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        ({}, "abcd"),
        ({"only": ("c",)}, "c"),
        ({"only": ("d", "a")}, "ad"),
        ({"from_stage": "one"}, "abcd"),
        ({"from_stage": "two"}, "cd"),
        ({"tags": ("x",)}, "ab"),
        ({"tags": ("x", "y")}, "abd"),
        ({"tags": ("y",), "from_stage": "two"}, "d"),
        ({"tags": ("y",), "only": ("b", "c")}, "b"),
    ],
)
def test_what_is_selected(options: Mapping[str, Any], jobs: str) -> None:
    assert selected(**options) == jobs


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"only": ("e",)}, "the pipeline has no job 'e'"),
        ({"from_stage": "tow"}, r"no stage 'tow' \(did you mean two\?\)"),
        ({"tags": ("z",)}, "no tag 'z'"),
        ({"tags": ("x",), "from_stage": "two"}, "no job is selected"),
    ],
)
def test_what_cannot_be_selected(options: Mapping[str, Any], mistake: str) -> None:
    with pytest.raises(SelectionError, match=mistake) as caught:
        selected(**options)
    assert caught.value.exit_code == 2


@given(
    st.sets(st.sampled_from("abcd")),
    st.sampled_from([None, "one", "two", "three"]),
    st.sets(st.sampled_from("xy")),
)
def test_every_kind_of_selection_only_takes_away(
    only: set[str], from_stage: str | None, tags: set[str]
) -> None:
    alone: list[dict[str, Any]] = [
        {"only": tuple(only)},
        {"from_stage": from_stage},
        {"tags": tuple(tags)},
    ]
    expected = set.intersection(*(set(selected(**each)) for each in alone))
    both = {name: value for each in alone for name, value in each.items()}
    if expected:
        assert set(selected(**both)) == expected
    else:
        with pytest.raises(SelectionError):
            selected(**both)


def ran(run: Runner, options: Options, *stages: Any, **fields: Any) -> Ran:
    result = run_pipeline(run.pipeline(*stages, **fields), run.store, options)
    check_complete(run.store, result.run_id)
    return Ran(result, run.store)


def test_jobs_not_selected_are_recorded_and_do_not_count(run: Runner) -> None:
    done = ran(run, Options(only=("d",)), *STAGES)
    assert done.result.succeeded
    assert done.statuses() == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "succeeded"}
    assert done.view.jobs["a"].reason == "not selected: it is not among the jobs asked for"
    assert [record["stage"] for record in done.records("stage_begin")] == ["three"]
    found = run_object(done.view)
    assert (found["success"], found["stopped_early"], found["failed"]) == (True, False, 0)


def test_a_failure_among_those_selected_still_counts(run: Runner) -> None:
    stages = (
        stage(shell("a", "true"), shell("b", "false"), name="1"),
        stage(shell("c", "true"), name="2"),
    )
    done = ran(run, Options(only=("b", "c")), *stages, stop_on_failure=True)
    assert done.result.status == "failed"
    assert done.statuses() == {"a": "skipped", "b": "failed", "c": "skipped"}
    assert run_object(done.view)["stopped_early"]
    assert done.view.jobs["c"].reason == "job 'b' did not succeed"


def test_the_output_of_a_job_that_is_not_selected_is_missed_before_the_run(run: Runner) -> None:
    stages = (
        stage(shell("a", "true"), name="1"),
        stage(shell("b", "echo ${run.a.x}"), shell("c", "true"), name="2"),
    )
    with pytest.raises(UnknownReferenceError, match="job 'a' is not selected"):
        ran(run, Options(from_stage="2"), *stages)
    assert ran(run, Options(only=("c",)), *stages).result.succeeded


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_may_fail_neither_fails_the_run_nor_stops_it(run: Runner, workers: int) -> None:
    done = run(
        stage(shell("a", "exit 3", allow_failure=True), shell("b", "true"), name="1"),
        stage(shell("c", "true"), name="2"),
        workers=workers,
        stop_on_failure=True,
    )
    assert done.result.succeeded
    assert done.statuses() == {"a": "failed", "b": "succeeded", "c": "succeeded"}
    assert done.attempt("a").error == "exit code 3 (allowed to fail)"
    assert done.attempt("a").end["allowed"] is True
    found = run_object(done.view)
    assert (found["status"], found["success"], found["failed"]) == ("succeeded", True, 1)
    assert found["failures"] == [{"job_id": "a", "error": "exit code 3 (allowed to fail)"}]
    assert not found["stopped_early"]


def test_another_failure_counts_all_the_same(run: Runner) -> None:
    done = run(shell("a", "exit 3", allow_failure=True), shell("b", "exit 4"))
    assert done.result.status == "failed"


def test_whether_a_job_may_fail_makes_another_pipeline_but_no_other_job(run: Runner) -> None:
    strict, lenient = shell("a", "true"), shell("a", "true", allow_failure=True, tags=("x",))
    assert strict.sha256() == lenient.sha256()
    assert run.pipeline(strict).sha256() != run.pipeline(lenient).sha256()
