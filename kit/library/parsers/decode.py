"""Bytes to text: byte-order marks, UTF-8, UTF-16, what the letters look like, then Windows-1252.

Knows no format. Invariant: decoding never fails; what was guessed is said in a note.
"""

from __future__ import annotations

import codecs

from kit.library.parsers.encodings import guess_encoding

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes, *, is_whole: bool = True) -> tuple[str, tuple[str, ...]]:
    """The text with its remarks. `is_whole` is False for a head that may end inside a character."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _lines(data.decode(encoding, errors="replace").removeprefix("\ufeff")), ()
    if guess := _utf16_without_mark(data):
        return _lines(data.decode(guess, errors="replace")), ()
    try:
        return _lines(codecs.getincrementaldecoder("utf-8")().decode(data, final=is_whole)), ()
    except UnicodeDecodeError:
        if guessed := guess_encoding(data):
            text = data.decode(guessed.encoding, errors="replace")
            return _lines(text), (
                f"not UTF-8: read as {guessed.name}, which its letters look like; "
                "if it reads wrongly, save it as UTF-8 and add that",
            )
        text = data.decode("cp1252", errors="replace")
        return _lines(text), ("not UTF-8: read as Windows-1252; accents may be wrong",)


def looks_binary(head: bytes) -> bool:
    """True for bytes that are no text in any encoding that is read."""
    if any(head.startswith(mark) for mark, _ in _MARKS) or _utf16_without_mark(head):
        return False
    num_controls = sum(byte < 32 and byte not in (8, 9, 10, 11, 12, 13, 26, 27) for byte in head)
    return b"\0" in head or num_controls * 50 > len(head)


def _utf16_without_mark(data: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a NUL in every second byte, and only there."""
    head = data[:4096]
    if len(head) < 8:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.4 * len(head) / 2 and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * len(head) / 2 and odd == 0 else None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
