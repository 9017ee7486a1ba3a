"""Whether this machine is fit for runs and their records: one check a module, each gives findings.

A check tries what it speaks of, in a folder of its own beside the store, and removes that. It never
touches the store itself.
"""

from lorchestra.health.checkup import check_up
from lorchestra.health.finding import Finding, Level

__all__ = ["Finding", "Level", "check_up"]
