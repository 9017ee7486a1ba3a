"""The command `lorchestra`: its subcommands, and what an error becomes at the end."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence

import click

from lorchestra import __version__
from lorchestra.cli import streams
from lorchestra.cli.printing import ReaderGoneError, say, say_error
from lorchestra.errors import (
    EXIT_GUARD_HELD,
    EXIT_OK,
    EXIT_SIGINT,
    EXIT_STORE,
    EXIT_USAGE,
    Interrupted,
    LorchestraError,
)

_PREFIX = "lorchestra: "
_COMPLETE = "_LORCHESTRA_COMPLETE"  # click's name for it
_COMMANDS = {
    "init": "Write a small project that works.",
    "pipeline": "Run a pipeline.",
    "plan": "Say what a run would do, and how long it will take.",
    "validate": "Check pipeline files without running anything.",
    "graph": "Draw a pipeline: its stages and jobs.",
    "schema": "Print the JSON Schema of pipeline files, for editors.",
    "schedule": "Print what makes this machine run a pipeline regularly.",
    "jobs": "List the jobs of the project, or show one.",
    "runs": "List past and present runs, show one, or print a job's log.",
    "explain": "Tell what became of a job, and why.",
    "runstore": "Verify, repair, compact, prune or print the run records.",
    "doctor": "Check whether this machine and this project are fit for runs.",
    "completion": "Print what makes a shell complete names with Tab.",
}


class LazyGroup(click.Group):
    """Subcommands that are imported when they are called: starting costs no more than that one."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names, in the order in which a user needs them."""
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import a subcommand's module and give its command."""
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"lorchestra.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands for `--help` without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="lorchestra %(version)s")
def root() -> None:
    """Run the jobs of a pipeline's stages in parallel, and keep a record of every one.

    \b
    A pipeline is a YAML file with stages of independent jobs:
        lorchestra validate ingest.yaml          check it
        lorchestra pipeline ingest --dry-run     see what would run
        lorchestra pipeline ingest --max-workers 4
        lorchestra pipeline ingest --resume      go on with what did not succeed
    \b
    Every run is recorded under .lorchestra in the project folder:
        lorchestra runs list                     what ran, and how it ended
        lorchestra runs show last                one run, job by job
        lorchestra runs logs last JOB            what a job printed
        lorchestra runstore verify               prove that the records are whole

    \b
    Exit codes: 0 succeeded; 1 a job failed; 2 usage, configuration or a pipeline
    file is wrong, nothing was run; 3 the store cannot be used, or verify found an
    error; 75 another run holds the guard; 129, 130 and 143 interrupted by
    SIGHUP, Ctrl-C and SIGTERM.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What stands behind the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    streams.open_missing()
    if _COMPLETE in os.environ:
        # That of one shell is ours, and has to be there when click looks for it.
        importlib.import_module("lorchestra.cli.powershell")
    try:
        # What click's own exits carry comes back as a value.
        code = root.main(arguments, prog_name="lorchestra", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the one place where errors become exit codes
        return _exit_code(error)
    return code if isinstance(code, int) else EXIT_OK


def _exit_code(error: BaseException) -> int:
    """Say an error in one line, and give its exit code; a bug keeps its traceback."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_OK
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT_USAGE
    if isinstance(error, click.ClickException):
        say(f"{_PREFIX}{error.format_message()}{_where_to_read(error)}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        say(f"{_PREFIX}interrupted")
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        return cause.exit_code if isinstance(cause, Interrupted) else EXIT_SIGINT
    if isinstance(error, LorchestraError):
        if not isinstance(error, ReaderGoneError):
            say_error(error, _PREFIX)
        return error.exit_code
    known = _of_store(error)
    if known is None:
        raise error
    code, reason = known
    say(f"{_PREFIX}{reason}")
    return code


def _where_to_read(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see {context.command_path} --help)" if context else ""


def _of_store(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the reason of an error of the store; None: it is a bug."""
    from runstore import (
        GuardTimeoutError,
        RecordError,
        RunIsAliveError,
        RunNotBegunError,
        RunNotFoundError,
        RunResumedError,
        RunStoreError,
    )

    if isinstance(error, GuardTimeoutError | RunIsAliveError | RunResumedError):
        return EXIT_GUARD_HELD, str(error)
    if isinstance(error, RunNotFoundError | RunNotBegunError | RecordError):
        return EXIT_USAGE, str(error)
    if isinstance(error, RunStoreError):
        return EXIT_STORE, str(error)
    if isinstance(error, OSError):
        # Those of other files and of stdout have become errors of ours where they came up.
        where = "" if error.filename is None else f"{error.filename}: "
        return EXIT_STORE, f"the store cannot be used: {where}{error.strerror or error}"
    return None
