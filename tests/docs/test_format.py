"""`docs/format.md` is true: its example, its tables, its reader and its commands."""

from __future__ import annotations

import ast
import calendar
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from runstore import ERROR_CODES, NOTE_CODES, RunStore
from runstore.layout import job_name
from runstore.lines import record
from runstore.reading import merge
from tests.docs.console import commands
from tests.docs.markdown import Page, codes
from tests.docs.program import ROOT

PAGE = Page(ROOT / "docs" / "format.md")
FILES = {name: block.text for block in PAGE.blocks if (name := block.words.get("title"))}
STORE_LINE = FILES["store.json"]
RUN_PATH, ATTEMPT_PATH = (name for name in FILES if name.endswith(".jsonl"))
RUN_ID = RUN_PATH.split("/")[1]
LINES = [line for name in (RUN_PATH, ATTEMPT_PATH) for line in FILES[name].splitlines()]

both_files = pytest.mark.parametrize("path", [RUN_PATH, ATTEMPT_PATH], ids=["run", "attempt"])


def text_of(title: str) -> str:
    """What stands under a heading, without its blocks."""
    return "\n".join(PAGE.section(title).prose)


def shown(pattern: str, title: str) -> str:
    """The part of a section that a pattern's group matches."""
    found = re.search(pattern, text_of(title), re.MULTILINE)
    assert found, pattern
    return found[1]


def parsed(path: str) -> list[dict[str, Any]]:
    """The records of a file of the example."""
    return [json.loads(line) for line in FILES[path].splitlines()]


@pytest.fixture
def example(tmp_path: Path) -> RunStore:
    """The example as files."""
    for path in ("store.json", RUN_PATH, ATTEMPT_PATH):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(FILES[path].encode())
    return RunStore(tmp_path)


# The example


@pytest.mark.parametrize("line", [STORE_LINE.strip(), *LINES], ids=lambda line: line[:7])
def test_every_checksum_of_the_example_is_that_of_its_bytes(line: str) -> None:
    content, crc = line.encode().rsplit(b',"crc":', 1)
    assert crc.decode() == f'"{crc32(content):08x}"}}'


@both_files
def test_every_line_of_the_example_names_the_one_before(path: str) -> None:
    records = parsed(path)
    checksums = [fields["crc"] for fields in records]
    assert [fields["n"] for fields in records] == list(range(len(records)))
    assert [fields["prev"] for fields in records] == ["00000000", *checksums[:-1]]


def test_the_run_of_the_example_vouches_for_the_last_line_of_its_attempt() -> None:
    done = next(fields for fields in parsed(RUN_PATH) if fields["event"] == "done")
    last = parsed(ATTEMPT_PATH)[-1]
    assert (done["last_n"], done["last_crc"]) == (last["n"], last["crc"])


def test_the_id_of_the_example_has_the_time_of_its_first_record() -> None:
    began = datetime.strptime(parsed(RUN_PATH)[0]["at"], "%Y-%m-%dT%H:%M:%S.%fZ")
    milliseconds = int(RUN_ID.replace("-", "")[:12], 16)
    assert milliseconds == int(began.replace(tzinfo=UTC).timestamp() * 1000)


def test_the_example_is_whole_and_reads_as_the_text_says(example: RunStore) -> None:
    receipt = shown(r"^The receipt is `([^`]+)`", "A worked example")
    report = example.verify(RUN_ID, receipt=receipt, strict=True)
    assert (report.errors, report.notes, example.verify().errors) == ([], [], [])
    assert (report.segments, report.records) == (2, len(LINES))
    view = example.read(RUN_ID)
    assert (view.pipeline, view.status, view.receipt) == ("nightly", "failed", receipt)
    assert {job.id: job.status for job in view.jobs.values()} == {
        "ingest": "failed",
        "Report EU": "skipped",
    }


