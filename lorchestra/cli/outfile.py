"""Where a command's document goes: to stdout, or whole into a file."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

import click

from lorchestra.cli.printing import write
from lorchestra.errors import EXIT_STORE, LorchestraError
from lorchestra.paths import shown_path

out_option = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it into this file, whole or not at all; - is stdout.  [default: -]",
)


class OutputFileError(LorchestraError):
    """The file that was asked for cannot be written."""

    exit_code = EXIT_STORE

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: cannot be written: {self.reason}"


def put(content: bytes, out: Path | None) -> None:
    """Print a document, or write it into a file, in whose place it comes in one step.

    Raises:
        OutputFileError: The file cannot be written; what was there is there still.
    """
    if out is None or str(out) == "-":
        write([content])
        return
    if out.is_dir():
        raise OutputFileError(shown_path(out), "is a folder")
    temporary = out.with_name(f".{out.name[:40]}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            temporary.write_bytes(content)
            os.replace(temporary, out)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise OutputFileError(shown_path(out), error.strerror or str(error)) from None
