"""Probabilities of tokens: right numbers, right shapes, beside the text they belong to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.chat.output import Output, join_pieces
from kit.engine.chat.reasoning import Piece, ReasoningSplitter
from kit.engine.chat.tools import ToolCallSplitter
from kit.engine.logprobs import Sampled, chat_logprobs, completion_logprobs, weigh
from kit.engine.sequence import Finish, Sequence, Text
from kit.errors import EngineError

PIECES = {1: b"a", 2: b"\xc3", 3: b"\xa9", 4: b"STOP", 5: b"b", 9: b""}


class Vocabulary:
    def piece(self, token: int) -> bytes:
        return PIECES[token]

    def label(self, token: int) -> bytes:
        return PIECES[token] or b"<end>"

    def is_end(self, token: int) -> bool:
        return token == 9


def test_logprobs_are_the_log_of_the_softmax() -> None:
    """All tokens' probabilities sum to 1, the likeliest come first, huge logits do no harm."""
    logits = np.array([1.0, 3.0, 2.0, 3.0, -1000.0, 900.0], dtype=np.float32)
    weighed = weigh(logits[:4], 2, 4)
    assert [token for token, _ in weighed.top] == [1, 3, 2, 0]
    assert sum(math.exp(logprob) for _, logprob in weighed.top) == pytest.approx(1)
    assert weighed.logprob == weighed.top[2][1]
    assert weigh(logits, 5, 1).top == ((5, 0.0),)
    assert weigh(logits, 0, 0).top == ()


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40), st.integers(0, 20))
def test_any_logits_give_sorted_probabilities(logits: list[float], num_top: int) -> None:
    """No logprob is above 0, and the list is sorted and as long as asked or as there are tokens."""
    weighed = weigh(np.array(logits, dtype=np.float32), 0, num_top)
    found = [logprob for _, logprob in weighed.top]
    assert found == sorted(found, reverse=True)
    assert len(found) == min(num_top, len(logits))
    assert all(logprob <= 1e-6 for logprob in [*found, weighed.logprob])


def run(tokens: list[int], **options: object) -> list[Text | Finish]:
    events: list[Text | Finish] = []
    sequence = Sequence([0], 100, events.append, **options)  # type: ignore[arg-type]
    for token in tokens:
        if sequence.finish is None:
            sequence.accept(Sampled(token, -float(token), ((9, -0.5),)), Vocabulary(), 1000)
    if sequence.finish is None:
        sequence.end("length")
    return events


def test_tokens_come_with_the_text_they_complete() -> None:
    """A character of two tokens comes with both; each token says where its text starts."""
    first, second, third, _ = run([1, 2, 3, 5])
    assert isinstance(second, Text)
    assert isinstance(third, Text)
    assert [t.piece for t in first.logprobs] == [b"a"]  # type: ignore[union-attr]
    assert (second.text, [t.piece for t in second.logprobs]) == ("é", [b"\xc3"])
    assert [(t.piece, t.start) for t in third.logprobs] == [(b"\xa9", 2), (b"b", 2)]
    assert third.logprobs[0].top == ((b"<end>", -0.5),)


def test_the_tokens_of_a_stop_string_are_not_told() -> None:
    """What is not shown has no probabilities either, and neither has the end."""
    events = run([1, 4, 5], stop=("STOP",))
    assert [t.piece for e in events if isinstance(e, Text) for t in e.logprobs] == [b"a"]
    events = run([1, 9])
    assert [t.piece for e in events if isinstance(e, Text) for t in e.logprobs] == [b"a"]


def test_every_token_is_told_at_the_end() -> None:
    """A token whose character never ends is still in the list."""
    events = run([1, 2])
    assert [t.piece for e in events if isinstance(e, Text) for t in e.logprobs] == [b"a", b"\xc3"]


def test_a_token_that_could_not_be_sampled_ends_its_sequence() -> None:
    """The error of one sequence is its Finish, and nothing is added to its text."""
    events: list[Text | Finish] = []
    sequence = Sequence([0], 100, events.append)
    sequence.accept(Sampled(error=EngineError("no token fits")), Vocabulary(), 1000)
    (finish,) = events
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.completion_tokens) == ("error", 0)
    assert finish.error is not None


def test_both_shapes_are_openais() -> None:
    """Chat lists objects, completions parallel lists; the sampled token is among the top ones."""
    tokens = next(e for e in run([1]) if isinstance(e, Text)).logprobs
    entry = {"token": "a", "logprob": -1.0, "bytes": [97]}
    top = {"token": "<end>", "logprob": -0.5, "bytes": list(b"<end>")}
    content = [{**entry, "top_logprobs": [top]}]
    assert chat_logprobs(tokens) == {"content": content, "refusal": None}
    assert completion_logprobs(tokens) == {
        "tokens": ["a"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{"<end>": -0.5, "a": -1.0}],
        "text_offset": [0],
    }


def test_an_answer_keeps_its_parts_and_their_order() -> None:
    """Reasoning, text, calls and probabilities come apart, and calls are why it ended."""
    output = Output(ReasoningSplitter(), ToolCallSplitter({"f"}))
    (token,) = next(e for e in run([1]) if isinstance(e, Text)).logprobs
    said = ["<think>hm</think>", "Well. <tool", '_call>{"name": "f"}</tool_call>']
    pieces = [output.feed(Text(text, (token,))) for text in said]
    last, finish = output.finish(Finish("stop", 1, 3))
    whole = join_pieces([*pieces, last])
    assert (whole.text, whole.reasoning, len(whole.logprobs)) == ("Well.", "hm", 3)
    assert [call.name for call in whole.tool_calls] == ["f"]
    assert finish.reason == "tool_calls"
    assert Output().finish(Finish("length", 1, 1)) == (Piece(), Finish("length", 1, 1))
