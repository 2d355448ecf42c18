"""A question read for what it asks: its telling words, its names and numbers, the kind of its answer.

Knows English question words; for other languages it claims no kind, and nothing follows from that.
Invariant: reading a question needs no model.
"""

# ruff: noqa: E501, SIM905 - patterns and word lists read better on one line
from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kit.answer.evidence.facts import Facts, facts
from kit.answer.evidence.words import content_stems, stem, words

Kind = Literal[
    "phone", "email", "link", "time", "money", "number", "identity", "name", "place", "any"
]

# First match wins. The patterns look at the lower-case question.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("phone", re.compile(r"\b(?:tele)?(?:phone|fax)(?: number)?\b.{0,10}\b(?:of|for|is)\b|\b(?:phone|telephone|fax|mobile) numbers?\b|\bextension (?:number )?of\b")),
    ("email", re.compile(r"\be-?mail address\b|\b(?:what|which) e-?mail\b")),
    ("link", re.compile(r"\b(?:url|web ?site|web (?:address|page)|home ?page)\b")),
    (
        "money",
        re.compile(
            r"\bhow (?:expensive|costly)\b|\bhow much\b.{0,60}\b(?:cost|costs|pay|paid|charge|charged|money|spent|spend|earn|earned|fee|fees|fine|price|salary|income|funding|grant)\b"
            r"|\b(?:what|which)\b.{0,40}\b(?:cost|costs|price|fee|fees|salary|budget|tariff|per diem|fine|penalty|wage|charge)\b"
        ),
    ),
    ("number", re.compile(r"\bhow much\b")),
    (
        "number",
        re.compile(
            r"\b(?:what|which)\b.{0,40}\b(?:amount|rate|percentage|share|proportion|sum|total|allowance|maximum|minimum|limit|cap|threshold|ceiling)s?\b"
        ),
    ),
    (
        "time",
        re.compile(
            r"^(?:and |so |but )?(?:when|until when|by when|since when|at what time)\b|\bwhen (?:is|are|do|does|did|was|were|will|must|should|can)\b"
            r"|\b(?:what|which) (?:date|day|days|time|month|year|week|deadline|century|decade)\b|\bwhat\b.{0,20}\b(?:deadline|closing date|due date)\b|\bhow (?:soon|often|frequently|early|late)\b"
        ),
    ),
    (
        "number",
        re.compile(
            r"\bhow (?:many|long|far|old|large|big|high|tall|heavy|wide|deep)\b|\b(?:what|which)\b.{0,20}\b(?:number|quantity|percent)\b"
        ),
    ),
    ("identity", re.compile(r"^(?:and |so |but )?who(?: is|'s| was| are| were) (?:the|our|your|its|head|a |an )|^(?:and |so |but )?who (?:chairs|heads|leads|directs|runs|manages|edits)\b")),
    ("name", re.compile(r"^(?:and |so |but )?(?:who|whose|whom)\b|\b(?:by|to|with|from) whom\b|\bwho (?:is|are|was|were|do|does|did|has|must|should|can|may|will)\b")),
    ("place", re.compile(r"^(?:and |so |but )?where\b|\bin (?:which|what) (?:city|country|town|room|building)\b")),
)  # fmt: skip
_RULE_NUMBER = re.compile(r"^\W*\d+(?:\.\d+)*[.)]?\s+(?=[^\W\d_])")
_TITLED = re.compile(
    r"\b(?:Prof|Professor|Dr|Mr|Mrs|Ms|Miss|Mx|Rev|Sir|Dame|Judge|Justice|Adv)\b\.?\s+[A-ZÀ-Þ]"
)
_TWO_NAMES = re.compile(
    r"(?=(?<!\w)([A-ZÀ-Þ][\w'’-]+ [A-ZÀ-Þ][\w'’-]+))[A-ZÀ-Þ][\w'’-]+ [A-ZÀ-Þ][\w'’-]+"
)
_BODY_WORDS = frozenset(
    stem(word)
    for word in """research ethics university faculty school institute foundation fund agency council society
    association senate policy guideline rules act form section page building room street avenue africa
    south north east west national international public the a an in on at for each every all no""".split()
)
_CONTACTS = {
    "phone": re.compile(
        r"\b(?:(?:tele)?phone|tel|fax|extension|ext|mobile)\b\D{0,20}\d{3}|\+\d[\d ()-]{6,}", re.I
    ),
    "email": re.compile(r"\w@\w"),
    "link": re.compile(r"https?://|\bwww\.|\b[a-z-]+\.(?:org|com|net|edu|int|ac|gov|example)\b"),
}
_HOW = re.compile(
    r"\bhow (large|long|far|big|high|old|tall|often|soon|early|late|wide|deep|heavy)\b"
)
_ASKING: dict[Kind, frozenset[str]] = {
    "money": frozenset(content_stems("cost amount money sum pay paid")),
    "number": frozenset(content_stems("number share percentage amount proportion")),
    "time": frozenset(content_stems("date day days time year month")),
    "phone": frozenset(content_stems("number")),
    "place": frozenset(content_stems("place")),
}
_COUNTED = re.compile(r"\bhow many\b")
_FREE = re.compile(r"\b(?:free|no (?:charge|fee|cost)|nothing)\b", re.IGNORECASE)
_MEASURE = re.compile(
    r"[\w.,]+[ \u00a0-](?:working |calendar |business |square |full |more |whole )*(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|metres?|meters?|km|kilomet\w+"
    r"|miles?|litres?|liters?|kg|kilograms?|tonnes?|pages?|words?|copies|people|persons?|members?|participants?|students?|staff|characters?|times?|samples?|boreholes?|sites?|nights?)\b"
    r"|\b(?:1[89]|20)\d\d\b",
    re.IGNORECASE,
)
_TIME_WORDS = frozenset(
    stem(word)
    for word in """day days week month year hour minute annually yearly quarterly monthly weekly daily fortnight
    semester term quarter century decade morning afternoon evening noon midnight weekday weekend deadline immediately
    biannually biennially every once twice today tomorrow spring summer autumn winter fall""".split()
)
_PLACE_WORDS = frozenset(
    stem(word)
    for word in """room building hall office desk floor street road avenue campus city town country region
    province state district village library website online portal intranet folder cabinet page form section
    gate entrance door jetty lab laboratory clinic hospital school church river sea coast north south east
    west northern southern eastern western centre center site store counter reception online e-mail email""".split()
)
_ROLE_WORDS = frozenset(
    stem(word)
    for word in """chair chairperson director head manager officer dean office secretary supervisor board
    committee registrar rector chancellor president minister administrator coordinator department team unit
    council staff researcher applicant student employee author editor treasurer librarian auditor reviewer
    panel member master desk helpdesk tribunal service investigator professor doctor faculty finance bursar librarian vice-chancellor holder""".split()
)


