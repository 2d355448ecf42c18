"""What all long work shares: its clock, its notices, and sentences that were said and checked.

Knows no mode. Invariant: the answer that it finishes holds every notice that was told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from kit.answer.answer import repeats_itself
from kit.answer.events import Answer, Citation, Notice, Progress, Sentence, Table, Timings
from kit.answer.evidence.cite import (
    Numbering,
    Verdict,
    cite_sentence,
    compose,
    quoted,
    strip_markers,
)
from kit.answer.evidence.passages import Unit, is_lead
from kit.answer.evidence.support import SupportCheck
from kit.answer.evidence.words import content_stems, words
from kit.answer.prompt import MARK
from kit.answer.stream import SentenceBuffer, ThinkSplitter
from kit.engine.client import ChatMessage, Engine, Reuse
from kit.errors import EmbedError
from kit.library.index.embed import Embedder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kit.engine.client import ChatDelta

MAX_SENTENCE_CHARS = 600  # a longer one is a model that cannot stop
SHOWN_STEPS = 20  # as many are shown each; from then on one in twenty more than before
MAX_KEPT_UNSUPPORTED = 20  # of the sentences left out, as many are kept for those who want to see


@dataclass(frozen=True)
class Point:
    """A sentence with its evidence; `is_verbatim` = it is the document's own."""

    text: str
    verdict: Verdict
    is_verbatim: bool = False

    @property
    def start(self) -> int:
        """Where its evidence begins in the document."""
        return self.verdict.run[0].start

    @property
    def stems(self) -> frozenset[str]:
        return frozenset(content_stems(self.text))


def verbatim(unit: Unit) -> Point:
    """A sentence of the document as its own evidence."""
    return Point(unit.text, Verdict("supported", (unit,)), is_verbatim=True)


class Work:
    """The clock of one piece of long work, and what was told of it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first_s: float | None = None
        self._notices: list[str] = []
        self._next_shown = 0

    def notice(self, text: str) -> Notice:
        self._notices.append(text)
        return Notice(text)

    def progress(self, done: int, total: int, what: str) -> Progress:
        """The time left is told once a step was done: the rest goes on as it went."""
        each_s = self._elapsed() / done if done else None
        left_s = None if each_s is None else round(each_s * (total - done), 1)
        return Progress(done, total, what, left_s)

    def may_show(self, step: int) -> bool:
        """Whether what there is after this step, from 0, is shown: after each of the first, then
        ever more rarely, so that a large table is not sent as often as it has rows.
        """
        if step < self._next_shown:
            return False
        self._next_shown = step + 1 + step // SHOWN_STEPS
        if self._first_s is None:
            self._first_s = self._elapsed()
        return True

    def finish(
        self,
        text: str,
        citations: tuple[Citation, ...],
        *,
        sentences: tuple[Sentence, ...] = (),
        tables: tuple[Table, ...] = (),
    ) -> Answer:
        """The answer. It is supported if it cites anything."""
        total_s = self._elapsed()
        ttft_s = total_s if self._first_s is None else self._first_s
        return Answer(
            text=text,
            is_supported=bool(citations),
            quote=None,
            sentences=sentences,
            citations=citations,
            timings=Timings(0.0, ttft_s, total_s),
            notices=tuple(self._notices),
            tables=tables,
        )

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 4)


def written(points: Sequence[Point]) -> tuple[str, tuple[Sentence, ...], tuple[Citation, ...]]:
    """(text with markers, its sentences, its citations): the document's own sentences as a list of
    quotations, the model's as running text before them."""
    numbering = Numbering()
    own = [
        cite_sentence(point.text, point.verdict, numbering)
        for point in points
        if not point.is_verbatim
    ]
    quotations = [
        f"- {quoted(point.text, numbering.number(point.verdict.run))}"
        for point in points
        if point.is_verbatim
    ]
    text = "\n\n".join(part for part in (compose(None, own), "\n".join(quotations)) if part)
    return text, tuple(own), numbering.citations


async def said_by_model(
    engine: Engine,
    messages: Sequence[ChatMessage],
    *,
    max_tokens: int,
    max_sentences: int,
    reader: str,
) -> list[str]:
    """The sentences that the model says, at most so many. Raises: EngineError."""
    splitter, buffer, said = ThinkSplitter(), SentenceBuffer(), list[str]()
    is_cut = False
    stream = engine.stream_chat(messages, max_tokens=max_tokens, reuse=Reuse(reader))
    async with aclosing(cast("AsyncGenerator[ChatDelta, None]", stream)) as deltas:
        async for delta in deltas:
            said += buffer.feed(splitter.feed(delta.text)[0])
            is_cut = is_cut or delta.finish_reason == "length"
            if len(said) >= max_sentences or buffer.num_pending > MAX_SENTENCE_CHARS:
                return said[:max_sentences]
    said += buffer.feed(splitter.flush()[0]) + buffer.flush(is_cut=is_cut)
    return said[:max_sentences]


def judged(
    sentences: Sequence[str], units: Sequence[Unit], embedder: Embedder
) -> tuple[list[Point], list[str]]:
    """(sentences with support, those without), each judged against these units. One that is
    supported in part only counts as one without: long work has the document's own to show instead.

    What repeats itself, repeats another, or only announces something is neither.
    """
    check = SupportCheck(units, _no_vectors(len(units), embedder), embedder)
    points: list[Point] = []
    unsupported: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for sentence in sentences:
        bare = strip_markers(sentence)[0].strip().removeprefix("- ").strip()
        said = tuple(words(bare))
        if said in seen or repeats_itself(said) or MARK.search(bare) or is_lead(bare):
            continue
        seen.add(said)
        verdict = check(bare)
        if verdict.support != "supported":
            unsupported.append(bare)
        elif not any(said == tuple(words(point.text)) for point in points):
            points.append(Point(bare, verdict))
    return points, unsupported


def _no_vectors(num_units: int, embedder: Embedder) -> np.ndarray | None:
    """Zeros, so that the check embeds what it needs; None where there is no embedder now."""
    try:
        return np.zeros((num_units, embedder.dim), np.float32)
    except EmbedError:
        return None
