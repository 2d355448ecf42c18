"""The passages a question is answered from: found in the library, or those of one document.

Knows retrieval and budgets, not what the passages say. Invariant: evidence, support and prompt rest
on the same passages, and where they are not all of a document that was asked, the reader is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from kit.answer.prompt import Prompt, build_document_prompt, build_prompt
from kit.answer.retrieve import DocumentSearch, SearchResult, fold_duplicates
from kit.config import AnswerSettings
from kit.engine.client import ChatMessage, Engine
from kit.errors import EngineError, UsageError
from kit.library.documents import Hit, WholeDocument
from kit.library.index.embed import Embedder

CONTEXT_MARGIN = 64  # tokens left free for what a chat template adds
PARTIAL = (
    "{name} is longer than the model can read at once: {given} of its {total} passages were read,"
    " those that fit the question best."
)


class Searches(Protocol):
    """What answering needs of retrieval; `Searcher` is it."""

    embedder: Embedder

    async def search(
        self, query: str, *, reader: str, top_k: int, collection: str | None = None
    ) -> SearchResult: ...

    async def beside(self, hits: Sequence[Hit], *, reader: str) -> tuple[Hit, ...]: ...

    async def search_document(
        self, query: str, *, reader: str, document_id: str
    ) -> DocumentSearch: ...


@dataclass(frozen=True)
class Scope:
    """Whose documents are asked, and which: one of them, a collection, or all."""

    reader: str
    collection: str | None = None
    document_id: str | None = None

    def __post_init__(self) -> None:
        """Raises: UsageError if both are named."""
        if self.collection is not None and self.document_id is not None:
            raise UsageError(
                "a document and a collection were named, one of them can be asked",
                hint="leave out the collection: the document is in it, or it is not",
            )


@dataclass(frozen=True)
class Sources:
    """Passages, best first, and what the reader should know about how they were found.

    `document` is the one that was asked, None for the library; `is_whole` = they are all of it.
    """

    hits: tuple[Hit, ...]
    notices: tuple[str, ...] = ()
    document: WholeDocument | None = None
    is_whole: bool = False
    beside: tuple[Hit, ...] = ()
    """What stands just before and after them: it does not decide whether there is an answer, but
    the model reads it where there is room, and a sentence may rest on it."""

    async def prompt(
        self,
        question: str,
        history: Sequence[ChatMessage],
        engine: Engine,
        settings: AnswerSettings,
    ) -> Prompt:
        """The question with as many passages as fit. Raises: EngineError, ContextOverflow."""
        if self.document is not None and self.is_whole:
            prompt = await _whole_prompt(question, self.document, history, engine, settings)
            if prompt is not None:
                return prompt
        max_tokens = await _fitting(settings.max_prompt_tokens, engine, settings)
        passages = (*self.hits, *self.beside)
        return await build_prompt(
            question, passages, history, count_tokens=engine.count_tokens, max_tokens=max_tokens
        )

    def remark(self, num_given: int) -> str | None:
        """What the reader should know where the model is given that many of the passages."""
        if self.document is None or num_given == len(self.document.hits):
            return None
        total = len(self.document.hits)
        return PARTIAL.format(name=self.document.record.name, given=num_given, total=total)


async def find_sources(
    asked: str,
    question: str,
    scope: Scope,
    *,
    searcher: Searches,
    engine: Engine,
    settings: AnswerSettings,
) -> Sources:
    """The passages for a question; `asked` is the same with what it follows.

    Of one document: all of it if the model can read it at once, else its best passages.
    Raises: NotFound, DocumentRefused for what cannot be asked.
    """
    if scope.document_id is None:
        result = await searcher.search(
            asked, reader=scope.reader, top_k=settings.top_k, collection=scope.collection
        )
        return Sources(result.hits, result.notices)
    found = await searcher.search_document(
        asked, reader=scope.reader, document_id=scope.document_id
    )
    is_whole = await _fits(question, found.document, engine, settings)
    hits = found.hits if is_whole else fold_duplicates(found.hits, settings.top_k)
    return Sources(hits, found.notices, found.document, is_whole)


async def with_beside(sources: Sources, reader: str, searcher: Searches) -> Sources:
    """The same with what stands beside the passages; beside a whole document stands nothing."""
    if sources.is_whole:
        return sources
    return replace(sources, beside=await searcher.beside(sources.hits, reader=reader))


async def _fits(
    question: str, document: WholeDocument, engine: Engine, settings: AnswerSettings
) -> bool:
    """Whether the model can read the document at once. Without an engine to count, an estimate:
    the answer then rests on the passages alone."""
    try:
        return await _whole_prompt(question, document, (), engine, settings) is not None
    except EngineError:
        num_tokens = sum(hit.num_tokens for hit in document.hits)
        return 2 * num_tokens <= settings.max_document_tokens


async def _whole_prompt(
    question: str,
    document: WholeDocument,
    history: Sequence[ChatMessage],
    engine: Engine,
    settings: AnswerSettings,
) -> Prompt | None:
    most = max(settings.max_document_tokens, settings.max_prompt_tokens)
    max_tokens = await _fitting(most, engine, settings)
    return await build_document_prompt(
        question, document, history, count_tokens=engine.count_tokens, max_tokens=max_tokens
    )


async def _fitting(max_tokens: int, engine: Engine, settings: AnswerSettings) -> int:
    """The budget, or what the engine's context leaves beside an answer, if that is less."""
    room = await engine.context_tokens() - settings.max_answer_tokens - CONTEXT_MARGIN
    return min(max_tokens, room)
