"""The command line: read options, make one call, print, exit.

Data goes to stdout, everything else to stderr.
"""

from lorchestra.cli.root import run

__all__ = ["run"]
