"""What a job leaves as its output, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorchestra.model import Job
from lorchestra.output import MAX_OUTPUT_BYTES, OutputError, read_output
from tests.lorchestra.running import Runner, call, module, python, shell

DEEP = '{"a":' * 300 + "1" + "}" * 300


def leave(job_id: str, content: str, then: str = "") -> Job:
    return shell(job_id, f"printf %s '{content}' > $LORCHESTRA_OUTPUT; {then}")


class TestReading:
    def test_nothing_and_an_empty_file_are_no_output(self, tmp_path: Path) -> None:
        assert read_output(str(tmp_path / "missing")) is None
        for content in (b"", b" \n\t "):
            (tmp_path / "file").write_bytes(content)
            assert read_output(str(tmp_path / "file")) is None

    @pytest.mark.parametrize("content", [b"{}", b'{"a": [1, null, "\xc3\xa9"]}', b'\n{"a":1}\n'])
    def test_an_object_is_one(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        assert isinstance(read_output(str(tmp_path / "file")), dict)

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"[]", "array"),
            (b'"text"', "string"),
            (b"1", "number"),
            (b"1.5", "number"),
            (b"true", "boolean"),
            (b"null", "null"),
        ],
    )
    def test_another_value_is_one_only_where_any_will_do(
        self, tmp_path: Path, content: bytes, kind: str
    ) -> None:
        path = str(tmp_path / "file")
        Path(path).write_bytes(content)
        with pytest.raises(OutputError) as caught:
            read_output(path)
        assert str(caught.value) == f"its output is a JSON {kind}, not an object"
        assert not isinstance(read_output(path, only_object=False), dict)

    @pytest.mark.parametrize("content", [b"{", b"{'a': 1}", b'{"a": NaN}', b"\xff{}", b"{} {}"])
    def test_what_is_no_json_is_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(OutputError, match=r"^its output is not JSON: "):
            read_output(str(tmp_path / "file"))

    @pytest.mark.parametrize(
        ("number", "shown"),
        [
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("9" * 41, "one of 41 digits"),
            ("1" + "0" * 300, "one of 301 digits"),
        ],
        ids=["above", "below", "long", "as long as JSON may have it"],
    )
    def test_an_integer_that_would_be_rounded_is_refused(
        self, tmp_path: Path, number: str, shown: str
    ) -> None:
        (tmp_path / "file").write_text(f'{{"a": [{{"id": {number}}}]}}')
        with pytest.raises(OutputError) as caught:
            read_output(str(tmp_path / "file"))
        wrong = f"integers have at most 64 bits, not {shown}"
        assert str(caught.value) == f"its output cannot be recorded: {wrong}"

    def test_other_long_numbers_and_digits_in_texts_are_as_they_are(self, tmp_path: Path) -> None:
        digits = "12345678901234567890123"
        content = (
            f'{{"{digits}": "\\"{digits}", "a": 0.{digits}, "b": {digits}.5, "c": 1e22,'
            f' "d": {digits}E2, "e": 18446744073709551615, "f": -9223372036854775808}}'
        )
        (tmp_path / "file").write_text(content)
        assert read_output(str(tmp_path / "file")) == json.loads(content)

    def test_the_longest_and_one_that_is_too_long(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b'{"a":"' + b"x" * (MAX_OUTPUT_BYTES - 8) + b'"}')
        assert path.stat().st_size == MAX_OUTPUT_BYTES
        assert len(read_output(str(path))["a"]) == MAX_OUTPUT_BYTES - 8
        with path.open("ab") as file:
            file.write(b" ")
        with pytest.raises(OutputError, match=r"^its output is longer than 1000000 bytes$"):
            read_output(str(path))

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"^its output cannot be read: Is a directory$"):
            read_output(str(tmp_path))


class TestOfJobs:
    def test_an_object_is_in_the_record(self, run: Runner) -> None:
        ran = run(leave("a", '{"rows": 3, "names": ["x"]}'), shell("b", ":"))
        assert ran.view.jobs["a"].output == {"rows": 3, "names": ["x"]}
        (record,) = ran.records("output", "a")
        assert record["value"] == {"rows": 3, "names": ["x"]}
        assert ran.records("output", "b") == []

    def test_a_job_that_fails_may_leave_one_too(self, run: Runner) -> None:
        attempt = run(leave("a", '{"rows": 3}', "exit 4")).attempt("a")
        assert (attempt.status, attempt.exit_code, attempt.output) == ("failed", 4, {"rows": 3})

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            ("[1]", "its output is a JSON array, not an object"),
            ("{", "its output is not JSON: "),
            (DEEP, "its output cannot be recorded: values are nested more than 250 levels deep"),
        ],
    )
    def test_one_that_is_none_fails_a_job_that_succeeded_and_no_other(
        self, run: Runner, content: str, error: str
    ) -> None:
        ran = run(
            leave("a", content), leave("b", content, "exit 4"), leave("c", content, "kill $$")
        )
        a, b, c = (ran.attempt(job_id) for job_id in "abc")
        assert (a.status, a.exit_code, a.output) == ("failed", 0, None)
        assert a.error is not None
        assert a.error.startswith(error)
        assert (b.status, b.exit_code, b.error, b.output) == ("failed", 4, "exit code 4", None)
        assert (c.status, c.error, c.output) == ("failed", "signal 15 (SIGTERM)", None)

    def test_one_too_long_for_a_record_although_its_file_is_not(self, run: Runner) -> None:
        source = """
            import os
            with open(os.environ["LORCHESTRA_OUTPUT"], "w") as file:
                file.write('{"a":[' + ",".join(["1e9"] * 200_000) + "]}")
        """
        attempt = run(python("a", source)).attempt("a")
        assert attempt.status == "failed"
        assert attempt.error is not None
        assert attempt.error.startswith("its output cannot be recorded: a record of ")

    def test_a_folder_in_its_place_fails_the_job(self, run: Runner) -> None:
        attempt = run(shell("a", "mkdir $LORCHESTRA_OUTPUT")).attempt("a")
        assert attempt.status == "failed"
        assert attempt.error == "its output cannot be read: Is a directory"


FUNCTIONS = """
    import enum
    class Colour(enum.Enum):
        RED = 1
    class Text(str):
        pass
    VALUES = {
        "dict": {"a": [1, 2.5, None, True, "é"]},
        "list": [1, 2],
        "tuple": (1, (2,)),
        "int": 7,
        "text": "x",
        "false": False,
        "zero": 0,
        "none": None,
        "nan": float("nan"),
        "nested-infinity": {"a": [float("inf")]},
        "set": {1},
        "bytes": b"x",
        "object": object(),
        "enum": Colour.RED,
        "number-key": {1: 2},
        "big-int": 2**70,
        "surrogate": "\\ud800",
        "long": "x" * 2_000_000,
    }
    VALUES["itself"] = [VALUES["list"]]
    VALUES["itself"].append(VALUES["itself"])
    def give(name):
        return VALUES[name]
