"""One answer of a model as it came over HTTP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """`error` is set where the server gave none; `logprobs` are of its tokens, if asked for."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    """"stop": it ended by itself; "length": its tokens were used up."""
    logprobs: tuple[float, ...] = ()
    error: str = ""
    error_code: str = ""
