"""A model's stream to complete sentences, its reasoning kept apart.

Knows no passages. Invariant: every character of the stream goes to exactly one of text, reasoning
and the tags between them, however the stream was cut into pieces.
"""

from __future__ import annotations

import re

from kit.answer.evidence.sentences import split_sentences

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Sends what stands between <think> tags to the reasoning, for servers that do not."""

    def __init__(self) -> None:
        self._pending = ""
        self._is_thinking = False

    def feed(self, piece: str) -> tuple[str, str]:
        """(text, reasoning) that this piece completes."""
        self._pending += piece
        text, reasoning = "", ""
        while True:
            tag = _CLOSE if self._is_thinking else _OPEN
            before, found, after = self._pending.partition(tag)
            if not found:
                keep = _begun_tag(self._pending, tag)
                before, after = (
                    self._pending[: len(before) - keep],
                    self._pending[len(before) - keep :],
                )
            if self._is_thinking:
                reasoning += before
            else:
                text += before
            self._pending = after
            if not found:
                return text, reasoning
            self._is_thinking = not self._is_thinking

    def flush(self) -> tuple[str, str]:
        """What was held back because it could have become a tag."""
        rest, self._pending = self._pending, ""
        return ("", rest) if self._is_thinking else (rest, "")


class SentenceBuffer:
    """Collects text and gives out sentences once they are complete."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, piece: str) -> list[str]:
        """The sentences that this piece completes."""
        self._text += piece
        if not re.search(r"[.!?。！？\n]", self._text):
            return []
        spans = split_sentences(self._text)
        done = spans[:-1]  # the last may go on
        if not done:
            return []
        sentences = [self._text[start:end] for start, end in done]
        self._text = self._text[done[-1][1] :]
        return sentences

    @property
    def num_pending(self) -> int:
        """Characters of the sentence that has not ended."""
        return len(self._text)

    def flush(self, *, is_cut: bool = False) -> list[str]:
        """What is left at the end of the stream, without an unfinished end if it was cut there."""
        spans = split_sentences(self._text)
        if is_cut and spans and not re.search(r"[.!?。！？…][\"'”’»)\]]*\s*$", self._text):
            spans.pop()
        rest, self._text = [self._text[start:end] for start, end in spans], ""
        return rest


def _begun_tag(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins `tag`."""
    return next(
        (n for n in range(min(len(tag) - 1, len(text)), 0, -1) if tag.startswith(text[-n:])), 0
    )
