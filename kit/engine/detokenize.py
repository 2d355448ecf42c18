"""Bytes of tokens turned into text that is safe to stream.

Knows UTF-8 and stop strings, not models. Keeps two invariants: no character is ever split between
two pieces, and nothing of a stop string, nor anything after it, is ever emitted.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


def held_back(text: str, marks: Sequence[str]) -> int:
    """Characters at the end of `text` that may be the beginning of one of `marks`."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0


class Detokenizer:
    """Feeds on the bytes of one token at a time; emits text; ends at the first stop string."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(mark for mark in stop if mark)
        self._pending = ""
        self.is_stopped = False

    def feed(self, piece: bytes) -> str:
        """The text that is now safe to show. Sets `is_stopped` when a stop string is complete."""
        if self.is_stopped:
            return ""
        text = self._pending + self._decoder.decode(piece)
        starts = [at for mark in self._stop if (at := text.find(mark)) >= 0]
        if starts:
            self.is_stopped, self._pending = True, ""
            return text[: min(starts)]
        keep = len(text) - held_back(text, self._stop)
        text, self._pending = text[:keep], text[keep:]
        return text

    def flush(self) -> str:
        """What was held back, once no more tokens will come. An unfinished character is dropped."""
        text, self._pending = self._pending, ""
        self._decoder.reset()
        return text
