"""What stands after the last line feed of a file: a write that was cut short, or damage.

A process killed while it writes leaves the beginning of a line. A power cut can leave NUL bytes
after that, up to the length that the file was to have. Both are normal at the end of a file that
nobody vouched for. Everything else is damage, so a tail is held against what the next record must
begin with: its number, the checksum of the line before it, and from there on well-formed JSON.
"""

from __future__ import annotations

import codecs
import re

_AT_AND_EVENT = b'","at":"####-##-##T##:##:##.######Z","event":"'
_WILDCARDS = {ord("#"): b"0123456789", ord("x"): b"0123456789abcdef"}

# Possessive: what can be gone back to costs some 200 bytes of memory for each byte matched.
_CHARACTERS = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_STRING = re.compile(rb'"%b"' % _CHARACTERS)
_STRING_BEGINNING = re.compile(rb'"%b(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z' % _CHARACTERS)
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?=[,\]}])")
_NUMBER_BEGINNING = re.compile(
    rb"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]*)?\Z"
)
_WORDS = (b"true", b"false", b"null")


def is_torn_write(tail: bytes, n: int | None, prev: str | None) -> bool:
    """Tell whether a tail is the strict beginning of a record, and possibly NUL bytes after it.

    Args:
        tail: The bytes after the last line feed, possibly none.
        n: The number that the record would have; None: not known, because lines before are lost.
        prev: The checksum of the line before; None: not known.
    """
    written = tail.rstrip(b"\0")
    number = b"#" * _digits(written) if n is None else str(n).encode()
    previous = b"x" * 8 if prev is None else prev.encode()
    head = b'{"n":%b,"prev":"%b' % (number, previous) + _AT_AND_EVENT
    if not _begins_like(written, head):
        return False
    return len(written) <= len(head) or _is_json_beginning(written, len(head) - 1)


def _digits(written: bytes) -> int:
    """How many digits the number has that the tail itself gives."""
    found = re.match(rb'\{"n":(0|[1-9][0-9]{0,17})', written)
    return len(found[1]) if found else 1


def _begins_like(written: bytes, head: bytes) -> bool:
    return all(
        byte in _WILDCARDS[expected] if expected in _WILDCARDS else byte == expected
        for byte, expected in zip(written, head, strict=False)
    )


def _is_json_beginning(written: bytes, start: int) -> bool:  # noqa: C901 - one state machine
    """Tell whether the bytes are a JSON object that is cut off, from a place where a value stands.

    A pushdown scanner over the grammar of RFC 8259 without white space, by hand because parsers
    report where they stop but not whether more bytes could have helped.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(written)
    except UnicodeDecodeError:
        return False
    open_brackets = [b"}"]
    at, wanted = start, "value"
    while at < len(written):
        byte = written[at : at + 1]
        if wanted in {"value", "value or end"} and byte in b"[{":
            open_brackets.append(b"]" if byte == b"[" else b"}")
            wanted = "value or end" if byte == b"[" else "key or end"
            at += 1
        elif wanted in {"value or end", "key or end", "comma or end"} and byte == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return False  # a whole object is no strict beginning
            wanted = "comma or end"
            at += 1
        elif wanted == "comma or end" and byte == b",":
            wanted = "key" if open_brackets[-1] == b"}" else "value"
            at += 1
        elif wanted == "colon" and byte == b":":
            wanted = "value"
            at += 1
        elif wanted in {"key", "key or end"}:
            end = _token_end(written, at, strings_only=True)
            if end is None:
                return _is_token_beginning(written, at, strings_only=True)
            at, wanted = end, "colon"
        elif wanted in {"value", "value or end"}:
            end = _token_end(written, at, strings_only=False)
            if end is None:
                return _is_token_beginning(written, at, strings_only=False)
            at, wanted = end, "comma or end"
        else:
            return False
    return True


def _token_end(written: bytes, at: int, *, strings_only: bool) -> int | None:
    found = _STRING.match(written, at)
    if found is None and not strings_only:
        found = _NUMBER.match(written, at)
        for word in _WORDS:
            if written.startswith(word, at):
                return at + len(word)
    return found.end() if found else None


def _is_token_beginning(written: bytes, at: int, *, strings_only: bool) -> bool:
    if _STRING_BEGINNING.match(written, at):
        return True
    if strings_only:
        return False
    rest = written[at:]
    return bool(_NUMBER_BEGINNING.match(rest)) or any(word.startswith(rest) for word in _WORDS)
