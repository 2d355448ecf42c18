"""How the next token is chosen.

`Sampling` is what a request asks for; `Sampler` is the chain of llama.cpp that does it, for one
sequence. Temperature 0 is greedy: the same prompt and the same batches give the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PENALTY_LAST_TOKENS = 256


@dataclass(frozen=True)
class Sampling:
    """Names and ranges of the OpenAI API, and top_k, min_p, repeat_penalty as in llama-server."""

    temperature: float = 1.0  # 0 … 2; 0 = always the likeliest token
    top_p: float = 1.0  # (0, 1]
    top_k: int = 0  # 0 = all
    min_p: float = 0.0  # [0, 1]
    presence_penalty: float = 0.0  # -2 … 2
    frequency_penalty: float = 0.0  # -2 … 2
    repeat_penalty: float = 1.0  # 1 = none
    seed: int | None = None


class Sampler:
    """A llama_sampler chain. `lib` is llama_cpp's C API; `close` frees the chain."""

    def __init__(self, lib: Any, sampling: Sampling, *, n_vocab: int) -> None:
        self._lib = lib
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for link in self._links(lib, sampling, n_vocab):
            lib.llama_sampler_chain_add(self._chain, link)

    @staticmethod
    def _links(lib: Any, s: Sampling, n_vocab: int) -> list[Any]:
        links = []
        if s.repeat_penalty != 1 or s.frequency_penalty or s.presence_penalty:
            penalties = (s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
            links.append(lib.llama_sampler_init_penalties(n_vocab, PENALTY_LAST_TOKENS, *penalties))
        if s.temperature == 0:
            return [*links, lib.llama_sampler_init_greedy()]
        if s.top_k > 0:
            links.append(lib.llama_sampler_init_top_k(s.top_k))
        if s.top_p < 1:
            links.append(lib.llama_sampler_init_top_p(s.top_p, 1))
        if s.min_p > 0:
            links.append(lib.llama_sampler_init_min_p(s.min_p, 1))
        links.append(lib.llama_sampler_init_temp(s.temperature))
        seed = lib.LLAMA_DEFAULT_SEED if s.seed is None else s.seed & 0xFFFFFFFF
        return [*links, lib.llama_sampler_init_dist(seed)]

    def sample(self, context: Any, row: int) -> int:
        """The next token after batch row `row` of the last decode."""
        return int(self._lib.llama_sampler_sample(self._chain, context, row))

    def close(self) -> None:
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None
