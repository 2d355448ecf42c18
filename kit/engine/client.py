"""The engine seen from the other processes: the OpenAI protocol over HTTP.

Knows no llama.cpp: any compatible server will do (`[engine] url`). Closing a stream early closes
the connection, which is how the engine learns that nobody waits for the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kit.errors import ContextOverflow, EngineError, EngineUnavailable

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatDelta:
    """A piece of a streamed answer. `finish_reason` is set in the last one.

    While the request waits its turn, `ahead` says how many come before it and `wait_s` about how
    long that takes.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    ahead: int | None = None
    wait_s: float | None = None


@dataclass(frozen=True)
class Reuse:
    """Who asks, and who else may profit from what the engine computes for it.

    The whole conversation serves `person` alone. Its beginning, up to `shared_chars` characters
    into message number `shared_message` (0 = the first), serves all who name `shared_namespace`;
    None = nobody. `is_pinned` keeps that beginning on disk until its namespace is forgotten.
    """

    person: str
    shared_namespace: str | None = None
    shared_message: int = 0
    shared_chars: int = 0
    is_pinned: bool = False

    def fields(self) -> dict[str, Any]:
        """As the kit's own engine reads it."""
        own: dict[str, Any] = {"user": self.person, "cache_namespace": f"person {self.person}"}
        if self.shared_namespace is not None:
            own["shared_prefix"] = {
                "namespace": self.shared_namespace,
                "message": self.shared_message,
                "chars": self.shared_chars,
            } | ({"pin": True} if self.is_pinned else {})
        return own