"""


class TestOfCalls:
    """The same, whether the function runs in a thread or in a Python of its own."""

    @pytest.fixture(params=[{}, {"A": "1"}], ids=["thread", "process"])
    def env(self, request: pytest.FixtureRequest) -> dict[str, str]:
        env: dict[str, str] = request.param
        return env

    def test_any_json_value_is_one(self, run: Runner, env: dict[str, str]) -> None:
        name = module(run.root, FUNCTIONS)
        expected: dict[str, Any] = {
            "dict": {"a": [1, 2.5, None, True, "é"]},
            "tuple": [1, [2]],
            "int": 7,
            "text": "x",
            "false": False,
            "zero": 0,
            "none": None,
        }
        jobs = [call(key, f"{name}:give", {"name": key}, env=env) for key in expected]
        ran = run(*jobs, workers=2)
        assert ran.result.succeeded
        assert {key: ran.attempt(key).output for key in expected} == expected
        assert ran.records("output", "none") == []

    def test_what_no_record_can_hold_fails_the_job_with_a_sentence(
        self, run: Runner, env: dict[str, str]
    ) -> None:
        name = module(run.root, FUNCTIONS)
        values = ["nan", "nested-infinity", "set", "bytes", "object", "enum", "number-key"]
        values += ["big-int", "surrogate", "itself", "long"]
        ran = run(*(call(key, f"{name}:give", {"name": key}, env=env) for key in values), workers=2)
        for key in values:
            attempt = ran.attempt(key)
            assert (key, attempt.status, attempt.output) == (key, "failed", None)
            assert attempt.error is not None
            assert attempt.error.startswith("its output "), (key, attempt.error)
            assert attempt.error.count("\n") == 0
