"""The YAML files of a project: which there are, how they are called, and their bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lorchestra.errors import UnreadableFileError
from lorchestra.paths import shown_path

SUFFIXES = (".yaml", ".yml")
JOB_FOLDER = "jobs"

_MOST_BYTES = 16 * 1024 * 1024


def name_of(path: Path) -> str:
    """The name of a file without `.yaml` or `.yml`."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files that stand in a folder, by name; none if it cannot be listed."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    return [path for path in paths if _is_yaml(path.name) and os.path.isfile(path)]


def may_be_pipeline(path: Path) -> bool:
    """Tell whether a YAML file speaks of stages and jobs; others in a folder are somebody else's.

    One that is empty or cannot be read may be a pipeline: whoever reads it then is told why.
    """
    try:
        data = read_source(path)
    except UnreadableFileError:
        return True
    return not data.strip() or (b"stages" in data and b"jobs" in data)


def job_files(root: Path) -> dict[str, list[Path]]:
    """The files in and below the jobs folder of a project, by job id, in order of their paths.

    Raises:
        UnreadableFileError: A folder cannot be listed.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(_walk(root / JOB_FOLDER)):
        files.setdefault(name_of(path), []).append(path)
    return files


def read_source(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableFileError: It cannot be read, or is larger than 16 MiB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        # Windows answers "Permission denied" for a folder.
        reason = "it is a folder" if os.path.isdir(path) else error.strerror or str(error)
        raise UnreadableFileError(shown_path(path), reason) from None
    if len(data) > _MOST_BYTES:
        raise UnreadableFileError(shown_path(path), "it is larger than 16 MiB")
    return data


def _walk(folder: Path) -> Iterator[Path]:
    if not os.path.isdir(folder):
        return
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if _is_yaml(name))


def _is_yaml(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _refuse(error: OSError) -> None:
    raise UnreadableFileError(
        shown_path(Path(error.filename)), error.strerror or str(error)
    ) from None
