"""Greetings, thanks and 'what can you do?', answered by the program in fixed words.

Knows no document and pretends to no feeling. Invariant: a text that asks anything else is not
small talk, whatever greeting it begins with.
"""

# ruff: noqa: E501 - patterns read better on one line
from __future__ import annotations

import re

GREETING = (
    "Hello. Ask a question about your documents, and I will look for the answer in them and show"
    " where it stands."
)
THANKS = "You are welcome. Ask on whenever you like."
GOODBYE = "Goodbye. Your conversations stay here."
ABILITIES = (
    "I search your documents for the sentences that answer a question, quote the best one with its"
    " source, and add a short text from the language model, of which I show only what the documents"
    " support. If they do not answer, I say so. Everything happens on your own machines."
)
_REPLIES = (
    (
        r"(?:hi|hello|hey|hallo|good (?:morning|afternoon|evening|day)|greetings|howzit|sawubona|molo|dumela)"
        r"(?: (?:there|kit|all|everyone|again))?(?: how are you(?: doing)?(?: today)?)?|how are you(?: doing)?(?: today)?",
        GREETING,
    ),
    (
        r"(?:ok(?:ay)? |great |perfect )?(?:thanks?|thank you|thx|cheers|ta|much appreciated)"
        r"(?: (?:a lot|so much|very much|you|again|for (?:your|the) help))*|great|perfect|ok(?:ay)?",
        THANKS,
    ),
    (r"(?:good ?bye|bye|see you|see you later|good night)(?: bye)?", GOODBYE),
    (
        r"(?:hi |hello )?(?:what can (?:you|i) (?:do|ask|ask you)(?: here| for me| with this)?|who are you|what are you"
        r"|how (?:do|does) (?:you|this|it) work|help(?: me)?|what is this|can you help(?: me)?)",
        ABILITIES,
    ),
)  # fmt: skip


def small_talk(text: str) -> str | None:
    """The fixed reply, or None if the text asks something."""
    plain = re.sub(r"[^\w\s]+", " ", text.lower().replace("'", ""))
    plain = " ".join(plain.split())
    return next((reply for pattern, reply in _REPLIES if re.fullmatch(pattern, plain)), None)
