"""A Python of its own for one call: started by lorchestra, told on its standard input what to do.

The function's output goes where a command would leave it, into the file `LORCHESTRA_OUTPUT`.
"""

from __future__ import annotations

import os
import sys

import orjson

from lorchestra.call import importing_from, resolve
from lorchestra.context import OUTPUT


def main() -> None:
    """Make the call that the input describes. What the function raises ends the process."""
    task = orjson.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with importing_from(task["root"]):
        output = resolve(task["call"])(**task["with"])
    if output is not None:
        with open(os.environ[OUTPUT], "wb") as file:
            file.write(orjson.dumps(output))


if __name__ == "__main__":
    main()