@both_files
def test_the_example_has_the_bytes_that_a_writer_writes(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in FILES[path].splitlines(keepends=True):
        fields = json.loads(line)
        n, prev, at, event, _ = (fields.pop(name) for name in ("n", "prev", "at", "event", "crc"))
        moment = datetime.fromisoformat(at)
        at_ns = calendar.timegm(moment.timetuple()) * 10**9 + moment.microsecond * 1000
        monkeypatch.setattr(record, "now_ns", lambda at_ns=at_ns: at_ns)
        assert record.encode(n, prev, event, fields)[0] == line.encode()


def test_the_example_is_compacted_to_the_lines_shown(example: RunStore) -> None:
    example.compact(RUN_ID)
    sealed = Path(example.path, "runs", RUN_ID, "sealed.jsonl").read_text(encoding="utf-8")
    own = [line for line in sealed.splitlines() if not line.startswith('{"n":')]
    block = [line.strip() for line in PAGE.section("Sealed runs").prose if line.startswith("    ")]
    assert [line for line in block if line.startswith("{")] == own
    for line in own:
        assert f"{crc32(line[:-18].encode()):08x}" == json.loads(line)["crc"]


def test_a_store_is_made_with_the_line_shown(tmp_path: Path) -> None:
    with RunStore(tmp_path, durability="os").create_run("nightly"):
        assert (tmp_path / "store.json").read_bytes() == STORE_LINE.encode()


def test_the_line_shown_first_is_one_of_the_example() -> None:
    beginning, end = shown(r'^    (\{"n".*)$', "A line").split(" ... ")
    assert any(line.startswith(beginning) and line.endswith(end) for line in LINES)


def test_the_checksum_by_hand_is_of_the_line_it_names() -> None:
    by_hand = next(
        block.text for block in PAGE.section("A worked example").blocks if "run" in block.words
    )
    content, crc = FILES[ATTEMPT_PATH].splitlines()[2].rsplit(',"crc":', 1)
    assert f"'{content}'" in by_hand
    assert crc.strip("}") in by_hand


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
def test_the_commands_print_what_is_shown(example: RunStore) -> None:
    for command in commands(PAGE.section("A worked example").blocks[-1]):
        printed = subprocess.run(
            ["sh", "-c", command.text],
            cwd=f"{example.path}/runs/{RUN_ID}",
            check=False,  # grep -L has other exit codes from version to version
            capture_output=True,
            encoding="utf-8",
        )
        assert (printed.stdout.splitlines(), printed.stderr) == (command.shown, "")


# The tables


@pytest.mark.parametrize(("id_code", "name_code"), PAGE.section("Names").rows())
def test_the_names_in_the_table_are_those_of_the_ids(id_code: str, name_code: str) -> None:
    job_id, name = id_code.strip("`"), name_code.strip("`")
    assert name == job_name(job_id)
    if name != job_id:
        assert name.split("~")[1] == hashlib.sha256(job_id.encode()).hexdigest()[:16]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:7])
def test_every_line_matches_the_head_in_the_text(line: str) -> None:
    head = shown(r'^    (\\\{"n":.*)$', "A line")
    found, fields = re.match(head, line), json.loads(line)
    assert found
    assert list(found.groups()) == [str(fields[name]) for name in ("n", "prev", "at", "event")]


def test_the_limit_of_a_line_is_that_of_the_writer() -> None:
    assert f"{record.MAX_LINE_BYTES:,} bytes with its line feed" in text_of("A line")


def test_the_fields_that_a_caller_may_not_use_are_all_named() -> None:
    row = next(row for row in PAGE.section("A line").rows() if row[0].startswith("names of a"))
    assert set(codes(row[1])) == record.RESERVED_FIELDS


def test_the_words_of_statuses_are_all_there_and_no_others() -> None:
    of_jobs, of_runs = (shown(f"^Of a {kind}: (.*)", "Statuses") for kind in ("job", "run"))
    assert set(codes(of_jobs)) == merge.JOB_STATUSES
    assert set(codes(of_runs)) == merge.RUN_STATUSES
    allowed = [set(codes(row[1])) for row in PAGE.section("Statuses").rows()]
    assert allowed == [merge.ATTEMPT_STATUSES, merge.NOT_RUN_STATUSES, merge.RUN_END_STATUSES]


