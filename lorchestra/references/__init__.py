"""References: `@run.job.field` for a whole value, `${params.day}` inside a text. All of it is pure.

`template` finds them in a text, `scope` knows what they stand for, `shellline` puts values into a
line for the shell so that data cannot become commands.
"""

from lorchestra.references.scope import (
    IN_LOOPS,
    Known,
    ReferenceFailedError,
    Scope,
    data_of,
    is_known,
    job_named,
    mistake_in,
    shown,
    text_of,
    value_of,
)
from lorchestra.references.shellline import shell_line, shell_mistake, shown_line
from lorchestra.references.template import (
    Reference,
    Template,
    only_reference,
    parse,
    references_in,
)

__all__ = [
    "IN_LOOPS",
    "Known",
    "Reference",
    "ReferenceFailedError",
    "Scope",
    "Template",
    "data_of",
    "is_known",
    "job_named",
    "mistake_in",
    "only_reference",
    "parse",
    "references_in",
    "shell_line",
    "shell_mistake",
    "shown",
    "shown_line",
    "text_of",
    "value_of",
]
