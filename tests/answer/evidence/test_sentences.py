"""Sentences have exact spans and respect how documents are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.evidence.sentences import sentence_texts, split_sentences


@given(st.text(alphabet="ab A.!?\n-1)。、（\"'[;:|e.g", max_size=120) | st.text(max_size=120))
def test_spans_are_in_order_and_cover_everything(text: str) -> None:
    """Every character that is not white space lies in exactly one trimmed span."""
    spans = split_sentences(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert text[start:end] == text[start:end].strip()
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is open. It closes at 5 p.m. on Friday.", 2),
        ("See e.g. Dr. Smith, Prof. Jones et al. and Fig. 3 there.", 1),
        ("1. Scope\n1.1 All staff. Visitors too.\n2. Costs", 4),
        ("Name: A; Fee: R3\nName: B; Fee: R4", 2),
        ("- one thing\n- another thing", 2),
        ("A line that was wrapped because it is\nlonger than the page. Next.", 2),
        ("委员会每月开会。申请截止日期是三月一日！谁批准？", 3),
        ("It costs R1.50 each. Really?", 2),
        ('"Really?" he asked.', 1),
        ("# Leave\nStaff get leave.", 2),
    ],
)
def test_sentences_are_found(text: str, expected: int) -> None:
    """Abbreviations, numbers, rules, rows, items, wrapped lines and CJK stops are understood."""
    assert len(sentence_texts(text)) == expected
