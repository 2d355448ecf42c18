"""A document to a short summary: its parts are summarised, then what was said of them.

Knows prompts and checks, no storage. Invariants: each sentence shown is supported by an exact span
of the document; where the model says nothing that is, the document's own most central sentences
stand in, and the reader is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from kit.answer.answer import NO_MODEL_TEXT
from kit.answer.events import Draft, Event, Finished, Sentence
from kit.answer.evidence.central import central_sentences, most_central
from kit.answer.evidence.passages import Unit, cut_passages
from kit.answer.modes.work import (
    MAX_KEPT_UNSUPPORTED,
    Point,
    Work,
    judged,
    said_by_model,
    verbatim,
    written,
)
from kit.answer.prompt import TOKENS_PER_MESSAGE, build_merged, build_summary
from kit.answer.sources import CONTEXT_MARGIN
from kit.config import AnswerSettings
from kit.engine.client import ChatMessage, Engine
from kit.errors import EngineError, EngineUnavailable
from kit.library.documents import Hit, WholeDocument
from kit.library.index.embed import Embedder

MAX_POINTS = 8  # sentences of a summary
MIN_POINTS = 5  # fewer than this, and sentences said of the parts are added
PART_SENTENCES = 3
MERGED_SENTENCES = 6
PART_TOKENS = 160  # that the model may write of one part
MERGED_TOKENS = 320
OVERHEAD_TOKENS = 24  # the marks around a passage, and its source
ESTIMATE = 2  # tokens of the engine per token of the embedding model, where it cannot be asked
ALL_VERBATIM = (
    "The model said nothing that the document supports: these are the document's own most central"
    " sentences, word for word."
)
SOME_VERBATIM = (
    "The sentences in quotation marks are the document's own, word for word: of those parts the"
    " model said nothing that the document supports."
)
NOTHING = "There is no sentence in this document to summarise it with."


async def summarise(
    document: WholeDocument,
    *,
    reader: str,
    embedder: Embedder,
    engine: Engine,
    settings: AnswerSettings,
) -> AsyncIterator[Event]:
    """Stream the summary; the last event is Finished. An engine that fails costs the model's words
    and nothing else."""
    work = Work()
    summary = _Summary(reader, embedder, engine)
    parts = await _parts(document.hits, engine, settings)
    total = len(parts) + 1
    for done, part in enumerate(parts):
        yield work.progress(done, total, f"reading {part[0].place or 'the text'}")
        await summary.read(part)
        if work.may_show(done):
            text, _, citations = written(summary.points)
            yield Draft(text, citations)
    yield work.progress(len(parts), total, "putting it together")
    points = await summary.merged(settings.max_prompt_tokens)
    for text in _remarks(points, summary.failed):
        yield work.notice(text)
    text, own, citations = written(points)
    left_out = [Sentence(s, "unsupported") for s in summary.unsupported[:MAX_KEPT_UNSUPPORTED]]
    yield work.progress(total, total, "done")
    yield Finished(work.finish(text or NOTHING, citations, sentences=(*own, *left_out)))


class _Summary:
    """What was said of a document so far, and what of it is supported."""

    def __init__(self, reader: str, embedder: Embedder, engine: Engine) -> None:
        self._reader, self._embedder, self._engine = reader, embedder, engine
        self.points: list[Point] = []
        self.unsupported: list[str] = []
        self.failed: EngineError | None = None
        """Why the model could not be asked."""

    async def read(self, part: Sequence[Hit]) -> None:
        """The part is summarised, by the model or by its own most central sentences."""
        said = await self._ask(build_summary(part), PART_TOKENS, PART_SENTENCES)
        self.points += await asyncio.to_thread(self._judged_or_central, said, cut_passages(part))

    def _judged_or_central(self, said: Sequence[str], units: Sequence[Unit]) -> list[Point]:
        points, unsupported = judged(said, units, self._embedder)
        self.unsupported += unsupported
        return points or [verbatim(unit) for unit in central_sentences(units, PART_SENTENCES)]

    async def merged(self, max_tokens: int) -> list[Point]:
        """At most MAX_POINTS points, in the order of the document."""
        notes = self.points
        if len(notes) > MAX_POINTS and not all(point.is_verbatim for point in notes):
            merged = await self._merge(most_telling(notes, _num_fitting(notes, max_tokens)))
            rest = [note for note in notes if all(note.text != point.text for point in merged)]
            missing = max(0, MIN_POINTS - len(merged))
            notes = [*merged, *most_telling(rest, missing)]
        return sorted(most_telling(notes, MAX_POINTS), key=lambda point: point.start)

    async def _merge(self, notes: Sequence[Point]) -> list[Point]:
        """What the model says of its notes, checked against the passages that these rest on."""
        said = await self._ask(
            build_merged([note.text for note in notes]), MERGED_TOKENS, MERGED_SENTENCES
        )
        hits = {unit.hit.chunk_id: unit.hit for note in notes for unit in note.verdict.run}
        units = cut_passages(sorted(hits.values(), key=lambda hit: hit.start))
        points, unsupported = await asyncio.to_thread(judged, said, units, self._embedder)
        self.unsupported += unsupported
        return points

    async def _ask(
        self, messages: Sequence[ChatMessage], max_tokens: int, max_sentences: int
    ) -> list[str]:
        """Nothing where the model fails; one that is away is not asked again."""
        if isinstance(self.failed, EngineUnavailable):
            return []
        try:
            return await said_by_model(
                self._engine,
                messages,
                max_tokens=max_tokens,
                max_sentences=max_sentences,
                reader=self._reader,
            )
        except EngineError as problem:
            self.failed = problem
            return []


def most_telling(points: Sequence[Point], limit: int) -> list[Point]:
    """The most central of them, in their order."""
    if len(points) <= limit:
        return list(points)
    return [points[i] for i in most_central([point.stems for point in points], limit)]


def _num_fitting(notes: Sequence[Point], max_tokens: int) -> int:
    """How many notes fit a prompt, by their mean length: a token has about three letters."""
    mean = sum(len(note.text) for note in notes) / len(notes) / 3
    return max(MAX_POINTS, int(max_tokens / (mean + 2)))


def _remarks(points: Sequence[Point], failed: EngineError | None) -> list[str]:
    remarks = []
    if failed is not None:
        remarks.append(NO_MODEL_TEXT.format(reason=failed.message.rstrip(".")))
    if points and all(point.is_verbatim for point in points):
        remarks.append(ALL_VERBATIM)
    elif any(point.is_verbatim for point in points):
        remarks.append(SOME_VERBATIM)
    return remarks


async def _parts(
    hits: Sequence[Hit], engine: Engine, settings: AnswerSettings
) -> list[tuple[Hit, ...]]:
    """Neighbouring passages together, each part as much as the model reads at once."""
    try:
        room = await engine.context_tokens() - PART_TOKENS - CONTEXT_MARGIN - 8 * TOKENS_PER_MESSAGE
        sizes = [await engine.count_tokens(hit.text) + OVERHEAD_TOKENS for hit in hits]
    except EngineError:
        room = settings.max_prompt_tokens
        sizes = [ESTIMATE * hit.num_tokens + OVERHEAD_TOKENS for hit in hits]
    most = min(room, settings.max_prompt_tokens)
    parts: list[list[Hit]] = []
    filled = 0
    for hit, size in zip(hits, sizes, strict=True):
        if not parts or filled + size > most:
            parts.append([])
            filled = 0
        parts[-1].append(hit)
        filled += size
    return [tuple(part) for part in parts]
