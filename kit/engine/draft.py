"""Prompt-lookup drafting: guesses of what an answer says next, copied from its own prompt.

An answer over passages often repeats them. Where its last words stand in the prompt, what follows
there is a guess; one batch computes the guess and checks it. Which tokens come out never depends on
it, only how fast. Source: Saxena, "Prompt Lookup Decoding", 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq

from kit.engine.sequence import Sequence

MAX_DRAFT = 8
NGRAM = 3  # tokens that must match before what follows them is a guess
MIN_GAIN = 1.05
TRIAL_STEPS = 16
REST_STEPS = 512  # between two trials of the way that did not pay


def lookup(tokens: Seq[int], max_tokens: int, *, ngram: int = NGRAM) -> tuple[int, ...]:
    """What followed the last place where the last `ngram` tokens stood before."""
    if max_tokens < 1 or len(tokens) <= ngram:
        return ()
    end = list(tokens[-ngram:])
    for at in range(len(tokens) - ngram - 1, -1, -1):
        if tokens[at] == end[0] and list(tokens[at : at + ngram]) == end:
            return tuple(tokens[at + ngram : at + ngram + max_tokens])
    return ()


class Trial:
    """Whether drafting pays, found by doing it and leaving it in turn. Invariant: the way that was
    faster is used for all but TRIAL_STEPS of every REST_STEPS steps."""

    def __init__(self) -> None:
        self.is_drafting = False
        self._tok_per_s: dict[bool, float] = {}
        self._num_steps = 0

    def observe(self, num_tokens: int, seconds: float) -> None:
        """Learn from a step that wrote `num_tokens`; every TRIAL_STEPS decide how to go on."""
        way, speed = self.is_drafting, num_tokens / seconds
        self._tok_per_s[way] = 0.9 * self._tok_per_s.get(way, speed) + 0.1 * speed
        self._num_steps += 1
        if self._num_steps % TRIAL_STEPS == 0:
            self.is_drafting = self._next_way()

    @property
    def is_gain(self) -> bool:
        """Whether both ways were tried and drafting was the faster."""
        known = self._tok_per_s
        return len(known) == 2 and known[True] > MIN_GAIN * known[False]

    def _next_way(self) -> bool:
        if len(self._tok_per_s) < 2:
            return not self.is_drafting
        return not self.is_gain if self._num_steps % REST_STEPS == 0 else self.is_gain


class Drafter:
    """Proposes drafts while they pay, judged apart for every number of running answers.

    Guesses of unequal length cost llama.cpp a pass each, so what does not pay for some answers is
    not even tried for more of them.
    """

    def __init__(self, max_tokens: int = MAX_DRAFT) -> None:
        """`max_tokens` 0 = never; for models that cannot take back what they computed."""
        self._max_tokens = max_tokens
        self._trials: dict[int, Trial] = {}
        self.num_drafted = self.num_confirmed = 0

    def propose(
        self, decoding: Seq[Sequence], *, num_reading: int
    ) -> Mapping[Sequence, tuple[int, ...]]:
        """A guess for each sequence that has one. Beside prompts the rows are better spent."""
        if not self._max_tokens or not decoding or num_reading:
            return {}
        trial = self._trial(len(decoding))
        if trial is None or not trial.is_drafting:
            return {}
        return {sequence: draft for sequence in decoding if (draft := self._draft(sequence))}

    def _trial(self, num_decoding: int) -> Trial | None:
        """The trial for so many answers, None as long as drafting does not pay for one fewer."""
        if num_decoding > 1:
            fewer = self._trials.get(num_decoding - 1)
            if fewer is None or not fewer.is_gain:
                return None
        return self._trials.setdefault(num_decoding, Trial())

    def _draft(self, sequence: Sequence) -> tuple[int, ...]:
        room = sequence.max_tokens - sequence.num_generated - 1
        return lookup(sequence.tokens, min(self._max_tokens, room))

    def observe(self, num_drafted: int, num_confirmed: int) -> None:
        self.num_drafted += num_drafted
        self.num_confirmed += num_confirmed

    def observe_step(self, num_decoding: int, num_tokens: int, seconds: float) -> None:
        """Learn from a step without prompts, in which `num_decoding` answers got `num_tokens`."""
        if self._max_tokens and num_decoding and seconds > 0:
            trial = self._trial(num_decoding)
            if trial is not None:
                trial.observe(num_tokens, seconds)
