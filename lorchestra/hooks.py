"""Run the hooks of a run: what is done when it begins and ends, and changes nothing about it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple

from lorchestra.context import HOOK, OF_JOBS, PIPELINE_ID, RUN_ID, RUN_STATUS, STORE
from lorchestra.deadline import Limit
from lorchestra.durations import written
from lorchestra.masking import Mask
from lorchestra.model import Command, Hook, Pipeline, Shell, Webhook
from lorchestra.process import Program, run_process, shell_command
from lorchestra.references import ReferenceFailedError, Scope, shell_line, text_of
from lorchestra.report import run_object
from lorchestra.report.text import json_text, printable
from lorchestra.signals import Interruptible, stop_on_signals
from lorchestra.stop import Cause, Stop
from lorchestra.tail import Tail
from runstore import RunStore, RunStoreError

Moment = Literal["on_start", "on_success", "on_failure", "on_finish"]
Tell = Callable[[Moment, int, str], object]

_MOST_PRINTED_BYTES = 1 << 14
_MOST_SHOWN = 500


class _Call(NamedTuple):
    """A hook with values in it: what is started, its variables, and what it reads."""

    argv: Any
    variables: Mapping[str, str]
    text: bytes


@dataclass(slots=True)
class Ending:
    """What is said of the end of a run, for its hooks.

    Attributes:
        hooks: Those to run; None: nothing has begun, so nothing has ended.
    """

    hooks: RunHooks | None = None


@dataclass(frozen=True, slots=True)
class RunHooks:
    """The hooks of one run.

    Attributes:
        pipeline: What runs.
        store: Where it is recorded.
        params: The parameters of the run.
        env: The environment, with secrets.
        mask: What takes secrets out of what is told.
        tell: Called with each that failed: the moment, its number from 1, and why.
        run_id: The run; empty: it could not be begun.
    """

    pipeline: Pipeline
    store: RunStore
    params: Mapping[str, Any]
    env: Mapping[str, str]
    mask: Mask
    tell: Tell
    run_id: str = ""

    def start(self, stop: Stop) -> None:
        """Run those for the beginning.

        Args:
            stop: What can stop the run, and so them.
        """
        if self.pipeline.hooks.on_start:
            self._run("on_start", self._summary(), stop)

    @contextlib.contextmanager
    def around(self) -> Iterator[Ending]:
        """Run those for the end, however what is inside the context ends; it says whose end it is.

        Ctrl-C and SIGTERM end those that run, and no other follows; they change nothing else.
        """
        ending = Ending()
        if not self.pipeline.hooks.all:
            yield ending
            return
        stop = Stop(self.pipeline.grace_s)
        with stop_on_signals(stop, Interruptible(), self.pipeline.grace_s):
            try:
                yield ending
            except Exception:
                # Whatever the record says, not all of it may be on the disk.
                if ending.hooks is not None:
                    ending.hooks.finish(stop, is_lost=True)
                raise
            if ending.hooks is not None:
                ending.hooks.finish(stop, is_lost=False)

    def finish(self, stop: Stop, *, is_lost: bool) -> None:
        """Run those for the end.

        Args:
            stop: What can stop them.
            is_lost: Whether the run could not be begun, or recorded to its end.
        """
        summary = {**self._summary(), **(self._lost() if is_lost else {})}
        moment: Moment = "on_success" if summary["status"] == "succeeded" else "on_failure"
        self._run(moment, summary, stop)
        self._run("on_finish", summary, stop)

    def _summary(self) -> dict[str, Any]:
        """The run as its record tells it, or as far as it is known where that cannot be read."""
        if self.run_id:
            with contextlib.suppress(RunStoreError, OSError):
                return run_object(self.store.read(self.run_id))
        return {"run_id": self.run_id or None, "pipeline_id": self.pipeline.id, **self._lost()}

    def _lost(self) -> dict[str, Any]:
        """How a run has ended that cannot be recorded."""
        return {"status": "crashed" if self.run_id else "failed", "success": False}

    def _run(self, moment: Moment, summary: Mapping[str, Any], stop: Stop) -> None:
        for number, hook in enumerate(getattr(self.pipeline.hooks, moment), start=1):
            try:
                error = "not run: stopped" if stop.requested else None
                error = error or self._run_one(hook, moment, summary, stop)
            except OSError as failure:
                error = failure.strerror or str(failure)
            except ReferenceFailedError as failure:
                error = str(failure)
            if error is not None:
                self.tell(moment, number, printable(self.mask.message(error)))

    def _run_one(
        self, hook: Hook, moment: Moment, summary: Mapping[str, Any], stop: Stop
    ) -> str | None:
        """Run one; gives why it failed, None if it did not."""
        call = self._bound(hook, moment, summary)
        too_long = Cause(f"timed out: it may take {written(hook.timeout_s)}", "timed_out")
        with _file_of(call.text) as stdin, Tail(_MOST_PRINTED_BYTES) as tail:
            program = Program(
                call.argv,
                tail.descriptor,
                self._environment(call, moment, str(summary["status"])),
                self.pipeline.root,
                stdin=stdin.fileno(),
            )
            limit = Limit(hook.timeout_s, too_long, self.pipeline.grace_s)
            outcome = run_process(program, stop, lambda _pid: None, limit)
        if outcome.succeeded:
            return None
        said = self._last_line(tail.content)
        if isinstance(hook.action, Webhook) and outcome.exit_code == 1 and said:
            return said
        error = outcome.error or outcome.status
        return error if not said or error in said else f"{error}: {said}"

    def _bound(self, hook: Hook, moment: Moment, summary: Mapping[str, Any]) -> _Call:
        scope = Scope(self.params, self.env)
        text = b"" if moment == "on_start" else json_text(summary)
        match hook.action:
            case Shell():
                line, variables = shell_line(hook.action.line, scope)
                return _Call(shell_command(line), variables, text)
            case Command():
                return _Call([text_of(word, scope) for word in hook.action.argv], {}, text)
            case Webhook():
                headers = hook.action.headers.items()
                task = {
                    "url": text_of(hook.action.url, scope),
                    "headers": {name: text_of(value, scope) for name, value in headers},
                    "timeout_s": hook.timeout_s,
                    "body": summary,
                }
                command = [sys.executable, "-P", "-m", "lorchestra.webhook"]
                return _Call(command, {}, json_text(task))

    def _environment(self, call: _Call, moment: Moment, status: str) -> dict[str, str]:
        # Where a job has started us, its variables are not the hook's.
        inherited = {name: value for name, value in self.env.items() if name not in OF_JOBS}
        return {
            **inherited,
            **call.variables,
            RUN_ID: self.run_id,
            PIPELINE_ID: self.pipeline.id,
            RUN_STATUS: status,
            STORE: self.store.path,
            HOOK: moment,
        }

    def _last_line(self, printed: bytes) -> str:
        """The last line of what it printed, without secrets."""
        is_cut = len(printed) == _MOST_PRINTED_BYTES
        masked = self.mask.tail(printed) if is_cut else self.mask.content(printed)
        lines = masked.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return last if len(last) <= _MOST_SHOWN else f"{last[:_MOST_SHOWN]}..."


@contextlib.contextmanager
def _file_of(text: bytes) -> Iterator[BinaryIO]:
    """A file to read a text from: nobody waits until the whole of it has been read, or any."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield file
