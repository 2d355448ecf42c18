"""Two documents side by side: made by the program, exactly, with both places of every statement.

Knows alignment and tables, no language model. Invariant: every cell is a sentence of a document,
word for word, with its citation; but what differs, which is drawn from the two beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from kit.answer.events import Cell, Event, Finished, Table
from kit.answer.evidence.align import Alignment, Pair, align, differing_facts
from kit.answer.evidence.cite import Numbering
from kit.answer.evidence.passages import Unit, cut_passages
from kit.answer.modes.work import Work
from kit.library.documents import DocumentRecord, Hit, ParsedDocument, Section
from kit.library.index.embed import Embedder

BY_WORDS = "Sentences were matched by their words only, not by their meanings."
SAME_NAMES = "{name} ({place})"
CHANGED, REWORDED, SAME = "Figures, dates and names that differ", "Other wording", "The same"


@dataclass(frozen=True)
class Version:
    """A document that is compared, section by section: also one that answers no questions any
    more, because a newer one of its name does."""

    record: DocumentRecord
    hits: tuple[Hit, ...]


def version_of(record: DocumentRecord, parsed: ParsedDocument) -> Version:
    """The whole text of the document, each section a hit; what lies between sections, too."""
    spans: list[tuple[int, int, Section | None]] = []
    at = 0
    for section in parsed.sections:
        spans += [(at, section.start, None), (section.start, section.end, section)]
        at = max(at, section.end)
    spans.append((at, len(parsed.text), None))
    hits = tuple(
        Hit(
            rank=number,
            score=0.0,
            chunk_id=number,
            document_id=record.id,
            document=record.name,
            page=section.page if section else None,
            place=section.label if section else "",
            start=start,
            end=end,
            text=parsed.text[start:end],
            num_tokens=0,
            dated=record.dated,
        )
        for number, (start, end, section) in enumerate(spans, start=1)
        if parsed.text[start:end].strip()
    )
    return Version(record, hits)


async def compare(old: Version, new: Version, *, embedder: Embedder) -> AsyncIterator[Event]:
    """Stream the comparison; the last event is Finished."""
    work = Work()
    yield work.progress(0, 2, "reading both documents")
    units = await asyncio.to_thread(lambda: (cut_passages(old.hits), cut_passages(new.hits)))
    yield work.progress(1, 2, "matching their sentences")
    aligned = await asyncio.to_thread(align, *units, embedder)
    if not aligned.is_by_meaning and (aligned.only_old and aligned.only_new):
        yield work.notice(BY_WORDS)
    numbering, names = Numbering(), document_names(old, new)
    tables = _tables(aligned, names, numbering)
    yield work.progress(2, 2, "done")
    yield Finished(work.finish(_summary(aligned, names), numbering.citations, tables=tables))


def document_names(old: Version, new: Version) -> tuple[str, str]:
    """What to call the two; documents of one name are told apart by their collection or age."""
    one, other = old.record, new.record
    if one.name != other.name:
        return one.name, other.name
    places = (one.collection, other.collection)
    places = places if places[0] != places[1] else ("older", "newer")
    return (
        SAME_NAMES.format(name=one.name, place=places[0]),
        SAME_NAMES.format(name=other.name, place=places[1]),
    )


def _summary(aligned: Alignment, names: tuple[str, str]) -> str:
    """What was found, counted."""
    changed, reworded = _by_facts(aligned.changed)
    counts = {
        "The same in both": aligned.same,
        "Differing in a figure, a date or a name": changed,
        "In other words": reworded,
        f"Only in {names[0]}": aligned.only_old,
        f"Only in {names[1]}": aligned.only_new,
    }
    lines = [f"- {what}: **{len(found):,}**" for what, found in counts.items()]
    return "\n".join(["Sentences, matched one to one:", *lines])


def _tables(aligned: Alignment, names: tuple[str, str], numbering: Numbering) -> tuple[Table, ...]:
    """What differs first; a table without rows is left out."""

    def cell(unit: Unit) -> Cell:
        run = (unit,)
        text = " ".join(unit.text.split())
        return Cell(text, (numbering.number(run),), (unit.start, unit.end))

    changed, reworded = _by_facts(aligned.changed)
    made = [
        Table(CHANGED, (*names, "What differs"), _rows(changed, cell, with_differences=True)),
        Table(REWORDED, names, _rows(reworded, cell)),
        Table(f"Only in {names[0]}", (names[0],), tuple((cell(u),) for u in aligned.only_old)),
        Table(f"Only in {names[1]}", (names[1],), tuple((cell(u),) for u in aligned.only_new)),
        Table(SAME, names, _rows(aligned.same, cell)),
    ]
    return tuple(table for table in made if table.rows)


def _by_facts(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """(pairs that differ in a number, date or name, the others)."""
    differing = [pair for pair in pairs if pair.differs_in_facts]
    return differing, [pair for pair in pairs if not pair.differs_in_facts]


def _rows(
    pairs: Sequence[Pair], cell: Callable[[Unit], Cell], *, with_differences: bool = False
) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (cell(pair.old), cell(pair.new), *((_difference(pair),) if with_differences else ()))
        for pair in pairs
    )


def _difference(pair: Pair) -> Cell:
    """'R450 → R585; 60 → 30'."""
    found = differing_facts(pair.old.text, pair.new.text)
    return Cell("; ".join(f"{before or '–'} → {after or '–'}" for before, after in found))
