"""From the bytes of a YAML file to its text.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one. What is not text is refused
here, with its place, because the YAML parsers only know its offset.
"""

from __future__ import annotations

import codecs
import re

from lorchestra.loader.yamlerror import YamlError, place_after

# Longest first: the mark of UTF-16 (little endian) begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decoded(data: bytes) -> str:
    """The text of a file, without its byte order mark.

    Raises:
        YamlError: The bytes are no text, or the text has a character that YAML does not allow.
    """
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    data = data[len(mark) :]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding)
        raise _error_after(before, f"not valid {encoding[:6].rstrip('-').upper()} text") from None
    if wrong := _NOT_YAML.search(text):
        raise _error_after(text[: wrong.start()], _unwanted(wrong[0]))
    return text


def _unwanted(character: str) -> str:
    name = "a NUL byte" if character == "\0" else f"the control character U+{ord(character):04X}"
    return f"{name} is not allowed in YAML; is this a text file?"


def _error_after(text: str, message: str) -> YamlError:
    line, column = place_after(text)
    return YamlError(line, column, message)
