"""Of what a process prints the last bytes are kept, and nobody waits for what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lorchestra.tail import Tail

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def printed(line: str, most_bytes: int = 100) -> bytes:
    with Tail(most_bytes) as tail:
        subprocess.run(["sh", "-c", line], stdout=tail.descriptor, check=True)
    return tail.content.rstrip(b"\n")


@needs_shell
@pytest.mark.parametrize("_round", range(20))
def test_all_that_it_printed_is_there(_round: int) -> None:
    assert printed("echo a; echo b") == b"a\nb"


@needs_shell
def test_of_a_lot_the_end_is_kept() -> None:
    assert printed("head -c 5000000 /dev/zero; printf end", 10).endswith(b"\0end")


@needs_shell
@pytest.mark.parametrize("background", ["sleep 600", "yes", "sleep 600 >&-"])
def test_what_is_left_in_the_background_is_not_waited_for(background: str) -> None:
    with Tail(100) as tail:
        child = subprocess.Popen(
            ["sh", "-c", f"exec {background}"], stdout=tail.descriptor, stderr=subprocess.DEVNULL
        )
    was_at_work = child.poll() is None
    child.kill()
    child.wait()
    assert was_at_work or background == "yes"  # which cannot write any more


def test_nothing_is_left_open() -> None:
    with Tail(10) as tail:
        descriptor = tail.descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
