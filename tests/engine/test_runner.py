"""The runner's thread: every sequence ends exactly once, whatever the decoder does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.engine.fairness import QueueFull
from kit.engine.runner import Runner, RunnerOptions
from kit.engine.sampler import Sampling
from kit.engine.scheduler import Row
from kit.engine.sequence import Finish, Queued, Sequence, Text
from kit.errors import EngineError, EngineUnavailable


class Vocabulary:
    def piece(self, token: int) -> bytes:
        return b"x"

    def is_end(self, token: int) -> bool:
        return False


class Sampler:
    def __init__(self) -> None:
        self.num_closed = 0

    def close(self) -> None:
        self.num_closed += 1


class Decoder:
    """Takes `delay_s` per step; calls `on_step` before it, which may raise."""

    can_trim = True

    def __init__(self, delay_s: float = 0.0, on_step: Callable[[], None] = lambda: None) -> None:
        self.delay_s, self.on_step = delay_s, on_step
        self.samplers: list[Sampler] = []
        self.kept: list[tuple[int, int]] = []
        self.num_steps = 0

    def decode(self, rows: Any) -> None:
        self.num_steps += 1
        self.on_step()
        time.sleep(self.delay_s)
        assert all(isinstance(row, Row) for row in rows)

    def keep(self, slot: int, num_tokens: int) -> int:
        self.kept.append((slot, num_tokens))
        return num_tokens

    def save(self, slot: int, max_bytes: int) -> None:
        return None

    def load(self, slot: int, state: Any) -> bool:
        return False

    def new_sampler(self, sampling: Sampling) -> Sampler:
        self.samplers.append(Sampler())
        return self.samplers[-1]

    def sample(self, sampler: Any, row: int) -> int:
        return 1


class Listener:
    """Collects a sequence's events and waits for its end."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.finishes: list[Finish] = []
        self.ahead: list[int] = []
        self.is_over = threading.Event()

    def __call__(self, event: Queued | Text | Finish) -> None:
        if isinstance(event, Text):
            self.texts.append(event.text)
        elif isinstance(event, Queued):
            self.ahead.append(event.ahead)
        else:
            self.finishes.append(event)
            self.is_over.set()

    def wait(self) -> Finish:
        assert self.is_over.wait(10)
        return self.finishes[0]


@pytest.fixture
def start() -> Iterator[Callable[..., Runner]]:
    """Starts runners and stops them afterwards."""
    runners: list[Runner] = []

    def make(decoder: Decoder, **options: Any) -> Runner:
        on_broken = options.pop("on_broken", lambda: None)
        shape = RunnerOptions(**{"num_slots": 2, "n_ctx": 100_000, "max_draft": 0, **options})
        runner = Runner(decoder, Vocabulary(), shape, on_broken=on_broken)
        runner.start()
        runners.append(runner)
        return runner

    yield make
    for runner in runners:
        runner.stop()


def ask(runner: Runner, max_tokens: int = 3) -> tuple[Sequence, Listener]:
    listener = Listener()
    sequence = Sequence([1, 2, 3], max_tokens, listener)
    runner.submit(sequence)
    return sequence, listener


def test_several_sequences_are_answered_and_counted(start: Callable[..., Runner]) -> None:
    """More requests than slots all end; the counters and the freed samplers agree."""
    decoder = Decoder()
    runner = start(decoder)
    listeners = [ask(runner)[1] for _ in range(5)]
    assert [listener.wait().reason for listener in listeners] == ["length"] * 5
    runner.stop()
    counters = runner.counters
    assert (counters.requests, counters.finished, counters.cancelled) == (5, 5, 0)
    assert (counters.prompt_tokens, counters.generated_tokens) == (15, 15)
    assert [sampler.num_closed for sampler in decoder.samplers] == [1] * 5


