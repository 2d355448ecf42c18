"""What is left of an answer when its reader may no longer read all it was written from.

Pure. Invariant: what is left is the program's own words, quotations of documents that may still be
read, and those citations. The model had all the passages before it, so none of its words stays: a
sentence that rests on one document may repeat another.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from kit.answer.events import Answer

UNAVAILABLE = "This answer rested on documents that are no longer available to you."
UNAVAILABLE_QUESTION = "A task on documents that are no longer available to you."
UNAVAILABLE_TITLE = "No longer available to you"
PARTLY_UNAVAILABLE = (
    "Some of the documents this answer rested on are no longer available to you. What is left is"
    " the quotation from those that are."
)
# As kit.answer.evidence.cite writes it: the words in quotation marks, then their number.
_QUOTE_LINE = re.compile(r"“[^\n]+” \[(?P<n>\d{1,2})\]\s*")


def without_closed(answer: Answer, closed: Collection[str]) -> Answer:
    """The answer as its reader may see it, where they may not read the documents `closed`."""
    kept = tuple(c for c in answer.citations if c.document_id not in closed)
    head = answer.text.lstrip().partition("\n\n")[0]
    match = _QUOTE_LINE.fullmatch(head)
    quoted = next((c for c in kept if match and c.n == answer.quote == int(match["n"])), None)
    is_left = answer.is_supported and quoted is not None
    return Answer(  # made anew: what an answer may come to hold besides is left out, too
        text=head if is_left else UNAVAILABLE,
        is_supported=is_left,
        quote=answer.quote if is_left else None,
        sentences=(),
        citations=(quoted,) if is_left and quoted else (),
        timings=answer.timings,
        notices=(PARTLY_UNAVAILABLE,) if is_left else (),
    )


def closed_text(left: Answer | None) -> str:
    """The text of a message of which that is left; None = it was stopped before any answer."""
    return UNAVAILABLE if left is None else left.text
