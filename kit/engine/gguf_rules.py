"""What llama.cpp takes for granted of a model's file, and dies of where it does not hold.

Rules over what a header says. Each was found by loading mutants of a model (tests/e2e) and stands
for an assert or a wild read in native code, which ends its process without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

MIN_ALIGNMENT = 32  # TENSOR_ALIGNMENT of ggml-backend.cpp: buffers of a mapped file begin there
MAX_LAYERS = 512  # LLAMA_MAX_LAYERS of llama-hparams.h
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
TOKENS, TOKEN_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
BYTE_TOKEN = 6  # llama.h, enum llama_token_type
# No product takes these: they are for positions, tables and what is in progress.
_NO_WEIGHTS = ("F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K")
_TABLES = ("ffn_gate_tid2eid",)  # which experts a token goes to: numbers, though called a weight


class TensorHead(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type_name(self) -> str: ...


def faults(
    metadata: Mapping[str, object], tensors: Sequence[TensorHead], *, has_byte_tokens: bool
) -> Iterator[str]:
    """Everything in a header that llama.cpp would not survive, in words.

    `has_byte_tokens`: some tokens stand for a single byte that is no character.
    """
    architecture = metadata.get("general.architecture")
    layers = metadata.get(f"{architecture}.block_count")
    if isinstance(layers, int) and not 1 <= layers <= MAX_LAYERS:
        yield f"1 to {MAX_LAYERS} layers expected, {layers} observed"
    experts = metadata.get(f"{architecture}.expert_count")
    if isinstance(experts, int) and experts > MAX_EXPERTS:
        yield f"at most {MAX_EXPERTS} experts expected, {experts} observed"
    if metadata.get("tokenizer.ggml.model") == "bert" and has_byte_tokens:
        yield "a vocabulary of word pieces has tokens for bytes"
    for key, value in metadata.items():
        is_small = not isinstance(value, float) or (math.isfinite(value) and value >= 0)
        if key.endswith("_epsilon") and not is_small:
            yield f"{key}: a small positive number expected, {value} observed"
    for tensor in tensors:
        is_weight = tensor.name.endswith(".weight") and not any(t in tensor.name for t in _TABLES)
        if is_weight and tensor.type_name in _NO_WEIGHTS:
            yield f"{tensor.name} is of the type {tensor.type_name}, which weights never are"
