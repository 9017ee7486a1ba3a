"""File names: portable, injective, parsed back, and ids that sort by time."""

from __future__ import annotations

import itertools
import os
import random
import re
import string
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstore import layout
from runstore.errors import RecordError
from runstore.layout import AttemptKey, job_name

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in (*range(10), *"¹²³")
}
FORBIDDEN_ON_WINDOWS = set('<>:"/\\|?*') | {chr(code) for code in range(32)}
FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
MOST_ATTEMPTS = 999
# fmt: off
PIECES = [
    *("a", "A", "b", "i", "I", "K", "k", "ss", "fi", "0", "1", "00", ".", "..", "-", "_", "~", " "),
    *("/", "\\", ":", "*", "?", '"', "<", ">", "|", "%", "$", "'", "`", "{", "\t", "\n", "\r"),
    *("\0", "\x1b", "\x7f", "\x85", "\u2028", "\u200b", "\ufeff", "\U0010ffff", "\U0001f600"),
    # Twins by Unicode normalisation.
    *("\xe4", "a\u0308", "\xe9", "e\u0301", "\xc5", "A\u030a", "\u212b", "\ufb01", "\u65e5\u672c"),
    # Twins by case: sharp s, dotless and dotted i, Kelvin, both small sigmas.
    *("\xdf", "\u1e9e", "\u0131", "\u0130", "\u212a", "\u03c2", "\u03c3", "\u03a3"),
    *("con", "CON", "nul", "aux.", "com1", "lpt9.txt", ".a1", ".jsonl", ".a1.jsonl", ".damaged"),
]
# fmt: on


def hostile_ids() -> set[str]:
    """More than 20,000 job ids that some file system would change, refuse or take for another."""
    ids = {"".join(pieces) for size in (1, 2) for pieces in itertools.product(PIECES, repeat=size)}
    for device in DEVICES:
        for name in (device, device.upper(), device.title()):
            ids |= {f"{name}{end}" for end in ("", ".", "..", " ", ".txt", ".a.b", " .x", "-", "x")}
    ids |= {f"{character * size}" for size in (1, 79, 80, 81, 300) for character in PIECES}
    ids |= {chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000}
    ids |= {"a" + chr(code) for code in range(0x500)}
    ids |= {"x" * 10_000, "x" * 9_999, "X" * 10_000, "é" * 5_000, "e\u0301" * 3_333, "😀" * 2_500}
    ids |= {f"{'x' * 9_990}{number}" for number in range(50)}
    ids |= {job_name(hostile) for hostile in list(ids)[:2_000]}
    chance = random.Random(20_261_124)
    while len(ids) < 22_000:
        ids.add("".join(chance.choices(PIECES, k=chance.randint(3, 12))))
    return {job_id for job_id in ids if len(job_id.encode()) <= layout.MAX_JOB_ID_BYTES}


HOSTILE = hostile_ids()
NAMES = {job_id: job_name(job_id) for job_id in HOSTILE}


def folds(name: str) -> set[str]:
    """What file systems make of a name before they compare it with another."""
    cased = {name, name.lower(), name.upper(), name.casefold()}
    return cased | {unicodedata.normalize(form, text) for text in cased for form in FORMS}


def test_there_are_enough_hostile_ids_and_both_kinds_of_names() -> None:
    assert len(HOSTILE) > 20_000
    assert sum(NAMES[job_id] == job_id for job_id in HOSTILE) > 100
    assert sum("~" in name for name in NAMES.values()) > 15_000


