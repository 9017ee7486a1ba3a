"""What a user sees while a run goes on: events, and the handlers that show them."""

from lorchestra.progress.events import (
    Event,
    Handler,
    InChild,
    ItemGone,
    JobChosen,
    JobFinished,
    JobGivenUp,
    JobNotRun,
    JobStarted,
    LoopUnfolded,
    OrphanFound,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)

__all__ = [
    "Event",
    "Handler",
    "InChild",
    "ItemGone",
    "JobChosen",
    "JobFinished",
    "JobGivenUp",
    "JobNotRun",
    "JobStarted",
    "LoopUnfolded",
    "OrphanFound",
    "RunFinished",
    "RunStarted",
    "StageFinished",
    "StageStarted",
]
