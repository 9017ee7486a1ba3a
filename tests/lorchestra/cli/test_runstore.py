"""`lorchestra runstore`: proving the records, and printing them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lorchestra.cli import counter
from lorchestra.cli import runstore as commands
from runstore import ERROR_CODES, Report, RunStore
from tests.lorchestra.cli.commands import Project

REPORT_KEYS = {"ok", "store", "runs", "segments", "records", "bytes", "errors", "notes"}
FINDING_KEYS = {"code", "path", "line", "offset", "detail"}


@pytest.fixture
def ran(project: Project) -> Project:
    """A project with three runs of two jobs, one of which fails."""
    project.pipeline({"a": "echo a"}, {"b": "exit 1"})
    for _ in range(3):
        project.run()
    return project


def store_of(project: Project) -> Path:
    return project.root / ".lorchestra"


def damage(project: Project, run_id: str) -> tuple[str, int, int]:
    """Flip a bit in the middle of a job's file: its path, the line, and where that begins."""
    name = f"runs/{run_id}/jobs/a.a1.jsonl"
    path = store_of(project) / name
    content = bytearray(path.read_bytes())
    first = content.index(b"\n") + 1
    content[first + 20] ^= 1
    path.write_bytes(content)
    return name, 2, first


# Verify


def test_a_whole_store_is_proved(ran: Project) -> None:
    done = ran("runstore", "verify")
    assert (done.code, done.stderr) == (0, b"")
    (line,) = done.out.splitlines()
    assert re.fullmatch(
        rf"{re.escape(str(store_of(ran)))}: whole: 3 runs, 9 files, \d+ records, [\d,]+ bytes; "
        "0 errors, 0 notes",
        line,
    )


def test_the_report_as_json_has_all_keys(ran: Project) -> None:
    done = ran("runstore", "verify", "--json")
    report = done.json
    assert (done.code, report.keys()) == (0, REPORT_KEYS)
    assert (report["ok"], report["errors"], report["notes"]) == (True, [], [])
    assert (report["store"], report["runs"], report["segments"]) == (str(store_of(ran)), 3, 9)
    content = b"".join(path.read_bytes() for path in store_of(ran).rglob("*.jsonl"))
    assert report["records"] == content.count(b"\n")
    assert report["bytes"] == len(content)


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_some_runs_are_proved(ran: Project, options: list[str]) -> None:
    first, second, _ = ran.store.run_ids()
    damage(ran, ran.store.run_ids()[2])
    done = ran("runstore", "verify", "last", second[:35], *options, "--json")
    assert (done.code, done.json["runs"], done.json["segments"]) == (0, 2, 6)
    assert ran("runstore", "verify", first, *options, "--json").json["runs"] == 1
    assert ran("runstore", "verify", *options).code == 3


def test_the_right_receipt_is_taken_and_another_is_not(ran: Project) -> None:
    last, before, _ = ran.store.run_ids()
    receipt = ran.store.read(last).receipt
    assert receipt is not None
    assert ran("runstore", "verify", last, "--receipt", receipt).code == 0
    done = ran("runstore", "verify", before, "--receipt", receipt, "--json")
    assert done.code == 3
    (error,) = done.json["errors"]
    assert error["code"] == "receipt-mismatch"
    assert receipt in error["detail"]


