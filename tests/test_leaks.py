"""The check that every test runs under finds what is left behind."""

from __future__ import annotations

import os
import threading

import pytest

from tests.leaks import DESCRIPTORS, nothing_left_behind

needs_list_of_descriptors = pytest.mark.skipif(
    not DESCRIPTORS.is_dir(), reason="the system does not list the descriptors of a process"
)


@needs_list_of_descriptors
def test_a_descriptor_left_open_is_found() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    named = pytest.raises(AssertionError, match=f"descriptor {writer} of pipe")
    with named, nothing_left_behind(grace_s=0):
        leaked = os.dup(reader)
    os.close(leaked)
    os.close(reader)


def test_a_thread_left_running_is_found() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left-running", daemon=True)
    with pytest.raises(AssertionError, match="left-running"), nothing_left_behind(grace_s=0):
        thread.start()
    stop.set()
    thread.join()


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    with nothing_left_behind():
        threading.Thread(target=threading.Event().wait, args=(0.1,)).start()


def test_what_was_there_before_is_not_counted() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, daemon=True)
    thread.start()
    with nothing_left_behind():
        pass
    stop.set()
    thread.join()
