"""An administrator's own questions with what a right answer holds, one JSON object a line.

    DIR/questions.jsonl  {"question": "…", "expected": ["R585"], "document": "a.pdf", "page": 2}
                         {"question": "And abroad?", "follow_up": true, "expected": ["USD 85"]}
                         {"question": "Who won the match?", "unanswerable": true}
    DIR/documents/       the files that they are about; without it the kit's library is asked

Files to nouns. Invariant: every question says what a right answer is, or that there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import Problem, UsageError
from kit.evaluate.lines import read_values

QUESTIONS, DOCUMENTS = "questions.jsonl", "documents"
MAX_PROBLEMS = 20
FIELDS = frozenset({"question", "expected", "document", "page", "unanswerable", "follow_up"})
_HINT = "see the layout: docs/how-to/measure-answers.md"


@dataclass(frozen=True)
class Asked:
    """A question. A right answer holds one string of each group in `expected`, and cites `document`
    and `page` where they are named."""

    question: str
    expected: tuple[tuple[str, ...], ...] = ()
    document: str | None = None
    page: int | None = None
    is_unanswerable: bool = False
    is_follow_up: bool = False
    """Asked in the conversation of the question before it."""


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and the files that they are about, by name; no files = the library as it is."""

    name: str
    questions: tuple[Asked, ...]
    files: Mapping[str, Path]
    sha256: str
    """Of questions and files, so that two reports can be known to be of the same data."""

    @property
    def conversations(self) -> list[list[Asked]]:
        """The questions, each with those that follow it."""
        found: list[list[Asked]] = []
        for asked in self.questions:
            if asked.is_follow_up:
                found[-1].append(asked)
            else:
                found.append([asked])
        return found


def question_set(name: str, questions: Sequence[Asked], files: Mapping[str, Path]) -> QuestionSet:
    """The set with its digest."""
    digest = hashlib.sha256(repr(tuple(questions)).encode())
    for shown, path in sorted(files.items()):
        digest.update(shown.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return QuestionSet(name, tuple(questions), dict(files), digest.hexdigest())


def read_question_set(folder: Path) -> QuestionSet:
    """The data of that folder. Raises: UsageError naming every line that is wrong."""
    path = folder / QUESTIONS
    problems: list[Problem] = []
    questions: list[Asked] = []
    for where, record in _records(path, problems):
        try:
            questions.append(_asked(record, is_first=not questions))
        except ValueError as problem:
            problems.append(Problem(where, str(problem)))
    if problems:
        shown = problems[:MAX_PROBLEMS]
        raise UsageError(f"{path} cannot be measured with", problems=shown, hint=_HINT)
    if not questions:
        raise UsageError(f"{path} holds no question", hint=_HINT)
    return question_set(folder.resolve().name, questions, _files(folder / DOCUMENTS))


def _records(path: Path, problems: list[Problem]) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, record in read_values(path, problems, hint=_HINT):
        if isinstance(record, dict):
            yield where, record
        else:
            problems.append(Problem(where, "one JSON object a line expected"))


def _asked(record: Mapping[str, Any], *, is_first: bool) -> Asked:
    """Raises: ValueError saying what is wrong with the line."""
    if unknown := sorted(set(record) - FIELDS):
        raise ValueError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(FIELDS))}")
    question, document, page = (record.get(key) for key in ("question", "document", "page"))
    is_unanswerable, is_follow_up = (_flag(record, key) for key in ("unanswerable", "follow_up"))
    expected = _expected(record.get("expected", []))
    if not isinstance(question, str) or not question.strip():
        raise ValueError("question: a text expected")
    if document is not None and not (isinstance(document, str) and document):
        raise ValueError("document: the name of a file expected")
    if page is not None and (document is None or type(page) is not int or page < 1):
        raise ValueError("page: a number from 1 expected, beside the document that has it")
    if is_unanswerable and (expected or document):
        raise ValueError("unanswerable, and yet an answer is expected: leave one of them out")
    if not is_unanswerable and not expected and not document:
        raise ValueError("expected or document is missing: what would a right answer hold?")
    if is_follow_up and is_first:
        raise ValueError("follow_up: there is no question before it")
    return Asked(question.strip(), expected, document, page, is_unanswerable, is_follow_up)


def _flag(record: Mapping[str, Any], key: str) -> bool:
    value = record.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key}: true or false expected, {value!r} observed")
    return value


def _expected(given: object) -> tuple[tuple[str, ...], ...]:
    """'a' or ['a', ['b', 'c']] -> (('a',), ('b', 'c')). Raises: ValueError."""
    groups = [given] if isinstance(given, str) else given
    if not isinstance(groups, list):
        raise ValueError("expected: a text or a list of texts expected")
    found = [tuple(group) if isinstance(group, list) else (group,) for group in groups]
    if not all(group and all(isinstance(t, str) and t.strip() for t in group) for group in found):
        raise ValueError("expected: texts, or lists of texts of which one is enough, expected")
    return tuple(found)


def _files(folder: Path) -> dict[str, Path]:
    """Name in the library -> path; hidden files are left out. Raises: UsageError for no file."""
    if not folder.exists():
        return {}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    files = {name: path for name, path in named.items() if not _is_hidden(name)}
    if not files:
        raise UsageError(f"{folder} holds no file", hint="leave it out to ask the library itself")
    return files


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
