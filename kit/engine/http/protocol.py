"""The OpenAI protocol as data: requests checked field by field, replies as dictionaries.

Knows JSON, not HTTP and not models. Keeps one invariant: what comes out of `read_chat` and
`read_completion` is well-typed, in range and valid Unicode; all else is a RequestRefused that names
the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.engine.chat.reasoning import Piece
from kit.engine.chat.tools import read_calls, read_forced_call, read_tools
from kit.engine.grammar.constraint import Constraint, read_constraint
from kit.engine.http.fields import Fields, refuse
from kit.engine.logprobs import TokenLogprob, chat_logprobs, completion_logprobs
from kit.engine.sampler import Sampling
from kit.engine.sequence import Finish

MAX_STOP = 16
MAX_MESSAGES = 4096
MAX_TIMEOUT_S = 86_400
MAX_BIASES = 1024
ROLES = ("system", "developer", "user", "assistant", "tool")
# Fields that change nothing in the text; accepted so that clients need no special case.
_HARMLESS = frozenset(
    {"metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
    | {"parallel_tool_calls", "verbosity"}
)
# Fields that ask for what this engine cannot do, unless they say "no" in one of these ways.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "echo": (None, False),
    "suffix": (None, ""),
    "best_of": (None, 1),
}
_SAMPLING_RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (1e-6, 1.0),
    "min_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repeat_penalty": (0.01, 10.0),
}
_COMMON = {
    *("model", "max_tokens", "stop", "stream", "stream_options", "seed", "top_k"),
    *("user", "timeout_s", "cache_namespace", "shared_prefix"),
    *("cache_namespace", "logit_bias", "logprobs", "grammar", "response_format", "repeat_last_n"),
    *(*_SAMPLING_RANGES, *_UNSUPPORTED, *_HARMLESS),
}
_CHAT = _COMMON | {"messages", "max_completion_tokens", "chat_template_kwargs", "reasoning_effort"}
_CHAT |= {"tools", "tool_choice", "top_logprobs", "truncate"}
_COMPLETION = _COMMON | {"prompt"}


@dataclass(frozen=True)
class SharedPrefix:
    """The beginning of a conversation that others may reuse: all before message number `message`
    (0 = the first), and the first `chars` characters of its content."""

    namespace: str
    message: int
    chars: int
    is_pinned: bool = False


@dataclass(frozen=True)
class GenerateRequest:
    """A checked request. `messages` is empty for a plain completion, whose text is `prompt`.

    `person` is who asks, for fairness; `timeout_s` how long the answer is worth waiting for.
    """

    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    cache_namespace: str | None
    person: str = ""
    timeout_s: float | None = None
    shared_prefix: SharedPrefix | None = None
    constraint: Constraint | None = None
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str = ""
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    truncate: bool = False
    """Whether the oldest exchanges may be left out where the whole does not fit."""


def read_chat(body: bytes) -> GenerateRequest:
    """Check a /v1/chat/completions body. Raises: RequestRefused naming the field."""
    fields = _Fields(body, _CHAT, _UNSUPPORTED)
    num_logprobs = fields.whole("top_logprobs", 0, 20)
    if not fields.flag("logprobs", fields.values.get("logprobs")):
        if num_logprobs:
            refuse("top_logprobs", "logprobs: true with it", fields.values.get("logprobs"))
        num_logprobs = None
    elif num_logprobs is None:
        num_logprobs = 0
    messages, tools = fields.messages(), read_tools(fields)
    common = fields.common(("max_completion_tokens", "max_tokens"), num_logprobs)
    if (forced := read_forced_call(fields, tools)) is not None:
        if common["constraint"] is not None:
            refuse("tool_choice", f"no {common['constraint'].param} beside it", "both")
        common["constraint"] = forced
    return GenerateRequest(
        **common,
        messages=messages,
        shared_prefix=fields.shared_prefix(messages),
        template_variables=fields.template_variables(),
        tools=tools,
        truncate=fields.truncate(),
    )


def read_completion(body: bytes) -> GenerateRequest:
    """Check a /v1/completions body. Raises: RequestRefused naming the field."""
    fields = _Fields(body, _COMPLETION, _UNSUPPORTED)
    prompt = fields.text("prompt", fields.values.get("prompt"))
    if fields.values.get("logprobs") is False:
        fields.values["logprobs"] = None
    num_logprobs = fields.whole("logprobs", 0, 5)
    return GenerateRequest(**fields.common(("max_tokens",), num_logprobs), prompt=prompt)


def read_forget(body: bytes) -> str:
    """Check a /v1/cache/forget body, {"namespace": text}. Raises: RequestRefused."""
    fields = Fields(body, {"namespace"}, {})
    return fields.text("namespace", fields.values.get("namespace"))


def read_tokenize(body: bytes) -> str:
    """Check a /tokenize body, {"content": text}. Raises: RequestRefused."""
    fields = Fields(body, {"content", "add_special", "with_pieces"}, {})
    return fields.text("content", fields.values.get("content"))


class _Fields(Fields):
    """The fields of a request for text."""

    def common(self, limits: tuple[str, ...], num_logprobs: int | None) -> dict[str, Any]:
        """What both kinds of request share. `limits` names the token limit, preferred first."""
        named = next((name for name in limits if self.values.get(name) is not None), limits[0])
        options = self.values.get("stream_options") or {}
        if not isinstance(options, dict):
            refuse("stream_options", "an object", options)
        namespace = self.values.get("cache_namespace")
        return {
            "sampling": self.sampling(num_logprobs),
            "constraint": read_constraint(self),
            "max_tokens": self.whole(named, 1, 1 << 31),
            "stop": self.stop(),
            "stream": self.flag("stream", self.values.get("stream")),
            "include_usage": self.flag("include_usage", options.get("include_usage")),
            "cache_namespace": None
            if namespace is None
            else self.text("cache_namespace", namespace),
            "person": self.text("user", self.values.get("user") or ""),
            "timeout_s": self.number("timeout_s", 0.001, MAX_TIMEOUT_S),
        }

    def shared_prefix(self, messages: Sequence[Mapping[str, str]]) -> SharedPrefix | None:
        value = self.values.get("shared_prefix")
        if value is None:
            return None
        known = {"namespace", "message", "chars", "pin"}
        if not isinstance(value, dict) or not value.keys() <= known:
            refuse("shared_prefix", "an object with namespace, message, chars and pin", value)
        message = self.index("shared_prefix.message", value.get("message"), len(messages) - 1)
        length = len(messages[message]["content"])
        return SharedPrefix(
            namespace=self.text("shared_prefix.namespace", value.get("namespace")),
            message=message,
            chars=self.index("shared_prefix.chars", value.get("chars"), length),
            is_pinned=self.flag("shared_prefix.pin", value.get("pin")),
        )

    def index(self, name: str, value: Any, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            refuse(name, f"a whole number from 0 to {most}", value)
        return value

    def sampling(self, num_logprobs: int | None) -> Sampling:
        numbers = {name: self.number(name, *span) for name, span in _SAMPLING_RANGES.items()}
        whole = {
            "top_k": self.whole("top_k", 0, 1 << 20),
            "seed": self.whole("seed", -(1 << 63), 1 << 63),
            "repeat_last_n": self.whole("repeat_last_n", 0, 4096),
            "num_logprobs": num_logprobs,
        }
        given = {name: value for name, value in {**numbers, **whole}.items() if value is not None}
        return Sampling(**given, logit_bias=self.logit_bias())  # type: ignore[arg-type]

    def logit_bias(self) -> tuple[tuple[int, float], ...]:
        """OpenAI's map of token ids, as strings, to -100 … 100, which are added to the logits."""
        value = self.values.get("logit_bias") or {}
        if not isinstance(value, dict) or len(value) > MAX_BIASES:
            refuse("logit_bias", f"an object of up to {MAX_BIASES} token ids", value)
        for token, bias in value.items():
            if not re.fullmatch(r"[0-9]{1,9}", token, re.ASCII):
                refuse("logit_bias", "token ids", token)
            is_number = isinstance(bias, (int, float)) and not isinstance(bias, bool)
            if not is_number or not -100 <= bias <= 100:
                refuse("logit_bias", "numbers from -100 to 100", bias)
        return tuple((int(token), float(bias)) for token, bias in value.items())

    def truncate(self) -> bool:
        value = self.values.get("truncate")
        if value not in (None, "none", "oldest"):
            refuse("truncate", '"oldest" or "none"', value)
        return bool(value == "oldest")

    def stop(self) -> tuple[str, ...]:
        value = self.values.get("stop")
        marks = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(marks, list) or len(marks) > MAX_STOP or "" in marks:
            refuse("stop", f"a string or up to {MAX_STOP} strings, none of them empty", value)
        return tuple(self.text("stop", mark) for mark in marks)

    def messages(self) -> tuple[Mapping[str, Any], ...]:
        value = self.values.get("messages")
        if not isinstance(value, list) or not value or len(value) > MAX_MESSAGES:
            refuse("messages", f"a list of 1 to {MAX_MESSAGES} messages", value)
        return tuple(self.message(f"messages[{n}]", message) for n, message in enumerate(value))

    def message(self, name: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            refuse(name, "an object with role and content", value)
        role = value.get("role")
        if role not in ROLES:
            refuse(f"{name}.role", f"one of {', '.join(ROLES)}", role)
        message: dict[str, Any] = {"role": "system" if role == "developer" else role}
        calls = value.get("tool_calls")
        if role == "assistant" and calls not in (None, []):
            message["tool_calls"] = read_calls(self, f"{name}.tool_calls", calls)
        if role == "tool" and value.get("tool_call_id") is not None:
            message["tool_call_id"] = self.text(f"{name}.tool_call_id", value["tool_call_id"])
        content = value.get("content")
        if content is None and "tool_calls" in message:
            content = ""
        return message | {"content": self.content(f"{name}.content", content)}

    def content(self, name: str, value: Any) -> str:
        """A text, or its parts, one a line."""
        if isinstance(value, list):
            return "\n".join(self.part(f"{name}[{n}]", part) for n, part in enumerate(value))
        return self.text(name, value)

    def part(self, name: str, value: Any) -> str:
        if not isinstance(value, dict) or value.get("type") != "text":
            refuse(name, 'a part of type "text"', value)
        return self.text(f"{name}.text", value.get("text"))

    def template_variables(self) -> Mapping[str, Any]:
        """Switches some templates know, such as {"enable_thinking": false}; plain values only."""
        value = self.values.get("chat_template_kwargs") or {}
        if not isinstance(value, dict) or not all(
            isinstance(item, (bool, int, float, str)) for item in value.values()
        ):
            refuse("chat_template_kwargs", "an object of plain values", value)
        reserved = {"messages", "tools", "add_generation_prompt"} & set(value)
        if reserved:
            refuse("chat_template_kwargs", "variables of the template", sorted(reserved))
        return value


def delta_of(piece: Piece) -> dict[str, Any]:
    """What a streamed piece adds to the message."""
    calls = [{"index": call.index, **call.as_dict()} for call in piece.tool_calls]
    named = {"content": piece.text, "reasoning_content": piece.reasoning, "tool_calls": calls}
    return {name: value for name, value in named.items() if value}


def usage(finish: Finish) -> dict[str, Any]:
    return {
        "prompt_tokens": finish.prompt_tokens,
        "completion_tokens": finish.completion_tokens,
        "total_tokens": finish.prompt_tokens + finish.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": finish.cached_tokens},
    }


@dataclass(frozen=True)
class Reply:
    """The shapes of one answer: its id, kind and model stay the same in every chunk."""

    id: str
    created: int
    model: str
    is_chat: bool
    num_dropped: int | None = None
    """Messages left out of the prompt; None where the request did not allow it."""

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        envelope: dict[str, Any] = {"id": self.id, "object": kind, "created": self.created}
        envelope |= {"model": self.model, "choices": choices}
        if self.num_dropped is not None:
            envelope["num_dropped_messages"] = self.num_dropped
        return envelope

    def chunk(
        self,
        delta: Mapping[str, Any],
        finish_reason: str | None = None,
        *,
        has_usage: bool = False,
        logprobs: Sequence[TokenLogprob] = (),
    ) -> dict[str, Any]:
        """A streamed piece; `delta` holds role, content, reasoning_content or tool_calls."""
        body: Mapping[str, Any] = (
            {"delta": delta} if self.is_chat else {"text": delta.get("content", "")}
        )
        choice = {"index": 0, **body, "logprobs": self._logprobs(logprobs)}
        choice["finish_reason"] = finish_reason
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        extra = {"usage": None} if has_usage else {}
        return self._envelope(kind, [choice]) | extra

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not tokens:
            return None
        return chat_logprobs(tokens) if self.is_chat else completion_logprobs(tokens)

    def usage_chunk(self, finish: Finish) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return self._envelope(kind, []) | {"usage": usage(finish)}

    def whole(self, answer: Piece, finish: Finish) -> dict[str, Any]:
        """The answer that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [call.as_dict() for call in answer.tool_calls]
        body: dict[str, Any] = {"message": message} if self.is_chat else {"text": answer.text}
        choice = {"index": 0, **body, "logprobs": self._logprobs(answer.logprobs)}
        choice["finish_reason"] = finish.reason
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self._envelope(kind, [choice]) | {"usage": usage(finish)}
