"""Where the command line starts; `python -m lorchestra` is the same program."""

from __future__ import annotations

import sys

# As in `errors`, which may not have been loaded when it is needed.
_EXIT_SIGINT = 130


def main() -> None:
    """Run the command line and exit with its code.

    The version is told before anything else is imported.
    """
    if sys.argv[1:] == ["--version"]:
        from lorchestra import __version__

        print(f"lorchestra {__version__}")  # noqa: T201 - before click is imported
        return
    try:
        from lorchestra.cli import run

        code = run()
    except KeyboardInterrupt:  # while the program was still being loaded
        code = _EXIT_SIGINT
    sys.exit(code)


if __name__ == "__main__":
    main()
