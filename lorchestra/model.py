"""What a pipeline is, once its file has been read: frozen values without behaviour of their own.

A pipeline is an ordered list of stages; a stage is a list of independent jobs; a job is one action
with the environment that it runs in. How many jobs run at once is decided when the pipeline is run.

A job or a stage with a loop stands for jobs that are made of it, one for each item: see `fanout`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from lorchestra.durations import written
from lorchestra.masking import Secret
from lorchestra.quota import Quota
from lorchestra.stop import GRACE_S

# In which order the jobs of a stage start.
DECLARED, LONGEST_FIRST = "declared", "longest-first"
SCHEDULES = (LONGEST_FIRST, DECLARED)


@dataclass(frozen=True, slots=True)
class Shell:
    """`run:` one line for the shell of the system (`/bin/sh -c`, `cmd /c` on Windows)."""

    line: str

    def definition(self) -> dict[str, Any]:
        """The action as it stands in a pipeline file."""
        return {"run": self.line}


@dataclass(frozen=True, slots=True)
class Command:
    """`command:` a program and its arguments, started without a shell."""

    argv: tuple[str, ...]

    def definition(self) -> dict[str, Any]:
        """The action as it stands in a pipeline file."""
        return {"command": list(self.argv)}


@dataclass(frozen=True, slots=True)
class Call:
    """`call:` a Python function, `package.module:function`, and `with:`, its keyword arguments."""

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def definition(self) -> dict[str, Any]:
        """The action as it stands in a pipeline file."""
        definition: dict[str, Any] = {"call": self.target}
        if self.arguments:
            definition["with"] = dict(self.arguments)
        return definition


@dataclass(frozen=True, slots=True)
class SubPipeline:
    """`pipeline:` another pipeline, and `with:`, its parameters.

    Attributes:
        name: By which it was found.
        pipeline: What it is.
        arguments: Its parameters; those not given have their defaults.
    """

    name: str
    pipeline: Pipeline
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def definition(self) -> dict[str, Any]:
        """The action as it stands in a pipeline file."""
        definition: dict[str, Any] = {"pipeline": self.name}
        if self.arguments:
            definition["with"] = dict(self.arguments)
        return definition


@dataclass(frozen=True, slots=True)
class Broken:
    """What the runner puts in the place of a loop that cannot be unfolded; it fails.

    Attributes:
        reason: Why it cannot, as a sentence.
    """

    reason: str

    def definition(self) -> dict[str, Any]:
        """Nothing: it stands in no pipeline file."""
        return {}


Action = Shell | Command | Call | SubPipeline | Broken


@dataclass(frozen=True, slots=True)
class Loop:
    """`loop:` and `matrix:` what jobs are repeated for.

    Attributes:
        over: The items; or the reference that stands for them.
        key: What the id of each item's jobs is made from, with references to the item; None: the
            item itself where it is a short text or a number, else its index.
        payload: What `payload` stands for in the jobs, with references; None: what it does outside.
        is_matrix: Whether the items are combinations, whose ids name all their values.
    """

    over: str | Sequence[Any]
    key: str | None = None
    payload: Mapping[str, Any] | None = None
    is_matrix: bool = False

    def definition(self) -> dict[str, Any]:
        """The loop as it stands in a pipeline file; a matrix as the list of its combinations."""
        definition: dict[str, Any] = {"over": self.over}
        if self.key is not None:
            definition["key"] = self.key
        if self.payload is not None:
            definition["payload"] = dict(self.payload)
        return definition


@dataclass(frozen=True, slots=True)
class Item:
    """What one job of a loop was made for.

    Attributes:
        of: The id of the job as it was written.
        value: The item.
        payload: What `payload` stands for, with references; None: what it does outside.
        is_matrix: Whether it is a combination, which `matrix` stands for too.
        after: The job of the same item that comes before it; None: it is the first.
    """

    of: str
    value: Any
    payload: Mapping[str, Any] | None = None
    is_matrix: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """`retries:` how often and when a job that did not succeed is tried again.

    Attributes:
        max: How many more attempts there are after the first.
        backoff_s: Seconds until the second attempt.
        factor: What each further wait is longer by.
        max_backoff_s: The longest wait, in seconds.
        jitter: Whether each wait is shortened by up to a half, at random, so that jobs that failed
            together do not come back together.
        on_exit_codes: Only after these; None: whatever went wrong, a timeout too.
    """

    max: int
    backoff_s: float = 1.0
    factor: float = 2.0
    max_backoff_s: float = 300.0
    jitter: bool = False
    on_exit_codes: frozenset[int] | None = None

    def definition(self) -> dict[str, Any]:
        """The retries as they stand in a pipeline file."""
        definition: dict[str, Any] = {
            "max": self.max,
            "backoff": written(self.backoff_s),
            "factor": self.factor,
            "max_backoff": written(self.max_backoff_s),
            "jitter": self.jitter,
        }
        if self.on_exit_codes is not None:
            definition["on_exit_codes"] = sorted(self.on_exit_codes)
        return definition


@dataclass(frozen=True, slots=True)
class Job:
    """One named unit of work.

    Attributes:
        id: Unique in its pipeline; 1 to 10,000 bytes of UTF-8.
        action: What to do.
        env: Environment variables set for this job, over those of lorchestra itself.
        cwd: The folder it runs in, relative to the project folder; None: the project folder.
        description: For people; no effect.
        source: The file that defines it, for people; None for a job that code made.
        timeout_s: Seconds that one attempt may take; None: without limit.
        total_timeout_s: Seconds that all attempts and the waits between them may take together.
        retries: When it is tried again; None: it is not.
        isolation: `process`: a `call` runs in a Python of its own, which can be stopped. `thread`:
            it runs in a worker's thread, unless something else here needs a process.
        tags: Words by which jobs can be selected.
        allow_failure: Whether its failure neither fails the run nor stops it.
        limits: How many units of which limits it needs while it runs, at least 1 of each.
        idempotency_key: A key of its own: once it has succeeded under that, it is not run again, in
            whatever run of the pipeline. None: it has none.
        loop: What it is to be repeated for: it does not run itself; None: it does.
        item: The item that it was made for; None: it is as written.
    """

    id: str
    action: Action
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    description: str = ""
    source: Path | None = None
    timeout_s: float | None = None
    total_timeout_s: float | None = None
    retries: Retries | None = None
    isolation: str = "thread"
    tags: tuple[str, ...] = ()
    allow_failure: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    idempotency_key: str | None = None
    loop: Loop | None = None
    item: Item | None = None

    @property
    def is_in_thread(self) -> bool:
        """Whether it is a function in a thread of the runner, which nothing can stop.

        A thread has neither an environment nor a working folder of its own.
        """
        needs_process = self.env or self.cwd is not None or self.isolation == "process"
        is_limited = self.timeout_s is not None or self.total_timeout_s is not None
        return isinstance(self.action, Call) and not (needs_process or is_limited)

    def definition(self) -> dict[str, Any]:
        """Everything that decides what the job does, as it stands in a pipeline file.

        How long it may take, how often it is tried and what limits it needs is not among that.
        """
        definition = self.action.definition()
        if self.env:
            definition["env"] = dict(self.env)
        if self.cwd is not None:
            definition["cwd"] = self.cwd
        if self.idempotency_key is not None:
            definition["idempotency_key"] = self.idempotency_key
        if self.loop is not None:
            definition["loop"] = self.loop.definition()
        return definition

    def rules(self) -> dict[str, Any]:
        """How it runs, as it stands in a pipeline file: its times, retries and limits."""
        rules: dict[str, Any] = {}
        if self.timeout_s is not None:
            rules["timeout"] = written(self.timeout_s)
        if self.total_timeout_s is not None:
            rules["total_timeout"] = written(self.total_timeout_s)
        if self.retries is not None:
            rules["retries"] = self.retries.definition()
        if self.isolation != "thread":
            rules["isolation"] = self.isolation
        if self.limits:
            rules["limits"] = dict(self.limits)
        return rules

    def sha256(
        self, params: Mapping[str, Any] | None = None, item: Mapping[str, Any] | None = None
    ) -> str:
        """The hex digest of the definition: two jobs that do the same have the same one.

        Args:
            params: The parameters that it uses, which are part of what it does. What it takes
                from the environment and from other jobs' output is not.
            item: What it uses of its item, which is part of what it does too.
        """
        definition = {**self.definition(), **_inner(self)}
        if params:
            definition["params"] = dict(params)
        if item:
            definition["item"] = dict(item)
        return _digest(definition)


@dataclass(frozen=True, slots=True)
class Webhook:
    """`url:` an address that is sent the run as JSON, with `headers:`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hook:
    """What is done at a moment of a run, and changes nothing about it.

    Attributes:
        action: A line for the shell, a command, or a webhook.
        timeout_s: Seconds that it may take.
    """

    action: Shell | Command | Webhook
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """`hooks:` what is done at which moment, in the order written.

    Attributes:
        on_start: Before the first job.
        on_success: After a run that succeeded.
        on_failure: After any other.
        on_finish: After each run, after those.
    """

    on_start: tuple[Hook, ...] = ()
    on_success: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_finish: tuple[Hook, ...] = ()

    @property
    def all(self) -> tuple[Hook, ...]:
        """All of them."""
        return (*self.on_start, *self.on_success, *self.on_failure, *self.on_finish)

    def __add__(self, more: Hooks) -> Hooks:
        """These, and after them more."""
        return Hooks(
            self.on_start + more.on_start,
            self.on_success + more.on_success,
            self.on_failure + more.on_failure,
            self.on_finish + more.on_finish,
        )


