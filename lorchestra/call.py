"""One attempt of a `call` job: a Python function, in this thread or in a Python of its own."""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lorchestra.capture import open_log_stream, print_to
from lorchestra.context import CurrentJob, set_current_job
from lorchestra.model import Call, Outcome
from lorchestra.signals import Interruptible


def run_call(call: Call, job: CurrentJob, log: int, interruptible: Interruptible | None) -> Outcome:
    """Call the function and say how it ended.

    Args:
        call: Which function, with what.
        job: What `current_job()` gives while it runs.
        log: The descriptor that everything it prints goes to.
        interruptible: Where Ctrl-C may raise in the function: in the main thread. None elsewhere.

    Returns:
        `succeeded` with what it returned as output; `failed` when it raised, with the traceback
        in the log; `interrupted` on KeyboardInterrupt. Never raises.
    """
    context = contextvars.copy_context()
    return context.run(_run_in_context, call, job, log, interruptible)


def _run_in_context(
    call: Call, job: CurrentJob, log: int, interruptible: Interruptible | None
) -> Outcome:
    stream = open_log_stream(log)
    set_current_job(job)
    print_to(stream)
    try:
        return _outcome(call, interruptible or Interruptible())
    finally:
        with contextlib.suppress(ValueError, OSError):
            stream.close()


def _outcome(call: Call, interruptible: Interruptible) -> Outcome:
    try:
        interruptible.inside = True
        output = resolve(call.target)(**call.arguments)
        interruptible.inside = False
    except SystemExit as error:
        return _of_system_exit(error)
    except KeyboardInterrupt:
        return Outcome("interrupted", error="stopped with the run")
    except BaseException as error:  # noqa: BLE001 - whatever it raises, the job has failed
        traceback.print_exc()
        return Outcome("failed", error=_sentence(error))
    finally:
        interruptible.inside = False
    return Outcome("succeeded", output=output)


def _of_system_exit(error: SystemExit) -> Outcome:
    """What `sys.exit` means in a program: None and 0 are success, a text is printed."""
    if error.code is None or error.code == 0:
        return Outcome("succeeded", exit_code=0)
    if isinstance(error.code, int):
        return Outcome("failed", exit_code=error.code, error=f"exit code {error.code}")
    print(error.code, file=sys.stderr)  # noqa: T201 - into the log
    return Outcome("failed", exit_code=1, error=str(error.code))


def _sentence(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return text.encode(errors="backslashreplace").decode()[:2000]


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
    command = [sys.executable, "-m", "lorchestra.child"]
    return command, {"root": str(root), "call": call.target, "with": dict(call.arguments)}
