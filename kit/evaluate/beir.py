"""Questions with known answers, in the layout of BEIR: a corpus, queries, and judgements.

    DIR/corpus.jsonl     {"_id": "7", "title": "…", "text": "…"} a line
    DIR/queries.jsonl    {"_id": "q1", "text": "…"} a line
    DIR/qrels/*.tsv      query-id, corpus-id, score; a head line; test.tsv if there are several

Files to nouns. Invariant: every judgement names a query and a document that are there.
Source: Thakur et al., "BEIR", NeurIPS 2021; its repository describes the layout.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import Problem, UsageError
from kit.evaluate.lines import read_values

MAX_PROBLEMS = 20
_HINT = "see the layout: kit eval retrieval --help"


@dataclass(frozen=True)
class Text:
    """One document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Judged:
    """A corpus, the queries that were judged, and for each the documents that answer it."""

    name: str
    corpus: tuple[Text, ...]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    """Query -> document -> how well it answers, above 0."""
    sha256: str
    """Of the files, so that two reports can be known to be of the same data."""


def read_judged(folder: Path) -> Judged:
    """The data of that folder. Raises: UsageError naming every line that is wrong."""
    problems: list[Problem] = []
    corpus = tuple(
        Text(str(record["_id"]), str(record.get("title") or ""), str(record.get("text") or ""))
        for record in _records(folder / "corpus.jsonl", problems)
    )
    texts = {
        str(record["_id"]): str(record.get("text") or "")
        for record in _records(folder / "queries.jsonl", problems)
    }
    path = _judgements(folder)
    relevant = _read_judgements(path, texts, {text.id for text in corpus}, problems)
    if problems:
        shown = problems[:MAX_PROBLEMS]
        raise UsageError(f"{folder} cannot be measured on", problems=shown, hint=_HINT)
    queries = {query: texts[query] for query in relevant}
    if not queries:
        raise UsageError(f"{path} judges no document as relevant", hint=_HINT)
    files = (folder / "corpus.jsonl", folder / "queries.jsonl", path)
    return Judged(folder.resolve().name, corpus, queries, relevant, _digest(files))


def _records(path: Path, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    for where, record in read_values(path, problems, hint=_HINT):
        if isinstance(record, dict) and record.get("_id") not in (None, ""):
            yield record
        else:
            problems.append(Problem(where, "has no _id"))


def _judgements(folder: Path) -> Path:
    """test.tsv, or the only one. Raises: UsageError."""
    found = sorted((folder / "qrels").glob("*.tsv"))
    preferred = folder / "qrels" / "test.tsv"
    if preferred in found:
        return preferred
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"{folder / 'qrels'}: one .tsv expected, {names} observed", hint=_HINT)
    return found[0]


def _read_judgements(
    path: Path, queries: Mapping[str, str], corpus: set[str], problems: list[Problem]
) -> dict[str, dict[str, int]]:
    relevant: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter="\t"), start=1):
            if not row or (number == 1 and not _is_number(row[-1])):
                continue
            where = f"{path.name}:{number}"
            if len(row) != 3 or not _is_number(row[2]):
                problems.append(Problem(where, "query-id, corpus-id and a whole score expected"))
            elif row[0] not in queries:
                problems.append(Problem(where, f"no query {row[0]!r}"))
            elif row[1] not in corpus:
                problems.append(Problem(where, f"no document {row[1]!r}"))
            elif int(row[2]) > 0:
                relevant.setdefault(row[0], {})[row[1]] = int(row[2])
    return relevant


def _is_number(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()


def _digest(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
