"""What bounds and explains an answer, with the real starter model and the official client."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.engine_process import EngineProcess, ask
from tests.hangs import no_hang

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("sampling")
    running = EngineProcess(chat_model, folder, "--parallel", "2", "--ctx", "1024")
    try:
        yield running.wait_until_ready()
    finally:
        assert running.stop() == 0


def tokens_of(engine: EngineProcess, text: str) -> list[int]:
    found: list[int] = engine.http.post("/tokenize", json={"content": text}).json()["tokens"]
    return found


def complete(client: openai.OpenAI, prompt: str, **options: Any) -> Any:
    options = {"max_tokens": 8, "temperature": 0, **options}
    return client.completions.create(model="any", prompt=prompt, **options)


# -- logit_bias and penalties ------------------------------------------------------------------


def test_a_bias_bans_and_forces_a_token(engine: EngineProcess, client: openai.OpenAI) -> None:
    """-100 keeps the likeliest token out, also of a random draw; +100 makes any token certain."""
    prompt = "The capital of France is"
    (paris,) = tokens_of(engine, " Paris")
    assert complete(client, prompt, max_tokens=1).choices[0].text == " Paris"
    for options in ({"temperature": 0}, {"temperature": 1.0, "seed": 1}):
        banned = complete(client, prompt, logit_bias={str(paris): -100}, max_tokens=16, **options)
        assert " Paris" not in banned.choices[0].text
    (zebra, *_) = tokens_of(engine, " zebra")
    forced = complete(client, prompt, logit_bias={str(zebra): 100}, max_tokens=3)
    (piece,) = {forced.choices[0].text[at : at + 2] for at in (0,)}
    assert forced.choices[0].text == forced.choices[0].text[: len(forced.choices[0].text) // 3] * 3
    assert piece == " z"
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, prompt, logit_bias={"49152": 1})
    assert (refused.value.param, "below 49152" in refused.value.message) == ("logit_bias", True)


def test_penalties_look_back_as_far_as_asked(client: openai.OpenAI) -> None:
    """repeat_last_n = 0 switches the penalties off; otherwise a repetition is broken."""
    prompt, extra = "ha ha ha ha ha ha ha ha", {"repeat_penalty": 3.0}
    greedy = complete(client, prompt, max_tokens=16).choices[0].text
    off = complete(client, prompt, max_tokens=16, extra_body={**extra, "repeat_last_n": 0})
    on = complete(client, prompt, max_tokens=16, extra_body={**extra, "repeat_last_n": 64})
    assert off.choices[0].text == greedy != on.choices[0].text


def test_a_stop_string_across_tokens_is_found(engine: EngineProcess, client: openai.OpenAI) -> None:
    """A stop string that begins inside one token and ends inside another cuts the text there."""
    full = complete(client, "One, two, three,", max_tokens=12, logprobs=0).choices[0]
    first, second = full.logprobs.tokens[3:5]
    mark = (first + second)[1:-1] if len(first + second) > 3 else first + second
    stopped = complete(client, "One, two, three,", max_tokens=12, stop=mark).choices[0]
    assert (stopped.text, stopped.finish_reason) == (full.text[: full.text.index(mark)], "stop")


# -- logprobs ----------------------------------------------------------------------------------


def test_logprobs_are_probabilities_in_order(client: openai.OpenAI) -> None:
    """Greedy takes the first of the list; the list is sorted and sums to at most 1."""
    answer = ask(client, "Name a colour.", logprobs=True, top_logprobs=20, max_tokens=8)
    choice = answer.choices[0]
    content = choice.logprobs.content
    assert "".join(token.token for token in content) == choice.message.content
    for token in content:
        found = [top.logprob for top in token.top_logprobs]
        assert len(found) == 20
        assert found == sorted(found, reverse=True)
        assert 0 < sum(math.exp(value) for value in found) <= 1 + 1e-6
        assert (token.token, token.logprob) == (token.top_logprobs[0].token, found[0])
        assert bytes(token.bytes).decode() == token.token
    assert ask(client, "Name a colour.", max_tokens=1).choices[0].logprobs is None


def test_streamed_logprobs_are_the_same(client: openai.OpenAI) -> None:
    """Chunk after chunk, with characters of several tokens and a stop string, nothing is lost."""
    options = {"logprobs": True, "top_logprobs": 2, "max_tokens": 24, "stop": ["qqq"]}
    grammar = {"grammar": 'root ::= "né 🙂 " [a-z ]{4,8} "é"'}
    whole = ask(client, "Say something.", extra_body=grammar, **options).choices[0]
    chunks = ask(client, "Say something.", extra_body=grammar, stream=True, **options)
    choices = [chunk.choices[0] for chunk in chunks]
    tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert tokens == whole.logprobs.content
    assert "".join(choice.delta.content or "" for choice in choices) == whole.message.content
    assert b"".join(bytes(t.bytes) for t in tokens).decode() == whole.message.content


def test_completions_have_their_own_shape(client: openai.OpenAI) -> None:
    """Parallel lists, with the place of each token in the text."""
    choice = complete(client, "The capital of France is", max_tokens=6, logprobs=3).choices[0]
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    for at, token, top in zip(found.text_offset, found.tokens, found.top_logprobs, strict=True):
        assert choice.text[at:].startswith(token)
        assert len(top) >= 3
        assert token in top
    streamed = complete(client, "The capital of France is", max_tokens=6, logprobs=3, stream=True)
    offsets = [at for c in streamed if (lp := c.choices[0].logprobs) for at in lp.text_offset]
    assert offsets == found.text_offset


# -- grammars and schemas ----------------------------------------------------------------------


def test_a_grammar_bounds_the_answer(client: openai.OpenAI) -> None:
    """Greedy and drawn answers are texts of the grammar, and greedy takes the likelier one."""
    extra = {"grammar": 'root ::= "yes" | "no" | [0-9]{3} "é"'}
    for options in ({"temperature": 0}, *({"temperature": 1.5, "seed": n} for n in range(4))):
        answer = ask(client, "Is water wet?", extra_body=extra, **options).choices[0]
        assert re.fullmatch(r"yes|no|\d{3}é", answer.message.content)
        assert answer.finish_reason == "stop"
    free = ask(client, "Hi.", max_tokens=12).choices[0].message.content
    anything = ask(client, "Hi.", max_tokens=12, extra_body={"grammar": "root ::= .*"})
    assert anything.choices[0].message.content == free, "greedy is still greedy"


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        'quo"ted\\key': {"enum": ['a"b', "c\\d", "e\nf", "é", None, 3]},
        "age": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 3},
        "inner": {"$ref": "#/$defs/inner"},
    },
    "required": ["name", 'quo"ted\\key', "age", "tags", "inner"],
    "additionalProperties": False,
    "$defs": {"inner": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
}


def check_person(person: Any) -> None:
    """What a validator of JSON schemas would check of PERSON."""
    assert list(person) == PERSON["required"]
    assert isinstance(person["name"], str)
    assert len(person["name"]) <= 12
    assert person['quo"ted\\key'] in ['a"b', "c\\d", "e\nf", "é", None, 3]
    assert person["age"] is None or isinstance(person["age"], int)
    assert 1 <= len(person["tags"]) <= 3
    assert set(person["tags"]) <= {"x", "y"}
    assert person["inner"] in ({}, {"ok": True}, {"ok": False})


def test_answers_to_a_schema_always_validate(client: openai.OpenAI) -> None:
    """Even the smallest model at a high temperature writes JSON that the schema accepts."""
    named = {"name": "person", "schema": PERSON, "strict": True}
    form = {"type": "json_schema", "json_schema": named}
    for seed in range(4):
        options = {"temperature": 1.8, "seed": seed, "max_tokens": 200, "response_format": form}
        answer = ask(client, "Describe a person.", **options).choices[0]
        assert answer.finish_reason == "stop", answer.message.content
        check_person(json.loads(answer.message.content))
    answer = ask(client, "Describe a person.", max_tokens=200, response_format=form).choices[0]
    check_person(json.loads(answer.message.content))


def test_any_object_is_json(client: openai.OpenAI) -> None:
    """json_object gives an object, unless the limit cut it, which is said."""
    form = {"type": "json_object"}
    ended = 0
    for seed in range(4):
        options = {"temperature": 1.0, "seed": seed, "max_tokens": 120, "response_format": form}
        answer = ask(client, "Give me a fruit as JSON.", **options).choices[0]
        if answer.finish_reason == "stop":
            assert isinstance(json.loads(answer.message.content), dict)
            ended += 1
        else:
            assert answer.finish_reason == "length"
    assert ended


ODD_GRAMMARS = {
    "unbalanced": 'root ::= "a" (',
    "a literal without end": 'root ::= "a',
    "a class without end": "root ::= [a-",
    "nothing in it": "   \n # only a comment",
    "no root": 'rot ::= "a"',
    "an unknown rule": 'root ::= "a" b',
    "an unknown escape": 'root ::= "\\q"',
    "nothing to repeat": "root ::= *",
    "huge repetition": 'root ::= "a"{999999}',
    "a number too large": 'root ::= "a"{99999999999999999999999}',
    "left recursion": 'root ::= root "a" | "b"',
    "left recursion behind empty rules": 'root ::= a root "x" | "y"\na ::= b\nb ::= ""',
    "left recursion through others": 'root ::= a\na ::= b "x" | "y"\nb ::= a "z" | "w"',
    "a loop of nothing": 'root ::= a*\na ::= ""*',
    "doubling without a character": "\n".join(
        ["root ::= r0", *(f"r{n} ::= r{n + 1} | r{n + 1}" for n in range(60)), 'r60 ::= "a"']
    ),
    "doubling with every character": 'root ::= " " root "x" | " " root "y" | ""',
    "deep nesting": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
    "an impossible character": 'root ::= "\\x00"',
    "an impossible token": "root ::= <[99999999]>",
    "a token without end": "root ::= <foo",
    "not a grammar": "Please answer in JSON.",
}


@pytest.mark.parametrize("name", ODD_GRAMMARS)
def test_an_odd_grammar_is_refused(engine: EngineProcess, client: openai.OpenAI, name: str) -> None:
    """Whatever llama.cpp would loop on, die of or not understand is a 400 that names the field."""
    with no_hang(), pytest.raises(openai.BadRequestError) as refused:
        ask(client, "Hi.", extra_body={"grammar": ODD_GRAMMARS[name]})
    assert (refused.value.param, refused.value.status_code) == ("grammar", 400)
    assert engine.http.get("/health").status_code == 200


def test_a_grammar_without_a_next_token_ends_only_its_answer(client: openai.OpenAI) -> None:
    """A dead end that the trial did not reach is an error in words; the engine goes on."""
    extra = {"grammar": 'root ::= [a-z ]{60,70} "\\x00"'}
    with pytest.raises(openai.APIError, match="no token fits"):
        ask(client, "Hi.", max_tokens=200, extra_body=extra)
    assert ask(client, "Hi.").choices


ODD_SCHEMAS: list[Any] = [
    {"type": "wizard"},
    {"type": "string", "pattern": "no anchors"},
    {"type": "string", "pattern": "^(?=a)$"},
    {"type": "string", "pattern": "^[a$"},
    {"type": "string", "pattern": "^*$"},
    {"$ref": "#/$defs/missing"},
    {"anyOf": []},
    {"enum": []},
    {"properties": [1]},
    {"type": "array", "items": {}, "minItems": 5, "maxItems": 2},
    {"type": ["string", ["null"]]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
]


@pytest.mark.parametrize("schema", ODD_SCHEMAS, ids=lambda value: json.dumps(value)[:40])
def test_an_odd_schema_does_no_harm(engine: EngineProcess, schema: Any) -> None:
    """It is refused by name, or followed; the engine lives."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = {"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 4}
    answer = engine.http.post("/v1/chat/completions", json={**body, "response_format": form})
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert error["param"].startswith("response_format")
    assert engine.http.get("/health").status_code == 200


