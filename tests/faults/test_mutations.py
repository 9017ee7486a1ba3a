"""Every mutation can be made: the text that it changes stands in the module, once."""

from __future__ import annotations

from pathlib import Path

import pytest

import runstore
from tests.faults.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_step_is_there_to_be_taken_away(mutation: Mutation) -> None:
    text = (Path(runstore.__file__).parent / mutation.module).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
