"""What people ask of a server while it is measured: who, what, and when.

Knows text and times, no server. Invariant: a load is the same, word for word, for every server and
in every round.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from kit.evaluate.prose import Writer

SYSTEM = (
    "You answer questions from passages of the reader's own documents. Use only what the passages"
    " say, and answer at length, in full sentences."
)
OVERLOAD = 4.0  # times capacity: how fast people arrive in load f


@dataclass(frozen=True)
class Script:
    """What one person asks, each turn after the answer to the one before.

    With `is_conversation` a turn carries the earlier ones and the server's own answers to them.
    `start_s` is when the person begins, from the beginning of the load. `namespace` names who may
    profit from what is computed for them, where a server asks for that.
    """

    person: str
    namespace: str
    turns: tuple[str, ...]
    max_tokens: int
    is_conversation: bool = False
    start_s: float = 0.0


@dataclass(frozen=True)
class Load:
    """Scripts that run at the same time. `key` is what --loads takes."""

    key: str
    title: str
    scripts: tuple[Script, ...]
    is_beside_embedding: bool = False


@dataclass(frozen=True)
class Size:
    """How large the loads are. Words are of English; a token is some 0.75 of one."""

    people: int = 8
    questions: int = 4
    """Of the one person of load a."""
    passages: int = 4
    passage_words: int = 235
    answer_tokens: int = 64
    turns: int = 5
    storm_s: float = 60.0
    storm_words: int = 60
    storm_tokens: int = 32


FULL = Size()
QUICK = Size(2, 2, 2, 30, 12, 2, 3.0, 20, 8)
TITLES = {
    "a": "one person, one question after the other",
    "b": "everyone asks about passages of their own",
    "c": "everyone asks about the same passages",
    "d": "conversations, as many as slots",
    "d2": "conversations, twice as many as slots",
    "e": "load b while documents are embedded on the same cores",
    "f": "people arrive at four times the capacity",
}
_SEEDS = {"a": 101, "b": 102, "c": 103, "d": 104, "d2": 105, "e": 102, "f": 106, "capacity": 107}


def make_load(key: str, size: Size, *, arrivals_per_s: float = 0.0) -> Load:
    """The load of that key; `arrivals_per_s` is needed for f alone."""
    writer = Writer(_SEEDS[key])
    scripts = {
        "a": _one_by_one,
        "b": _different,
        "c": _same,
        "d": _conversations,
        "d2": _conversations,
        "e": _different,
    }
    if key == "f":
        return Load(key, TITLES[key], _storm(writer, size, arrivals_per_s))
    num_people = 2 * size.people if key == "d2" else size.people
    made = scripts[key](writer, size, num_people)
    return Load(key, TITLES[key], made, is_beside_embedding=key == "e")


def capacity_load(size: Size) -> Load:
    """The questions of load f, as many people at a time as there are slots: what can be served."""
    writer = Writer(_SEEDS["capacity"])
    scripts = tuple(
        Script(person, person, tuple(_short(writer, size) for _ in range(3)), size.storm_tokens)
        for person in _people(size.people)
    )
    return Load("capacity", "capacity", scripts)


def four_passages(writer: Writer, size: Size) -> str:
    """Passages between their marks, as the kit's own prompt has them."""
    numbered = [
        f'<passage {n} from="{writer.title()}">\n'
        f"{writer.passage(size.passage_words)}\n"
        f"</passage {n}>"
        for n in range(1, size.passages + 1)
    ]
    return "Passages:\n" + "\n".join(numbered) + "\n\n"


def _people(count: int) -> list[str]:
    return [f"person-{number}" for number in range(1, count + 1)]


def _one_by_one(writer: Writer, size: Size, _num_people: int) -> tuple[Script, ...]:
    turns = [
        four_passages(writer, size) + f"Question: {writer.question()}"
        for _ in range(size.questions)
    ]
    return (Script("person-1", "person-1", tuple(turns), 2 * size.answer_tokens),)


def _different(writer: Writer, size: Size, num_people: int) -> tuple[Script, ...]:
    return tuple(
        Script(
            person,
            person,
            (four_passages(writer, size) + f"Question: {writer.question()}",),
            size.answer_tokens,
        )
        for person in _people(num_people)
    )


def _same(writer: Writer, size: Size, num_people: int) -> tuple[Script, ...]:
    passages = four_passages(writer, size)
    return tuple(
        Script(
            person,
            "everyone",
            (f"{passages}Question: {number}. {writer.question()}",),
            size.answer_tokens,
        )
        for number, person in enumerate(_people(num_people), start=1)
    )


def _conversations(writer: Writer, size: Size, num_people: int) -> tuple[Script, ...]:
    return tuple(
        Script(
            person,
            person,
            (
                four_passages(writer, size) + f"Question: {writer.question()}",
                *(f"Question: {writer.question()}" for _ in range(size.turns - 1)),
            ),
            size.answer_tokens,
            is_conversation=True,
        )
        for person in _people(num_people)
    )


def _storm(writer: Writer, size: Size, arrivals_per_s: float) -> tuple[Script, ...]:
    """One short question each, at exponential intervals (a Poisson process), for `storm_s`."""
    arrive = random.Random(_SEEDS["f"])  # noqa: S311 - arrival times, not a secret
    scripts: list[Script] = []
    start_s = arrive.expovariate(arrivals_per_s)
    while start_s < size.storm_s:
        person = f"person-{len(scripts) + 1}"
        turns = (_short(writer, size),)
        scripts.append(Script(person, person, turns, size.storm_tokens, start_s=start_s))
        start_s += arrive.expovariate(arrivals_per_s)
    return tuple(scripts)


def _short(writer: Writer, size: Size) -> str:
    return f"{writer.passage(size.storm_words)}\n\nQuestion: {writer.question()}"
