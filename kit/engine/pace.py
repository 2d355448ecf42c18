"""How fast this machine reads and writes, learned from the steps it has done.

Knows tokens and seconds, nothing of sequences. From these follow how much of a prompt a step may
read, and how long whoever waits will have to wait.
"""

from __future__ import annotations

MAX_STEP_TOKENS = 512
MIN_STEP_TOKENS = 32
STEP_GRAIN = 32  # a budget is a multiple of this, so that it settles
GUESSED_ANSWER_TOKENS = 128  # until answers have ended
WRITING_SHARE = 0.1  # of the time of steps that read, for steps that only write
_NEW = 0.3  # weight of the newest observation


class Pace:
    """Prompt tokens per second, seconds per decoding step, tokens per answer: moving averages."""

    def __init__(self, *, busy_s: float = 1.2, idle_s: float = 2.0) -> None:
        """A step should last `busy_s` while somebody's answer streams, else up to `idle_s`.

        Larger steps read faster: llama.cpp's products gain from it, and every step carries a token
        of every answer along. So that answers go on all the same, some steps only write.
        """
        self._busy_s, self._idle_s = busy_s, idle_s
        self._owed_s = 0.0
        self._prompt_tok_per_s: float | None = None
        self._decode_step_s: float | None = None
        self._answer_tokens = float(GUESSED_ANSWER_TOKENS)

    def prompt_budget(self, *, is_streaming: bool) -> int:
        """Prompt tokens for the next step."""
        if self._prompt_tok_per_s is None:
            return MIN_STEP_TOKENS * 4
        wanted = self._prompt_tok_per_s * (self._busy_s if is_streaming else self._idle_s)
        return min(MAX_STEP_TOKENS, max(MIN_STEP_TOKENS, int(wanted) // STEP_GRAIN * STEP_GRAIN))

    @property
    def is_writing_due(self) -> bool:
        """Whether the next step should leave the prompts and give every answer a token."""
        return self._owed_s > 0 and self._owed_s >= (self._decode_step_s or 0.0)

    def observe_step(self, num_prompt_tokens: int, num_decoded: int, seconds: float) -> None:
        """Learn from a finished step; `num_decoded` answers got a token in it.

        Of a step that does both, what answers take alone is not the prompts' time: counted in, it
        would make prompts seem slow, their pieces small, and the share of the answers larger still.
        """
        if seconds <= 0:
            return
        if not num_decoded:
            self._owed_s = 0.0
        elif num_prompt_tokens:
            self._owed_s += WRITING_SHARE * seconds
        else:
            self._owed_s = max(0.0, self._owed_s - seconds)
        if num_prompt_tokens >= MIN_STEP_TOKENS:
            beside_s = (self._decode_step_s or 0.0) if num_decoded else 0.0
            speed = num_prompt_tokens / max(seconds - beside_s, seconds / 2)
            self._prompt_tok_per_s = _average(self._prompt_tok_per_s, speed)
        elif num_prompt_tokens == 0 and num_decoded:
            self._decode_step_s = _average(self._decode_step_s, seconds)

    def observe_answer(self, num_tokens: int) -> None:
        self._answer_tokens = _average(self._answer_tokens, num_tokens)

    def seconds(self, num_prompt_tokens: int, num_answers: int, num_slots: int) -> float:
        """How long so much work will take, about: prompts one by one, answers side by side."""
        reading_s = num_prompt_tokens / (self._prompt_tok_per_s or 100.0)
        writing_s = self._answer_tokens * (self._decode_step_s or 0.05) * num_answers / num_slots
        return reading_s + writing_s


def _average(old: float | None, new: float) -> float:
    return new if old is None else (1 - _NEW) * old + _NEW * new
