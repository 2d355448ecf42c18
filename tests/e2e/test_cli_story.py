"""The command line on the real thing: the same answers from a running kit and from its folder."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.instance import find_instance
from tests.e2e.drive import KIT, RunningKit, link_models, run_kit, start_kit, wait_until

pytestmark = pytest.mark.e2e

QUESTION = "What is the daily allowance for a full day in South Africa?"
CITED = {"n", "document", "document_id", "page", "start", "end", "text"}
FOUND = {"rank", "document", "document_id", "page", "start", "end", "score", "text"}


@pytest.fixture(scope="module")
def stopped(ready_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with models and one document, on which nothing runs."""
    home = tmp_path_factory.mktemp("stopped") / "home"
    link_models(ready_models, home)
    note = home.parent / "note.md"
    note.write_text("# Archive\n\nThe archive of the institute opens at nine on weekdays.\n")
    added = run_kit(home, "docs", "add", str(note), "--json")
    assert added.code == 0, added.err
    assert [d["state"] for d in added.json()["documents"]] == ["indexed"]
    return home


def test_ask_and_search_the_running_kit(kit: RunningKit) -> None:
    """The running kit answers from the samples, with the promised JSON and exact spans."""
    asked = run_kit(kit.home, "ask", QUESTION, "--json")
    assert asked.code == 0, asked.err
    answer = asked.json()
    assert answer["supported"] is True
    assert {"retrieve_s", "ttft_s", "total_s"} == set(answer["timings"])
    for citation in answer["citations"]:
        assert set(citation) >= CITED
        text = json.loads(kit.get(f"/api/v1/documents/{citation['document_id']}/text")[1])["text"]
        assert text[citation["start"] : citation["end"]] == citation["text"]
    assert any("585" in citation["text"] for citation in answer["citations"])
    hits = run_kit(kit.home, "docs", "search", QUESTION, "--top-k", "3", "--json").json()["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert all(set(hit) >= FOUND for hit in hits)


def test_ask_and_search_the_folder(stopped: Path) -> None:
    """Without a running kit the same commands work on the folder, and leave nothing running."""
    hits = run_kit(stopped, "docs", "search", "when does it open", "--json").json()["hits"]
    assert hits[0]["document"] == "note.md"
    asked = run_kit(stopped, "ask", "When does the archive open?", "--json")
    assert asked.code == 0, asked.err
    answer = asked.json()
    assert answer["supported"] is True
    assert "nine" in answer["citations"][0]["text"]
    assert find_instance(stopped) is None
    assert not processes_of(stopped)


def processes_of(home: Path) -> list[str]:
    """Command lines of processes that were started for this home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(home) in words and int(entry.name) != os.getpid():
                found.append(" ".join(words))
    return found


def test_up_prints_one_line_and_ends_on_ctrl_c(stopped: Path) -> None:
    """`kit up` prints the address, once, alone on stdout; Ctrl-C ends everything."""
    up = subprocess.Popen(
        [*KIT, "--home", str(stopped), "up", "--port", "0", "--no-samples"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert up.stdout is not None
    line = up.stdout.readline()
    assert re.fullmatch(r"The kit is ready: http://127\.0\.0\.1:\d+/\n", line)
    names = [d["name"] for d in run_kit(stopped, "docs", "list", "--json").json()["documents"]]
    assert names == ["note.md"]  # what was added while it did not run
    up.send_signal(signal.SIGINT)
    rest, errors = up.communicate(timeout=30)
    assert (up.returncode, rest) == (0, "")
    assert "Traceback" not in errors
    assert not processes_of(stopped)


def test_a_killed_child_comes_back_and_the_page_stays(ready_models: Path, tmp_path: Path) -> None:
    """Engine and worker killed: the page still answers, both come back, and the log says so."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    kit = start_kit(home, "--no-samples")
    try:
        wait_until(lambda: kit.health()["engine"] == "ready", 120, "the engine")
        before = kit.child_pid("kit.engine.server")
        os.kill(before, signal.SIGKILL)
        assert kit.health()["status"] == "ok"
        wait_until(
            lambda: child_or_none(kit, "kit.engine.server") not in (None, before),
            30,
            "a new engine",
        )
        wait_until(lambda: kit.health()["engine"] == "ready", 60, "the engine again")
        log = (tmp_path / "home.up.log").read_text()
        assert "engine was killed by SIGKILL" in log
    finally:
        assert kit.stop() == 0
    assert not processes_of(home)


def child_or_none(kit: RunningKit, word: str) -> int | None:
    try:
        return kit.child_pid(word)
    except LookupError:
        return None


class Terminal:
    """`kit chat` as a person has it: on a pseudo-terminal."""

    def __init__(self, home: Path) -> None:
        pid, self.handle = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts with & ignores it
            os.execv(KIT[0], [*KIT, "--home", str(home), "chat"])
        self.pid, self.seen = pid, ""

    def read_until(self, words: str, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.handle], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.handle, 65536).decode(errors="replace")
                except OSError:
                    break
        assert words in self.seen, self.seen
        self.seen = self.seen.split(words, 1)[1]

    def press_until(self, key: str, words: str) -> None:
        """As a person who presses again: a signal between readline's prompt and its wait goes
        unnoticed."""
        for _ in range(20):
            self.type(key)
            with contextlib.suppress(AssertionError):
                return self.read_until(words, timeout_s=3)
        return self.read_until(words, timeout_s=1)

    def read_prompt(self) -> None:
        """Until it waits for input: "> " begins the last line. Places of passages hold one too."""
        deadline = time.monotonic() + 120
        while not re.search(r"(?:^|[\r\n]|\x1b\[\?2004h)> $", self.seen):
            assert time.monotonic() < deadline, self.seen
            if select.select([self.handle], [], [], 0.2)[0]:
                self.seen += os.read(self.handle, 65536).decode(errors="replace")
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())


@pytest.fixture
def terminal(kit: RunningKit) -> Iterator[Terminal]:
    opened = Terminal(kit.home)
    yield opened
    with contextlib.suppress(ProcessLookupError):
        os.kill(opened.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(opened.pid, 0)
    os.close(opened.handle)


def test_chat_in_a_terminal(terminal: Terminal) -> None:
    """A conversation: an answer with its evidence, Ctrl-C at the prompt, Ctrl-D to leave."""
    terminal.read_prompt()
    terminal.type(f"{QUESTION}\r")
    terminal.read_until("[1] ")
    terminal.read_prompt()
    terminal.press_until("\x03", "(Ctrl-D leaves)")  # at the prompt it clears the line
    terminal.read_prompt()
    terminal.type("\x04")
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_doctor_is_content_with_a_warm_kit(kit: RunningKit) -> None:
    """On a running kit nothing fails, and the starter model comes with a better one to get."""
    result = run_kit(kit.home, "doctor", "--json")
    checks = {check["name"]: check for check in result.json()["checks"]}
    assert [c for c in checks.values() if c["state"] == "fail"] == []
    assert result.code == 0
    assert "starter model" in checks["chat model"]["found"]
    assert checks["chat model"]["next_step"]
    assert "llama.cpp runs as" in checks["engine"]["found"]
