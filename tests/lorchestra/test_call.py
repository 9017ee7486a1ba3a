"""A function as a job: in a thread of lorchestra, or in a Python of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lorchestra import call as call_module
from lorchestra.call import child_command, importing_from, outcome_of_child, resolve
from lorchestra.model import Call, Job, Outcome
from tests.lorchestra.running import Ran, Runner, call, module

IN_THREAD: dict[str, Any] = {}
IN_PROCESS: dict[str, Any] = {"env": {"SET": "for the job"}}
both = pytest.mark.parametrize("place", [IN_THREAD, IN_PROCESS], ids=["thread", "process"])

FUNCTIONS = """
    import lorchestra, logging, os, subprocess, sys, threading, warnings
    from concurrent.futures import ThreadPoolExecutor

    def add(a, b=1):
        print("adding")
        return {"sum": a + b}

    class Group:
        class Inner:
            @staticmethod
            def nested():
                return "nested"

    number = 3

    def fail():
        print("before")
        raise ValueError("no such table: rows")

    def fail_with(error):
        raise eval(error)

    def leave(*codes, code):
        print("leaving")
        sys.exit(eval(code))

    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no")

    class Silent(Exception):
        pass

    def broken_error():
        raise Unprintable

    def silent():
        raise Silent

    def broken_streams():
        sys.stderr = sys.stdout = None
        raise ValueError("seen all the same")

    def closes():
        print("open")
        sys.stdout.close()
        sys.stderr.close()
        print("still there")
        raise ValueError("after closing")

    def read_input():
        lines = [*sys.stdin]
        try:
            lines.append(input())
        except EOFError:
            lines.append("end")
        return lines + [sys.stdin.read(), sys.stdin.buffer.read().decode()]

    def chained():
        try:
            fail()
        except ValueError as error:
            raise LookupError("second") from error

    def raises_keyboard_interrupt():
        raise KeyboardInterrupt

    def where():
        return [os.getcwd(), os.environ.get("SET"), sys.path[0]]