# `any` is that of one which the pipeline does not name.
ParameterType = Literal["string", "int", "number", "bool", "list", "any"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that is given when the pipeline is run.

    Attributes:
        type: What it must be, when it is not null.
        default: What it is when it is not given.
        required: Whether it must be given.
        choices: What it may be; empty: anything of its type.
        description: For people; no effect.
    """

    type: ParameterType = "string"
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """Everything that decides what it may be, as it stands in a pipeline file."""
        return {
            "type": self.type,
            "default": self.default,
            "required": self.required,
            "choices": list(self.choices),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """Jobs that do not depend on each other; the next stage starts when all have ended.

    Attributes:
        name: Unique in its pipeline.
        jobs: In the order written, which is the order in which they start.
        max_workers: How many run at once by default, and at most; None: no say in it.
        stop_on_failure: This stage's own rule; None: the pipeline's.
        loop: What all its jobs are to be repeated for, those of one item one after another; None:
            its jobs are what they are, or have loops of their own.
        groups: Of each loop that has been unfolded, by the id as written, the jobs in the order of
            the items.
    """

    name: str
    jobs: tuple[Job, ...]
    max_workers: int | None = None
    stop_on_failure: bool | None = None
    loop: Loop | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def definition(self) -> dict[str, Any]:
        """Everything that decides what the stage does, as it stands in a pipeline file."""
        definition: dict[str, Any] = {"name": self.name}
        if self.max_workers is not None:
            definition["max_workers"] = self.max_workers
        if self.stop_on_failure is not None:
            definition["stop_on_failure"] = self.stop_on_failure
        if self.loop is not None:
            definition["loop"] = self.loop.definition()
        definition["jobs"] = [self._job(job) for job in self.jobs]
        return definition

    @staticmethod
    def _job(job: Job) -> dict[str, Any]:
        # It does not change what the job does, but how the run goes on.
        rule = {"allow_failure": True} if job.allow_failure else {}
        item = {"item": job.item.value} if job.item is not None else {}
        return {"id": job.id, **job.definition(), **_inner(job), **item, **rule}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages that run one after another.

    Attributes:
        id: How runs of this pipeline are named in the store.
        stages: At least one, each with at least one job.
        root: The project folder: jobs run in it, and `call` imports from it first.
        description: For people; no effect.
        stop_on_failure: After a failure, start no further job (default false).
        halt: What such a failure means for the jobs that run: `soon`: they finish; `now`: they are
            stopped.
        grace_s: Seconds from being asked to end until a job is killed.
        timeout_s: Seconds that the whole run may take; None: without limit.
        source: The file that it was read from; None when code made it.
        params: What may be given when it is run, by name.
        secrets: What is not to be shown.
        limits: What jobs share; where a name has several, a job needs the leave of each.
        hooks: What is done when a run begins and ends.
        schedule: In which order the jobs of a stage start where there are more of them than
            workers: `longest-first`, by how long they took in earlier runs, or `declared`.
    """

    id: str
    stages: tuple[Stage, ...]
    root: Path
    description: str = ""
    stop_on_failure: bool = False
    source: Path | None = None
    halt: str = "soon"
    grace_s: float = GRACE_S
    timeout_s: float | None = None
    params: Mapping[str, Parameter] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    limits: tuple[Quota, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    schedule: str = LONGEST_FIRST

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of all stages, in the order declared."""
        return tuple(job for stage in self.stages for job in stage.jobs)

    @property
    def has_calls(self) -> bool:
        """Whether it, or a pipeline in it, calls functions."""
        return any(
            isinstance(job.action, Call)
            or (isinstance(job.action, SubPipeline) and job.action.pipeline.has_calls)
            for job in self.jobs
        )

    @property
    def has_pipelines(self) -> bool:
        """Whether there are pipelines in it."""
        return any(isinstance(job.action, SubPipeline) for job in self.jobs)

    def sha256(self) -> str:
        """The hex digest of the whole definition; texts for people do not count."""
        definition: dict[str, Any] = {
            "pipeline_id": self.id,
            "stop_on_failure": self.stop_on_failure,
            "stages": [stage.definition() for stage in self.stages],
        }
        if self.params:
            params = {name: parameter.definition() for name, parameter in self.params.items()}
            definition["params"] = params
        return _digest(definition)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: a value, never an exception.

    Attributes:
        status: `succeeded`, `failed`, `timed_out` or `interrupted`.
        exit_code: What the process exited with; None: it had none, or a signal ended it.
        signal: The number of the signal that ended it, else None.
        error: Why it did not succeed, as a sentence, else None.
        output: What it left as output; None: nothing.
        cpu_s: Processor time of the job's processes, in seconds, where the system tells it.
        max_rss_kb: Largest resident size of one of them, in KiB, where the system tells it.
        log_bytes: How much it printed.
        allowed: Whether it failed and may do so: then that has no consequences.
    """

    status: str
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    output: Any = None
    cpu_s: float | None = None
    max_rss_kb: int | None = None
    log_bytes: int | None = None
    allowed: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the job did what it was to do."""
        return self.status == "succeeded"

    def fields(self) -> dict[str, Any]:
        """What the attempt's last record says of it, beside the status and the output."""
        known = {
            "exit_code": self.exit_code,
            "signal": self.signal,
            "error": self.error,
            "cpu_s": self.cpu_s,
            "max_rss_kb": self.max_rss_kb,
            "log_bytes": self.log_bytes,
            "allowed": self.allowed or None,
        }
        return {name: value for name, value in known.items() if value is not None}


def _inner(job: Job) -> dict[str, Any]:
    """What decides what a job does, and stands in another pipeline's file."""
    if not isinstance(job.action, SubPipeline):
        return {}
    return {"pipeline_sha256": job.action.pipeline.sha256()}


def _digest(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()
