"""Which encoding of before Unicode a text is in, if it is surely none of western Europe.

Knows bytes and how often characters are written, no format. Invariant: a text whose letters stand
among ASCII letters, as accents do, is never taken for Chinese, Japanese, Korean or Cyrillic.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

SAMPLE_BYTES = 64 << 10
MIN_CHARS = 4  # that are no ASCII; fewer may be anything
MIN_CYRILLIC = 6  # letters that differ
MIN_BYTES = 3  # that differ, above 127; dashes and quotes in ASCII text are fewer
MIN_COMMON = 0.9  # of them, that people write often in that encoding
MAX_DAMAGED = 0.01
MIN_MARGIN = 0.05  # to the next best, or both are doubtful
MIN_FREQUENT = 0.65  # of Cyrillic letters, usually 0.8; of Greek ones read as such it is 0.3
_NEUTRAL = re.compile(
    "[\u00a0\u00a7\u00ab\u00b0\u00b7\u00bb\u2013\u2014\u2018\u2019\u201c-\u201e\u2026\u2116]"
)
_WIDE_MARKS = re.compile("[\u3000-\u301f\u30fb\u30fc\uff01-\uff5e\uffe0-\uffe6\u25a0-\u25cf]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_WORD = re.compile(r"[^\W\d_]+")
_CYRILLIC = re.compile("[\u0400-\u045f\u0490\u0491]+")
_FREQUENT_CYRILLIC = frozenset("оеаинтсрвлкмдпуі")
# The commonest characters of running text, by which languages of one shape are told apart.
_OFTEN = {
    "gb18030":
        "的一是不了在人有我他这中大来上个国和为地到以说时要就出会可也你对生能而子那得于着下自"
        "之年过发后作里用道行所然家种事成方多经去法学如都同现当没动面起看定天分还进好小部其些"
        "主样理心她本前开但因只从",
    "cp950":
        "的一是不了在人有我他這中大來上個國和為地到以說時要就出會可也你對生能而子那得於著下自"
        "之年過發後作裡用道行所然家種事成方多經去法學如都同現當沒動面起看定天分還進好小部其些"
        "主樣理心她本前開但因只從",
    "cp949":
        "이다는에의가을를은고하지사한로기도리인시어나자대스부정서일아해수보으그라여있장전제만"
        "관상주한구원동과간들비면것성공국화생말소안각신적세모위조무계년학회업용유연되합니습까"
        "오미금까",
}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """An encoding of Python's name, and its name for people."""

    encoding: str
    name: str


_WIDE = (
    Guess("cp932", "Shift-JIS"),
    Guess("euc_jp", "EUC-JP"),
    Guess("gb18030", "GB18030"),
    Guess("cp950", "Big5"),
    Guess("cp949", "EUC-KR"),
)
_NARROW = (Guess("cp1251", "Windows-1251"), Guess("koi8_r", "KOI8-R"))


def guess_encoding(data: bytes) -> Guess | None:
    """What the text is in, if that is certain enough; None for western texts and for doubts."""
    first = _NOT_ASCII.search(data)
    start = data.rfind(b"\n", 0, first.start()) + 1 if first else 0
    sample = data[start : start + SAMPLE_BYTES]
    if len({byte for byte in sample if byte > 127}) < MIN_BYTES:
        return None
    narrow = max(_NARROW, key=lambda guess: _cyrillic_share(_decoded(sample, guess)))
    if _cyrillic_share(_decoded(sample, narrow)) >= MIN_FREQUENT:
        return narrow
    scores = sorted(((_score(sample, guess), guess) for guess in _WIDE), key=lambda pair: -pair[0])
    (best, guess), (second, _) = scores[:2]
    return guess if best >= MIN_COMMON and best - second >= MIN_MARGIN else None


def _decoded(data: bytes, guess: Guess) -> str:
    return data.decode(guess.encoding, "replace")


def _cyrillic_share(text: str) -> float:
    """The share of frequent letters; 0 unless words are wholly Cyrillic, and in small letters or
    capitals as words are."""
    letters = "".join(_CYRILLIC.findall(text))
    others = [c for c in text if ord(c) > 127 and not _CYRILLIC.match(c) and not _NEUTRAL.match(c)]
    if len(set(letters.lower())) < MIN_CYRILLIC or len(others) > (1 - MIN_COMMON) * len(letters):
        return 0.0
    words = [word for word in _WORD.findall(text) if _CYRILLIC.search(word)]
    proper = sum(
        len(word)
        for word in words
        if len(word) > 1 and _CYRILLIC.fullmatch(word) and (word[1:].islower() or word.isupper())
    )
    num_single = sum(len(word) == 1 for word in words)  # which prove nothing
    num_proper = sum(map(len, words)) - num_single
    if proper < max(MIN_CYRILLIC, MIN_COMMON * num_proper):
        return 0.0
    return sum(letter in _FREQUENT_CYRILLIC for letter in letters.lower()) / len(letters)


def _score(data: bytes, guess: Guess) -> float:
    """The share of characters people write often, and up to a tenth for those they write most; 0
    where the text is damaged, too short, or its characters stand alone among ASCII letters."""
    text = _decoded(data, guess)
    if data[-1:] > b"\x7f" and text.endswith("\ufffd"):  # a sample that ends inside a character
        text = text[:-1]
    wide = [character for character in text if ord(character) > 127]
    words = [character for character in wide if not _WIDE_MARKS.match(character)]
    num_damaged = wide.count("\ufffd")
    if len(set(words)) < MIN_CHARS or num_damaged > MAX_DAMAGED * len(wide):
        return 0.0
    if _num_alone(text) > (1 - MIN_COMMON) * len(wide):
        return 0.0
    if guess.encoding == "euc_jp" and not any(map(_is_kana, words)):  # looks like Chinese
        return 0.0
    common, often = _common(guess.encoding), _OFTEN.get(guess.encoding, "")
    share = sum(character in common for character in words) / len(words)
    most = sum(character in often or _is_kana(character) for character in words) / len(words)
    return share + min(most, 0.5) / 5


_ALONE = re.compile("(?<![^\x00-\x7f])[^\x00-\x7f](?![^\x00-\x7f])")


def _num_alone(text: str) -> int:
    """Characters with an ASCII letter beside them and no other wide one."""
    beside = (text[max(0, one.start() - 1) : one.end() + 1] for one in _ALONE.finditer(text))
    return sum(any(c.isascii() and c.isalpha() for c in around) for around in beside)


def _is_kana(character: str) -> bool:
    return "\u3041" <= character <= "\u30fe"


@functools.cache
def _common(encoding: str) -> frozenset[str]:
    """The characters that its standard puts first, because they are common (level 1)."""
    by_encoding: dict[str, Callable[[], str]] = {
        "cp932": lambda: _rows("euc_jp", 0xB0, 0xCF) + _rows("euc_jp", 0xA4, 0xA5) + "髙﨑々〆",
        "gb18030": lambda: _rows("gb2312", 0xB0, 0xD7),
        "cp950": lambda: _rows("cp950", 0xA4, 0xC6),
        "cp949": lambda: _rows("euc_kr", 0xB0, 0xC8),
    }
    return frozenset(by_encoding["cp932" if encoding == "euc_jp" else encoding]())


def _rows(encoding: str, first: int, last: int) -> str:
    """All characters of these rows, by their first bytes."""
    trails = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    return "".join(
        bytes((lead, trail)).decode(encoding, "ignore")
        for lead in range(first, last + 1)
        for trail in trails
    )
