"""What bounds an answer: a grammar in GBNF, or a JSON schema that will be turned into one.

Knows requests and JSON schemas, no native code. Keeps two invariants: a constraint is small, refers
to nothing outside itself, and with "strict" holds only keywords that a grammar can keep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kit.engine.http.fields import Fields, RequestRefused, refuse

MAX_GRAMMAR_CHARS = 64 * 1024
MAX_SCHEMA_CHARS = 64 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_COUNT = 999  # of items or characters
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas", "patternProperties")
_PLAIN = ("const", "enum", "default", "examples", "required")  # their values are no schemas
_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
# What no grammar keeps, or the converter drops; without "strict" it is let pass, as OpenAI does.
_NOT_KEPT = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"}
    | {"not", "if", "then", "else", "oneOf", "allOf", "contains", "minContains", "maxContains"}
    | {
        "pattern",
        "minProperties",
        "maxProperties",
        "propertyNames",
        "patternProperties",
        "dependentRequired",
    }
    | {"dependentSchemas", "unevaluatedItems", "unevaluatedProperties", "contentEncoding"}
)


@dataclass(frozen=True)
class Constraint:
    """`source` is GBNF, or a JSON schema as text; `param` names the field it came from."""

    source: str
    is_schema: bool
    param: str


def read_constraint(fields: Fields) -> Constraint | None:
    """The `grammar` or `response_format` of a request. Raises: RequestRefused naming the field."""
    grammar = fields.values.get("grammar")
    schema = _schema_of(fields, fields.values.get("response_format"))
    if grammar is None or grammar == "":
        return schema
    if schema is not None:
        raise RequestRefused("grammar or response_format expected, both observed", param="grammar")
    text = fields.text("grammar", grammar)
    if len(text) > MAX_GRAMMAR_CHARS or "\0" in text:
        refuse("grammar", f"up to {MAX_GRAMMAR_CHARS} characters, none of them NUL", text)
    return Constraint(text, is_schema=False, param="grammar")


def _schema_of(fields: Fields, value: Any) -> Constraint | None:
    name = "response_format"
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return Constraint('{"type": "object"}', is_schema=True, param=name)
    if kind != "json_schema":
        refuse(name, 'an object of type "text", "json_object" or "json_schema"', value)
    named = value.get("json_schema")
    if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
        refuse(f"{name}.json_schema", "an object with a schema", named)
    if not isinstance(named.get("strict"), (bool, type(None))):
        refuse(f"{name}.json_schema.strict", "true or false", named["strict"])
    param = f"{name}.json_schema.schema"
    fields.json(param, named["schema"])
    check_schema(named["schema"], param=param, is_strict=bool(named.get("strict")))
    return Constraint(json.dumps(split_types(named["schema"])), is_schema=True, param=param)


def check_schema(schema: Mapping[str, Any], *, param: str, is_strict: bool) -> None:
    """Raises: RequestRefused for a schema that is too large, reaches outside or, where `is_strict`,
    asks for what a grammar cannot keep."""
    for part in _subschemas(schema, param):
        reference = part.get("$ref")
        if reference is not None and not str(reference).startswith("#/"):
            refuse(param, "$ref within the schema (#/…)", reference)
        for name in _COUNTS:
            count = part.get(name, 0)
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
                refuse(param, f"{name} of 0 to {MAX_COUNT}", count)
        if re.search(r"\d{4}", str(part.get("pattern", ""))):
            refuse(param, "a pattern without numbers over 999", part["pattern"])
        for name in ("enum", "anyOf", "oneOf"):
            if part.get(name) == []:
                refuse(param, f"{name} with something in it", [])
        if is_strict and (lost := _not_kept(part)):
            raise RequestRefused(
                f"{param}: {lost} cannot be guaranteed; leave it or strict out", param=param
            )
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
        raise RequestRefused(f"{param}: more than {MAX_SCHEMA_CHARS} characters", param=param)


def _not_kept(part: Mapping[str, Any]) -> str:
    """A keyword of the schema that its grammar would not keep; empty if there is none."""
    lost = sorted(_NOT_KEPT & set(part))
    required, named = part.get("required"), part.get("properties")
    known = named if isinstance(named, dict) else {}
    if isinstance(required, list) and not all(str(name) in known for name in required):
        lost.append("a required property without a schema")
    if not isinstance(part.get("items"), dict):
        lost += [name for name in ("minItems", "maxItems") if name in part]
    return lost[0] if lost else ""


def _subschemas(value: Any, param: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every object in a schema that is a schema itself, the whole first."""
    if depth > MAX_SCHEMA_DEPTH:
        raise RequestRefused(f"{param}: more than {MAX_SCHEMA_DEPTH} levels deep", param=param)
    if isinstance(value, list):
        for item in value:
            yield from _subschemas(item, param, depth + 1)
    elif isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name in _NAMED and isinstance(inner, dict):
                yield from _subschemas(list(inner.values()), param, depth)
            elif name not in _PLAIN and isinstance(inner, (dict, list)):
                yield from _subschemas(inner, param, depth + 1)


def split_types(value: Any) -> Any:
    """The schema with every list of types as an `anyOf`, since the converter forgets their rules.

    Each type takes only its own keywords along, so nothing is copied; constants, references and
    alternatives already say the types.
    """
    if isinstance(value, list):
        return [split_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    kinds = value.get("type")
    rest = {n: inner if n in _PLAIN else split_types(inner) for n, inner in value.items()}
    if not isinstance(kinds, list):
        return rest
    del rest["type"]
    if any(name in rest for name in ("enum", "const", "$ref", "anyOf", "oneOf")):
        return rest
    named = list(dict.fromkeys(map(str, kinds)))
    kept = [{n: rest.pop(n) for n in _OF_TYPE.get(kind, ()) if n in rest} for kind in named]
    split = [{"type": kind, **inner} for kind, inner in zip(named, kept, strict=True)]
    return {**rest, "anyOf": split}
