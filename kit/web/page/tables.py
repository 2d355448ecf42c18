"""Tables of an answer as HTML: each cell with the chips of its evidence.

Knows the nouns of kit.answer, no widget and no storage. Invariant: every string of a person, a
document or a model goes through kit.web.page.text before it is set into the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kit.answer.events import Cell, Citation, Table
from kit.answer.modes.compare import REWORDED, SAME
from kit.answer.modes.extract import NOT_FOUND_CELL
from kit.web.page.pieces import counted
from kit.web.page.text import chip, escape

MAX_OPEN_ROWS = 30  # a longer table is folded
FOLDED = (REWORDED, SAME)  # what is looked at last


def tables_html(tables: Iterable[Table], citations: Iterable[Citation]) -> str:
    """The tables, those that are long or less telling folded."""
    chips = {citation.n: chip(citation) for citation in citations}
    return "".join(_table(table, chips) for table in tables)


def _table(table: Table, chips: Mapping[int, str]) -> str:
    head = "".join(f'<th scope="col" dir="auto">{escape(name)}</th>' for name in table.columns)
    body = "".join(f"<tr>{''.join(_cell(cell, chips) for cell in row)}</tr>" for row in table.rows)
    is_open = len(table.rows) <= MAX_OPEN_ROWS and table.title not in FOLDED
    return (
        f'<details class="made"{" open" if is_open else ""}><summary><b>{escape(table.title)}</b>'
        f" <span>{counted(len(table.rows), 'row')}</span></summary>"
        f'<div class="scroll" tabindex="0"><table class="copyable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _cell(cell: Cell, chips: Mapping[int, str]) -> str:
    placed = "".join(chips.get(n, "") for n in cell.citations)
    kind = ' class="missing"' if cell.text == NOT_FOUND_CELL else ""
    return f'<td dir="auto"{kind}>{escape(cell.text)} {placed}</td>'
