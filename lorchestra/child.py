"""A Python of its own for one call: started by lorchestra, told on its standard input what to do.

What the function returns goes where a command would leave its output, into the file
`LORCHESTRA_OUTPUT`; where it raises, `{"error": why}` does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import orjson

from lorchestra.call import importing_from, run_call
from lorchestra.capture import captured
from lorchestra.context import OUTPUT, current_job
from lorchestra.model import Call, Outcome

_STDOUT = 1


def main() -> None:
    """Make the call that the input describes, and exit as it ended."""
    task = orjson.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with importing_from(Path(task["root"])), captured():
        outcome = run_call(Call(task["call"], task["with"]), current_job(), _STDOUT, None)
    sys.exit(_leave(outcome))


def _leave(outcome: Outcome) -> int:
    """Leave what the call came to; gives the exit code."""
    try:
        left, code = _encoded(outcome.output), 0
    except (TypeError, ValueError, RecursionError) as error:
        outcome = Outcome("failed", error=f"its output cannot be recorded: {error}")
    if not outcome.succeeded:
        left, code = orjson.dumps({"error": outcome.error}), outcome.exit_code or 1
    if left is not None:
        Path(os.environ[OUTPUT]).write_bytes(left)
    return code


def _encoded(output: object) -> bytes | None:
    if output is None:
        return None
    # orjson alone would write NaN as null, and an enum as its value.
    json.dumps(output, allow_nan=False)
    return orjson.dumps(output)


if __name__ == "__main__":
    main()
