"""Every loss, doubling, swap, splice and zeroing of bytes, lines and files is found and named.

All of them, in a small run that has ended, held against its receipt, and in one that was left open:
of that only the end of a file that nobody vouches for may be gone without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, islice, permutations, product
from typing import Any

from tests.faults.harness import Result
from tests.faults.sharing import shared_out
from tests.faults.stores import OTHER_RUN_ID, Files, Sample, finished_run, open_run
from tests.scale import Scale

TITLE = "every range, line or file lost, doubled, swapped, spliced, zeroed or renamed is found"

NEW_NAMES = (
    *("jobs/else.a1.jsonl", "jobs/ingest.a9.jsonl", "jobs/report.a2.jsonl", "jobs/ingest.json"),
    *("run.2.jsonl", "run.0.jsonl", "notes.txt"),
)


def run(scale: Scale) -> Result:
    """Make the faults, and look for each."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Make one of so many parts of the faults."""
    figures: dict[str, int | float | str] = {}
    undetected = false_alarms = strange = 0
    for kind in KINDS:
        made = 0
        for sample in tiny_runs() if kind.is_of_bytes else small_runs():
            step = parts * scale.count(1, kind.step)
            for place in islice(kind.places(sample), part, None, step):
                files = kind.make(sample, *place)
                if files == sample.files:
                    continue
                verdict, damaged = sample.judge(files, other_run()), sample.damaged(files)
                made += 1
                undetected += not damaged <= verdict.places or verdict.changed > 0
                if verdict.strange and kind.may_be_believed(sample, *place):
                    strange += 1
                else:
                    undetected += verdict.strange > 0
                    false_alarms += not verdict.places <= damaged
        figures[kind.name] = made
    figures["read with what was spliced in after the damage"] = strange
    return Result(figures, undetected=undetected, false_alarms=false_alarms)


@cache
def tiny_runs() -> list[Sample]:
    """One that ended and one that was left open, for faults between any two bytes."""
    return [finished_run({"a": 1}, 0), open_run({"a": False}, 0)]


@cache
def small_runs() -> list[Sample]:
    """One that ended, a job of which was tried twice, and one that was left open."""
    return [
        finished_run({"ingest": 2, "report": 1}, 2),
        open_run({"ingest": True, "report": False}, 2),
    ]


@cache
def other_run() -> Sample:
    """A run of the same pipeline with files of the same names."""
    return finished_run({"ingest": 2, "report": 1}, 2, OTHER_RUN_ID)


# Where: each gives the places in a run at which a kind of fault can be made.


def sizes(sample: Sample) -> Iterator[tuple[str, int]]:
    return ((name, size) for name, data in sample.content.items() for size in range(len(data)))


def byte_ranges(sample: Sample) -> Iterator[tuple[str, int, int]]:
    for name, data in sample.content.items():
        yield from ((name, *ends) for ends in combinations(range(len(data) + 1), 2))


def line_ranges(sample: Sample) -> Iterator[tuple[str, int, int]]:
    for name in sample.content:
        yield from ((name, *ends) for ends in combinations(range(len(sample.lines(name)) + 1), 2))


def lines_and_places(sample: Sample) -> Iterator[tuple[str, int, int]]:
    for name in sample.content:
        count = len(sample.lines(name))
        yield from ((name, *pair) for pair in product(range(count), range(count + 1)))


def places_and_strangers(sample: Sample) -> Iterator[tuple[str, int, int, bytes]]:
    for name in sample.content:
        own = sample.lines(name)
        strangers = [
            *(line for other in sample.content if other != name for line in sample.lines(other)),
            *(line for other in other_run().content for line in other_run().lines(other)),
        ]
        for at, replaced in product(range(len(own) + 1), (0, 1)):
            yield from ((name, at, replaced, line) for line in strangers)


