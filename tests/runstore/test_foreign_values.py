"""Lines with the right checksum that say something wrong: every field of every event.

A program of somebody else can write the format and give a field another type, or leave it out. Then
the field, or the record, says nothing. No reader takes harm.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstore import RunStore
from tests.runstore.foreign import (
    AT,
    RUN_ID,
    Chain,
    Change,
    Fields,
    Raw,
    attempt_file,
    command,
    resumed_file,
    run_begin,
    run_file,
    try_all,
    try_changing,
    whole,
    write,
)
from tests.scale import count

MISSING = Raw("")
VALUES: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "fraction": 1.5,
    "one as a fraction": 1.0,
    "ten digits": 4_294_967_296,
    "the largest n": 10**18 - 1,
    "one more": 10**18,
    "the largest integer": 2**64 - 1,
    "the smallest integer": -(2**63),
    "beyond every integer": Raw("9" * 30),
    "10,000 digits": Raw("9" * 10_000),
    "10,000 digits, and a small number": Raw("0." + "1" * 10_000),
    "1e999999": Raw("1e999999"),
    "1e308": 1e308,
    "1e-999999": Raw("1e-999999"),
    "-0": Raw("-0"),
    "empty text": "",
    "text": "x",
    "a status": "succeeded",
    "a NUL": "a\0b",
    "line feeds": "a\nb\r\nc",
    "terminal codes": "\x1b[2J\x1b]0;owned\x07",
    "paths": "../../../etc/passwd",
    "100 kB": "x" * 100_000,
    "not in UTF-8": Raw('"\udcff\udcfe"'),
    "a lone surrogate": Raw(r'"\ud800"'),
    "a surrogate in UTF-8": Raw('"\udced\udca0\udc80"'),
    "list": [],
    "list of lists": [[], [[]]],
    "list of all kinds": [None, True, 0, -1.5, "x", [], {}],
    "object": {},
    "object of all kinds": {"": None, "id": 1, "job": [], "n": {}},
    "300 deep": Raw("[" * 300 + "]" * 300),
    "900 objects deep": Raw('{"a":' * 900 + "0" + "}" * 900),
    "100,000 deep": Raw("[" * 100_000 + "]" * 100_000),
    "no JSON": Raw("nothing"),
    "another time": "2026-11-24",
    "no time": "9999-99-99T99:99:99.999999Z",
}

EVENTS: dict[str, tuple[str, ...]] = {
    "run.begin": (
        *("format", "run", "segment", "pipeline", "python", "host", "pid", "token"),
        *("sha256", "params", "max_workers", "versions"),
    ),
    "resume.begin": ("format", "run", "segment", "pipeline", "last_n", "last_crc", "host", "pid"),
    "run.planned": ("jobs",),
    "run.stage_begin": ("stage", "workers"),
    "run.start": ("job", "attempt"),
    "run.done": ("job", "attempt", "status", "last_n", "last_crc"),
    "run.stage_end": ("stage", "counts"),
    "run.not_run": ("job", "status", "reason"),
    "run.end": ("status", "counts", "duration_s"),
    "attempt.begin": ("format", "run", "job", "attempt", "stage", "host", "pid", "token"),
    "attempt.process": ("pid", "token"),
    "attempt.output": ("value",),
    "attempt.metric": ("rows",),
    "attempt.end": (
        *("status", "duration_s", "exit_code", "signal", "error", "cpu_s", "max_rss_kb"),
        "log_bytes",
    ),
}
# Fields of the frame, which stand there a second time: a parser takes the last.
FRAME = ("n", "prev", "at", "event")
CASES = [(event, name) for event, names in EVENTS.items() for name in (*names, *FRAME)]


def values(case: tuple[str, str], share: int) -> list[tuple[str, Any]]:
    """All values, or in the ordinary run one of so many, others for each case."""
    step = count(1, share)
    return list(VALUES.items())[CASES.index(case) % step :: step]


def changed(event: str, name: str, value: Any) -> Change:
    """Give one field of one event another value, or none."""

    def change(each: str, fields: Fields) -> Fields:
        if each != event:
            return fields
        others = {key: other for key, other in fields.items() if key != name}
        return others if value is MISSING else {**others, name: value}

    return change


def files(change: Change, *, ends: bool = True, resumed: bool = False) -> dict[str, bytes]:
    """The files of a run with one thing changed; those beside it take it for what it is."""
    attempt = attempt_file(change)
    run = run_file(attempt, change, ends=ends)
    content = {"run.jsonl": run.content, "jobs/ingest.a1.jsonl": attempt.content}
    return content | ({"run.2.jsonl": resumed_file(run, change).content} if resumed else {})


@pytest.mark.parametrize(("event", "name"), CASES)
def test_no_value_of_a_field_harms_a_reader(event: str, name: str, tmp_path: Path) -> None:
    resumed = event.startswith("resume")
    for number, (what, value) in enumerate(values((event, name), 3)):
        folder = tmp_path / str(number)
        try:
            write(folder, files(changed(event, name, value), resumed=resumed))
            try_all(folder, commands=False)
        except BaseException as error:
            error.add_note(f"the value: {what}")
            raise


@pytest.mark.parametrize(("event", "name"), CASES)
def test_no_value_of_a_field_harms_a_command(event: str, name: str, tmp_path: Path) -> None:
    resumed = event.startswith("resume")
    for number, (what, value) in enumerate(values((event, name), 13)):
        # Each has a run that is open, or one that has ended.
        folder = tmp_path / str(number)
        try:
            content = files(changed(event, name, value), ends=bool(number % 2), resumed=resumed)
            write(folder, content)
            try_all(folder, changing=number == 0)
        except BaseException as error:
            error.add_note(f"the value: {what}")
            raise


@pytest.mark.parametrize("at", ["0000-00-00", "9999-99-99", "0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("event", ["run.begin", "run.end", "attempt.begin", "attempt.end"])
def test_days_that_no_calendar_has_harm_no_reader(event: str, at: str, tmp_path: Path) -> None:
    whole_at = f"{at}T{'99:99:99' if at[:4] in ('0000', '9999') else '00:00:00'}.000000Z"
    file, _, of = event.partition(".")
    attempt = Chain(at=whole_at) if file == "attempt" else Chain()
    attempt.lines, attempt.at = attempt_file().lines, attempt.at
    run = run_file(attempt)
    for chain, name in ((run, "run.jsonl"), (attempt, "jobs/ingest.a1.jsonl")):
        if name.startswith(file) or (file == "attempt" and name.startswith("jobs")):
            index = 0 if of == "begin" else len(chain.lines) - 1
            chain.lines[index:] = [
                each.replace(AT.encode(), whole_at.encode()) for each in chain.lines[index:]
            ]
    content = {
        "run.jsonl": rechained(run).content,
        "jobs/ingest.a1.jsonl": rechained(attempt).content,
    }
    write(tmp_path / "store", content)
    said = try_all(tmp_path / "store")
    assert said["runs list"] == "0"
    view = RunStore(tmp_path / "store")
    assert list(view.runs()) == []  # pruned at the end


def rechained(chain: Chain) -> Chain:
    """The same lines, with numbers and checksums that fit each other again."""
    again = Chain()
    for each in chain.lines:
        fields = json.loads(each)
        event, at = fields["event"], fields["at"]
        for name in ("n", "prev", "at", "event", "crc"):
            del fields[name]
        again.at = at
        again.add(event, fields)
    return again


# Strategies: a value of the right kind more often than not, so that what comes later is reached.

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abn\0é"), inner, max_size=4)
    ),
    max_leaves=8,
)
JOB_IDS = st.sampled_from(["ingest", "Report EU", "job~0123456789abcdef", "x", "", "日本", "a.a1"])
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 7, 999_999_999, 10**9, 10**18, 2**64 - 1])
STATUSES = st.sampled_from(["succeeded", "failed", "planned", "running", "skipped", "crashed", "?"])
CRCS = st.sampled_from(["00000000", "ffffffff", "", "x", "0000000000"])
TEXTS = st.sampled_from(["s", "", "nightly", "\x1b[0m", "a\0b"])
TIMES = st.sampled_from([AT, "9999-99-99T99:99:99.999999Z", "0000-00-00T00:00:00.000000Z"])
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "format": st.just(1),
    "run": st.just(RUN_ID),
    "segment": st.sampled_from([1, 2, 3]),
    "pipeline": TEXTS,
    "host": st.just(run_begin()["host"]),
    "pid": st.sampled_from([2**31 - 1, 1, 0]),
    "token": st.sampled_from(["gone", ""]),
    "jobs": st.lists(st.fixed_dictionaries({"id": JOB_IDS, "stage": TEXTS}), max_size=4),
    "job": JOB_IDS,
    "attempt": NUMBERS,
    "status": STATUSES,
    "last_n": NUMBERS,
    "last_crc": CRCS,
    "reason": TEXTS,
    "counts": st.dictionaries(STATUSES, NUMBERS, max_size=3),
    "duration_s": st.floats(-10, 1e308),
    "stage": TEXTS,
    "workers": NUMBERS,
    "value": ANY_JSON,
    "exit_code": NUMBERS,
    "signal": NUMBERS,
    "error": TEXTS,
    "first": NUMBERS,
    "last": NUMBERS,
    "was": CRCS,
}
FIELDS_OF = {
    "begin": (*EVENTS["run.begin"], "last_n", "last_crc", "job", "attempt", "stage"),
    "planned": ("jobs",),
    "stage_begin": ("stage", "workers"),
    "start": ("job", "attempt"),
    "done": EVENTS["run.done"],
    "stage_end": ("stage", "counts"),
    "not_run": ("job", "status", "reason"),
    "end": ("status", "counts", *EVENTS["attempt.end"][1:]),
    "process": ("pid", "token"),
    "output": ("value",),
    "lost": ("first", "last", "was"),
    "metric": ("rows",),
}


@st.composite
def events(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, str, Fields]:
    """An event, its time, and its fields: most are of the right kind, some are of any."""
    event = draw(st.sampled_from(names))
    fields: Fields = {}
    for name in FIELDS_OF[event]:
        choice = draw(st.integers(0, 9))
        if choice < 8:
            fields[name] = draw(KNOWN.get(name, ANY_JSON))
        elif choice < 9:
            fields[name] = draw(ANY_JSON)
    if draw(st.integers(0, 19)) == 0:
        fields[draw(st.sampled_from(FRAME))] = draw(ANY_JSON)
    return event, draw(TIMES), fields


BEGIN = events(("begin",))
OWN = events(("planned", "start", "start", "done", "not_run", "lost", "end", "stage_end", "begin"))
OF_ATTEMPT = events(("begin", "process", "output", "metric", "lost", "end"))
PATHS = (
    *("run.jsonl", "run.2.jsonl", "jobs/ingest.a1.jsonl", "jobs/x.a2.jsonl"),
    *("jobs/job~cf2abf0c5be326cb.a1.jsonl", "jobs/job~0123456789abcdef.a1.jsonl"),
)
Files = dict[str, bytes]
FOLDERS = (f"store-{number}" for number in itertools.count())


@st.composite
def runs(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of a run that any program may have written; their lines follow each other."""
    content: dict[str, bytes] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique=True)):
        rest = OF_ATTEMPT if path.startswith("jobs/") else OWN
        drawn = [draw(BEGIN), *draw(st.lists(rest, max_size=7))]
        chain, lines = Chain(), draw(st.permutations(range(len(drawn))))
        for event, at, fields in drawn:
            chain.at = at
            chain.add(event, fields)
        if draw(st.integers(0, 4)) == 0:
            chain.lines = [chain.lines[number] for number in lines]
        content[path] = chain.content
    return content


@settings(
    max_examples=count(20_000, 100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=runs())
def test_no_run_of_another_program_harms_a_reader(
    content: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / next(FOLDERS)
    write(folder, content)
    try_all(folder, changing=False)
    try_changing(folder)


def own_lines(sample: dict[str, bytes]) -> Iterator[bytes]:
    for name in ("run.jsonl", "jobs/ingest.a1.jsonl"):
        yield from sample[name].splitlines(keepends=True)


def test_the_whole_run_that_these_are_made_of_is_whole(tmp_path: Path) -> None:
    write(tmp_path, whole())
    store = RunStore(tmp_path)
    report = store.verify(RUN_ID, strict=True)
    assert (report.errors, report.notes) == ([], [])
    assert (
        report.records == len(list(own_lines(whole()))) == len(list(store.read(RUN_ID).records()))
    )
    assert command(tmp_path, ("runstore", "verify")) == "0"
