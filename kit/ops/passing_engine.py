"""An engine that lives as long as one command: for a home whose kit is not running.

Knows processes and ports, nothing of documents. Invariant: whatever ends the block ends the engine.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from kit.config import Config, EngineSettings
from kit.errors import EngineUnavailable, NotFound
from kit.ops.child import Child, ChildSpec
from kit.ops.engine_command import engine_flags
from kit.ops.ports import claim_port
from kit.ops.start import answers
from kit.ops.supervise import last_error
from kit.silence import quiet_environment
from kit.supply.catalog import STARTER_CHAT
from kit.supply.runnable import find_chat_file

ENGINE_START_S = 300.0


@contextlib.contextmanager
def passing_engine(config: Config, say: Callable[[str], None]) -> Iterator[str]:
    """The URL of a local engine for the length of the block.

    Raises: EngineUnavailable if there is no model, or it does not start.
    """
    settings, home = config.engine, config.home
    try:
        model = find_chat_file(home, settings.model or STARTER_CHAT)
    except NotFound as problem:
        raise EngineUnavailable(problem.message, hint=problem.hint) from None
    port = claim_port("127.0.0.1", 0)
    settings = for_one_command(settings, home, model)
    flags = engine_flags(settings, home=home, model=model, host="127.0.0.1", port=port)
    command = [sys.executable, "-m", "kit.engine.server", *flags]
    log = home / "logs" / "engine.log"
    child = Child(ChildSpec("engine", tuple(command), log, quiet_environment(os.environ)))
    say("starting the language model (the running kit keeps it warm: kit up)")
    child.start(time.monotonic())
    try:
        deadline = time.monotonic() + ENGINE_START_S
        while not answers(f"http://127.0.0.1:{port}/health"):
            if child.has_ended or time.monotonic() > deadline:
                reason = (last_error(log) or ["error: it did not start"])[0]
                raise EngineUnavailable(
                    f"the language model: {reason.removeprefix('error: ')}", hint=f"see {log}"
                )
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        child.bury()


def for_one_command(settings: EngineSettings, home: Path, model: Path) -> EngineSettings:
    """One conversation at a time, and no measuring of threads: that takes longer than an answer.

    What a running kit measured before is used; else every core, as nothing was measured.
    """
    from kit.engine.cpu.choose_threads import remembered
    from kit.engine.cpu.machine import usable_cores

    threads = settings.threads
    if not threads and remembered(home, model) is None:
        threads = usable_cores()
    return replace(settings, parallel=1, threads=threads)
