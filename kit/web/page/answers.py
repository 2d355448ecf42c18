"""An answer as HTML: the quotation it opens with, its text with support shown, and its evidence.

Knows the nouns of kit.answer, no widget and no storage. Invariant: every string of a person, a
document or a model goes through kit.web.page.text before it is set into the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kit.answer.answer import ABSENT
from kit.answer.events import DIFFERS, Answer, Citation, Sentence, Support
from kit.answer.evidence.cite import PARTLY_MARK
from kit.library.dates import words_of
from kit.library.parsers.detect import shows_pages
from kit.web.page.icons import icon
from kit.web.page.pieces import clipped, counted, new_tab, quiet, tool
from kit.web.page.tables import tables_html
from kit.web.page.text import (
    chip,
    escape,
    line_text,
    passage_url,
    place_of,
    rich_text,
)


def answer_html(answer: Answer) -> str:
    """An answer as it is stored: what is shown of it, and what the reader should know about it."""
    parts = [reasoning_html(answer.reasoning)]
    if answer.is_supported:
        parts.append(text_html(answer.text, answer.citations, answer.sentences))
        parts.append(_withheld(answer))
    elif answer.text.startswith(ABSENT):
        parts.append(_absent(answer))
    else:  # a greeting, for example
        parts.append(f'<div class="prose copyable" dir="auto">{rich_text(answer.text)}</div>')
    parts.append(tables_html(answer.tables, answer.citations))
    return "".join(parts + [quiet(notice) for notice in answer.notices])


def text_html(text: str, citations: Iterable[Citation], sentences: Sequence[Sentence] = ()) -> str:
    """The text of an answer, finished or not. It may begin with quotations, or end with a list of
    them; `sentences` are those of the model, with their support."""
    citations = tuple(citations)
    quotations, rest = _split_quotations(text, citations)
    if not any(sentence.support != "unsupported" for sentence in sentences):
        return quotations + _prose(rest, citations)
    return quotations + _judged(sentences, citations) + _prose(_listed(rest), citations)


def _listed(text: str) -> str:
    """The list of quotations that a text ends with, as kit.answer.modes.work writes it."""
    last = text.rpartition("\n\n")[2]
    return last if last.startswith("- “") else ""


# As kit.answer.evidence.cite writes it: the words in quotation marks, then their number.
_QUOTE_LINE = re.compile(r"^“(?P<quote>[^\n]+)” \[(?P<n>\d{1,5})\]\s*$")


def _split_quotations(text: str, citations: Sequence[Citation]) -> tuple[str, str]:
    """(the quotations that open the text, drawn; the rest of it)."""
    drawn = ""
    while True:
        head, _, rest = text.lstrip().partition("\n\n")
        differs = bool(drawn) and head.startswith(DIFFERS)
        match = _QUOTE_LINE.match(head.removeprefix(DIFFERS).strip() if differs else head)
        source = next((c for c in citations if match and c.n == int(match["n"])), None)
        if match is None or source is None or (drawn and not differs):
            return drawn, text
        drawn += f'<p class="differs copyable">{escape(DIFFERS)}</p>' if differs else ""
        drawn += _quotation(match["quote"], source)
        text = rest


BADGES: dict[Support, tuple[str, str, str]] = {
    "supported": ("check", "Supported", "The passage says so: open its number to read it"),
    "partly": (
        "partly",
        "Partly",
        "The passage supports only a part of this sentence: check it",
    ),
    "unsupported": ("unsupported", "Unsupported", "No passage that was found says so"),
}


def badge(support: Support) -> str:
    """Whether a sentence is supported, as a drawing and a word: colour alone tells nothing."""
    drawing, word, meaning = BADGES[support]
    return f'<span class="badge {support}" title="{meaning}">{icon(drawing)}{word}</span>'


def _judged(sentences: Sequence[Sentence], citations: Sequence[Citation]) -> str:
    """What the model says and the documents support, sentence by sentence."""
    by_number = {citation.n: citation for citation in citations}
    items = []
    for sentence in sentences:
        if sentence.support != "unsupported":
            chips = "".join(chip(by_number[n]) for n in sentence.citations if n in by_number)
            said = line_text(sentence.text)
            verdict = f'<span class="verdict">{chips} {badge(sentence.support)}</span>'
            items.append(f"<li>{said} {verdict}</li>")
    return f'<ul class="prose judged copyable" dir="auto">{"".join(items)}</ul>'


def _prose(text: str, citations: Iterable[Citation]) -> str:
    """A text whose sentences were not kept one by one; what is partly supported is marked so."""
    if not text.strip():
        return ""
    body = rich_text(text, citations).replace(escape(PARTLY_MARK), badge("partly"))
    return f'<div class="prose copyable" dir="auto">{body}</div>'


def _quotation(text: str, citation: Citation) -> str:
    """Words of a document, set as a quotation with their source under them."""
    beside = filter(None, (place_of(citation), words_of(citation.dated)))
    place_html = "".join(f'<span class="place">{escape(part)}</span>' for part in beside)
    source = new_tab(passage_url(citation), f"<bdi>{escape(citation.document)}</bdi>", "source")
    return (
        f'<figure class="quotation copyable"><blockquote dir="auto">{escape(text)}</blockquote>'
        f"<figcaption>{chip(citation)} {source}{place_html}"
        '<span class="place">word for word</span></figcaption></figure>'
    )


def _withheld(answer: Answer) -> str:
    """What the model said and the documents do not back: folded, and named for what it is."""
    withheld = [s.text for s in answer.sentences if s.support == "unsupported"]
    if not withheld:
        return ""
    mark = badge("unsupported")
    items = "".join(f'<li dir="auto">{escape(text)} {mark}</li>' for text in withheld)
    return (
        f'<details class="withheld"><summary>{counted(len(withheld), "sentence")} of the model left'
        " out</summary><p>Your documents do not support this. Do not rely on it.</p>"
        f"<ul>{items}</ul>"
        "</details>"
    )


def _absent(answer: Answer) -> str:
    """Not in the documents: said plainly, with the passages that came closest."""
    closest = ""
    if answer.closest:
        items = "".join(f"<li>{_closest(citation)}</li>" for citation in answer.closest)
        closest = f"<ul>{items}</ul>"
    said = next(words for words in ABSENT if answer.text.startswith(words))
    rest = answer.text.removeprefix(said).strip()
    title = said.rstrip(".")
    return (
        f'<section class="absent"><h3 class="copyable">{icon("search")}{escape(title)}</h3>'
        f'<div class="copyable" dir="auto">{rich_text(rest)}</div>{closest}</section>'
    )


def _closest(citation: Citation) -> str:
    return new_tab(
        passage_url(citation),
        f'<b dir="auto">{escape(citation.document)}</b>'
        f'<small dir="auto">{escape(_where(citation))}</small>'
        f'<span dir="auto">{escape(clipped(citation.text, 170))}</span>',
    )


def _where(citation: Citation) -> str:
    return " · ".join(filter(None, (place_of(citation), words_of(citation.dated))))


def reasoning_html(text: str) -> str:
    """The model's reasoning, folded; '' if there is none."""
    if not text.strip():
        return ""
    return (
        '<details class="reasoning" data-keep="reasoning"><summary>Reasoning</summary>'
        f'<div class="prose" dir="auto">{rich_text(text)}</div></details>'
    )