@dataclass(frozen=True)
class Question:
    """What is asked. `stems` are unique, in order; `earlier` are those of them that only the
    question before a follow-up has.
    """

    text: str
    stems: tuple[str, ...]
    earlier: frozenset[str]
    asking: frozenset[str]
    """Those that only name the kind of answer: 'large' in 'how large', 'cost' of a sum."""
    facts: Facts
    kind: Kind
    own: frozenset[str] = frozenset()
    """Of a follow-up: the telling words that it brings itself, and the question before has not."""


def read_question(text: str) -> Question:
    """The question read. Of several lines the last is the question, a follow-up to the others."""
    before, _, last = text.strip().rpartition("\n")
    stems = tuple(dict.fromkeys(content_stems(text)))
    earlier = frozenset(stems) - set(content_stems(last))
    kind = kind_of(last) if kind_of(last) != "any" else kind_of(before)
    asking = {stem(word) for word in _HOW.findall(text.lower())} | _ASKING.get(kind, frozenset())
    own = frozenset(content_stems(last)) - set(content_stems(before)) - asking
    own = own if before.strip() else frozenset()
    return Question(text, stems, earlier, frozenset(stems) & asking, facts(text), kind, own)


def kind_of(text: str) -> Kind:
    """The kind of answer that the last sentence of the question asks for."""
    plain = " ".join(text.lower().split())
    for kind, pattern in _KINDS:
        if pattern.search(plain):
            return kind
    return "any"


def kind_given(asked: Question, text: str) -> float:
    """How far `text` holds the kind of thing asked for: 1, 0, or 0.5 for a number of other things."""
    if not gives_kind(asked, text):
        return 0.0
    counted = _COUNTED.search(asked.text.lower())
    if asked.kind != "number":
        return 1.0
    if counted is None:
        return 1.0 if _has_number(asked, text) else 0.5  # 'no receipts' is hardly an amount
    thing = next(iter(content_stems(asked.text[counted.end() :])), "")
    return 1.0 if thing in content_stems(text) else 0.5


