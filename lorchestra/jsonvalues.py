"""JSON as others write it, read without a number that silently becomes another one."""

from __future__ import annotations

import re
from typing import Any

import orjson

INTEGERS = range(-(2**63), 2**64)  # what orjson, and so a record, can hold
_MOST_DIGITS = 20
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
# A text is one token, so that digits in it are none.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?')


def parsed_json(content: bytes) -> Any:
    """Read one JSON value.

    Raises:
        ValueError: It is no JSON, or has an integer beyond 64 bits, which a parser would round;
            the text says which.
    """
    value = orjson.loads(content)
    if _MANY_DIGITS.search(content):
        for token in _TOKENS.findall(content):
            digits = token.removeprefix(b"-")
            if digits.isdigit() and (len(digits) > _MOST_DIGITS or int(token) not in INTEGERS):
                shown = (
                    token.decode()
                    if len(token) <= 2 * _MOST_DIGITS
                    else f"one of {len(digits)} digits"
                )
                raise ValueError(f"integers have at most 64 bits, not {shown}")
    return value
