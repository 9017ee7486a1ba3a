"""How values and near misses are put into words for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_QUOTED_LENGTH = 60
_LONGEST_GUESS = 100


def printable(text: str) -> str:
    """The text on one line, with escapes for what would move the cursor or change how it looks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """The text in quotes, on one line, of at most 60 characters."""
    return repr(cut(text, _QUOTED_LENGTH))


def cut(text: str, at_most: int) -> str:
    """The text, or as much of it, with an ellipsis, as fits into so many characters.

    The ellipsis tells who masks secrets that one may end there.
    """
    return text if len(text) <= at_most else f"{text[: at_most - 3]}..."


def near(word: str, known: Iterable[str], at_most: int = 3) -> tuple[str, ...]:
    """The known words that look like the one given, best first, upper and lower case alike.

    The cost grows with the number of known words and the square of their length; words of more
    than 100 characters have no near ones.
    """
    import difflib

    if len(word) > _LONGEST_GUESS:
        return ()
    folded = {name.casefold(): name for name in known if len(name) <= _LONGEST_GUESS}
    return tuple(
        folded[match] for match in difflib.get_close_matches(word.casefold(), folded, n=at_most)
    )


def did_you_mean(names: Sequence[str]) -> str:
    """The question to put behind a message, with a space before it; empty without names."""
    return f" (did you mean {' or '.join(names)}?)" if names else ""
