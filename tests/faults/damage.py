"""Faults drawn by chance: of bytes, of lines and of files."""

from __future__ import annotations

from random import Random

from tests.faults.stores import RUN_FILE, Files, Sample

NEW_NAMES = (
    *("jobs/else.a1.jsonl", "jobs/ingest.a2.jsonl", "jobs/ingest.a9.jsonl", "jobs/report.a1.jsonl"),
    *("run.2.jsonl", "run.3.jsonl", "run.0.jsonl", "notes.txt", "jobs/notes.txt", RUN_FILE),
)
# What other programs leave, and what readers of JSON have stumbled over.
HOSTILE = (
    *(
        b"",
        b"\n",
        b"\r\n",
        b"\0",
        bytes(600),
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"{}",
    ),
    *(b"[" * 5000, b'{"a":' * 3000, b"-" + b"9" * 5000, b"1e999", b"NaN", b'"\\ud800"', b'"\\u12'),
    *(b'{"n":0,"prev":"00000000"', b',"crc":"00000000"}', b'{"n":0,"n":1}', b"x" * 3000, b"}\n{"),
)


def damage(sample: Sample, other: Sample, chance: Random) -> Files:
    """Give the files of a run with one to five faults, some of them of bytes of another run."""
    files = dict(sample.files)
    strangers = [*sample.content.values(), *other.content.values()]
    for _ in range(chance.randint(1, 5)):
        there = sorted(name for name, data in files.items() if data)
        if not there or chance.random() < 0.15:
            change_files(files, strangers, chance)
            continue
        name = chance.choice(there)
        data = files[name] or b""
        if chance.random() < 0.5:
            files[name] = with_other_bytes(data, strangers, chance)
        else:
            files[name] = with_other_lines(data, strangers, chance)
    has_folder = files.get("jobs", b"") is None
    return {name: data for name, data in files.items() if has_folder or "/" not in name}


def with_other_bytes(data: bytes, strangers: list[bytes], chance: Random) -> bytes:
    """Change some bytes anywhere."""
    start, stop = sorted((chance.randrange(len(data)), chance.randint(0, len(data))))
    if chance.random() < 0.5:
        stop = min(stop, start + chance.randint(1, 16))
    before, between, after = data[:start], data[start:stop], data[stop:]
    match chance.randrange(9):
        case 0 | 1:
            return before + bytes([data[start] ^ 1 << chance.randrange(8)]) + data[start + 1 :]
        case 2:
            return before + after
        case 3:
            return before + bytes(len(between)) + after
        case 4:
            return before + chance.randbytes(len(between)) + after
        case 5:
            return before + chance.choice(HOSTILE) + data[start:]
        case 6:
            return before + between + between + after
        case 7:
            return before
        case _:
            return before + chance.choice(strangers)[start:]


def with_other_lines(data: bytes, strangers: list[bytes], chance: Random) -> bytes:
    """Change some whole lines."""
    lines = data.splitlines(keepends=True)
    start, stop = sorted((chance.randrange(len(lines)), chance.randint(0, len(lines))))
    at = chance.randint(0, len(lines))
    match chance.randrange(9):
        case 0:
            del lines[start:stop]
        case 1:
            lines[at:at] = lines[start:stop]
        case 2:
            lines[start:stop] = reversed(lines[start:stop])
        case 3:
            lines[start:stop] = [bytes(len(line)) for line in lines[start:stop]]
        case 4:
            lines[start] = lines[start].rstrip(b"\n")
        case 5:
            lines[start] = chance.choice(HOSTILE) + b"\n"
        case 6:
            lines.insert(at, chance.choice(chance.choice(strangers).splitlines(keepends=True)))
        case 7:
            lines[start] = chance.choice(chance.choice(strangers).splitlines(keepends=True))
        case _:
            lines[at:] = chance.choice(strangers).splitlines(keepends=True)[at:]
    return b"".join(lines)


def change_files(files: Files, strangers: list[bytes], chance: Random) -> None:
    """Lose, add, rename, exchange or replace files."""
    names = [name for name, data in sorted(files.items()) if data is not None] or [RUN_FILE]
    name, new = chance.choice(names), chance.choice(NEW_NAMES)
    data = files.get(name, b"")
    match chance.randrange(8):
        case 0 | 1:
            files.pop(name, None)
        case 2:
            files[new] = data
        case 3:
            files.pop(name, None)
            files[new] = data
        case 4:
            other = chance.choice(names)
            files[name], files[other] = files.get(other, b""), data
        case 5:
            files[name] = chance.choice(strangers)
        case 6:
            files[name] = chance.choice((None, b"", b"\n", b"\0" * 100))
        case _:
            lose_folder(files, as_file=chance.random() < 0.5)


def lose_folder(files: Files, *, as_file: bool) -> None:
    """Take the folder of the attempts away, or put a file in its place."""
    for name in [name for name in files if name.startswith("jobs")]:
        del files[name]
    if as_file:
        files["jobs"] = b"what is this?"
