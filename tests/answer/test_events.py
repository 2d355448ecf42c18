"""An answer survives its trip through JSON unchanged."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kit.answer.events import Answer, Citation, Timings, answer_from_json, answer_to_json

SECONDS = st.floats(0, 1e6)
TIMINGS = st.builds(Timings, SECONDS, SECONDS, SECONDS)


@given(st.builds(Answer, timings=TIMINGS))
def test_round_trip(answer: Answer) -> None:
    """Any answer equals what comes back from its JSON text."""
    assert answer_from_json(json.loads(json.dumps(answer_to_json(answer)))) == answer


@given(st.builds(Answer, timings=TIMINGS, citations=st.tuples(st.builds(Citation))))
def test_keys(answer: Answer) -> None:
    """The JSON has exactly the agreed keys."""
    record = answer_to_json(answer)
    assert set(record) == {
        "answer", "supported", "citations", "timings", "sentences", "quote", "closest", "notices",
        "reasoning", "small_talk", "tables",
    }  # fmt: skip
    assert set(record["citations"][0]) == {
        "n", "document", "document_id", "page", "start", "end", "text", "place", "dated",
    }  # fmt: skip
    assert set(record["timings"]) == {"retrieve_s", "ttft_s", "total_s"}


def test_an_answer_stored_before_small_talk_was_told_can_be_read() -> None:
    """A record without the key is an answer that is no small talk."""
    answer = Answer("Hello.", False, None, (), (), Timings(0, 0, 0), is_small_talk=True)
    record = answer_to_json(answer)
    assert answer_from_json(record).is_small_talk
    del record["small_talk"]
    assert not answer_from_json(record).is_small_talk
