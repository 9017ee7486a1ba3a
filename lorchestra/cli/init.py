"""`lorchestra init`: a small project that works."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from lorchestra.cli.options import working_folder
from lorchestra.cli.printing import show
from lorchestra.errors import EXIT_STORE, EXIT_USAGE, LorchestraError
from lorchestra.paths import absolute, shown_path

PIPELINE = """\
# lorchestra validate nightly      checks this file
# lorchestra pipeline nightly --max-workers 3

description: Fetch three sources at once, then count what came.
timeout: 1h                        # of a whole run

stages:                            # one after another
  - name: fetch
    jobs: [alpha, beta, gamma]     # at once, as far as there are workers
    stop_on_failure: true          # nothing is loaded if one of them fails
  - name: load
    jobs: [count]

jobs:
  alpha:
    run: sleep 1; echo alpha > alpha.txt
    timeout: 1m                    # of an attempt
    retries: {max: 2, backoff: 5s}
  beta:
    run: sleep 1; echo beta > beta.txt
  gamma:
    command: [sh, -c, "sleep 1; echo gamma > gamma.txt"]   # without a shell of its own
  count:
    run: cat alpha.txt beta.txt gamma.txt | wc -l
"""
PIPELINE_ON_WINDOWS = (
    PIPELINE.replace("sleep 1; echo", "echo")
    .replace(
        """command: [sh, -c, "echo gamma > gamma.txt"]   # without a shell of its own""",
        """command: [cmd, /c, "echo gamma > gamma.txt"]""",
    )
    .replace("cat alpha.txt beta.txt gamma.txt | wc -l", "type alpha.txt beta.txt gamma.txt")
)
CONFIG = """\
# What holds for all pipelines of this project; options of the command line win over it.
# Each line shows the default.

# max_workers = 1            # how many jobs of a stage run at once
# guard = "none"             # "skip": a run that another one is in the way of does nothing
# durability = "disk"        # "os": a record may be lost with the power, not with a crash
# store = ".lorchestra"      # where run records are kept
# secrets = []               # variables whose values are not to be shown: ["TOKEN"]
"""
IGNORED = """\
/.lorchestra/
"""


class FolderError(LorchestraError):
    """The project cannot be written there; `path` names what is in the way, `reason` says why."""

    def __init__(self, path: str, reason: str, exit_code: int = EXIT_STORE) -> None:
        super().__init__(path, reason, exit_code)
        self.path = path
        self.reason = reason
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@click.command("init", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def command(folder: Path) -> None:
    """Write a small project that works into FOLDER, by default into this one.

    It is a pipeline to change into one's own, settings with their defaults, and a .gitignore that
    leaves out the run records. No file that is there is changed: where there is a pipeline or there
    are settings of these names already, nothing at all is written.

    \b
    Example:
        lorchestra init nightly
    """
    root = absolute(working_folder() / folder)
    pipeline = PIPELINE_ON_WINDOWS if os.name == "nt" else PIPELINE
    texts = {"pipelines/nightly.yaml": pipeline, "lorchestra.toml": CONFIG}
    for name in texts:
        if os.path.lexists(root / name):
            path = shown_path(root / name)
            raise FolderError(path, "is there already, so nothing was written", EXIT_USAGE)
    if not os.path.lexists(root / ".gitignore"):
        texts[".gitignore"] = IGNORED
    for name, text in texts.items():
        _write(root / name, text)
        show(f"wrote {shown_path(root / name)}")
    into = [] if root == working_folder() else [f"cd {shlex.quote(str(folder))}"]
    show("\n".join(["", "now try:", *(f"  {line}" for line in [*into, *_NEXT])]))


_NEXT = (
    "lorchestra plan nightly                      what would run",
    "lorchestra pipeline nightly --max-workers 3  run it",
    "lorchestra runs show                         what happened",
)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not over a file that somebody else has just made.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise FolderError(shown_path(path), reason) from None
