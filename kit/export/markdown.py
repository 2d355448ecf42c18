"""A report as Markdown, citations as footnotes.

Pure. Invariant: no text of a person, a document or a model becomes markup: no link, image or HTML
lives in the file but what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.answer.events import Answer, Citation, Table
from kit.export.blocks import Block, Run, blocks, cell_runs, printable, source_of, verbatim
from kit.export.report import LEFT_OUT, STATES, Report, Turn

# Threat: an image or a link of a document that the reader's viewer fetches or opens.
_SIGNS = re.compile(r"[\\`*_{}\[\]<>#|~!$&^]")
_SCHEME = re.compile(r"(?<=[a-zA-Z]):(?=//)|(?<=\bwww)\.|(?<=mailto):")
_STARTS_LIST = re.compile(r"^(\s*)([-+=])")
_OPENINGS = {"heading": "### ", "bullet": "- ", "number": "1. ", "quote": "> ", "paragraph": ""}


def markdown(report: Report) -> bytes:
    """The report as a UTF-8 file in GitHub's dialect: footnotes, tables."""
    lines = [f"# {escape(report.title)}", "", escape(report.day), ""]
    for number, turn in enumerate(report.turns, start=1):
        lines += _turn(number, turn)
    return ("\n".join(lines).rstrip() + "\n").encode()


def _turn(number: int, turn: Turn) -> list[str]:
    lines = [f"## {escape(' '.join(turn.question.split()))}", ""]
    if turn.answer is not None:
        lines += [part for block in blocks(turn.answer) for part in (_block(block, number), "")]
        for table in turn.answer.tables:
            lines += _table(table, turn.answer, number)
        lines += [f"*{escape(notice)}*\n" for notice in turn.answer.notices]
    if turn.state != "complete":
        lines += [f"*{STATES[turn.state]}*", ""]
    if turn.unsupported:
        lines += [f"**{LEFT_OUT}:**", ""]
        lines += [f"- *{escape(' '.join(text.split()))}*" for text in turn.unsupported]
        lines.append("")
    if turn.answer is not None:
        lines += [_note(citation, number) for citation in turn.answer.citations]
        lines.append("")
    return lines


def _block(block: Block, number: int) -> str:
    return _OPENINGS[block.kind] + _line(block.runs, number)


def _line(line: Sequence[Run], number: int) -> str:
    return "".join(_run(run, number) for run in line).strip()


def _run(run: Run, number: int) -> str:
    if run.note is not None:
        return f"[^{number}-{run.note.n}]"
    text = escape(run.text)
    text = f"**{text}**" if run.is_bold else text
    return f"*{text}*" if run.is_italic else text


def _note(citation: Citation, number: int) -> str:
    return (
        f"[^{number}-{citation.n}]: {escape(source_of(citation))}: “{escape(verbatim(citation))}”"
    )


def _table(table: Table, answer: Answer, number: int) -> list[str]:
    rows = [[_line(cell_runs(cell, answer), number) for cell in row] for row in table.rows]
    head = [escape(column) for column in table.columns]
    drawn = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return [f"**{escape(table.title)}**", "", *drawn, ""]


def escape(text: str) -> str:
    """The text as Markdown shows it, sign by sign."""
    text = _SIGNS.sub(r"\\\g<0>", printable(text))
    text = _STARTS_LIST.sub(r"\1\\\2", text) if not text[:1].isdigit() else _numbered(text)
    return _SCHEME.sub(lambda match: "\\" + match[0], text)


def _numbered(text: str) -> str:
    """'1. x' with its stop escaped: a number cannot be."""
    return re.sub(r"^(\d{1,9})([.)])", r"\1\\\2", text)
