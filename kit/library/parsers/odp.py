"""OpenDocument presentations: one section per slide, with title, text, tables and notes.

Knows text, and what is said of pictures; they are not looked at. Hidden slides are read and noted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.clean import one_line
from kit.library.parsers.odf import DRAW, PRESENTATION, STYLE, OdfPackage
from kit.library.parsers.odt import frame_blocks


def parse(path: Path) -> ParsedDocument:
    """Sections 'slide N: title'. Raises what zipfile and lxml raise on damage."""
    builder, notes, num_blank, first_title = TextBuilder(), list[str](), 0, ""
    package = OdfPackage(path, builder.hidden)
    unseen = _unseen_styles(package)
    slides = list(package.body("presentation").iter(DRAW + "page"))
    for number, slide in enumerate(slides, start=1):
        title, blocks = _read_slide(package, slide, number)
        if not any(block.strip() for block in (title, *blocks)):
            num_blank += 1
            continue
        first_title = first_title or title
        builder.begin("slide", f"slide {number}: {title}" if title else f"slide {number}", number)
        for block in (title, *blocks):
            builder.paragraph(block)
        if slide.get(DRAW + "style-name") in unseen:
            notes.append(f"slide {number} is hidden in the presentation; it was read too")
    if num_blank:
        notes.insert(0, f"{num_blank} of {len(slides)} slides had no text")
    title = package.title or first_title
    return builder.finish(title=title, num_pages=len(slides), notes=notes, dated=package.dated)


def _read_slide(package: OdfPackage, slide: Any, number: int) -> tuple[str, list[str]]:
    place, title, blocks, notes = f"on slide {number}", "", list[str](), list[str]()
    for shape in slide:
        texts = frame_blocks(package, shape, place)
        if shape.tag == PRESENTATION + "notes":
            notes += [text for text in texts if text.strip()]
        elif shape.get(PRESENTATION + "class") == "title" and not title:
            title = one_line(" ".join(texts))
        else:
            blocks += texts
    return title, [*blocks, *(["Notes: " + "\n".join(notes)] if notes else [])]


def _unseen_styles(package: OdfPackage) -> set[str]:
    return {
        style.get(STYLE + "name", "")
        for style in package.content.iter(STYLE + "style")
        for look in style
        if look.get(PRESENTATION + "visibility") == "hidden"
    }
