"""Read one file of records while it is being written: what has come so far, and later the rest."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

from runstore import files
from runstore.lines.part import Part
from runstore.lines.record import MAX_LINE_BYTES, Position
from runstore.lines.scan import Judge, Line
from runstore.lines.splitter import Splitter, Text

_PIECE_BYTES = 1 << 18


class GrowingScan(Judge):
    """A scan that goes on where it stopped. `look` says how far it may go, `next_line` goes there.

    A line without its line feed may still be in the writing: it is left for later, until the file
    is looked at for the last time. No descriptor stays open, and memory is constant.
    """

    def __init__(self, part: Part, witness: Position | None = None) -> None:
        """Prepare to read a file, which may not be there yet."""
        super().__init__(witness or part.last)
        self._part = part
        self._splitter = Splitter(MAX_LINE_BYTES, part.lines_before + 1, part.start)
        self._texts: deque[Text] = deque()
        self._pending: Iterator[Text] = iter(())  # of the last piece: there can be very many
        self._read_bytes = 0
        self._seen_bytes = 0
        self._is_final = False
        self._has_rest = True

    def look(self, *, is_final: bool) -> None:
        """See how long the file is by now.

        Args:
            is_final: Nobody writes it any more: what stands after the last line feed is a line too.
        """
        self._is_final = is_final
        self._seen_bytes = self._size_bytes()
        is_gone = is_final and not self._seen_bytes and not files.exists(self._part.path)
        if self._seen_bytes < self._read_bytes or is_gone:
            self._find_again()

    def next_line(self) -> Line | None:
        """Give the next line, damaged ones too; None: there is none, or it is not whole yet.

        Raises:
            OSError: The file is there and cannot be read.
        """
        text, after = self._text(0), self._text(1)
        if text is None:
            return None
        if after is None and not self._is_final and self.depends_on_next(text):
            return None
        self._texts.popleft()
        return self.take(text, after)

    def _text(self, index: int) -> Text | None:
        while len(self._texts) <= index:
            text = next(self._pending, None)
            if text is not None:
                self._texts.append(text)
            elif not self._read_on():
                break
        return self._texts[index] if len(self._texts) > index else None

    def _read_on(self) -> bool:
        """Take in a piece more; False: that was all for now."""
        if self._read_bytes < self._seen_bytes:
            piece = self._read_piece()
            self._read_bytes += len(piece)
            self._pending = self._splitter.feed(piece)
            return bool(piece)
        if not self._is_final or not self._has_rest:
            return False
        self._has_rest = False
        rest = self._splitter.rest()
        self._pending = iter([rest] if rest else [])
        return True

    def _read_piece(self) -> bytes:
        size = min(_PIECE_BYTES, self._seen_bytes - self._read_bytes)
        with contextlib.suppress(FileNotFoundError, files.NotAFileError):
            return self._read(size)
        self._find_again()
        with contextlib.suppress(FileNotFoundError, files.NotAFileError):
            return self._read(size)
        return b""

    def _read(self, size: int) -> bytes:
        return files.read_part(self._part.path, self._part.start + self._read_bytes, size)

    def _size_bytes(self) -> int:
        size = self._part.size_bytes
        return files.size_bytes(self._part.path) if size is None else size

    def _find_again(self) -> None:
        """Look where a compaction has put what was in the file; nowhere: nothing more comes."""
        if self._part.moved is not None:
            self._part = self._part.moved()
        self._seen_bytes = max(self._size_bytes(), self._read_bytes)
