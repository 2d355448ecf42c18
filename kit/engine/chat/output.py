"""What a sequence emits, as an answer: reasoning, calls and text told apart.

Knows the order in which an answer's text is split, not how each part is found. Keeps one invariant:
the probabilities of tokens come with the piece that shows them, or a later one, and in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kit.engine.chat.reasoning import Piece, ReasoningSplitter
from kit.engine.chat.tools import ToolCall, ToolCallSplitter
from kit.engine.logprobs import TokenLogprob
from kit.engine.sequence import Finish, Text


class Output:
    """Feeds on a sequence's events; without splitters all text is answer."""

    def __init__(
        self, reasoning: ReasoningSplitter | None = None, tools: ToolCallSplitter | None = None
    ) -> None:
        self._reasoning, self._tools = reasoning, tools
        self._logprobs: list[TokenLogprob] = []

    def feed(self, event: Text) -> Piece:
        self._logprobs += event.logprobs
        piece = self._reasoning.feed(event.text) if self._reasoning else Piece(event.text)
        return self._with_logprobs(self._split_calls(piece))

    def finish(self, finish: Finish) -> tuple[Piece, Finish]:
        """What was held back, and the end: with calls, an answer that stopped ends for them."""
        piece = self._split_calls(self._reasoning.flush() if self._reasoning else Piece())
        if self._tools is None:
            return self._with_logprobs(piece, is_last=True), finish
        text, calls = self._tools.flush()
        piece = replace(piece, text=piece.text + text, tool_calls=(*piece.tool_calls, *calls))
        if self._tools.num_calls and finish.reason == "stop":
            finish = replace(finish, reason="tool_calls")
        return self._with_logprobs(piece, is_last=True), finish

    def _split_calls(self, piece: Piece) -> Piece:
        if self._tools is None or not piece.text:
            return piece
        text, calls = self._tools.feed(piece.text)
        return replace(piece, text=text, tool_calls=tuple(calls))

    def _with_logprobs(self, piece: Piece, *, is_last: bool = False) -> Piece:
        if not piece and not is_last:
            return piece
        shown, self._logprobs = tuple(self._logprobs), []
        return replace(piece, logprobs=shown)


def join_pieces(pieces: Iterable[Piece]) -> Piece:
    """The whole answer."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    logprobs: list[TokenLogprob] = []
    for piece in pieces:
        text.append(piece.text)
        reasoning.append(piece.reasoning)
        calls += piece.tool_calls
        logprobs += piece.logprobs
    return Piece("".join(text), "".join(reasoning), tuple(calls), tuple(logprobs))
