"""`lorchestra pipeline`: what it prints where, its object, and who decides how jobs run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from runstore import RunStore
from tests.lorchestra.cli.commands import RECEIPT, RUN_ID, Project, run_object, statuses
from tests.lorchestra.running import module

TWO_STAGES: tuple[dict[str, Any], ...] = ({"a": "true", "b": "exit 3"}, {"c": "true"})


# The object


def test_the_object_of_a_success(project: Project) -> None:
    project.pipeline({"b": "true", "a": "true"}, {"c": "true"}, pipeline_id="nightly")
    done = project.run("--json")
    found = run_object(project, done)
    assert done.code == 0
    assert (found["pipeline_id"], found["status"]) == ("nightly", "succeeded")
    assert (found["total"], found["succeeded"], found["failed"]) == (3, 3, 0)
    assert (found["failures"], found["stopped_early"]) == ([], False)
    assert [(job["job_id"], job["stage"]) for job in found["jobs"]] == [
        ("b", "s1"),
        ("a", "s1"),
        ("c", "s2"),
    ]
    assert [(job["attempts"], job["exit_code"]) for job in found["jobs"]] == [(1, 0)] * 3


def test_the_object_of_a_failure_that_did_not_stop_the_run(project: Project) -> None:
    project.pipeline(*TWO_STAGES)
    done = project.run("--json")
    found = run_object(project, done)
    assert done.code == 1
    assert (found["status"], found["stopped_early"]) == ("failed", False)
    assert (found["succeeded"], found["failed"]) == (2, 1)
    assert found["failures"] == [{"job_id": "b", "error": "exit code 3"}]
    assert found["jobs"][1]["exit_code"] == 3
    assert statuses(found) == {"a": "succeeded", "b": "failed", "c": "succeeded"}


def test_the_object_of_a_failure_that_stopped_the_run(project: Project) -> None:
    project.pipeline({"a": "exit 3", "b": "true"}, {"c": "true"}, stop_on_failure=True)
    done = project.run("--json")
    found = run_object(project, done)
    assert done.code == 1
    assert (found["status"], found["stopped_early"]) == ("failed", True)
    assert (found["succeeded"], found["failed"]) == (0, 1)
    assert found["failures"] == [{"job_id": "a", "error": "exit code 3"}]
    assert statuses(found) == {"a": "failed", "b": "cancelled", "c": "skipped"}


def test_the_object_of_jobs_that_could_not_be_started(project: Project) -> None:
    project.pipeline(
        {
            "program": {"command": ["no-such-program"]},
            "folder": {"run": "true", "cwd": "nowhere"},
            "module": {"call": "no_such_module:f"},
        }
    )
    done = project.run("--json")
    found = run_object(project, done)
    assert done.code == 1
    assert (found["succeeded"], found["failed"]) == (0, 3)
    assert [job["exit_code"] for job in found["jobs"]] == [None, None, None]
    errors = {failure["job_id"]: failure["error"] for failure in found["failures"]}
    assert "no-such-program" in errors["program"]
    assert "nowhere" in errors["folder"]
    assert "no_such_module" in errors["module"]


def test_a_job_ended_by_a_signal_has_no_exit_code(project: Project) -> None:
    project.pipeline({"a": "kill -9 $$"})
    found = run_object(project, project.run("--json"))
    assert found["jobs"][0]["exit_code"] is None
    assert "SIGKILL" in found["failures"][0]["error"]


# What goes where

NOISE = """
    import os, subprocess, sys
    print("while it is imported")
    def noisy(code=0):
        print("printed")
        os.write(1, b"to descriptor 1\\n")
        sys.__stdout__.write("to the real stdout, without a flush")
        subprocess.run(["echo", "by a program"])
        os.system("echo by a shell")
        sys.exit(code)
