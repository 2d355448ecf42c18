"""Text from models, documents and file names, made safe to set into a page.

Knows a small part of Markdown and nothing of answers. Invariant: whatever the text, and wherever a
stream cuts it, the result holds only the tags written here, no attribute taken from the text, and
no link, image or script; a citation link is made from a Citation, never from the text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from kit.answer.events import Citation

# Control characters, and the bidirectional overrides that make "fdp.exe" read as "exe.pdf".
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*)$")
_BULLET = re.compile(r"^\s{0,6}[-*•]\s+(.*)$")
_NUMBER = re.compile(r"^\s{0,6}(\d{1,3})[.)]\s+(.*)$")
_QUOTE = re.compile(r"^\s{0,3}>\s?(.*)$")
_CODE = re.compile(r"`([^`\n]+)`")
_BOLD = re.compile(r"\*\*(?=\S)([^*]+?)(?<=\S)\*\*")
_ITALIC = re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
_MARKER = re.compile(r"\[(\d{1,5})\]")


def escape(text: object) -> str:
    """The text as HTML shows it, letter by letter; safe in content and in a quoted attribute."""
    return html.escape(_UNPRINTABLE.sub("", str(text)), quote=True)


def passage_url(citation: Citation) -> str:
    """The passage viewer's address for this span."""
    span = {"document": citation.document_id, "start": citation.start, "end": citation.end}
    return f"/passage?{urlencode(span)}"


def place_of(citation: Citation) -> str:
    """'page 3', 'Travel › Per diem', 'sheet Budget': where in the document, for people."""
    place = citation.place or (f"page {citation.page}" if citation.page else "")
    return place.replace(" > ", " › ")


def source_of(citation: Citation) -> str:
    """'Travel policy.pdf, page 3', not escaped."""
    return ", ".join(part for part in (citation.document, place_of(citation)) if part)


def chip(citation: Citation) -> str:
    """The small numbered link that stands for a piece of evidence."""
    source = escape(source_of(citation))
    return (
        f'<a class="cite" href="{escape(passage_url(citation))}" target="_blank" rel="noopener"'
        f' data-n="{citation.n}" title="{source}" aria-label="Source {citation.n}: {source}">'
        f"{citation.n}</a>"
    )


def rich_text(text: str, citations: Iterable[Citation] = ()) -> str:
    """Paragraphs, lists, headings, code, bold, italics, and [n] as citation chips.

    Everything else, raw HTML, links and images among it, stays the letters it is written in.
    """
    chips = {citation.n: chip(citation) for citation in citations}
    return _blocks(text.replace("\r\n", "\n").split("\n"), chips)


def line_text(text: str) -> str:
    """One sentence on one line: code, bold and italics; everything else stays letters."""
    return _inline(" ".join(text.split()), {})


def _blocks(lines: list[str], chips: Mapping[int, str]) -> str:
    out: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line.strip():
            position += 1
        elif _FENCE.match(line):
            position, block = _code_block(lines, position)
            out.append(block)
        else:
            position, block = _text_block(lines, position, chips)
            out.append(block)
    return "".join(out)


def _code_block(lines: list[str], start: int) -> tuple[int, str]:
    end = start + 1
    while end < len(lines) and not _FENCE.match(lines[end]):
        end += 1
    code = escape("\n".join(lines[start + 1 : end]))
    return end + 1, f"<pre><code>{code}</code></pre>"


def _text_block(lines: list[str], start: int, chips: Mapping[int, str]) -> tuple[int, str]:
    """The block that begins at line `start`, and the line after it."""
    kind = _kind(lines[start])
    end = start
    while end < len(lines) and lines[end].strip() and _kind(lines[end]) == kind:
        end += 1
        if kind == "heading":
            break
    bodies = [_body(line, kind) for line in lines[start:end]]
    if kind == "bullet":
        return end, "<ul>" + "".join(f"<li>{_inline(b, chips)}</li>" for b in bodies) + "</ul>"
    if kind == "number":
        first = _NUMBER.match(lines[start])
        begin = f' start="{int(first[1])}"' if first and first[1] != "1" else ""
        items = "".join(f"<li>{_inline(body, chips)}</li>" for body in bodies)
        return end, f"<ol{begin}>{items}</ol>"
    if kind == "heading":
        return end, f'<p class="heading">{_inline(bodies[0], chips)}</p>'
    inner = "<br>".join(_inline(body, chips) for body in bodies)
    return end, f"<blockquote><p>{inner}</p></blockquote>" if kind == "quote" else f"<p>{inner}</p>"


_KINDS = {"heading": _HEADING, "bullet": _BULLET, "number": _NUMBER, "quote": _QUOTE}


def _kind(line: str) -> str:
    if _FENCE.match(line):
        return "fence"
    return next((name for name, pattern in _KINDS.items() if pattern.match(line)), "text")


def _body(line: str, kind: str) -> str:
    match = _KINDS[kind].match(line) if kind in _KINDS else None
    return match[match.lastindex or 0] if match else line


def _inline(text: str, chips: Mapping[int, str]) -> str:
    """One line: code first, since nothing inside it counts; then emphasis and markers."""
    parts: list[str] = []
    position = 0
    for match in _CODE.finditer(text):
        parts.append(_emphasis(text[position : match.start()], chips))
        parts.append(f"<code>{escape(match[1])}</code>")
        position = match.end()
    parts.append(_emphasis(text[position:], chips))
    return "".join(parts)


def _emphasis(text: str, chips: Mapping[int, str]) -> str:
    safe = escape(text)
    safe = _BOLD.sub(r"<strong>\1</strong>", safe)
    safe = _ITALIC.sub(r"<em>\1</em>", safe)
    return _MARKER.sub(lambda match: chips.get(int(match[1]), match[0]), safe)
