"""Bytes over HTTP from an offset on: status codes, ranges and time-outs, made one stream.

Knows no hub and no model. Invariant: what a server says of the offset is read from its answer,
never taken from the question.
"""

from __future__ import annotations

import email.utils
import functools
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx

from kit import __version__
from kit.errors import FetchError
from kit.supply.sources.source import Interrupted, RemoteStream

CONNECT_S = 15.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
Explain = Callable[[int, str], FetchError]
"""(status, address without query) -> the error that says what to do."""


def open_client(read_timeout_s: float) -> httpx.Client:
    """A client that follows redirects and honours the proxy and certificate settings outside.

    httpx sends no Authorization to another host than the first one asked.
    """
    return httpx.Client(
        follow_redirects=True,
        verify=_certificates(),
        timeout=httpx.Timeout(read_timeout_s, connect=CONNECT_S),
        headers={"User-Agent": f"kit/{__version__}", "Accept-Encoding": "identity"},
    )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The certificates to trust, read once: that takes longer than a small file."""
    return httpx.create_ssl_context()


@contextmanager
def open_bytes(
    client: httpx.Client, url: str, offset: int, headers: Mapping[str, str], explain: Explain
) -> Iterator[RemoteStream]:
    """The bytes of the address from `offset` on, or from where the stream says.

    Raises: Interrupted for cuts, time-outs, 408, 425, 429 and 5xx; what `explain` makes of any
    other status; FetchError.
    """
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        with client.stream("GET", url, headers={**headers, **wanted}) as answer:
            yield _read_answer(answer, offset, explain)
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as problem:
        raise FetchError(f"{plain_address(url)} cannot be fetched: {problem}") from None
    except httpx.HTTPError as problem:
        raise Interrupted(_reason(problem)) from None


def _read_answer(answer: httpx.Response, offset: int, explain: Explain) -> RemoteStream:
    status = answer.status_code
    if status not in (200, 206):
        _refuse(answer, explain)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchError(
            f"{answer.url.host} sends the file as {answer.headers['content-encoding']}",
            hint="the server or a proxy changes files on the way; ask who runs it",
        )
    begins_at, size_bytes = 0, _number(answer.headers.get("content-length"))
    if status == 206:
        begins_at, size_bytes = _content_range(answer.headers.get("content-range", ""), offset)
    return RemoteStream(begins_at, size_bytes, _etag(answer), answer.iter_raw())


def _refuse(answer: httpx.Response, explain: Explain) -> None:
    status, reason = answer.status_code, f"the server answered {answer.status_code}"
    if status == 416:
        raise Interrupted(reason, from_zero=True)
    was_sent_on = bool(answer.history) and answer.history[0].url.host != answer.url.host
    if status in _AGAIN or (status == 403 and was_sent_on):  # a link of the hub that ran out
        raise Interrupted(reason, retry_after_s=_retry_after(answer.headers.get("retry-after")))
    raise explain(status, plain_address(str(answer.url)))


def _content_range(text: str, offset: int) -> tuple[int, int | None]:
    """(first offset, size of the whole file) of a Content-Range header."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", text.strip())
    if not match:
        raise Interrupted(f"the server sent a part without saying which ({text!r})", from_zero=True)
    if int(match[1]) not in (0, offset):
        raise Interrupted(
            f"bytes from {offset} on expected, from {match[1]} on observed", from_zero=True
        )
    return int(match[1]), _number(match[3])


def _etag(answer: httpx.Response) -> str:
    """The hub's own name for the content if any answer on the way has it, else the last one's."""
    for step in [*answer.history, answer]:
        if linked := step.headers.get("x-linked-etag"):
            return plain_etag(linked)
    return plain_etag(answer.headers.get("etag", ""))


def plain_etag(text: str) -> str:
    """'W/"abc"' -> 'abc'."""
    return text.strip().removeprefix("W/").strip('"')


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _reason(problem: httpx.HTTPError) -> str:
    if isinstance(problem, httpx.ReadTimeout):
        return "nothing arrived any more (timed out)"
    return str(problem) or type(problem).__name__


def plain_address(url: str) -> str:
    """The address without user, password and query, fit to be shown."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
