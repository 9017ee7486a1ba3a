"""Which licence a distribution states: three places to look in, many spellings of few names."""

from __future__ import annotations

import re
from email.message import Message

NOT_STATED = "not stated"

_CLASSIFIER = "License :: "

# A spelling is the set of its words, without those that say nothing: "The MIT License (MIT)" is
# {mit}. Only spellings that leave no doubt are here: "BSD License" could be any of four.
_SPELLINGS = {
    "0BSD": ["0bsd"],
    "AGPL-3.0-only": ["gnu affero general public v3", "agpl 3.0", "agplv3"],
    "Apache-2.0": ["apache 2.0", "apache 2", "apache software 2.0", "apache v2", "apache v2.0"],
    "BSD-2-Clause": ["bsd 2 clause", "simplified bsd"],
    "BSD-3-Clause": ["bsd 3 clause", "new bsd", "modified bsd"],
    "CC0-1.0": ["cc0 1.0 universal public domain dedication", "cc0"],
    "GPL-2.0-only": ["gnu general public v2 gplv2", "gplv2"],
    "GPL-2.0-or-later": ["gnu general public v2 or later gplv2+", "gplv2+"],
    "GPL-3.0-only": ["gnu general public v3 gplv3", "gplv3"],
    "GPL-3.0-or-later": ["gnu general public v3 or later gplv3+", "gplv3+"],
    "ISC": ["isc", "isc iscl"],
    "LGPL-2.1-or-later": ["lgpl 2.1+", "lgplv2.1+"],
    "LGPL-3.0-only": ["gnu lesser general public v3 lgplv3", "lgplv3"],
    "LGPL-3.0-or-later": ["gnu lesser general public v3 or later lgplv3+", "lgplv3+"],
    "MIT": ["mit", "expat"],
    "MIT-0": ["mit no attribution 0", "mit 0"],
    "MPL-2.0": ["mpl 2.0", "mozilla public 2.0", "mozilla public 2.0 mpl"],
    "PSF-2.0": ["psf 2.0", "python software foundation"],
    "Unlicense": ["unlicense"],
    "Zlib": ["zlib"],
}
_WORDS_THAT_SAY_NOTHING = {"the", "license", "licence", "version"}


def licence(headers: Message) -> tuple[str, str]:
    """Say which licence a distribution states, and where.

    Returns:
        An SPDX identifier or expression where there is no doubt, else the distribution's own words;
        and `expression`, `field` or `classifier`. `NOT_STATED` and an empty text when it says none.
    """
    if expression := headers.get("License-Expression"):
        return expression, "expression"
    field = _first_line(headers.get("License", ""))
    if spdx := _spdx(field):
        return spdx, "field"
    if classified := _classified(headers):
        return classified, "classifier"
    return (field, "field") if field else (NOT_STATED, "")


def _classified(headers: Message) -> str:
    stated = (text for text in headers.get_all("Classifier", []) if text.startswith(_CLASSIFIER))
    names = (text.rpartition(" :: ")[2] for text in stated)
    return "; ".join(_spdx(name) or name for name in names if name != "OSI Approved")


def _first_line(field: str) -> str:
    # Some put the whole text of their licence here; its first line mostly is its name.
    lines = [line.strip() for line in field.splitlines() if line.strip()]
    return "" if not lines or lines[0] == "UNKNOWN" else lines[0][:80]


def _spdx(name: str) -> str:
    return _SPDX.get(_words(name), "")


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9.+]+", name.lower())) - _WORDS_THAT_SAY_NOTHING


_SPDX = {
    _words(spelling): spdx
    for spdx, spellings in _SPELLINGS.items()
    for spelling in (spdx, *spellings)
}
