"""The keys of a pipeline file that say how long something may take and how often it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra import Job, Pipeline, Retries, load_pipeline
from lorchestra.errors import PipelineSyntaxError


def load(folder: Path, job: str, top: str = "") -> Pipeline:
    path = folder / "p.yaml"
    path.write_text(f"{top}\nstages: [{{name: s, jobs: [{{id: a, {job}}}]}}]\n")
    return load_pipeline(path, folder)


def job_of(folder: Path, text: str) -> Job:
    (job,) = load(folder, text).jobs
    return job


def test_without_them_nothing_is_limited_and_nothing_tried_again(tmp_path: Path) -> None:
    pipeline = load(tmp_path, "run: x")
    (job,) = pipeline.jobs
    assert (job.timeout_s, job.total_timeout_s, job.retries) == (None, None, None)
    assert (pipeline.halt, pipeline.grace_s, pipeline.timeout_s) == ("soon", 10.0, None)
    assert job.rules() == {}


def test_those_of_a_job(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "call: 'm:f', timeout: 5m, total_timeout: 90, isolation: process, retries: "
        "{max: 3, backoff: 2s, factor: 1.5, max_backoff: 1m, jitter: true, on_exit_codes: [75]}",
    )
    assert (job.timeout_s, job.total_timeout_s, job.isolation) == (300.0, 90.0, "process")
    assert job.retries == Retries(3, 2.0, 1.5, 60.0, jitter=True, on_exit_codes=frozenset({75}))
    assert job.rules() == {
        "timeout": "5m",
        "total_timeout": "1m30s",
        "retries": {
            "max": 3,
            "backoff": "2s",
            "factor": 1.5,
            "max_backoff": "1m",
            "jitter": True,
            "on_exit_codes": [75],
        },
        "isolation": "process",
    }


def test_only_how_many_retries(tmp_path: Path) -> None:
    assert job_of(tmp_path, "run: x, retries: 2").retries == Retries(2)


def test_those_of_a_pipeline(tmp_path: Path) -> None:
    pipeline = load(tmp_path, "run: x", "halt: now\ngrace: 0s\ntimeout: 1h30m")
    assert (pipeline.halt, pipeline.grace_s, pipeline.timeout_s) == ("now", 0.0, 5400.0)


def test_what_a_job_does_is_the_same_however_long_it_may_take(tmp_path: Path) -> None:
    plain = job_of(tmp_path, "run: x").sha256()
    assert job_of(tmp_path, "run: x, timeout: 5m, retries: 2").sha256() == plain


@pytest.mark.parametrize(
    ("job", "top", "mistake"),
    [
        ("run: x, timeout: soon", "", "timeout must be a duration such as 30s, 5m, 1h30m or 2d"),
        ("run: x, timeout: -5", "", "timeout must be a duration such as"),
        ("run: x, timeout: 0s", "", "timeout must be longer than nothing"),
        ("run: x, timeout: 99999999d", "", "timeout must be a duration such as"),
        ("run: x, timeout: no", "", "timeout must be a duration such as"),
        ("run: x, total_timeout: []", "", "total_timeout must be a duration such as"),
        ("run: x, retries: many", "", "retries must be a whole number of at least 0"),
        ("run: x, retries: -1", "", "retries must be a whole number of at least 0"),
        ("run: x, retries: 9999999", "", "retries must be at most 1,000,000"),
        ("run: x, retries: {}", "", "retries needs 'max'"),
        ("run: x, retries: {max: 1, backof: 1s}", "", "unknown key 'backof' (did you mean"),
        ("run: x, retries: {max: 1, factor: 0.5}", "", "factor must be from 1 to 1000, not 0.5"),
        ("run: x, retries: {max: 1, factor: x}", "", "factor must be a number"),
        ("run: x, retries: {max: 1, jitter: 1}", "", "jitter must be true or false"),
        ("run: x, retries: {max: 1, on_exit_codes: []}", "", "must name at least one exit code"),
        ("run: x, retries: {max: 1, on_exit_codes: [0]}", "", "a whole number of at least 1"),
        ("run: x, retries: {max: 1, on_exit_codes: [256]}", "", "must be at most 255"),
        ("run: x, isolation: process", "", "isolation is only for a call"),
        ("call: 'm:f', isolation: docker", "", "isolation must be thread or process"),
        ("run: x", "halt: later", "halt must be soon or now"),
        ("run: x", "grace: x", "grace must be a duration such as"),
        ("run: x", "timeout: 0", "timeout must be longer than nothing"),
    ],
)
def test_mistakes_are_told_with_their_place(
    tmp_path: Path, job: str, top: str, mistake: str
) -> None:
    with pytest.raises(PipelineSyntaxError) as caught:
        load(tmp_path, job, top)
    lines = [line for line in str(caught.value).splitlines() if mistake in line]
    assert len(lines) == 1
    assert "p.yaml:" in lines[0]
