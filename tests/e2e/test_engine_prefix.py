"""Prefixes in the real engine: computed once, shared only as allowed, kept over a restart."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.e2e

SYSTEM = {"role": "system", "content": "You answer from passages."}
PASSAGES = "Passages:\n" + "The committee met on Monday and agreed on the budget of 2027. " * 25
FLAGS = ("--parallel", "2", "--ctx", "2048")


@pytest.fixture(scope="module")
def engine(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(chat_model, tmp_path_factory.mktemp("engine"), *FLAGS)
    try:
        yield running.wait_until_ready()
    finally:
        assert running.stop() == 0


def ask(
    engine: EngineProcess, question: str, person: str, *, namespace: str | None = None, **more: Any
) -> tuple[str, int]:
    """The answer, and how many tokens of the prompt were reused."""
    body: dict[str, Any] = {
        "messages": [SYSTEM, {"role": "user", "content": PASSAGES + question}],
        "max_tokens": 8,
        "temperature": 0,
        "user": person,
        "cache_namespace": f"person {person}",
        **more,
    }
    if namespace:
        shared = {"namespace": namespace, "message": 1, "chars": len(PASSAGES)}
        body["shared_prefix"] = shared | more.get("shared_prefix", {})
    answer = engine.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    cached = reply["usage"]["prompt_tokens_details"]["cached_tokens"]
    return reply["choices"][0]["message"]["content"], cached


def test_passages_are_shared_and_questions_are_not(engine: EngineProcess) -> None:
    """Another person reuses the passages, never the question; the text is that of a fresh cache."""
    question = "Question: " + "when did it meet, and on what did it agree, and why? " * 8
    fresh, nothing = ask(engine, question, "eve")
    first = ask(engine, question, "ana", namespace="readers")
    other = ask(engine, question, "ben", namespace="readers")
    again = ask(engine, question, "ana", namespace="readers")
    closed = ask(engine, question, "dan", namespace="nobody else")
    assert (nothing, first[1], closed[1]) == (0, 0, 0)
    assert 300 < other[1] < again[1] - 10
    assert {first[0], other[0], again[0], closed[0]} == {fresh}


def test_people_who_ask_about_the_same_cost_one_reading(engine: EngineProcess) -> None:
    """Six questions about the same passages at once: the passages are computed once."""
    before = engine.metric("prompt_tokens_total")
    cached = [0] * 6

    def run(n: int) -> None:
        cached[n] = ask(engine, f"Question {n}: what?", f"person {n}", namespace="six")[1]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(cached)[0] == 0
    assert sorted(cached)[1] > 300
    assert engine.metric("prompt_tokens_total") - before < 2 * max(cached)


def test_a_pinned_document_is_there_after_a_restart(chat_model: Path, tmp_path: Path) -> None:
    """Its first reading is the last, for those who may read it; forgotten, it is gone from disk."""
    pinned = {"shared_prefix": {"pin": True}}
    first = EngineProcess(chat_model, tmp_path, *FLAGS).wait_until_ready()
    try:
        said, cached = ask(first, "Question: When?", "ana", namespace="readers", **pinned)
        assert cached == 0
    finally:
        assert first.stop() == 0
    assert len(list((tmp_path / "prefixes").iterdir())) == 1
    second = EngineProcess(chat_model, tmp_path, *FLAGS).wait_until_ready()
    try:
        again, cached = ask(second, "Question: When?", "ben", namespace="readers", **pinned)
        assert cached > 300
        assert again == said
        assert ask(second, "Question: When?", "dan", namespace="others")[1] == 0
        assert second.http.get("/v1/cache/pinned").json() == {"namespaces": ["readers"]}
        forgotten = second.http.post("/v1/cache/forget", json={"namespace": "readers"})
        assert forgotten.json() == {"forgotten": True}
        assert ask(second, "Question: Who?", "eve", namespace="readers")[1] == 0
    finally:
        assert second.stop() == 0
    assert list((tmp_path / "prefixes").iterdir()) == []


def test_more_conversations_than_slots_keep_their_prefix(engine: EngineProcess) -> None:
    """Five conversations in two slots: each one's next question reuses its first."""
    people = [f"talker {n}" for n in range(5)]
    for person in people:
        ask(engine, f"Question: what about {person}?", person)
    for person in people:
        assert ask(engine, f"Question: what about {person}? And why?", person)[1] > 300
    assert engine.metric("prefixes_restored_total") >= 3


def test_those_who_wait_are_told_their_place(engine: EngineProcess) -> None:
    """A streamed request that waits hears how many come before it; clients skip the comment."""
    body = {
        "messages": [{"role": "user", "content": "Write a long story."}],
        "max_tokens": 60,
        "stream": True,
    }
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(engine.http.stream("POST", "/v1/chat/completions", json=body))
        last = stack.enter_context(engine.http.stream("POST", "/v1/chat/completions", json=body))
        lines = list(last.iter_lines())
    queued = [json.loads(line[9:]) for line in lines if line.startswith(": queued ")]
    assert [place["ahead"] for place in queued] == sorted(
        (place["ahead"] for place in queued), reverse=True
    )
    assert queued[0]["wait_s"] > 0
    assert lines[-2:] == ["data: [DONE]", ""]


def test_an_answer_that_comes_too_late_is_ended(engine: EngineProcess) -> None:
    """timeout_s passes: 504 with words, and the slot is free."""
    body = {
        "messages": [{"role": "user", "content": "Write a long story."}],
        "max_tokens": 1000,
        "timeout_s": 0.3,
    }
    answer = engine.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 504
    assert "not ready in the time" in answer.json()["error"]["message"]
    engine.wait_for_metric("requests_running", 0)


def test_500_hang_ups_hurt_no_neighbour(engine: EngineProcess) -> None:
    """Clients vanish at every moment of a request while one answer is written undisturbed."""
    rng = random.Random(7)
    body = {
        "messages": [{"role": "user", "content": "Count to thirty in words."}],
        "max_tokens": 120,
        "temperature": 0,
    }
    alone = engine.http.post("/v1/chat/completions", json=body).json()["choices"][0]
    said: list[Any] = []

    def neighbour() -> None:
        with httpx.Client(base_url=engine.root, timeout=300, trust_env=False) as http:
            reply = http.post("/v1/chat/completions", json={**body, "user": "neighbour"}).json()
            said.append(reply["choices"][0])

    thread = threading.Thread(target=neighbour)
    thread.start()
    raw = json.dumps({**body, "stream": True, "user": "vandal"}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{engine.port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    request = head.encode() + raw
    for _ in range(500):
        with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as vandal:
            vandal.sendall(request[: rng.choice([len(request), rng.randrange(len(request))])])
            vandal.settimeout(rng.uniform(0.001, 0.02))
            with contextlib.suppress(TimeoutError):
                vandal.recv(rng.choice([1, 4096]))
    thread.join()
    assert [reply["finish_reason"] for reply in said] == [alone["finish_reason"]]
    texts = [reply["message"]["content"] for reply in (alone, *said)]
    assert (
        len({text[:40] for text in texts}) == 1
    )  # later words may differ by the batches' rounding
    engine.wait_for_metric("requests_running", 0)
    engine.wait_for_metric("requests_waiting", 0)
    assert engine.metric("requests_failed_total") <= 1  # the late one of the test above
