"""Start a kit: every cheap check, the first run, then the three processes until they are stopped.

Composes the other modules of ops; knows the children's command lines as the rooms define them.
Invariant: what can be refused is refused before anything slow or lasting happens.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.config import Config
from kit.database import Database
from kit.errors import AccessError
from kit.files import require_space, require_writable_folder
from kit.instance import Instance, announce, own_home, withdraw
from kit.ops.child import ChildSpec
from kit.ops.engine_command import engine_flags
from kit.ops.ports import claim_port, is_loopback, trust_only, url_of
from kit.ops.starter import (
    add_samples,
    fetch_starters,
    needed_models,
    prepare_chat_model,
    write_passports,
)
from kit.ops.supervise import Supervisor, stop_on_signals
from kit.silence import quiet_environment
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING
from kit.supply.fetch import Progress
from kit.supply.runnable import find_chat_file, find_embedding_folder, find_reranker_folder

ASK_TIMEOUT_S = 1.0
LOOPBACK = "127.0.0.1"
UNENCRYPTED = (
    "notice: passwords and documents travel unencrypted; "
    "set web.certfile and web.keyfile in kit.toml to encrypt them"
)
OOM_SCORES = {"web": 0, "worker": 300, "engine": 500}  # the page is the last to go


@dataclass(frozen=True)
class Voice:
    """How a start speaks: status, the address once, progress of downloads and its end."""

    say: Callable[[str], None]
    ready: Callable[[str], None]
    progress: Progress
    done: Callable[[], None]


@dataclass(frozen=True)
class Plan:
    """What will run. `chat_model` and `engine_port` are None if another server answers."""

    instance: Instance
    web_port: int
    worker_port: int
    embedding_model: Path
    chat_model: Path | None
    engine_port: int | None
    reranker: Path | None = None


def run_kit(
    config: Config, voice: Voice, *, is_first_run_allowed: bool, with_samples: bool
) -> None:
    """Run the kit on config.home until it is stopped by a signal.

    `is_first_run_allowed` lets it fetch starter models (`kit up`); without it a missing model is an
    error (`kit serve`). Raises: any KitError that keeps it from starting.
    """
    home = config.home
    with own_home(home), end_on_sigterm():
        require_writable_folder(home)
        require_space(home, 0)
        web_port = claim_port(config.web.host, config.web.port)
        database = Database(home / "kit.db")
        require_account(config.web.host, database)
        if not is_loopback(config.web.host) and not config.web.certfile:
            voice.say(UNENCRYPTED)
        if config.engine.model:
            find_chat_file(home, config.engine.model)  # a damaged file is named before any fetch
        if is_first_run_allowed:
            fetch_starters(config, say=voice.say, on_progress=voice.progress)
            voice.done()
        if STARTER_CHAT in needed_models(config) and is_first_run_allowed:
            prepare_chat_model(home, say=voice.say)
        if is_first_run_allowed:
            write_passports(config)
        if with_samples:
            add_samples(home, database, say=voice.say)
        database.close()
        plan = make_plan(config, web_port)
        announce(home, plan.instance)
        try:
            _supervise(config, plan, voice)
        finally:
            withdraw(home)


@contextlib.contextmanager
def end_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as an exception does: what it started is stopped, exit code 0."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def require_account(host: str, database: Database) -> None:
    """Raise AccessError if others could reach the kit and nobody can sign in."""
    from kit.people.accounts import Accounts

    if not is_loopback(host) and not Accounts(database).has_passwords():
        raise AccessError(
            f"others on the network could reach {host}, and there is no account yet",
            hint="make one first: kit user add NAME --role admin",
        )


def make_plan(config: Config, web_port: int) -> Plan:
    """Models, ports and a fresh token for this run. Raises NotFound, ModelError."""
    home, chat_model, engine_port = config.home, None, None
    engine_url = config.engine.url.rstrip("/")
    embedding = find_embedding_folder(home, config.library.embedding_model or STARTER_EMBEDDING)
    if not engine_url:
        chat_model = find_chat_file(home, config.engine.model or STARTER_CHAT)
        engine_port = claim_port(LOOPBACK, 0)
        engine_url = f"http://{LOOPBACK}:{engine_port}/v1"
    reranker = find_reranker_folder(home, config.library.reranker_model)
    worker_port = claim_port(LOOPBACK, 0)
    instance = Instance(
        pid=os.getpid(),
        web_url=url_of(config.web.host, web_port, is_https=bool(config.web.certfile)),
        engine_url=engine_url,
        worker_url=f"http://{LOOPBACK}:{worker_port}",
        token=secrets.token_urlsafe(32),
    )
    return Plan(instance, web_port, worker_port, embedding, chat_model, engine_port, reranker)


def child_specs(config: Config, plan: Plan) -> list[ChildSpec]:
    """The children, the page first so that there is something to look at while models load."""
    home = config.home
    environ = quiet_environment(os.environ) | {"PYTHONUNBUFFERED": "1"}
    web_environ = environ | {"KIT_WEB_HOST": config.web.host, "KIT_WEB_PORT": str(plan.web_port)}

    def spec(name: str, environ: dict[str, str], *command: str) -> ChildSpec:
        log = home / "logs" / f"{name}.log"
        command = (sys.executable, "-m", *command)
        return ChildSpec(name, command, log, environ, OOM_SCORES[name])

    specs = [spec("web", web_environ, "kit.web.server", "--home", str(home))]
    if plan.chat_model:
        flags = engine_flags(
            config.engine,
            home=home,
            model=plan.chat_model,
            host=LOOPBACK,
            port=plan.engine_port or 0,
        )
        specs.append(spec("engine", environ, "kit.engine.server", *flags))
    command = ["kit.library.worker", "--home", str(home), "--port", str(plan.worker_port)]
    command += ["--model-dir", str(plan.embedding_model)]
    command += ["--reranker-dir", str(plan.reranker)] if plan.reranker else []
    specs.append(spec("worker", environ, *command))
    return specs


def _supervise(config: Config, plan: Plan, voice: Voice) -> None:
    started = time.monotonic()
    address = public_address(config.web.host, plan.web_port, is_https=bool(config.web.certfile))
    model = plan.chat_model.name if plan.chat_model else ""
    warm = {
        "engine": f"the language model is ready ({model})",
        "worker": "the embedding model is ready: search finds meanings too",
    }

    def on_ready(name: str) -> None:
        if name == "web":
            voice.ready(address)
        else:
            voice.say(f"{warm[name]}, after {time.monotonic() - started:.1f} s")

    supervisor = Supervisor(
        child_specs(config, plan),
        is_ready={
            "web": lambda: answers(f"{plan.instance.web_url}/health", certfile=config.web.certfile),
            "engine": lambda: answers(f"http://{LOOPBACK}:{plan.engine_port}/health"),
            "worker": lambda: answers(f"{plan.instance.worker_url}/health", key="ready"),
        },
        on_ready=on_ready,
        say=voice.say,
        essential="web",
        last=["worker"],  # importing it costs some 14 CPU-seconds that the page needs first
    )
    with stop_on_signals(supervisor):
        supervisor.run()


def answers(url: str, *, key: str = "", certfile: str = "") -> bool:
    """True if the address answers 200 and, with `key`, its JSON says that is true."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # no proxy
    try:
        if certfile:
            handlers.append(urllib.request.HTTPSHandler(context=trust_only(certfile)))
        opener = urllib.request.build_opener(*handlers)
        with opener.open(url, timeout=ASK_TIMEOUT_S) as answer:
            return answer.status == 200 and (not key or bool(json.load(answer).get(key)))
    except (OSError, ValueError, http.client.HTTPException):
        return False


def public_address(host: str, port: int, *, is_https: bool = False) -> str:
    """The address people open: this machine's name if the page listens on all addresses."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return f"{'https' if is_https else 'http'}://{socket.gethostname()}:{port}/"
    return f"{url_of(host, port, is_https=is_https)}/"
