"""A conversation turned into the tokens of a prompt, by the model's own chat template.

Knows Jinja and which tokens control the model; knows no model. Keeps one invariant: the control
tokens of a prompt are exactly those its template wrote; what people or documents say makes none.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.filters import do_indent
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kit.engine.prefix import common_prefix
from kit.errors import ModelError, UsageError

MAX_TEMPLATE_CHARS = 256 * 1024
MAX_MARKUP_CHARS = 1024 * 1024  # what a template may add to the messages it is given
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
Message = Mapping[str, Any]  # {"role", "content"} and, of tools, "tool_calls" or "tool_call_id"
_PROBE = "probe_of_tools"


class Tokenizer(Protocol):
    """What a template needs of a model's vocabulary."""

    @property
    def bos(self) -> int | None: ...
    def tokenize(self, text: str, *, parse_special: bool) -> list[int]: ...
    def is_control(self, token: int) -> bool: ...


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it, and as text for those who want to look."""

    tokens: list[int]
    text: str
    num_dropped: int | None = None
    """Messages left out to make it fit; None where that was not asked for."""


class TemplateRefused(Exception):
    """The template called raise_exception: it does not accept these messages."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Threat: a template is code from whoever made the model file. No attributes that reach Python,
    no changes to what it is given, and no operator that turns a few bytes into gigabytes."""

    intercepted_binops = frozenset(["*", "**", "%"])
    _stretching = frozenset(
        {"ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map"}
    )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in self._stretching:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"the operator {operator} is not available to templates")
        if operator == "*" and not all(isinstance(value, (int, float)) for value in (left, right)):
            raise SecurityError("templates cannot repeat text")
        return super().call_binop(context, operator, left, right)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it is its body."""

    tags = {"generation"}  # noqa: RUF012 - so declared in the base class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A compiled template. `source` empty means ChatML, which most small models understand."""

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """Raises: ModelError if the template is too long or not valid Jinja."""
        if len(source) > MAX_TEMPLATE_CHARS:
            raise ModelError(f"the model's chat template is too long: {len(source)} characters")
        environment = _Sandbox(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        environment.filters["tojson"] = _to_json
        environment.filters["indent"] = _indent
        for stretching in ("center", "format", "wordwrap"):
            del environment.filters[stretching]
        environment.globals.update(
            raise_exception=_refuse,
            strftime_now=_strftime_now,
            bos_token=bos_token,
            eos_token=eos_token,
        )
        try:
            self._template = environment.from_string(source or CHATML)
        except TemplateError as problem:
            raise ModelError(f"the model's chat template is not valid: {problem}") from problem

    def render(self, messages: Sequence[Message], **variables: Any) -> str:
        """The prompt as text, ready for the assistant's answer.

        Raises: UsageError if the template does not accept the messages, or fails on them.
        """
        try:
            return self._render(messages, variables)
        except TemplateRefused as refusal:
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise UsageError(f"the model's chat template refuses: {refusal}") from refusal
        try:  # templates such as Gemma's know no system role: say it with the first question
            return self._render(_merge_system(messages), variables)
        except TemplateRefused as refusal:
            raise UsageError(f"the model's chat template refuses: {refusal}") from refusal

    def _render(self, messages: Sequence[Message], variables: Mapping[str, Any]) -> str:
        limit = 2 * sum(map(_num_chars, [*messages, variables])) + MAX_MARKUP_CHARS
        pieces, size = [], 0
        try:
            for piece in self._template.generate(
                messages=[dict(message) for message in messages],
                **{"add_generation_prompt": True, "tools": None, **variables},
            ):
                size += len(piece)
                if size > limit:
                    raise UsageError("the model's chat template writes too much text")
                pieces.append(piece)
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as problem:
            raise UsageError(f"the model's chat template fails: {problem}") from problem
        return "".join(pieces)

    @functools.cached_property
    def has_tools(self) -> bool:
        """Whether it tells the model of tools: found by giving it one."""
        function = {"name": _PROBE, "description": "", "parameters": {"type": "object"}}
        try:
            said = self.render(
                [{"role": "user", "content": "?"}],
                tools=[{"type": "function", "function": function}],
            )
        except UsageError:
            return False
        return _PROBE in said

    def prompt(self, tokenizer: Tokenizer, messages: Sequence[Message], **variables: Any) -> Prompt:
        """The prompt's tokens. Raises: UsageError as `render` does.

        The usual case is one pass over the whole text, as the model was trained. Only if the
        contents would add control tokens are template and contents tokenized apart. All else that
        a request brings along, tools and their calls, is made harmless first.
        """
        variables = {name: _harmless(tokenizer, value) for name, value in variables.items()}
        messages = [
            {n: v if n == "content" else _harmless(tokenizer, v) for n, v in message.items()}
            for message in messages
        ]
        text = self.render(messages, **variables)
        tokens = tokenizer.tokenize(text, parse_special=True)
        parts = self._parts(messages, variables)
        own_controls = _template_controls(tokenizer, parts)
        if _controls(tokenizer, tokens) == own_controls:
            return Prompt(with_bos(tokenizer, tokens), text)
        if _is_faithful(parts, messages):
            return Prompt(with_bos(tokenizer, _tokenize_apart(tokenizer, parts)), text)
        # The template drops or changes contents: break everything in them that could be a mark.
        text = self.render([{**m, "content": _defuse(m["content"])} for m in messages], **variables)
        tokens = tokenizer.tokenize(text, parse_special=True)
        if _controls(tokenizer, tokens) != own_controls:
            raise UsageError("a message holds control tokens of this model; remove them")
        return Prompt(with_bos(tokenizer, tokens), text)

    def shared_text(
        self, messages: Sequence[Message], message: int, chars: int, **variables: Any
    ) -> str:
        """The beginning of the prompt's text that depends on nothing after character `chars` of
        message number `message`. Raises: UsageError as `render` does."""
        cut = {**messages[message], "content": messages[message]["content"][:chars]}
        shorter = self.render([*messages[:message], cut], **variables)
        whole = self.render(messages, **variables)
        return whole[: common_prefix(whole, shorter, min(len(whole), len(shorter)))]

    def _parts(
        self, messages: Sequence[Message], variables: Mapping[str, Any]
    ) -> list[tuple[str, bool]]:
        """The prompt as (text, is_content) parts: rendered with a sentinel for every content.

        A sentinel is random, so no content can contain it, and plain letters, so templates that
        trim or search contents treat it like a word. An empty content stays empty.
        """
        contents: list[str] = [m["content"] for m in messages if m["content"]]
        sentinels = {f"K{secrets.token_hex(12)}K": content for content in contents}
        names = iter(sentinels)
        marked = [{**m, "content": next(names) if m["content"] else ""} for m in messages]
        text = self.render(marked, **variables)
        pieces = re.split("(" + "|".join(sentinels) + ")", text) if sentinels else [text]
        return [(sentinels.get(piece, piece), piece in sentinels) for piece in pieces if piece]


def _controls(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[int]:
    return [token for token in tokens if tokenizer.is_control(token)]


def _template_controls(tokenizer: Tokenizer, parts: Sequence[tuple[str, bool]]) -> list[int]:
    """The control tokens that the template itself wrote."""
    own = [
        tokenizer.tokenize(text, parse_special=True) for text, is_content in parts if not is_content
    ]
    return [token for tokens in own for token in _controls(tokenizer, tokens)]


def _is_faithful(parts: Sequence[tuple[str, bool]], messages: Sequence[Message]) -> bool:
    """Whether the template put every content into the prompt once and in order."""
    contents = [message["content"] for message in messages if message["content"]]
    return [text for text, is_content in parts if is_content] == contents


def _tokenize_apart(tokenizer: Tokenizer, parts: Sequence[tuple[str, bool]]) -> list[int]:
    tokens: list[int] = []
    for text, is_content in parts:
        tokens += tokenizer.tokenize(text, parse_special=not is_content)
    return tokens


def _defuse(content: str) -> str:
    """The content with a space after every "<" and "[", with which control tokens begin."""
    return re.sub(r"([<\[])(?=\S)", r"\1 ", content)


def _harmless(tokenizer: Tokenizer, value: Any) -> Any:
    """The value, its strings and names without control tokens. Raises: UsageError if one resists.

    A name that forges a turn is broken by a space: nobody has a tool of that name.
    """
    if isinstance(value, Mapping):
        return {_harmless(tokenizer, k): _harmless(tokenizer, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(tokenizer, item) for item in value]
    if not isinstance(value, str):
        return value
    for text in (value, _defuse(value)):
        if not _controls(tokenizer, tokenizer.tokenize(text, parse_special=True)):
            return text
    raise UsageError("a tool holds control tokens of this model; remove them")


def _num_chars(value: Any) -> int:
    """Characters in a message or in the template's variables, markup of JSON included."""
    return len(json.dumps(value, ensure_ascii=False, default=str))


def with_bos(tokenizer: Tokenizer, tokens: list[int]) -> list[int]:
    """Exactly one token for the beginning, whether or not the template wrote one."""
    if tokenizer.bos is None:
        return tokens
    start = next((i for i, token in enumerate(tokens) if token != tokenizer.bos), len(tokens))
    return [tokenizer.bos, *tokens[start:]]


def _merge_system(messages: Sequence[Message]) -> list[Message]:
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _refuse(message: object) -> NoReturn:
    raise TemplateRefused(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.datetime.now().astimezone().strftime(layout)


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    return do_indent(text, min(int(width), 64), first, blank)


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(indent, 8))
