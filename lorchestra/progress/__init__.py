"""What a user sees while a run goes on: events, and the handlers that show them."""

from lorchestra.progress.events import (
    Event,
    Handler,
    HookFailed,
    JobChosen,
    JobFinished,
    JobGivenUp,
    JobHeld,
    JobNotRun,
    JobStarted,
    OrphanFound,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)

__all__ = [
    "Event",
    "Handler",
    "HookFailed",
    "JobChosen",
    "JobFinished",
    "JobGivenUp",
    "JobHeld",
    "JobNotRun",
    "JobStarted",
    "OrphanFound",
    "RunFinished",
    "RunStarted",
    "StageFinished",
    "StageStarted",
]
