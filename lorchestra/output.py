"""What a job leaves as its output: a JSON object in the file that it was told of."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import orjson

from lorchestra.jsonvalues import parsed_json

MAX_OUTPUT_BYTES = 1_000_000


class OutputError(ValueError):
    """The job left something that is no output; the text says what."""


def read_output(path: str, *, only_object: bool = True) -> Any:
    """Read what a job left; None: nothing, or an empty file.

    Args:
        path: The file.
        only_object: Whether any JSON value will not do.

    Raises:
        OutputError: It is longer than 1,000,000 bytes, no JSON object, or has an integer that no
            record can hold.
    """
    try:
        # Most jobs leave nothing: the plainest call is the soonest to say so.
        with open(path, "rb") as file:
            content = file.read(MAX_OUTPUT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"its output cannot be read: {error.strerror}") from None
    if not content.strip():
        return None
    if len(content) > MAX_OUTPUT_BYTES:
        raise OutputError(f"its output is longer than {MAX_OUTPUT_BYTES} bytes")
    try:
        output = parsed_json(content)
    except orjson.JSONDecodeError as error:
        raise OutputError(f"its output is not JSON: {error}") from None
    except ValueError as error:
        raise OutputError(f"its output cannot be recorded: {error}") from None
    if only_object and not isinstance(output, dict):
        raise OutputError(f"its output is a JSON {_kind(output)}, not an object")
    return output


def keep_output(path: str, output: Any) -> None:
    """Leave an output where a process would have left it, for its owner alone, if it has not.

    Raises:
        OSError: It cannot be written.
    """
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(output))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", list: "array", int: "number", float: "number"}
    return kinds.get(type(value), "null")
