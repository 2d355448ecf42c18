"""The frame of the pages the shell draws itself, and the files they need.

Knows HTML, no nouns. Invariant: arguments are plain text and are escaped here, unless their name
ends in _html.
"""

from __future__ import annotations

import html
import importlib.util
from importlib import resources
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response

from kit.errors import NotFound
from kit.web.security import PLAIN_CSP

ASSETS = resources.files("kit.web") / "assets"
_FONTS = {
    "sans-regular.woff2": "SourceSansPro-Regular.woff2",
    "sans-bold.woff2": "SourceSansPro-Bold.woff2",
}
_OWN = {
    "shell.css": "text/css; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
LOGO = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">'
    '<rect width="32" height="32" rx="9" fill="currentColor"/>'
    '<g fill="none" stroke="var(--on-accent)" stroke-width="2" stroke-linecap="round">'
    '<path d="M9 8h9l5 5v11H9z" stroke-linejoin="round"/><path d="M13 15h6M13 19h4"/></g></svg>'
)


def escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def page(title: str, body_html: str, *, status: int = 200) -> HTMLResponse:
    """A whole page without a script. Documents can put nothing into it but letters."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>"
        '<link rel="icon" href="/shell/favicon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/shell/shell.css"></head>'
        f"<body>{body_html}</body></html>"
    )
    headers = {"Content-Security-Policy": PLAIN_CSP, "X-Frame-Options": "DENY"}
    return HTMLResponse(text, status, headers)


def message_page(
    title: str,
    message: str,
    hint: str | None,
    *,
    status: int,
    link: tuple[str, str] = ("/", "To the kit"),
) -> HTMLResponse:
    """One thing that went wrong, with the next step."""
    hint_html = f"<p>{escape(sentence(hint))}</p>" if hint else ""
    url, label = link
    return page(
        title,
        '<main class="door"><div class="card">'
        f'<div class="brand">{LOGO}<h1>{escape(title)}</h1></div>'
        f'<p class="alert" role="alert">{escape(sentence(message))}</p>{hint_html}'
        f'<a class="button" href="{escape(url)}">{escape(label)}</a></div></main>',
        status=status,
    )


def sentence(text: str) -> str:
    """Our errors begin in lower case, as terminals show them; a page begins in upper case."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else text + "."


def asset(name: str) -> Response:
    """A file the pages need. Raises NotFound for any other name."""
    if name in _OWN:
        return Response((ASSETS / name).read_bytes(), media_type=_OWN[name])
    if name in _FONTS:
        return FileResponse(_gradio_fonts() / _FONTS[name], media_type="font/woff2")
    raise NotFound("there is no such file")


def _gradio_fonts() -> Path:
    """The folder of the font that Gradio carries; found without importing Gradio."""
    spec = importlib.util.find_spec("gradio")
    if spec is None or spec.origin is None:
        raise NotFound("the font is not installed")
    return Path(spec.origin).parent / "templates/frontend/static/fonts/SourceSansPro"
