"""What the commands print: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from lorchestra.cli.streams import let_go
from lorchestra.errors import (
    EXIT_STORE,
    LorchestraError,
    ParameterError,
    PipelineSyntaxError,
    UnknownReferenceError,
)
from lorchestra.report.text import json_text, printable

_EXIT_SIGPIPE = 141


class ReaderGoneError(LorchestraError):
    """What reads our stdout has gone: there is nobody to print for."""

    exit_code = _EXIT_SIGPIPE


class StdoutError(LorchestraError):
    """What was asked for cannot be printed; `reason` says why."""

    exit_code = EXIT_STORE

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write to stdout: {self.reason}"


def show(text: str) -> None:
    """Print a text for people on stdout, with escapes for characters that it cannot take."""
    write([f"{text}\n".encode(sys.stdout.encoding, "backslashreplace")])


def show_json(value: Any, stream: BinaryIO | None = None) -> None:
    """Print one JSON value on a line of its own, in UTF-8.

    Args:
        value: What to print.
        stream: Where; None: on stdout.
    """
    write([json_text(value), b"\n"], stream)


def write(chunks: Iterable[bytes], stream: BinaryIO | None = None) -> None:
    """Write bytes as they are.

    Args:
        chunks: The bytes, piece by piece; an error in their making passes through.
        stream: Where to; None: to stdout.

    Raises:
        ReaderGoneError: Nobody reads.
        StdoutError: They cannot be written.
    """
    stream = stream or sys.stdout.buffer
    for chunk in chunks:
        with _failing_as_stdout(stream):
            stream.write(chunk)
    with _failing_as_stdout(stream):
        stream.flush()


def say(text: str) -> None:
    """Print one line on stderr; that it cannot be written is no reason to stop."""
    say_as_it_is(printable(text))


def say_as_it_is(line: str) -> None:
    """Print one line on stderr that has nothing of others in it but what is fit to print."""
    try:
        # One write: the lines of other programs on the same terminal stay whole.
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        let_go(2)


def say_error(error: LorchestraError, prefix: str = "") -> None:
    """Say what is wrong: a line for each mistake where there are several, else a single one."""
    told: Sequence[object] = [error]
    if isinstance(error, PipelineSyntaxError):
        told = error.problems
    elif isinstance(error, ParameterError | UnknownReferenceError):
        told = error.mistakes
    for each in told:
        say(f"{prefix}{each}")


@contextlib.contextmanager
def _failing_as_stdout(stream: BinaryIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        let_go(stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from None
        raise StdoutError(error.strerror or str(error)) from None