def test_a_run_that_was_cut_short_is_only_found_with_its_receipt(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    receipt = ran.store.read(run_id).receipt
    assert receipt is not None
    path = store_of(ran) / "runs" / run_id / "run.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert ran("runstore", "verify", "last").code == 0
    done = ran("runstore", "verify", "last", "--receipt", receipt)
    assert done.code == 3
    assert done.out.startswith("error receipt-mismatch: ")


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_damage_is_named_to_the_byte_with_what_to_do(ran: Project, options: list[str]) -> None:
    run_id = ran.store.run_ids()[1]
    path, line, offset = damage(ran, run_id)
    done = ran("runstore", "verify", *options)
    assert (done.code, done.stderr) == (3, b"")
    head, advice, *_, verdict = done.out.splitlines()
    assert head.startswith(f"error damaged: {path}:{line} (byte {offset}): ")
    assert advice == f"      {commands._OTHER_ADVICE}"
    assert re.search(r": NOT whole: 3 runs, 9 files, .*; [12] errors?, 0 notes$", verdict)


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_strict_is_passed_on(
    ran: Project, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    asked: list[bool] = []

    def verify(store: RunStore, *_: object, strict: bool, **__: object) -> Report:
        asked.append(strict)
        return Report(store.path)

    monkeypatch.setattr(RunStore, "verify", verify)
    assert ran("runstore", "verify", *options).code == 0
    assert asked == [bool(options)]


def test_damage_as_json(ran: Project) -> None:
    path, line, offset = damage(ran, ran.store.run_ids()[0])
    done = ran("runstore", "verify", "--json")
    assert (done.code, done.json["ok"]) == (3, False)
    for error in done.json["errors"]:
        assert error.keys() == FINDING_KEYS
    error = done.json["errors"][0]
    assert (error["code"], error["path"]) == ("damaged", path)
    assert (error["line"], error["offset"]) == (line, offset)


def test_every_kind_of_error_has_advice() -> None:
    assert commands._ADVICE.keys() < ERROR_CODES
    assert commands._OTHER_ADVICE


def test_a_missing_file_is_an_error_with_advice(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    (store_of(ran) / "runs" / run_id / "jobs" / "a.a1.jsonl").unlink()
    done = ran("runstore", "verify")
    assert done.code == 3
    assert done.out.startswith(f"error missing-file: runs/{run_id}/jobs/a.a1.jsonl:1 (byte 0): ")
    assert commands._OTHER_ADVICE in done.out


def test_notes_are_no_errors(project: Project) -> None:
    with RunStore(".lorchestra", "os").create_run("p", ["a"]) as run, run.job("a") as log:
        done = project("runstore", "verify")
        as_json = project("runstore", "verify", "--json")
        log.end("succeeded")
    assert (done.code, as_json.code) == (0, 0)
    *notes, verdict = done.out.splitlines()
    assert [note.split(":")[:2] for note in notes] == [
        ["note  open", f" runs/{run.id}/run.jsonl"],
        ["note  open", f" runs/{run.id}/jobs/a.a1.jsonl"],
    ]
    assert ": whole: " in verdict
    assert verdict.endswith("0 errors, 2 notes")
    assert as_json.json["ok"] is True
    assert [note["code"] for note in as_json.json["notes"]] == ["open", "open"]
    assert as_json.json["notes"][0].keys() == FINDING_KEYS


def test_a_file_name_cannot_move_the_cursor(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    (store_of(ran) / "runs" / run_id / "jobs" / "\x1b[2J\n\u202e").write_bytes(b"")
    done = ran("runstore", "verify")
    assert done.code == 3
    assert rf"error unexpected-file: runs/{run_id}/jobs/\x1b[2J\n\u202e:1 " in done.out
    assert all(line.isprintable() for line in done.out.split("\n"))


def test_how_far_it_is_is_shown_on_a_terminal_once_a_second(
    ran: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 0.5, *[float(n) for n in range(2, 20)]])
    monkeypatch.setattr(counter, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    done = ran("runstore", "verify")
    assert done.code == 0
    shown = done.err.split("\r")
    assert shown[0] == ""
    assert "verifying run 1 of 3\x1b[K" not in shown
    assert "verifying run 2 of 3\x1b[K" in shown
    assert shown[-1] == "\x1b[K"
    assert b"verifying" not in done.stdout


# Cat


def test_all_records_of_a_run_are_printed_as_they_are(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    done = ran("runstore", "cat")
    assert (done.code, done.stderr) == (0, b"")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records == list(ran.store.read(run_id).records())
    assert [record["event"] for record in records][:2] == ["begin", "planned"]
    assert records[-1]["event"] == "end"
    assert {record.get("job") for record in records} == {None, "a", "b"}
    assert ran("runstore", "cat", run_id).stdout == done.stdout


def test_damaged_records_are_left_out(ran: Project) -> None:
    run_id = ran.store.run_ids()[0]
    before = ran("runstore", "cat").stdout.count(b"\n")
    damage(ran, run_id)
    assert ran("runstore", "cat").stdout.count(b"\n") == before - 1
