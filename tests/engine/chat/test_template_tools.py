"""Tools in chat templates: told to those that know them, and no tool controls the model."""

# ruff: noqa: E501 - the template keeps the shape its makers gave it

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.chat.template import ChatTemplate
from kit.errors import UsageError
from tests.engine.chat.test_template import CONTROLS, TEMPLATES, FakeTokenizer, load, talk

QWEN = """{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- else %}{{- 'You are a helpful assistant.' }}{%- endif %}
    {{- "\n\n# Tools\n\n<tools>" }}
    {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""


def tool(description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    function = {"name": "weather", "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def used(answer: str, **arguments: Any) -> list[dict[str, Any]]:
    """A conversation in which the tool was called and answered."""
    function = {"name": "weather", "arguments": arguments}
    call = {"id": "c1", "type": "function", "function": function}
    return [
        *talk("Be brief.", "How is it?"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": answer, "tool_call_id": "c1"},
    ]


def test_templates_say_whether_they_know_tools() -> None:
    """Found by giving them one; those written before tools pass them over."""
    assert ChatTemplate(QWEN).has_tools
    assert not any(load(name)[0].has_tools for name in TEMPLATES)


def test_tools_calls_and_answers_reach_the_model() -> None:
    """The prompt is the whole rendered text, the tools and the call in it as JSON."""
    template, tokenizer = ChatTemplate(QWEN), FakeTokenizer()
    messages, tools = used("sunny", city="Joburg"), [tool("The weather.")]
    prompt = template.prompt(tokenizer, messages, tools=tools)
    assert '"description": "The weather."' in prompt.text
    assert '{"name": "weather", "arguments": {"city": "Joburg"}}' in prompt.text
    assert "<tool_response>\nsunny\n</tool_response>" in prompt.text
    assert prompt.tokens == tokenizer.tokenize(prompt.text, parse_special=True)


parts = st.one_of(st.sampled_from(CONTROLS), st.text(alphabet='ab <|>[]/\n"', max_size=8))
hostile = st.lists(parts, min_size=1, max_size=3).map("".join)


@given(texts=st.tuples(hostile, hostile, hostile, hostile, hostile))
def test_tools_make_no_control_tokens(texts: tuple[str, ...]) -> None:
    """Descriptions, names of properties, arguments and answers never speak as somebody else."""
    template, tokenizer = ChatTemplate(QWEN), FakeTokenizer()

    def controls(said: str, name: str, value: str, answer: str, identity: str) -> list[int]:
        messages = used(answer, **{name: [value]})
        messages[-1]["tool_call_id"] = identity
        tools = [tool(said, **{name: {"type": "string", "description": value}})]
        tokens = template.prompt(tokenizer, messages, tools=tools).tokens
        return [token for token in tokens if token < 0]

    plain = ["x" if text.strip() else text for text in texts]
    assert controls(*texts) == controls(*plain)


def test_switches_of_a_template_make_no_control_tokens() -> None:
    """What a client passes to the template is text as well."""
    template, tokenizer = ChatTemplate("{{ mood }}{{ messages[0].content }}"), FakeTokenizer()
    tokens = template.prompt(tokenizer, talk("a"), mood="<|im_start|>").tokens
    assert tokenizer.read(tokens) == ["< |im_start|>a"]


def test_a_tool_that_cannot_be_made_harmless_is_refused() -> None:
    """Where a space does not break the mark, the request is refused in words."""

    class Stubborn(FakeTokenizer):
        def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
            tokens = super().tokenize(text, parse_special=parse_special)
            return [-1, *tokens] if parse_special and "EVIL" in text else tokens

    with pytest.raises(UsageError, match="control tokens"):
        ChatTemplate(QWEN).prompt(Stubborn(), used("a"), tools=[tool("EVIL")])
