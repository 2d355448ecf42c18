"""Text that is in a file but not before the eye, gathered for a remark.

Threat: instructions to a language model hide there (white, tiny or undisplayed text, zero-width and
tag characters), where the person who added the file does not see them. So hidden text never
becomes part of a document; the remark says where it was and how it begins.
"""

from __future__ import annotations

import re

from kit.library.parsers.clean import one_line

MAX_SHOWN_CHARS = 80
MAX_REMARKS = 5
_TAGS = re.compile("[\U000e0020-\U000e007e]{8,}")  # a flag's emoji uses at most six of them
_NO_WIDTH = re.compile("[\u200b\u200c\u200d\u2060\ufeff]{8,}")  # a script needs one at a time


class Hidden:
    """What was left out, by the place where it stood."""

    def __init__(self) -> None:
        self._by_place: dict[str, list[str]] = {}

    def add(self, text: str, place: str = "") -> None:
        """`place`: 'on page 2', or empty for the document as a whole."""
        if any(character.isalnum() for character in text):
            self._by_place.setdefault(place, []).append(text)

    def remarks(self) -> list[str]:
        """One line per place: "hidden text on page 2 was left out: '...'"."""
        found = [_remark(place, texts) for place, texts in self._by_place.items()]
        more = len(found) - MAX_REMARKS
        return found[:MAX_REMARKS] + (
            [f"hidden text in {more} more places was left out"] if more > 0 else []
        )


def unseen_runs(text: str) -> list[str]:
    """What is written in tag characters, as letters, and runs of characters without width."""
    found = ["".join(chr(ord(c) - 0xE0000) for c in run) for run in _TAGS.findall(text)]
    runs = [len(run) for run in _NO_WIDTH.findall(text)]
    return found + [f"{length} characters without width" for length in runs]


def _remark(place: str, texts: list[str]) -> str:
    shown = one_line(" ".join(text[: 4 * MAX_SHOWN_CHARS] for text in texts[:20]))
    if len(shown) > MAX_SHOWN_CHARS:
        shown = shown[:MAX_SHOWN_CHARS].rstrip() + " …"
    return f"hidden text {place + ' ' if place else ''}was left out: '{shown}'"
