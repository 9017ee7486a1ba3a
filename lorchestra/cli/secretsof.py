"""The secrets of a run that is looked at later, as far as their values are known by then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lorchestra.cli.printing import say
from lorchestra.errors import ConfigError
from lorchestra.masking import Mask, secrets_in
from lorchestra.secretvalues import read_secrets

if TYPE_CHECKING:
    from runstore import RunView


def mask_of(view: RunView) -> Mask:
    """What takes the secrets of a run out of its logs; says which of them are not known here."""
    values: dict[str, str] = {}
    for secret in secrets_in(view.begin.get("secrets")):
        try:
            found = read_secrets([secret], Path(), os.environ)
        except ConfigError as error:
            say(f"lorchestra: {error}; it is not masked")
            continue
        if not found:
            say(f"lorchestra: {secret.name} is not set here, so it is not masked")
        values.update(found)
    return Mask(values.values())
