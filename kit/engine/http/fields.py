"""One request body: its JSON read, and typed access to its fields.

Knows JSON and the words of a refusal, no particular request. Keeps one invariant: what it gives out
is of the asked type, in range and valid Unicode; all else is a RequestRefused that names the field.
"""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_PARAM_CHARS = 120
MAX_DEPTH = 64  # of JSON that is passed on to a template or a converter
_shown = reprlib.Repr()  # what a client sent may be megabytes, or a thousand lists deep
_shown.maxlevel, _shown.maxstring, _shown.maxother = 3, 60, 60


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
        if param is not None:  # it may be a name that the client made up, even half a surrogate
            param = param[:MAX_PARAM_CHARS].encode("utf-8", "backslashreplace").decode()
        self.body = error_body(message, kind=kind, param=param, code=code)


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(param: str, expected: str, observed: Any) -> NoReturn:
    shown = _shown.repr(observed)
    raise RequestRefused(f"{param}: {expected} expected, {shown} observed", param=param)


class Fields:
    """One request body: typed access to its fields, each with its own words of refusal."""

    def __init__(
        self, body: bytes, known: set[str], unsupported: Mapping[str, tuple[Any, ...]]
    ) -> None:
        """`unsupported` names fields that are refused unless they say no in one of these ways."""
        try:
            values = json.loads(body, parse_constant=lambda name: refuse("body", "JSON", name))
        except (ValueError, RecursionError) as problem:
            said = f"the body is not valid JSON: {problem}"
            raise RequestRefused(said, code="invalid_json") from None
        if not isinstance(values, dict):
            refuse("body", "a JSON object", values)
        self.values: dict[str, Any] = values
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                said = f"unknown field {_shown.repr(name)}{hint}"
                raise RequestRefused(said, param=name, code="unknown_field")
        for name, harmless in unsupported.items():
            if name in values and values[name] not in harmless:
                raise RequestRefused(
                    f"{name} is not supported by this engine", param=name, code="unsupported"
                )

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(name, f"a number from {low:g} to {high:g}", value)
        if not low <= value <= high:  # false for NaN too
            refuse(name, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            refuse(name, f"a whole number of at least {low}", value)
        if value > high:
            refuse(name, f"a whole number of at most {high}", value)
        return value

    def flag(self, name: str, value: Any) -> bool:
        if value is not None and not isinstance(value, bool):
            refuse(name, "true or false", value)
        return bool(value)

    def text(self, name: str, value: Any) -> str:
        """A string that can be written as UTF-8: half a surrogate pair cannot."""
        if not isinstance(value, str):
            refuse(name, "a string", value)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RequestRefused(
                f"{name}: valid Unicode expected, a lone surrogate observed", param=name
            ) from None
        return value

    def json(self, name: str, value: Any, depth: int = 0) -> Any:
        """JSON of bounded depth, in which every string can be written as UTF-8."""
        if depth > MAX_DEPTH:
            raise RequestRefused(f"{name}: at most {MAX_DEPTH} levels expected", param=name)
        if isinstance(value, str):
            self.text(name, value)
        for key, inner in value.items() if isinstance(value, dict) else ():
            self.text(name, key)
            self.json(name, inner, depth + 1)
        for inner in value if isinstance(value, list) else ():
            self.json(name, inner, depth + 1)
        return value
