"""The project: its settings, its pipelines, its store, and the limits of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lorchestra.config import Config
from lorchestra.errors import LorchestraError
from lorchestra.health.finding import Finding
from lorchestra.limits.host import state_folder
from lorchestra.loader import find_pipelines, hooks_of, load_pipeline, secrets_of
from lorchestra.paths import shown_path
from lorchestra.secretvalues import read_secrets
from runstore import RunStore, RunStoreError

_SHOWN = 5


def check_settings(config: Config) -> Iterator[Finding]:
    """What the settings say, and whether the values of the secrets are to be had."""
    where = "none: the defaults hold" if config.source is None else shown_path(config.source)
    try:
        secrets = secrets_of(config)
        hooks_of(config)
        values = read_secrets(secrets, config.root, os.environ)
    except LorchestraError as error:
        yield Finding("settings", "problem", str(error), "mend the file that is named")
        return
    missing = [secret.name for secret in secrets if secret.name not in values]
    if missing:
        text = f"{where}; not set in this environment: {', '.join(missing)}"
        yield Finding("settings", "note", text, "set them where the pipelines are run")
    else:
        yield Finding("settings", "ok", where)


def check_pipelines(root: Path) -> Iterator[Finding]:
    """Which pipelines there are, and how many of their files are wrong."""
    names, wrong = [], []
    for path in find_pipelines(root):
        try:
            names.append(load_pipeline(path, root).id)
        except LorchestraError:
            wrong.append(shown_path(path))
    if wrong:
        advice = f"lorchestra validate {wrong[0]}"
        yield Finding("pipelines", "problem", f"mistakes in {_some(wrong)}", advice)
    elif names:
        yield Finding("pipelines", "ok", _some(names))
    else:
        advice = "lorchestra init writes one to begin with"
        yield Finding("pipelines", "note", f"none in {shown_path(root)}", advice)


def check_store(path: Path) -> tuple[Finding, RunStore | None]:
    """What is where the store is to be; the store, if one is there."""
    try:
        store = RunStore(path)
        if not store.exists():
            return Finding("store", "ok", f"none yet: the first run makes {shown_path(path)}"), None
        count = len(store.run_ids())
    except (RunStoreError, OSError) as error:
        advice = "say where else with --store, LORCHESTRA_STORE or store in lorchestra.toml"
        return Finding("store", "problem", str(error), advice), None
    text = f"{shown_path(path)}, {count:,} run{'' if count == 1 else 's'}"
    return Finding("store", "ok", f"{text}; lorchestra runstore verify looks into it"), store


def check_limits() -> Iterator[Finding]:
    """Whether the folder of what is shared by all runs on this machine can be used."""
    folder = state_folder()
    nearest = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    if os.access(nearest, os.W_OK | os.X_OK) and nearest.is_dir():
        yield Finding("limits", "ok", f"those of this machine are kept in {folder}")
    else:
        text = f"{nearest} cannot be written, so limits of this machine cannot be kept"
        yield Finding("limits", "note", text, "set HOME, or XDG_STATE_HOME, to a folder of yours")


def _some(names: list[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
