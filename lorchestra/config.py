"""Settings of a project: `lorchestra.toml`, or `[tool.lorchestra]` in `pyproject.toml`.

    store = "~/runs"      # where run records are kept; by default `.lorchestra` in the project
    max_workers = 4       # and other options of `lorchestra pipeline`, where that does not say
    secrets = ["TOKEN", {KEY = {file = "~/.key"}}]
    hooks = {on_failure = ["./alert.sh"]}

    [limits.bigquery]     # what jobs share, of this machine or of each run
    capacity = 2
    rate = "60/min"
    scope = "host"

The folder that holds the file is the project folder. With both files in one folder,
`lorchestra.toml` counts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from lorchestra.errors import ConfigError
from lorchestra.paths import absolute, shown_path
from lorchestra.quota import RATE_EXAMPLES, Quota, Rate, Scope, most_capacity, name_mistake, rate_in
from lorchestra.seats import MOST_WORKERS
from lorchestra.wording import did_you_mean, near, quoted

OWN_FILE = "lorchestra.toml"
SHARED_FILE = "pyproject.toml"

_KEYS = (
    *("store", "max_workers", "durability", "guard", "progress", "output", "secrets", "limits"),
    "hooks",
)
_SCOPES: tuple[Scope, ...] = ("host", "run")
_LIMIT_KEYS = ("capacity", "scope", "rate")
_CHOICES = {
    "durability": ("disk", "os"),
    "guard": ("fail", "wait", "skip", "none"),
    "progress": ("auto", "plain", "json", "none"),
    "output": ("prefixed", "grouped", "failed", "none"),
}

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True, slots=True)
class Config:
    """What a project sets for all its pipelines.

    Attributes:
        root: The project folder, absolute.
        store: The folder of the run records, absolute; None: nothing is said.
        source: The file that says so; None: there is none.
        max_workers: How many jobs at once; None: nothing is said, as for those below.
        durability: `disk` or `os`.
        guard: `fail`, `wait`, `skip` or `none`.
        progress: `auto`, `plain`, `json` or `none`.
        output: `prefixed`, `grouped`, `failed` or `none`.
        limits: What jobs share.
        secrets: What is not to be shown, as the file has it; `loader` reads it.
        hooks: What is done when a run begins and ends, likewise.
    """

    root: Path
    store: Path | None = None
    source: Path | None = None
    max_workers: int | None = None
    durability: str | None = None
    guard: str | None = None
    progress: str | None = None
    output: str | None = None
    limits: tuple[Quota, ...] = ()
    secrets: Any = None
    hooks: Any = None


def find_root(start: Path) -> Path:
    """The project folder: the nearest one with settings at or above `start`, else `start`.

    Raises:
        ConfigError: A `pyproject.toml` on the way speaks of lorchestra and cannot be read.
    """
    start = absolute(start)
    for folder in (start, *start.parents):
        if os.path.lexists(folder / OWN_FILE) or _shared_settings(folder) is not None:
            return folder
    return start


def load_config(root: Path) -> Config:
    """Read the settings of a project folder.

    Args:
        root: The folder; only the files that stand in it count.

    Raises:
        ConfigError: The file is not TOML, or a setting is unknown or of the wrong type.
    """
    root = absolute(root)
    if os.path.lexists(own := root / OWN_FILE):
        return _config(root, own, _parsed(own, _read(own)))
    if (settings := _shared_settings(root)) is not None:
        return _config(root, root / SHARED_FILE, settings)
    return Config(root)


def _shared_settings(folder: Path) -> Any:
    """The table `[tool.lorchestra]` of a folder's pyproject.toml, or what stands in its place."""
    path = folder / SHARED_FILE
    # Most files that are looked at on the way up are not ours: they are not parsed.
    if not os.path.isfile(path) or b"lorchestra" not in (data := _read(path)):
        return None
    tool = _parsed(path, data).get("tool")
    return tool.get("lorchestra") if isinstance(tool, dict) else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from None


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _error(path, "not valid UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise _error(path, f"not valid TOML: {error}") from None


def _config(root: Path, source: Path, settings: Any) -> Config:
    if not isinstance(settings, dict):
        raise _error(source, "tool.lorchestra must be a table")
    for name in settings:
        if name not in _KEYS:
            raise _error(source, f"unknown key {quoted(name)}{did_you_mean(near(name, _KEYS))}")
    store = settings.get("store")
    return Config(
        root,
        None if store is None else _folder(root, source, store),
        source,
        _workers(source, settings.get("max_workers")),
        **{
            name: _choice(source, name, settings[name], known)
            for name, known in _CHOICES.items()
            if name in settings
        },
        limits=_limits(source, settings.get("limits", {})),
        secrets=settings.get("secrets"),
        hooks=settings.get("hooks"),
    )


def _workers(source: Path, value: Any) -> int | None:
    if value is None or (type(value) is int and 1 <= value <= MOST_WORKERS):
        return value
    must = f"a whole number from 1 to {MOST_WORKERS:,}"
    raise _error(source, f"max_workers must be {must}, not {value!r}")


def _choice(source: Path, name: str, value: Any, known: Sequence[Word]) -> Word:
    if not isinstance(value, str) or value not in known:
        guesses = did_you_mean(near(str(value), known))
        raise _error(source, f"{name} must be one of {', '.join(known)}, not {value!r}{guesses}")
    return cast(Word, value)


def _limits(source: Path, value: Any) -> tuple[Quota, ...]:
    if not isinstance(value, dict):
        raise _error(source, f"limits must be a table, not {value!r}")
    return tuple(_limit(source, name, settings) for name, settings in value.items())


def _limit(source: Path, name: str, settings: Any) -> Quota:
    if mistake := name_mistake(name):
        raise _error(source, f"the name of limit {quoted(name)} {mistake}")
    where = f"limits.{name}"
    if not isinstance(settings, dict):
        raise _error(source, f"{where} must be a table with capacity or rate, not {settings!r}")
    for key in settings:
        if key not in _LIMIT_KEYS:
            guesses = did_you_mean(near(key, _LIMIT_KEYS))
            raise _error(source, f"{where}: unknown key {quoted(key)}{guesses}")
    scope = _choice(source, f"{where}.scope", settings.get("scope", "host"), _SCOPES)
    capacity = _capacity(source, where, settings.get("capacity"), most_capacity(scope))
    rate = _rate(source, where, settings.get("rate"))
    if capacity is None and rate is None:
        raise _error(source, f"{where} needs a capacity, a rate, or both")
    return Quota(name, capacity, rate, scope)


def _capacity(source: Path, where: str, value: Any, most: int) -> int | None:
    if value is None or (type(value) is int and 1 <= value <= most):
        return value
    must = f"a whole number from 1 to {most:,}"
    raise _error(source, f"{where}.capacity must be {must}, not {value!r}")


def _rate(source: Path, where: str, value: Any) -> Rate | None:
    rate = rate_in(value) if isinstance(value, str) else None
    if value is not None and rate is None:
        raise _error(source, f"{where}.rate must be such as {RATE_EXAMPLES}, not {value!r}")
    return rate


def _folder(root: Path, source: Path, store: Any) -> Path:
    if not isinstance(store, str) or not store.strip() or "\0" in store:
        raise _error(source, f"store must be the path of a folder, not {store!r}")
    return absolute(root / os.path.expanduser(store))


def _error(path: Path, reason: str) -> ConfigError:
    return ConfigError(shown_path(path), reason)
