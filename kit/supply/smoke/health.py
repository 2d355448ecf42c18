"""What a text shows that no sound model writes: marks of the template, garbage, one piece for ever.

Knows texts, not questions. Invariant: a wrong, short or dull answer is never called broken.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from kit.supply.smoke.reply import Reply
from kit.supply.smoke.verdict import PASSED, Verdict, broken, weak

MIN_TIMES = 4  # a piece said fewer times is no loop
MIN_LOOP_CHARS = 24
BROKEN_LOOP = 0.8  # of the text: it said nothing else
WEAK_LOOP = 0.4
MAX_SCRIPTS = 3  # a short answer in more writing systems than these is noise
LENGTH = "length"

# Control tokens as templates write them, byte tokens, and what a byte-level vocabulary calls a
# space and a line break: the engine turns all of them into text or into nothing.
_MARK = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask)>|\[(?:PAD|UNK|CLS|SEP)\]"
    r"|<(?:start|end)_of_\w+>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]|<</?SYS>>"
    r"|<0x[0-9A-F]{2}>|[ĠĊ▁]",
)
# A turn that began without its marks: those were control tokens, which have no text.
_TURN = re.compile(r"^\s*(?:user|assistant|system|model)\s*$", re.MULTILINE)
_ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "BOPOMOFO": "CJK", "FULLWIDTH": "CJK"}
_NO_SCRIPT = {"MODIFIER", "COMBINING", "FEMININE", "MASCULINE", "SUPERSCRIPT", "SUBSCRIPT"}


def health(reply: Reply) -> Verdict:
    """PASSED unless the answer, or the reasoning before it, shows that the file is broken."""
    if reply.error:
        return _failure(reply)
    if not reply.text.strip():
        if reply.reasoning.strip() and reply.finish_reason == LENGTH:
            verdict = _of_text(reply.reasoning, is_cut=True)
            return verdict if verdict.outcome == "broken" else weak("its thoughts took all tokens")
        return weak("the answer is empty")
    return _of_text(reply.text, is_cut=reply.finish_reason == LENGTH)


def _failure(reply: Reply) -> Verdict:
    if reply.error_code in ("context_length_exceeded", "timeout"):
        return weak(reply.error)
    return broken(reply.error)


def _of_text(text: str, *, is_cut: bool) -> Verdict:
    if found := _MARK.search(text) or _TURN.search(text):
        return broken(f"a mark of the template or vocabulary leaked: {found[0].strip()!r}")
    if odd := _odd_character(text.rstrip("\ufffd") if is_cut else text):
        return broken(f"the character U+{ord(odd):04X} is no text")
    if len(found_scripts := scripts(text)) > MAX_SCRIPTS:
        return broken(f"{len(found_scripts)} writing systems in one short answer")
    share = repetition(text)
    if share >= BROKEN_LOOP:
        return broken(f"one piece over and over makes {share:.0%} of the answer")
    return weak(f"one piece over and over makes {share:.0%}") if share >= WEAK_LOOP else PASSED


def _odd_character(text: str) -> str:
    """The first replacement, control or unassigned character; empty if there is none."""
    odd = ("Cc", "Cn", "Co", "Cs")
    return next(
        (
            c
            for c in text
            if c == "\ufffd" or (unicodedata.category(c) in odd and c not in "\n\t\r")
        ),
        "",
    )


def scripts(text: str) -> Counter[str]:
    """Letters by writing system: {"LATIN": 40, "CJK": 2}; those of Japanese count as CJK."""
    names = (unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha())
    found = Counter(_ONE_SCRIPT.get(name, name) for name in names)
    return Counter({name: n for name, n in found.items() if name not in _NO_SCRIPT})


def repetition(text: str) -> float:
    """The share of the text, up to its end, that is one piece said at least four times in a row.

    0 for less than MIN_LOOP_CHARS of it. Quadratic in the length, which answers' limits bound.
    """
    text = text.strip()[-2000:]
    longest = 0
    for period in range(1, len(text) // MIN_TIMES + 1):
        run = period
        while run < len(text) and text[-1 - run] == text[-1 - run + period]:
            run += 1
        if run >= MIN_TIMES * period:
            longest = max(longest, run)
    return longest / len(text) if longest >= MIN_LOOP_CHARS else 0.0
