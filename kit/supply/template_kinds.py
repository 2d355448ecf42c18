"""What a value inside a chat template may be, and what becomes of it on the way."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import reduce
from operator import or_

from kit.supply.template_idioms import STRUCTURE


class Kind(enum.Flag):
    """A value may be several of these: each is a possibility that could not be ruled out."""

    NOTHING = 0
    MESSAGES = enum.auto()
    MESSAGE = enum.auto()
    CONTENT = enum.auto()
    """What a message says: a text, or parts."""
    PARTS = enum.auto()
    """The same where the template has made sure that it is no text."""
    PART = enum.auto()
    """An item of these, or one letter of a text."""
    TEXT = enum.auto()
    PIECES = enum.auto()
    """A text divided at a known marker."""
    LENGTH = enum.auto()
    """How long a text is."""
    DATE = enum.auto()


WORDS = Kind.CONTENT | Kind.PARTS | Kind.PART | Kind.TEXT | Kind.PIECES
ASKED = WORDS | Kind.LENGTH | Kind.DATE


def union(kinds: Iterable[Kind]) -> Kind:
    return reduce(or_, kinds, Kind.NOTHING)


def item_of(kind: Kind) -> Kind:
    """What iterating over it, or an index into it, gives."""
    found = kind & (Kind.TEXT | Kind.DATE)
    steps = {
        Kind.MESSAGES: Kind.MESSAGE,
        Kind.MESSAGE: Kind.CONTENT,
        Kind.CONTENT: Kind.PART,
        Kind.PARTS: Kind.PART,
        Kind.PART: Kind.TEXT,
        Kind.PIECES: Kind.TEXT,
    }
    return union([found, *(item for whole, item in steps.items() if kind & whole)])


def field_of(kind: Kind, name: str) -> Kind:
    """What the field of that name holds."""
    found = Kind.MESSAGE if kind & Kind.MESSAGES else Kind.NOTHING
    if name == "document" and kind & (Kind.PART | Kind.PARTS):
        return found | Kind.PARTS
    if name in STRUCTURE:
        return found
    if kind & Kind.MESSAGE:
        found |= Kind.CONTENT
    if kind & (Kind.CONTENT | Kind.PARTS | Kind.PART):
        found |= Kind.TEXT
    return found


def spelled(kind: Kind) -> Kind:
    """What it becomes as text."""
    is_words = kind & (WORDS | Kind.MESSAGES | Kind.MESSAGE)
    return (Kind.TEXT if is_words else Kind.NOTHING) | (kind & Kind.DATE)


def not_text(kind: Kind) -> Kind:
    """What is left of it once the template knows that it is no text."""
    texts = Kind.CONTENT | Kind.TEXT | Kind.PIECES
    return (kind & ~texts) | (Kind.PARTS if kind & texts else Kind.NOTHING)


def length_of(kind: Kind) -> Kind:
    """The number of its items says nothing of what was written; the number of its letters does."""
    return Kind.LENGTH if kind & (Kind.CONTENT | Kind.TEXT | Kind.PART) else Kind.NOTHING
