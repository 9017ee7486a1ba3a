"""The JSON Schema of pipeline files and job files, for editors.

It says what the loader takes key by key, and leaves to the loader what concerns several places of
a file: ids that are used twice, jobs that are not defined, references.
"""

from __future__ import annotations

from typing import Any

from lorchestra.durations import MOST_S
from lorchestra.loader.hooks import ADDRESS, HEADER
from lorchestra.loader.jobs import LONGEST_ID_BYTES
from lorchestra.loader.retries import MOST_RETRIES
from lorchestra.loader.values import LONGEST_LABEL
from lorchestra.model import SCHEDULES
from lorchestra.params import KINDS
from lorchestra.quota import MOST_UNITS, NAME_PATTERN, RATE_EXAMPLES, RATE_PATTERN
from lorchestra.seats import MOST_WORKERS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FLAG = {"type": "boolean"}
_TEXT = {"type": "string"}
_WRITTEN = {"type": ["string", "number", "boolean"]}
_FILLED = {**_WRITTEN, "pattern": r"\S"}
_LABEL = {
    "type": "string",
    "maxLength": LONGEST_LABEL,
    "pattern": r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f]*$",
}
_ID = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID_BYTES}
_WORKERS = {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}
_COMMAND = {"type": "array", "minItems": 1, "prefixItems": [_FILLED], "items": _WRITTEN}
_MOMENTS = {
    "on_start": "Before the first job.",
    "on_success": "After a run that succeeded.",
    "on_failure": "After any other.",
    "on_finish": "After each run, after those.",
}
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_IDENTIFIER = r"^[^\W\d]\w*$"
_LIMIT = f"^{NAME_PATTERN}$"
_VARIABLE = r"^[^=\u0000]+$"


def pipeline_schema() -> Schema:
    """The schema of a pipeline file."""
    return {"$schema": DIALECT, "title": "lorchestra pipeline", **_pipeline(), "$defs": _parts()}


def job_file_schema() -> Schema:
    """The schema of a job file."""
    job = _job({"job_id": _said(_ID, "Must be the name of the file, without .yaml.")})
    parts = {"retries": _retries(), **_loops()}
    return {"$schema": DIALECT, "title": "lorchestra job", **job, "$defs": parts}


def _parts() -> Schema:
    return {
        "stage": _stage(),
        "job": _job({}),
        "inline_job": {**_job({"id": _said(_ID, "Once in the pipeline.")}), **_needs("id")},
        "parameter": _parameter(),
        "retries": _retries(),
        "hook": _hook(),
        **_loops(),
    }


def _loops() -> Schema:
    loop = {"over": _over(), **_of_items()}
    return {"loop": {**_mapping(loop), **_needs("over")}, "matrix": _matrix()}


def _over() -> Schema:
    return {
        "description": "The items: a list, or what stands for one.",
        "type": ["array", "string"],
        "pattern": r"^(@(params|payload|run)\.[^\s]+|\$\{(params|payload|run)\.[^}]+\})$",
    }


def _of_items() -> Schema:
    return {
        "key": {
            "description": "What the ids of an item's jobs are made from.",
            "type": "string",
            "pattern": r"(^@|\$\{)(item|matrix)",
        },
        "payload": {
            "description": "What `payload` stands for in the jobs.",
            "type": "object",
        },
    }


def _matrix() -> Schema:
    point = {"type": ["string", "number", "boolean"], "minLength": 1}
    entry = {"type": "object", "minProperties": 1, "additionalProperties": point}
    entries = {"type": "array", "items": entry}
    return {
        "type": "object",
        "properties": {
            "include": _said(entries, "Further combinations."),
            "exclude": _said(entries, "Combinations that are left out."),
        },
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
        "additionalProperties": {
            "type": "array",
            "minItems": 1,
            "items": point,
            "uniqueItems": True,
        },
        "not": {"propertyNames": {"enum": ["include", "exclude"]}},
    }


def _pipeline() -> Schema:
    properties = {
        "pipeline_id": _said(_LABEL, "How its runs are listed; by default the file's name."),
        "description": _said(_TEXT, "For people; no effect."),
        "stop_on_failure": _said(_FLAG, "After a failure, start no further job."),
        "halt": {
            "description": "What a failure that stops the run means for the jobs at work.",
            "enum": ["soon", "now"],
        },
        "schedule": {
            "description": "In which order jobs start, where there are more of them than workers.",
            "enum": list(SCHEDULES),
        },
        "grace": _said(_duration(0), "Until a job that was asked to end is killed."),
        "timeout": _said(_duration(), "How long the whole run may take."),
        "params": {
            "description": "What may be given when it is run: a default, or a mapping.",
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
            "additionalProperties": {
                "if": {"type": "object"},
                "then": {"$ref": "#/$defs/parameter"},
            },
        },
        "secrets": {
            "description": "Variables whose values are not to be shown.",
            "type": "array",
            "items": _secret(),
        },
        "limits": _said(_limits(), "What jobs share in a run: so much at once, or in a time."),
        "hooks": {
            "description": "What is done when a run begins and ends, and changes nothing about it.",
            **_mapping({moment: _hooks(when) for moment, when in _MOMENTS.items()}),
        },
        "stages": {
            "description": "They run one after another.",
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/stage"},
        },
        "jobs": {
            "description": "Definitions that stages name.",
            "type": "object",
            "propertyNames": {"minLength": 1, "maxLength": LONGEST_ID_BYTES},
            "additionalProperties": {"$ref": "#/$defs/job"},
        },
    }
    return {**_mapping(properties), **_needs("stages")}


