"""Random pipelines, outcomes, kills and resumes: what happens is what a plain model says."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorchestra import Job, Options, Pipeline, Retries, Stage, run_pipeline
from lorchestra.progress import (
    Event,
    JobChosen,
    JobFinished,
    JobNotRun,
    JobStarted,
    RunFinished,
    StageFinished,
    StageStarted,
)
from runstore import RunStore
from tests import scale
from tests.lorchestra.modelled import Model, ModelJob, ModelStage, Session, Told
from tests.lorchestra.running import command

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

ENDED, KILLED = 0, 9
NAMES = "abcdefgh"
# Exits with the code that stands for its attempt; each leaves a line, by which they are counted.
SCRIPT = """
echo $LORCHESTRA_ATTEMPT >> "ran-$LORCHESTRA_JOB_ID"
[ $LORCHESTRA_ATTEMPT -le $# ] || exit 0
shift $((LORCHESTRA_ATTEMPT - 1))
exit $1
"""


# Scenarios


@st.composite
def jobs(draw: st.DrawFn, job_id: str) -> ModelJob:
    return ModelJob(
        job_id,
        tuple(draw(st.lists(st.sampled_from([0, 1, 1, 75]), max_size=4))),
        draw(st.sampled_from([None, None, 1, 2])),
        draw(st.sampled_from([None, None, frozenset({75})])),
        draw(st.sampled_from([False, False, False, True])),
    )


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[ModelStage, ...]:
    names = iter(NAMES)
    stages = []
    for number in range(draw(st.integers(1, 3))):
        own = [draw(jobs(next(names))) for _ in range(draw(st.integers(1, 2)))]
        stops = draw(st.sampled_from([None, None, True]))
        stages.append(ModelStage(f"s{number}", tuple(own), stops))
    return tuple(stages)


@st.composite
def edited(draw: st.DrawFn, stages: tuple[ModelStage, ...]) -> tuple[ModelStage, ...]:
    """The pipeline as somebody has changed it before a resume."""
    first, *rest = stages
    kind = draw(st.sampled_from(["same", "same", "other", "new", "gone"]))
    if kind == "other":
        changed = replace(first.jobs[0], version=first.jobs[0].version + 1)
        return (replace(first, jobs=(changed, *first.jobs[1:])), *rest)
    if kind == "new" and all(job.id != "new" for job in first.jobs):
        return (replace(first, jobs=(draw(jobs("new")), *first.jobs)), *rest)
    if kind == "gone" and len(first.jobs) > 1:
        return (replace(first, jobs=first.jobs[1:]), *rest)
    return stages


@st.composite
def scenarios(draw: st.DrawFn) -> list[Session]:
    stages = draw(pipelines())
    sessions = []
    for _ in range(draw(st.integers(1, 4))):
        ids = [job.id for stage in stages for job in stage.jobs]
        only = draw(st.sampled_from([[], [], [], ids[:1], ids[-1:], ids[::2]]))
        killed_after = draw(st.none() | st.integers(1, 20))
        sessions.append(Session(stages, draw(st.booleans()), frozenset(only), killed_after))
        stages = draw(edited(stages))
    return sessions


# The real thing


def real(session: Session, root: Path) -> Pipeline:
    stages = [
        Stage(stage.name, tuple(map(real_job, stage.jobs)), stop_on_failure=stage.stop_on_failure)
        for stage in session.stages
    ]
    return Pipeline("p", tuple(stages), root)


def real_job(job: ModelJob) -> Job:
    retries = None
    if job.retries is not None:
        retries = Retries(job.retries, backoff_s=0.0, on_exit_codes=job.on_exit_codes)
    codes = [str(code) for code in job.codes]
    return replace(
        command(job.id, "/bin/sh", "-c", f"{SCRIPT} # {job.version}", "sh", *codes),
        retries=retries,
        allow_failure=job.allow_failure,
    )


def told_by(event: Event) -> Told:
    name = type(event).__name__
    match event:
        case JobChosen():
            return (name, event.job_id, event.reason)
        case StageStarted() | StageFinished():
            return (name, event.stage)
        case JobNotRun():
            return (name, event.job_id, event.status)
        case JobStarted():
            return (name, event.job_id, str(event.attempt))
        case JobFinished():
            again = event.again_in_s is not None
            return (name, event.job_id, str(event.attempt), event.outcome.status, str(again))
        case RunFinished():
            return (name, event.status)
        case _:
            return (name,)


def in_a_child(function: Callable[[], object]) -> int:
    """Run a function in a process that may be killed; gives the exit code."""
    with warnings.catch_warnings():
        # Threads of the test's runner are none that the child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 99
        try:
            function()
            code = ENDED
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def perform(session: Session, root: Path, store: RunStore, run_id: str | None) -> list[Told]:
    """Run one session of a scenario, killed where it says so; gives what was told."""
    listing = root / "told"
    listing.write_text("")

    def work() -> None:
        events = 0

        def hear(event: Event) -> None:
            nonlocal events
            events += 1
            with open(listing, "a", encoding="utf-8") as file:
                file.write("|".join(told_by(event)) + "\n")
            if events == session.killed_after:
                os._exit(KILLED)

        options = Options(1, session.stop_on_failure or None, only=tuple(session.only))
        run_pipeline(
            real(session, root), store, options, handlers=[hear], resume=run_id, orphans="kill"
        )

    code = in_a_child(work)
    told = [tuple(line.split("|")) for line in listing.read_text().splitlines()]
    is_killed = len(told) == session.killed_after
    assert code == (KILLED if is_killed else ENDED), (code, told)
    return told


def check_record(model: Model, store: RunStore, run_id: str, root: Path) -> None:
    view = store.read(run_id)
    assert view.status == model.status
    assert list(view.jobs) == model.jobs
    assert {job.id: job.status for job in view.jobs.values()} == model.statuses()
    recorded = {
        job.id: [attempt.status for attempt in job.attempts]
        for job in view.jobs.values()
        if job.attempts
    }
    assert recorded == {
        job_id: attempts for job_id, attempts in model.attempts.items() if job_id in model.jobs
    }
    reasons = {job.id: job.planned.get("reason") for job in view.jobs.values()}
    assert {job_id: why for job_id, why in reasons.items() if why is not None} == model.chosen
    report = store.verify(run_id)
    assert report.ok, report.errors
    for job_id, attempts in model.attempts.items():
        ran = [int(line) for line in (root / f"ran-{job_id}").read_text().split()]
        # The one that was killed as it was starting may or may not have begun.
        known = {n for n, status in enumerate(attempts, 1) if status != "crashed"}
        assert known <= set(ran) <= {*range(1, len(attempts) + 1)}
        assert len(ran) == len(set(ran))


@settings(
    max_examples=scale.count(full=600, reduced=40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios())
def test_runs_and_resumes_go_as_the_model_says(sessions: list[Session]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = RunStore(root / "store", "os")
        for session in sessions:
            for job in session.jobs:
                (root / f"ran-{job.id}").touch()
            run_id = store.run_ids()[0] if store.run_ids() else None
            told = perform(session, root, store, run_id)
            assert told == model.run(session)
            check_record(model, store, store.run_ids()[0], root)