"""


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_jobs_print_is_never_among_the_data(project: Project, workers: str, code: int) -> None:
    noise = {"call": f"{module(project.root, NOISE)}:noisy", "with": {"code": code}}
    project.pipeline({"call": noise, "other": noise, "run": "echo by a job"})
    done = project.process("pipeline", "p", "--json", "--max-workers", workers)
    assert done.code == (1 if code else 0)
    assert run_object(project, done)["failed"] == (2 if code else 0)
    for text in ("to descriptor 1", "to the real stdout", "by a program", "by a shell"):
        assert done.err.count(text) == 2
    assert "by a job" not in done.err


def test_stdout_is_as_before_afterwards(project: Project) -> None:
    project.pipeline({"a": "true"})
    project.run()
    assert project("--version").out.startswith("lorchestra")


def test_nothing_goes_to_stdout_without_json(project: Project) -> None:
    project.pipeline(*TWO_STAGES)
    assert project.run().stdout == b""


def test_progress_is_lines_with_the_time(project: Project) -> None:
    project.pipeline({"a": "true", "b": "true"}, {"c": "true"})
    done = project.run("--max-workers", "2")
    assert done.code == 0
    lines = done.errors
    for line in lines[:-1]:
        assert re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d \S.*", line)
    texts = [line.split(" ", 1)[1] for line in lines]
    assert re.fullmatch(rf"run {RUN_ID.pattern} of p: 3 jobs in 2 stages", texts[0])
    assert texts[1] == "stage s1: 2 jobs, 2 workers"
    assert {"a started", "b started", "c started"} < set(texts)
    assert re.fullmatch(r"c succeeded in [\d.]+ s", texts[-3])
    assert re.fullmatch(r"run succeeded in [\d.]+ s: 3 succeeded", texts[-2])
    assert re.fullmatch(rf"receipt {RECEIPT.pattern}", lines[-1])


@pytest.mark.parametrize("style", ["auto", "plain"])
def test_auto_and_plain_are_the_same(project: Project, style: str) -> None:
    project.pipeline({"a": "true"})
    assert "a started" in project.run("--progress", style).err


def test_progress_none_prints_nothing_when_all_goes_well(project: Project) -> None:
    project.pipeline({"a": "echo something", "b": "echo else >&2"})
    done = project.run("--progress", "none")
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")


def test_the_receipt_printed_is_the_one_that_verify_takes(project: Project) -> None:
    project.pipeline({"a": "true"})
    receipt = project.run().errors[-1].removeprefix("receipt ")
    assert project("runstore", "verify", "last", "--receipt", receipt).code == 0


# Failures


def test_a_failure_is_shown_with_the_end_of_its_log_and_where_the_log_is(
    project: Project,
) -> None:
    project.pipeline({"ok": "echo fine", "bad": "seq 1 30; exit 7"})
    done = project.run("--progress", "none")
    assert done.code == 1
    blank, head, *tail, where = done.errors
    assert (blank, head) == ("", "--- bad failed: exit code 7")
    assert tail == [f"    | {number}" for number in range(11, 31)]
    log = project.store.read(project.store.run_ids()[0]).log_path("bad")
    assert where == f"    the last 20 lines; the whole log: {log}"


def test_failures_stand_in_the_order_of_their_ends_after_the_progress(project: Project) -> None:
    project.pipeline({"a": "exit 1", "b": "exit 2"})
    lines = project.run().errors
    heads = [line for line in lines if line.startswith("---")]
    assert heads == ["--- a failed: exit code 1", "--- b failed: exit code 2"]
    assert next(n for n, line in enumerate(lines) if " run failed in " in line) < lines.index("")


def test_two_thousand_jobs_half_of_which_fail(project: Project) -> None:
    source = "def odd(number):\n    assert number % 2, f'{number} is even'\n"
    target = f"{module(project.root, source)}:odd"
    project.pipeline({f"j{n}": {"call": target, "with": {"number": n}} for n in range(2000)})
    options = ("--json", "--max-workers", "2", "--progress", "none", "--store", "my records")
    done = project.run(*options)
    assert done.code == 1
    found = done.json
    assert (found["total"], found["succeeded"], found["failed"]) == (2000, 1000, 1000)
    assert [job["job_id"] for job in found["jobs"]] == [f"j{n}" for n in range(2000)]
    assert [failure["job_id"] for failure in found["failures"]] == [
        f"j{n}" for n in range(0, 2000, 2)
    ]
    assert sum(line.startswith("---") for line in done.errors) == 10
    more = f"and 990 more failures: lorchestra runs show --store 'my records' {found['run_id']}"
    assert done.errors[-1] == more


# How many at once


@pytest.mark.parametrize(
    ("stage", "variable", "option", "workers"),
    [
        (None, None, None, 1),
        (None, "3", None, 3),
        (None, "3", "2", 2),
        (None, "many", "2", 2),
        (None, " 3 ", None, 3),
        (None, "", None, 1),
        (None, "  ", None, 1),
        (3, None, None, 3),
        (3, "2", None, 2),
        (3, "5", None, 3),
        (3, None, "1", 1),
        (3, "2", "4", 3),
        (None, None, "9", 5),
        (None, None, "1000000", 5),
    ],
)
def test_the_option_wins_over_the_variable_over_the_stage_which_is_also_a_ceiling(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    stage: int | None,
    variable: str | None,
    option: str | None,
    workers: int,
) -> None:
    limits = {} if stage is None else {"max_workers": stage}
    jobs = [{"id": f"j{number}", "run": "true"} for number in range(5)]
    project.write("p.yaml", str({"stages": [{"name": "s", "jobs": jobs, **limits}]}))
    if variable is not None:
        monkeypatch.setenv("LORCHESTRA_MAX_WORKERS", variable)
    options = [] if option is None else ["--max-workers", option]
    plan = project.run("--dry-run", "--json", *options).json
    assert [stage["workers"] for stage in plan["stages"]] == [workers]
    counted = "1 worker" if workers == 1 else f"{workers} workers"
    assert f"stage s: 5 jobs, {counted}" in project.run("--dry-run", *options).out
    assert f"stage s: 5 jobs, {counted}" in project.run(*options).err


# What a failure does


@pytest.mark.parametrize(
    ("keys", "options", "stops"),
    [
        ({}, [], False),
        ({}, ["--keep-going"], False),
        ({}, ["--stop-on-failure"], True),
        ({"stop_on_failure": True}, [], True),
        ({"stop_on_failure": True}, ["--keep-going"], False),
        ({"stop_on_failure": False}, ["--stop-on-failure"], True),
    ],
)
def test_the_option_wins_over_what_the_pipeline_says(
    project: Project, keys: dict[str, Any], options: list[str], stops: bool
) -> None:
    project.pipeline({"a": "exit 1", "b": "true"}, {"c": "true"}, **keys)
    plan = project.run("--dry-run", "--json", *options).json
    assert [stage["stop_on_failure"] for stage in plan["stages"]] == [stops, stops]
    assert ("stop on failure" in project.run("--dry-run", *options).out) is stops
    done = project.run("--json", *options)
    assert done.code == 1
    left = {"b": "cancelled", "c": "skipped"} if stops else {"b": "succeeded", "c": "succeeded"}
    assert statuses(done.json) == {"a": "failed", **left}


def test_the_option_wins_over_what_a_stage_says(project: Project) -> None:
    project.write(
        "p.yaml",
        """
        stages:
          - {name: s, stop_on_failure: true, jobs: [{id: a, run: exit 1}, {id: b, run: "true"}]}
        """,
    )
    assert statuses(project.run("--json").json)["b"] == "cancelled"
    assert statuses(project.run("--json", "--keep-going").json)["b"] == "succeeded"


# Dry run


def test_a_dry_run_runs_nothing_and_makes_nothing(project: Project) -> None:
    imported = module(project.root, "open('imported', 'w').close()")
    project.pipeline({"a": "touch ran", "b": {"call": f"{imported}:f"}})
    before = project.files()
    for options in ([], ["--json"]):
        assert project.run("--dry-run", *options).code == 0
    assert project.files() == before


def test_a_dry_run_says_what_would_run(project: Project) -> None:
    project.pipeline(
        {"first": "echo 1;\n  echo 2", "second": {"command": ["echo", "a b"]}},
        {"third": {"call": "math:sqrt", "with": {"x": 4}}},
    )
    done = project.run("--dry-run", "--max-workers", "2")
    assert done.stderr == b""
    assert done.out == (
        "p: 3 jobs in 2 stages; nothing is run\n"
        "\nstage s1: 2 jobs, 2 workers\n"
        "  first   run: echo 1; echo 2\n"
        "  second  command: echo 'a b'\n"
        "\nstage s2: 1 job, 1 worker\n"
        "  third  call: math:sqrt(x=4)\n"
    )


def test_a_dry_run_as_json_is_the_plan(project: Project) -> None:
    path = project.pipeline({"a": {"command": ["echo", "x"], "env": {"A": "b"}, "cwd": "."}})
    plan = project.run("--dry-run", "--json").json
    assert re.fullmatch("[0-9a-f]{64}", plan.pop("sha256"))
    assert plan == {
        "pipeline_id": "p",
        "source": str(path),
        "root": str(project.root),
        "params": {},
        "total": 1,
        "limits": [],
        "stages": [
            {
                "name": "s1",
                "workers": 1,
                "stop_on_failure": False,
                "jobs": [{"job_id": "a", "command": ["echo", "x"], "env": {"A": "b"}, "cwd": "."}],
            }
        ],
    }


# Where it runs and where it is recorded


@pytest.fixture
def in_subfolder(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with settings, and a working folder deep inside it."""
    project.write("lorchestra.toml")
    project.pipeline({"where": "pwd"}, name="pipelines/pipeline.p.yaml")
    project.write("deep/inside/x")
    monkeypatch.chdir(project.root / "deep" / "inside")
    return project