# -- trimming ----------------------------------------------------------------------------------


def test_trimming_is_asked_for_and_told(client: openai.OpenAI) -> None:
    """Without the field a long conversation is refused; with it, it is answered and told."""
    turns = [
        {"role": role, "content": f"{n} " + "word " * 90}
        for n in range(8)
        for role in ("user", "assistant")
    ]
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        *turns,
        {"role": "user", "content": "Say hello."},
    ]

    def send(**options: Any) -> Any:
        options = {"max_tokens": 8, "temperature": 0, **options}
        return client.chat.completions.create(model="any", messages=messages, **options)

    with pytest.raises(openai.BadRequestError) as refused:
        send()
    assert refused.value.code == "context_length_exceeded"
    extra = {"truncate": "oldest", "cache_namespace": "trimming"}
    answer = send(extra_body=extra)
    dropped = answer.model_dump()["num_dropped_messages"]
    assert 0 < dropped < 16
    assert dropped % 2 == 0
    assert 700 < answer.usage.prompt_tokens < 1024
    first = next(iter(send(extra_body=extra, stream=True)))
    assert first.model_dump()["num_dropped_messages"] == dropped
    short = ask(client, "Hi.", extra_body={"truncate": "oldest"}).model_dump()
    assert short["num_dropped_messages"] == 0
    assert "num_dropped_messages" not in ask(client, "Hi.").model_dump()


def test_an_empty_prompt_is_refused(engine: EngineProcess, client: openai.OpenAI) -> None:
    """Nothing follows from no tokens: that is said at once, and no slot is held."""
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, "", timeout=10)
    assert refused.value.param == "prompt"
    engine.wait_for_metric("requests_running", 0)


# -- clients -----------------------------------------------------------------------------------


def test_tools_need_a_template_that_knows_them(client: openai.OpenAI) -> None:
    """The starter model's template has no tools: that is said, not passed over."""
    tools = [{"type": "function", "function": {"name": "now"}}]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "What time is it?", tools=tools)
    assert (refused.value.param, refused.value.code) == ("tools", "unsupported")
    assert ask(client, "What time is it?", tools=tools, tool_choice="none").choices


def test_a_client_that_times_out_frees_the_slot(engine: EngineProcess) -> None:
    """The official client's timeout ends the work for it."""
    with engine.openai() as client, pytest.raises(openai.APITimeoutError):
        ask(client, "Write a long story.", max_tokens=900, timeout=0.5)
    engine.wait_for_metric("requests_running", 0, timeout_s=5)