def test_the_codes_of_verify_are_all_there_and_no_others() -> None:
    listed = PAGE.section("Findings of verify").column()
    assert sorted(listed) == sorted(ERROR_CODES | NOTE_CODES)
    assert set(listed[: len(ERROR_CODES)]) == ERROR_CODES


TAILS = [row for row in PAGE.section("Reading one file").rows() if len(row) == 2]


@pytest.mark.parametrize(("tail_code", "code"), TAILS)
def test_a_tail_is_judged_as_the_table_says(example: RunStore, tail_code: str, code: str) -> None:
    before = "".join(FILES[RUN_PATH].splitlines(keepends=True)[:4]).encode()
    tail = tail_code.strip("`").encode().replace(rb"\0", b"\0")
    Path(example.path, RUN_PATH).write_bytes(before + tail)
    report = example.verify(RUN_ID)
    found = [finding for finding in (*report.errors, *report.notes) if finding.path == RUN_PATH]
    told = [(each.code, each.line, each.offset) for each in found if each.code != "open"]
    assert told == [(code.strip("`"), 5, len(before))]


# The reader


Reading = tuple[str, dict[str, str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def read_run() -> Callable[[Path], Reading]:
    """The function `read_run` of the page."""
    names: dict[str, Any] = {"__name__": "reader"}
    exec(compile(FILES["reader.py"], "reader.py", "exec"), names)

    def reading(folder: Path) -> Reading:
        status, jobs, records = names["read_run"](folder)
        return status, jobs, list(records)

    return reading


def by_runstore(store: RunStore, run_id: str) -> Reading:
    """What runstore reads, in the words of the page's reader."""
    view = store.read(run_id)
    is_unfinished = view.status in {"running", "crashed"}
    words = dict.fromkeys(("running", "crashed"), "unfinished") if is_unfinished else {}
    jobs = {job.id: words.get(job.status, job.status) for job in view.jobs.values()}
    return words.get(view.status, view.status), jobs, list(view.records())


def in_files(reading: Reading) -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    """A reading with its records sorted by file: those of one moment may stand in any order."""

    def place(fields: dict[str, Any]) -> tuple[str, ...]:
        return str(fields.get("job")), str(fields.get("attempt")), fields["crc"]

    return reading[0], reading[1], sorted(reading[2], key=place)


@pytest.fixture
def real(tmp_path: Path) -> tuple[RunStore, str]:
    """A run with retries, odd ids and texts, and jobs that did not run or were not planned."""
    store = RunStore(tmp_path, durability="os")
    with store.create_run("nightly", ["ingest", "Konto/Ä", "report", "never"]) as run:
        run.append("stage_begin", stage="load", workers=2)
        with run.job("Konto/Ä") as slow, run.job("ingest") as log:
            log.append("metric", rows=978, status="fine")
            slow.append("metric", big=2**63, small=-0.5, text='"\\\u2028\0', deep=[{"a": [None]}])
            log.end("failed", error="exit code 1", exit_code=1)
        with run.job("ingest") as log:
            log.append("output", value={"rows": 978})
        with run.job("unplanned") as log:
            log.end("timed_out")
        run.not_run("report", "skipped", "job 'unplanned' did not succeed")
    return store, run.id


def test_the_reader_needs_the_standard_library_only() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(FILES["reader.py"])):
        if isinstance(node, ast.Import):
            imported.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert imported == {"heapq", "json", "pathlib", "sys", "zlib"}


def test_the_reader_reads_a_run_as_runstore_does(
    real: tuple[RunStore, str], read_run: Callable[[Path], Reading]
) -> None:
    store, run_id = real
    told, read = by_runstore(store, run_id), read_run(Path(store.path, "runs", run_id))
    assert in_files(read) == in_files(told)
    assert list(read[1]) == list(told[1]) == ["ingest", "Konto/Ä", "report", "never", "unplanned"]
    assert [fields["at"] for fields in read[2]] == [fields["at"] for fields in told[2]]


def test_the_reader_reads_a_sealed_run_as_before(
    real: tuple[RunStore, str], read_run: Callable[[Path], Reading]
) -> None:
    store, run_id = real
    folder = Path(store.path, "runs", run_id)
    before = read_run(folder)
    store.compact(run_id)
    assert [path.name for path in folder.rglob("*.jsonl")] == ["sealed.jsonl"]
    assert read_run(folder) == before


def test_the_reader_reads_a_run_at_work_as_runstore_does(
    tmp_path: Path, read_run: Callable[[Path], Reading]
) -> None:
    store = RunStore(tmp_path, durability="os")
    with store.create_run("nightly", ["ingest", "report"]) as run, run.job("ingest") as log:
        log.append("metric", rows=1)
        read = read_run(Path(run.path))
        assert read[:2] == ("unfinished", {"ingest": "unfinished", "report": "planned"})
        assert in_files(read) == in_files(by_runstore(store, run.id))


Change = Callable[[list[bytes], int], list[bytes]]


def flip(lines: list[bytes], n: int) -> list[bytes]:
    """Flip a bit in the middle of a line."""
    line = bytearray(lines[n])
    line[len(line) // 2] ^= 1
    return [*lines[:n], bytes(line), *lines[n + 1 :]]


def remove(lines: list[bytes], n: int) -> list[bytes]:
    """Take a line out."""
    return lines[:n] + lines[n + 1 :]


def double(lines: list[bytes], n: int) -> list[bytes]:
    """Have a line twice."""
    return lines[: n + 1] + lines[n:]


def cut(lines: list[bytes], n: int) -> list[bytes]:
    """End the file in the middle of a line."""
    return [*lines[:n], lines[n][: len(lines[n]) // 2]]


def join(lines: list[bytes], n: int) -> list[bytes]:
    """Flip a bit of the line feed at the end of a line."""
    return [*lines[:n], lines[n][:-1] + b"\x0b", *lines[n + 1 :]]


@pytest.mark.parametrize("change", [flip, remove, double, cut, join])
# Without its first line the reader leaves an attempt's file out: the page says so.
@pytest.mark.parametrize(("name", "first"), [("run.jsonl", 0), ("jobs/ingest.a1.jsonl", 1)])
def test_the_reader_loses_the_same_records_of_a_damaged_run(
    real: tuple[RunStore, str],
    read_run: Callable[[Path], Reading],
    change: Change,
    name: str,
    first: int,
) -> None:
    store, run_id = real
    folder = Path(store.path, "runs", run_id)
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    for n in range(first, len(lines)):
        (folder / name).write_bytes(b"".join(change(lines, n)))
        assert in_files(read_run(folder)) == in_files(by_runstore(store, run_id)), f"line {n}"


def test_the_reader_steps_over_what_a_repair_says_is_lost(
    example: RunStore, read_run: Callable[[Path], Reading]
) -> None:
    lines, records = FILES[ATTEMPT_PATH].splitlines(keepends=True), parsed(ATTEMPT_PATH)
    fields = {"first": 1, "last": 2, "was": records[2]["crc"]}
    lost = record.encode(1, records[0]["crc"], "lost", fields)[0].decode()
    Path(example.path, ATTEMPT_PATH).write_text(lines[0] + lost + lines[3], encoding="utf-8")
    report = example.verify(RUN_ID)
    assert (report.errors, [note.code for note in report.notes]) == ([], ["lost"])
    read = read_run(Path(example.path, "runs", RUN_ID))
    assert in_files(read) == in_files(by_runstore(example, RUN_ID))
    of_attempt = [fields["n"] for fields in read[2] if "exit_code" in fields or "was" in fields]
    assert sorted(of_attempt) == [1, 3]
