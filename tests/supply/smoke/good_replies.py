"""What a sound model answers to each question; the fakes and the criteria's tests share it."""

from __future__ import annotations

from kit.supply.smoke.chat import QUESTIONS
from kit.supply.smoke.reply import Reply

GOOD = {
    "not-empty": Reply("Hello, and welcome!", finish_reason="stop"),
    "ends": Reply("Paris", finish_reason="stop"),
    "repeats-a-word": Reply("Watermelon", finish_reason="stop"),
    "copies-a-number": Reply("It paid 48,250 rand.", finish_reason="stop"),
    "quotes": Reply(
        "“The Karoo Science Fund was founded in Beaufort West in 1987.”", finish_reason="stop"
    ),
    "fills-a-form": Reply('{"city": "Beaufort West", "year": 1987}', finish_reason="stop"),
    "chooses": Reply("Wednesday", finish_reason="stop"),
    "continues": Reply(" Thursday, Friday, Saturday", finish_reason="length"),
    "remembers": Reply("Your name is Thandi.", finish_reason="stop"),
    "finds": Reply("The code is 7319.", finish_reason="stop"),
    "sampled": Reply("Apples, pears and figs.", finish_reason="stop"),
    "probabilities": Reply(
        " blue and clear", finish_reason="length", logprobs=(-0.1, -1.5, 0.0, -3.25)
    ),
    "answers-in-english": Reply("It is a place to read and borrow books.", finish_reason="stop"),
    "answers-in-chinese": Reply("图书馆是借书和读书的地方。", finish_reason="stop"),
    "answers-in-afrikaans": Reply(
        "'n Biblioteek is 'n plek waar mense boeke leen.", finish_reason="stop"
    ),
}
LAST = {q.name: q.messages[-1][1] if q.messages else q.prompt for q in QUESTIONS}
"""The last message or the prompt of each question's request."""
BY_LAST = {last: GOOD[name] for name, last in LAST.items()}
