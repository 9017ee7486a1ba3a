"""Which file a pipeline's name means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lorchestra.config import find_root
from lorchestra.errors import PipelineNotFoundError
from lorchestra.loader.files import SUFFIXES, may_be_pipeline, name_of, yaml_files
from lorchestra.paths import absolute, shown_path
from lorchestra.wording import near

PIPELINE_FOLDER = "pipelines"

_PREFIX = "pipeline."


def find_pipeline(name: str, start: Path) -> tuple[Path, Path]:
    """Find the file that a name or a path means, and the project folder that goes with it.

    Args:
        name: A path if it has a separator or ends in `.yaml` or `.yml`. Else a name: `ingest` and
            `pipeline.ingest` mean each other too, the exact one first, in the folder `pipelines`
            of the project and then in the project folder.
        start: The working folder.

    Returns:
        The file and the project folder, both absolute. The project folder of a path is the file's
        own folder, or the one above when that is named `pipelines`.

    Raises:
        PipelineNotFoundError: There is no such file; it has the paths tried, and what is near.
        ConfigError: The project's configuration cannot be read.
    """
    if _is_path(name):
        return _at_path(name, start)
    root = find_root(start)
    candidates = list(_candidates(name, root))
    for path in candidates:
        if os.path.isfile(path):
            return path, root
    raise PipelineNotFoundError(name, [*map(shown_path, candidates)], _near_names(name, root))


def find_inner_pipeline(name: str, root: Path) -> Path | None:
    """Find the file of a pipeline that is a job of another; None: there is none.

    Args:
        name: A path, relative to the project folder, or a name; as for `find_pipeline`.
        root: The project folder.
    """
    if not name or "\0" in name:
        return None
    candidates = [absolute(root / name)] if _is_path(name) else _candidates(name, root)
    return next((path for path in candidates if os.path.isfile(path)), None)


def near_pipelines(name: str, root: Path) -> tuple[str, ...]:
    """The names of pipelines of a project that look like the one given."""
    return _near_names(name, root)


def find_pipelines(root: Path) -> list[Path]:
    """The pipelines of a project: the files of its folder `pipelines`, then its own.

    In the project folder itself, files that do not speak of stages and jobs are passed over: the
    settings of other tools stand there too.
    """
    own = filter(may_be_pipeline, yaml_files(root))
    return [*yaml_files(root / PIPELINE_FOLDER), *own]


def _is_path(name: str) -> bool:
    return name.endswith(SUFFIXES) or os.sep in name or bool(os.altsep and os.altsep in name)


def _at_path(name: str, start: Path) -> tuple[Path, Path]:
    path = absolute(start / name)
    if not os.path.exists(path):
        guesses = _near_paths(name, path) or _near_names(name_of(path), find_root(start))
        raise PipelineNotFoundError(name, [shown_path(path)], guesses)
    folder = path.parent
    return path, folder.parent if folder.name == PIPELINE_FOLDER else folder


def _candidates(name: str, root: Path) -> Iterator[Path]:
    other = name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else _PREFIX + name
    for stem in (name, other):
        for folder in (root / PIPELINE_FOLDER, root):
            for suffix in SUFFIXES:
                yield folder / f"{stem}{suffix}"


def _near_names(name: str, root: Path) -> tuple[str, ...]:
    full = {}
    for pipeline in map(name_of, find_pipelines(root)):
        full[pipeline.removeprefix(_PREFIX)] = full[pipeline] = pipeline
    # `pipelines.x` is more often meant for `pipeline.x` than for a name of its own.
    matches = near(name.removeprefix(_PREFIX), full) or near(name.rpartition(".")[2], full)
    return tuple(dict.fromkeys(full[match] for match in matches))


def _near_paths(name: str, path: Path) -> tuple[str, ...]:
    names = near(path.name, (file.name for file in yaml_files(path.parent)))
    return tuple(name.removesuffix(path.name) + match for match in names)
