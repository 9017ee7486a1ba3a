"""`--run-key`: what a key names is done once, whoever asks for it, and however often."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Options, run_pipeline
from lorchestra.context import idempotency_key
from lorchestra.loader import load_pipeline
from runstore import GuardTimeoutError, RunStore, RunView
from tests.lorchestra.cli.commands import PROGRAM, Project, ended, run_object, statuses
from tests.lorchestra.cli.test_guard import WITHOUT_NOISE, said, until
from tests.lorchestra.running import PATIENCE_S, check_complete, eventually

DAY = "2026-11-24"
NOTE = 'echo "{0} $LORCHESTRA_IDEMPOTENCY_KEY" >> ran; test ! -e {0}-fails'

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")


def noting(*names: str) -> dict[str, str]:
    return {name: NOTE.format(name) for name in names}


def ran(project: Project) -> list[str]:
    path = project.root / "ran"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def keys(project: Project) -> set[str]:
    return {line.split()[1] for line in (project.root / "ran").read_text().splitlines()}


def the_run(project: Project) -> RunView:
    (run_id,) = project.store.run_ids()
    return project.store.read(run_id)


class TestDone:
    def test_a_second_time_nothing_is_run_and_one_line_says_so(self, project: Project) -> None:
        project.pipeline(noting("a", "b"))
        first = project.run("--run-key", DAY, "--json")
        before = project.files()
        second = project.run("--run-key", DAY, "--json")
        assert (first.code, second.code) == (0, 0)
        assert run_object(project, first)["run_key"] == DAY
        assert second.stdout == first.stdout
        said_once = rf"lorchestra: run {the_run(project).id} succeeded under the run key '{DAY}': "
        assert re.fullmatch(said_once + "nothing is run\n", second.err)
        assert project.files() == before
        assert ran(project) == ["a", "b"]

    def test_without_json_stdout_is_empty(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.run("--run-key", DAY)
        done = project.run("--run-key", DAY)
        assert (done.code, done.stdout, len(done.errors)) == (0, b"", 1)

    def test_another_key_another_pipeline_and_another_store_have_runs_of_their_own(
        self, project: Project
    ) -> None:
        project.pipeline(noting("a"))
        project.pipeline(noting("a"), name="q.yaml")
        for arguments in ((DAY,), (f"{DAY} ",), (DAY.upper() + "x",), (DAY, "--store", "other")):
            assert project.run("--run-key", *arguments).code == 0
        assert project.run("--run-key", DAY, name="q").code == 0
        assert project.run().code == 0
        assert ran(project) == ["a"] * 6
        assert len(keys(project)) == 5  # of one pipeline, the key is the same in both stores

    def test_the_variable_is_the_default_and_an_empty_one_counts_as_not_set(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.pipeline(noting("a"))
        monkeypatch.setenv("LORCHESTRA_RUN_KEY", DAY)
        assert [project.run().code, project.run().code] == [0, 0]
        assert the_run(project).run_key == DAY
        assert project.run("--run-key", "other").code == 0
        monkeypatch.setenv("LORCHESTRA_RUN_KEY", "")
        assert project.run().code == 0
        assert ran(project) == ["a"] * 3

    def test_a_compacted_run_is_found(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.run("--run-key", DAY)
        project.store.compact(the_run(project).id)
        assert project.run("--run-key", DAY).code == 0
        assert ran(project) == ["a"]

    def test_a_changed_definition_does_not_undo_what_succeeded(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.run("--run-key", DAY)
        project.pipeline({"a": "exit 1"})
        assert project.run("--run-key", DAY).code == 0

    def test_what_was_not_selected_is_left_to_do(self, project: Project) -> None:
        project.pipeline(noting("a", "b"), noting("c"))
        assert project.run("--run-key", DAY, "--only", "a").code == 0
        assert project.run("--run-key", DAY, "--only", "a").code == 0
        assert ran(project) == ["a"]
        assert project.run("--run-key", DAY).code == 0
        assert project.run("--run-key", DAY).code == 0
        assert ran(project) == ["a", "b", "c"]
        check_complete(project.store, the_run(project).id)


class TestResumed:
    def test_what_failed_is_gone_on_with_under_the_same_keys(self, project: Project) -> None:
        project.pipeline(noting("a", "b"), noting("c"))
        project.write("b-fails")
        assert project.run("--run-key", DAY, "--stop-on-failure").code == 1
        (project.root / "b-fails").unlink()
        done = project.run("--run-key", DAY, "--json")
        found = done.json
        assert (done.code, found["status"], found["run_key"]) == (0, "succeeded", DAY)
        assert [job["attempts"] for job in found["jobs"]] == [1, 2, 1]
        assert [job["resumed"] for job in found["jobs"]] == [
            *("succeeded before", "failed before", "did not start"),
        ]
        assert ran(project) == ["a", "b", "b", "c"]
        assert keys(project) == {idempotency_key("p", DAY, job) for job in ("a", "b", "c")}
        check_complete(project.store, the_run(project).id)
        assert project.run("--run-key", DAY).code == 0
        assert len(ran(project)) == 4

    def test_a_changed_job_runs_again_with_it(self, project: Project) -> None:
        project.pipeline(noting("a", "b"))
        project.write("b-fails")
        assert project.run("--run-key", DAY).code == 1
        project.pipeline({"a": "echo other >> ran", "b": "true"})
        done = project.run("--run-key", DAY, "--json")
        resumed = [job["resumed"] for job in done.json["jobs"]]
        assert resumed == ["definition changed", "failed before"]
        assert ran(project)[-1] == "other"

    def test_a_resume_of_the_run_by_its_id_keeps_and_holds_the_key(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.write("a-fails")
        assert project.run("--run-key", DAY).code == 1
        run_id = the_run(project).id
        with project.store.hold_key("p", DAY):
            assert project.run(f"--resume={run_id}").code == 75
        assert project.run(f"--resume={run_id}").code == 1
        assert the_run(project).run_key == DAY
        assert keys(project) == {idempotency_key("p", DAY, "a")}

    @pytest.mark.parametrize("reference", ["", "=last", "=unfinished"])
    def test_a_bare_resume_is_of_the_run_under_the_key(
        self, project: Project, reference: str
    ) -> None:
        project.pipeline(noting("a"))
        project.write("a-fails")
        assert project.run("--run-key", DAY).code == 1
        assert project.run("--run-key", "other").code == 1
        assert project.run("--run-key", DAY, f"--resume{reference}").code == 1
        attempts = [len(run.jobs["a"].attempts) for run in map(project.store.read, ids(project))]
        assert attempts == [1, 2]
        nothing = project.run("--run-key", "third", f"--resume{reference}")
        assert (nothing.code, len(ids(project))) == (0, 2)

    def test_a_resume_of_a_run_of_another_key_is_refused(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.write("a-fails")
        project.run("--run-key", DAY)
        keyed = the_run(project).id
        project.run()
        (plain,) = set(ids(project)) - {keyed}
        for run_id, has in ((keyed, f"has the run key '{DAY}'"), (plain, "has no run key")):
            done = project.run("--run-key", "other", f"--resume={run_id}")
            assert (done.code, done.err) == (2, f"lorchestra: run {run_id} {has}, not 'other'\n")
        assert project.run("--run-key", DAY, f"--resume={keyed}").code == 1
        assert len(project.store.read(keyed).jobs["a"].attempts) == 2

    def test_other_parameters_under_the_same_key_are_refused(self, project: Project) -> None:
        project.pipeline({"a": "test ${params.n} = 2"}, params={"n": 1, "m": None})
        again = ("--run-key", DAY)
        assert project.run(*again, "--param", "n=3").code == 1
        run_id = the_run(project).id
        for arguments in (again, (f"--resume={run_id}",), (*again, "--dry-run")):
            done = project.run(*arguments, "--param", "n=2", "--param", "m=x")
            assert done.code == 2
            assert done.errors[0] == (
                f"lorchestra: run {run_id} under the run key '{DAY}' has parameter n '3', "
                "not '2': a key names one piece of work"
            )
            assert len(done.errors) == 2
        assert project.run(*again, "--param", "n=3").code == 1
        assert project.run(*again).code == 1
        assert len(the_run(project).jobs["a"].attempts) == 3

    def test_also_once_it_has_succeeded(self, project: Project) -> None:
        project.pipeline({"a": "true ${params.n}"}, params={"n": 1})
        assert project.run("--run-key", DAY).code == 0
        assert project.run("--run-key", DAY, "--param", "n=2").code == 2
        assert project.run("--run-key", DAY, "--param", "n=1").code == 0


def ids(project: Project) -> list[str]:
    return project.store.run_ids()


class TestDryRun:
    def test_it_says_what_would_be_kept_and_run_and_changes_nothing(self, project: Project) -> None:
        project.pipeline(noting("a", "b"))
        new = project.run("--run-key", DAY, "--dry-run", "--json")
        assert "run_id" not in new.json
        assert project.files() == {"p.yaml"}
        project.write("b-fails")
        assert project.run("--run-key", DAY).code == 1
        before = project.files()
        planned = project.run("--run-key", DAY, "--dry-run", "--json")
        assert planned.json["run_id"] == the_run(project).id
        (stage,) = planned.json["stages"]
        assert [(job["is_kept"], job["reason"]) for job in stage["jobs"]] == [
            (True, "succeeded before"),
            (False, "failed before"),
        ]
        (project.root / "b-fails").unlink()
        assert project.files() == before - {"b-fails"}
        project.run("--run-key", DAY)
        done = project.run("--run-key", DAY, "--dry-run")
        assert (done.code, done.stdout) == (0, b"")
        assert "nothing is run" in done.err


@contextmanager
def held(project: Project, run_key: str = DAY) -> Iterator[str]:
    """A run of this process at work under the key."""
    store = RunStore(project.store.path, "os")
    with (
        store.hold_key("p", run_key) as key,
        store.create_run("p", [{"id": "a", "stage": "s1"}], key=key) as run,
    ):
        with run.job("a"):
            pass
        yield run.id


class TestHeld:
    @pytest.mark.parametrize("guard", [(), ("--guard", "fail"), ("--guard", "none")])
    def test_it_fails_with_75_and_names_the_holder(
        self, project: Project, guard: tuple[str, ...]
    ) -> None:
        project.pipeline(noting("a"))
        with held(project) as run_id:
            before = project.files()
            done = project.process("pipeline", "p", "--run-key", DAY, *guard)
            assert project.files() == before
        assert (done.code, done.stdout) == (75, b"")
        assert re.fullmatch(
            rf"lorchestra: the run key '{DAY}' is held by run {run_id} "
            rf"\(host \S+, pid {os.getpid()}, since \S+Z\); "
            r"its lock is \S+/locks/[0-9a-f]{32}~key\.lock\n",
            done.err,
        )

    def test_skip_exits_0(self, project: Project) -> None:
        project.pipeline(noting("a"))
        with held(project) as run_id:
            done = project.process("pipeline", "p", "--run-key", DAY, "--guard", "skip", "--json")
        assert (done.code, done.json["status"]) == (0, "skipped")
        assert done.json["held_by"]["run"] == run_id
        assert ran(project) == []

    def test_wait_waits_and_then_finds_it_done(self, project: Project) -> None:
        project.pipeline(noting("a"))
        with held(project) as run_id:
            waiting = project.started(
                *("pipeline", "p", "--run-key", DAY, "--guard", "wait", "--json", *WITHOUT_NOISE)
            )
            process = waiting.__enter__()
            assert said(process).endswith("; waiting for it\n")
        try:
            done = ended(process)
        finally:
            waiting.__exit__(None, None, None)
        assert (done.code, done.json["run_id"]) == (0, run_id)
        assert "nothing is run" in done.err
        assert ran(project) == []

    def test_a_run_without_a_key_or_with_another_is_not_kept_away(self, project: Project) -> None:
        project.pipeline(noting("a"))
        with held(project):
            assert project.run().code == 0
            assert project.run("--run-key", "other").code == 0

    def test_the_guard_is_held_beside_it(self, project: Project) -> None:
        project.pipeline(
            {"a": f"{sys.executable} -m lorchestra pipeline p --guard fail --run-key other"}
        )
        done = project.run("--guard", "fail", "--run-key", DAY)
        assert done.code == 1
        assert "exit code 75" in done.err
        assert "the guard is held by run" in done.err

    def test_the_key_is_free_after_the_run_however_it_ended(self, project: Project) -> None:
        project.pipeline({"a": "exit 1"})
        for _ in range(3):
            assert project.run("--run-key", DAY).code == 1
        with project.store.hold_key("p", DAY):
            pass
        assert [path.suffix for path in (project.root / ".lorchestra/locks").iterdir()] == [".lock"]

    def test_a_dry_run_of_one_at_work_is_refused(self, project: Project) -> None:
        project.pipeline(noting("a"))
        with held(project):
            assert project.run("--run-key", DAY, "--dry-run").code == 75


@needs_posix
class TestKilled:
    @contextmanager
    def orphaned(self, project: Project, *guard: str) -> Iterator[str]:
        """A run under the key was killed, and its job is still at work."""
        project.pipeline({"a": "echo a >> ran; " + until(project, "a")})
        options = ("--run-key", DAY, *guard, *WITHOUT_NOISE)
        with project.started("pipeline", "p", *options) as running:
            eventually((project.root / "a.began").exists)
            running.kill()
            running.wait()
        try:
            yield the_run(project).id
        finally:
            (project.root / "a.go").touch()

    @pytest.mark.parametrize("guard", [(), ("--guard", "fail")])
    def test_its_jobs_hold_the_key(self, project: Project, guard: tuple[str, ...]) -> None:
        with self.orphaned(project, *guard) as run_id:
            for _ in range(2):
                done = project.run("--run-key", DAY)
                assert done.code == 75
                assert f"jobs of run {run_id} are still at work: 'a' (pid " in done.err
            assert project.run("--run-key", DAY, "--guard", "skip").code == 0
            assert project.store.read(run_id).status == "crashed"
            (project.root / "a.go").touch()
            assert project.run("--run-key", DAY, "--guard", "wait").code == 0
        assert ran(project) == ["a", "a"]
        check_complete(project.store, the_run(project).id)

    def test_they_can_be_ended(self, project: Project) -> None:
        with self.orphaned(project):
            (project.root / "a.began").unlink()
            with project.started(
                "pipeline", "p", "--run-key", DAY, "--orphans", "kill", *WITHOUT_NOISE
            ) as resumed:
                eventually((project.root / "a.began").exists)
                (project.root / "a.go").touch()
                assert ended(resumed).code == 0
        assert len(the_run(project).jobs["a"].attempts) == 2

    def test_they_can_be_waited_for(self, project: Project) -> None:
        with (
            self.orphaned(project),
            project.started(
                *("pipeline", "p", "--run-key", DAY, "--orphans", "wait", "--durability", "os")
            ) as resumed,
        ):
            assert "is still at work: waiting for it" in said(resumed)
            (project.root / "a.go").touch()
            assert ended(resumed).code == 0
        assert len(the_run(project).jobs["a"].attempts) == 2

    def test_an_interrupted_one_is_gone_on_with(self, project: Project) -> None:
        project.pipeline({"a": "echo a >> ran; " + until(project, "a")})
        with project.started("pipeline", "p", "--run-key", DAY, *WITHOUT_NOISE) as running:
            eventually((project.root / "a.began").exists)
            running.send_signal(signal.SIGINT)
            assert ended(running).code == 130
        (project.root / "a.go").touch()
        assert project.run("--run-key", DAY).code == 0
        assert ran(project) == ["a", "a"]
        assert the_run(project).status == "succeeded"


class TestAtOnce:
    ROUNDS = 12

    @pytest.mark.parametrize("guard", ["fail", "wait"])
    def test_of_two_that_start_in_the_same_instant_one_runs(
        self, project: Project, guard: str
    ) -> None:
        project.pipeline({"a": "mkdir inside && sleep 0.05 && echo a >> ran; rmdir inside"})
        for number in range(self.ROUNDS):
            options = ["--run-key", f"{number}", "--guard", guard, *WITHOUT_NOISE]
            command = [*PROGRAM, "pipeline", "p", *options]
            both = [
                subprocess.Popen(command, cwd=project.root, stderr=subprocess.DEVNULL)
                for _ in range(2)
            ]
            codes = sorted(process.wait(PATIENCE_S) for process in both)
            assert codes in ([0, 0], [0, 75])
            assert guard == "fail" or codes == [0, 0]
            assert len(ran(project)) == number + 1
        assert len(ids(project)) == self.ROUNDS
        assert project.store.verify().ok

    def test_threads_exclude_each_other(self, project: Project) -> None:
        store = RunStore(project.root / "store", "os")
        with store.hold_key("p", DAY), pytest.raises(GuardTimeoutError) as refused:
            store.hold_key("p", DAY)
        assert refused.value.run_key == DAY


HOSTILE = {
    "line breaks": "a\nb\r\n",
    "10,000 characters": "k" * 10_000,
    "10,000 wide characters": "\N{GRINNING FACE}" * 10_000,
    "only blanks": "  ",
    "controls": "\x01\x1b[31m\x7f",
    "a path": "../../../etc/passwd",
    "quotes": "'\"`$(exit 3)",
    "like an option": "--dry-run",
    "like a reference": "${params.x} @run.a",
    "right to left": "\u202e\u0627",
}
REFUSED = {
    "empty": "",
    "too long": "k" * 10_001,
    "no UTF-8": os.fsdecode(b"\xff"),
    "NUL": "a\0b",
}


class TestHostile:
    @pytest.mark.parametrize("run_key", HOSTILE.values(), ids=HOSTILE)
    def test_any_text_is_a_key(self, project: Project, run_key: str) -> None:
        project.pipeline(noting("a"))
        for _ in range(2):
            done = project.run(f"--run-key={run_key}", "--json")
            assert done.code == 0
            assert done.json["run_key"] == run_key
            assert "\x1b" not in done.err
            assert max(map(len, done.errors)) < 400
        assert ran(project) == ["a"]
        assert project("runs", "show").code == project("runs", "list").code == 0
        listed = project("runs", "list", f"--run-key={run_key}", "--json")
        assert [run["run_key"] for run in listed.json] == [run_key]
        with project.store.hold_key("p", run_key):
            refused = project.run(f"--run-key={run_key}")
        assert (refused.code, len(refused.errors)) == (75, 1)
        assert all(len(path.name) <= 100 for path in project.root.rglob("*"))
        check_complete(project.store, the_run(project).id)

    @pytest.mark.parametrize("run_key", REFUSED.values(), ids=REFUSED)
    @pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
    def test_what_is_none_is_refused(
        self, project: Project, run_key: str, dry: tuple[str, ...]
    ) -> None:
        project.pipeline(noting("a"))
        done = project.run(f"--run-key={run_key}", *dry)
        assert (done.code, len(done.errors)) == (2, 1)
        assert done.err.startswith("lorchestra: a run key ")
        assert project.files() == {"p.yaml"}

    @needs_posix
    def test_bytes_that_are_no_text_are_refused(self, project: Project) -> None:
        project.pipeline(noting("a"))
        done = project.process("pipeline", "p", "--run-key", b"\xff")
        assert (done.code, len(done.errors)) == (2, 1)
        environ: Any = {**os.environb, b"LORCHESTRA_RUN_KEY": b"\xff"}
        assert project.process("pipeline", "p", env=environ).code == 2

    def test_one_with_a_secret_in_it_is_refused(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.pipeline(noting("a"), secrets=["TOKEN"])
        monkeypatch.setenv("TOKEN", "swordfish")
        for dry in ((), ("--dry-run",)):
            done = project.run("--run-key", "day-swordfish", *dry)
            assert (done.code, "swordfish" in done.err) == (2, False)


class TestShown:
    def test_runs_show_and_list_have_the_key(self, project: Project) -> None:
        project.pipeline(noting("a"))
        project.run()
        assert "KEY" not in project("runs", "list").out
        project.run("--run-key", DAY)
        assert f"run key   {DAY}\n" in project("runs", "show").out
        head, keyed, plain = project("runs", "list").out.splitlines()
        assert (head.split()[-1], keyed.split()[-1], plain.split()[-1]) == ("KEY", DAY, "-")
        listed = project("runs", "list", "--json").json
        assert [run["run_key"] for run in listed] == [DAY, None]
        only = project("runs", "list", "--run-key", DAY).out.splitlines()
        assert len(only) == 2
        none = project("runs", "list", "--run-key", "other")
        assert (none.code, none.stdout) == (0, b"")
        assert "no run under the run key 'other'" in none.err


class TestCost:
    def test_only_the_first_line_of_each_newer_run_is_read(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = RunStore(project.root / ".lorchestra", "os")
        with store.hold_key("p", DAY) as key, store.create_run("p", ["a"], key=key) as run:
            oldest = run.id
        for number in range(300):
            with store.create_run("p" if number % 2 else "q", ["a"]) as run, run.job("a") as log:
                log.append("metric", rows="x" * 100_000 if number == 0 else 1)
        opened = opens(monkeypatch)
        assert store.find_run("p", DAY) == oldest
        assert opened == [f"{run_id}/run.jsonl" for run_id in store.run_ids()]
        opened.clear()
        with store.hold_key("p", "new") as key, store.create_run("p", ["a"], key=key) as run:
            pass
        assert store.find_run("p", "new") == run.id
        assert opened[-1:] == [f"{run.id}/run.jsonl"]
        assert len(opened) <= 2


def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of runs that are opened to be read from now on, by their last two names."""
    from runstore import files

    opened: list[str] = []
    open_read = files.open_read

    def noted(path: str) -> int:
        if "/runs/" in path:
            opened.append("/".join(Path(path).parts[-2:]))
        return open_read(path)

    monkeypatch.setattr(files, "open_read", noted)
    return opened


