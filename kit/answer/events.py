"""The nouns of answering: the answer, its parts, and the typed events that lead to it.

A surface (page, terminal, API) draws these and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kit.library.dates import Dated, dated_from_json

Support = Literal["supported", "partly", "unsupported"]
DIFFERS = "Another document says otherwise:"  # opens the line with the second quotation


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
    dated: Dated | None = None
    """Of when the document is, and what says so."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of the model's text, with the citations that support it (their numbers)."""

    text: str
    support: Support
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table, with the numbers of the citations it rests on.

    ``span`` is where exactly a value stands in the document of its first citation, if it does.
    """

    text: str
    citations: tuple[int, ...] = ()
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Table:
    """Rows that the program made; each has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


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
    tables: tuple[Table, ...] = ()
    """What is better read side by side: a comparison, or fields of many documents."""

    @property
    def vouched_text(self) -> str:
        """What the program stands for: the lines quoted, then the sentences found supported."""
        if not self.is_supported:
            return ""
        first, *rest = self.text.split("\n\n")
        quoted = [first] if self.quote is not None else []
        quoted += [line for line in rest[:1] if quoted and line.startswith(DIFFERS)]
        return "\n".join([*quoted, *(s.text for s in self.sentences if s.support == "supported")])


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
    tables: tuple[Table, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    """The model's sentences that are in the text, each with its support."""


@dataclass(frozen=True)
class Progress:
    """Of long work `done` of `total` steps are done, the next is `what`; `left_s` is about how long
    the rest takes, in seconds, if known."""

    done: int
    total: int
    what: str
    left_s: float | None = None


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of the model's reasoning, never part of the answer."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of every stream that was not cancelled."""

    answer: Answer


Event = Notice | Retrieved | Waiting | Progress | Draft | ReasoningDelta | Finished


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
        "tables": [asdict(table) for table in answer.tables],
    }


def answer_from_json(record: Mapping[str, Any]) -> Answer:
    """The answer that `answer_to_json` wrote. Raises KeyError or TypeError for anything else."""
    return Answer(
        text=record["answer"],
        is_supported=record["supported"],
        quote=record["quote"],
        sentences=sentences_from_json(record["sentences"]),
        citations=citations_from_json(record["citations"]),
        timings=Timings(**record["timings"]),
        reasoning=record["reasoning"],
        closest=citations_from_json(record["closest"]),
        notices=tuple(record["notices"]),
        is_small_talk=record.get("small_talk", False),  # absent in answers stored before 2026-11-22
        tables=tables_from_json(record.get("tables", ())),
    )


def citations_from_json(records: Iterable[Mapping[str, Any]]) -> tuple[Citation, ...]:
    """The citations that `asdict` wrote; those stored before 2026-11-27 have no dates."""
    return tuple(
        Citation(**{**record, "dated": dated_from_json(record.get("dated"))}) for record in records
    )


def tables_from_json(records: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    """The tables that `asdict` wrote."""
    return tuple(
        Table(
            record["title"],
            tuple(record["columns"]),
            tuple(tuple(_cell(cell) for cell in row) for row in record["rows"]),
        )
        for record in records
    )


def _cell(record: Mapping[str, Any]) -> Cell:
    span = record["span"]
    return Cell(record["text"], tuple(record["citations"]), tuple(span) if span else None)


def sentences_from_json(records: Iterable[Mapping[str, Any]]) -> tuple[Sentence, ...]:
    """Sentences as an answer or a draft carries them."""
    return tuple(Sentence(s["text"], s["support"], tuple(s["citations"])) for s in records)
