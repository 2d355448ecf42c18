"""What the page's script sends with an event, checked.

Knows no room. Invariant: nothing a browser sends reaches a room unless it has the expected type
and a sane length; who sends it is taken from the session, never from here.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
from collections.abc import Callable
from typing import Any

from kit.errors import AccessError, KitError, UsageError
from kit.web.page.pieces import failure
from kit.web.page.widgets import gr

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 20_000
MAX_ID_CHARS = 128
MAX_IDS = 1000


def text_of(event: gr.EventData, name: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """A text field, '' if it was not sent. Raises: UsageError."""
    value = _data(event).get(name) or ""
    if not isinstance(value, str):
        raise UsageError(f"{name} is not a text")
    if len(value) > max_chars:
        raise UsageError(
            f"the text has {len(value):,} characters, at most {max_chars:,} are possible",
            hint="shorten it, or add the text as a document",
        )
    return value


def id_of(event: gr.EventData, name: str) -> str:
    """An identifier, '' if it was not sent. Raises: UsageError."""
    return text_of(event, name, MAX_ID_CHARS)


def ids_of(event: gr.EventData, name: str) -> tuple[str, ...]:
    """A list of identifiers, empty if it was not sent. Raises: UsageError."""
    values = _data(event).get(name) or []
    if not isinstance(values, list) or len(values) > MAX_IDS:
        raise UsageError(f"{name} is not a short list")
    if not all(isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS for value in values):
        raise UsageError(f"{name} is not a list of identifiers")
    return tuple(values)


def number_of(event: gr.EventData, name: str) -> int:
    """A whole number, sent as a number or as digits. Raises: UsageError."""
    try:
        return int(str(_data(event).get(name)))
    except ValueError:
        raise UsageError(f"{name} is not a number") from None


def _data(event: gr.EventData) -> dict[str, Any]:
    return event._data if isinstance(event._data, dict) else {}


def user_of(request: gr.Request) -> str:
    """The signed-in person's id. Raises: AccessError."""
    username = getattr(request, "username", None)
    if not username:
        raise AccessError("you are not signed in", status=401, hint="open the page again")
    return str(username)


def explain(error: Exception) -> tuple[str, str | None]:
    """What the reader is told: (message, hint).

    The page is the last surface: an error that is no KitError is a bug of ours, and the reader must
    see that what they asked for did not happen, while its traceback goes to the log.
    """
    if isinstance(error, KitError):
        return error.message, error.hint
    log.error("a handler of the page failed", exc_info=error)
    return "something went wrong inside the kit", "see what and where: kit doctor"


_numbers = itertools.count()


def toast_html(message: str, hint: str | None = None) -> str:
    """A message that shows for a few seconds. Each is new to the browser, even with equal words."""
    return f'<div class="toast" data-number="{next(_numbers)}">{failure(message, hint)}</div>'


def explained(num_outputs: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The handler, with its errors shown as a message in one more output, the last.

    The handler returns a tuple of `num_outputs` values.
    """

    def failed(error: Exception) -> tuple[Any, ...]:
        return (*[gr.skip()] * num_outputs, toast_html(*explain(error)))

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def explaining_later(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
            try:
                return (*await handler(*args, **kwargs), gr.skip())
            except Exception as error:  # noqa: BLE001 - see `explain`
                return failed(error)

        @functools.wraps(handler)
        def explaining(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
            try:
                return (*handler(*args, **kwargs), gr.skip())
            except Exception as error:  # noqa: BLE001 - see `explain`
                return failed(error)

        return explaining_later if inspect.iscoroutinefunction(handler) else explaining

    return decorate
