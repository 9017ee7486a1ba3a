"""Say that a process is about to resume a run, until the run's new file says so itself.

The new file is created exclusively, so one process has it. But until its `begin` is written nobody
else can tell whose it is, nor whether that process still lives. So who resumes says so before, by
the name of an empty file, and takes that away when the `begin` is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator

from runstore import files, layout
from runstore.layout import Claim
from runstore.liveness import Owner, is_alive, this_process

_numbers = itertools.count(1)


@contextlib.contextmanager
def claimed(folder: str) -> Iterator[Claim]:
    """Claim a run while the context lasts.

    Raises:
        OSError: The file cannot be made.
    """
    owner = this_process()
    claim = Claim(owner.pid, owner.token, _hash(owner.host), next(_numbers))
    path = f"{folder}/{layout.claim_file(claim)}"
    files.close(files.create(path))
    try:
        yield claim
    finally:
        # One that stays says nothing any more once this process has ended.
        with contextlib.suppress(OSError):
            files.remove(path)


def other_claim(folder: str, own: Claim) -> Owner | None:
    """The process, other than this claim's, that may be about to resume a run; None: there is none.

    What killed processes left is removed.
    """
    for name in files.names(folder):
        claim = layout.parse_claim_file(name)
        if claim is None or claim == own:
            continue
        owner = _owner(claim)
        if owner is None or is_alive(owner) is not False:
            return owner or Owner("another host", claim.pid, claim.token)
        with contextlib.suppress(OSError):
            files.remove(f"{folder}/{name}")
    return None


def _owner(claim: Claim) -> Owner | None:
    """The process of a claim; None when it is on another host."""
    host = this_process().host
    return Owner(host, claim.pid, claim.token) if claim.host_hash == _hash(host) else None


def _hash(host: str) -> str:
    return hashlib.sha256(host.encode(errors="surrogateescape")).hexdigest()[:16]
