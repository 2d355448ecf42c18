"""The page's icons: 24 x 24 line drawings of our own, in the colour of the text around them."""

# ruff: noqa: E501 - a path is one line
from __future__ import annotations

_PATHS = {
    "chat": "M4 5h16v11H9l-5 4z",
    "documents": "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
    "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20",
    "plus": "M12 5v14M5 12h14",
    "edit": "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
    "trash": "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    "copy": "M9 9h10v11H9zM5 15V4h10",
    "again": "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
    "good": "M7 11v9H4v-9zM7 11l4-7c1.600 0 2.300 1 2 2.500L12.500 10H19l-1.700 8.500c-.2 1-1 1.500-2 1.500H7",
    "bad": "M17 13V4h3v9zM17 13l-4 7c-1.600 0-2.300-1-2-2.500l.5-3.500H5l1.700-8.500C6.900 4.500 7.700 4 8.700 4H17",
    "send": "M12 19V5M6 11l6-6 6 6",
    "stop": "M7 7h10v10H7z",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "close": "M6 6l12 12M18 6 6 18",
    "theme": "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
    "lock": "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3",
    "people": "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 20c0-4 2.500-6 6-6s6 2 6 6M16 11a3 3 0 0 0 0-6M17 14c2.500.5 4 2.500 4 6",
    "open": "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
    "upload": "M12 16V5M7 9l5-5 5 5M4 15v5h16v-5",
    "save": "M12 4v11M7 10l5 5 5-5M4 19h16",
    "quote": "M5 6h5v6c0 3-1.500 5-4 6M14 6h5v6c0 3-1.500 5-4 6",
    "info": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v6M12 7v1",
    "check": "M5 12.500l4.500 4.500L19 7.500",
    "partly": "M4 14c2.500-5 5.500-5 8-2s5.500 3 8-2",
    "unsupported": "M7 7l10 10M17 7 7 17",
    "sources": "M5 4h14M5 9h14M5 14h9M5 19h6",
    "clock": "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.500l3 2",
    "half": "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16",
    "picture": "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9.500h.01",
    "older": "M5 12a7 7 0 1 0 2.200-5.100M5 4v4h4M12 8.500V12l2.500 1.500",
    "archive": "M4 5h16v4H4zM5.500 9v10h13V9M10 13h4",
    "pause": "M8 6v12M16 6v12",
    "play": "M8 5.500v13L18 12z",
    "folder": "M3 6h6l2 2.500h10V19H3z",
    "move": "M3 6h6l2 2.500h10V19H3zM8 13.800h7M12.500 11l2.800 2.800-2.800 2.800",
    "pages": "M8 3h11v14H8zM5 7v14h11",
    "sign-out": "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
}


def icon(name: str) -> str:
    """The drawing as inline SVG, hidden from screen readers: the text beside it speaks."""
    return (
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7"'
        f' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{_PATHS[name]}"/></svg>'
    )
