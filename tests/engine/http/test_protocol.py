"""Requests of the OpenAI protocol: good ones become data, bad ones name the field at fault."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.chat.reasoning import Piece
from kit.engine.http.fields import RequestRefused
from kit.engine.http.protocol import (
    GenerateRequest,
    Reply,
    SharedPrefix,
    read_chat,
    read_completion,
    read_tokenize,
    usage,
)
from kit.engine.sequence import Finish

HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> GenerateRequest:
    return read_chat(json.dumps({"messages": HELLO, **fields}).encode())


def test_a_full_request_is_understood() -> None:
    """Every supported field arrives where it belongs."""
    request = chat(
        model="any",
        max_completion_tokens=7,
        temperature=0,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        seed=5,
        stop=["\n", "END"],
        stream=True,
        stream_options={"include_usage": True},
        cache_namespace="public",
        presence_penalty=0.5,
        user="somebody",
        timeout_s=30,
        shared_prefix={"namespace": "readers", "message": 0, "chars": 2, "pin": True},
        n=1,
    )
    assert (request.max_tokens, request.stop, request.stream) == (7, ("\n", "END"), True)
    assert (request.include_usage, request.cache_namespace) == (True, "public")
    assert (request.person, request.timeout_s) == ("somebody", 30.0)
    assert request.shared_prefix == SharedPrefix("readers", 0, 2, is_pinned=True)
    s = request.sampling
    assert (s.temperature, s.top_p, s.top_k, s.min_p, s.seed) == (0.0, 0.9, 40, 0.1, 5)
    assert s.presence_penalty == 0.5


def test_what_explains_and_biases_an_answer_is_read() -> None:
    """Chat and completions ask for probabilities in two ways; biases are pairs of numbers."""
    for fields, expected in (
        ({}, None),
        ({"logprobs": False}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20),
    ):
        assert chat(**fields).sampling.num_logprobs == expected
    for value, expected in ((None, None), (False, None), (0, 0), (5, 5)):
        body = json.dumps({"prompt": "a", "logprobs": value}).encode()
        assert read_completion(body).sampling.num_logprobs == expected
    request = chat(logit_bias={"7": -100, "9": 0.5}, repeat_last_n=5, truncate="oldest")
    assert request.sampling.logit_bias == ((7, -100.0), (9, 0.5))
    assert (request.sampling.repeat_last_n, request.truncate) == (5, True)


def test_nulls_mean_defaults() -> None:
    """What a client sends as null is as if it were not there."""
    assert chat(max_tokens=None, temperature=None, stop=None, seed=None, stream=None) == chat()


def test_content_may_be_text_parts() -> None:
    """A list of text parts is their text, line by line; "developer" is the system's other name."""
    request = chat(
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("a", "b")]},
        ]
    )
    assert request.messages == (
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a\nb"},
    )


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "1 to 4096 messages"),
    ({"messages": None}, "messages", "1 to 4096 messages"),
    ({"messages": "hello"}, "messages", "a list"),
    ({"messages": ["hello"]}, "messages[0]", "an object"),
    ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role", "one of system"),
    ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role", "one of system"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "a string"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "a string"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0]",
        'type "text"',
    ),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", "surrogate"),
    ({"max_tokens": -1}, "max_tokens", "at least 1"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": (1 << 31) + 1}, "max_tokens", "at most 2147483648 expected"),
    ({"max_tokens": 1.5}, "max_tokens", "whole number"),
    ({"max_tokens": True}, "max_tokens", "whole number"),
    ({"max_tokens": "7"}, "max_tokens", "whole number"),
    ({"max_completion_tokens": -5}, "max_completion_tokens", "at least 1"),
    ({"temperature": -0.1}, "temperature", "from 0 to 2"),
    ({"temperature": "hot"}, "temperature", "from 0 to 2"),
    ({"temperature": 10**400}, "temperature", "from 0 to 2"),
    ({"top_p": 0}, "top_p", "to 1"),
    ({"top_k": -1}, "top_k", "at least 0"),
    ({"top_k": (1 << 20) + 1}, "top_k", "at most 1048576 expected"),
    ({"seed": 1.5}, "seed", "whole number"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream_options": "usage"}, "stream_options", "an object"),
    ({"stop": [""]}, "stop", "none of them empty"),
    ({"stop": ["a"] * 17}, "stop", "up to 16"),
    ({"stop": [1]}, "stop", "a string"),
    ({"stop": {}}, "stop", "up to 16"),
    ({"n": 2}, "n", "not supported"),
    ({"logprobs": 3}, "logprobs", "true or false"),
    ({"top_logprobs": 3}, "top_logprobs", "logprobs: true with it"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20"),
    ({"logit_bias": [1]}, "logit_bias", "an object"),
    ({"logit_bias": {"a": 1}}, "logit_bias", "token ids"),
    ({"logit_bias": {"-1": 1}}, "logit_bias", "token ids"),
    ({"logit_bias": {"٣": 1}}, "logit_bias", "token ids"),
    ({"logit_bias": {"1": 101}}, "logit_bias", "from -100 to 100"),
    ({"logit_bias": {"1": True}}, "logit_bias", "from -100 to 100"),
    ({"repeat_last_n": -1}, "repeat_last_n", "at least 0"),
    ({"truncate": True}, "truncate", '"oldest" or "none"'),
    ({"\ud800": 1}, "\\ud800", "unknown field"),
    ({"temprature": 1}, "temprature", "did you mean 'temperature'"),
    ({"cache_namespace": 5}, "cache_namespace", "a string"),
    ({"user": 5}, "user", "a string"),
    ({"timeout_s": 0}, "timeout_s", "from 0.001"),
    ({"shared_prefix": "all"}, "shared_prefix", "an object"),
    ({"shared_prefix": {"name": "x"}}, "shared_prefix", "an object"),
    (
        {"shared_prefix": {"namespace": "x", "message": 1, "chars": 0}},
        *("shared_prefix.message", "from 0 to 0"),
    ),
    (
        {"shared_prefix": {"namespace": "x", "message": 0, "chars": 10**6}},
        *("shared_prefix.chars", "from 0 to"),
    ),
    (
        {"shared_prefix": {"namespace": None, "message": 0, "chars": 0}},
        *("shared_prefix.namespace", "a string"),
    ),
    ({"chat_template_kwargs": {"messages": "x"}}, "chat_template_kwargs", "of the template"),
    ({"chat_template_kwargs": {"a": [1]}}, "chat_template_kwargs", "plain values"),
]


@pytest.mark.parametrize(("fields", "param", "said"), BAD, ids=lambda value: str(value)[:40])
def test_an_odd_field_is_named(fields: dict[str, Any], param: str, said: str) -> None:
    """A wrong type, range or name is a 400 that names the field and what was expected."""
    with pytest.raises(RequestRefused) as refused:
        chat(**fields)
    error = refused.value.body["error"]
    assert (refused.value.status, error["param"]) == (400, param)
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000),
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    """Broken, too deep or not an object; NaN and infinity are no JSON numbers."""
    with pytest.raises(RequestRefused):
        read_chat(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
names = st.sampled_from(
    ["messages", "max_tokens", "stop", "temperature", "stream", "stream_options", "seed", "prompt"]
)


@settings(deadline=None)
@given(body=st.dictionaries(names, json_values) | json_values)
def test_no_body_causes_anything_but_a_refusal(body: Any) -> None:
    """Whatever JSON arrives, the result is a checked request or a RequestRefused."""
    raw = json.dumps(body).encode()
    for read in (read_chat, read_completion, read_tokenize):
        with contextlib.suppress(RequestRefused):
            read(raw)


def test_replies_have_the_official_shapes() -> None:
    """A whole answer, a chunk and the usage chunk carry what OpenAI's clients read."""
    reply = Reply("chatcmpl-1", 1, "m", is_chat=True)
    finish = Finish("stop", prompt_tokens=5, completion_tokens=2, cached_tokens=4)
    whole = reply.whole(Piece("hi", "hm"), finish)
    assert whole["choices"][0]["message"]["reasoning_content"] == "hm"
    assert whole["usage"] == usage(finish)
    assert (usage(finish)["total_tokens"], whole["choices"][0]["finish_reason"]) == (7, "stop")
    chunk = reply.chunk({"content": "h"}, has_usage=True)
    assert chunk["choices"][0]["delta"] == {"content": "h"}
    assert chunk["usage"] is None
    assert reply.usage_chunk(finish)["choices"] == []
    plain = Reply("cmpl-1", 1, "m", is_chat=False)
    assert plain.chunk({"content": "h"})["choices"][0]["text"] == "h"
    assert plain.whole(Piece("h"), finish)["object"] == "text_completion"