def test_cancelling_takes_effect_within_one_step(start: Callable[..., Runner]) -> None:
    """After cancel() at most the step in progress is computed, and the cache is emptied."""
    decoder = Decoder(delay_s=0.05)
    runner = start(decoder)
    sequence, listener = ask(runner, max_tokens=100_000)
    while len(listener.texts) < 2:
        time.sleep(0.01)
    before = decoder.num_steps
    runner.cancel(sequence)
    assert listener.wait().reason == "cancelled"
    assert decoder.num_steps <= before + 1
    time.sleep(0.12)
    assert decoder.num_steps <= before + 1
    assert decoder.kept[-1] == (sequence.slot, 0)
    assert runner.counters.cancelled == 1


def test_a_failed_step_is_told_and_survived(start: Callable[..., Runner]) -> None:
    """When llama.cpp refuses a batch, its sequences end with the error and the next are served."""
    fails = [True]

    def fail_once() -> None:
        if fails and fails.pop():
            raise EngineError("no room")

    runner = start(Decoder(on_step=fail_once))
    _, first = ask(runner)
    finish = first.wait()
    assert finish.reason == "error"
    assert finish.error is not None
    assert finish.error.message == "no room"
    assert ask(runner)[1].wait().reason == "length"
    assert runner.counters.failed == 1


def test_a_broken_runner_leaves_nobody_waiting(
    start: Callable[..., Runner], capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug in a step ends every sequence with an error, says so, and takes no more requests."""
    is_broken = threading.Event()
    gate = threading.Event()

    def bug() -> None:
        gate.wait(10)
        raise ZeroDivisionError("a bug")

    runner = start(Decoder(on_step=bug), num_slots=1, on_broken=is_broken.set)
    listeners = [ask(runner)[1] for _ in range(3)]
    gate.set()
    assert [listener.wait().reason for listener in listeners] == ["error"] * 3
    assert is_broken.wait(10)
    with pytest.raises(EngineUnavailable):
        ask(runner)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_refused_request_leaves_no_sampler(start: Callable[..., Runner]) -> None:
    """A full queue and a stopped runner refuse, and free what was made for the request."""
    decoder = Decoder(delay_s=0.01)
    runner = start(decoder, num_slots=1, max_waiting=1)
    _, running = ask(runner, max_tokens=100_000)
    while not running.texts:
        time.sleep(0.01)
    ask(runner)
    with pytest.raises(QueueFull):
        ask(runner)
    assert [sampler.num_closed for sampler in decoder.samplers] == [0, 0, 1]
    runner.stop()
    with pytest.raises(EngineUnavailable):
        ask(runner)
    assert [sampler.num_closed for sampler in decoder.samplers] == [1, 1, 1, 1]


def test_stopping_ends_every_sequence(start: Callable[..., Runner]) -> None:
    """Running and waiting sequences get their Finish when the runner stops."""
    runner = start(Decoder(delay_s=0.01), num_slots=1)
    listeners = [ask(runner, max_tokens=100_000)[1] for _ in range(3)]
    while not listeners[0].texts:
        time.sleep(0.01)
    runner.stop()
    assert [listener.wait().reason for listener in listeners] == ["error"] * 3
    assert all(len(listener.finishes) == 1 for listener in listeners)


HANGING = """
import threading
from kit.engine import runner
from kit.engine.runner import Runner, RunnerOptions
from kit.engine.sequence import Sequence
from tests.engine.test_runner import Decoder, Vocabulary

class Hanging(Decoder):
    def sample(self, sampler, row):
        threading.Event().wait()

runner.MAX_SAMPLE_S = 0.5
engine = Runner(Hanging(), Vocabulary(), RunnerOptions(num_slots=1, n_ctx=100, max_draft=0))
engine.start()
engine.submit(Sequence([1], 3, print))
engine._thread.join()
"""


def test_native_code_that_never_returns_ends_the_process() -> None:
    """A sampler that hangs does not hold everyone for ever: the process leaves and says where."""
    root = Path(__file__).parents[2]
    child = subprocess.run(
        [sys.executable, "-c", HANGING], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 1
    assert "Timeout" in child.stderr
    assert "in _sample" in child.stderr
