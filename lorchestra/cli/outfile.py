"""Where a command's document goes: to stdout, or whole into a file."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

import click

from lorchestra.cli.printing import write
from lorchestra.errors import EXIT_STORE, EXIT_USAGE, LorchestraError
from lorchestra.paths import shown_path

out_option = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it into this file, whole or not at all; - is stdout.  [default: -]",
)


class OutputFileError(LorchestraError):
    """The file that was asked for cannot be written; `path` names it, `reason` says why."""

    def __init__(self, path: str, reason: str, exit_code: int = EXIT_STORE) -> None:
        super().__init__(path, reason, exit_code)
        self.path = path
        self.reason = reason
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.path}: cannot be written: {self.reason}"


def put(content: bytes, out: Path | None) -> None:
    """Print a document, or write it into a file, in whose place it comes in one step.

    A file that is replaced keeps its permissions, and a link its target. A pipe or a device is
    written to.

    Raises:
        OutputFileError: The file cannot be written; what was there is there still.
    """
    if out is None or str(out) == "-":
        write([content])
        return
    try:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        if out.exists() and not out.is_file():
            out.write_bytes(content)
        else:
            _replace(Path(os.path.realpath(out)), content)
    except OSError as error:
        # A place that is not there is a mistake of use; a disk that is full is none.
        is_mistake = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        code = EXIT_USAGE if is_mistake else EXIT_STORE
        reason = error.strerror or str(error)
        raise OutputFileError(shown_path(out), reason, code) from None


def _replace(path: Path, content: bytes) -> None:
    # Who looks for names like that of the file is not to find it.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