def _stage() -> Schema:
    jobs = {
        "description": "Ids of jobs, and jobs. They may run at the same time.",
        "type": "array",
        "minItems": 1,
        "items": {
            "type": ["string", "object"],
            "if": {"type": "string"},
            "then": _ID,
            "else": {"$ref": "#/$defs/inline_job"},
        },
    }
    in_loop = _said(jobs, "The jobs of each item, one after another.")
    loop = {"over": _over(), **_of_items(), "jobs": in_loop}
    properties = {
        "name": _said(_LABEL, "Once in the pipeline."),
        "description": _said(_TEXT, "For people; no effect."),
        "jobs": jobs,
        "loop": {
            "description": "The jobs of the stage, and what they are repeated for.",
            **_mapping(loop),
            **_needs("over"),
        },
        "over": _over(),
        **_of_items(),
        "max_workers": _said(_WORKERS, "How many run at once by default, and at most."),
        "stop_on_failure": _said(_FLAG, "This stage's own rule."),
    }
    beside = dict.fromkeys(("over", "key", "payload"), False)
    in_one_place = [
        {"required": ["jobs"], "properties": {"loop": {"not": _needs("jobs")}}},
        {"not": _needs("jobs"), "properties": {"loop": _needs("jobs")}},
    ]
    return {
        **_mapping(properties),
        **_needs("name"),
        "if": {"required": ["loop"]},
        "then": {"properties": beside, "oneOf": in_one_place},
        "else": {"required": ["jobs"], "dependentRequired": {"key": ["over"], "payload": ["over"]}},
    }


def _job(own: Schema) -> Schema:
    properties = {
        **own,
        "run": _said(_FILLED, "A line for the shell."),
        "command": _said(_COMMAND, "A program and its arguments, without a shell."),
        "call": {
            "description": "A Python function, package.module:function.",
            "type": "string",
            "pattern": rf"^{_DOTTED}:{_DOTTED}$",
        },
        "pipeline": _said(_FILLED, "Another pipeline, by its name or its path."),
        "with": {
            "description": "The arguments of the function, or the parameters of the pipeline.",
            "type": "object",
        },
        "env": {
            "description": "Variables for this job.",
            "type": "object",
            "propertyNames": {"pattern": _VARIABLE},
            "additionalProperties": _WRITTEN,
        },
        "cwd": _said(_FILLED, "The folder it runs in, relative to the project folder."),
        "timeout": _said(_duration(), "How long one attempt may take."),
        "total_timeout": _said(_duration(), "How long all attempts may take together."),
        "retries": {
            "description": "How often it is tried again, and when.",
            "if": {"type": "object"},
            "then": {"$ref": "#/$defs/retries"},
            "else": _whole(0, MOST_RETRIES),
        },
        "isolation": {
            "description": "`process`: a call runs in a Python of its own.",
            "enum": ["thread", "process"],
        },
        "tags": {
            "description": "Words by which jobs can be selected.",
            "type": "array",
            "items": _LABEL,
        },
        "limits": {
            "description": "What it needs of which limits: names, or how many units by name.",
            "type": ["array", "object"],
            "items": {"type": "string", "pattern": _LIMIT},
            "uniqueItems": True,
            "propertyNames": {"pattern": _LIMIT},
            "additionalProperties": _whole(1, MOST_UNITS),
        },
        "idempotency_key": _said(_FILLED, "Once it has succeeded under it, it is not run again."),
        "allow_failure": _said(_FLAG, "Its failure neither fails the run nor stops it."),
        "loop": {"description": "What it is repeated for.", "$ref": "#/$defs/loop"},
        "matrix": {
            "description": "Values by name: it is repeated for each combination.",
            "$ref": "#/$defs/matrix",
        },
        "description": _said(_TEXT, "For people; no effect."),
    }
    one_action = [_needs(name) for name in ("run", "command", "call", "pipeline")]
    has_arguments = {"anyOf": [_needs("call"), _needs("pipeline")]}
    alone = {"properties": dict.fromkeys(("env", "cwd", "isolation", "limits"), False)}
    return {
        **_mapping(properties),
        "oneOf": one_action,
        "dependentRequired": {"isolation": ["call"]},
        "dependentSchemas": {"with": has_arguments, "pipeline": alone, "call": _call_arguments()},
        "not": _needs("loop", "matrix"),
    }


