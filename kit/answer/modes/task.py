"""What can be asked beside a question: to summarise, to compare, to extract.

Pure nouns. Invariant: a task that exists can be done, as far as it can be told without looking at
the documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kit.errors import UsageError

Kind = Literal["summarise", "compare", "extract"]
MAX_FIELDS = 30
MAX_NAME_CHARS = 80
MAX_DESCRIPTION_CHARS = 500
MAX_DOCUMENTS = 2_000
_NUM_DOCUMENTS: dict[Kind, int] = {"summarise": 1, "compare": 2}
MIN_QUESTION_WORDS = 4  # a description that has fewer is put into a question


@dataclass(frozen=True)
class Field:
    """A column: its name, and what is looked for, as a question or in a few words."""

    name: str
    description: str = ""

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked of each document: what is described, then what is named."""
        said, by_name = self.description.strip(), f"What is the {self.name}?"
        if not said:
            return (by_name,)
        is_question = said.endswith(("?", "？")) or len(said.split()) >= MIN_QUESTION_WORDS
        return (said if is_question else f"What is the {said}?", by_name)


@dataclass(frozen=True)
class Task:
    """What is to be done. To extract, documents are named, or a collection, or neither for all."""

    kind: Kind
    document_ids: tuple[str, ...] = ()
    collection: str | None = None
    fields: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        """Raises: UsageError for what no task is."""
        if self.kind == "extract":
            _check_fields(self.fields)
            if self.document_ids and self.collection is not None:
                raise UsageError(
                    "documents and a collection were named, one of the two is possible",
                    hint="leave out the collection, or the documents",
                )
            if len(self.document_ids) > MAX_DOCUMENTS:
                raise too_many(len(self.document_ids))
        elif len(self.document_ids) != (wanted := _NUM_DOCUMENTS[self.kind]):
            documents = "one document" if wanted == 1 else "two documents"
            raise UsageError(f"to {self.kind} takes {documents}, {len(self.document_ids)} given")
        elif len(set(self.document_ids)) < wanted:
            raise UsageError(
                "a document cannot be compared with itself", hint="choose two different ones"
            )


def task_to_json(task: Task) -> dict[str, Any]:
    """The task as JSON carries it; `task_from_json` gives back an equal task."""
    return {
        "kind": task.kind,
        "document_ids": list(task.document_ids),
        "collection": task.collection,
        "fields": [{"name": f.name, "description": f.description} for f in task.fields],
    }


def task_from_json(record: Mapping[str, Any]) -> Task:
    """The task that `task_to_json` wrote."""
    return Task(
        record["kind"],
        tuple(record["document_ids"]),
        record["collection"],
        tuple(Field(f["name"], f["description"]) for f in record["fields"]),
    )


def too_many(count: int) -> UsageError:
    """More documents than one table takes."""
    return UsageError(
        f"{count:,} documents are too many for one table, the limit is {MAX_DOCUMENTS:,}",
        hint="choose a collection, or fewer documents",
    )


def _check_fields(fields: Sequence[Field]) -> None:
    names = [" ".join(field.name.split()).lower() for field in fields]
    if not names:
        raise UsageError("a table needs a field", hint="name at least one: 'Deadline'")
    if len(names) > MAX_FIELDS:
        raise UsageError(f"{len(names)} fields were given, the limit is {MAX_FIELDS}")
    if not all(names):
        raise UsageError("a field has no name", hint="write 'Name' or 'Name: what to look for'")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"the field {twice!r} was given twice")
    for field in fields:
        if len(field.name) > MAX_NAME_CHARS or len(field.description) > MAX_DESCRIPTION_CHARS:
            raise UsageError(
                f"the field {field.name[:MAX_NAME_CHARS]!r} is too long",
                hint=f"a name has up to {MAX_NAME_CHARS} letters, what to look for up to"
                f" {MAX_DESCRIPTION_CHARS}",
            )


def read_field(line: str) -> Field:
    """'Deadline: when do applications close?' -> Field; the name alone will do."""
    name, _, description = line.partition(":")
    return Field(" ".join(name.split()), " ".join(description.split()))
