"""`lorchestra schedule`: what makes this machine run a pipeline again and again."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorchestra.cli import completing
from lorchestra.cli.planning import Asked
from lorchestra.cli.printing import show
from lorchestra.errors import LorchestraError
from lorchestra.timetable import DAYS, EVERY_EXAMPLES, Timetable, days_in, every_in, time_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lorchestra.model import Pipeline

_WITH = ("systemd", "cron", "windows")
_LONGEST_CRON_LINE = 998
_LONGEST_TASK = 261
_MORE_S = 20  # after the grace, to write the end of the record


class ScheduleError(LorchestraError, ValueError):
    """The scheduler cannot be given this; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def _read_by(read: Callable[[str], Any], must: str) -> Callable[..., Any]:
    def callback(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
        found = None if value is None else read(value)
        if value is not None and found is None:
            raise click.BadParameter(f"must be {must}, not {value!r}")
        return found

    return callback


@click.command("schedule", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", shell_complete=completing.pipelines)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTION...]")
@click.option(
    "--at",
    metavar="HH:MM",
    callback=_read_by(time_in, "a time of day such as 02:00"),
    help="At what time, by this machine's clock.  [default: 02:00]",
)
@click.option(
    "--days",
    metavar="DAY,...",
    callback=_read_by(days_in, f"days such as {DAYS[0]},{DAYS[3]}"),
    help="On which days of the week, mon,thu for example.  [default: all]",
)
@click.option(
    "--every",
    metavar="TIME",
    callback=_read_by(every_in, EVERY_EXAMPLES),
    help="All day long instead, 15m or 6h apart for example.",
)
@click.option(
    "--with",
    "scheduler",
    type=click.Choice(_WITH),
    help="What starts it.  [default: windows on Windows, systemd where it is at work, else cron]",
)
def command(
    name: str,
    options: tuple[str, ...],
    at: tuple[int, int] | None,
    days: tuple[str, ...] | None,
    every: int | None,
    scheduler: str | None,
) -> None:
    """Print what makes this machine run the pipeline NAME regularly.

    That is a systemd timer, a line for cron, or a command for the Task Scheduler. Nothing is
    changed: whoever wants it puts it in place.

    Options behind -- are those of `lorchestra pipeline`. Without another --guard there, a run that
    is due while the last one is still at work is skipped.

    \b
    Examples:
        lorchestra schedule ingest --at 02:00 -- --max-workers 4
        lorchestra schedule ingest --every 15m --with cron
    """
    if every is not None and (at is not None or days is not None):
        raise click.UsageError("--every is for all day long: it goes with neither --at nor --days")
    asked = Asked.find(name)
    hour, minute = at or (2, 0)
    when = Timetable(hour, minute, days or (), every)
    job = _Scheduled(asked.pipeline, asked.root, _arguments(name, asked, options), when)
    texts = {"systemd": job.systemd, "cron": job.cron, "windows": job.windows}
    show(texts[scheduler or _scheduler()]())


def _scheduler() -> str:
    if sys.platform == "win32":
        return "windows"
    # As sd_booted(3) has it.
    return "systemd" if os.path.isdir("/run/systemd/system") else "cron"


def _arguments(name: str, asked: Asked, options: Sequence[str]) -> list[str]:
    """What stands behind the program's name, for the project folder as the working one."""
    source = asked.pipeline.source
    is_path = source is not None and name.endswith((".yaml", ".yml"))
    shown = os.path.relpath(source, asked.root) if is_path and source is not None else name
    given = {option.partition("=")[0] for option in options}
    guard = [] if "--guard" in given else ["--guard", "skip"]
    progress = [] if "--progress" in given else ["--progress", "none"]
    return ["pipeline", shown, *options, *guard, *progress]


def _program() -> list[str]:
    """How this program is started, from whatever folder."""
    started = Path(sys.argv[0])
    if started.stem == "lorchestra" and started.is_file():
        return [os.path.abspath(started)]
    return [sys.executable, "-m", "lorchestra"]


@dataclass(frozen=True, slots=True)
class _Scheduled:
    """A pipeline, the command that runs it in its project folder, and when."""

    pipeline: Pipeline
    root: Path
    arguments: list[str]
    when: Timetable

    def cron(self) -> str:
        """Lines for `crontab -e`."""
        line = f"cd {shlex.quote(str(self.root))} && {shlex.join([*_program(), *self.arguments])}"
        if "\n" in line:
            raise ScheduleError("cron takes no line breaks: leave them out of names and options")
        # cron makes line breaks of what is not escaped.
        line = f"{self.when.cron()} {line.replace('%', chr(92) + '%')}"
        if len(line.encode()) > _LONGEST_CRON_LINE:
            raise ScheduleError(f"cron takes lines of at most {_LONGEST_CRON_LINE} bytes")
        return "\n".join(
            [
                f"# {self._title()}. Put these lines in with: crontab -e",
                *self._of_secrets("set them above the line, or read them from files"),
                f"PATH={_search_path()}",
                line,
            ]
        )

    def systemd(self) -> str:
        """Two units, for the user who asks, or for the machine where that is root."""
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        folder = "/etc/systemd/system" if is_root else "~/.config/systemd/user"
        unit = "lorchestra-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", self.pipeline.id)
        words = [*_program(), *self.arguments]
        if any("\n" in word for word in (*words, str(self.root))):
            raise ScheduleError("systemd takes no line breaks: leave them out of names and options")
        control = "systemctl" if is_root else "systemctl --user"
        stop_s = self.pipeline.grace_s + _MORE_S
        return "\n".join(
            [
                f"# {self._title()}",
                *self._of_secrets("name a file that sets them with EnvironmentFile="),
                f"# {folder}/{unit}.service",
                "[Unit]",
                f"Description=lorchestra pipeline {_specifiers(self.pipeline.id)}",
                "",
                "[Service]",
                "Type=oneshot",
                f"WorkingDirectory={_specifiers(str(self.root))}",
                f"Environment={_systemd_word(f'PATH={_search_path()}')}",
                f"ExecStart={' '.join(_systemd_word(word, in_command=True) for word in words)}",
                "# The first SIGTERM goes to lorchestra alone, which passes it on.",
                "KillMode=mixed",
                f"TimeoutStopSec={stop_s:g}",
                "SuccessExitStatus=143",
                "",
                f"# {folder}/{unit}.timer",
                "[Unit]",
                f"Description={self.when}: lorchestra pipeline {_specifiers(self.pipeline.id)}",
                "",
                "[Timer]",
                f"OnCalendar={self.when.calendar()}",
                "# A start that was missed while the machine was off is made up for.",
                "Persistent=true",
                "",
                "[Install]",
                "WantedBy=timers.target",
                "",
                "# Then:",
                f"#   {control} daemon-reload",
                f"#   {control} enable --now {unit}.timer",
                *([] if is_root else ["#   loginctl enable-linger    # also while you are away"]),
            ]
        )

    def windows(self) -> str:
        """A command for `cmd`."""
        words = [*_program(), *self.arguments]
        line = f'cmd /c cd /d "{self.root}" && {subprocess.list2cmdline(words)}'
        if len(line) > _LONGEST_TASK:
            reason = f"the Task Scheduler takes at most {_LONGEST_TASK} characters, not {len(line)}"
            raise ScheduleError(f"{reason}: put the command into a .cmd file, and schedule that")
        escaped = line.replace('"', '\\"')
        task = ["schtasks", "/Create", "/TN", f'"lorchestra {self.pipeline.id}"', *self.when.task()]
        return "\n".join(
            [
                f"rem {self._title()}",
                *(
                    f"rem {said[2:]}"
                    for said in self._of_secrets("set them for the user with setx")
                ),
                f'{" ".join(task)} /TR "{escaped}"',
            ]
        )

    def _title(self) -> str:
        return f"{self.pipeline.id}, {self.when}"

    def _of_secrets(self, advice: str) -> list[str]:
        names = [secret.name for secret in self.pipeline.secrets if secret.file is None]
        return [f"# It needs {', '.join(names)} from the environment: {advice}."] if names else []


def _search_path() -> str:
    """Where programs are found now: jobs may need them all, and schedulers know the fewest."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(filter(os.path.isabs, folders)))


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _systemd_word(word: str, *, in_command: bool = False) -> str:
    """A word in systemd's quotes; in commands it puts variables in place of their names, too."""
    text = _specifiers(word.replace("\\", "\\\\").replace('"', '\\"'))
    text = text.replace("$", "$$") if in_command else text
    return text if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", text) and text == word else f'"{text}"'
