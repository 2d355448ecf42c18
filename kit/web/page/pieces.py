"""Small pieces of HTML that several parts of the page share.

Knows no noun of the rooms below. Invariant: arguments are plain text and are escaped here, unless
their name ends in _html.
"""

from __future__ import annotations

from kit.web.page.icons import icon
from kit.web.page.text import escape


def tool(do: str, label: str, drawing: str, *, pressed: bool | None = None, **data: object) -> str:
    """A small button with a drawing; the page's script reads `do` and `data`."""
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return (
        f'<button type="button" class="tool" data-do="{do}" title="{escape(label)}"'
        f' aria-label="{escape(label)}"{state}{attributes}>{icon(drawing)}</button>'
    )


def new_tab(url: str, body_html: str, css_class: str = "") -> str:
    """A link that opens beside the page."""
    kind = f' class="{css_class}"' if css_class else ""
    return f'<a{kind} href="{escape(url)}" target="_blank" rel="noopener">{body_html}</a>'


def quiet(text: str) -> str:
    """A line that informs without shouting."""
    return f'<p class="quiet">{escape(sentence_case(text))}</p>'


def failure(message: str, hint: str | None) -> str:
    """An error in plain words, with the next step."""
    hint_html = f"<span>{escape(sentence_case(hint))}</span>" if hint else ""
    return (
        f'<div class="failure" role="alert">{icon("info")}<div>'
        f"<strong>{escape(sentence_case(message))}</strong>{hint_html}</div></div>"
    )


def sentence_case(text: str) -> str:
    """'the engine is restarting' -> 'The engine is restarting'."""
    return text[:1].upper() + text[1:]


def counted(count: int, noun: str) -> str:
    """'1 passage', '5 passages'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clipped(text: str, max_chars: int) -> str:
    """The text on one line, cut at a word."""
    text = " ".join(text.split())
    return text if len(text) <= max_chars else text[:max_chars].rsplit(" ", 1)[0] + " …"
