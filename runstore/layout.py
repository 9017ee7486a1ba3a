"""Every file name of a store, made and parsed in one place.

    STORE/store.json, STORE/.gitignore
    STORE/runs/<run_id>/run.jsonl, run.2.jsonl, ...
    STORE/runs/<run_id>/jobs/<name>.a<N>.jsonl
    STORE/runs/<run_id>/logs/<name>.a<N>.log, <name>.a<N>.output
    STORE/runs/<run_id>/resume.<pid>.<token>.<host>.<n>.tmp
    STORE/runs/<run_id>/sealed.jsonl, sealed.2.jsonl, ... instead of the files of records
    STORE/runs/<run_id>.pruned
    STORE/locks/<name>.lock, <hash>~key.lock

`<name>` is the job id itself where that is portable, else a slug of it, `~`, and 16 hex digits of a
hash. Portable names have no `~`, so the two kinds never meet; all are lower-case ASCII, so no file
system folds two of them into one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import NamedTuple, TypeGuard

from runstore.errors import RecordError

STORE_FILE = "store.json"
IGNORE_FILE = ".gitignore"
RUNS = "runs"
JOBS = "jobs"
LOGS = "logs"
LOCKS = "locks"
SEALED = "sealed"  # an empty folder that says that there is a sealed file
RUN_FOLDERS = frozenset({JOBS, LOGS, SEALED})
DAMAGED_SUFFIX = ".damaged"
TEMPORARY_SUFFIX = ".tmp"
HOLDER_SUFFIX = ".holder"
PRUNED_SUFFIX = ".pruned"

MAX_JOB_ID_BYTES = 10_000
MAX_ATTEMPT = 999_999_999
MAX_RUN_KEY = 10_000
_MAX_PORTABLE = 80
_MAX_SLUG = 40
_PORTABLE = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SLUGGED = re.compile(r"[a-z0-9_-]{1,40}~[0-9a-f]{16}")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9_-]+")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file; the forms with superscript digits
# and with $ cannot be portable names anyway.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"com{digit}" for digit in range(10)}
    | {f"lpt{digit}" for digit in range(10)}
)
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_ULID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ATTEMPT_FILE = re.compile(r"(.+)\.a([1-9][0-9]{0,8})\.jsonl")
_LOG_FILE = re.compile(r"(.+)\.a([1-9][0-9]{0,8})\.(?:log|output)")
_CLAIM_FILE = re.compile(r"resume\.([1-9][0-9]*)\.(.*)\.([0-9a-f]{16})\.([0-9]+)\.tmp")
_RUN_FILE = re.compile(r"run(?:\.([2-9]|[1-9][0-9]{1,8}))?\.jsonl")
_SEALED_FILE = re.compile(r"sealed(?:\.([2-9]|[1-9][0-9]{1,8}))?\.jsonl")


class AttemptKey(NamedTuple):
    """Which attempt a file belongs to, as far as its name tells."""

    name: str
    attempt: int


class Claim(NamedTuple):
    """Who is about to resume a run: a process, by a hash of its host's name, and which try."""

    pid: int
    token: str
    host_hash: str
    number: int


