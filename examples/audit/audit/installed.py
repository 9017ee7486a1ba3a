"""What is installed: every distribution once, with its metadata and its RECORD."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of a RECORD: a file, and what it should hash to.

    Attributes:
        path: Relative to the folder that the distribution is installed in, with `/`.
        algorithm: As `hashlib` names it; empty when the RECORD gives no hash.
        digest: URL-safe base64 without padding; empty when the RECORD gives no hash.
    """

    path: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution.

    Attributes:
        name: Normalised, so that `Foo.Bar` and `foo-bar` are the same.
        version: As its metadata has it.
        headers: The whole of its metadata.
        folder: Where it is installed; paths of the RECORD start here.
        installer: The program that installed it; empty when that left no word.
        record: One entry for each path; None when there is none to compare with: the distribution
            came without a RECORD, or is imported from an archive.
    """

    name: str
    version: str
    headers: Message
    folder: Path
    installer: str
    record: tuple[Recorded, ...] | None


def distributions(search: Sequence[str] | None = None) -> list[Distribution]:
    """List the installed distributions by name.

    Args:
        search: Folders to look in; default: `sys.path`. When two hold the same distribution, the
            one in the first counts, as it does for an import.
    """
    found: dict[str, Distribution] = {}
    for each in metadata.distributions(path=list(sys.path if search is None else search)):
        distribution = _read(each)
        if distribution.name:
            found.setdefault(distribution.name, distribution)
    return [found[name] for name in sorted(found)]


def _read(found: metadata.Distribution) -> Distribution:
    headers = _headers(found)
    folder = Path(str(found.locate_file(""))).resolve()
    return Distribution(
        name=re.sub(r"[-_.]+", "-", headers.get("Name", "")).lower(),
        version=headers.get("Version", ""),
        headers=headers,
        folder=folder,
        installer=(found.read_text("INSTALLER") or "").strip(),
        record=_record(found) if folder.is_dir() else None,
    )


def _headers(found: metadata.Distribution) -> Message:
    # Not `found.metadata`: what that does for a folder without METADATA, which an uninstall that
    # was cut short leaves behind, differs from one Python to the next.
    return message_from_string(found.read_text("METADATA") or found.read_text("PKG-INFO") or "")


def _record(found: metadata.Distribution) -> tuple[Recorded, ...] | None:
    # Not `found.files`: since Python 3.12 it leaves out just the files that are missing.
    text = found.read_text("RECORD")
    if text is None:
        return None
    return tuple({entry.path: entry for entry in _entries(text)}.values())


def _entries(record: str) -> Iterator[Recorded]:
    for path, *fields in csv.reader(record.splitlines()):
        algorithm, _, digest = (fields[0] if fields else "").partition("=")
        yield Recorded(path, algorithm, digest)
