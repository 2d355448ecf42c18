"""Tools of a chat: what a request says of them, and the calls found in what the model wrote.

Knows OpenAI's tool objects and the ways models write a call; knows no template. Keeps one
invariant: only valid JSON that names one of the request's tools becomes a call; all else is text.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.engine.detokenize import held_back
from kit.engine.grammar.constraint import Constraint, check_schema, split_types
from kit.engine.http.fields import Fields, refuse

MAX_TOOLS = 128
MAX_CALLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
OPEN, CLOSE = "<tool_call>", "</tool_call>"  # Hermes, Qwen, SmolLM3
_BARE = ("{", "[{", "[TOOL_CALLS]")  # Llama 3 and Mistral: such an answer may be calls as a whole
_ARGUMENTS = ("arguments", "parameters")


@dataclass(frozen=True)
class ToolCall:
    """A call the model made; `arguments` is JSON text, `index` counts the answer's calls."""

    index: int
    id: str
    name: str
    arguments: str

    def as_dict(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


def read_tools(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    """The tools the model may call; empty with tool_choice "none". Raises: RequestRefused."""
    choice = fields.values.get("tool_choice")
    value = fields.values.get("tools")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        refuse("tools", f"a list of up to {MAX_TOOLS} tools", value)
    tools = tuple(_tool(fields, f"tools[{n}]", tool) for n, tool in enumerate(value))
    return () if choice == "none" else tools


def read_forced_call(fields: Fields, tools: Sequence[Mapping[str, Any]]) -> Constraint | None:
    """What bounds the answer to a call, for tool_choice "required" or one that names a function.

    The answer is the call's bare JSON, which is read as a call whatever the template writes.
    Raises: RequestRefused.
    """
    choice = fields.values.get("tool_choice")
    if choice in (None, "none", "auto"):
        return None
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        tools = [tool for tool in tools if tool["function"]["name"] == name]
        expected = "the name of one of the tools"
    else:
        tools = list(tools) if choice == "required" else []
        expected = '"none", "auto", "required" with tools, or a function'
    if not tools:
        refuse("tool_choice", expected, choice)
    schema = _call_schema([tool["function"] for tool in tools])
    check_schema(schema, param="tools", is_strict=False)
    return Constraint(json.dumps(split_types(schema)), is_schema=True, param="tools")


def _call_schema(functions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON schema of a call of one of the functions; each keeps its own definitions."""
    defs = {f"tool{n}": function["parameters"] for n, function in enumerate(functions)}
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": {"$ref": f"#/$defs/tool{n}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for n, function in enumerate(functions)
    ]
    moved = {name: _moved(schema, f"#/$defs/{name}") for name, schema in defs.items()}
    return {"$defs": moved, "anyOf": calls}


def _moved(value: Any, root: str) -> Any:
    """The schema with its own references pointing below `root`."""
    if isinstance(value, list):
        return [_moved(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: root + inner[1:]
        if name == "$ref" and isinstance(inner, str) and inner.startswith("#")
        else _moved(inner, root)
        for name, inner in value.items()
    }


def _tool(fields: Fields, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or value.get("type") != "function":
        refuse(name, 'an object of type "function"', value)
    function = value.get("function")
    if not isinstance(function, dict):
        refuse(f"{name}.function", "an object with name, description and parameters", function)
    _named(f"{name}.function.name", function.get("name"))
    description = fields.text(f"{name}.function.description", function.get("description") or "")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        refuse(f"{name}.function.parameters", "a JSON schema", parameters)
    fields.json(f"{name}.function.parameters", parameters)
    known = {"name": function["name"], "description": description, "parameters": parameters}
    return {"type": "function", "function": known}


def _named(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        refuse(name, "1 to 64 letters, digits, _ or -", value)
    return value


def read_calls(fields: Fields, name: str, value: Any) -> list[dict[str, Any]]:
    """The calls in an assistant's message, arguments as an object, as templates want them."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CALLS:
        refuse(name, f"a list of 1 to {MAX_CALLS} calls", value)
    return [_call(fields, f"{name}[{n}]", call) for n, call in enumerate(value)]


def _call(fields: Fields, name: str, value: Any) -> dict[str, Any]:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        refuse(name, 'an object of type "function"', value)
    called = _named(f"{name}.function.name", function.get("name"))
    arguments = _object(function.get("arguments") or "{}")
    if arguments is None:
        refuse(f"{name}.function.arguments", "a JSON object as text", function["arguments"])
    fields.json(f"{name}.function.arguments", arguments)
    identity = fields.text(f"{name}.id", value.get("id") or "")
    known = {"name": called, "arguments": arguments}
    return {"id": identity, "type": "function", "function": known}


def _object(value: Any) -> dict[str, Any] | None:
    """A JSON object, given as one or as its text; None if it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class ToolCallSplitter:
    """Feeds on streamed text, returns what of it is answer and what are calls.

    A call is `<tool_call>{…}</tool_call>`, less the space around it, or an answer that is nothing
    but calls in JSON. The latter is told apart only when the answer is over.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._pending = self._gap = ""  # the gap is space that may belong to a call
        self._is_inside = self._is_begun = self._is_bare = self._skip_space = False
        self.num_calls = 0

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        self._pending += text
        answer: list[str] = []
        calls: list[ToolCall] = []
        if not self._begin():
            return "", []
        while (at := self._pending.find(CLOSE if self._is_inside else OPEN)) >= 0:
            part, rest = self._pending[:at], self._pending[at:]
            if self._is_inside:
                found = self._calls(part)
                calls += found
                answer += [] if found else [self._gap + OPEN + part + CLOSE]
                self._pending, self._skip_space = rest[len(CLOSE) :], bool(found)
            else:
                answer.append(self._text(part))
                self._gap, self._pending = self._pending, rest[len(OPEN) :]
            self._is_inside = not self._is_inside
        if not self._is_inside:
            keep = len(self._pending) - held_back(self._pending, (OPEN,))
            rest = self._pending[keep:]
            answer.append(self._text(self._pending[:keep]))
            self._pending += rest
        return "".join(answer), calls

    def _text(self, part: str) -> str:
        """What of a part outside calls may be shown; the space at its end becomes pending."""
        part = part.lstrip() if self._skip_space else part
        self._skip_space = self._skip_space and not part
        shown = part.rstrip()
        self._pending = part[len(shown) :]
        return shown

    def _begin(self) -> bool:
        """Whether it is clear that the answer is none of the bare forms."""
        start = self._pending.lstrip()
        if not self._is_begun:
            self._is_bare = start.startswith(_BARE)
            self._is_begun = self._is_bare or not any(mark.startswith(start) for mark in _BARE)
        return self._is_begun and not self._is_bare

    def flush(self) -> tuple[str, list[ToolCall]]:
        """What was held back, once the stream is over. Some models end without closing a call."""
        rest, self._pending = self._pending, ""
        is_candidate = self._is_inside or self._is_bare
        calls = self._calls(rest.strip().removeprefix("[TOOL_CALLS]")) if is_candidate else []
        text = self._gap + OPEN + rest if self._is_inside else rest
        self._is_inside = False
        return ("", calls) if calls else (text, [])

    def _calls(self, text: str) -> list[ToolCall]:
        """The calls that a JSON text stands for; none unless all of it is calls."""
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return []
        calls = [self._call(item) for item in (value if isinstance(value, list) else [value])]
        if not calls or None in calls:
            return []
        found = [call for call in calls if call is not None]
        return [self._numbered(name, arguments) for name, arguments in found]

    def _call(self, item: Any) -> tuple[str, str] | None:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in self._names:
            return None
        given: Any = next((item[key] for key in _ARGUMENTS if key in item), {})
        arguments = _object(given)
        return None if arguments is None else (name, json.dumps(arguments))

    def _numbered(self, name: str, arguments: str) -> ToolCall:
        self.num_calls += 1
        return ToolCall(self.num_calls - 1, f"call_{uuid.uuid4().hex[:24]}", name, arguments)


def names_of(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(tool["function"]["name"] for tool in tools)
