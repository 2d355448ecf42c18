"""A model's reasoning told apart from its answer while both stream.

Knows the tags `<think>` and `</think>`, wherever tokens happen to split them. Keeps one invariant:
no part of a tag and no part of the reasoning ever appears in the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.engine.chat.tools import ToolCall
from kit.engine.detokenize import held_back
from kit.engine.logprobs import TokenLogprob

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Piece:
    """A piece of the stream, split: any part may be empty."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning or self.tool_calls or self.logprobs)


def opens_reasoning(prompt: str) -> bool:
    """Whether the template wrote `<think>` already, so the model begins inside its reasoning."""
    return prompt.rstrip().endswith(OPEN)


class ReasoningSplitter:
    """Feeds on streamed text, returns what of it is answer and what is reasoning."""

    def __init__(self, *, is_inside: bool = False) -> None:
        self._is_inside = is_inside
        self._pending = ""
        self._skip_space = is_inside  # space around the reasoning belongs to neither part

    def feed(self, text: str) -> Piece:
        answer: list[str] = []
        reasoning: list[str] = []
        self._pending += text
        while True:
            before, found = self._next_part()
            (reasoning if self._is_inside else answer).append(before)
            if not found:
                return Piece("".join(answer), "".join(reasoning))
            self._is_inside = found == OPEN
            self._skip_space = True

    def _next_part(self) -> tuple[str, str]:
        """The text up to the next tag, and that tag; ("…", "") if none is complete yet."""
        places = [(at, tag) for tag in (OPEN, CLOSE) if (at := self._pending.find(tag)) >= 0]
        if places:
            at, tag = min(places)
            part, self._pending = self._pending[:at], self._pending[at + len(tag) :]
        else:
            at, tag = len(self._pending) - held_back(self._pending, (OPEN, CLOSE)), ""
            part, self._pending = self._pending[:at], self._pending[at:]
        if self._skip_space:
            part = part.lstrip()
            self._skip_space = not part
        return part, tag

    def flush(self) -> Piece:
        """What was held back as a possible tag, once the stream is over."""
        rest, self._pending = self._pending, ""
        return Piece(reasoning=rest) if self._is_inside else Piece(text=rest)
