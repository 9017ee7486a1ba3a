"""References when a pipeline runs: each job gets the values, and fails where there are none."""

from __future__ import annotations

import pytest

from lorchestra.errors import ParameterError, ReferenceSyntaxError, UnknownReferenceError
from lorchestra.model import Parameter
from lorchestra.plan import Options
from lorchestra.runner import run_pipeline
from tests.lorchestra.running import Ran, Runner, call, command, module, shell, stage

PEEK = """echo '{"items": [1, {"x": "a b"}], "n": 3, "dir": "sub"}' > "$LORCHESTRA_OUTPUT" """


def test_an_output_reaches_jobs_of_every_kind_in_later_stages(run: Runner) -> None:
    name = module(run.root, "def f(**given):\n    print(given)\n    return given")
    (run.root / "sub").mkdir()
    ran = run(
        stage(shell("peek", PEEK), name="one"),
        stage(
            shell(
                "line",
                'printf "<%s>" ${run.peek.items[1].x} "$V"; basename "$PWD"',
                cwd="@run.peek.dir",
                env={"V": "n=${run.peek.n}"},
            ),
            command("words", "printf", "<%s>", "@run.peek.items", "${run.peek.n}."),
            call("inside", f"{name}:f", {"all": ["@run.peek.items"], "n": "${run.peek.n}"}),
            call("apart", f"{name}:f", {"x": "@run.peek.items[1]"}, cwd="."),
            name="two",
        ),
        stage(shell("last", "echo ${run.inside.n} ${run.apart.x.x}"), name="three"),
    )
    assert ran.result.succeeded
    assert ran.log("line") == b"<a b><n=3>sub\n"
    assert ran.log("words") == b'<[1,{"x":"a b"}]><3.>'
    assert ran.view.jobs["inside"].output == {"all": [[1, {"x": "a b"}]], "n": "3"}
    assert ran.view.jobs["apart"].output == {"x": {"x": "a b"}}
    assert ran.log("last") == b"3 a b\n"


def test_a_job_whose_reference_stands_for_nothing_fails_and_does_not_start(run: Runner) -> None:
    ran = run(
        stage(
            shell("peek", PEEK), shell("silent", "true"), shell("bad", f"{PEEK}; false"), name="1"
        ),
        stage(
            shell("a", "touch started; echo ${run.peek.itms}"),
            command("b", "touch", "started", "@run.silent.x"),
            call("c", "m:f", {"x": "@run.bad.n"}),
            name="2",
        ),
    )
    assert ran.result.status == "failed"
    assert not (run.root / "started").exists()
    error = "'${run.peek.itms}': the output of job 'peek' has no field 'itms' (did you mean items?)"
    assert ran.attempt("a").error == error
    assert ran.log("a").decode() == f"lorchestra: {error}\n"
    for job in ("b", "c"):
        assert "left no output, or did not succeed" in (ran.attempt(job).error or "")
    assert ran.records("process", "a") == []


def params(run: Runner, line: str, **given: object) -> Ran:
    declared = {"day": Parameter("string", "today"), "n": Parameter("int", 1)}
    pipeline = run.pipeline(shell("a", line), params=declared)
    result = run_pipeline(pipeline, run.store, Options(params=given))
    return Ran(result, run.store)


def test_parameters_reach_jobs_and_the_record(run: Runner) -> None:
    ran = params(run, "echo ${params.day} ${payload.n} [${payload.never}]", day="a  b")
    assert ran.log("a") == b"a  b 1 []\n"
    assert ran.view.begin["params"] == {"day": "a  b", "n": 1, "never": None}


def test_a_pipeline_that_does_not_fit_leaves_no_run(run: Runner) -> None:
    with pytest.raises(ParameterError):
        params(run, "true", dya="x")
    with pytest.raises(UnknownReferenceError) as caught:
        run(shell("a", "${params.x} ${env.NOT_SET_HERE}"), shell("b", "${run.a.x}"))
    assert len(caught.value.mistakes) == 3
    with pytest.raises(ReferenceSyntaxError):
        run(shell("a", "${params."))
    assert run.store.run_ids() == []


def digests(ran: Ran) -> dict[str, str]:
    (planned,) = ran.records("planned")
    return {job["id"]: job["sha256"] for job in planned["jobs"]}


def test_a_job_is_another_when_its_own_parameters_are(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "echo ${params.day} ${env.SOME}"
    monkeypatch.setenv("SOME", "1")
    first = digests(params(run, line, day="1"))
    monkeypatch.setenv("SOME", "2")
    assert digests(params(run, line, day="1", n=2)) == first
    assert digests(params(run, line, day="2")) != first


def test_without_references_the_digest_is_that_of_the_definition(run: Runner) -> None:
    job = shell("a", "true")
    assert digests(run(job)) == {"a": job.sha256()}


def test_what_a_job_sets_for_itself_is_not_what_env_means(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME", "outer")
    ran = run(shell("a", "echo ${env.SOME} $SOME", env={"SOME": "inner ${env.SOME}"}))
    assert ran.log("a") == b"outer inner outer\n"


@pytest.mark.parametrize("value", ["a\0b", "$(touch pwned)", "'; touch pwned; '", "`touch pwned`"])
def test_hostile_output_is_data(run: Runner, value: str) -> None:
    name = module(run.root, f"def f():\n    return {{'x': {value!r}}}")
    out = "import sys; print(ascii(sys.argv[1]))"
    ran = run(
        stage(call("peek", f"{name}:f"), name="1"),
        stage(
            shell("line", "printf %s ${run.peek.x} > out"),
            command("words", "python3", "-c", out, "@run.peek.x"),
            name="2",
        ),
    )
    assert not (run.root / "pwned").exists()
    if "\0" in value:
        assert ran.statuses() == {"peek": "succeeded", "line": "failed", "words": "failed"}
    else:
        assert (run.root / "out").read_text() == value
        assert ran.log("words").decode().strip() == ascii(value)
