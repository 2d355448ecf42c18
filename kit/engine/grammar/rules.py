"""A grammar that bounds what is said: which tokens may come next, in llama.cpp's own state.

Knows the C API, not where grammars come from. Keeps one invariant: no token is accepted that the
grammar does not allow, because that, like a grammar without a next token, aborts the process.
Threat: a grammar is code from a client. It must have passed `kit.engine.grammar.trial` before.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numpy as np

from kit.errors import EngineError, UsageError

ROOT = b"root"
MAX_STEP_CPU_S = 2.0
_LAYOUT = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)], align=True)


class Candidates:
    """The tokens to choose from, as llama.cpp's samplers want them."""

    def __init__(self, lib: Any, tokens: np.ndarray) -> None:
        """`tokens`: int32, the ids that take part."""
        self._lib, self._tokens = lib, tokens
        self._data = np.zeros(len(tokens), dtype=_LAYOUT)
        self._array = lib.llama_token_data_array()

    def fill(self, logits: np.ndarray) -> None:
        """Start anew with these logits, one per token."""
        self._data["id"], self._data["logit"], self._data["p"] = self._tokens, logits, 0
        pointer = ctypes.cast(self._data.ctypes.data, self._lib.llama_token_data_p)
        self._array.data, self._array.size = pointer, len(self._tokens)
        self._array.selected, self._array.sorted = -1, False

    def apply(self, sampler: Any) -> None:
        """Let a native sampler or a chain change logits, order and selection."""
        self._lib.llama_sampler_apply(sampler, ctypes.byref(self._array))

    def allowed(self) -> np.ndarray:
        """The ids whose logit is not minus infinity; before a chain is applied."""
        ids: np.ndarray = self._data["id"][np.isfinite(self._data["logit"])]
        return ids

    @property
    def selected(self) -> int:
        return int(self._array.data[self._array.selected].id)


class Grammar:
    """One sequence's place in its grammar."""

    def __init__(self, lib: Any, vocab: Any, gbnf: str, *, n_vocab: int) -> None:
        """Raises: UsageError if llama.cpp cannot parse `gbnf` or it has no rule named root."""
        self._lib = lib
        self._sampler = lib.llama_sampler_init_grammar(vocab, gbnf.encode(), ROOT)
        if not self._sampler:
            raise UsageError("the grammar cannot be parsed")
        self._all = Candidates(lib, np.arange(n_vocab, dtype=np.int32))

    def choose(self, logits: np.ndarray, chain: Any) -> int:
        """The chain's choice among the allowed tokens; accepted here, not yet by the chain.

        The chain is asked first, since its free choice is mostly allowed and looking at one token
        is a thousand times cheaper than at all. Raises: EngineError where no token is allowed, or
        where the grammar has become too slow to follow.
        """
        self._all.fill(logits)
        self._all.apply(chain)
        token = self._all.selected
        started = time.thread_time()
        if not self.allows(token):
            self._all.fill(logits)
            self._all.apply(self._sampler)
            if not len(self._all.allowed()):
                raise EngineError("the grammar has come to a point where no token fits it")
            self._all.apply(chain)
            token = self._all.selected
        self.accept(token)
        if time.thread_time() - started > MAX_STEP_CPU_S:
            raise EngineError("the grammar is too ambiguous to be followed further")
        return token

    def allows(self, token: int) -> bool:
        one = Candidates(self._lib, np.array([token], dtype=np.int32))
        one.fill(np.zeros(1, dtype=np.float32))
        one.apply(self._sampler)
        return bool(len(one.allowed()))

    def next_tokens(self) -> np.ndarray:
        """The ids of all tokens that may come next."""
        self._all.fill(np.zeros(1, dtype=np.float32))
        self._all.apply(self._sampler)
        return self._all.allowed()

    def accept(self, token: int) -> None:
        """Move on. The token must be an allowed one."""
        self._lib.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        if self._sampler is not None:
            self._lib.llama_sampler_free(self._sampler)
            self._sampler = None