@pytest.mark.parametrize(
    "folded", [str, str.lower, str.upper, str.casefold], ids=["as is", "lower", "upper", "casefold"]
)
def test_no_two_ids_share_a_name_even_when_it_is_folded(folded: Callable[[str], str]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for job_id, name in NAMES.items():
        owners[unicodedata.normalize("NFC", folded(name))].add(job_id)
    assert [ids for ids in owners.values() if len(ids) > 1] == []


def test_names_are_not_changed_by_any_folding_but_upper_case() -> None:
    for name in NAMES.values():
        assert folds(name) == {name, name.upper()}


def test_names_are_ascii_without_what_any_system_forbids() -> None:
    for name in NAMES.values():
        assert re.fullmatch(r"[a-z0-9_-][a-z0-9._~-]*", name), name
        assert not FORBIDDEN_ON_WINDOWS & set(name)
        assert not name.endswith((".", " "))


def test_no_name_is_a_device_with_or_without_an_extension() -> None:
    for name in NAMES.values():
        for filename in (name, f"{name}.a1.jsonl", f"{name}.a1.log"):
            assert filename.partition(".")[0].strip().casefold() not in DEVICES


def test_file_names_have_at_most_100_bytes() -> None:
    for name in NAMES.values():
        for make in (layout.attempt_file, layout.log_file, layout.output_file):
            filename = make(name, MOST_ATTEMPTS).rpartition("/")[2]
            assert len(filename.encode()) <= 100
        attempt = layout.attempt_file(name, MOST_ATTEMPTS).rpartition("/")[2]
        assert len(attempt + layout.DAMAGED_SUFFIX) <= 100


def test_what_is_made_is_parsed_back() -> None:
    for name in NAMES.values():
        for attempt in (1, 2, 10, 999_999_999):
            folder, _, filename = layout.attempt_file(name, attempt).partition("/")
            assert folder == layout.JOBS
            assert layout.parse_attempt_file(filename) == AttemptKey(name, attempt)
            assert layout.parse_attempt_file(filename + layout.DAMAGED_SUFFIX) is None
            assert layout.parse_attempt_file(filename + layout.TEMPORARY_SUFFIX) is None


def test_no_two_attempts_share_a_file() -> None:
    short = [job_id for job_id in HOSTILE if len(job_id) < 20]
    made = [
        make(NAMES[job_id], attempt)
        for job_id in short
        for attempt in (1, 2, 11)
        for make in (layout.attempt_file, layout.log_file, layout.output_file)
    ]
    assert len(set(made)) == len(made)


def test_a_portable_id_is_its_own_name() -> None:
    for job_id in ("a", "0", "ingest_gmail_acct1", "a.b-c_d", "a..b", "console", "com10", "nul-1"):
        assert job_name(job_id) == job_id
    assert job_name("x" * 80) == "x" * 80


def test_another_id_is_a_slug_without_a_dot_and_a_hash() -> None:
    for job_id, slug in (
        ("Ingest Gmail", "ingest-gmail"),
        ("a/b\\c", "a-b-c"),
        (".hidden", "hidden"),
        ("a.", "a"),
        ("con.txt", "con-txt"),
        ("x" * 81, "x" * 40),
        ("日本", "job"),
        ("...", "job"),
        ("~", "job"),
        ("İ", "i"),
        ("-rf", "rf"),
        ("_x", "_x"),
    ):
        assert re.fullmatch(re.escape(slug) + "~[0-9a-f]{16}", job_name(job_id)), job_id


def test_names_stay_what_they_are_between_versions() -> None:
    assert job_name("Ingest Gmail") == "ingest-gmail~64b028afc23424ee"


@pytest.mark.parametrize("job_id", ["", "x" * 10_001, "é" * 5_001, "\ud800", "a\udfffb"])
def test_ids_that_cannot_be_stored_are_refused(job_id: str) -> None:
    with pytest.raises(RecordError):
        job_name(job_id)
    assert not layout.is_job_id(job_id)


@pytest.mark.parametrize("value", [None, 1, True, 1.5, b"x", ["x"], {"x": 1}])
def test_a_value_of_another_type_is_no_job_id(value: Any) -> None:
    assert not layout.is_job_id(value)


def test_every_hostile_id_is_a_job_id() -> None:
    assert all(map(layout.is_job_id, HOSTILE))


def test_hostile_ids_can_be_files_here(tmp_path: Path) -> None:
    (tmp_path / layout.JOBS).mkdir()
    some = random.Random(7).sample(sorted(HOSTILE), 500)
    for job_id in some:
        (tmp_path / layout.attempt_file(NAMES[job_id], 1)).touch(exist_ok=False)
    assert {
        layout.parse_attempt_file(filename) for filename in os.listdir(tmp_path / layout.JOBS)
    } == {AttemptKey(NAMES[job_id], 1) for job_id in some}


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100))
def test_any_two_ids_have_two_names(one: str, other: str) -> None:
    for job_id in (one, other):
        if layout.is_job_id(job_id):
            assert re.fullmatch(r"[a-z0-9_-][a-z0-9._~-]*", job_name(job_id))
    if one != other and layout.is_job_id(one) and layout.is_job_id(other):
        assert job_name(one) != job_name(other)


@pytest.mark.parametrize(
    "filename",
    [
        "x.jsonl", "x.a.jsonl", "x.a0.jsonl", "x.a01.jsonl", "x.a-1.jsonl", "x.a1", "x.a1.json",
        "x.a1.jsonl ", "x.a1.jsonl.damaged", "x.A1.jsonl", "x.a1.JSONL", ".a1.jsonl",
        "x.a1.jsonl\n",
        "x.a1.log", "xa1.jsonl", "x.a1234567890.jsonl", "x.a\u0661.jsonl", "", "run.jsonl",
    ],
)  # fmt: skip
def test_other_names_are_no_attempts_file(filename: str) -> None:
    assert layout.parse_attempt_file(filename) is None


