"""One damaged line costs exactly its one record, whichever line it is, and so it stays repaired.

Other logs lose what follows: a damaged length, or a checksum over all that came before, ends what
can be read of a file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.faults.harness import Result
from tests.faults.sharing import shared_out
from tests.faults.stores import (
    CompactedSample,
    Files,
    Sample,
    Verdict,
    finished_run,
    open_run,
)
from tests.scale import Scale

TITLE = "one damaged line costs exactly one record, at every line"

# What becomes of a line, its line feed left out.
DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "with a wrong bit": lambda line, chance: with_a_wrong_bit(line, chance.randrange(len(line))),
    "zeroed": lambda line, _: bytes(len(line)),
    "zeroed in part": lambda line, _: line[:20] + bytes(40) + line[60:],
    "emptied": lambda _line, _: b"",
    "without its end": lambda line, chance: line[: chance.randrange(1, len(line))],
    "without its beginning": lambda line, chance: line[chance.randrange(1, len(line)) :],
    "without a byte": lambda line, _: line[:30] + line[31:],
    "with bytes more": lambda line, _: line[:30] + b"\xff\xfe" + line[30:],
    "by chance": lambda line, chance: chance.randbytes(len(line)).replace(b"\n", b"\r"),
    "too long": lambda line, _: line[:-20] + b"x" * (1 << 20) + line[-20:],
    "spelled otherwise": lambda line, _: line.replace(b'":', b'": '),
}

# What is said besides of a run without its last record, of a compacted one without its last line.
WITHOUT_THE_LAST = {"receipt-mismatch", "truncated"}


def run(scale: Scale) -> Result:
    """Damage each line, and count what is lost."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Damage one of so many parts of the lines."""
    chance = random.Random(part)
    lines = damaged = lost = undetected = false_alarms = 0
    for sample in samples(scale):
        for index, (name, n, lost_key) in enumerate(places(sample)):
            if index % parts != part:
                continue
            lines += 1
            for kind in kinds(index, scale):
                files = with_damaged_line(sample, name, n, DAMAGE[kind], chance)
                verdict = sample.judge(files)
                repaired = sample.judge_repaired(files)
                damaged += 1
                expected = sample.written.keys() - {lost_key}
                lost += len(expected - verdict.kept) + len(expected - repaired.kept)
                undetected += not tells_only_of(name, verdict)
                false_alarms += len(repaired.errors) + repaired.changed
    figures: dict[str, int | float | str] = {"lines": lines, "damaged lines": damaged}
    return Result(figures, lost, undetected, false_alarms)


def samples(scale: Scale) -> list[Sample]:
    """A run that ended, the same compacted, and one that was left open."""
    names = [f"job_{number:02}" for number in range(scale.count(10, 3))]
    records = scale.count(20, 3)
    done = {name: number % 3 == 0 for number, name in enumerate(names)}
    ended = finished_run(dict.fromkeys(names, 1), records)
    return [ended, CompactedSample(ended), open_run(done, records)]


def places(sample: Sample) -> Iterator[tuple[str, int, bytes | None]]:
    """Every line, as its file, its number there from 0, and the key of its record, if it is one."""
    for name in sample.content:
        for n, line in enumerate(sample.lines(name)):
            yield name, n, sample.keys.get(line)


def kinds(index: int, scale: Scale) -> list[str]:
    """The kinds of damage that a line gets: all, or two in turn."""
    everything = list(DAMAGE)
    if scale.is_full:
        return everything
    return [everything[number % len(everything)] for number in (2 * index, 2 * index + 1)]


def tells_only_of(name: str, verdict: Verdict) -> bool:
    """Tell whether the damaged line is named, nothing else is, and no record is another."""
    codes = {code for code, _ in verdict.errors}
    is_named = "damaged" in codes and verdict.places == {name}
    return is_named and codes - {"damaged"} <= WITHOUT_THE_LAST and verdict.changed == 0


def with_damaged_line(
    sample: Sample,
    name: str,
    n: int,
    damage: Callable[[bytes, random.Random], bytes],
    chance: random.Random,
) -> Files:
    """The run's files, one line of one of them damaged."""
    lines = sample.lines(name)
    lines[n] = damage(lines[n][:-1], chance) + b"\n"
    return {**sample.files, name: b"".join(lines)}


def with_a_wrong_bit(line: bytes, offset: int) -> bytes:
    """A line with one bit flipped that does not make a line feed."""
    wrong = line[offset] ^ (2 if line[offset] ^ 1 == ord("\n") else 1)
    return line[:offset] + bytes([wrong]) + line[offset + 1 :]