"""


def of(run: Runner, function: str, place: Mapping[str, Any], **arguments: Any) -> Job:
    """The job `a`, which calls one of the functions above."""
    name = module(run.root, FUNCTIONS)
    return call("a", f"{name}:{function}", arguments, **place)


def ran_once(run: Runner, function: str, place: Mapping[str, Any], **arguments: Any) -> Ran:
    return run(of(run, function, place, **arguments))


class TestSuccess:
    @both
    def test_it_is_given_its_arguments_by_name_and_returns_its_output(
        self, run: Runner, place: dict[str, Any]
    ) -> None:
        ran = ran_once(run, "add", place, a=2, b=40)
        attempt = ran.attempt("a")
        assert (attempt.status, attempt.error, attempt.output) == ("succeeded", None, {"sum": 42})
        assert ran.log("a") == b"adding\n"
        assert attempt.end["log_bytes"] == 7

    @both
    def test_a_function_inside_a_class_can_be_named(
        self, run: Runner, place: dict[str, Any]
    ) -> None:
        assert ran_once(run, "Group.Inner.nested", place).attempt("a").output == "nested"

    @both
    def test_one_of_the_standard_library_can_be_named(
        self, run: Runner, place: dict[str, Any]
    ) -> None:
        ran = run(call("a", "os.path:join", {"a": "x"}, **place), call("b", "os:getpid", **place))
        assert ran.attempt("a").output == "x"
        assert isinstance(ran.attempt("b").output, int)

    def test_the_modules_of_the_project_come_first(self, run: Runner) -> None:
        ran = ran_once(run, "where", IN_THREAD)
        assert ran.attempt("a").output[2] == str(run.root)

    def test_in_a_process_it_has_its_environment_and_folder(self, run: Runner) -> None:
        (run.root / "sub").mkdir()
        # What stands in the working folder must not hide what the child itself needs.
        for name in ("queue", "lorchestra", "threading"):
            (run.root / "sub" / f"{name}.py").write_text("raise SystemExit('hidden')")
        ran = ran_once(run, "where", {"env": {"SET": "x"}, "cwd": "sub"})
        assert ran.attempt("a").output == [str(run.root.resolve() / "sub"), "x", str(run.root)]

    @both
    def test_its_standard_input_is_empty(
        self, run: Runner, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("of the terminal")
        with open(tmp_path / "secret") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            ran = ran_once(run, "read_input", place)
            assert sys.stdin is stdin
        assert ran.attempt("a").output == ["end", "", ""]


class TestFailure:
    @both
    def test_an_exception_is_a_sentence_and_its_traceback_stands_in_the_log(
        self, run: Runner, place: dict[str, Any]
    ) -> None:
        ran = ran_once(run, "fail", place)
        attempt = ran.attempt("a")
        assert (attempt.status, attempt.error) == ("failed", "ValueError: no such table: rows")
        assert attempt.signal is None
        lines = ran.log("a").decode().splitlines()
        assert lines[:2] == ["before", "Traceback (most recent call last):"]
        assert lines[-1] == "ValueError: no such table: rows"
        assert "in fail" in lines[2], "the traceback begins with the user's own code"

    @both
    def test_its_cause_stands_there_too(self, run: Runner, place: dict[str, Any]) -> None:
        ran = ran_once(run, "chained", place)
        assert ran.attempt("a").error == "LookupError: second"
        log = ran.log("a").decode()
        assert "ValueError: no such table: rows" in log
        assert "direct cause" in log

    @both
    @pytest.mark.parametrize(
        ("error", "sentence"),
        [
            ("GeneratorExit('x')", "GeneratorExit: x"),
            ("KeyError('k')", "KeyError: 'k'"),
            ("ValueError('\\ud800')", "ValueError: \\ud800"),
            ("ValueError('x' * 3_000_000)", "ValueError: " + "x" * 1985 + "..."),
            ("ValueError('two\\nlines')", "ValueError: two\nlines"),
        ],
    )
    def test_any_exception_makes_a_sentence_that_can_be_recorded(
        self, run: Runner, place: dict[str, Any], error: str, sentence: str
    ) -> None:
        attempt = ran_once(run, "fail_with", place, error=error).attempt("a")
        assert (attempt.status, attempt.error) == ("failed", sentence)

    @both
    def test_one_without_words(self, run: Runner, place: dict[str, Any]) -> None:
        assert ran_once(run, "silent", place).attempt("a").error == "Silent"

    @both
    def test_one_that_cannot_even_be_printed(self, run: Runner, place: dict[str, Any]) -> None:
        attempt = ran_once(run, "broken_error", place).attempt("a")
        assert attempt.status == "failed"
        assert attempt.error == "Unprintable: <Unprintable without a text>"

    @both
    def test_keyboard_interrupt_without_a_signal_is_a_failure_like_others(
        self, run: Runner, place: dict[str, Any]
    ) -> None:
        attempt = ran_once(run, "raises_keyboard_interrupt", place).attempt("a")
        assert (attempt.status, attempt.error) == ("failed", "KeyboardInterrupt")

    @both
    @pytest.mark.parametrize("function", ["broken_streams", "closes"])
    def test_the_traceback_comes_whatever_was_done_to_the_streams(
        self, run: Runner, place: dict[str, Any], function: str
    ) -> None:
        streams = sys.stdout, sys.stderr
        ran = ran_once(run, function, place)
        assert (sys.stdout, sys.stderr) == streams
        assert not sys.stdout.closed
        assert ran.attempt("a").status == "failed"
        assert b"Traceback" in ran.log("a")
        if function == "closes":
            assert ran.log("a").startswith(b"open\nstill there\n")

    @both
    @pytest.mark.parametrize(
        ("target", "error"),
        [
            ("no.such.module:f", "ModuleNotFoundError: No module named 'no'"),
            ("{}:nothing", "AttributeError: module '{}' has no attribute 'nothing'"),
            ("{}:Group.x", "AttributeError: type object 'Group' has no attribute 'x'"),
            ("{}:number", "TypeError: {}:number is int, not a function"),
            ("{}", "AttributeError: module '{}' has no attribute ''"),
        ],
    )
    def test_a_function_that_is_not_there(
        self, run: Runner, place: dict[str, Any], target: str, error: str
    ) -> None:
        name = module(run.root, FUNCTIONS)
        ran = run(call("a", target.format(name), **place))
        assert ran.attempt("a").status == "failed"
        assert ran.attempt("a").error == error.format(name)
        assert error.format(name) in ran.log("a").decode()

    @both
    def test_a_module_that_cannot_be_imported(self, run: Runner, place: dict[str, Any]) -> None:
        wrong = module(run.root, "def f(:\n")
        raising = module(run.root, "print('importing')\n1 / 0")
        leaving = module(run.root, "import sys\nsys.exit(5)")
        ran = run(*(call(name, f"{name}:f", **place) for name in (wrong, raising, leaving)))
        error = ran.attempt(wrong).error
        assert error is not None
        assert error.startswith("SyntaxError: invalid syntax")
        assert ran.attempt(raising).error == "ZeroDivisionError: division by zero"
        assert ran.log(raising).startswith(b"importing\nTraceback")
        assert (ran.attempt(leaving).error, ran.attempt(leaving).exit_code) == ("exit code 5", 5)

    @both
    def test_wrong_arguments(self, run: Runner, place: dict[str, Any]) -> None:
        ran = ran_once(run, "add", place, c=1)
        assert ran.attempt("a").error == "TypeError: add() got an unexpected keyword argument 'c'"


class TestSystemExit:
    @both
    @pytest.mark.parametrize(
        ("code", "status", "exit_code", "error", "printed"),
        [
            ("None", "succeeded", 0, None, ""),
            ("0", "succeeded", 0, None, ""),
            ("False", "succeeded", 0, None, ""),
            ("3", "failed", 3, "exit code 3", ""),
            ("True", "failed", 1, "exit code 1", ""),
            ("-1", "failed", 255, "exit code 255", ""),
            ("256", "succeeded", 0, None, ""),
            ("'no rows'", "failed", 1, "no rows", "no rows\n"),
            ("''", "failed", 1, "", "\n"),
            ("0.0", "failed", 1, "0.0", "0.0\n"),
            ("[1]", "failed", 1, "[1]", "[1]\n"),
            ("Unprintable()", "failed", 1, "<Unprintable without a text>", None),
            ("'\\ud800'", "failed", 1, "\\ud800", "\\ud800\n"),
            ("'x' * 3_000_000", "failed", 1, "x" * 1997 + "...", None),
        ],
    )
    def test_it_means_what_it_means_in_a_program(
        self,
        run: Runner,
        place: dict[str, Any],
        code: str,
        status: str,
        exit_code: int,
        error: str | None,
        printed: str | None,
    ) -> None:
        ran = ran_once(run, "leave", place, code=code)
        attempt = ran.attempt("a")
        assert (attempt.status, attempt.exit_code, attempt.error) == (status, exit_code, error)
        if printed is not None:
            assert ran.log("a").decode() == f"leaving\n{printed}"


class TestChild:
    def test_one_that_left_why_it_failed_has_that_error(self) -> None:
        ended = Outcome("failed", exit_code=1, error="exit code 1", output={"error": "E: x"})
        assert outcome_of_child(ended) == Outcome("failed", exit_code=1, error="E: x")

    @pytest.mark.parametrize("left", [None, 3, {}, {"error": "x", "more": 1}])
    def test_one_that_left_something_else_keeps_its_own(self, left: Any) -> None:
        ended = Outcome("failed", signal=11, error="signal 11 (SIGSEGV)", output=left)
        assert outcome_of_child(ended) == ended

    def test_one_that_succeeded_may_return_what_looks_like_an_error(self) -> None:
        ended = Outcome("succeeded", output={"error": "none"})
        assert outcome_of_child(ended) == ended

    def test_one_that_was_stopped_was_stopped(self) -> None:
        ended = Outcome("interrupted", error="stopped with the run", output={"error": "E: x"})
        assert outcome_of_child(ended) == Outcome("interrupted", error="stopped with the run")

    def test_one_that_dies_is_told_as_any_process(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import os
            def die(how):
                print("dying", flush=True)
                os.kill(os.getpid(), 11) if how == "signal" else os._exit(4)
            """,
        )
        jobs = [call(how, f"{name}:die", {"how": how}, **IN_PROCESS) for how in ("signal", "exit")]
        ran = run(*jobs)
        assert ran.attempt("signal").error == "signal 11 (SIGSEGV)"
        assert ran.attempt("exit").error == "exit code 4"
        assert ran.log("exit") == b"dying\n"

    def test_its_function_may_leave_the_output_itself(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import os
            def leave():
                with open(os.environ["LORCHESTRA_OUTPUT"], "w") as file:
                    file.write('{"own": 1}')
            """,
        )
        ran = run(call("a", f"{name}:leave", **IN_PROCESS))
        assert ran.attempt("a").output == {"own": 1}

    def test_its_process_is_in_the_record(self, run: Runner) -> None:
        ran = run(call("a", "os:getpid", **IN_PROCESS))
        (process,) = ran.records("process", "a")
        assert process["pid"] == ran.attempt("a").output

    def test_large_arguments_reach_it(self, run: Runner) -> None:
        ran = run(call("a", "builtins:dict", {"text": "x" * 500_000}, **IN_PROCESS))
        assert len(ran.attempt("a").output["text"]) == 500_000

    def test_its_command_names_no_secret(self, tmp_path: Path) -> None:
        argv, task = child_command(Call("m:f", {"password": "x"}), tmp_path)
        assert argv == [sys.executable, "-P", "-m", "lorchestra.child"]
        assert task == {"root": str(tmp_path), "call": "m:f", "with": {"password": "x"}}


class TestResolving:
    def test_it_gives_the_function(self) -> None:
        assert resolve("lorchestra.call:resolve") is call_module.resolve

    def test_the_folder_is_first_in_the_path_only_while_it_is_needed(self, tmp_path: Path) -> None:
        before = [*sys.path]
        with importing_from(tmp_path):
            assert sys.path == [str(tmp_path), *before]
            sys.path.insert(0, "of-the-function")
        assert sys.path == ["of-the-function", *before]
        sys.path.remove("of-the-function")

    def test_it_may_be_taken_out_meanwhile(self, tmp_path: Path) -> None:
        before = [*sys.path]
        with importing_from(tmp_path):
            del sys.path[0]
        assert sys.path == before