@pytest.mark.parametrize("name", ["p", "pipeline.p"])
def test_a_project_works_from_any_folder_in_it(in_subfolder: Project, name: str) -> None:
    done = in_subfolder.run("--json", name=name)
    assert done.code == 0
    assert Path(done.json["jobs"][0]["log"]).is_relative_to(in_subfolder.root / ".lorchestra")
    assert in_subfolder("runs", "logs", "last", "where").out == f"{in_subfolder.root}\n"


@pytest.mark.parametrize("given", ["elsewhere/p.yaml", "./elsewhere/pipelines/p.yaml"])
def test_the_project_of_a_path_is_where_the_file_is(project: Project, given: str) -> None:
    project.pipeline({"where": "pwd"}, name=given)
    done = project.run("--json", name=given)
    log = Path(done.json["jobs"][0]["log"])
    assert log.is_relative_to(project.root / "elsewhere" / ".lorchestra")
    assert log.read_text() == f"{project.root / 'elsewhere'}\n"


@pytest.mark.parametrize(
    ("setting", "variable", "option", "expected"),
    [
        (None, None, None, ".lorchestra"),
        ("set", None, None, "set"),
        ("set", "", None, "set"),
        ("set", "env", None, "deep/inside/env"),
        ("set", "env", "opt", "deep/inside/opt"),
        (None, None, "../opt", "deep/opt"),
    ],
)
def test_the_store_is_the_option_else_the_variable_else_the_setting(
    in_subfolder: Project,
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None,
    variable: str | None,
    option: str | None,
    expected: str,
) -> None:
    if setting is not None:
        in_subfolder.write("lorchestra.toml", f"store = '{setting}'")
    if variable is not None:
        monkeypatch.setenv("LORCHESTRA_STORE", variable)
    options = [] if option is None else ["--store", option]
    assert in_subfolder.run(*options).code == 0
    assert len(RunStore(in_subfolder.root / expected).run_ids()) == 1
    (made,) = in_subfolder.root.rglob("store.json")
    assert made.parent == in_subfolder.root / expected
    for command in (["runs", "list"], ["runs", "show"], ["runstore", "verify"]):
        assert in_subfolder(*command, *options).code == 0
    assert in_subfolder("runs", "logs", "last", "where", *options).out.strip()
    assert in_subfolder("runstore", "cat", *options).out.strip()