def gives_kind(asked: Question, text: str) -> bool:
    """Whether `text` holds something of the kind asked for that the question did not say itself."""
    text = _RULE_NUMBER.sub("", text)
    found = facts(text)
    new = found.values - asked.facts.values
    new_stems = {stem(word) for word in words(text)} - set(asked.stems)
    names = found.names - asked.facts.names - asked.facts.openers
    if asked.kind in _CONTACTS:
        return _CONTACTS[asked.kind].search(text) is not None
    if asked.kind == "money":
        bare = {value for value in new if re.fullmatch(r"num:\d{2,}(\.\d+)?", value)}
        bare -= measures(text)
        bare = {value for value in bare if f"pct:{value[4:]}" not in new}
        priced = any(value.startswith("cur:") for value in new)
        return priced or bool(bare) or _FREE.search(text) is not None
    if asked.kind == "place":
        return bool(names) or bool(_PLACE_WORDS & new_stems)
    if asked.kind == "number":
        if _COUNTED.search(asked.text.lower()):  # 'one' alone is more often a pronoun
            new = frozenset().union(*found.claims) - asked.facts.values
            new = new - measures(text, but=asked.stems) - _sums(found)
            new = frozenset(value for value in new if not value.startswith("id:"))
        spoken = {"once", "twice", "one", "half", "no", "none"} & set(words(text))
        if _COUNTED.search(asked.text.lower()):
            spoken = spoken & {"once", "twice"} if stem("times") in asked.stems else set()
        return any(value.startswith(("num:", "pct:", "id:")) for value in new) or bool(spoken)
    if asked.kind == "time":
        dated = any(value.startswith(("date:", "month:", "day:", "time:")) for value in new)
        years = {value for value in new if re.fullmatch(r"num:(1\d|20)\d\d", value)}
        return dated or bool(years) or bool(_TIME_WORDS & new_stems)
    if asked.kind == "identity":
        return _names_person(text, asked)
    if asked.kind == "name":
        return bool(names) or bool(_ROLE_WORDS & new_stems)
    return True


def _has_number(asked: Question, text: str) -> bool:
    """Whether a number that the question did not say stands there, in figures or in words."""
    new = facts(_RULE_NUMBER.sub("", text)).values - asked.facts.values
    is_spoken = bool({"once", "twice", "half"} & set(words(text)))
    return is_spoken or any(value.startswith(("num:", "pct:", "id:")) for value in new)


def _names_person(text: str, asked: Question) -> bool:
    """Whether a person is named: a title with a name, or two names that are no body's or place's."""
    if _TITLED.search(text):
        return True
    other = set(asked.stems) | _ROLE_WORDS | _BODY_WORDS
    pairs = ({stem(word) for word in words(match.group())} for match in _TWO_NAMES.finditer(text))
    return any(not pair & other for pair in pairs)


def _sums(found: Facts) -> set[str]:
    """The numbers that are money."""
    pairs = itertools.pairwise(found.claims)
    return {
        value for one, after in pairs if any(v.startswith("cur:") for v in after) for value in one
    }


def measures(text: str, *, but: Sequence[str] = ()) -> set[str]:
    """The numbers that count a known thing: '15 metres', 'five days'; not the things of `but`."""
    found: set[str] = set()
    for match in _MEASURE.finditer(text):
        if not {stem(word) for word in words(match.group())} & set(but):
            found |= facts(match.group()).values
    return found


def search_text(question: str, history: Sequence[str]) -> str:
    """What to search for: the question, with the one before it if it cannot stand alone.

    `history` holds the person's earlier questions, latest last. A question stands alone if it has
    at least three telling words and does not begin as a continuation or point back with a pronoun.
    """
    if not history or not is_follow_up(question):
        return question
    return f"{history[-1]}\n{question}"


def is_follow_up(question: str) -> bool:
    plain = " ".join(question.lower().split())
    if re.match(r"(?:and|but|or|so|also|then|what about|how about|why not|why\??$|for )\b", plain):
        return True
    has_pronoun = re.search(
        r"\b(?:it|they|them|that|this|those|these|he|she|him|her|there|its|their)\b", plain
    )
    num_telling = len(set(content_stems(question)))
    return num_telling == 0 or (has_pronoun is not None and num_telling <= 3)
