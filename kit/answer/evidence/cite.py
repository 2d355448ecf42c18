"""Sentences and evidence to text with numbered citations, placed by the program.

Pure: no model, no storage. Invariants: numbers run from 1 in the order of first use; every marker
in a text resolves; a citation's text is exactly what stands at its span of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.answer.events import Citation, Sentence, Support
from kit.answer.evidence.passages import Unit, span_text
from kit.answer.evidence.sentences import split_sentences
from kit.library.documents import Hit

PARTLY_MARK = "(only partly in the documents)"
_MARKER = re.compile(
    r"[ \t]*(?:\[\s*\^?\s*(?:passages?\s*|source\s*|doc(?:ument)?\s*)?"
    r"\d+(?:\s*[,;–-]\s*\d+)*\s*\]|【[^】]{0,30}】)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """Whether a statement is supported, and by which neighbouring sentences of a passage."""

    support: Support
    run: tuple[Unit, ...] = ()


@dataclass(frozen=True)
class Cited:
    """A text with its evidence. `num_markers_removed` counts the markers the model had written."""

    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    num_markers_removed: int


class Numbering:
    """The citations of one answer, numbered in the order of first use."""

    def __init__(self) -> None:
        self._citations: list[Citation] = []

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._citations)

    def number(self, run: Sequence[Unit]) -> int:
        """The number of this evidence; a span inside one that has a number shares it."""
        hit, start, end = run[0].hit, run[0].start, run[-1].end
        for known in self._citations:
            if known.document_id == hit.document_id and known.start <= start and end <= known.end:
                return known.n
        made = citation(hit, n=len(self._citations) + 1, span=(start, end), text=span_text(run))
        self._citations.append(made)
        return made.n


def citation(
    hit: Hit, *, n: int, span: tuple[int, int] | None = None, text: str | None = None
) -> Citation:
    """A hit, or a span of it, as a numbered citation."""
    start, end = span or (hit.start, hit.end)
    text = hit.text if text is None else text
    return Citation(
        n, hit.document, hit.document_id, hit.page, hit.place, start, end, text, hit.dated
    )


def strip_markers(text: str) -> tuple[str, int]:
    """The text without the markers a model wrote, and how many there were."""
    return _MARKER.subn("", text)


def cite(text: str, check: Callable[[str], Verdict], numbering: Numbering | None = None) -> Cited:
    """The sentences of a generated text, each judged by `check` and given its citations."""
    numbering = numbering or Numbering()
    bare, num_removed = strip_markers(text)
    sentences = tuple(
        cite_sentence(bare[start:end], check(bare[start:end]), numbering)
        for start, end in split_sentences(bare)
    )
    return Cited(sentences, numbering.citations, num_removed)


def cite_sentence(text: str, verdict: Verdict, numbering: Numbering) -> Sentence:
    """A sentence with the number of its evidence; one without support uses no number."""
    if verdict.support == "unsupported" or not verdict.run:
        return Sentence(text, "unsupported")
    return Sentence(text, verdict.support, (numbering.number(verdict.run),))


def compose(quote: str | None, sentences: Sequence[Sentence]) -> str:
    """What a person reads: the quote, then the sentences that have support, with their markers."""
    shown = " ".join(
        _shown(sentence) for sentence in sentences if sentence.support != "unsupported"
    )
    return "\n\n".join(part for part in (quote, shown) if part)


def quoted(text: str, n: int) -> str:
    """A span of a document as the opening line of an answer."""
    return f"“{_without_brackets(' '.join(text.split()))}” [{n}]"


def _shown(sentence: Sentence) -> str:
    markers = "".join(f"[{n}]" for n in sentence.citations)
    mark = f" {PARTLY_MARK}" if sentence.support == "partly" else ""
    return f"{_without_brackets(' '.join(sentence.text.split()))} {markers}{mark}"


def _without_brackets(text: str) -> str:
    """A document's own '[7]' drawn with other brackets, so that it is not taken for a marker."""
    return re.sub(r"\[(\s*\d+\s*)\]", r"［\1］", text)
