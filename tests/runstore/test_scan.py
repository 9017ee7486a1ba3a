"""Every line of a file is judged: what is damaged costs itself, and nothing foreign ever counts."""

from __future__ import annotations

import io
import itertools
import os
import socket
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstore import files
from runstore.lines.record import MAX_LINE_BYTES, NO_PREVIOUS, Position, encode, read_frame
from runstore.lines.scan import Line, Scan, peek
from runstore.writing.segment import SegmentWriter

ERRORS = {"damaged", "gap", "chain", "duplicate", "truncated"}
NOTES = {"torn-tail", "lost", "no-newline"}


class Judged(NamedTuple):
    """What a scan says of a file: its findings in short, the lines that count, and the scan."""

    findings: list[tuple[str, int, int]]
    counted: list[bytes]
    scan: Scan

    @property
    def codes(self) -> list[str]:
        return [code for code, _, _ in self.findings]


def scan_file(path: str, witness: Position | None = None) -> Judged:
    scan = Scan(path, witness)
    lines = list(scan)
    findings = [(line.code, line.number, line.offset) for line in lines if line.code is not None]
    assert {code for code, _, _ in findings} <= ERRORS | NOTES
    assert all(line.detail for line in lines if line.code is not None)
    counted = [line for line in lines if line.counts]
    stand_ins = [line for line in counted if line.frame and line.frame.event == b"lost"]
    assert scan.records == len(counted) - len(stand_ins)
    is_missing = bool({code for code, _, _ in findings} - {"torn-tail", "no-newline"})
    assert scan.incomplete is is_missing
    return Judged(findings, [line.raw + b"\n" for line in counted], scan)


def judge(data: bytes, witness: Position | None = None) -> Judged:
    """Scan bytes as if they were a file."""
    stream = io.BytesIO(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "open_read", lambda _path: -1)
        patch.setattr(files, "read", lambda _descriptor, size: stream.read(size))
        patch.setattr(files, "close", lambda _descriptor: None)
        found = scan_file("f", witness)
    assert found.scan.size_bytes == len(data)
    return found


def lines_of(job: str, events: list[tuple[str, dict[str, Any]]]) -> list[bytes]:
    """The lines of a file that a writer wrote."""
    lines, previous = [], NO_PREVIOUS
    for n, (event, fields) in enumerate(events):
        line, position = encode(n, previous, event, {"of": job, **fields})
        lines.append(line)
        previous = position.crc
    return lines


def position_of(line: bytes) -> Position:
    frame = read_frame(line.removesuffix(b"\n"))
    assert frame is not None
    return Position(frame.n, frame.crc)


EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("begin", {"format": 1}),
    ("metric", {"rows": 978}),
    ("log", {"text": "ä\n{*J}"}),
    ("output", {"value": {"a": [1, 2.5, None]}}),
    ("log", {"text": ""}),
    ("bare", {}),
    ("metric", {"rows": -1}),
    ("end", {"status": "succeeded"}),
]
A = lines_of("a", EVENTS)
B = lines_of("b", EVENTS)
OPEN = A[:-1]
WHOLE = b"".join(A)
WITNESS = position_of(A[-1])
STARTS = [0, *itertools.accumulate(map(len, A))]
WITNESSES = pytest.mark.parametrize("witness", [None, WITNESS], ids=["alone", "vouched for"])


def garbage(line: bytes) -> bytes:
    """A line of the same length that nobody wrote."""
    return b"#" * (len(line) - 1) + b"\n"


def without(lines: list[bytes], *numbers: int) -> list[bytes]:
    return [line for number, line in enumerate(lines) if number not in numbers]


