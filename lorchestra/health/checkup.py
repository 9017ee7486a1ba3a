"""All checks in their order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lorchestra.config import Config
from lorchestra.health.finding import Finding
from lorchestra.health.locks import check_locks
from lorchestra.health.machine import check_clock, check_python
from lorchestra.health.place import check_kind, check_room, check_sync
from lorchestra.health.project import check_limits, check_pipelines, check_settings, check_store
from lorchestra.paths import shown_path


def check_up(config: Config, store: Path) -> Iterator[Finding]:
    """Check the machine, the project, and the place of its store; findings come as they are made.

    A temporary folder beside the store is made, and removed at the end. It takes about a second.

    Args:
        config: The settings of the project.
        store: The folder of the run records, which need not be there.
    """
    yield from check_python()
    yield from check_settings(config)
    yield from check_pipelines(config.root)
    finding, opened = check_store(store)
    yield finding
    beside = next(each for each in Path(os.path.realpath(store)).parents if each.is_dir())
    try:
        folder = tempfile.TemporaryDirectory(prefix=".lorchestra-doctor-", dir=beside)
    except OSError as error:
        text = f"{shown_path(beside)} cannot be written: {error.strerror or error}"
        advice = "run as its owner, or set store to a folder that can be written"
        yield Finding("room", "problem", text, advice)
        return
    with folder as name:
        place = Path(name)
        yield from check_room(place)
        yield from check_kind(place)
        yield from check_sync(place)
        yield from check_locks(place)
        yield from check_clock(place, opened)
    yield from check_limits()
