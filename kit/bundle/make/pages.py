"""The documentation as pages that a browser shows from a folder, without a server or a script."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import urlsplit

STYLE = """
body { font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; color: #1c1e21; background: #fff }
pre { overflow-x: auto; padding: .8rem; border-radius: .4rem }
pre, code { background: #f2f3f5; font-family: ui-monospace, monospace; font-size: .9em }
table { border-collapse: collapse; display: block; overflow-x: auto; overflow-wrap: normal }
td, th { border: 1px solid #d0d2d6; padding: .3rem .6rem; text-align: left; vertical-align: top }
img { max-width: 100% }
@media (prefers-color-scheme: dark) { body { color: #e4e6eb; background: #18191a }
  a { color: #8ab4f8 } pre, code { background: #242526 } td, th { border-color: #3a3b3c } }
"""
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data:; \
style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head>
<body><p><a href="{root}">The kit</a></p>
{body}</body></html>
"""
_LINK = re.compile(r'(<a href=")([^"]+)(")')
_HEADING = re.compile(r"<h([1-6])>(.*?)</h\1>", re.DOTALL)


def render(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of every page and picture below `folder`; README.md becomes index.html."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".md":
            files[page_name(name)] = render_page(path.read_text(encoding="utf-8"), name).encode()
        elif path.suffix in (".png", ".svg", ".json"):
            files[name] = path.read_bytes()
    return files


def page_name(name: str) -> str:
    """'how-to/x.md' -> 'how-to/x.html', 'README.md' -> 'index.html'."""
    return re.sub(r"(^|/)README\.md$", r"\1index.md", name).removesuffix(".md") + ".html"


def render_page(text: str, name: str) -> str:
    """One page. Raw HTML in the text is shown, not run."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = _LINK.sub(lambda m: m[1] + html.escape(_target(html.unescape(m[2]))) + m[3], body)
    body = _HEADING.sub(_anchored, body)
    first = re.search(r"^# (.+)$", text, re.MULTILINE)
    root = "../" * name.count("/") + "index.html"
    title = html.escape(first[1] if first else name)
    return PAGE.format(title=title, style=STYLE, root=root, body=body)


def _target(link: str) -> str:
    parts = urlsplit(link)
    if parts.scheme or not parts.path.endswith(".md"):
        return link
    return page_name(parts.path) + (f"#{parts.fragment}" if parts.fragment else "")


def _anchored(found: re.Match[str]) -> str:
    words = html.unescape(re.sub(r"<[^>]+>", "", found[2])).lower()
    anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
    return f'<h{found[1]} id="{html.escape(anchor)}">{found[2]}</h{found[1]}>'
