"""The smoke questions put to a running model.

Knows the order of asking and what a death means; what is right is the questions' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from kit.errors import ModelError
from kit.ops.run_model import RunningModel
from kit.supply.catalog import ModelCard
from kit.supply.smoke.chat import questions_for
from kit.supply.smoke.embedding import judge_vectors, pairs_for
from kit.supply.smoke.report import SmokeAnswer, SmokeReport, settled
from kit.supply.smoke.rerank import judge_scores
from kit.supply.smoke.verdict import PASSED, Verdict, broken
from kit.supply.store import InstalledModel

Say = Callable[[str], None]
LOADS = "loads"


def smoke(
    start: Callable[[], AbstractContextManager[RunningModel]],
    model: InstalledModel,
    card: ModelCard | None,
    *,
    languages: Sequence[str],
    thinks: bool,
    say: Say,
) -> tuple[SmokeReport, int | None]:
    """Every question's answer, and the bytes the process held after them; None if it died.

    `languages` are those it claims; `thinks`: it may reason before it answers, and gets room for
    that. A model that does not load, or dies of a question, is broken; nothing more is asked then.
    Raises: MachineError if this machine is too small for it.
    """
    answers: list[SmokeAnswer] = []
    asking = LOADS
    try:
        with start() as running:
            answers.append(_loaded(LOADS, _told(running.facts), PASSED))
            if model.kind == "embedding":
                asking = "vectors"
                answers += _embed(running, card, languages)
            elif model.kind == "reranker":
                asking = "scores"
                answers += _rerank(running, languages)
            elif model.kind == "chat":
                for question in questions_for(languages):
                    asking = question.name
                    say(f"asking {model.name}: {asking}")
                    reply = running.ask(question.path, question.body(thinks=thinks))
                    answers.append(question.answered(reply))
            return SmokeReport(settled(answers)), running.resident_bytes()
    except ModelError as problem:
        answers.append(_loaded(asking, "", broken(problem.message)))
        return SmokeReport(settled(answers)), None


def _embed(
    running: RunningModel, card: ModelCard | None, languages: Sequence[str]
) -> list[SmokeAnswer]:
    before_query, before_passage = (card.query_prefix, card.passage_prefix) if card else ("", "")
    pairs = pairs_for(languages)
    passages = [before_passage + pair.passage for pair in pairs]
    queries = running.embed([before_query + pair.query for pair in pairs], is_query=True)
    return judge_vectors(
        pairs,
        queries,
        running.embed(passages),
        running.embed(passages[:1])[0],
        dim=card.dim if card else None,
    )


def _rerank(running: RunningModel, languages: Sequence[str]) -> list[SmokeAnswer]:
    pairs = pairs_for(languages)
    passages = [pair.passage for pair in pairs]
    rows = [running.rerank(pair.query, passages) for pair in pairs]
    if any(len(row) != len(passages) for row in rows):
        raise ModelError("it took more than a minute for a few lines")
    return judge_scores(pairs, rows, running.rerank(pairs[0].query, passages[:1])[0])


def _told(facts: Mapping[str, Any]) -> str:
    """What the process says it loaded: 'llama, 134,515,008 parameters'."""
    named = [str(facts["architecture"])] if facts.get("architecture") else []
    for key, unit in (("n_params", "parameters"), ("n_embd", "dimensions")):
        named += [f"{facts[key]:,} {unit}"] if facts.get(key) else []
    return ", ".join(named)


def _loaded(name: str, answer: str, verdict: Verdict) -> SmokeAnswer:
    return SmokeAnswer(
        name=name,
        about="health",
        asks="",
        criterion="it loads and stays alive",
        answer=answer,
        finish_reason="",
        is_greedy=False,
        outcome=verdict.outcome,
        why=verdict.why,
    )
