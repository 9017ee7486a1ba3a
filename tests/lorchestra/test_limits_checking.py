"""Limits that no job can ever have are refused before anything runs."""

from __future__ import annotations

import pytest

from lorchestra.errors import LimitError
from lorchestra.limits import check_limits
from lorchestra.model import Job, Shell
from lorchestra.quota import Quota, Rate


def job(**limits: int) -> Job:
    return Job("j", Shell(":"), limits=limits)


def mistakes(needs: Job, *quotas: Quota) -> tuple[str, ...]:
    with pytest.raises(LimitError) as caught:
        check_limits([needs], quotas)
    assert caught.value.exit_code == 2
    return caught.value.mistakes


def test_what_can_be_had_is_fine() -> None:
    check_limits([job(a=2, b=1)], [Quota("a", 2), Quota("b", rate=Rate(1, "s"))])


def test_a_limit_that_nothing_defines() -> None:
    assert mistakes(job(bigqeury=1), Quota("bigquery", 1)) == (
        (
            "job 'j': limit 'bigqeury' is not defined, neither under limits of the pipeline nor in "
            "the configuration (did you mean bigquery?)"
        ),
    )


def test_more_units_than_there_ever_are() -> None:
    assert mistakes(job(a=3), Quota("a", 5), Quota("a", 2, scope="host")) == (
        "job 'j': 3 units are more than there ever are of limit a: 2 at once on this machine",
    )
    assert mistakes(job(a=3), Quota("a", 5, Rate(2, "h"))) == (
        "job 'j': 3 units are more than there ever are of limit a: 5 at once, 2/h in this run",
    )


def test_no_units() -> None:
    assert mistakes(job(a=0), Quota("a", 5)) == (
        "job 'j': a job needs at least 1 unit of limit 'a', not 0",
    )


def test_a_limit_of_the_machine_is_defined_once() -> None:
    assert mistakes(job(), Quota("a", 1, scope="host"), Quota("a", 2, scope="host")) == (
        "limit 'a' is defined twice for this machine",
    )
