"""What is shown of a run on stderr while it goes on, and at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from lorchestra.cli.printing import say, say_as_it_is
from lorchestra.masking import Mask

if TYPE_CHECKING:
    from lorchestra.progress import Event, Handler
    from lorchestra.progress.failures import Failures
    from lorchestra.runner import RunResult


class Display:
    """Shows one run; it is closed when that is over.

    Attributes:
        handlers: What the run is to tell its events.
    """

    def __init__(
        self,
        progress: str,
        output: str | None,
        mask: Callable[[], Mask],
        environment: Mapping[str, str],
        clock: Callable[[], str] | None = None,
    ) -> None:
        """Decide what is shown.

        Args:
            progress: `auto`, `plain`, `json` or `none`.
            output: `prefixed`, `grouped`, `failed` or `none`; None: `grouped` where a CI service
                folds lines and progress is shown, else `failed`.
            mask: Gives what takes secrets out of logs.
            environment: Tells whether this is the job of a CI service.
            clock: Gives the time that stands before a line; None: that of now.
        """
        from lorchestra.progress.failures import Failures
        from lorchestra.progress.folding import folding_of

        self._is_json = progress == "json"
        self._is_quiet = progress == "none"
        folding = None if self._is_json else folding_of(environment)
        output = output or ("failed" if folding is None or self._is_quiet else "grouped")
        self._stack = contextlib.ExitStack()
        self._failures: Failures | None = None
        self.handlers: list[Handler] = []
        if self._is_json:
            from lorchestra.progress.jsonlines import JsonProgress

            self.handlers = [JsonProgress(say_as_it_is)]
            return
        secrets = mask()
        self._failures = Failures(secrets, folding, with_logs=output == "failed")
        self.handlers = [self._failures, _say_hook_failed]
        if not self._is_quiet:
            from lorchestra.progress.plain import PlainProgress, now

            self.handlers.append(PlainProgress(say, clock or now))
        if output == "grouped":
            from lorchestra.progress.joblogs import GroupedLogs

            self.handlers.append(GroupedLogs(say_as_it_is, secrets, folding))
        elif output == "prefixed":
            from lorchestra.progress.joblogs import PrefixedLogs

            prefixed = PrefixedLogs(say_as_it_is, secrets)
            self._stack.enter_context(prefixed)
            # Before the line that says how the job ended.
            self.handlers.insert(0, prefixed)

    def close(self) -> None:
        """Show what jobs have printed by now, and nothing after that."""
        self._stack.close()

    def stopping(self, grace: str) -> None:
        """Say that a signal has come."""
        if not self._is_quiet and not self._is_json:
            say(
                "lorchestra: stopping: jobs at work are asked to end, and killed "
                f"after {grace} or at a second Ctrl-C"
            )

    def failed(self, *, shown: str) -> None:
        """Say what failed, after all that jobs have printed.

        Args:
            shown: The command that shows the run.
        """
        self.close()
        for line in self._failures.lines(more=shown) if self._failures else ():
            say_as_it_is(line)

    def ended(self, result: RunResult, *, shown: str, again: str) -> None:
        """Say what there is to say at the end.

        Args:
            result: How it ended.
            shown: The command that shows a run, without the run.
            again: The command that runs the pipeline, without its options.
        """
        self.failed(shown=f"{shown} {result.run_id}")
        if self._is_json:
            return
        if not self._is_quiet:
            if not result.succeeded:
                say(f"to go on with it: {again} --resume={result.run_id}")
            say(f"receipt {result.receipt}")
        elif result.status == "interrupted":
            say(f"lorchestra: run {result.run_id} was interrupted; its record is complete")


def refuse_mixed(progress: str, output: str | None) -> None:
    """Refuse lines of jobs between lines of JSON.

    Raises:
        click.UsageError: Both were asked for.
    """
    if progress == "json" and output in {"prefixed", "grouped"}:
        raise click.UsageError(
            f"--output {output} is for people, and --progress json for programs: choose one"
        )


def _say_hook_failed(event: Event) -> None:
    from lorchestra.progress import HookFailed

    if isinstance(event, HookFailed):
        say(f"lorchestra: hook {event.hook} {event.number} failed: {event.error}")
