"""Tools: requests read, calls found in what a model wrote, however it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.chat.tools import ToolCallSplitter
from kit.engine.http.fields import RequestRefused
from kit.engine.http.protocol import GenerateRequest, read_chat

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = '{"name": "weather", "arguments": {"city": "Joburg"}}'
HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> GenerateRequest:
    return read_chat(json.dumps({"messages": HELLO, **fields}).encode())


def split(pieces: list[str]) -> tuple[str, list[tuple[str, Any]]]:
    """The whole answer and its calls, with their arguments read."""
    splitter = ToolCallSplitter({"weather"})
    parts = [splitter.feed(piece) for piece in pieces]
    parts.append(splitter.flush())
    calls = [call for _, found in parts for call in found]
    assert [call.index for call in calls] == list(range(len(calls)))
    return "".join(text for text, _ in parts), [(c.name, json.loads(c.arguments)) for c in calls]


FOUND = ("weather", {"city": "Joburg"})
ANSWERS = [
    (f"<tool_call>\n{CALL}\n</tool_call>", "", [FOUND]),
    (f"Let me see.\n<tool_call>{CALL}</tool_call>\n", "Let me see.", [FOUND]),
    (f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", "", [FOUND, FOUND]),
    (f"<tool_call>{CALL}</tool_call>\n\nDone.", "Done.", [FOUND]),
    (f"<tool_call>{CALL}", "", [FOUND]),
    (CALL, "", [FOUND]),
    (CALL.replace("arguments", "parameters"), "", [FOUND]),
    (f"[TOOL_CALLS] [{CALL}]", "", [FOUND]),
    (f"[{CALL}, {CALL}]", "", [FOUND, FOUND]),
    ('{"name": "weather", "arguments": "{\\"city\\": \\"Joburg\\"}"}', "", [FOUND]),
    ('{"name": "weather"}', "", [("weather", {})]),
]
TEXTS = [
    "Plain words, a < b, and <tool_",
    '{"name": "other", "arguments": {}}',
    '{"name": ["weather"], "arguments": {}}',
    '{"name": "weather", "arguments": [1]}',
    '{"name": "weather", "arguments": {"n": NaN}}',
    '{"answer": 42}',
    " a <tool_call> not JSON </tool_call> b \n",
    "<tool_call>",
    "[1, 2]",
    "[]",
    "",
]


@pytest.mark.parametrize(("answer", "text", "calls"), ANSWERS)
@pytest.mark.parametrize("width", [1, 3, 1000])
def test_calls_are_found(answer: str, text: str, calls: list[Any], width: int) -> None:
    """Calls in the usual formats come out with their arguments, whatever the stream's pieces."""
    pieces = [answer[at : at + width] for at in range(0, len(answer), width)]
    assert split(pieces) == (text, calls)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [1, 3, 1000])
def test_what_is_no_valid_call_stays_text(text: str, width: int) -> None:
    """Broken JSON, unknown names and other JSON are answered as they were written."""
    assert split([text[at : at + width] for at in range(0, len(text), width)]) == (text, [])


marks = st.sampled_from(["<tool_call>", "</tool_call>", CALL, "{", "[", " ", "\n", "a", "<tool"])


@given(parts=st.lists(marks, max_size=8), cuts=st.randoms(use_true_random=False))
def test_the_pieces_of_a_stream_do_not_matter(parts: list[str], cuts: Any) -> None:
    """Any cutting of an answer gives the same text and the same calls."""
    text = "".join(parts)
    places = sorted(cuts.sample(range(len(text) + 1), min(len(text), 5)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert split(pieces) == split([text])


def test_tools_and_calls_are_read() -> None:
    """Tools get a default schema; a call's arguments become an object; null content is empty."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
    request = chat(
        tools=[{"type": "function", "function": {"name": "now"}}],
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
    )
    parameters = {"type": "object", "properties": {}}
    function = {"name": "now", "description": "", "parameters": parameters}
    assert request.tools == ({"type": "function", "function": function},)
    assert request.messages[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert (request.messages[1]["content"], request.messages[2]["tool_call_id"]) == ("", "c1")
    assert chat(tools=[WEATHER], tool_choice="none").tools == ()


def test_a_forced_call_is_a_constraint() -> None:
    """ "required" bounds the answer to a call of any tool, a name to one of that tool; references
    stay within the tool that made them."""
    size = {"$ref": "#/$defs/size"}
    parameters = {"$defs": {"size": {"type": "integer"}}, "properties": {"size": size}}
    other = {"type": "function", "function": {"name": "order", "parameters": parameters}}

    def forced(choice: Any) -> dict[str, Any]:
        constraint = chat(tools=[WEATHER, other], tool_choice=choice).constraint
        assert constraint is not None
        assert constraint.is_schema
        schema: dict[str, Any] = json.loads(constraint.source)
        return schema

    names = [call["properties"]["name"]["const"] for call in forced("required")["anyOf"]]
    assert names == [WEATHER["function"]["name"], "order"]
    named = forced({"type": "function", "function": {"name": "order"}})
    assert [call["properties"]["name"]["const"] for call in named["anyOf"]] == ["order"]
    assert named["$defs"]["tool0"]["properties"]["size"] == {"$ref": "#/$defs/tool0/$defs/size"}
    assert chat(tools=[WEATHER], tool_choice="auto").constraint is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({"tools": {}}, "tools"),
    ({"tools": [{}]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
        "tools[0].function.parameters",
    ),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": ["required"]}, "tool_choice"),
    (
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        "tool_choice",
    ),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": "x"}}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": "required", "grammar": 'root ::= "a"'}, "tool_choice"),
    ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a"}}, 1]}]},
        "messages[0].tool_calls[1]",
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "a", "arguments": "[" * 5000}}],
                }
            ]
        },
        "messages[0].tool_calls[0].function.arguments",
    ),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=lambda value: str(value)[:40])
def test_odd_tools_are_named(fields: dict[str, Any], param: str) -> None:
    """What is no tool, call or choice is a 400 that names the field."""
    with pytest.raises(RequestRefused) as refused:
        chat(**fields)
    assert refused.value.body["error"]["param"] == param
