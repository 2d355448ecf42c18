"""Keep a kit's processes alive until someone says stop.

Knows children and signals, not what the children do: readiness is asked through functions it is
given. Invariant: when `run` returns or raises, no child is left.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from kit import errors
from kit.errors import KitError, MachineError
from kit.ops.child import Child, ChildSpec, Death

TICK_S = 0.1
STOP_S = 8.0  # a child that has not ended this long after SIGTERM is killed
PATIENCE_S = 10.0  # what may start last waits this long for the essential child
CRASH_LOOP = 5  # failures in a row after which the log is pointed at
TAIL_BYTES = 16_384


class Supervisor:
    """Runs children in the order given.

    `is_ready` maps a child's name to a cheap question asked until it is answered yes; `on_ready` is
    called once for each of them, `say` gets lines for people, also when a child is ready again.
    `essential` names the child without which there is no point: if it fails before it was ever
    ready for a reason that another try cannot cure, `run` raises that reason. `last` names children
    that are started only when the essential one is ready, or after PATIENCE_S.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        is_ready: Mapping[str, Callable[[], bool]],
        on_ready: Callable[[str], None],
        say: Callable[[str], None],
        essential: str,
        last: Collection[str] = (),
    ) -> None:
        self.children = [Child(spec) for spec in specs]
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._say = say
        self._essential = essential
        self._last = set(last)
        self._waiting_for = {spec.name for spec in specs if spec.name in is_ready}
        self._was_ready: set[str] = set()
        self._stop = threading.Event()
        self._num_stops = 0

    def request_stop(self) -> None:
        """Stop everything; a second request does not wait for clean ends."""
        self._num_stops += 1
        self._stop.set()

    def run(self) -> None:
        """Until a stop is requested. Raises the essential child's error if it cannot start."""
        try:
            began = time.monotonic()
            for child in self.children:
                if child.spec.name in self._last:
                    child.start_again_at = began + PATIENCE_S
                else:
                    child.start(began)
            while not self._stop.wait(TICK_S):
                for child in self.children:
                    if death := child.tick(time.monotonic()):
                        self._report(death)
                self._ask_readiness()
        finally:
            self._stop_all()

    def _ask_readiness(self) -> None:
        running = {child.spec.name for child in self.children if child.process is not None}
        for name in sorted(self._waiting_for & running):
            if self._is_ready[name]():
                self._waiting_for.discard(name)
                if name in self._was_ready:
                    self._say(f"{name} is ready again")
                else:
                    self._was_ready.add(name)
                    self._on_ready(name)
                if name == self._essential:
                    self._start_last()

    def _start_last(self) -> None:
        for child in self.children:
            if child.spec.name in self._last:
                child.start_again_at = min(child.start_again_at, time.monotonic())
        self._last.clear()

    def _report(self, death: Death) -> None:
        reason = last_error(death.log)
        if death.name in self._is_ready:
            self._waiting_for.add(death.name)
        never_ready = death.name not in self._was_ready
        if death.name == self._essential and never_ready and (error := incurable(death, reason)):
            raise error
        said = f": {reason[0].removeprefix('error: ')}" if reason else ""
        again = f"starting it again in {death.wait_s:g} s"
        if death.num_failures == CRASH_LOOP:
            again = f"it failed {CRASH_LOOP} times in a row; see {death.log}"
        elif death.num_failures > CRASH_LOOP:
            return
        self._say(f"{death.name} {death.how()}{said}; {again}")

    def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_S
        for child in self.children:
            child.ask_to_stop()
        while time.monotonic() < deadline and self._num_stops < 2:
            if all(child.has_ended for child in self.children):
                break
            time.sleep(TICK_S / 2)
        for child in self.children:
            child.bury()


@contextlib.contextmanager
def stop_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP ask the supervisor to stop, for the length of the block."""

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        supervisor.request_stop()

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_error(log: Path) -> list[str]:
    """The last error block a child wrote to its log: 'error: …', its problems, 'hint: …'."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = stream.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if not starts:
        return []
    block = [lines[starts[-1]]]
    for line in lines[starts[-1] + 1 :]:
        if not (line.startswith(("  ", "hint: "))):
            break
        block.append(line)
    return block


def incurable(death: Death, reason: Sequence[str]) -> KitError | None:
    """The error to give up with, or None if another try may help.

    A child that ends with one of our exit codes has said why; one that fails without a word is
    given as many tries as a crash loop has.
    """
    kinds = {kind.exit_code: kind for kind in _kinds(KitError)}
    kind = kinds.get(death.exit_code)
    if kind and kind is not KitError and reason:
        message = re.sub(r" \(\d+ problems\)$", "", reason[0].removeprefix("error: "))
        hints = [line.removeprefix("hint: ") for line in reason if line.startswith("hint: ")]
        problems = [line.strip().partition("   ") for line in reason if line.startswith("  ")]
        error = kind(message, hint=hints[0] if hints else f"see {death.log}")
        error.problems = tuple(errors.Problem(where, what.strip()) for where, _, what in problems)
        return error
    if death.num_failures >= CRASH_LOOP:
        return MachineError(
            f"{death.name} {death.how()} {death.num_failures} times in a row and never got ready",
            hint=f"its last words are in {death.log}",
        )
    return None


def _kinds(root: type[KitError]) -> list[type[KitError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]
