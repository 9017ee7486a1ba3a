"""The safety steps of the store, each as the change that takes it away.

A step that can be taken away without a test noticing is a step that nobody guards.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One safety step taken away.

    Attributes:
        name: What is taken away.
        module: The file in `runstore/` that it is taken from.
        old: The text as it stands there, once.
        new: What stands there instead.
        tests: Where a test that notices is expected, below `tests/`.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


MENDING = "faults/test_goals.py::test_nothing_is_lost_missed_or_raised_for_nothing[11]"

MUTATIONS = (
    Mutation(
        "fsync of files",
        "files.py",
        "        os.fdatasync(descriptor)\n",
        "        pass\n",
        ("runstore/test_files.py", "runstore/test_durability.py"),
    ),
    Mutation(
        "fsync of folders",
        "files.py",
        "            os.fsync(descriptor)\n    finally:",
        "            pass\n    finally:",
        ("runstore/test_files.py", "runstore/test_durability.py"),
    ),
    Mutation(
        "sync of an attempt's file before it is acknowledged",
        "writing/run.py",
        "    def _sync(self) -> None:\n        self._segment.sync()\n",
        "    def _sync(self) -> None:\n",
        ("runstore/test_durability.py",),
    ),
    Mutation(
        "sync of the folder of attempts",
        "writing/run.py",
        "            self._run.jobs_folder.sync(self._ticket)\n",
        "            pass\n",
        ("runstore/test_durability.py",),
    ),
    Mutation(
        "sync of the plan before the first job",
        "writing/run.py",
        '            for folder in (self.path, f"{store}/{layout.RUNS}", store):\n',
        "            for folder in ():\n",
        ("runstore/test_durability.py",),
    ),
    Mutation(
        "the check of prev",
        "lines/scan.py",
        "            return frame.prev == self._previous\n",
        "            return True\n",
        ("runstore/test_scan.py",),
    ),
    Mutation(
        "the check of n: numbers that have passed",
        "lines/scan.py",
        "        if frame.n < self._next_n:\n",
        "        if False:\n",
        ("runstore/test_scan.py",),
    ),
    Mutation(
        "the check of n: numbers left out",
        "lines/scan.py",
        "        is_gap = missing > 0 and self._bad_lines == 0\n",
        "        is_gap = False\n",
        ("runstore/test_scan.py",),
    ),
    Mutation(
        "nothing follows an end",
        "lines/scan.py",
        "        if self.ended or (",
        "        if (",
        ("runstore/test_scan.py",),
    ),
    Mutation(
        "the end record of a run",
        "writing/run.py",
        '                "end", {"status": status, "counts": dict(counts), **fields}\n',
        '                "ended", {"status": status, "counts": dict(counts), **fields}\n',
        ("runstore/test_run.py", "runstore/test_store.py"),
    ),
    Mutation(
        "the witness in done",
        "writing/run.py",
        '{**fields, "last_n": last.n, "last_crc": last.crc}',
        "fields",
        ("runstore/test_run.py", "runstore/test_damage.py"),
    ),
    Mutation(
        "the witness is held against the file",
        "lines/scan.py",
        "        return self.last is None or self.last.n < self.witness.n\n",
        "        return False\n",
        ("runstore/test_scan.py",),
    ),
    Mutation(
        "strict hex: the checksum compared as text",
        "lines/record.py",
        'line[end:] != b\',"crc":"%b"}\' % crc.encode()',
        'line[end:].lower() != b\',"crc":"%b"}\' % crc.encode()',
        ("runstore/test_record.py", "runstore/test_scan.py"),
    ),
    Mutation(
        "the checksum itself",
        "lines/record.py",
        '    crc = f"{crc32(line[:end]):08x}"\n    if end',
        "    crc = line[end + 8 : end + 16].decode('latin-1')\n    if end",
        ("runstore/test_record.py",),
    ),
    Mutation(
        "the poison flag after a failed write",
        "writing/segment.py",
        "        if self._poison is not None:\n            raise",
        "        if False:\n            raise",
        ("runstore/test_segment.py",),
    ),
    Mutation(
        "a short write is a failure",
        "files.py",
        "    if written != len(data):\n",
        "    if False:\n",
        ("runstore/test_files.py", "runstore/test_segment.py"),
    ),
    Mutation(
        "O_EXCL: a file has one writer in its life",
        "files.py",
        "os.O_CREAT | os.O_EXCL |",
        "os.O_CREAT |",
        ("runstore/test_files.py", "runstore/test_segment.py"),
    ),
    Mutation(
        "a forked process may not write",
        "writing/forks.py",
        "    os.register_at_fork(after_in_child=_count)\n",
        "    pass\n",
        ("runstore/test_segment.py",),
    ),
    Mutation(
        "the torn tail is held against what must come",
        "lines/tail.py",
        "    if not _begins_like(written, head):\n        return False\n",
        "",
        ("runstore/test_tail.py", "runstore/test_scan.py"),
    ),
    Mutation(
        "a first record is held against its path",
        "reading/inventory.py",
        "        and layout.job_name(job_id) == key.name\n",
        "",
        ("runstore/test_inventory.py", "runstore/test_verify.py"),
    ),
    Mutation(
        "links are not followed",
        "files.py",
        " | os.O_NOFOLLOW",
        "",
        ("runstore/test_files.py", "runstore/test_scan.py"),
    ),
    Mutation(
        "what cannot be seen is not nothing",
        "files.py",
        "    return _mode(path) != 0\n",
        "    return os.path.lexists(path)\n",
        ("runstore/test_files.py",),
    ),
    Mutation(
        "the original of a mended file is kept",
        "mending/mender.py",
        "original = self.keep_original(path)\n        self._note(path, rebuilt",
        "original = None\n        self._note(path, rebuilt",
        ("runstore/test_repair.py",),
    ),
    Mutation(
        "sync of a mended or sealed file before it takes its name",
        "files.py",
        "        yield functools.partial(append, descriptor)\n        sync_file(descriptor)\n",
        "        yield functools.partial(append, descriptor)\n",
        (MENDING,),
    ),
    Mutation(
        "sync of the folder after a file took its name",
        "files.py",
        "    os.replace(source, path)\n    sync_folder(os.path.dirname(path))\n",
        "    os.replace(source, path)\n",
        (MENDING,),
    ),
    Mutation(
        "what was sealed is compared before the files are removed",
        "upkeep/compact.py",
        "            if one != two:\n",
        "            if False:\n",
        ("runstore/test_compact.py",),
    ),
)
