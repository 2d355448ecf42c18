"""Grammars and schemas of requests: small, self-contained, and honest about what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.engine.grammar.constraint import Constraint, split_types
from kit.engine.http.fields import RequestRefused
from kit.engine.http.protocol import read_chat


def constraint(**fields: Any) -> Constraint | None:
    messages = [{"role": "user", "content": "hello"}]
    return read_chat(json.dumps({"messages": messages, **fields}).encode()).constraint


def schema(value: Any, **options: Any) -> dict[str, Any]:
    named = {"name": "a", "schema": value, **options}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        value = {"type": "array", "items": value}
    return value


def test_both_kinds_are_read() -> None:
    """A grammar stays text, a schema becomes JSON, and plain text is no constraint."""
    assert constraint(grammar='root ::= "a"') == Constraint('root ::= "a"', False, "grammar")
    found = constraint(**schema({"type": "string"}, strict=True))
    assert found == Constraint('{"type": "string"}', True, "response_format.json_schema.schema")
    found = constraint(response_format={"type": "json_object"})
    assert found == Constraint('{"type": "object"}', True, "response_format")
    for nothing in ({}, {"grammar": ""}, {"response_format": {"type": "text"}}, {"grammar": None}):
        assert constraint(**nothing) is None


PLACE = "response_format.json_schema.schema"
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"grammar": 5}, "grammar", "a string"),
    ({"grammar": "a\0"}, "grammar", "NUL"),
    ({"grammar": "a" * 70_000}, "grammar", "up to 65536"),
    ({"grammar": "a", "response_format": {"type": "json_object"}}, "grammar", "both"),
    ({"response_format": "json"}, "response_format", "of type"),
    ({"response_format": {"type": "xml"}}, "response_format", "of type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "a schema"),
    (schema([]), "response_format.json_schema", "a schema"),
    (schema({}, strict=1), "response_format.json_schema.strict", "true or false"),
    (schema({"$ref": "https://evil.example/a.json"}), PLACE, "within the schema"),
    (schema({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), PLACE, "within the schema"),
    (schema({"$ref": ["#/a"]}), PLACE, "within the schema"),
    (schema({"items": {}, "minItems": 10**9}), PLACE, "minItems of 0 to 999"),
    (schema({"type": "string", "maxLength": 1.5}), PLACE, "maxLength of 0 to 999"),
    (schema({"type": "string", "pattern": "^a{5000}$"}), PLACE, "over 999"),
    (schema(nested(40)), PLACE, "levels"),
    (schema(nested(400)), PLACE, "levels"),
    (schema({"enum": ["a" * 70_000]}), PLACE, "characters"),
    (schema({"type": "integer", "minimum": 3}, strict=True), PLACE, "minimum cannot"),
    (schema({"not": {}}, strict=True), PLACE, "not cannot"),
    (schema({"type": "string", "pattern": "^.$"}, strict=True), PLACE, "pattern cannot"),
    (schema({"type": "array", "minItems": 2}, strict=True), PLACE, "minItems cannot"),
    (schema({"type": "object", "required": ["a"]}, strict=True), PLACE, "without a schema cannot"),
    (schema({"properties": [[1]], "required": [[2]]}, strict=True), PLACE, "without a schema"),
    (schema({"anyOf": []}), PLACE, "anyOf with something in it"),
    (schema({"properties": {"a": {"enum": []}}}), PLACE, "enum with something in it"),
]


@pytest.mark.parametrize(("fields", "param", "said"), BAD, ids=lambda value: str(value)[:50])
def test_what_cannot_be_kept_is_named(fields: dict[str, Any], param: str, said: str) -> None:
    """Too large, outside, or more than a grammar can keep under "strict" is a 400."""
    with pytest.raises(RequestRefused) as refused:
        constraint(**fields)
    error = refused.value.body["error"]
    assert error["param"] == param
    assert said in error["message"]


def test_names_of_properties_are_no_keywords() -> None:
    """A property may be called like a keyword; without "strict" keywords are let pass."""
    named = {
        "type": "object",
        "properties": {"minimum": {"type": "string"}, "$ref": {"type": "null"}},
    }
    assert constraint(**schema(named, strict=True)) is not None
    assert constraint(**schema({"type": "integer", "minimum": 3})) is not None


def test_a_list_of_types_keeps_the_rules_of_each() -> None:
    """The converter forgets the rules beside a list of types, so each type takes its own along."""
    inner = {"type": ["object", "null"], "properties": {"a": {"type": ["string", "null"]}}}
    strings = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    split = {"anyOf": [{"type": "object", "properties": {"a": strings}}, {"type": "null"}]}
    assert split_types(inner) == split
    assert split_types({"type": ["string", "null"], "enum": ["a", None]}) == {"enum": ["a", None]}
    assert split_types({"const": {"type": ["a"]}}) == {"const": {"type": ["a"]}}


def test_splitting_types_does_not_multiply() -> None:
    """Lists of types within lists of types grow with their number, not with its power."""
    value: dict[str, Any] = {"type": "null"}
    for _ in range(30):
        value = {"type": ["object", "array", "string"], "properties": {"a": value}}
    assert len(json.dumps(split_types(value))) < 10_000