def ends_of_strangers(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Each file up to a byte, and another one from there on, or from the beginning of a line."""
    strangers = [*sample.content.items(), *other_run().content.items()]
    for name, data in sample.content.items():
        for other, stranger in strangers:
            starts = [at + 1 for at, byte in enumerate(stranger) if byte == ord("\n")]
            for size in range(len(data)):
                for start in (size, *starts) if other != name else (size,):
                    yield name, data[:size] + stranger[start:]


def whole_files(sample: Sample) -> Iterator[tuple[Files]]:
    yield from ((files,) for files in chain(missing(sample), moved(sample), replaced(sample)))


# How: each gives the run's files with a fault at one of these places.


def cut(sample: Sample, name: str, size: int) -> Files:
    return {**sample.files, name: sample.content[name][:size]}


def without_bytes(sample: Sample, name: str, start: int, stop: int) -> Files:
    data = sample.content[name]
    return {**sample.files, name: data[:start] + data[stop:]}


def zeroed(sample: Sample, name: str, start: int, stop: int) -> Files:
    data = sample.content[name]
    return {**sample.files, name: data[:start] + bytes(stop - start) + data[stop:]}


def with_lines(sample: Sample, name: str, lines: Iterable[bytes]) -> Files:
    return {**sample.files, name: b"".join(lines)}


def without_lines(sample: Sample, name: str, start: int, stop: int) -> Files:
    lines = sample.lines(name)
    return with_lines(sample, name, lines[:start] + lines[stop:])


def doubled(sample: Sample, name: str, start: int, stop: int) -> Files:
    lines = sample.lines(name)
    return with_lines(sample, name, lines[:stop] + lines[start:])


def doubled_elsewhere(sample: Sample, name: str, index: int, at: int) -> Files:
    lines = sample.lines(name)
    return with_lines(sample, name, [*lines[:at], lines[index], *lines[at:]])


def moved_line(sample: Sample, name: str, index: int, at: int) -> Files:
    lines = sample.lines(name)
    others = lines[:index] + lines[index + 1 :]
    return with_lines(sample, name, [*others[:at], lines[index], *others[at:]])


def swapped(sample: Sample, name: str, start: int, stop: int) -> Files:
    """The first and the last line of a range in each other's place."""
    lines = sample.lines(name)
    lines[start], lines[stop - 1] = lines[stop - 1], lines[start]
    return with_lines(sample, name, lines)


def reversed_lines(sample: Sample, name: str, start: int, stop: int) -> Files:
    lines = sample.lines(name)
    return with_lines(sample, name, [*lines[:start], *lines[start:stop][::-1], *lines[stop:]])


def spliced(sample: Sample, name: str, at: int, replaced: int, line: bytes) -> Files:
    lines = sample.lines(name)
    return with_lines(sample, name, [*lines[:at], line, *lines[at + replaced :]])


def with_content(sample: Sample, name: str, data: bytes) -> Files:
    return {**sample.files, name: data}


def as_given(_sample: Sample, files: Files) -> Files:
    return files


def missing(sample: Sample) -> Iterator[Files]:
    """Any files missing, the folder of attempts missing or a file, or a folder a file's place."""
    names = list(sample.content)
    for count in range(1, len(names) + 1):
        for gone in combinations(names, count):
            yield {name: data for name, data in sample.files.items() if name not in gone}
    in_folder = {name: data for name, data in sample.files.items() if name.startswith("jobs")}
    others = {name: data for name, data in sample.files.items() if name not in in_folder}
    yield others
    yield {**others, "jobs": b""}
    for name in names:
        yield {**sample.files, name: None}


def moved(sample: Sample) -> Iterator[Files]:
    """A file copied or renamed to any other name, and any two in each other's place."""
    for name, data in sample.content.items():
        for new in [*NEW_NAMES, *sample.content]:
            if new != name:
                copied = {**sample.files, new: data}
                yield copied
                yield {known: content for known, content in copied.items() if known != name}
    for order in permutations(sample.content):
        contents = [sample.content[name] for name in order]
        yield {**sample.files, **dict(zip(sample.content, contents, strict=True))}


def replaced(sample: Sample) -> Iterator[Files]:
    """Any file in the place of any other, and any files of another run in those of this one."""
    for name, data in product(sample.content, [*other_run().content.values(), b"", b"\n", b"{}\n"]):
        yield {**sample.files, name: data}
    for count in range(1, len(sample.content) + 1):
        for names in combinations(sample.content, count):
            yield {**sample.files, **{name: other_run().content[name] for name in names}}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: What its figure is called.
        step: A reduced run makes one of so many.
        places: Everywhere that it can be made in a run.
        make: Gives the run's files with the fault at such a place.
    """

    name: str
    step: int
    places: Callable[[Sample], Iterable[tuple[Any, ...]]]
    make: Callable[..., Files]

    @property
    def is_of_bytes(self) -> bool:
        """Whether there are too many places for any but the smallest run."""
        return self.places is byte_ranges

    def may_be_believed(self, sample: Sample, name: str, *place: Any) -> bool:
        """Tell whether lines of another file can be read as this one's; what is before is named.

        They follow a damaged line, or a gap, at the end of a file that nobody vouches for: what
        they would continue is lost, so nothing tells them from the file's own. In the run's own
        file they speak of attempts that are not this run's.
        """
        if self.places is not places_and_strangers:
            return self.places is ends_of_strangers
        at, replaced, _ = place
        return sample.receipt is None and at + replaced >= len(sample.lines(name))


KINDS = (
    Kind("cuts", 41, sizes, cut),
    Kind("byte ranges lost", 6007, byte_ranges, without_bytes),
    Kind("byte ranges zeroed", 6007, byte_ranges, zeroed),
    Kind("line ranges lost", 3, line_ranges, without_lines),
    Kind("line ranges doubled", 3, line_ranges, doubled),
    Kind("line ranges reversed", 3, line_ranges, reversed_lines),
    Kind("lines doubled", 5, lines_and_places, doubled_elsewhere),
    Kind("lines moved", 5, lines_and_places, moved_line),
    Kind("lines swapped", 3, line_ranges, swapped),
    Kind("lines spliced", 47, places_and_strangers, spliced),
    Kind("ends spliced", 997, ends_of_strangers, with_content),
    Kind("files lost, moved, replaced", 2, whole_files, as_given),
)
