"""OpenAI's embeddings as data: requests checked, replies as dictionaries.

Knows JSON, not models. Keeps one invariant: what comes out of `read_embeddings` is one or more
inputs, each a text or tokens, none of them empty.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.engine.http.fields import Fields, RequestRefused, refuse

MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 1 << 20
_KNOWN = {"model", "input", "encoding_format", "dimensions", "user"}


@dataclass(frozen=True)
class EmbedRequest:
    """A checked request; each input is a text or the tokens of one."""

    inputs: tuple[str | tuple[int, ...], ...]
    is_base64: bool
    dimensions: int | None


def read_embeddings(body: bytes) -> EmbedRequest:
    """Check a /v1/embeddings body. Raises: RequestRefused naming the field."""
    fields = Fields(body, _KNOWN, {})
    coding = fields.values.get("encoding_format")
    if coding not in (None, "float", "base64"):
        refuse("encoding_format", '"float" or "base64"', coding)
    dimensions = fields.whole("dimensions", 1, 1 << 20)
    return EmbedRequest(_inputs(fields), coding == "base64", dimensions)


def _inputs(fields: Fields) -> tuple[str | tuple[int, ...], ...]:
    value = fields.values.get("input")
    if isinstance(value, str) or (isinstance(value, list) and value and _is_number(value[0])):
        return (_input(fields, "input", value),)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_INPUTS:
        refuse("input", f"a text, tokens, or a list of 1 to {MAX_INPUTS} of them", value)
    return tuple(_input(fields, f"input[{n}]", item) for n, item in enumerate(value))


def _input(fields: Fields, name: str, value: Any) -> str | tuple[int, ...]:
    if value == "" or value == []:
        raise RequestRefused(f"{name}: it is empty", param=name)
    if not isinstance(value, list):
        return fields.text(name, value)
    if len(value) > MAX_INPUT_TOKENS or not all(map(_is_number, value)):
        refuse(name, "a text or a list of tokens", value)
    return tuple(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def embeddings_reply(
    vectors: Iterable[np.ndarray], *, model: str, num_tokens: int, is_base64: bool
) -> dict[str, Any]:
    """The reply; base64 is of little-endian float32, as OpenAI's clients read it."""
    rows = [vector.astype("<f4") for vector in vectors]
    coded = [base64.b64encode(r.tobytes()).decode() if is_base64 else r.tolist() for r in rows]
    data = [{"object": "embedding", "index": n, "embedding": c} for n, c in enumerate(coded)]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}