class TestWhole:
    @WITNESSES
    def test_what_a_writer_wrote_counts_and_nothing_is_to_be_said(
        self, witness: Position | None
    ) -> None:
        found = judge(WHOLE, witness)
        assert found.findings == []
        assert found.counted == A
        assert (found.scan.last, found.scan.ended) == (WITNESS, True)
        assert (found.scan.records, found.scan.incomplete) == (len(A), False)

    def test_a_file_without_end_is_not_ended(self) -> None:
        found = judge(b"".join(OPEN))
        assert (found.findings, found.scan.ended) == ([], False)
        assert found.scan.last == position_of(OPEN[-1])

    def test_lines_have_numbers_from_1_and_their_offsets(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(WHOLE)
        lines = list(Scan(str(tmp_path / "f")))
        assert [(line.number, line.offset) for line in lines] == list(enumerate(STARTS[:-1], 1))
        assert [line.raw + b"\n" for line in lines] == A
        assert [line.frame and line.frame.event for line in lines] == [
            event.encode() for event, _ in EVENTS
        ]

    def test_an_empty_file_says_nothing_but_falls_short_of_a_witness(self) -> None:
        found = judge(b"")
        assert (found.findings, found.scan.last, found.scan.incomplete) == ([], None, False)
        assert judge(b"", WITNESS).findings == [("truncated", 1, 0)]

    def test_a_missing_file_is_an_error_of_the_system(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            list(Scan(str(tmp_path / "none")))


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every way to flip one bit, and where."""
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            yield at, bytes(flipped)


class TestFlippedBits:
    @pytest.mark.parametrize("lines", [A, OPEN], ids=["ended", "open"])
    @pytest.mark.parametrize("is_vouched_for", [False, True])
    def test_every_flipped_bit_is_damage_of_its_line_and_costs_that_record_alone(
        self, lines: list[bytes], is_vouched_for: bool
    ) -> None:
        data = b"".join(lines)
        witness = position_of(lines[-1]) if is_vouched_for else None
        for at, flipped in flips(data):
            line = next(k for k in range(len(lines)) if at < STARTS[k + 1])
            found = judge(flipped, witness)
            is_split = flipped[at] == ord("\n")
            is_joined = data[at] == ord("\n")
            expected = [("damaged", line + 1, STARTS[line])]
            if is_split:
                expected.append(("damaged", line + 2, at + 1))
            lost = [line, line + 1] if is_joined else [line]
            assert found.findings == expected, (at, flipped)
            assert found.counted == without(lines, *lost), (at, flipped)

    def test_a_checksum_in_upper_case_is_damage(self) -> None:
        for number, line in enumerate(A):
            crc = position_of(line).crc.encode()
            upper = line[:-11] + line[-11:].replace(crc, crc.upper())
            found = judge(b"".join([*A[:number], upper, *A[number + 1 :]]))
            assert found.findings == (
                [("damaged", number + 1, STARTS[number])] if upper != line else []
            )
        assert any(position_of(line).crc.upper() != position_of(line).crc for line in A)

    def test_line_ends_of_another_system_are_damage_of_every_line(self) -> None:
        found = judge(WHOLE.replace(b"\n", b"\r\n"))
        assert (found.codes, found.counted) == (["damaged"] * len(A), [])


class TestTruncation:
    def test_an_open_file_cut_anywhere_has_a_torn_tail_and_never_damage(self) -> None:
        for size in range(len(WHOLE)):
            whole = sum(start <= size for start in STARTS) - 1
            found = judge(WHOLE[:size])
            if size == STARTS[whole]:
                assert found.findings == []
            elif size == STARTS[whole + 1] - 1:
                assert found.findings == [("no-newline", whole + 1, STARTS[whole])]
                whole += 1
            else:
                assert found.findings == [("torn-tail", whole + 1, STARTS[whole])]
            assert found.counted == A[:whole]
            assert not found.scan.incomplete

    @pytest.mark.parametrize("nul", [1, 8, 5_000])
    def test_nul_bytes_after_the_cut_change_nothing_unless_a_record_is_whole(
        self, nul: int
    ) -> None:
        for size in range(len(WHOLE)):
            whole = sum(start <= size for start in STARTS) - 1
            is_record = size == STARTS[whole + 1] - 1
            code = "damaged" if is_record else "torn-tail"
            found = judge(WHOLE[:size] + bytes(nul))
            assert found.findings == [(code, whole + 1, STARTS[whole])]
            assert found.counted == A[:whole]

    def test_a_file_vouched_for_is_truncated_where_it_was_cut(self) -> None:
        for size, nul in itertools.product(range(len(WHOLE) - 1), (0, 3)):
            whole = sum(start <= size for start in STARTS) - 1
            found = judge(WHOLE[:size] + bytes(nul), WITNESS)
            if size == STARTS[whole + 1] - 1:
                # The record is whole: it counts without its line feed, and the rest is missing.
                if nul:
                    assert found.findings == [("damaged", whole + 1, STARTS[whole])]
                    assert found.counted == A[:whole]
                    continue
                assert found.findings == [
                    ("no-newline", whole + 1, STARTS[whole]),
                    ("truncated", whole + 2, size),
                ]
                assert found.counted == A[: whole + 1]
            else:
                assert found.findings == [("truncated", whole + 1, STARTS[whole])]
                assert found.counted == A[:whole]
            assert found.scan.incomplete

    def test_the_last_record_vouched_for_counts_without_its_line_feed(self) -> None:
        found = judge(WHOLE[:-1], WITNESS)
        assert found.findings == [("no-newline", len(A), STARTS[-2])]
        assert found.counted == A
        assert found.scan.ended

    def test_a_torn_tail_after_the_last_record_vouched_for_is_a_note(self) -> None:
        """As where a resume vouches for what a killed process left."""
        witness = position_of(A[3])
        for size in range(STARTS[4] + 1, STARTS[5] - 1):
            assert judge(WHOLE[:size], witness).findings == [("torn-tail", 5, STARTS[4])]

    def test_bytes_after_the_end_are_damage_however_they_begin(self) -> None:
        more, _ = encode(len(A), WITNESS.crc, "more", {})
        for tail in (bytes(1), bytes(5_000), more[:1], more[:40], more[:-2], b"x", b" "):
            found = judge(WHOLE + tail)
            assert found.findings == [("damaged", len(A) + 1, len(WHOLE))], tail
            assert found.counted == A


class TestTail:
    def test_nul_bytes_of_any_length_may_follow_a_torn_write(self) -> None:
        for size in (1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
            for torn in (b"", A[2][:1], A[2][:60], A[2][:-2]):
                found = judge(b"".join(A[:2]) + torn + bytes(size))
                assert found.findings == [("torn-tail", 3, STARTS[2])]
                assert found.counted == A[:2]

    def test_one_other_byte_among_them_is_damage(self) -> None:
        start = b"".join(A[:2])
        for size in (10, 1 << 20, 3 << 20):
            for at in (0, size // 2, size - 1):
                nul = bytearray(size)
                nul[at] = 1
                found = judge(start + A[2][:60] + bytes(nul))
                assert found.findings == [("damaged", 3, STARTS[2])], (size, at)

    def test_a_whole_record_and_other_bytes_are_damage(self) -> None:
        for more in (b"\0", bytes(2 << 20), b" ", b"\r", b"{", b"}", A[3][:5], A[3][:-1], b"\xff"):
            found = judge(b"".join(A[:2]) + A[2][:-1] + more)
            assert found.findings == [("damaged", 3, STARTS[2])], more
            assert found.counted == A[:2]

    def test_a_torn_write_of_another_file_or_place_is_damage(self) -> None:
        start = b"".join(A[:3])
        for line in (B[3], A[2], A[4], B[4], A[0]):
            found = judge(start + line[:60])
            assert found.findings == [("damaged", 4, STARTS[3])]

    def test_a_tail_that_is_a_text_of_something_else_is_damage(self) -> None:
        for tail in (b"x", b"Traceback", b"{}", b"[", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\0x"):
            assert judge(WHOLE[: STARTS[3]] + tail).findings == [("damaged", 4, STARTS[3])]

    def test_invalid_utf_8_in_a_tail_is_damage(self) -> None:
        torn = A[2][: A[2].index(b"text") + 7]
        assert judge(b"".join(A[:2]) + torn).codes == ["torn-tail"]
        assert judge(b"".join(A[:2]) + torn + b"\xff").codes == ["damaged"]
        assert judge(b"".join(A[:2]) + torn + b"\xc3").codes == ["torn-tail"]

    def test_a_torn_write_after_damage_is_still_one(self) -> None:
        data = b"".join([*A[:2], garbage(A[2])])
        for size in range(1, len(A[3]) - 1):
            assert judge(data + A[3][:size]).codes == ["damaged", "torn-tail"]
        assert judge(data + b'{"n":x').codes == ["damaged", "damaged"]

    def test_a_whole_record_without_its_line_feed_counts_like_any_other(self) -> None:
        assert judge(b"".join(A[:3])[:-1]).counted == A[:3]
        assert judge(b"".join([*A[:3], A[5]])[:-1]).codes == ["gap"]
        assert judge(b"".join([*A[:3], A[1]])[:-1]).codes == ["duplicate"]
        assert judge(b"".join([*A[:3], B[3]])[:-1]).codes == ["chain"]
        assert judge(b"".join([*A, B[3]])[:-1]).codes == ["chain"]


class TestDamagedLines:
    @WITNESSES
    def test_any_damaged_lines_cost_exactly_their_records(self, witness: Position | None) -> None:
        for chosen in itertools.product([False, True], repeat=len(A)):
            numbers = [number for number, is_damaged in enumerate(chosen) if is_damaged]
            lines = [garbage(line) if k in numbers else line for k, line in enumerate(A)]
            found = judge(b"".join(lines), witness)
            assert found.findings == [("damaged", k + 1, STARTS[k]) for k in numbers]
            assert found.counted == without(A, *numbers)

    @WITNESSES
    def test_a_line_feed_that_is_gone_is_one_finding_and_costs_the_two_records_it_joins(
        self, witness: Position | None
    ) -> None:
        for k in range(len(A) - 1):
            for replaced in (b"", b"\0", b" ", b"\r"):
                data = b"".join([*A[:k], A[k][:-1], replaced, *A[k + 1 :]])
                found = judge(data, witness)
                assert found.findings == [("damaged", k + 1, STARTS[k])]
                assert found.counted == without(A, k, k + 1)

    @WITNESSES
    def test_lines_that_nobody_wrote_cost_nothing_where_they_are_put_in(
        self, witness: Position | None
    ) -> None:
        for k in range(len(A) + 1):
            for more in (b"\n", b"x\n", b"{}\n", b"\xff\n", bytes(100) + b"\n"):
                found = judge(b"".join([*A[:k], more, *A[k:]]), witness)
                assert found.findings == [("damaged", k + 1, STARTS[k])]
                assert found.counted == A

    def test_damage_hides_nothing_that_is_wrong_further_on(self) -> None:
        start = [*A[:1], garbage(A[1]), *A[2:4]]
        assert judge(b"".join([*start, *A[5:]])).codes == ["damaged", "gap"]
        assert judge(b"".join(start), WITNESS).codes == ["damaged", "truncated"]
        assert judge(b"".join([*start, B[4]])).codes == ["damaged", "chain"]
        assert judge(b"".join([*start, A[4][:60]])).codes == ["damaged", "torn-tail"]
        assert judge(b"".join([*start, A[5][:60]])).codes == ["damaged", "damaged"]

    def test_zeroed_ranges_cost_the_lines_they_touch(self) -> None:
        sizes = (1, 2, 7, 64, 200, 700)
        for start, size in itertools.product(range(0, len(WHOLE), 3), sizes):
            end = min(start + size, len(WHOLE))
            touched = [
                k for k in range(len(A)) if start < STARTS[k + 1] and end > max(0, STARTS[k] - 1)
            ]
            data = WHOLE[:start] + bytes(end - start) + WHOLE[end:]
            found = judge(data)
            assert found.counted == without(A, *touched), (start, end)
            # Zeroed to its end, a file looks as after a power cut; then only a witness tells.
            is_record = any(start == after - 1 for after in STARTS)
            is_like_power_cut = end == len(WHOLE) and not is_record
            assert found.codes == (["torn-tail"] if is_like_power_cut else ["damaged"]), (
                start,
                end,
            )
            assert set(judge(data, WITNESS).codes) <= ERRORS
            assert judge(data, WITNESS).codes

    def test_a_line_with_its_checksum_but_no_utf_8_is_a_record_that_cannot_be_parsed(self) -> None:
        content = A[0][:-18].replace(b'"format"', b'"f\xffrmat"')
        line = content + b',"crc":"%08x"}\n' % crc32(content)
        found = judge(line)
        assert (found.findings, found.counted) == ([], [line])


class TestMissingLines:
    def test_lines_taken_out_of_the_middle_are_a_gap(self) -> None:
        for first, after in itertools.combinations(range(len(A)), 2):
            found = judge(b"".join(A[:first] + A[after:]))
            assert found.findings == [("gap", first + 1, STARTS[first])]
            assert found.counted == A[:first] + A[after:]

    def test_the_gap_is_named_by_its_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "one").write_bytes(b"".join(without(A, 2)))
        (tmp_path / "two").write_bytes(b"".join(without(A, 2, 3)))
        details = [
            [line.detail for line in Scan(str(tmp_path / name)) if line.code]
            for name in ("one", "two")
        ]
        assert details == [
            ["record 2 is missing before it"],
            ["records 2 to 3 are missing before it"],
        ]

    def test_lines_taken_from_the_end_are_seen_by_a_witness_alone(self) -> None:
        for kept in range(len(A)):
            data = b"".join(A[:kept])
            assert judge(data).findings == []
            assert judge(data, WITNESS).findings == [("truncated", kept + 1, STARTS[kept])]

    def test_a_line_after_a_gap_that_is_there_twice_counts_once(self) -> None:
        found = judge(b"".join([A[0], A[2], A[2], *A[3:]]))
        assert found.codes == ["gap", "duplicate"]
        assert found.counted == without(A, 1)

    def test_two_gaps_are_two_findings(self) -> None:
        found = judge(b"".join(without(A, 1, 4, 5)))
        assert found.codes == ["gap", "gap"]
        assert found.counted == without(A, 1, 4, 5)


class TestMisplacedLines:
    @WITNESSES
    def test_a_line_that_is_there_again_costs_nothing(self, witness: Position | None) -> None:
        for line, later in itertools.product(range(len(A)), range(len(A) + 1)):
            if later <= line:
                continue
            found = judge(b"".join([*A[:later], A[line], *A[later:]]), witness)
            code = "chain" if later == len(A) else "duplicate"
            assert found.findings == [(code, later + 1, STARTS[later])], (line, later)
            assert found.counted == A

    @WITNESSES
    def test_a_line_that_is_there_before_its_time_too_costs_nothing(
        self, witness: Position | None
    ) -> None:
        for line, before in itertools.product(range(len(A)), range(len(A))):
            if before >= line:
                continue
            found = judge(b"".join([*A[:before], A[line], *A[before:]]), witness)
            assert found.findings == [("chain", before + 1, STARTS[before])], (line, before)
            assert found.counted == A

    @WITNESSES
    def test_two_lines_that_changed_places_are_found_and_cost_at_most_one_more(
        self, witness: Position | None
    ) -> None:
        for one, other in itertools.combinations(range(len(A)), 2):
            lines = list(A)
            lines[one], lines[other] = lines[other], lines[one]
            found = judge(b"".join(lines), witness)
            assert set(found.codes) <= ERRORS
            assert found.codes
            assert found.counted == sorted(set(found.counted) & set(A), key=A.index)
            if other - one != 2:
                assert set(found.counted) >= set(without(A, one, other)), (one, other)
            assert len(found.counted) >= len(A) - 2, (one, other)

    def test_neighbours_that_changed_places_cost_one_record(self) -> None:
        for k in range(len(A) - 2):
            found = judge(b"".join([*A[:k], A[k + 1], A[k], *A[k + 2 :]]))
            assert len(found.counted) == len(A) - 1, k

    @WITNESSES
    def test_lines_in_any_order_are_found_and_counted_at_most_once(
        self, witness: Position | None
    ) -> None:
        short = lines_of("a", [EVENTS[0], *EVENTS[1:4], EVENTS[-1]])
        for order in itertools.permutations(short):
            if list(order) == short:
                continue
            found = judge(b"".join(order), position_of(short[-1]) if witness else None)
            assert set(found.codes) & ERRORS, order
            assert found.counted == sorted(set(found.counted), key=short.index)
        assert judge(b"".join([*A[:5], A[-1]])).codes == ["gap"]


class TestForeignLines:
    @WITNESSES
    def test_a_line_of_another_file_in_the_place_of_one_costs_that_one(
        self, witness: Position | None
    ) -> None:
        for k, other in itertools.product(range(len(A)), range(len(B))):
            if (k, other) == (0, 0):
                continue  # only its first record says whose file it is: `wrong-file`
            found = judge(b"".join([*A[:k], B[other], *A[k + 1 :]]), witness)
            assert set(found.codes) & ERRORS, (k, other)
            assert found.counted == without(A, k), (k, other)
            assert found.findings[0][1:] == (k + 1, STARTS[k])

    @WITNESSES
    def test_a_line_of_another_file_put_in_costs_nothing(self, witness: Position | None) -> None:
        for k, other in itertools.product(range(len(A) + 1), range(len(B))):
            if (k, other) == (0, 0):
                continue
            found = judge(b"".join([*A[:k], B[other], *A[k:]]), witness)
            assert found.codes in (["chain"], ["duplicate"]), (k, other)
            assert found.findings[0][1:] == (k + 1, STARTS[k])
            assert found.counted == A, (k, other)

    @WITNESSES
    def test_no_record_of_another_files_tail_counts(self, witness: Position | None) -> None:
        for k in range(1, len(A)):
            for first in range(1, k + 1):
                found = judge(b"".join(A[:k] + B[first:]), witness)
                assert set(found.codes) <= {"chain", "duplicate"}
                assert found.counted == A[:k], (k, first)
            assert judge(b"".join(A[:k] + B[k:]), witness).codes == ["chain"] * (len(B) - k)

    def test_a_tail_of_another_file_from_further_on_is_a_gap(self) -> None:
        """It cannot be told from lines missing here, so it counts; but it is found."""
        for k, first in itertools.combinations(range(1, len(A)), 2):
            found = judge(b"".join(A[:k] + B[first:]))
            assert found.findings == [("gap", k + 1, STARTS[k])]
            assert "chain" in judge(b"".join(A[:k] + B[first:]), WITNESS).codes

    def test_a_line_of_another_file_after_a_gap_costs_nothing(self) -> None:
        found = judge(b"".join([A[0], A[3], B[1], *A[4:]]))
        assert found.codes == ["gap", "duplicate"]
        assert found.counted == without(A, 1, 2)

    def test_what_goes_on_from_a_line_of_another_file_never_counts(self) -> None:
        found = judge(b"".join([A[0], *B[1:4], A[1], B[4]]))
        assert found.codes == ["chain"] * 4
        assert found.counted == A[:2]

    def test_the_witness_tells_a_whole_file_of_another(self) -> None:
        found = judge(b"".join(B), WITNESS)
        assert found.findings[-1] == ("chain", len(B), sum(map(len, B[:-1])))
        assert not found.scan.ended

    def test_records_after_the_end_are_chain(self) -> None:
        next_line, _ = encode(len(A), WITNESS.crc, "more", {})
        for more in (next_line, A[-1], A[0], B[-1], B[2]):
            for ending in (more, more[:-1]):
                found = judge(WHOLE + ending)
                assert found.findings == [("chain", len(A) + 1, len(WHOLE))]
                assert found.counted == A

    def test_records_after_the_one_vouched_for_are_chain(self) -> None:
        for k in range(len(A) - 1):
            found = judge(WHOLE, position_of(A[k]))
            assert found.codes == ["chain"] * (len(A) - k - 1)
            assert found.findings[0] == ("chain", k + 2, STARTS[k + 1])
            assert found.counted == A[: k + 1]

    def test_one_from_beyond_does_not_hide_that_the_file_stops_short(self) -> None:
        beyond, _ = encode(9, "0123abcd", "more", {})
        for lines in ([*A[:3], beyond], [*A[:3], beyond, beyond]):
            found = judge(b"".join(lines), WITNESS)
            assert found.codes == ["chain"] * (len(lines) - 3) + ["truncated"]
            assert found.counted == A[:3]

    def test_another_record_in_the_place_of_the_one_vouched_for_is_chain(self) -> None:
        """The last one may follow its neighbour in every way and still not be what was written."""
        last, _ = encode(len(A) - 1, position_of(A[-2]).crc, "end", {"status": "failed"})
        data = b"".join([*A[:-1], last])
        assert judge(data).findings == []
        found = judge(data, WITNESS)
        assert found.findings == [("chain", len(A), STARTS[-2])]
        assert found.counted == A[:-1]


def lost(first: int, last: int, prev: str, was: object) -> bytes:
    """The record that a repair puts where others are missing."""
    return encode(first, prev, "lost", {"first": first, "last": last, "was": was})[0]


class TestLost:
    def test_chain_and_witness_hold_over_every_range_that_is_lost(self) -> None:
        for first, last in itertools.combinations_with_replacement(range(len(A)), 2):
            prev = position_of(A[first - 1]).crc if first else NO_PREVIOUS
            stand_in = lost(first, last, prev, position_of(A[last]).crc)
            data = b"".join([*A[:first], stand_in, *A[last + 1 :]])
            for witness in (None, WITNESS):
                found = judge(data, witness)
                assert found.findings == [("lost", first + 1, STARTS[first])], (first, last)
                assert found.counted == [*A[:first], stand_in, *A[last + 1 :]]
                assert found.scan.last == WITNESS
                assert found.scan.records == len(A) - (last - first + 1)
                assert found.scan.incomplete

    def test_what_follows_must_follow_what_was_lost(self) -> None:
        stand_in = lost(2, 3, position_of(A[1]).crc, position_of(A[3]).crc)
        assert judge(b"".join([*A[:2], stand_in, B[4]])).codes == ["lost", "chain"]
        assert judge(b"".join([*A[:2], stand_in, A[3]])).codes == ["lost", "duplicate"]
        assert judge(b"".join([*A[:2], stand_in, A[5]])).codes == ["lost", "gap"]

    def test_a_torn_write_after_it_must_follow_what_was_lost(self) -> None:
        stand_in = lost(2, 3, position_of(A[1]).crc, position_of(A[3]).crc)
        assert judge(b"".join([*A[:2], stand_in, A[4][:60]])).codes == ["lost", "torn-tail"]
        assert judge(b"".join([*A[:2], stand_in, B[4][:60]])).codes == ["lost", "damaged"]
        assert judge(b"".join([*A[:2], stand_in, A[3][:60]])).codes == ["lost", "damaged"]

    def test_it_hides_no_gap_before_it(self) -> None:
        stand_in = lost(4, 5, position_of(A[3]).crc, position_of(A[5]).crc)
        found = judge(b"".join([*A[:2], stand_in, *A[6:]]))
        assert found.codes == ["gap"]
        assert set(found.counted) >= set(A[:2] + A[6:])

    def test_what_was_lost_at_the_end_of_a_file_need_not_be_known(self) -> None:
        stand_in = lost(6, 7, position_of(A[5]).crc, None)
        found = judge(b"".join([*A[:6], stand_in]))
        assert found.codes == ["lost"]
        assert judge(b"".join([*A[:6], stand_in]), WITNESS).codes[0] == "damaged"

    def test_one_of_another_file_is_chain(self) -> None:
        stand_in = lost(2, 3, position_of(B[1]).crc, position_of(A[3]).crc)
        assert judge(b"".join([*A[:2], stand_in, *A[4:]])).codes == ["chain"]

    @pytest.mark.parametrize(
        "fields",
        [
            {}, {"first": 2}, {"last": 3, "was": "0"}, {"first": 2, "last": 3, "was": 7},
            {"first": 1, "last": 3, "was": "0"}, {"first": 3, "last": 3, "was": "0"},
            {"first": 2, "last": 1, "was": "0"}, {"first": 2, "last": "3", "was": "0"},
            {"first": 2, "last": True, "was": "0"}, {"first": 2, "last": None, "was": "0"},
            {"first": None, "last": 3, "was": "0"},
        ],
    )  # fmt: skip
    def test_one_that_does_not_say_what_is_lost_is_damage(self, fields: dict[str, Any]) -> None:
        line, _ = encode(2, position_of(A[1]).crc, "lost", fields)
        for witness in (None, Position(3, "0")):
            found = judge(b"".join([*A[:2], line]), witness)
            assert found.codes[0] == "damaged", fields
            assert found.counted == A[:2]

    def test_one_that_contradicts_the_witness_is_damage(self) -> None:
        prev = position_of(A[5]).crc
        for last, was in ((7, "00000000"), (8, WITNESS.crc), (99, WITNESS.crc)):
            found = judge(b"".join([*A[:6], lost(6, last, prev, was)]), WITNESS)
            assert found.codes[0] == "damaged"
            assert found.counted == A[:6]


class TestLongLines:
    def test_a_line_of_one_mib_counts(self) -> None:
        empty = len(encode(0, NO_PREVIOUS, "begin", {"of": "a", "text": ""})[0])
        text = "x" * (MAX_LINE_BYTES - empty)
        lines = lines_of("a", [("begin", {"text": text}), ("e", {"text": text[:-4]}), EVENTS[-1]])
        assert len(lines[0]) == MAX_LINE_BYTES
        assert judge(b"".join(lines)).findings == []
        assert judge(b"".join(lines)[:-1]).codes == ["no-newline"]
        assert judge(lines[0][:-1]).codes == ["no-newline"]
        assert judge(lines[0][:-2]).codes == ["torn-tail"]

    @pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, (5 << 18) - 1, 5 << 18, 3 << 20])
    def test_a_longer_one_is_damage_and_costs_one_record(self, size: int) -> None:
        for byte in (b"x", b"\0"):
            found = judge(b"".join([*A[:2], byte * size, b"\n", *A[3:]]))
            assert found.findings == [("damaged", 3, STARTS[2])]
            assert found.counted == without(A, 2)
        found = judge(b"".join([*A[:2], b"x" * size]))
        assert found.findings == [("damaged", 3, STARTS[2])]

    def test_a_longer_one_does_not_change_the_verdict_on_a_long_tail(self) -> None:
        for byte in (b"x", b"\0"):
            data = b"".join([A[0], byte * (2 << 20), b"\n", A[2]])
            assert judge(data + bytes(2 << 20)).codes == ["damaged", "torn-tail"]
            assert judge(data + b"x" * (2 << 20)).codes == ["damaged", "damaged"]

    def test_of_a_longer_one_no_more_than_one_mib_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        for end in (b"\n", b""):
            path.write_bytes(A[0] + b"x" * (3 << 20) + end)
            *_, last = Scan(str(path))
            assert (len(last.raw), last.code, last.frame) == (1 << 20, "damaged", None)

    def test_a_whole_record_at_the_end_of_a_longer_line_does_not_count(self) -> None:
        for padding in (b"x", b" ", b"\0"):
            data = b"".join([A[0], padding * (1 << 20), *A[1:3]])
            assert judge(data).counted == [A[0], A[2]]

    @pytest.mark.parametrize("byte", [b"x", b"\0", b'{"n":'], ids=["text", "nul", "json"])
    def test_memory_is_constant(self, monkeypatch: pytest.MonkeyPatch, byte: bytes) -> None:
        """A line of 50 MB, that a file system makes up as it is read."""
        pieces = iter([*[byte * (1 << 18)] * (200 // len(byte)), b""])
        monkeypatch.setattr(files, "open_read", lambda _: -1)
        monkeypatch.setattr(files, "close", lambda _: None)
        monkeypatch.setattr(files, "read", lambda _, size: next(pieces)[:size])
        scan = Scan("f")
        tracemalloc.start()
        try:
            codes = [line.code for line in scan]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert codes == ["torn-tail" if byte == b"\0" else "damaged"]
        assert peak < 8 << 20

    def test_records_are_read_across_the_pieces_that_a_file_is_read_in(
        self, tmp_path: Path
    ) -> None:
        events = [("e", {"text": "x" * (k * 29_989 % 70_001)}) for k in range(40)]
        lines = lines_of("a", events)
        path = tmp_path / "f"
        path.write_bytes(b"".join(lines))
        assert path.stat().st_size > 4 << 18
        assert scan_file(str(path)).counted == lines
        assert scan_file(str(path)).findings == []

    @pytest.mark.parametrize("pieces", [1, 2, 3])
    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_a_file_that_ends_where_a_piece_does_is_read_whole(
        self, tmp_path: Path, pieces: int, more: int
    ) -> None:
        size = pieces * (1 << 18) + more
        empty = sum(map(len, lines_of("a", [("e", {"text": ""}), ("end", {})])))
        lines = lines_of("a", [("e", {"text": "x" * (size - empty)}), ("end", {})])
        path = tmp_path / "f"
        path.write_bytes(b"".join(lines))
        assert path.stat().st_size == size
        found = scan_file(str(path))
        assert (found.findings, found.counted, found.scan.size_bytes) == ([], lines, size)

    def test_a_system_that_reads_little_at_a_time_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "f").write_bytes(WHOLE)
        real = os.read
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", lambda descriptor, size: real(descriptor, min(size, 7)))
            found = scan_file(str(tmp_path / "f"), WITNESS)
        assert (found.findings, found.counted) == ([], A)


class TestOtherThings:
    """What is no regular file is damage, and reading it neither hangs nor follows it."""

    @pytest.fixture(params=["folder", "link", "dangling link", "fifo", "socket", "device"])
    def thing(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[str]:
        if sys.platform == "win32":
            pytest.skip("needs the files of POSIX")
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        (tmp_path / "other").write_bytes(WHOLE)
        with socket.socket(socket.AF_UNIX) as server:
            match request.param:
                case "folder":
                    os.mkdir("f")
                case "link":
                    os.symlink("other", "f")
                case "dangling link":
                    os.symlink("none", "f")
                case "fifo":
                    os.mkfifo("f")
                case "socket":
                    server.bind("f")
            yield "/dev/zero" if request.param == "device" else "f"

    def test_it_is_damage(self, thing: str) -> None:
        for witness in (None, WITNESS):
            found = scan_file(thing, witness)
            assert found.findings == [("damaged", 1, 0)]
            assert found.counted == []
            assert (found.scan.last, found.scan.ended) == (None, False)

    def test_it_has_no_first_and_last_record(self, thing: str) -> None:
        with pytest.raises(files.NotAFileError):
            peek(thing)


class TestAtWork:
    def test_a_file_is_read_while_it_is_written_without_a_false_alarm(self, tmp_path: Path) -> None:
        path = str(tmp_path / "f")
        writer = SegmentWriter(path)
        writer.append("begin", {})
        ready = threading.Event()

        def write() -> None:
            for k in range(1_500):
                writer.append("e", {"text": "ä" * (k * 7919 % 3_000)})
                if k == 20:
                    ready.set()
            writer.append("end", {})

        thread = threading.Thread(target=write)
        thread.start()
        ready.wait(30)
        records = [0]
        while thread.is_alive():
            found = scan_file(path)
            assert set(found.codes) <= {"torn-tail", "no-newline"}
            records.append(found.scan.records)
        thread.join()
        writer.close()
        assert records == sorted(records)
        assert scan_file(path).findings == []
        assert scan_file(path).scan.records == 1_502

    def test_a_scan_that_is_given_up_leaves_no_descriptor(self, tmp_path: Path) -> None:
        """The check that every test runs under looks for it."""
        (tmp_path / "small").write_bytes(WHOLE)
        (tmp_path / "large").write_bytes(b"x\n" * (1 << 19))
        for name in ("small", "large"):
            line: Line = next(iter(Scan(str(tmp_path / name))))
            assert line.number == 1

    def test_a_small_file_is_closed_before_its_lines_are_given(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(WHOLE)
        if not os.path.isdir("/proc/self/fd"):
            pytest.skip("needs the list of descriptors")
        before = len(os.listdir("/proc/self/fd"))
        scans = [iter(Scan(str(tmp_path / "f"))) for _ in range(50)]
        for scan in scans:
            next(scan)
        assert len(os.listdir("/proc/self/fd")) == before


class TestPeek:
    def ends(self, tmp_path: Path, data: bytes) -> tuple[str | None, str | None]:
        (tmp_path / "f").write_bytes(data)
        return tuple(record and record["event"] for record in peek(str(tmp_path / "f")))  # type: ignore[return-value]

    def test_the_first_and_the_last_record_are_parsed(self, tmp_path: Path) -> None:
        assert self.ends(tmp_path, WHOLE) == ("begin", "end")
        assert self.ends(tmp_path, WHOLE[:-1]) == ("begin", "end")
        assert self.ends(tmp_path, A[0]) == ("begin", "begin")

    def test_what_is_not_whole_is_none(self, tmp_path: Path) -> None:
        assert self.ends(tmp_path, b"") == (None, None)
        assert self.ends(tmp_path, b"\n") == (None, None)
        assert self.ends(tmp_path, WHOLE[:-2]) == ("begin", None)
        assert self.ends(tmp_path, garbage(A[0]) + b"".join(A[1:])) == (None, "end")
        assert self.ends(tmp_path, b"".join(A[:-1]) + garbage(A[-1])) == ("begin", None)
        assert self.ends(tmp_path, b"".join(A[:3]) + bytes(9)) == ("begin", None)

    def test_long_records_are_read_too(self, tmp_path: Path) -> None:
        empty = len(encode(0, NO_PREVIOUS, "begin", {"of": "a", "text": ""})[0])
        for size in (60_000, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, MAX_LINE_BYTES):
            text = {"text": "x" * (size - empty)}
            first, last = lines_of("a", [("begin", text), ("e123", text)])
            assert len(first) in {size, size + 1}
            for data in (first + last, (first + last)[:-1]):
                assert self.ends(tmp_path, data) == ("begin", "e123")
            assert self.ends(tmp_path, first) == ("begin", "begin")

    def test_a_file_of_one_endless_line_costs_little(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"x" * (8 << 20))
        tracemalloc.start()
        try:
            assert peek(str(tmp_path / "f")) == (None, None)
            assert tracemalloc.get_traced_memory()[1] < 6 << 20
        finally:
            tracemalloc.stop()


KINDS = ["flip", "cut", "zero", "copy", "fill", "line"]
FILLS = [b"\n", b"\r", b"{", b"\xff", b"\0"]


def mutate(content: bytearray, data: st.DataObject) -> None:
    """Do one of the things to a file that no writer does."""
    at = data.draw(st.integers(0, len(content)))
    size = data.draw(st.sampled_from([1, 2, 8, 100, 400]))
    match data.draw(st.sampled_from(KINDS)):
        case "flip":
            content[at : at + 1] = bytes(byte ^ 1 << size % 8 for byte in content[at : at + 1])
        case "cut":
            del content[at : at + size]
        case "zero":
            content[at : at + size] = bytes(len(content[at : at + size]))
        case "copy":
            source = data.draw(st.integers(0, len(content)))
            content[at:at] = content[source : source + size]
        case "fill":
            content[at:at] = data.draw(st.sampled_from(FILLS)) * size
        case "line":
            content[at:at] = data.draw(st.sampled_from(A))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_happens_to_a_file_no_record_counts_that_was_not_written(
    data: st.DataObject,
) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        mutate(content, data)
    for witness in (None, WITNESS):
        found = judge(bytes(content), witness)
        assert found.counted == sorted(set(found.counted) & set(A), key=A.index)
        is_cut_off = witness is None and found.counted == A[: len(found.counted)]
        if found.counted != A and not is_cut_off:
            assert set(found.codes) & ERRORS
        if content == WHOLE:
            assert found.findings == []
