"""Text as the library keeps it.

Knows characters, no format. Invariant: what `clean` returns is storable and showable: no control,
tag or direction-override characters, no lone surrogates, line ends are a single newline.
"""

from __future__ import annotations

import re

# Dropped: C0/C1 controls but tab and newline, soft hyphen, zero-width space, direction overrides
# (they make text read differently from what is searched), byte-order mark, tag characters (they
# hide instructions from the eye), and private "not a character" marks.
_DROPPED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text as the library keeps it; see the module's invariant."""
    text = (
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", "\n").replace("\x0c", "\n")
    )
    return _SURROGATES.sub("\ufffd", _DROPPED.sub("", text.replace("\x85", "\n")))


def one_line(text: str) -> str:
    """The text on one line, runs of blanks as one space."""
    return " ".join(clean(text).split())