def test_a_name_may_itself_look_like_an_attempts_file() -> None:
    assert layout.parse_attempt_file("x.a1.a2.jsonl") == AttemptKey("x.a1", 2)
    assert layout.parse_attempt_file("x.a1.jsonl.a2.jsonl") == AttemptKey("x.a1.jsonl", 2)


@pytest.mark.parametrize("segment", [1, 2, 9, 10, 19, 100, 999_999_999])
def test_a_runs_own_files_are_parsed_back(segment: int) -> None:
    assert layout.parse_run_file(layout.run_file(segment)) == segment


def test_the_first_of_a_runs_own_files_has_no_number() -> None:
    assert [layout.run_file(segment) for segment in (1, 2, 3)] == [
        "run.jsonl",
        "run.2.jsonl",
        "run.3.jsonl",
    ]


@pytest.mark.parametrize(
    "filename",
    [
        "run.1.jsonl", "run.0.jsonl", "run.02.jsonl", "run.-2.jsonl", "run..jsonl", "run.jsonl.tmp",
        "run.2.jsonl.damaged", "RUN.jsonl", "run.a1.jsonl", "xrun.jsonl", "run.jsonl\n", "run",
        "run.1234567890.jsonl", "run.\xb2.jsonl", "",
    ],
)  # fmt: skip
def test_other_names_are_no_file_of_the_run_itself(filename: str) -> None:
    assert layout.parse_run_file(filename) is None


def test_paths_are_as_documented() -> None:
    assert layout.run_folder("/s", "id") == "/s/runs/id"
    assert layout.attempt_file("x", 2) == "jobs/x.a2.jsonl"
    assert layout.log_file("x", 2) == "logs/x.a2.log"
    assert layout.output_file("x", 2) == "logs/x.a2.output"


def test_run_ids_are_recognised() -> None:
    for _ in range(1_000):
        assert layout.is_run_id(layout.new_run_id())


def test_run_ids_are_version_7_uuids_of_the_moment() -> None:
    before = time.time_ns() // 1_000_000
    run_id = layout.new_run_id()
    milliseconds = int(run_id.replace("-", "")[:12], 16)
    assert before <= milliseconds <= time.time_ns() // 1_000_000
    assert (run_id[14], run_id[19] in "89ab") == ("7", True)


def test_run_ids_sort_by_time_within_the_millisecond_too() -> None:
    start = 1_794_697_847_000_000_000
    steps = [*range(0, 1_000_000, 250), 1_000_000, 10**9, 10**12, 10**17]
    ids = [layout.new_run_id(start + step) for step in steps]
    assert ids == sorted(ids)
    assert [run_id.casefold() for run_id in ids] == ids


def test_run_ids_of_one_moment_are_unique() -> None:
    assert len({layout.new_run_id(1_794_697_847_000_000_000) for _ in range(20_000)}) == 20_000


def test_a_lower_case_ulid_is_a_run_id() -> None:
    assert layout.is_run_id("01arz3ndektsv4rrffq69g5fav")
    assert layout.is_run_id("7" + "z" * 25)


@pytest.mark.parametrize(
    "name",
    [
        "", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fa",
        "01arz3ndektsv4rrffq69g5favv",
        "8" + "z" * 25, "0" * 25 + "i", "0" * 25 + "l", "0" * 25 + "o", "0" * 25 + "u",
        "019ab000-0000-4000-8000-000000000000", "019ab000-0000-7000-c000-000000000000",
        "019AB000-0000-7000-8000-000000000000", "019ab0000000700080000000000000000",
        "019ab000-0000-7000-8000-00000000000", "019ab000-0000-7000-8000-0000000000000",
        "019ab000-0000-7000-8000-000000000000\n", " 019ab000-0000-7000-8000-000000000000",
        "../../../../etc/passwd", "019ab000-0000-7000-8000-00000000000/",
    ],
)  # fmt: skip
def test_other_names_are_no_run(name: str) -> None:
    assert not layout.is_run_id(name)


def test_only_lower_case_letters_make_a_portable_name() -> None:
    portable = set(string.ascii_lowercase + string.digits + "._-")
    for code in range(0x250):
        character = chr(code)
        job_id = f"a{character}b"
        assert (job_name(job_id) == job_id) is (character in portable), character
