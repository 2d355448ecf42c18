"""The OpenAI protocol as data: requests checked field by field, replies as dictionaries.

Knows JSON, not HTTP and not models. Keeps one invariant: what comes out of `read_chat` and
`read_completion` is well-typed, in range and valid Unicode; all else is a RequestRefused that names
the field.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kit.engine.sampler import Sampling
from kit.engine.sequence import Finish

MAX_STOP = 16
MAX_MESSAGES = 4096
MAX_TIMEOUT_S = 86_400
ROLES = ("system", "developer", "user", "assistant")
# Fields that change nothing in the text; accepted so that clients need no special case.
_HARMLESS = frozenset(
    {"metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
    | {"parallel_tool_calls", "verbosity"}
)
# Fields that ask for what this engine cannot do, unless they say "no" in one of these ways.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "logit_bias": (None, {}),
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
    *(*_SAMPLING_RANGES, *_UNSUPPORTED, *_HARMLESS),
}
_CHAT = _COMMON | {"messages", "max_completion_tokens", "chat_template_kwargs", "reasoning_effort"}
_COMPLETION = _COMMON | {"prompt"}


class RequestRefused(Exception):
    """A request that cannot be served as it is; becomes OpenAI's error object."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str = "invalid_value",
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body = error_body(message, kind=kind, param=param, code=code)


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


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
    messages: tuple[Mapping[str, str], ...] = ()
    prompt: str = ""
    template_variables: Mapping[str, Any] = field(default_factory=dict)


def read_chat(body: bytes) -> GenerateRequest:
    """Check a /v1/chat/completions body. Raises: RequestRefused naming the field."""
    fields = _Fields(body, _CHAT)
    messages = fields.messages()
    return GenerateRequest(
        **fields.common(("max_completion_tokens", "max_tokens")),
        messages=messages,
        shared_prefix=fields.shared_prefix(messages),
        template_variables=fields.template_variables(),
    )


def read_completion(body: bytes) -> GenerateRequest:
    """Check a /v1/completions body. Raises: RequestRefused naming the field."""
    fields = _Fields(body, _COMPLETION)
    prompt = fields.text("prompt", fields.values.get("prompt"))
    return GenerateRequest(**fields.common(("max_tokens",)), prompt=prompt)


def read_forget(body: bytes) -> str:
    """Check a /v1/cache/forget body, {"namespace": text}. Raises: RequestRefused."""
    fields = _Fields(body, {"namespace"})
    return fields.text("namespace", fields.values.get("namespace"))


def read_tokenize(body: bytes) -> str:
    """Check a /tokenize body, {"content": text}. Raises: RequestRefused."""
    fields = _Fields(body, {"content", "add_special", "with_pieces"})
    return fields.text("content", fields.values.get("content"))


def _refuse(param: str, expected: str, observed: Any) -> NoReturn:
    shown = repr(observed)
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
    raise RequestRefused(f"{param}: {expected} expected, {shown} observed", param=param)


