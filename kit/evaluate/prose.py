"""Office prose to measure with: invented rules, sums and dates of a research office.

Knows sentences, not what they are used for. Invariant: the same seed gives the same text on every
machine, and no two passages of one writer are alike.
"""

from __future__ import annotations

import random
import re

_WORDS: dict[str, tuple[str, ...]] = {
    "office": (
        "the Research Office",
        "the Finance Office",
        "the ethics committee",
        "the travel desk",
        "the library",
        "the graduate school",
        "the contracts desk",
        "the procurement office",
    ),
    "person": (
        "the principal investigator",
        "the head of department",
        "the project administrator",
        "the supervisor",
        "the dean",
        "the librarian",
        "the budget holder",
        "the visiting fellow",
    ),
    "thing": (
        "proposal",
        "budget",
        "progress report",
        "travel claim",
        "consent form",
        "data management plan",
        "supplier quotation",
        "request for equipment",
        "partner agreement",
        "final report",
    ),
    "verb": ("approves", "returns", "registers", "checks", "countersigns", "files"),
    "topic": (
        "groundwater in the Karoo",
        "kelp forests on the west coast",
        "maternal health in rural clinics",
        "the history of the harbour",
        "soil salinity in the valley",
        "speech technology for isiXhosa",
        "solar cooling of cold stores",
        "bird counts on the estuary",
    ),
    "month": ("January", "March", "May", "June", "August", "September", "November"),
    "reason": (
        "the funder asks for it in the grant agreement",
        "the auditors found gaps in the year before",
        "two projects had charged the same journey",
        "the old form could not record partners abroad",
        "the committee meets only once a month",
        "the exchange rate had moved by more than a tenth",
    ),
}
_SENTENCES = (
    "A {thing} for work on {topic} reaches {office} at least {days} working days ahead.",
    "{office} {verb} every {thing} that asks for more than R{sum}.",
    "From 1 {month} {year} {person} sends the {thing} through the online form.",
    "The {thing} names a contact person, the account to be charged and the date of return.",
    "This was changed in {month} {year} because {reason}.",
    "If the {thing} is late, {person} says why in writing, and {office} decides in {days} days.",
    "In {year} the project on {topic} received R{sum} and returned R{rest} at its end.",
    "The rate for {year} is R{small} for each day, and R{half} where meals are provided.",
    "Without the signature of {person} the {thing} is not processed.",
    "{office} keeps the {thing} for {years} years and then destroys it.",
    "A second {thing} may be submitted once, within {days} days after the first was declined.",
    "For {topic} the ceiling is R{sum}, of which {percent} per cent may be spent on equipment.",
    "Questions go to {office}, which answers within {days} working days.",
    "The report of {month} {year} lists {count} projects, among them the one on {topic}.",
    "Costs above R{small} need three quotations unless {person} shows why not.",
    "{person} and {office} agree on the plan before any money is spent.",
    "An amount that is not used by 30 {month} {year} goes back to the fund.",
    "When partners share the costs of {topic}, each of them keeps its own receipts.",
)
_QUESTIONS = (
    "What must {person} do before a {thing} is accepted, and why?",
    "How is the work on {topic} paid for, and who decides about it?",
    "Which deadlines and sums apply to a {thing}?",
    "What does {office} check, and how long does that take?",
    "What has changed for a {thing} since {year}?",
    "Explain step by step how {person} hands in a {thing}.",
)


class Writer:
    """Writes passages and questions, each from where the one before left its seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - text to measure with, not a secret

    def passage(self, num_words: int) -> str:
        """Whole sentences, at least `num_words` words of them."""
        sentences: list[str] = []
        while sum(len(sentence.split()) for sentence in sentences) < num_words:
            sentences.append(self._filled(self._random.choice(_SENTENCES)))
        return " ".join(sentences)

    def title(self) -> str:
        """The name of an invented document, as it stands beside a passage."""
        return self._filled("Note on the {thing}, {month} {year}, no. {count}")

    def question(self) -> str:
        return self._filled(self._random.choice(_QUESTIONS))

    def _filled(self, template: str) -> str:
        text = re.sub(r"\{(\w+)\}", lambda found: self._word(found[1]), template)
        return text[0].upper() + text[1:]

    def _word(self, slot: str) -> str:
        pick = self._random
        numbers = {
            "days": pick.randint(2, 60),
            "years": pick.randint(3, 15),
            "year": pick.randint(2019, 2027),
            "sum": 500 * pick.randint(20, 4000),
            "rest": 10 * pick.randint(5, 900),
            "small": pick.randint(180, 990),
            "half": pick.randint(90, 480),
            "percent": pick.randint(5, 60),
            "count": pick.randint(4, 240),
        }
        return str(numbers[slot]) if slot in numbers else pick.choice(_WORDS[slot])
