"""A question to a stream of typed events: evidence first, then what the model adds and it supports.

Decides nothing about storage or display. Invariants: no text of the model is shown before it was
checked; a question that the documents do not answer never reaches the model; a failing engine
costs the model's text and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import cast

import numpy as np

from kit.answer.events import (
    DIFFERS,
    Answer,
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    ReasoningDelta,
    Retrieved,
    Sentence,
    Timings,
    Waiting,
)
from kit.answer.evidence.cite import (
    Numbering,
    Verdict,
    citation,
    cite_sentence,
    compose,
    quoted,
    strip_markers,
)
from kit.answer.evidence.evidence import Evidence, find_evidence
from kit.answer.evidence.newest import explain
from kit.answer.evidence.passages import cut_passages, span_text
from kit.answer.evidence.questions import search_text
from kit.answer.evidence.small_talk import small_talk
from kit.answer.evidence.support import SupportCheck
from kit.answer.evidence.words import content_stems, words
from kit.answer.prompt import MARK
from kit.answer.sources import Scope, Searches, Sources, find_sources, with_beside
from kit.answer.stream import SentenceBuffer, ThinkSplitter
from kit.config import AnswerSettings
from kit.engine.client import ChatDelta, ChatMessage, Engine
from kit.errors import ContextOverflow, EngineError, UsageError
from kit.library.documents import Hit
from kit.library.index.embed import Embedder

NOT_FOUND = "Not in your documents."
NOT_IN_DOCUMENT = "Not in this document."
NOT_IN_PASSAGES = "Not in the passages of this document that were read."
ABSENT = (NOT_FOUND, NOT_IN_DOCUMENT, NOT_IN_PASSAGES)  # how an answer begins that is none
CLOSEST = "The closest passages are shown below; they do not answer the question."
NO_MODEL_TEXT = "The language model could not add to this: {reason}."
MAX_QUESTION_CHARS = 4_000
MAX_CLOSEST = 3
MIN_ASKED_SHARE = 0.4  # of the question's words, in a sentence that rests on another passage
MAX_USELESS_RUN = 2  # sentences in a row without support or use, after which the model is stopped
MAX_SENTENCE_CHARS = 600  # a longer one is a model that cannot stop


async def answer_question(
    question: str,
    *,
    history: Sequence[ChatMessage],
    reader: str,
    searcher: Searches,
    engine: Engine,
    settings: AnswerSettings,
    collection: str | None = None,
    document_id: str | None = None,
) -> AsyncIterator[Event]:
    """Stream the answer; the last event is Finished.

    Raises: UsageError for an empty or overlong question, or both a collection and a document;
    NotFound for what is not there for this reader, or not read yet; DocumentRefused for a document
    without text. An engine that fails is told in a Notice, not raised.
    """
    _check_question(question)
    scope = Scope(reader, collection, document_id)
    answering = _Answering()
    reply = small_talk(question)
    if reply is not None:
        yield Finished(answering.finish(reply, is_supported=False, is_small_talk=True))
        return
    asked = search_text(question, [m.content for m in history if m.role == "user"])
    sources = await find_sources(
        asked, question, scope, searcher=searcher, engine=engine, settings=settings
    )
    evidence = await asyncio.to_thread(find_evidence, asked, sources.hits, searcher.embedder)
    answering.retrieved()
    for text in sources.notices:
        yield answering.notice(text)
    passages = tuple(citation(hit, n=n) for n, hit in enumerate(sources.hits, start=1))
    yield Retrieved(passages)
    if not evidence.is_answered:
        if remark := sources.remark(len(sources.hits)):
            yield answering.notice(remark)
        yield Finished(answering.refuse(passages, _where_absent(sources)))
        return
    yield answering.open_with(evidence, asked)
    if evidence.differing is not None:
        hits = evidence.best[-1].hit, evidence.differing.hit
        yield answering.notice(explain(evidence.ground, *hits))
    sources = await with_beside(sources, reader, searcher)
    model_text = _model_text(
        answering,
        question,
        history,
        sources,
        evidence,
        searcher.embedder,
        engine,
        settings,
        reader,
    )
    async with aclosing(model_text):
        async for event in model_text:
            yield event
    yield Finished(answering.finish(answering.text, is_supported=True))


async def _model_text(
    answering: _Answering,
    question: str,
    history: Sequence[ChatMessage],
    sources: Sources,
    evidence: Evidence,
    embedder: Embedder,
    engine: Engine,
    settings: AnswerSettings,
    reader: str,
) -> AsyncGenerator[Event, None]:
    """What the model adds, sentence by checked sentence; a Notice where it cannot."""
    check = support_check(evidence, sources.beside, embedder)
    try:
        prompt = await sources.prompt(question, history, engine, settings)
        if remark := sources.remark(len(prompt.hits)):
            yield answering.notice(remark)
        yield Waiting()
        stream = engine.stream_chat(
            prompt.messages,
            max_tokens=settings.max_answer_tokens,
            temperature=settings.temperature,
            reuse=prompt.reuse(reader),
        )
        async with aclosing(cast("AsyncGenerator[ChatDelta, None]", stream)) as deltas:
            async for sentences, reasoning, place in _sentences(deltas):
                if place.ahead is not None:
                    yield place
                if reasoning:
                    yield answering.think(reasoning)
                for sentence in sentences:
                    if await asyncio.to_thread(answering.add, sentence, check):
                        yield answering.draft()
                    if answering.rambles:
                        return
    except ContextOverflow as problem:
        yield answering.notice(NO_MODEL_TEXT.format(reason=problem.message.rstrip(".")))
    except EngineError as problem:
        yield answering.notice(NO_MODEL_TEXT.format(reason=problem.message.rstrip(".")))


def support_check(
    evidence: Evidence, beside: Sequence[Hit], embedder: Embedder | None
) -> SupportCheck:
    """The check of sentences over the passages and what stands beside them."""
    units = [*evidence.units, *cut_passages(beside)]
    vectors = evidence.vectors
    if vectors is not None:
        vectors = np.pad(vectors, ((0, len(units) - len(vectors)), (0, 0)))
    return SupportCheck(units, vectors, embedder)


async def _sentences(
    deltas: AsyncIterator[ChatDelta],
) -> AsyncIterator[tuple[list[str], str, Waiting]]:
    """Complete sentences, pieces of reasoning and the place in the queue, as they come; ends at a
    sentence without end."""
    splitter, buffer, is_cut = ThinkSplitter(), SentenceBuffer(), False
    async for delta in deltas:
        text, reasoning = splitter.feed(delta.text)
        place = Waiting(delta.ahead, delta.wait_s)
        yield buffer.feed(text), delta.reasoning + reasoning, place
        is_cut = is_cut or delta.finish_reason == "length"
        if buffer.num_pending > MAX_SENTENCE_CHARS:
            return
    text, reasoning = splitter.flush()
    yield buffer.feed(text) + buffer.flush(is_cut=is_cut), reasoning, Waiting()


class _Answering:
    """One answer in the making: its clock, its numbering, and what is shown so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._retrieve_s = 0.0
        self._ttft_s: float | None = None
        self._numbering = Numbering()
        self._quote: int | None = None
        self._quote_line: str | None = None
        self._sentences: list[Sentence] = []
        self._quoted: tuple[str, ...] = ()
        self._said: set[tuple[str, ...]] = set()
        self._num_useless = 0
        self._asked_stems: frozenset[str] = frozenset()
        self._quoted_chunks: frozenset[int] = frozenset()
        self._reasoning: list[str] = []
        self._notices: list[str] = []
        self.rambles = False

    @property
    def text(self) -> str:
        return compose(self._quote_line, self._sentences)

    def retrieved(self) -> None:
        self._retrieve_s = self._elapsed()

    def notice(self, text: str) -> Notice:
        self._notices.append(text)
        return Notice(text)

    def think(self, text: str) -> ReasoningDelta:
        self._reasoning.append(text)
        return ReasoningDelta(text)

    def open_with(self, evidence: Evidence, asked: str) -> Draft:
        """The quote, at once."""
        self._asked_stems = frozenset(content_stems(asked))
        self._quoted_chunks = frozenset(unit.hit.chunk_id for unit in evidence.best)
        text = span_text(evidence.best)
        self._quote = self._numbering.number(evidence.best)
        self._quote_line = quoted(text, self._quote)
        self._quoted = tuple(words(text))
        if evidence.differing is not None:
            other = (evidence.differing,)
            line = quoted(span_text(other), self._numbering.number(other))
            self._quote_line += f"\n\n{DIFFERS} {line}"
        return self.draft()

    def add(self, sentence: str, check: SupportCheck) -> bool:
        """Judge a sentence of the model; whether there is more to show now.

        A sentence that says nothing, what was said already, or something else than what was
        asked is dropped. A model that repeats itself or the prompt's marks, or adds too many
        useless sentences in a row, `rambles`.
        """
        sentence, _ = strip_markers(sentence)
        said = tuple(words(sentence))
        if not content_stems(sentence):
            return False
        if said == self._quoted:
            return False
        if said in self._said or repeats_itself(said) or MARK.search(sentence):
            self.rambles = True
            return False
        self._said.add(said)
        verdict = check(sentence)
        is_shown = verdict.support != "unsupported" and self._is_asked(sentence, verdict)
        if is_shown or verdict.support == "unsupported":
            self._sentences.append(cite_sentence(sentence, verdict, self._numbering))
        self._num_useless = 0 if is_shown else self._num_useless + 1
        self.rambles = self._num_useless >= MAX_USELESS_RUN
        return is_shown

    def _is_asked(self, sentence: str, verdict: Verdict) -> bool:
        """Whether it rests on the quoted passage or has a good part of the question's words."""
        if verdict.run[0].hit.chunk_id in self._quoted_chunks:
            return True
        stems = set(content_stems(sentence))
        return len(stems & self._asked_stems) >= MIN_ASKED_SHARE * len(self._asked_stems)

    def draft(self) -> Draft:
        if self._ttft_s is None:
            self._ttft_s = self._elapsed()
        shown = tuple(s for s in self._sentences if s.support != "unsupported")
        return Draft(self.text, self._numbering.citations, sentences=shown)

    def refuse(self, passages: Sequence[Citation], absent: str) -> Answer:
        """The plain statement, with the passages that came closest."""
        closest = tuple(passages[:MAX_CLOSEST])
        text = f"{absent} {CLOSEST}" if closest else absent
        return self.finish(text, is_supported=False, closest=closest)

    def finish(
        self,
        text: str,
        *,
        is_supported: bool,
        closest: tuple[Citation, ...] = (),
        is_small_talk: bool = False,
    ) -> Answer:
        total_s = self._elapsed()
        ttft_s = total_s if self._ttft_s is None else self._ttft_s
        return Answer(
            text=text,
            is_supported=is_supported,
            quote=self._quote,
            sentences=tuple(self._sentences),
            citations=self._numbering.citations,
            timings=Timings(self._retrieve_s, ttft_s, total_s),
            reasoning="".join(self._reasoning),
            closest=closest,
            notices=tuple(self._notices),
            is_small_talk=is_small_talk,
        )

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 4)


def _where_absent(sources: Sources) -> str:
    """What is not there, no larger than what was looked at."""
    if sources.document is None:
        return NOT_FOUND
    return NOT_IN_DOCUMENT if sources.is_whole else NOT_IN_PASSAGES


def repeats_itself(said: Sequence[str]) -> bool:
    """Whether the same five words come twice in one sentence."""
    runs = [tuple(said[i : i + 5]) for i in range(len(said) - 4)]
    return len(set(runs)) < len(runs)


def _check_question(question: str) -> None:
    if not question.strip():
        raise UsageError("the question is empty", hint="write what you want to know")
    if len(question) > MAX_QUESTION_CHARS:
        raise UsageError(
            f"the question has {len(question):,} characters, the limit is {MAX_QUESTION_CHARS:,}",
            hint="ask a shorter question; load long texts as documents",
        )
