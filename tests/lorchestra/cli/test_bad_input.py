"""Bad input: one clear line, the right exit code, no traceback, and nothing run or made."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.lorchestra.cli.commands import Done, Project, environment

GOOD = "stages: [{name: s, jobs: [{id: a, run: touch ran}]}]"
PLACE = re.compile(r"lorchestra: p\.yaml:\d+:\d+: \S")

in_text_and_json = pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])


def assert_refused(done: Done, code: int, *expected: str) -> None:
    """A line for each text expected, which has it, and nothing else."""
    assert done.code == code
    assert done.stdout == b""
    assert "Traceback" not in done.err
    assert len(done.errors) == len(expected), done.err
    for line, text in zip(done.errors, expected, strict=True):
        assert line.startswith("lorchestra: ")
        assert text in line


# The pipeline


@in_text_and_json
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ingets", "no pipeline 'ingets' (did you mean ingest?); looked for "),
        ("pipeline.ingets", "(did you mean ingest?)"),
        ("./ingets.yaml", "no pipeline './ingets.yaml' (did you mean ./ingest.yaml?)"),
        ("quite-different", "no pipeline 'quite-different'; looked for pipelines/quite-"),
        ("", "no pipeline ''"),
        (".", "no pipeline '.'"),
        ("folder", "no pipeline 'folder'"),
        ("folder/", "cannot read folder: it is a folder"),
        ("folder.yaml", "cannot read folder.yaml: it is a folder"),
        ("a\nb\x1b[31m", r"no pipeline 'a\nb\x1b[31m'; looked for pipelines/a\nb\x1b[31m.yaml"),
        ("x" * 5000, "no pipeline 'xxx"),
    ],
)
def test_a_pipeline_that_is_not_there(
    project: Project, name: str, text: str, options: list[str]
) -> None:
    project.write("pipelines/ingest.yaml", GOOD)
    project.write("ingest.yaml", GOOD)
    project.write("folder/x")
    project.write("folder.yaml/x")
    before = project.files()
    assert_refused(project.run(*options, name=name), 2, text)
    assert project.files() == before


@in_text_and_json
@pytest.mark.parametrize(
    ("content", "mistakes"),
    [
        pytest.param("", ["is empty"], id="nothing"),
        pytest.param("stages: [", ["expected a value here"], id="no YAML"),
        pytest.param("\tstages: 1", ["a tab cannot indent YAML"], id="a tab"),
        pytest.param("\x00\x01", ["a NUL byte is not allowed"], id="binary"),
        pytest.param("- 1", ["must be a mapping, not a list"], id="a list"),
        pytest.param("stages: 7", ["stages must be a list"], id="no list"),
        pytest.param("pipeline_id: p", ["needs 'stages'"], id="no stages"),
        pytest.param("stages: []", ["at least one stage"], id="no stage"),
        pytest.param("stages: [{name: s, jobs: []}]", ["at least one job"], id="an empty stage"),
        pytest.param(
            "stages: [{name: s, max_workers: 0, jobs: [{id: a, run: 'true'}]}]",
            ["max_workers must be a whole number of at least 1, not 0"],
            id="no worker",
        ),
        pytest.param(
            "stages: [{name: s, jobs: [a, ingets]}]\njobs: {a: {run: x}, ingest: {run: x}}",
            ["is not defined, neither under jobs nor in the jobs folder (did you mean ingest?)"],
            id="a job that is not defined",
        ),
        pytest.param(
            "stages: [{name: s, jobs: [a, a]}]\njobs: {a: {run: x}}",
            ["duplicate job 'a'"],
            id="a job twice",
        ),
        pytest.param(
            "stages: [{name: s, jobs: [{id: a, run: x}]}, {name: t, jobs: [{id: a, run: y}]}]",
            ["duplicate job 'a' (first in line 1)"],
            id="an id in two stages",
        ),
        pytest.param(
            "stage: 1\nstages: [{name: s, jobs: [{id: a, run: x, runs: y}]}]",
            ["unknown key 'stage' (did you mean stages?)", "unknown key 'runs'"],
            id="unknown keys",
        ),
        pytest.param(
            "stages: [{name: s, name: t, jobs: [{id: a, run: x}]}]",
            ["duplicate key 'name'"],
            id="a duplicate key",
        ),
        pytest.param(
            "stop_on_failure: 'yes'\nstages:\n- {name: 1, jobs: [{id: a, run: []}]}\n- x",
            ["stop_on_failure must be true or false", "name must be", "run must be", "a stage"],
            id="wrong types",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_gets_a_line_for_each_mistake(
    project: Project, content: str, mistakes: list[str], options: list[str]
) -> None:
    project.write("p.yaml", content)
    done = project.run(*options)
    assert_refused(done, 2, *mistakes)
    assert all(map(PLACE.match, done.errors))
    assert project.files() == {"p.yaml"}


def test_mistakes_in_job_files_are_told_too(project: Project) -> None:
    project.write("p.yaml", "stages: [{name: s, jobs: [a, b]}]")
    project.write("jobs/a.yaml", "rum: x")
    project.write("jobs/b.yaml", "run: x")
    done = project.run()
    assert [line.split(":")[1] for line in done.errors] == [" jobs/a.yaml", " jobs/a.yaml"]
    assert_refused(done, 2, "unknown key 'rum' (did you mean run?)", "a job needs one of run")


@pytest.mark.skipif(sys.platform == "win32", reason="needs names of bytes")
def test_a_name_that_is_no_text(project: Project) -> None:
    done = project.process("pipeline", b"\xff.yaml")
    assert_refused(done, 2, r"no pipeline '\udcff.yaml'")


# The number of workers


@in_text_and_json
@pytest.mark.parametrize(
    "number", ["0", "-1", "four", "1.5", "", " ", "1_0", "0x2", "\u0663", "1" * 30, "9" * 5000]
)
class TestWorkers:
    def test_of_the_option(self, project: Project, number: str, options: list[str]) -> None:
        project.write("p.yaml", GOOD)
        text = "'--max-workers': must be a whole number from 1 to 1,000,000, not "
        assert_refused(project.run("--max-workers", number, *options), 2, text)
        assert project.files() == {"p.yaml"}

    def test_of_the_variable(
        self,
        project: Project,
        number: str,
        options: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("LORCHESTRA_MAX_WORKERS", number)
        project.write("p.yaml", GOOD)
        if not number.strip():
            assert project.run(*options).code == 0
            return
        text = "LORCHESTRA_MAX_WORKERS: must be a whole number from 1 to 1,000,000, not "
        assert_refused(project.run(*options), 2, text)
        assert project.files() == {"p.yaml"}


# The store

NEWER = '{"format":"runstore","version":2}\n'
EVERY_COMMAND = pytest.mark.parametrize(
    "command",
    [
        ["pipeline", "p"],
        ["pipeline", "p", "--json"],
        ["runs", "list"],
        ["runs", "list", "--json"],
        ["runs", "show"],
        ["runs", "logs", "last", "a"],
        ["runstore", "verify"],
        ["runstore", "verify", "--json"],
        ["runstore", "cat"],
    ],
    ids=" ".join,
)


@EVERY_COMMAND
@pytest.mark.parametrize(
    ("store", "text"),
    [
        ("newer", "store.json: is of version 2; this version reads stores of version 1"),
        ("other", "store.json: is no store's file"),
        ("p.yaml", "is a file, not a folder"),
        ("foreign", "is a folder of something else (it has 'diary.txt' and no store.json)"),
    ],
)
def test_a_store_that_is_none_or_newer(
    project: Project, command: list[str], store: str, text: str
) -> None:
    project.write("p.yaml", GOOD)
    project.write("newer/store.json", NEWER)
    project.write("other/store.json", '{"format":"diary"}')
    project.write("foreign/diary.txt", "dear diary")
    before = project.files()
    assert_refused(project(*command, "--store", store), 3, text)
    assert project.files() == before


@pytest.mark.parametrize("options", [[], ["--json"], ["--durability", "os"], ["--guard", "fail"]])
@pytest.mark.parametrize(
    "store",
    [
        "p.yaml/store",
        pytest.param(
            "/proc/store",
            marks=pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc"),
        ),
    ],
)
def test_a_store_that_cannot_be_written(project: Project, store: str, options: list[str]) -> None:
    project.write("p.yaml", GOOD)
    done = project("pipeline", "p", "--store", store, *options)
    assert_refused(done, 3, f"the store cannot be used: {Path(store).absolute()}")
    assert "Errno" not in done.err
    assert project.files() == {"p.yaml"}


@EVERY_COMMAND
def test_a_store_without_a_name(project: Project, command: list[str]) -> None:
    project.write("p.yaml", GOOD)
    assert_refused(project(*command, "--store", ""), 2, "must not be empty")
    assert project.files() == {"p.yaml"}


@in_text_and_json
def test_a_store_that_is_not_there_cannot_be_verified(project: Project, options: list[str]) -> None:
    done = project("runstore", "verify", *options)
    assert_refused(done, 3, "there is no store; the first run makes one")
    assert project.files() == set()


def test_a_store_that_fails_in_the_middle_ends_the_run_with_3(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runstore import files

    written: list[bytes] = []
    append = files.append

    def fail_later(descriptor: int, data: bytes) -> None:
        written.append(data)
        if len(written) > 10:
            raise OSError(28, "No space left on device")
        append(descriptor, data)

    monkeypatch.setattr(files, "append", fail_later)
    project.write(
        "p.yaml", "stages: [{name: s, jobs: [{id: a, run: 'true'}, {id: b, run: 'true'}]}]"
    )
    done = project.run("--json", "--progress", "none")
    assert_refused(done, 3, "run.jsonl: No space left on device")


# The configuration


@in_text_and_json
@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("store = ", "lorchestra.toml: not valid TOML"),
        ("stor = 'x'", "lorchestra.toml: unknown key 'stor' (did you mean store?)"),
        ("store = 7", "lorchestra.toml: store must be the path of a folder, not 7"),
    ],
)
def test_a_configuration_that_is_wrong(
    project: Project, content: str, text: str, options: list[str]
) -> None:
    project.write("p.yaml", GOOD)
    project.write("lorchestra.toml", content)
    assert_refused(project.run(*options), 2, text)
    assert project.files() == {"p.yaml", "lorchestra.toml"}


# What is not there


@pytest.fixture
def ran(project: Project) -> Project:
    """A project with two runs of one job, which has one attempt."""
    project.pipeline({"ingest": "true"})
    project.run()
    project.run()
    return project


@pytest.mark.parametrize(
    "command", [["runs", "show"], ["runs", "logs"], ["runstore", "verify"], ["runstore", "cat"]]
)
@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("nope", "no run 'nope' in the store "),
        ("", "no run '' in the store "),
        ("../../x", "no run '../../x' in the store "),
        ("0", "2 runs begin with '0': 0"),
        ("\x1b[2J\n", r"no run '\x1b[2J\n' in the store "),
    ],
)
def test_a_run_that_is_not_there_or_is_several(
    ran: Project, command: list[str], run: str, text: str
) -> None:
    job = ["ingest"] if command == ["runs", "logs"] else []
    assert_refused(ran(*command, run, *job), 2, text)


def test_a_run_that_is_nearly_there_is_guessed(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    wrong = run_id[:-1] + ("0" if run_id[-1] != "0" else "1")
    assert_refused(ran("runs", "show", wrong), 2, f"no run '{wrong}'")
    assert run_id in ran("runs", "show", wrong).err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["last", "ingets"], "has no job 'ingets' (did you mean ingest?)"),
        (["last", "ingest", "--attempt", "2"], "job 'ingest' (succeeded) has no log of attempt 2"),
    ],
)
def test_a_job_or_attempt_that_is_not_there(ran: Project, arguments: list[str], text: str) -> None:
    assert_refused(ran("runs", "logs", *arguments), 2, text)


@in_text_and_json
def test_a_job_of_the_project_that_is_not_there(project: Project, options: list[str]) -> None:
    project.write("p.yaml", GOOD.replace("id: a", "id: ingest"))
    text = "no job 'ingets' in the project (did you mean ingest?)"
    assert_refused(project("jobs", "show", "ingets", *options), 2, text)


@pytest.mark.parametrize("runs", [[], ["last", "last"]])
def test_a_receipt_is_of_one_run(ran: Project, runs: list[str]) -> None:
    done = ran("runstore", "verify", *runs, "--receipt", "1:00000000")
    assert_refused(done, 2, "--receipt is of one run: name it")


def test_of_what_is_no_receipt_that_is_said(ran: Project) -> None:
    done = ran("runstore", "verify", "last", "--receipt", "abc")
    assert done.code == 3
    assert "the receipt 'abc' is none, which is n:crc; the run's own file ends with " in done.out


@pytest.mark.parametrize("command", ["runstore cat", "runstore verify", "runs show", "runs logs"])
def test_a_store_that_is_not_there_is_no_mistake_of_use(project: Project, command: str) -> None:
    job = ["last", "a"] if command == "runs logs" else []
    done = project(*command.split(), *job, "--store", "nowhere")
    assert_refused(done, 3, "nowhere: there is no store; the first run makes one")
    assert project.files() == set()


# The command line itself


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("pipelin p", "No such command 'pipelin'"),
        ("runs lst", "No such command 'lst'."),
        ("pipeline p --max-worker 2", "--max-worker"),
        ("pipeline p --max-workers", "'--max-workers' requires an argument"),
        ("pipeline", "Missing argument 'NAME'. (see lorchestra pipeline --help)"),
        ("pipeline p q", "unexpected extra argument (q)"),
        ("pipeline p --durability both", "'both' is not one of 'disk', 'os'"),
        ("pipeline p --progress loud", "'loud' is not one of 'auto', 'plain', 'json', 'none'"),
        ("pipeline p --guard on", "'on' is not one of 'fail', 'wait', 'skip'"),
        ("validate", "Missing argument 'FILE...'"),
        ("jobs show", "Missing argument 'JOB'"),
        ("runs list -n 0", "0 is not in the range"),
        ("runs list -n many", "'many' is not a valid integer"),
        ("runs logs last", "Missing argument 'JOB'"),
        ("runs logs last a --attempt 0", "0 is not in the range"),
        ("runs logs last a --json", "--json"),
        ("--unknown", "--unknown"),
    ],
)
def test_a_command_line_that_is_wrong(project: Project, line: str, text: str) -> None:
    project.write("p.yaml", GOOD)
    assert_refused(project(*line.split()), 2, text)
    assert project.files() == {"p.yaml"}


@pytest.mark.parametrize("command", [[], ["jobs"], ["runs"], ["runstore"]], ids=" ".join)
def test_a_group_alone_says_what_is_in_it_and_is_an_error(
    project: Project, command: list[str]
) -> None:
    done = project(*command)
    assert (done.code, done.stdout) == (2, b"")
    assert done.err.startswith(" ".join(["Usage: lorchestra", *command, "[OPTIONS]"]))
    assert "Commands:" in done.err


# The working folder


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not remove it")
@pytest.mark.parametrize(
    "command",
    [
        ["pipeline", "p"],
        ["validate", "p"],
        ["jobs", "list"],
        ["jobs", "show", "a"],
        ["runs", "list"],
        ["runstore", "verify"],
    ],
    ids=" ".join,
)
def test_a_working_folder_that_has_been_removed(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    gone = project.root / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    done = project(*command)
    assert (done.code, done.stdout) == (2, b"")
    (line,) = done.errors
    assert line.removeprefix("lorchestra: ").startswith("the working folder: ")


def test_the_program_itself_ends_with_the_same_code_and_line(project: Project) -> None:
    project.write("p.yaml", GOOD)
    done = project.process("pipeline", "p", env=environment(LORCHESTRA_MAX_WORKERS="0"))
    assert_refused(
        done, 2, "LORCHESTRA_MAX_WORKERS: must be a whole number from 1 to 1,000,000, not '0'"
    )


def test_lines_of_jobs_do_not_come_between_those_for_programs(project: Project) -> None:
    project.write("p.yaml", GOOD)
    text = "--output grouped is for people, and --progress json for programs: choose one"
    assert_refused(project.run("--progress", "json", "--output", "grouped"), 2, text)
    project.write("lorchestra.toml", 'progress = "json"\n')
    assert_refused(project.run("--output", "grouped"), 2, text)
