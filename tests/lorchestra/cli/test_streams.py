"""The standard streams: closed, full, without a reader, and of an encoding that knows little."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from runstore import RunStore
from tests.lorchestra.cli.commands import PROGRAM, Done, Project, environment
from tests.lorchestra.running import PATIENCE_S, check_complete, module

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell's redirections")

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

NOISE = """
    import os, sys
    def noisy():
        os.write(1, b"to descriptor 1")
        os.write(2, b"to descriptor 2")
        print("printed")
"""


@pytest.fixture
def noisy(project: Project) -> Project:
    """A project with a pipeline of a job that prints everywhere, and one that fails."""
    call = {"call": f"{module(project.root, NOISE)}:noisy"}
    project.pipeline({"noisy": call, "bad": "echo why; exit 3", "good": "true"})
    return project


def redirected(project: Project, line: str, redirections: str) -> Done:
    """Run a command with the redirections of a shell."""
    words = " ".join([*PROGRAM, line, redirections])
    done = subprocess.run(
        ["/bin/sh", "-c", words], capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def assert_ran(project: Project) -> None:
    """The run came to its end in spite of the streams, and its record is whole."""
    (run_id,) = project.store.run_ids()
    check_complete(project.store, run_id)
    view = project.store.read(run_id)
    statuses = {job.id: job.status for job in view.jobs.values()}
    assert statuses == {"noisy": "succeeded", "bad": "failed", "good": "succeeded"}
    # Nothing that was printed has got into a file of the store.
    for path in project.root.joinpath(".lorchestra").rglob("*.jsonl"):
        assert b"to descriptor" not in path.read_bytes()


# stderr


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stderr_that_takes_nothing_stops_nothing(
    project: Project, redirection: str, workers: str
) -> None:
    project.pipeline({"noisy": "echo x", "bad": "echo why; exit 3", "good": "true"})
    line = f"pipeline p --json --max-workers {workers}"
    done = redirected(project, line, redirection)
    assert (done.code, done.stderr) == (1, b"")
    assert done.json["failed"] == 1
    assert_ran(project)


def test_a_stderr_whose_reader_goes_stops_nothing(noisy: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = noisy.process("pipeline", "p", "--json", stderr=writer, restore_signals=True)
    os.close(writer)
    assert done.code == 1
    assert done.json["total"] == 3


@needs_full
def test_an_error_that_cannot_be_said_keeps_its_code(project: Project) -> None:
    assert redirected(project, "pipeline nothing", "2>/dev/full").code == 2


# stdout


def test_a_stdout_that_is_closed_is_no_file_of_the_store(noisy: Project) -> None:
    done = redirected(noisy, "pipeline p --progress none", ">&- <&-")
    assert done.code == 1
    assert_ran(noisy)


@pytest.mark.parametrize("line", ["runs list", "runs logs last bad", "runstore cat"])
def test_a_command_without_stdout_prints_nothing(noisy: Project, line: str) -> None:
    noisy.run()
    done = redirected(noisy, line, ">&-")
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")


def test_all_streams_may_be_closed(noisy: Project) -> None:
    assert redirected(noisy, "pipeline p --json", "<&- >&- 2>&-").code == 1
    assert_ran(noisy)


class FailingStdout:
    """A stdout that takes nothing."""

    encoding = "utf-8"

    def __init__(self, error: OSError) -> None:
        self.buffer = self
        self._error = error
        self._descriptor = os.open(os.devnull, os.O_WRONLY)

    def write(self, _data: bytes) -> int:
        raise self._error

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[OSError], None]]:
    """Lets stdout fail from now on."""
    with ExitStack() as stack:

        def fail(error: OSError) -> None:
            stdout = stack.enter_context(closing(FailingStdout(error)))
            monkeypatch.setattr(sys, "stdout", stdout)

        yield fail


of_every_command_that_prints = pytest.mark.parametrize(
    "line",
    [
        "runs list",
        "runs list --json",
        "runs show",
        "runs show --json",
        "runs logs last bad",
        "runstore verify",
        "runstore verify --json",
        "runstore cat",
        "jobs list",
        "jobs list --json",
        "jobs show bad",
        "validate p",
        "validate p --json",
        "pipeline p --dry-run",
        "pipeline p --dry-run --json",
    ],
)


@of_every_command_that_prints
def test_a_full_stdout_is_an_error_of_its_own(
    noisy: Project, failing: Callable[[OSError], None], line: str
) -> None:
    noisy.run()
    failing(OSError(28, "No space left on device"))
    done = noisy(*line.split())
    assert done.code == 3
    assert done.errors == ["lorchestra: cannot write to stdout: No space left on device"]


@of_every_command_that_prints
def test_a_reader_that_has_gone_ends_the_command_in_silence(
    noisy: Project, failing: Callable[[OSError], None], line: str
) -> None:
    noisy.run()
    failing(BrokenPipeError(32, "Broken pipe"))
    done = noisy(*line.split())
    assert (done.code, done.stderr) == (141, b"")


@needs_full
def test_a_run_whose_object_cannot_be_printed_is_recorded_all_the_same(noisy: Project) -> None:
    done = redirected(noisy, "pipeline p --json --durability os", ">/dev/full")
    assert done.code == 3
    assert done.errors[-1] == "lorchestra: cannot write to stdout: No space left on device"
    assert_ran(noisy)


def test_the_object_of_a_run_that_nobody_reads(project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    project.pipeline({"a": "true"})
    done = project.process("pipeline", "p", "--progress", "none", "--json", stdout=writer)
    os.close(writer)
    assert (done.code, done.stderr) == (141, b"")
    check_complete(project.store, project.store.run_ids()[0])


def test_a_reader_that_goes_in_the_middle_ends_the_command_in_silence(project: Project) -> None:
    with RunStore(".lorchestra", "os").create_run("p", ["a"]) as run, run.job("a") as log:
        for number in range(3000):
            log.append("metric", number=number)
    with project.started("runstore", "cat") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "begin"
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


# Encodings

PARTY = "\N{PARTY POPPER}"
ENVIRONMENTS = {
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_character_is_too_much(project: Project, name: str) -> None:
    variables = environment(**ENVIRONMENTS[name])
    project.pipeline({PARTY: f"echo {PARTY}; exit 3"})
    done = project.process("pipeline", "p", "--json", env=variables)
    assert done.code == 1
    assert done.json["jobs"][0]["job_id"] == PARTY
    shown = project.process("runs", "show", env=variables)
    assert (shown.code, shown.stderr) == (0, b"")
    assert rb"\U0001f389" in shown.stdout or PARTY.encode() in shown.stdout
    missing = project.process("pipeline", PARTY, env=variables)
    assert (missing.code, len(missing.errors)) == (2, 1)


def test_what_stdout_cannot_take_is_escaped_but_never_in_json(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pipeline({PARTY: "true"})
    with io.TextIOWrapper(io.BytesIO(), "cp1252") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert project("pipeline", "p", "--dry-run").code == 0
        assert rb"\U0001f389  run: true" in stdout.buffer.getvalue()
        assert project("pipeline", "p", "--dry-run", "--json").code == 0
        assert f'"job_id":"{PARTY}"'.encode() in stdout.buffer.getvalue()


def test_a_store_whose_path_is_no_text_can_be_used(project: Project) -> None:
    project.pipeline({"a": "true"})
    path = os.fsdecode(b"store-\xff")
    done = project.run("--json", "--store", path)
    assert done.code == 0
    assert "store-\udcff" in done.json["jobs"][0]["log"]
    assert project("runs", "show", "--json", "--store", path).stdout == done.stdout
    assert r"store-\udcff" in project("runs", "show", "--store", path).out
    assert project("runstore", "verify", "--json", "--store", path).code == 0
    assert r"store-\udcff" in project("runstore", "verify", "--store", path).out