class TestFromPython:
    def test_it_is_told_that_nothing_was_run(self, project: Project) -> None:
        path = project.pipeline(noting("a"))
        pipeline = load_pipeline(path, project.root)
        first = run_pipeline(pipeline, project.store, run_key=DAY)
        again = run_pipeline(pipeline, project.store, Options(4), run_key=DAY)
        assert (first.was_done, again.was_done) == (False, True)
        assert (again.run_id, again.status) == (first.run_id, first.status)
        assert (again.receipt, again.succeeded) == (first.receipt, True)

    def test_a_resumed_run_keeps_its_own(self, project: Project) -> None:
        pipeline = load_pipeline(project.pipeline(noting("a")), project.root)
        with pytest.raises(ValueError, match="one of the two"):
            run_pipeline(pipeline, project.store, resume="x", run_key=DAY)


@needs_posix
def test_the_json_of_all_endings_is_that_of_runs_show(project: Project) -> None:
    project.pipeline(noting("a"))
    project.write("a-fails")
    for code in (1, 1):
        done = project.run("--run-key", DAY, "--json")
        assert done.code == code
        assert done.stdout == project("runs", "show", "--json").stdout
    (project.root / "a-fails").unlink()
    done = project.run("--run-key", DAY, "--json")
    assert statuses(done.json) == {"a": "succeeded"}
    assert done.stdout == project.run("--run-key", DAY, "--json").stdout
