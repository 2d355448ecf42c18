"""The nouns of answering: the answer, its parts, and the typed events that lead to it.

A surface (page, terminal, API) draws these and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Support = Literal["supported", "partly", "unsupported"]


@dataclass(frozen=True)
class Citation:
    """Evidence the program placed: an exact span of a document. Numbered from 1 in order of use."""

    n: int
    document: str
    document_id: str
    page: int | None
    place: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Sentence:
    """One sentence of the model's text, with the citations that support it (their numbers)."""

    text: str
    support: Support
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class Timings:
    """Seconds from the question; `ttft_s` is the time to the first visible piece of the answer."""

    retrieve_s: float
    ttft_s: float
    total_s: float


@dataclass(frozen=True)
class Answer:
    """A finished answer.

    ``text`` is what a person reads: the quote, then the sentences kept, with [n] markers; or the
    plain statement that the documents do not answer; or a fixed reply to a greeting and the like,
    which `is_small_talk` tells. `is_supported` is True exactly in the first case.
    """

    text: str
    is_supported: bool
    quote: int | None
    """The citation that opens the answer, by number."""
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    timings: Timings
    reasoning: str = ""
    closest: tuple[Citation, ...] = ()
    """If nothing supports an answer: the passages that came closest, not cited as evidence."""
    notices: tuple[str, ...] = field(default_factory=tuple)
    """What the reader should know: 'search was lexical only: the embedding model is loading'."""
    is_small_talk: bool = False
    """A reply to a text that asks nothing: no document was looked at, none is said to be silent."""


@dataclass(frozen=True)
class Notice:
    """Something the reader should know now, in plain words."""

    text: str


@dataclass(frozen=True)
class Retrieved:
    """Retrieval is over; the passages the answer may use, best first."""

    passages: tuple[Citation, ...]


@dataclass(frozen=True)
class Waiting:
    """The engine has not begun; `ahead` requests are before this one, which takes about `wait_s`
    seconds, if known."""

    ahead: int | None = None
    wait_s: float | None = None


@dataclass(frozen=True)
class Draft:
    """The answer so far, complete sentences checked, safe to show in place of the last Draft."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of the model's reasoning, never part of the answer."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of every stream that was not cancelled."""

    answer: Answer


Event = Notice | Retrieved | Waiting | Draft | ReasoningDelta | Finished


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON carries it; `answer_from_json` gives back an equal answer."""
    return {
        "answer": answer.text,
        "supported": answer.is_supported,
        "citations": [asdict(citation) for citation in answer.citations],
        "timings": asdict(answer.timings),
        "sentences": [
            {"text": s.text, "support": s.support, "citations": list(s.citations)}
            for s in answer.sentences
        ],
        "quote": answer.quote,
        "closest": [asdict(citation) for citation in answer.closest],
        "notices": list(answer.notices),
        "reasoning": answer.reasoning,
        "small_talk": answer.is_small_talk,
    }


def answer_from_json(record: Mapping[str, Any]) -> Answer:
    """The answer that `answer_to_json` wrote. Raises KeyError or TypeError for anything else."""
    return Answer(
        text=record["answer"],
        is_supported=record["supported"],
        quote=record["quote"],
        sentences=tuple(
            Sentence(s["text"], s["support"], tuple(s["citations"])) for s in record["sentences"]
        ),
        citations=tuple(Citation(**citation) for citation in record["citations"]),
        timings=Timings(**record["timings"]),
        reasoning=record["reasoning"],
        closest=tuple(Citation(**citation) for citation in record["closest"]),
        notices=tuple(record["notices"]),
        is_small_talk=record.get("small_talk", False),  # absent in answers stored before 2026-11-22
    )
