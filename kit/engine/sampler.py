"""How the next token is chosen.

`Sampling` is what a request asks for; `Sampler` is the chain of llama.cpp that does it, for one
sequence. Temperature 0 is greedy: the same prompt and the same batches give the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.engine.grammar.rules import Grammar
from kit.engine.logprobs import Sampled, weigh
from kit.errors import EngineError


@dataclass(frozen=True)
class Sampling:
    """Names and ranges of the OpenAI API; top_k, min_p, repeat_* and grammar as in llama-server."""

    temperature: float = 1.0  # 0 … 2; 0 = always the likeliest token
    top_p: float = 1.0  # (0, 1]
    top_k: int = 0  # 0 = all
    min_p: float = 0.0  # [0, 1]
    presence_penalty: float = 0.0  # -2 … 2
    frequency_penalty: float = 0.0  # -2 … 2
    repeat_penalty: float = 1.0  # 1 = none
    repeat_last_n: int = 256  # generated tokens that the three penalties look back at; 0 = none
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token, -100 … 100)
    grammar: str = ""  # GBNF that has passed its trial
    num_logprobs: int | None = None  # None = not asked for; 0 = only of the sampled token


class Sampler:
    """A llama_sampler chain. `lib` is llama_cpp's C API; `close` frees the chain."""

    def __init__(self, lib: Any, sampling: Sampling, *, vocab: Any, n_vocab: int) -> None:
        self._lib, self._n_vocab = lib, n_vocab
        self._num_logprobs = sampling.num_logprobs
        self._grammar = (
            Grammar(lib, vocab, sampling.grammar, n_vocab=n_vocab) if sampling.grammar else None
        )
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for link in self._links(lib, sampling, n_vocab):
            lib.llama_sampler_chain_add(self._chain, link)

    @staticmethod
    def _links(lib: Any, s: Sampling, n_vocab: int) -> list[Any]:
        links = []
        if s.logit_bias:
            biases = (lib.llama_logit_bias * len(s.logit_bias))(*s.logit_bias)
            links.append(lib.llama_sampler_init_logit_bias(n_vocab, len(biases), biases))
        if s.repeat_penalty != 1 or s.frequency_penalty or s.presence_penalty:
            penalties = (s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
            links.append(lib.llama_sampler_init_penalties(n_vocab, s.repeat_last_n, *penalties))
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

    def sample(self, context: Any, row: int) -> int | Sampled:
        """The next token after batch row `row` of the last decode; Sampled where more is asked."""
        if self._grammar is None:
            token = int(self._lib.llama_sampler_sample(self._chain, context, row))
        else:
            try:
                token = self._grammar.choose(self._logits(context, row), self._chain)
            except EngineError as problem:
                return Sampled(error=problem)
            self._lib.llama_sampler_accept(self._chain, token)
        if self._num_logprobs is None:
            return token
        return weigh(self._logits(context, row), token, self._num_logprobs)

    def _logits(self, context: Any, row: int) -> np.ndarray:
        """A view of the distribution, float32, shape (n_vocab,); valid until the next decode."""
        pointer = self._lib.llama_get_logits_ith(context, row)
        return np.ctypeslib.as_array(pointer, shape=(self._n_vocab,))

    def close(self) -> None:
        if self._grammar is not None:
            self._grammar.close()
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None
