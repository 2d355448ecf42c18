"""One model, running in a process of its own for as long as it is asked, and then gone.

Knows processes and the two protocols (the engine's for GGUF files, the worker's for folders), no
questions. Invariants: a model that dies or never gets ready is a ModelError about the model, a
machine that is too small for it a MachineError; nothing of the process is left after the block.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kit.config import EngineSettings
from kit.errors import KitError, MachineError, ModelError
from kit.ops.child import Child, ChildSpec, Death
from kit.ops.engine_command import engine_flags
from kit.ops.ports import claim_port
from kit.ops.supervise import last_error
from kit.silence import quiet_environment
from kit.supply.smoke.reply import Reply
from kit.supply.store import InstalledModel, model_path

if TYPE_CHECKING:
    import httpx

LOOPBACK = "127.0.0.1"
N_CTX = 4096  # of the one conversation; the longest question has some 1,000 tokens
START_S = 900.0  # a large model from a slow disk
ANSWER_S = 900.0  # of a large model on a slow machine
RERANK_S = 60.0  # for some passages of a line each
STOP_S = 15.0
END_S = 3.0
POLL_S = 0.1
TIMEOUT = "timeout"
_NO_CONTEXT = "no context of"  # how the engine says that memory is short for it


class RunningModel(Protocol):
    """What the smoke questions need of a model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it says of itself."""
        ...

    def ask(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to a request in OpenAI's form. Raises: ModelError if the process ended."""
        ...

    def embed(self, texts: Sequence[str], *, is_query: bool = False) -> list[list[float]]:
        """A vector for each text. Raises: ModelError if there is none."""
        ...

    def rerank(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score for each passage. Raises: ModelError if there is none."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def resident_bytes(self) -> int:
        """Memory that the process holds now, as the kernel counts it."""
        ...


@contextlib.contextmanager
def running_model(home: Path, model: InstalledModel) -> Iterator[RunningModel]:
    """The model answers within the block.

    Raises: ModelError if it does not load, MachineError if this machine is too small for it.
    """
    with tempfile.TemporaryDirectory(prefix="kit-smoke-") as folder:
        port = claim_port(LOOPBACK, 0)
        child = Child(_spec(home, model, port, Path(folder)))
        process = _Process(child, port, home)
        child.start(time.monotonic())
        try:
            process.wait_until_ready()
            yield process
        finally:
            process.close()
            _stop(child)


def _spec(home: Path, model: InstalledModel, port: int, work: Path) -> ChildSpec:
    """The engine for a GGUF file, the worker, on an empty home of its own, for a folder."""
    from kit.engine.cpu.machine import usable_cores

    path = model_path(home, model)
    if model.active:
        settings = EngineSettings(ctx=N_CTX, parallel=1, threads=usable_cores(), cache_mb=1)
        flags = engine_flags(settings, home=home, model=path, host=LOOPBACK, port=port)
        words = ["kit.engine.server", *flags]
    else:
        words = ["kit.library.worker", "--home", str(work), "--port", str(port)]
        words += ["--reranker-dir" if model.kind == "reranker" else "--model-dir", str(path)]
    environ = quiet_environment(os.environ) | {"PYTHONUNBUFFERED": "1"}
    return ChildSpec("smoke", (sys.executable, "-m", *words), work / "smoke.log", environ)


def _stop(child: Child) -> None:
    """Nothing of it is left; it may end by itself for STOP_S."""
    if not child.has_ended:
        child.ask_to_stop()
        deadline = time.monotonic() + STOP_S
        while not child.has_ended and time.monotonic() < deadline:
            time.sleep(POLL_S)
    child.bury()


class _Process:
    """A RunningModel over HTTP. Engine and worker differ in the paths for vectors only."""

    def __init__(self, child: Child, port: int, home: Path) -> None:
        import httpx

        self._child, self._home = child, home
        self._is_engine = "kit.engine.server" in child.spec.command
        self._facts: Mapping[str, Any] = {}
        timeout = httpx.Timeout(ANSWER_S, connect=5)
        root = f"http://{LOOPBACK}:{port}"
        self._http = httpx.Client(base_url=root, timeout=timeout, trust_env=False)

    def close(self) -> None:
        self._http.close()

    @property
    def facts(self) -> Mapping[str, Any]:
        return self._facts

    def wait_until_ready(self) -> None:
        """Raises: ModelError, MachineError."""
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            self._require_alive()
            if time.monotonic() > deadline:
                raise MachineError(
                    f"the model was not loaded within {START_S:.0f} s",
                    hint="try it on a faster machine, or without questions: --no-smoke",
                )
            time.sleep(POLL_S)
        if self._is_engine:
            self._facts = self._json("GET", "/v1/models")["data"][0]["meta"]

    def _is_ready(self) -> bool:
        import httpx

        try:
            health = self._http.get("/health", timeout=5)
            said = health.json() if health.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            return False
        if not self._is_engine and said.get("state") not in (None, "ready", "loading"):
            raise ModelError(f"it cannot be loaded: {self._public(str(said['state']))}")
        if not self._is_engine and said.get("ready"):
            self._facts = {"n_embd": said["dim"]} if said["dim"] else {}
        return bool(said) and said.get("ready", True)

    def _notice_end(self) -> None:
        """Raise what its end means, if that comes within END_S: sockets close a little earlier."""
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            self._require_alive()
            time.sleep(POLL_S)

    def _require_alive(self) -> None:
        """Raise what the end of the process means, if it ended."""
        death = self._child.tick(time.monotonic()) if self._child.process else None
        if death is None:
            return
        said = last_error(death.log)
        message = said[0].removeprefix("error: ") if said else f"its process {death.how()}"
        raise _meaning(death, self._public(message))

    def _public(self, message: str) -> str:
        """Without this machine's folders: what is said here ends up in a passport."""
        return message.replace(f"{self._home}/", "")

    def ask(self, path: str, body: Mapping[str, Any]) -> Reply:
        import httpx

        try:
            response = self._http.post(path, json=dict(body))
        except httpx.TimeoutException:
            return Reply(error=f"no answer within {ANSWER_S:.0f} s", error_code=TIMEOUT)
        except httpx.HTTPError as problem:
            self._notice_end()
            return Reply(error=f"the engine broke off: {problem}")
        return read_reply(response)

    def embed(self, texts: Sequence[str], *, is_query: bool = False) -> list[list[float]]:
        if self._is_engine:
            body = {"input": list(texts), "encoding_format": "float"}
            return [row["embedding"] for row in self._json("POST", "/v1/embeddings", body)["data"]]
        from kit.library.index.embed import unpack_vectors

        body = {"texts": list(texts), "kind": "query" if is_query else "passage"}
        found = self._json("POST", "/embed", body)
        return [list(map(float, row)) for row in unpack_vectors(found["vectors"], found["dim"])]

    def rerank(self, query: str, passages: Sequence[str]) -> list[float]:
        body = {"query": query, "passages": list(passages), "budget_s": RERANK_S}
        return [float(score) for score in self._json("POST", "/rerank", body)["scores"]]

    def count_tokens(self, text: str) -> int:
        if self._is_engine:
            return len(self._json("POST", "/tokenize", {"content": text})["tokens"])
        return int(self._json("POST", "/count", {"text": text})["num_tokens"])

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        import httpx

        try:
            response = self._http.request(method, path, json=dict(body) if body else None)
            if response.status_code == 200:
                return response.json()
            raise ModelError(read_reply(response).error)
        except (httpx.HTTPError, ValueError) as problem:
            self._notice_end()
            raise ModelError(f"its process gave no answer: {problem}") from problem

    def resident_bytes(self) -> int:
        return resident_bytes(self._child.process.pid if self._child.process else 0)


def resident_bytes(pid: int) -> int:
    """The memory that a process has in use. Raises: OSError if it is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def read_reply(response: httpx.Response) -> Reply:
    """OpenAI's reply, of a chat or a plain completion, or its error object."""
    try:
        document = response.json()
        if response.status_code != 200:
            error = document["error"]
            return Reply(error=str(error["message"]), error_code=str(error.get("code") or ""))
        choice = document["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        return Reply(
            text=message.get("content") or "",
            reasoning=message.get("reasoning_content") or "",
            finish_reason=choice.get("finish_reason") or "",
            logprobs=tuple((choice.get("logprobs") or {}).get("token_logprobs") or ()),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return Reply(error=f"the engine failed with status {response.status_code}")


def _meaning(death: Death, message: str) -> KitError:
    """The engine's exit code as the error that it stands for; anything else is the model's fault.

    A signal is: the CPU variant survived its trial, so it is what this file makes of it. But
    SIGKILL is how the kernel ends what takes more memory than there is.
    """
    kinds: list[type[KitError]] = [MachineError, *MachineError.__subclasses__()]
    too_small = {kind.exit_code for kind in kinds}
    is_too_small = death.exit_code in {*too_small, -signal.SIGKILL}
    if is_too_small or message.startswith(_NO_CONTEXT):
        return MachineError(message, hint="use a machine with more memory, or: --no-smoke")
    return ModelError(message)