class Engine(Protocol):
    """What the answer room needs of a language model."""

    def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        reuse: Reuse | None = None,
    ) -> AsyncIterator[ChatDelta]:
        """Stream an answer. Raises EngineUnavailable, ContextOverflow or EngineError."""
        ...

    async def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model; an estimate where the server cannot count."""
        ...

    async def context_tokens(self) -> int:
        """Context of one conversation in tokens."""
        ...


_CONNECT_S = 3.0
_POOL_S = 10.0
_SHORT_S = 10.0
_QUEUED = ": queued "
AWAY = (502, 503, 504)
_CHARS_PER_TOKEN = 3  # an estimate on the safe side, for servers that cannot count


class EngineClient:
    """An Engine over HTTP. `url` ends in /v1; `api_key` and `model` are for servers that want them.

    No read timeout while an answer is computed: a long prompt on a CPU is silent for a while, and
    a server that dies closes the connection.
    """

    def __init__(self, url: str, *, api_key: str = "", model: str = "") -> None:
        import httpx  # here, so that importing the nouns above stays cheap

        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._url = url.rstrip("/")
        self._root = self._url.removesuffix("/v1")
        self._model = model
        self._n_ctx: int | None = None
        self._can_count = True
        self._is_ours = False  # whether the server knows the fields that only our engine has
        timeout = httpx.Timeout(None, connect=_CONNECT_S, write=_POOL_S, pool=_POOL_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        # trust_env is off: a proxy of the environment must never see what goes to the engine.
        self._http = httpx.AsyncClient(
            headers=headers, timeout=timeout, limits=limits, trust_env=False
        )

    async def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        reuse: Reuse | None = None,
    ) -> AsyncIterator[ChatDelta]:
        """Stream an answer. Raises EngineUnavailable, ContextOverflow or EngineError."""
        body: dict[str, Any] = {
            "model": await self._model_name(),
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
        }
        body |= {} if seed is None else {"seed": seed}
        body |= {"stop": list(stop)} if stop else {}
        body |= reuse.fields() if reuse is not None and self._is_ours else {}
        with _explain(self._url):
            request = self._http.build_request("POST", f"{self._url}/chat/completions", json=body)
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code != 200:
                    await response.aread()
                    raise _refusal(response)
                async for delta in _read_deltas(response):
                    yield delta
            finally:
                await response.aclose()

    async def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model; an estimate where the server cannot count."""
        if self._can_count:
            response = await self._short("POST", f"{self._root}/tokenize", json={"content": text})
            if response.status_code == 200:
                return len(response.json()["tokens"])
            if response.status_code not in (404, 405):
                raise _refusal(response)
            self._can_count = False
        return -(-len(text) // _CHARS_PER_TOKEN)

    async def context_tokens(self) -> int:
        """Context of one conversation in tokens; 4096 where the server does not say."""
        await self._model_name()
        return self._n_ctx or 4096

    async def pinned(self) -> list[str]:
        """The namespaces that the engine keeps on disk; none for a server that is not ours.

        Raises: EngineUnavailable, EngineError.
        """
        await self._model_name()
        if not self._is_ours:
            return []
        response = await self._short("GET", f"{self._url}/cache/pinned")
        if response.status_code != 200:
            raise _refusal(response)
        with _explain(self._url):
            return [str(name) for name in response.json()["namespaces"]]

    async def forget(self, namespace: str) -> None:
        """Nothing that was computed in the namespace is kept. Raises: as `pinned`."""
        response = await self._short(
            "POST", f"{self._url}/cache/forget", json={"namespace": namespace}
        )
        if response.status_code != 200:
            raise _refusal(response)

    async def healthy(self) -> bool:
        """Whether a question would be answered now."""
        try:
            response = await self._short("GET", f"{self._root}/health")
            if response.status_code in (404, 405):
                response = await self._short("GET", f"{self._url}/models")
        except EngineUnavailable:
            return False
        return response.status_code == 200

    async def close(self) -> None:
        await self._http.aclose()

    async def _model_name(self) -> str:
        """The model to ask: the configured one, else the first the server has."""
        if self._n_ctx is None:
            response = await self._short("GET", f"{self._url}/models")
            is_away = response.status_code in AWAY  # and will say more when it is there
            if is_away or (response.status_code != 200 and not self._model):
                raise _refusal(response)
            entries = (response.status_code == 200 and response.json().get("data")) or [{}]
            entry = next((e for e in entries if e.get("id") == self._model), entries[0])
            meta = entry.get("meta") or {}
            self._n_ctx = int(meta.get("n_ctx") or entry.get("max_model_len") or 0)
            self._model = self._model or str(entry.get("id", ""))
            self._is_ours = entry.get("owned_by") == "kit"
        return self._model

    async def _short(self, method: str, url: str, **options: Any) -> httpx.Response:
        """A request that is answered at once or not at all."""
        with _explain(self._url):
            return await self._http.request(method, url, timeout=_SHORT_S, **options)


async def _read_deltas(response: httpx.Response) -> AsyncIterator[ChatDelta]:
    """The deltas of a stream of server-sent events. Raises: EngineError if it breaks off."""
    has_finished = False
    async for line in response.aiter_lines():
        if line.startswith(_QUEUED):
            place = json.loads(line.removeprefix(_QUEUED))
            yield ChatDelta(ahead=int(place["ahead"]), wait_s=float(place["wait_s"]))
            continue
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or not data:
            continue
        if data == "[DONE]":
            break
        chunk = json.loads(data)
        if "error" in chunk:
            raise EngineError(_message_of(chunk) or "the engine failed while answering")
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            reason = choice.get("finish_reason")
            reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
            has_finished = has_finished or reason is not None
            if delta.get("content") or reasoning or reason:
                yield ChatDelta(delta.get("content") or "", reasoning, reason)
    if not has_finished:
        raise EngineUnavailable(
            "the engine stopped in the middle of the answer", hint="ask again in a moment"
        )


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
    """Turn transport errors into words: starting, restarting or gone look the same from here."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as problem:
        raise EngineUnavailable(
            f"the engine at {url} does not answer", hint="ask again in a moment; see: kit doctor"
        ) from problem
    except (httpx.TransportError, httpx.InvalidURL) as problem:
        raise EngineUnavailable(
            f"the engine at {url} cannot be reached: it is starting, restarting or not running",
            hint="ask again in a moment; see: kit doctor",
        ) from problem
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        raise EngineError(
            f"the server at {url} does not speak the OpenAI protocol: {problem}",
            hint="check [engine] url in kit.toml; it ends in /v1",
        ) from problem


def _refusal(response: httpx.Response) -> EngineError:
    """The error that a status other than 200 stands for."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    message = _message_of(body) or f"the engine answered with status {response.status_code}"
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if code == "context_length_exceeded" or "maximum context length" in message:
        return ContextOverflow(message, hint="ask a shorter question or use fewer passages")
    if response.status_code == 429:
        return EngineUnavailable("too many questions wait already", hint="ask again in a moment")
    if response.status_code in AWAY:
        return EngineUnavailable(message, hint="ask again in a moment")
    if response.status_code in (401, 403):
        return EngineError(message, hint="check [engine] api_key in kit.toml")
    return EngineError(message)


def _message_of(body: Any) -> str:
    """The words of an error object, in the few forms servers give it."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or ""
    return error if isinstance(error, str) else ""