def test_the_durability_is_passed_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from runstore import files

    synced: list[int] = []
    monkeypatch.setattr(files, "sync_file", synced.append)
    project.pipeline({"a": "true"})
    assert project("pipeline", "p", "--durability", "os").code == 0
    assert synced == []
    assert project("pipeline", "p").code == 0
    assert synced != []


# Parameters


def test_parameters_from_the_command_line(project: Project) -> None:
    params = {"day": "today", "n": {"type": "int", "required": True}}
    project.pipeline({"a": 'echo ${params.day} "${params.n}"'}, params=params)
    assert project.run("--param", "day=a 'b'", "--param", "n=7").code == 0
    assert project("runs", "logs", "last", "a").out == "a 'b' 7\n"
    plan = project.run("--param", "day=a 'b'", "--param=n=7", "--dry-run", "--json").json
    assert plan["params"] == {"day": "a 'b'", "n": 7}
    assert plan["stages"][0]["jobs"][0]["run"] == """echo 'a '"'"'b'"'"'' "7\""""
    for arguments, mistakes in (
        (["--param", "n=x", "--param", "dya=1"], ["must be a whole number", "did you mean day?"]),
        ([], ["parameter n must be given"]),
        (["--dry-run"], ["parameter n must be given"]),
        (["--param", "n"], ["NAME=VALUE"]),
    ):
        done = project.run(*arguments)
        assert done.code == 2
        assert len(done.errors) == len(mistakes)
        for error, mistake in zip(done.errors, mistakes, strict=True):
            assert error.startswith("lorchestra: ")
            assert mistake in error
    assert len(project.store.run_ids()) == 1