def _call_arguments() -> Schema:
    return {"properties": {"with": {"propertyNames": {"pattern": _IDENTIFIER}}}}


def _retries() -> Schema:
    properties = {
        "max": _said(_whole(0, MOST_RETRIES), "How many further attempts there are."),
        "backoff": _said(_duration(0), "The wait before the second attempt."),
        "factor": {
            "description": "What each further wait is longer by.",
            "type": "number",
            "minimum": 1,
            "maximum": 1000,
        },
        "max_backoff": _said(_duration(0), "The longest wait."),
        "jitter": _said(_FLAG, "Shorten each wait by up to a half, at random."),
        "on_exit_codes": {
            "description": "Only after these exit codes.",
            "type": "array",
            "minItems": 1,
            "items": _whole(1, 255),
        },
    }
    return {**_mapping(properties), **_needs("max")}


def _parameter() -> Schema:
    properties = {
        "type": {"description": "What it must be.", "enum": list(KINDS)},
        "default": {
            "description": "What it is when it is not given.",
            "type": ["string", "number", "boolean", "array", "null"],
        },
        "required": _said(_FLAG, "It must be given, and has no default."),
        "choices": {
            "description": "What it may be.",
            "type": "array",
            "minItems": 1,
            "items": {"type": ["string", "number", "boolean", "array"]},
        },
        "description": _said(_TEXT, "For people; no effect."),
    }
    required = {"required": {"const": True}}
    no_default = {"properties": {"default": False}}
    when_required = {"if": {"properties": required, "required": ["required"]}, "then": no_default}
    return {**_mapping(properties), **when_required}


def _limits() -> Schema:
    properties = {
        "capacity": _said(_whole(1, MOST_UNITS), "How many units may be in use at once."),
        "rate": {
            "description": f"How many units may start in a time: {RATE_EXAMPLES}.",
            "type": "string",
            "pattern": f"^{RATE_PATTERN}$",
        },
    }
    some = {"anyOf": [_needs(name) for name in properties]}
    return {
        "type": "object",
        "propertyNames": {"pattern": _LIMIT},
        "additionalProperties": {
            "if": {"type": "object"},
            "then": {**_mapping(properties), **some},
            "else": _whole(1, MOST_UNITS),
        },
    }


def _hooks(description: str) -> Schema:
    """The hooks of one moment."""
    either = {"if": {"type": "object"}, "then": {"$ref": "#/$defs/hook"}, "else": _FILLED}
    return {"description": description, "type": "array", "items": either}


def _hook() -> Schema:
    properties = {
        "run": _said(_FILLED, "A line for the shell."),
        "command": _said(_COMMAND, "A program and its arguments, without a shell."),
        "url": {
            "description": "An address that is sent the run as JSON.",
            "type": "string",
            "pattern": ADDRESS,
        },
        "headers": {
            "description": "Headers of that.",
            "type": "object",
            "propertyNames": {"pattern": HEADER},
            "additionalProperties": _WRITTEN,
        },
        "timeout": _said(_duration(), "How long it may take; by default 30 seconds."),
    }
    one_action = [_needs(name) for name in ("run", "command", "url")]
    depends = {"headers": ["url"]}
    return {**_mapping(properties), "oneOf": one_action, "dependentRequired": depends}


def _secret() -> Schema:
    path = {"type": "string", "pattern": r"^(?=[\s\S]*\S)[^\u0000]+$"}
    file = {**_mapping({"file": _said(path, "The file that holds it.")}), **_needs("file")}
    return {
        "type": ["string", "object"],
        "if": {"type": "object"},
        "then": {
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"pattern": _VARIABLE},
            "additionalProperties": file,
        },
        "else": {"pattern": r"^(?=[\s\S]*\S)[^=\u0000]+$"},
    }


def _duration(least: int | None = None) -> Schema:
    """A duration of more than nothing, or of at least so many seconds."""
    limits = {"exclusiveMinimum": 0} if least is None else {"minimum": least}
    return {
        "type": ["string", "number"],
        "pattern": r"^([0-9]{1,10}(\.[0-9]{1,9})?(ms|[dhms]))+$",
        "maximum": MOST_S,
        **limits,
    }


def _whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _mapping(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _needs(*names: str) -> Schema:
    return {"required": list(names)}


def _said(schema: Schema, description: str) -> Schema:
    return {"description": description, **schema}