# Evidence --------------------------------------------------------------------------------------


def evidence_html(
    citations: Sequence[Citation],
    closest: Sequence[Citation] = (),
    *,
    message_id: int | None = None,
) -> str:
    """Numbered cards of what the answer rests on, or of what came closest; '' for neither."""
    shown = citations or closest
    if not shown:
        return ""
    data = "" if message_id is None else f' data-message="{message_id}"'
    title = "Evidence" if citations else "Closest passages"
    cards = "".join(_card(citation, is_numbered=bool(citations)) for citation in shown)
    return (
        f'<section class="evidence" aria-label="{title}"{data}><header><h2>{title}</h2>'
        f"{tool('hide-evidence', 'Hide the evidence', 'close')}</header><ol>{cards}</ol></section>"
    )


def _card(citation: Citation, *, is_numbered: bool) -> str:
    number = f'<span class="number">{citation.n}</span>' if is_numbered else ""
    original = f"/api/v1/documents/{citation.document_id}/original"
    return (
        f'<li class="card" data-n="{citation.n}"><div class="card-head">{number}'
        f'<div><b dir="auto">{escape(citation.document)}</b>'
        f"<span>{escape(_exactly(citation))}</span></div></div>"
        f'<div class="card-body">{_thumbnail(citation)}'
        f'<blockquote dir="auto">{escape(" ".join(citation.text.split()))}</blockquote></div>'
        f'<div class="card-links">{new_tab(passage_url(citation), "Open passage")}'
        f"{new_tab(original, 'Original')}"
        '<button type="button" data-do="more" aria-expanded="false">More</button></div></li>'
    )


def _exactly(citation: Citation) -> str:
    """'page 3 · characters 1,204–1,260 · changed 4 March 2025': the place, the span as every offset
    counts it, and of when the document is."""
    span = f"characters {citation.start:,}–{citation.end:,}"
    return " · ".join(filter(None, (place_of(citation), span, words_of(citation.dated))))


def _thumbnail(citation: Citation) -> str:
    """The page's image with the passage highlighted, for formats that have page images."""
    if citation.page is None or not shows_pages(citation.document):
        return ""
    page = f"/api/v1/documents/{citation.document_id}/pages/{citation.page}.png"
    image = escape(f"{page}?start={citation.start}&end={citation.end}&scale=0.5")
    alt = f"Page {citation.page}, the passage highlighted"
    return new_tab(
        passage_url(citation), f'<img src="{image}" loading="lazy" alt="{alt}">', "thumbnail"
    )