class _Fields:
    """One request body: typed access to its fields, each with its own words of refusal."""

    def __init__(self, body: bytes, known: set[str]) -> None:
        try:
            values = json.loads(body, parse_constant=lambda name: _refuse("body", "JSON", name))
        except (ValueError, RecursionError) as problem:
            said = f"the body is not valid JSON: {problem}"
            raise RequestRefused(said, code="invalid_json") from None
        if not isinstance(values, dict):
            _refuse("body", "a JSON object", values)
        self.values: dict[str, Any] = values
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise RequestRefused(
                    f"unknown field {name!r}{hint}", param=name, code="unknown_field"
                )
        for name, harmless in _UNSUPPORTED.items():
            if name in values and values[name] not in harmless:
                raise RequestRefused(
                    f"{name} is not supported by this engine", param=name, code="unsupported"
                )

    def common(self, limits: tuple[str, ...]) -> dict[str, Any]:
        """What both kinds of request share. `limits` names the token limit, preferred first."""
        named = next((name for name in limits if self.values.get(name) is not None), limits[0])
        options = self.values.get("stream_options") or {}
        if not isinstance(options, dict):
            _refuse("stream_options", "an object", options)
        namespace = self.values.get("cache_namespace")
        return {
            "sampling": self.sampling(),
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
            _refuse("shared_prefix", "an object with namespace, message, chars and pin", value)
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
            _refuse(name, f"a whole number from 0 to {most}", value)
        return value

    def sampling(self) -> Sampling:
        numbers = {name: self.number(name, *span) for name, span in _SAMPLING_RANGES.items()}
        whole = {
            "top_k": self.whole("top_k", 0, 1 << 20),
            "seed": self.whole("seed", -(1 << 63), 1 << 63),
        }
        given = {name: value for name, value in {**numbers, **whole}.items() if value is not None}
        return Sampling(**given)  # type: ignore[arg-type]

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(name, f"a number from {low:g} to {high:g}", value)
        if not low <= value <= high:  # false for NaN too
            _refuse(name, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            _refuse(name, f"a whole number of at least {low}", value)
        if value > high:
            _refuse(name, f"a whole number of at most {high}", value)
        return value

    def flag(self, name: str, value: Any) -> bool:
        if value is not None and not isinstance(value, bool):
            _refuse(name, "true or false", value)
        return bool(value)

    def text(self, name: str, value: Any) -> str:
        """A string that can be written as UTF-8: half a surrogate pair cannot."""
        if not isinstance(value, str):
            _refuse(name, "a string", value)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RequestRefused(
                f"{name}: valid Unicode expected, a lone surrogate observed", param=name
            ) from None
        return value

    def stop(self) -> tuple[str, ...]:
        value = self.values.get("stop")
        marks = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(marks, list) or len(marks) > MAX_STOP or "" in marks:
            _refuse("stop", f"a string or up to {MAX_STOP} strings, none of them empty", value)
        return tuple(self.text("stop", mark) for mark in marks)

    def messages(self) -> tuple[Mapping[str, str], ...]:
        value = self.values.get("messages")
        if not isinstance(value, list) or not value or len(value) > MAX_MESSAGES:
            _refuse("messages", f"a list of 1 to {MAX_MESSAGES} messages", value)
        return tuple(self.message(f"messages[{n}]", message) for n, message in enumerate(value))

    def message(self, name: str, value: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            _refuse(name, "an object with role and content", value)
        role = value.get("role")
        if role not in ROLES:
            _refuse(f"{name}.role", f"one of {', '.join(ROLES)}", role)
        content = value.get("content")
        if isinstance(content, list):
            parts = [self.part(f"{name}.content[{n}]", part) for n, part in enumerate(content)]
            content = "\n".join(parts)
        text = self.text(f"{name}.content", content)
        return {"role": "system" if role == "developer" else role, "content": text}

    def part(self, name: str, value: Any) -> str:
        if not isinstance(value, dict) or value.get("type") != "text":
            _refuse(name, 'a part of type "text"', value)
        return self.text(f"{name}.text", value.get("text"))

    def template_variables(self) -> Mapping[str, Any]:
        """Switches some templates know, such as {"enable_thinking": false}; plain values only."""
        value = self.values.get("chat_template_kwargs") or {}
        if not isinstance(value, dict) or not all(
            isinstance(item, (bool, int, float, str)) for item in value.values()
        ):
            _refuse("chat_template_kwargs", "an object of plain values", value)
        reserved = {"messages", "tools", "add_generation_prompt"} & set(value)
        if reserved:
            _refuse("chat_template_kwargs", "variables of the template", sorted(reserved))
        return value


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

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def chunk(
        self, delta: Mapping[str, Any], finish_reason: str | None = None, *, has_usage: bool = False
    ) -> dict[str, Any]:
        """A streamed piece; `delta` holds role, content or reasoning_content."""
        body: Mapping[str, Any] = (
            {"delta": delta} if self.is_chat else {"text": delta.get("content", "")}
        )
        choice = {"index": 0, **body, "logprobs": None, "finish_reason": finish_reason}
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return self._envelope(kind, [choice]) | ({"usage": None} if has_usage else {})

    def usage_chunk(self, finish: Finish) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return self._envelope(kind, []) | {"usage": usage(finish)}

    def whole(self, text: str, reasoning: str, finish: Finish) -> dict[str, Any]:
        """The answer that is not streamed."""
        message = {"role": "assistant", "content": text, "refusal": None}
        if reasoning:
            message["reasoning_content"] = reasoning
        body: dict[str, Any] = {"message": message} if self.is_chat else {"text": text}
        choice = {"index": 0, **body, "logprobs": None, "finish_reason": finish.reason}
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self._envelope(kind, [choice]) | {"usage": usage(finish)}