def test_a_variable_that_is_not_set_is_told_before_anything_runs(project: Project) -> None:
    project.pipeline({"a": "echo ${env.NO_SUCH_VARIABLE}"})
    done = project.run()
    assert done.code == 2
    reason = "the environment variable NO_SUCH_VARIABLE is not set"
    assert done.errors == [f"lorchestra: job 'a': '${{env.NO_SUCH_VARIABLE}}': {reason}"]


# A part of a pipeline


def test_selection_on_the_command_line(project: Project) -> None:
    project.pipeline({"a": {"run": "exit 1", "tags": ["x"]}, "b": "true"}, {"c": "true"})
    done = project.run("--from-stage", "s2", "--json")
    assert done.code == 0
    assert [job["status"] for job in done.json["jobs"]] == ["skipped", "skipped", "succeeded"]
    assert "not selected" not in done.err
    assert project.run("--only", "b", "--only", "c").code == 0
    assert project.run("--tag", "x").code == 1
    plan = project.run("--tag", "x", "--dry-run", "--json").json
    assert [job.get("skipped") for stage in plan["stages"] for job in stage["jobs"]] == [
        None,
        *["not selected: it has none of the tags asked for"] * 2,
    ]
    assert [stage["workers"] for stage in plan["stages"]] == [1, 0]
    for arguments in (["--only", "bb"], ["--from-stage", "s3"], ["--tag", "xx"]):
        for more in ([], ["--dry-run"]):
            done = project.run(*arguments, *more)
            assert done.code == 2
            assert "did you mean" in done.err or "has no" in done.err


def test_tags_and_allow_failure_in_a_file(project: Project) -> None:
    project.pipeline({"a": {"run": "exit 1", "tags": ["x", "x"], "allow_failure": True}})
    done = project.run()
    assert done.code == 0
    assert "a failed in" in done.err
    assert "(allowed to fail)" in done.err
    (job,) = project("jobs", "show", "a", "--json").json
    assert (job["tags"], job["allow_failure"]) == (["x"], True)
    assert "  tags: x\n  allow_failure: true\n" in project("jobs", "show", "a").out
    project.pipeline({"a": {"run": "exit 1", "tags": "x", "allow_failure": "maybe"}})
    assert project.run().code == 2


# Secrets


def test_secrets_are_masked_wherever_a_run_is_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    monkeypatch.setenv("OTHER", "letmein")
    project.write("key", "swordfish\n")
    project.write("lorchestra.toml", 'secrets = ["OTHER"]')
    project.pipeline(
        {"a": {"run": "echo $TOKEN $KEY $OTHER ${payload.x}; exit 1", "env": {"A": "hunter2"}}},
        secrets=["TOKEN", {"KEY": {"file": "key"}}],
    )
    shown = [
        project.run("--param", "x=hunter2", "--dry-run"),
        project.run("--param", "x=hunter2", "--dry-run", "--json"),
        project.run("--param", "x=hunter2", "--json"),
        project("runs", "logs", "last", "a"),
        project("runs", "show"),
    ]
    assert [done.code for done in shown] == [0, 0, 1, 0, 0]
    for done in shown:
        for secret in ("hunter2", "swordfish", "letmein"):
            assert secret not in done.out + done.err
    assert shown[3].out == "*** *** *** ***\n"
    assert "| *** *** *** ***" in shown[2].err
    monkeypatch.delenv("TOKEN")
    (project.root / "key").unlink()
    done = project("runs", "logs", "last", "a")
    assert done.out == "hunter2 swordfish *** hunter2\n"
    assert len(done.errors) == 2
    assert all(line.endswith("not masked") for line in done.errors)