def new_run_id(time_ns: int | None = None) -> str:
    """Make a run id: a UUIDv7, lower case.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, section 6.2,
    method 3), so that ids made on one machine sort by time to a quarter of a microsecond.
    """
    milliseconds, rest = divmod(time.time_ns() if time_ns is None else time_ns, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = secrets.randbits(62)
    number = milliseconds << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | random
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_run_id(name: object) -> TypeGuard[str]:
    """Tell whether a folder of `runs/` can be a run: a UUIDv7 or a ULID, lower case."""
    return isinstance(name, str) and bool(_RUN_ID.fullmatch(name) or _ULID.fullmatch(name))


def time_of(run_id: str) -> float:
    """When a run was created, in seconds since 1970, by its id."""
    if _RUN_ID.fullmatch(run_id):
        return int(run_id[:8] + run_id[9:13], 16) / 1000
    milliseconds = 0
    for digit in run_id[:10]:
        milliseconds = milliseconds << 5 | _ULID_DIGITS.index(digit)
    return milliseconds / 1000


def is_pruned(name: str) -> bool:
    """Tell whether a folder of `runs/` is what is left of a run that is being removed."""
    return name.endswith(PRUNED_SUFFIX) and is_run_id(name.removesuffix(PRUNED_SUFFIX))


def is_job_id(value: object) -> TypeGuard[str]:
    """Tell whether a value, of a file that anybody may have written, can be a job id."""
    try:
        return isinstance(value, str) and bool(job_name(value))
    except RecordError:
        return False


def job_name(job_id: str) -> str:
    """Give the name that a job's files have.

    Raises:
        RecordError: The id is empty, longer than 10,000 bytes, or no text that UTF-8 can hold.
    """
    if not isinstance(job_id, str):
        raise RecordError(f"a job id is a text, not {job_id!r}")
    try:
        exact = job_id.encode()
    except UnicodeEncodeError:
        raise RecordError(f"job id {job_id!r} holds a lone surrogate") from None
    if not 0 < len(exact) <= MAX_JOB_ID_BYTES:
        raise RecordError(f"a job id has 1 to {MAX_JOB_ID_BYTES} bytes, not {len(exact)}")
    if _is_portable(job_id):
        return job_id
    slug = _NOT_IN_SLUG.sub("-", job_id[: 4 * _MAX_SLUG].lower()).strip("-")[:_MAX_SLUG]
    return f"{slug or 'job'}~{hashlib.sha256(exact).hexdigest()[:16]}"


def check_pipeline(pipeline: str) -> None:
    """Refuse what names no pipeline: its runs could not be resumed.

    Raises:
        RecordError: It is empty, or no text.
    """
    if not isinstance(pipeline, str) or not pipeline:
        raise RecordError(f"a pipeline is named by a text, not {pipeline!r}")


def check_run_key(run_key: str) -> None:
    """Refuse what is no run key.

    Raises:
        RecordError: It is empty, longer than 10,000 characters, has a NUL character, or is no text
            that UTF-8 can hold.
    """
    if not isinstance(run_key, str) or not 0 < len(run_key) <= MAX_RUN_KEY:
        size = len(run_key) if isinstance(run_key, str) else repr(run_key)
        raise RecordError(f"a run key has 1 to {MAX_RUN_KEY} characters, not {size}")
    if "\0" in run_key:
        raise RecordError("a run key has no NUL character")
    try:
        run_key.encode()
    except UnicodeEncodeError:
        raise RecordError("a run key is text that UTF-8 can hold") from None


def key_name(pipeline: str, run_key: str) -> str:
    """Give the name that the files of a held run key have; no job's, and no pipeline's, is like it.

    Raises:
        RecordError: It is no run key, or the pipeline's name cannot be one.
    """
    check_run_key(run_key)
    exact = f"{job_name(pipeline)}\0{run_key}".encode()
    return f"{hashlib.sha256(exact).hexdigest()[:32]}~key"


def _is_portable(job_id: str) -> bool:
    return (
        len(job_id) <= _MAX_PORTABLE
        and _PORTABLE.fullmatch(job_id) is not None
        and not job_id.endswith(".")
        and job_id.partition(".")[0] not in _DEVICES
    )


def run_folder(store: str, run_id: str) -> str:
    """The folder of one run."""
    return f"{store}/{RUNS}/{run_id}"


def run_file(segment: int) -> str:
    """The name of a run's own segment, 1 for the first."""
    return "run.jsonl" if segment == 1 else f"run.{segment}.jsonl"


def sealed_file(number: int) -> str:
    """The name of a sealed file, 1 for the first."""
    return "sealed.jsonl" if number == 1 else f"sealed.{number}.jsonl"


def attempt_file(name: str, attempt: int) -> str:
    """The name of an attempt's segment, below the run's folder."""
    return f"{JOBS}/{name}.a{attempt}.jsonl"


def log_file(name: str, attempt: int) -> str:
    """The name of what the attempt printed, below the run's folder."""
    return f"{LOGS}/{name}.a{attempt}.log"


def output_file(name: str, attempt: int) -> str:
    """The name of what the attempt left as output, below the run's folder."""
    return f"{LOGS}/{name}.a{attempt}.output"


def claim_file(claim: Claim) -> str:
    """The name, in the run's folder, of the file that says who is about to resume it."""
    return f"resume.{claim.pid}.{claim.token}.{claim.host_hash}.{claim.number}{TEMPORARY_SUFFIX}"


def parse_claim_file(filename: str) -> Claim | None:
    """Give what the name of such a file says; None for other files."""
    found = _CLAIM_FILE.fullmatch(filename)
    return Claim(int(found[1]), found[2], found[3], int(found[4])) if found else None


def parse_run_file(filename: str) -> int | None:
    """Give the segment's number, from 1, of `run.jsonl` or `run.<N>.jsonl`; None for others."""
    found = _RUN_FILE.fullmatch(filename)
    return int(found[1] or 1) if found else None


def parse_sealed_file(filename: str) -> int | None:
    """Give the number, from 1, of `sealed.jsonl` or `sealed.<N>.jsonl`; None for others."""
    found = _SEALED_FILE.fullmatch(filename)
    return int(found[1] or 1) if found else None


def parse_attempt_file(filename: str) -> AttemptKey | None:
    """Give the attempt of a file of `jobs/`, without that folder; None for other files.

    A name that no job has is none: what stands under it could pass for the file of a job whose id
    is that name.
    """
    found = _ATTEMPT_FILE.fullmatch(filename)
    if found is None or not (_is_portable(found[1]) or _SLUGGED.fullmatch(found[1])):
        return None
    return AttemptKey(found[1], int(found[2]))


def parse_log_file(filename: str) -> AttemptKey | None:
    """Give the attempt of a file of `logs/`, without that folder; None for other files."""
    found = _LOG_FILE.fullmatch(filename)
    return AttemptKey(found[1], int(found[2])) if found else None
