"""One attempt of a `call` job: a Python function, in this thread or in a Python of its own."""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorchestra.capture import printing_to
from lorchestra.context import CurrentJob, set_current_job
from lorchestra.model import Call, Outcome
from lorchestra.signals import Interruptible
from lorchestra.wording import cut

_MAX_ERROR = 2000
_OWN_MODULES = frozenset({__name__, Interruptible.__module__})


def run_call(call: Call, job: CurrentJob, log: int, interruptible: Interruptible | None) -> Outcome:
    """Call the function and say how it ended.

    Args:
        call: Which function, with what.
        job: What `current_job()` gives while it runs.
        log: The descriptor that everything it prints goes to.
        interruptible: Where Ctrl-C may raise in the function: in the main thread. None elsewhere.

    Returns:
        `succeeded` with what it returned as output; `failed` when it raised, with the traceback
        in the log; `interrupted` when it was told to stop. Never raises.
    """
    context = contextvars.copy_context()
    return context.run(_run_in_context, call, job, log, interruptible or Interruptible())


def _run_in_context(call: Call, job: CurrentJob, log: int, interruptible: Interruptible) -> Outcome:
    set_current_job(job)
    with printing_to(log):
        outcome = _outcome(call, log, interruptible)
    if job.was_told or interruptible.interrupted:
        return replace(outcome, status="interrupted")
    return outcome


def _outcome(call: Call, log: int, interruptible: Interruptible) -> Outcome:
    try:
        output = interruptible.call(lambda: resolve(call.target)(**call.arguments))
    except SystemExit as error:
        return _of_system_exit(error, log)
    except BaseException as error:  # noqa: BLE001 - whatever it raises, the job has failed
        _write(log, _traceback(error))
        return Outcome("failed", error=_sentence(error))
    return Outcome("succeeded", output=output)


def _traceback(error: BaseException) -> str:
    """The traceback from the user's function on; the frames before are ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _of_system_exit(error: SystemExit, log: int) -> Outcome:
    """What `sys.exit` means in a program: None and 0 are success, what is no number is printed."""
    if error.code is None:
        return Outcome("succeeded", exit_code=0)
    if isinstance(error.code, int):
        # The system keeps the low byte of what a process exits with.
        code = error.code & 0xFF
        return (
            Outcome("failed", exit_code=code, error=f"exit code {code}")
            if code
            else Outcome("succeeded", exit_code=0)
        )
    _write(log, f"{_text(error.code)}\n")
    return Outcome("failed", exit_code=1, error=_storable(_text(error.code)))


def _sentence(error: BaseException) -> str:
    return _storable(f"{type(error).__name__}: {_text(error)}".rstrip(": "))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the user's class, which may do anything
        return f"<{type(value).__name__} without a text>"


def _storable(text: str) -> str:
    """The text without what a record cannot hold, and not too long for one."""
    return cut(text, _MAX_ERROR).encode(errors="backslashreplace").decode()


def _write(log: int, text: str) -> None:
    """Write into the log, whatever the function has done to the standard streams."""
    with contextlib.suppress(OSError):
        os.write(log, text.encode(errors="backslashreplace"))


def resolve(target: str) -> Callable[..., Any]:
    """Import what `package.module:function` names.

    Raises:
        ImportError, AttributeError, TypeError: There is no such function; and whatever the
            module raises while it is imported.
    """
    module_name, _, path = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{target} is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


@contextlib.contextmanager
def importing_from(root: Path) -> Iterator[None]:
    """Put the project folder first where modules are looked for, while the context lasts."""
    entry = str(root)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def child_command(call: Call, root: Path) -> tuple[list[str], Mapping[str, Any]]:
    """The command for a Python of its own that makes the call, and what it reads on its input."""
    # -P: the job's working folder must not hide modules of the standard library, or us.
    command = [sys.executable, "-P", "-m", "lorchestra.child"]
    return command, {"root": str(root), "call": call.target, "with": dict(call.arguments)}


def outcome_of_child(outcome: Outcome) -> Outcome:
    """How the call ended, from how that Python did: one that failed left the error as output."""
    left = outcome.output
    if outcome.succeeded or not isinstance(left, dict) or left.keys() != {"error"}:
        return outcome
    error = left["error"] if outcome.status == "failed" else outcome.error
    return replace(outcome, error=error, output=None)
