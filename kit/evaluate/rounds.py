"""The order of a measurement: two servers take turns, each round with fresh ones.

Knows loads, servers and their order (kit, peer, peer, kit …), not what figures mean. Keeps two
invariants: one server is alive at a time, and a run that something went wrong in says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kit.errors import EngineError
from kit.evaluate.client import Reply
from kit.evaluate.drive import Driven, drive
from kit.evaluate.embedding import Embedding, embedding
from kit.evaluate.loads import OVERLOAD, Load, Script, capacity_load, make_load
from kit.evaluate.plan import Plan
from kit.evaluate.servers import ServerSpec, Work

WARM_UP = Load("warm-up", "warm-up", (Script("nobody", "nobody", ("Say hello.",), 8),))


class Measured(Protocol):
    """What a running server must offer; servers.Server does."""

    url: str

    def work(self) -> Work: ...

    def death(self) -> str: ...

    def describe(self) -> Mapping[str, Any]: ...


Start = Callable[[ServerSpec, int], AbstractContextManager[Measured]]
"""Starts a server with that many threads for the length of a block."""


@dataclass(frozen=True)
class Run:
    """One fresh server under one load. `failure` says why its times mean nothing; "" = sound.

    `load_average` is the machine's before the server was started: what else ran there.
    """

    server: str
    load: str
    threads: int
    round: int
    replies: tuple[Reply, ...] = ()
    wall_s: float = 0.0
    work: Work = field(default_factory=Work)
    arrivals_per_s: float = 0.0
    pages_per_s: float = 0.0
    load_average: float = 0.0
    failure: str = ""
    server_says: Mapping[str, Any] = field(default_factory=dict)


def turn_order(names: Sequence[str], round_number: int) -> list[str]:
    """Who goes first changes with every round: A B, B A, A B … Rounds count from 1."""
    return list(names) if round_number % 2 else list(reversed(names))


def measure(
    plan: Plan,
    specs: Sequence[ServerSpec],
    *,
    start: Start,
    folder: Path,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[Run]:
    """Every run of the plan, as it ends. The first of `specs` is the one whose capacity counts.

    `start` is servers.running; `folder` takes the output of the embedding child.
    """
    by_name = {spec.name: spec for spec in specs}
    for threads in plan.threads:
        for key in plan.loads:
            load = _load(plan, key, specs[0], threads, start)
            for number in range(1, plan.rounds + 1):
                for name in turn_order([*by_name], number):
                    began = time.monotonic()
                    run = _run(plan, load, by_name[name], threads, number, start, folder)
                    took = f"{time.monotonic() - began:.0f} s"
                    end = f"failed: {run.failure}" if run.failure else took
                    say(f"load {key}, threads {threads}, round {number}, {name}: {end}")
                    yield run


def _load(plan: Plan, key: str, spec: ServerSpec, threads: int, start: Start) -> Load:
    """The load; for f, the arrivals follow from the capacity of the first server."""
    if key != "f":
        return make_load(key, plan.size)
    with start(spec, threads) as server:
        _drive(server, WARM_UP, spec, plan)
        driven = _drive(server, capacity_load(plan.size), spec, plan)
    num_finished = sum(reply.outcome == "finished" for reply in driven.replies)
    if not num_finished:
        raise EngineError(
            f"the capacity of {spec.name} could not be measured: {driven.replies[0].problem}"
        )
    return make_load(key, plan.size, arrivals_per_s=OVERLOAD * num_finished / driven.wall_s)


def _drive(server: Measured, load: Load, spec: ServerSpec, plan: Plan) -> Driven:
    return drive(server.url, load, extra=spec.extra, max_load_s=plan.max_load_s)


def _run(
    plan: Plan,
    load: Load,
    spec: ServerSpec,
    threads: int,
    number: int,
    start: Start,
    folder: Path,
) -> Run:
    named: dict[str, Any] = {
        "server": spec.name,
        "load": load.key,
        "threads": threads,
        "round": number,
        "load_average": os.getloadavg()[0],
    }
    try:
        with start(spec, threads) as server, _beside(plan, load, folder) as child:
            _drive(server, WARM_UP, spec, plan)
            before, pages = server.work(), child.num_pages() if child else 0
            driven = _drive(server, load, spec, plan)
            num_pages = child.num_pages() - pages if child else 0
            return Run(
                **named,
                replies=driven.replies,
                wall_s=driven.wall_s,
                work=server.work().since(before),
                arrivals_per_s=len(load.scripts) / plan.size.storm_s if load.key == "f" else 0.0,
                pages_per_s=num_pages / driven.wall_s,
                failure=_failure(server.death(), driven.replies, load, child),
                server_says=server.describe(),
            )
    except EngineError as problem:
        return Run(**named, failure=problem.message)


@contextlib.contextmanager
def _beside(plan: Plan, load: Load, folder: Path) -> Iterator[Embedding | None]:
    """The embedding child for the loads that want one."""
    if not load.is_beside_embedding:
        yield None
        return
    if plan.embedding_model is None:
        raise EngineError("load e needs an embedding model")
    with embedding(plan.embedding_model, folder) as child:
        yield child


def _failure(death: str, replies: Sequence[Reply], load: Load, child: Embedding | None) -> str:
    """Why the times of a run mean nothing: its server died, or it left questions unanswered."""
    failed = [reply for reply in replies if reply.outcome == "failed"]
    if load.key != "f":  # there, refusals are what is measured
        failed += [reply for reply in replies if reply.outcome == "refused"]
    if death:
        return f"the server {death}; {len(failed)} of {len(replies)} questions unanswered"
    if failed:
        return f"{len(failed)} of {len(replies)} questions unanswered: {failed[0].problem}"
    if child is not None and not child.is_alive:
        return "the embedding beside the load ended before it"
    return ""
