"""Named limits: what jobs that run at the same time share, in one run or on one machine.

A job takes all its limits at once or none, so nobody holds one while waiting for another, and
there is no deadlock. Who was refused claims what it lacked: nobody behind it takes of that before
it has started, so a job that needs many units does not starve (`claims` of the queue in a run,
`line` between runs). `run` counts for one run, `host` for all runs of a user on a machine,
`window` counts starts, and `allocation` puts the first two together.
"""

from lorchestra.limits.allocation import Limits
from lorchestra.limits.answers import Grant, Refusal, Shortage, Ticket
from lorchestra.limits.checking import check_limits, limit_mistake

__all__ = [
    "Grant",
    "Limits",
    "Refusal",
    "Shortage",
    "Ticket",
    "check_limits",
    "limit_mistake",
]
