"""PowerPoint: one section per slide, with title, text, tables and speaker notes in reading order.

Knows text, and what is said of pictures; they are not looked at. Hidden slides are read and noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder, picture, table_lines
from kit.library.parsers.clean import one_line
from kit.library.parsers.office_zip import open_office, read_own_date, write_drawn

MAX_GROUP_DEPTH = 20


def parse(path: Path) -> ParsedDocument:
    """Sections 'slide N: title'. Raises what python-pptx raises on damage."""
    import pptx

    source = open_office(path)
    presentation = pptx.Presentation(str(path) if isinstance(source, Path) else source)
    builder, num_blank, notes, first_title = TextBuilder(), 0, [], ""
    slides = list(presentation.slides)
    for number, slide in enumerate(slides, start=1):
        title = one_line(slide.shapes.title.text) if slide.shapes.title is not None else ""
        first_title = first_title or title
        blocks = [title, *_slide_blocks(slide)]
        if not any(block.strip() for block in blocks):
            num_blank += 1
            continue
        builder.begin("slide", f"slide {number}: {title}" if title else f"slide {number}", number)
        for block in blocks:
            builder.paragraph(block)
        if slide._element.get("show") == "0":
            notes.append(f"slide {number} is hidden in the presentation; it was read too")
    _write_masters(builder, presentation)
    write_drawn(builder, path)
    if num_blank:
        notes.insert(0, f"{num_blank} of {len(slides)} slides had no text")
    title = presentation.core_properties.title or ""
    title = first_title if title in ("", "PowerPoint Presentation") else title
    return builder.finish(
        title=title, num_pages=len(slides), notes=notes, dated=read_own_date(path)
    )


def _write_masters(builder: TextBuilder, presentation: Any) -> None:
    """What stands on every slide (a reference number, a warning), once each."""
    layouts = {id(slide.slide_layout._element): slide.slide_layout for slide in presentation.slides}
    lines = {
        block: None
        for sheet in (*presentation.slide_masters, *layouts.values())
        for shape in sheet.shapes
        if not shape.is_placeholder
        for block in _shape_blocks(shape, 0)
        if block.strip()
    }
    if lines:
        builder.begin("heading", "On every slide")
        for block in lines:
            builder.paragraph(block)


def _slide_blocks(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    shapes = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        yield from _shape_blocks(shape, 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield f"Notes: {notes}"


def _shape_blocks(shape: Any, depth: int) -> Iterator[str]:
    if depth > MAX_GROUP_DEPTH:
        return
    for said in shape._element.xpath("./*[1]/p:cNvPr/@descr"):
        yield picture(said)
    if getattr(shape, "has_table", False):
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
        yield "\n".join(table_lines(rows))
    elif getattr(shape, "has_text_frame", False):
        yield "\n".join(
            "- " * min(paragraph.level, 1) + paragraph.text.strip()
            for paragraph in shape.text_frame.paragraphs
            if paragraph.text.strip()
        )
    elif hasattr(shape, "shapes"):  # a group
        for member in shape.shapes:
            yield from _shape_blocks(member, depth + 1)
