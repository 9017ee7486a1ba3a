"""Say what a repair would do: it is done to a copy, so that what is said is what would be done.

Copied is what a repair looks at: the files of records, those kept as evidence, and of everything
else only that it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from runstore import files, layout

_COPY_BYTES = 1 << 20


@contextlib.contextmanager
def copy_of_run(folder: str, run_id: str) -> Iterator[str]:
    """Copy a run for the time of the context; gives the store that the copy is in.

    Args:
        folder: The run's folder.
        run_id: The run.

    Raises:
        OSError: A file cannot be read, or the system's temporary folder (`TMPDIR`) has no room for
            it.
    """
    with files.scratch_folder() as store:
        copy = layout.run_folder(store, run_id)
        files.make_folders(copy, sync=False)
        _copy_names(folder, copy)
        yield store


@contextlib.contextmanager
def copy_of_file(path: str) -> Iterator[str]:
    """Copy one file, if it is there, for the time of the context; gives the folder it is in."""
    with files.scratch_folder() as folder:
        if files.exists(path):
            _copy(path, f"{folder}/{path.rpartition('/')[2]}")
        yield folder


def _copy_names(folder: str, copy: str) -> None:
    for name in files.names(folder):
        _copy(f"{folder}/{name}", f"{copy}/{name}")
    if files.is_folder(f"{folder}/{layout.JOBS}"):
        for name in files.names(f"{folder}/{layout.JOBS}"):
            _copy(f"{folder}/{layout.JOBS}/{name}", f"{copy}/{layout.JOBS}/{name}")


def _copy(path: str, copy: str) -> None:
    if files.is_file(path):
        with files.writing(copy) as write:
            files.copy_into(path, write, _COPY_BYTES)
    elif files.is_folder(path):
        files.make_folder(copy)
    else:  # a link, a device or the like: as little a file as a link to it
        files.link(path, copy)
