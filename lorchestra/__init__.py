"""lorchestra: run the jobs of a pipeline's stages in parallel, and keep a record of every one.

From Python:

    from pathlib import Path
    from lorchestra import find_pipeline, load_pipeline, run_pipeline
    from runstore import RunStore

    path, root = find_pipeline("pipeline.ingest", Path.cwd())
    result = run_pipeline(load_pipeline(path, root), RunStore(root / ".lorchestra"))
    print(result.status)

Inside a job, `current_job()` tells which one it is. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorchestra.context import CurrentJob, current_job
    from lorchestra.loader import find_pipeline, load_pipeline
    from lorchestra.masking import Secret
    from lorchestra.model import (
        Call,
        Command,
        Hook,
        Hooks,
        Item,
        Job,
        Loop,
        Parameter,
        Pipeline,
        Retries,
        Shell,
        Stage,
        SubPipeline,
        Webhook,
    )
    from lorchestra.plan import Options
    from lorchestra.quota import Quota, Rate
    from lorchestra.runner import RunResult, run_pipeline

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Command",
    "CurrentJob",
    "Hook",
    "Hooks",
    "Item",
    "Job",
    "Loop",
    "Options",
    "Parameter",
    "Pipeline",
    "Quota",
    "Rate",
    "Retries",
    "RunResult",
    "Secret",
    "Shell",
    "Stage",
    "SubPipeline",
    "Webhook",
    "__version__",
    "current_job",
    "find_pipeline",
    "load_pipeline",
    "run_pipeline",
]

_MODULES = {
    "CurrentJob": "context",
    "current_job": "context",
    "find_pipeline": "loader",
    "load_pipeline": "loader",
    "Secret": "masking",
    "Call": "model",
    "Command": "model",
    "Hook": "model",
    "Hooks": "model",
    "Item": "model",
    "Job": "model",
    "Loop": "model",
    "Parameter": "model",
    "Pipeline": "model",
    "Retries": "model",
    "Shell": "model",
    "Stage": "model",
    "Webhook": "model",
    "SubPipeline": "model",
    "Options": "plan",
    "Quota": "quota",
    "Rate": "quota",
    "RunResult": "runner",
    "run_pipeline": "runner",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that holds it; the command line starts faster so."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
