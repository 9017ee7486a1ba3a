"""What a user sees of a run afterwards; all of it is read from the record."""

from lorchestra.report.logs import log_tail
from lorchestra.report.summary import run_object

__all__ = ["log_tail", "run_object"]
