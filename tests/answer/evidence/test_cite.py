"""Markers are the program's, resolve, and point at exact spans."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.answer.evidence.cite import PARTLY_MARK, Verdict, cite, compose, quoted, strip_markers
from kit.answer.evidence.passages import cut_passages
from kit.answer.evidence.support import SupportCheck
from kit.library.documents import Hit

DOCUMENT = (
    "Preface. The rate is R585 a day. Claims arrive within 30 days. The dean approves journeys."
)
PASSAGE = DOCUMENT[9:]
HIT = Hit(1, 1.0, 1, "d1", "policy.md", 2, "page 2", 9, len(DOCUMENT), PASSAGE, 30)
Generated = st.lists(
    st.sampled_from(
        ["The rate is R585 a day", "Claims arrive within 30 days", "The dean approves journeys",
         "The rate is R900 a day", "Ms Zorblatt approves journeys", "[2]", "[passage 1]", "【1】"]
    ),
    max_size=8,
)  # fmt: skip


@settings(deadline=None)
@given(Generated)
def test_every_marker_resolves_to_an_exact_span(pieces: list[str]) -> None:
    """Numbers run from 1 in order of use, and each citation is its span of the document."""
    check = SupportCheck(cut_passages([HIT]), None, None)
    cited = cite(". ".join(pieces) + ".", check)
    used = [n for sentence in cited.sentences for n in sentence.citations]
    assert (
        list(dict.fromkeys(used))
        == [c.n for c in cited.citations]
        == [*range(1, len(set(used)) + 1)]
    )
    for citation in cited.citations:
        assert DOCUMENT[citation.start : citation.end] == citation.text
    shown = compose(None, cited.sentences)
    assert {int(n) for n in re.findall(r"\[(\d+)\]", shown)} == set(used)
    assert "R900" not in shown
    assert "Zorblatt" not in shown
    assert cited.num_markers_removed == sum("[" in p or "【" in p for p in pieces)


@pytest.mark.parametrize(
    "text",
    [
        "It is so [1].",
        "It is so[1, 2].",
        "It is so [1-3].",
        "It is so [passage 4].",
        "It is so【3†x】.",
    ],
)
def test_a_models_markers_are_removed(text: str) -> None:
    """Whatever way a model writes its markers, they go."""
    assert strip_markers(text) == ("It is so.", 1)


def test_brackets_of_a_document_are_not_markers() -> None:
    """A document's own [7] cannot be taken for a citation."""
    assert re.findall(r"\[\d+\]", quoted("As shown [7] here.", 1)) == ["[1]"]


def test_partly_supported_sentences_say_so_and_unsupported_ones_are_absent() -> None:
    """The text marks what is only partly supported and withholds the rest."""
    units = cut_passages([HIT])
    verdicts = {
        "One.": Verdict("supported", (units[0],)),
        "Two.": Verdict("partly", (units[1],)),
        "Three.": Verdict("unsupported"),
    }
    cited = cite("One. Two. Three.", verdicts.__getitem__)
    assert compose("Q", cited.sentences) == f"Q\n\nOne. [1] Two. [2] {PARTLY_MARK}"
    assert [s.support for s in cited.sentences] == ["supported", "partly", "unsupported"]