def test_secrets_are_masked_wherever_a_pipeline_is_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    project.pipeline(
        {"a": {"run": "echo hunter2", "tags": ["hunter2"], "env": {"A": "hunter2"}}},
        secrets=["TOKEN"],
        params={"day": {"type": "int", "default": 1}, "level": {"choices": ["low", "hunter2"]}},
    )
    text = (project.root / "p.yaml").read_text()
    project.write("p.yaml", text.replace('"name": "', '"name": "hunter2 '))
    shown = [
        project.run("--dry-run"),
        project.run("--dry-run", "--json"),
        project("plan", "p"),
        project("plan", "p", "--json"),
        project("jobs", "list"),
        project("jobs", "list", "--json"),
        project("jobs", "show", "a"),
        project("jobs", "show", "a", "--json"),
        project.run("--param", "hunter2"),
        project.run("--param", "day=hunter2"),
        project.run("--param", "hunter2=1"),
        project.run("--param", "level=a"),
    ]
    assert [done.code for done in shown] == [0] * 8 + [2] * 4
    for done in shown:
        assert "***" in done.out + done.err
        assert "hunter2" not in done.out + done.err


def test_a_secret_that_cannot_be_read_is_told_before_anything_runs(project: Project) -> None:
    project.pipeline({"a": "true"}, secrets=[{"KEY": {"file": "nowhere"}}])
    done = project.run()
    assert done.code == 2
    assert done.errors == [
        "lorchestra: nowhere: the secret cannot be read: No such file or directory"
    ]
    assert project.store.run_ids() == []


@pytest.mark.parametrize(
    ("secrets", "mistake"),
    [
        ("TOKEN", "secrets must be a list"),
        (["A=B"], "must be the name of an environment variable"),
        ([{"A": {"fiel": "x"}}], "unknown key 'fiel' (did you mean file?)"),
        ([{"A": "x"}], "must be a mapping"),
        ([{"A": {}, "B": {}}], "a secret must be NAME or NAME: {file: path}"),
        ([""], "a secret must not be empty"),
    ],
)
def test_mistaken_secrets(project: Project, secrets: Any, mistake: str) -> None:
    project.pipeline({"a": "true"}, secrets=secrets)
    done = project.run()
    assert done.code == 2
    assert mistake in done.err


# The configuration


def test_the_option_wins_over_the_environment_over_the_configuration_over_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.pipeline(dict.fromkeys("abcdefgh", "true"))
    path.write_text(path.read_text().replace('"name"', '"max_workers": 8, "name"'))

    def workers(*arguments: str) -> int:
        stage = project.run("--dry-run", "--json", *arguments).json["stages"][0]
        return int(stage["workers"])

    assert workers() == 8
    project.write("lorchestra.toml", "max_workers = 4")
    assert workers() == 4
    monkeypatch.setenv("LORCHESTRA_MAX_WORKERS", "3")
    assert workers() == 3
    assert workers("--max-workers", "2") == 2


def test_how_a_run_is_recorded_and_shown_can_be_configured(project: Project) -> None:
    project.pipeline({"a": f"{sys.executable} -m lorchestra pipeline p --guard fail; test $? = 75"})
    assert "started" in project("pipeline", "p", "--guard", "fail").err
    project.write("lorchestra.toml", 'progress = "none"\nguard = "fail"\ndurability = "os"')
    done = project("pipeline", "p")
    assert (done.code, done.err) == (0, "")
    assert "started" in project("pipeline", "p", "--progress", "plain").err
    project.pipeline({"a": f"{sys.executable} -m lorchestra pipeline q"})
    project.pipeline({"a": "true"}, name="q.yaml", pipeline_id="p")
    assert project("pipeline", "p").code == 1
    assert project("pipeline", "p", "--guard", "none").code == 0
