"""Processes that are killed again and again while documents come and go, and what must hold then.

    python -m tests.e2e.kill_loop HOME --seed 1 --kills 500

The page's process, the worker and the readers of files are the real ones, with the real database
and the real Chroma; in place of the two models there are an embedder that counts words and a server
that repeats a line of its prompt, so that a process is back at once. The page itself (Gradio) is
not mounted; its handler of dropped files is called. A process is killed with SIGKILL at a random
moment, or kills itself at a step drawn beforehand: before or after a transaction, a rename, a sync
or a removal of a file, or a write of Chroma.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kit.answer.events import Finished
from kit.cli.remote import RemoteKit
from kit.config import load_config
from kit.database import Database
from kit.errors import KitError
from kit.instance import Instance, announce, find_instance, own_home
from kit.library.documents import DocumentRecord
from kit.library.index.lexical import search_lexical
from kit.library.store import Library
from kit.ops.ports import claim_port
from kit.testing import FakeEmbedder

TOKEN = "t" * 43
MODEL = FakeEmbedder.model
MAX_STEP = {"web": 400, "worker": 250, "adder": 40}  # where one kills itself; an engine never
CHECK_EVERY = 60  # kills
SETTLE_S = 90.0
MAX_DOCUMENTS = 60
WEIGHTS = {"worker": 5, "web": 3, "engine": 3, "adder": 4}


# What is killed ---------------------------------------------------------------------------------


def arm(name: str, kill_at: int) -> None:
    """This process kills itself at that step; 0 = never."""
    steps = itertools.count(1)
    if not kill_at:
        return

    def step() -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def in_steps(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            step()
            result = real(*args, **kwargs)
            step()
            return result

        setattr(owner, name, run)

    for call in ("replace", "fsync", "unlink", "rename", "link", "rmdir", "pwrite"):
        in_steps(os, call)
    real_write = Database.write

    @contextlib.contextmanager
    def write(self: Database) -> Iterator[Any]:
        step()
        with real_write(self) as connection:
            yield connection
            step()  # all is written, nothing is committed
        step()

    Database.write = write  # type: ignore[method-assign]
    if name == "web":
        from kit.library.index import chroma_store

        for call in ("upsert", "delete", "close"):
            in_steps(chroma_store.Store, call)


class TwinEmbedder(FakeEmbedder):
    """Counts words, as slowly as a small model would."""

    def __init__(self, *_: object) -> None:
        pass

    def twin(self) -> TwinEmbedder:
        return self

    def embed_passages(self, texts: Any, *, batch_size: int = 32) -> Any:
        time.sleep(0.003 * len(texts))
        return super().embed_passages(texts, batch_size=batch_size)


def run_worker(home: Path, port: int) -> None:
    from kit.library import worker

    worker.LocalEmbedder = TwinEmbedder  # type: ignore[misc,assignment]
    worker.main(["--home", str(home), "--port", str(port), "--model-dir", f"{home}/models/{MODEL}"])


def run_web(home: Path, port: int) -> None:
    import uvicorn

    from kit.web.server import prepare
    from kit.web.services import build_services
    from kit.web.shell import build_shell

    config = load_config(home=home)
    prepare(config, os.environ)
    services = build_services(config, find_instance(home))

    def tell_ids(*_: object) -> None:
        """Which ids Chroma itself holds."""
        store = getattr(services.index._index, "_store", None)
        ids = sorted(store.ids()) if store else None
        part = home / "ids.part"
        part.write_text(json.dumps(ids))
        part.rename(home / "ids.json")

    signal.signal(signal.SIGUSR1, tell_ids)
    threading.Thread(target=serve_uploads, args=(services, page_port(home)), daemon=True).start()
    uvicorn.run(build_shell(services), port=port, log_level="warning")


def page_port(home: Path) -> int:
    return int((home.parent / "page.port").read_text())


def serve_uploads(services: Any, port: int) -> None:
    """The page's own handler of dropped files, without the page: a name comes in, its file lies in
    Gradio's cache, and what the page would show goes out."""
    from kit.web.page.documents_tab import DocumentsTab
    from kit.web.page.places import SHARED
    from kit.web.page.widgets import gr

    tab, request = DocumentsTab(services), gr.Request(username="local")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            name = self.rfile.read(int(self.headers["content-length"])).decode()
            folder = Path(os.environ["GRADIO_TEMP_DIR"]) / hashlib.sha256(name.encode()).hexdigest()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content(name))
            drawn = [str(shown[1]) for shown in tab.upload([str(folder / name)], SHARED, request)]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(drawn[-1].encode())

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def run_engine(_home: Path, port: int) -> None:
    """Repeats the first line with a code in it, word by word."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            self._json({"data": [{"id": "echo", "meta": {"n_ctx": 8192}}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "messages" not in body:
                self._json({"tokens": body["content"].split()})
                return
            prompt = "\n".join(message["content"] for message in body["messages"])
            said = re.search(r"The code of \S+ is \w+\.", prompt)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for word in (said[0] if said else "I do not know.").split():
                time.sleep(0.02)
                self._event({"delta": {"content": f"{word} "}})
            self._event({"delta": {}, "finish_reason": "stop"})

        def _event(self, choice: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
            self.wfile.flush()

        def _json(self, record: dict[str, Any]) -> None:
            data = json.dumps(record).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def run_mother(home: Path, _port: int) -> None:
    """Has imported what the page's process and the worker need, and forks one for each order: a
    process that is killed is back at once."""
    import chromadb
    import uvicorn

    import kit.library.index.vectors
    import kit.library.worker
    import kit.web.page.documents_tab
    import kit.web.services
    import kit.web.shell  # noqa: F401 - the import is what is wanted

    del chromadb, uvicorn
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are gone
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process:
            print(process, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with open(os.devnull) as nothing, open(order["log"], "a") as log:
            for stream, number in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(stream.fileno(), number)
        arm(order["name"], order["kill_at"])
        try:
            CHILDREN[order["name"]](home, order["port"])
        finally:
            os._exit(1)


def run_adder(home: Path, _port: int) -> None:
    """Adds the files that its input names, as `kit docs add` does beside a kit; names each that is
    acknowledged."""
    library = Library(home, Database(home / "kit.db"))
    for line in sys.stdin:
        path = Path(line.strip())
        with path.open("rb") as stream:
            library.add(stream, path.name, added_by="local")
        print(path.name, flush=True)


# Who kills --------------------------------------------------------------------------------------


class Child:
    """One process, started again whenever it is gone."""

    def __init__(self, name: str, home: Path, port: int) -> None:
        self.name, self.home, self.port = name, home, port
        self.log = home.parent / f"{name}.log"
        self.process: subprocess.Popen[str] | None = None
        self.kill_at = 0

    @property
    def was_started(self) -> bool:
        return self.process is not None

    def start(self, *, kill_at: int = 0) -> None:
        self.kill_at = kill_at
        command = [sys.executable, "-m", "tests.e2e.kill_loop", str(self.home)]
        command += ["--child", self.name, "--port", str(self.port), "--kill-at", str(kill_at)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, line: str) -> str:
        """What it answers to a line; '' if it is gone. Raises: OSError."""
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            raise OSError("not there")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


class ForkedChild(Child):
    """One that a mother process forks."""

    def __init__(self, name: str, home: Path, port: int, mother: Child) -> None:
        super().__init__(name, home, port)
        self._mother, self._pid = mother, 0

    @property
    def was_started(self) -> bool:
        return bool(self._pid)

    def start(self, *, kill_at: int = 0) -> None:
        self.kill_at = kill_at
        order = {"name": self.name, "port": self.port, "kill_at": kill_at, "log": str(self.log)}
        self._pid = int(self._mother.ask(json.dumps(order)))

    def is_dead(self) -> bool:
        return not self._pid or not Path(f"/proc/{self._pid}").exists()

    def kill(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            while not self.is_dead():
                time.sleep(0.002)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


@dataclass
class Ledger:
    """What was acknowledged. Names are unique; a name tells its content."""

    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    unsure: dict[str, str] = field(default_factory=dict)
    """Name -> 'add' or 'remove': asked for, and the answer never came."""
    answered: list[tuple[str, str, str]] = field(default_factory=list)
    """(conversation, question, answer) whose last event arrived."""


def content(name: str) -> str:
    """Several passages; the code is in no other document."""
    code = hashlib.sha256(name.encode()).hexdigest()[:31] + "7"
    filler = " ".join(f"Line {n} of {name} says little." for n in range(150))
    return f"# About {name}\n\nThe code of {name} is {code}.\n\n{filler}\n"


class Loop:
    """Kills children of one home until `num_kills` have died, and checks what is there."""

    def __init__(self, home: Path, seed: int, say: Callable[[str], None] = print) -> None:
        self.home, self.say = home, say
        self.chance = random.Random(seed)
        self.client_chance = random.Random(seed + 1)
        self.ledger, self.deaths, self.num_checks = Ledger(), Counter[str](), 0
        self.num_operations, self._numbers = Counter[str](), itertools.count(1)
        self._pause, self._idle, self._stop = (threading.Event() for _ in range(3))
        ports = {name: claim_port("127.0.0.1", 0) for name in ("web", "engine", "worker", "adder")}
        (home.parent / "page.port").write_text(str(claim_port("127.0.0.1", 0)))
        self.mother = Child("mother", home, 0)
        self.children = {
            name: ForkedChild(name, home, port, self.mother)
            if name in ("web", "worker")
            else Child(name, home, port)
            for name, port in ports.items()
        }
        self.instance = Instance(
            os.getpid(),
            *(f"http://127.0.0.1:{ports[n]}" for n in ("web", "engine", "worker")),
            TOKEN,
        )
        self.database = Database(home / "kit.db")
        self.library = Library(home, self.database)
        self.failure: BaseException | None = None

    def run(self, num_kills: int, *, max_s: float = 1e9) -> None:
        """Kill that many, or until the time is over, and check now and then and at the end.

        Raises: AssertionError with what was lost, doubled or left over."""
        url = self.instance.engine_url + "/v1"
        self.instance = Instance(**{**vars(self.instance), "engine_url": url})
        with own_home(self.home):
            announce(self.home, self.instance)
            self.mother.start()
            self._deadline = time.monotonic() + max_s
            client = threading.Thread(target=self._use, daemon=True)
            client.start()
            try:
                for goal in [*range(CHECK_EVERY, num_kills, CHECK_EVERY), num_kills]:
                    self._kill_until(goal)
                    self._check()
                    if time.monotonic() > self._deadline:
                        break
                if self.ledger.added and not self.ledger.answered:  # each question was cut off
                    self._ask(min(self.ledger.added))
                    self._check()
            finally:
                self._stop.set()
                for child in (*self.children.values(), self.mother):
                    child.kill()
                client.join(20)

    # -- killing

    def _count_death(self, child: Child) -> None:
        """Of one that was started; the first time it is not there yet."""
        if child.was_started:
            self.deaths[f"{child.name} at a {'step' if child.kill_at else 'moment'}"] += 1
            child.kill()

    def _kill_until(self, num_deaths: int) -> None:
        self._pause.clear()
        while self.deaths.total() < num_deaths and time.monotonic() < self._deadline:
            if self.failure:
                raise self.failure
            for child in self.children.values():
                if child.is_dead():
                    self._count_death(child)
                    is_armed = child.name in MAX_STEP and self.chance.random() < 0.5
                    step = self.chance.randint(1, MAX_STEP.get(child.name, 1))
                    child.start(kill_at=step if is_armed else 0)
            time.sleep(self.chance.uniform(0.05, 0.5))
            # One that will kill itself at a step is mostly left to it.
            weights = [WEIGHTS[n] * (0.2 if c.kill_at else 1) for n, c in self.children.items()]
            if self.chance.random() < 0.6:
                (victim,) = self.chance.choices(list(self.children), weights)
                self.children[victim].kill()

    # -- using

    def _use(self) -> None:
        """Add, remove and ask as fast as the kit lets, whatever is up; an operation that was not
        answered is asked for again later."""
        try:
            while not self._stop.is_set():
                if self._pause.is_set() and not self.ledger.unsure:
                    self._idle.set()
                    time.sleep(0.05)
                    continue
                self._operate()
        except BaseException as problem:  # noqa: BLE001 - told by the thread that kills
            self.failure = problem
            self._idle.set()

    def _operate(self) -> None:
        ledger, chance = self.ledger, self.client_chance
        if ledger.unsure and (self._pause.is_set() or chance.random() < 0.5):
            name, what = chance.choice(sorted(ledger.unsure.items()))
        else:
            kinds = ("add", "adder", "page", "remove", "ask")
            what = chance.choices(kinds, (3, 3, 2, 4, 3))[0]
            full = len(ledger.added) > MAX_DOCUMENTS
            what = "remove" if full and what != "ask" else what
            name = f"note-{next(self._numbers)}.md"
            if what in ("remove", "ask"):
                if not ledger.added:
                    return
                name = chance.choice(sorted(ledger.added))
        try:
            getattr(self, f"_{what}")(name)
            self.num_operations[what] += 1
        except (KitError, OSError, ValueError, http.client.HTTPException):
            self.num_operations[f"{what} unanswered"] += 1
            time.sleep(0.05)

    def _remote(self) -> RemoteKit:
        return RemoteKit(self.instance.web_url, TOKEN)

    def _add(self, name: str) -> None:
        self.ledger.unsure[name] = "add"
        with contextlib.closing(self._remote()) as kit:
            record = kit.add(io.BytesIO(content(name).encode()), name, "library")
        assert record.name == name
        self._acknowledge_add(name)

    def _page(self, name: str) -> None:
        self.ledger.unsure[name] = "add"
        address = f"http://127.0.0.1:{page_port(self.home)}/"
        with urllib.request.urlopen(address, name.encode(), timeout=30) as answer:
            shown = answer.read().decode()
        if "is stored" not in shown and "is already here" not in shown:
            raise OSError(shown)
        self._acknowledge_add(name)

    def _adder(self, name: str) -> None:
        path = self.home.parent / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content(name))
        self.ledger.unsure[name] = "add"
        if self.children["adder"].ask(str(path)) != name:
            raise OSError("it was killed")
        self._acknowledge_add(name)

    def _acknowledge_add(self, name: str) -> None:
        self.ledger.unsure.pop(name, None)
        self.ledger.added.add(name)

    def _remove(self, name: str) -> None:
        self.ledger.added.discard(name)
        self.ledger.unsure[name] = "remove"
        with contextlib.closing(self._remote()) as kit:
            found: list[DocumentRecord] = [r for r in kit.documents() if r.name == name]
            assert len(found) < 2, f"{name} is there {len(found)} times"
            for record in found:
                kit.remove(record.id)
        self.ledger.unsure.pop(name, None)
        self.ledger.removed.add(name)

    def _ask(self, name: str) -> None:
        with contextlib.closing(self._remote()) as kit:
            chat = kit.new_conversation()
            question = f"What is the code of {name}?"
            for event in kit.ask(question, collection=None, conversation_id=chat):
                if isinstance(event, Finished):
                    self.ledger.answered.append((chat, question, event.answer.text))

    # -- checking

    def _check(self) -> None:
        """Nobody is killed until everything is read, purged and indexed; then all of it is
        compared with what was acknowledged."""
        began = time.monotonic()
        self._idle.clear()
        self._pause.set()
        deadline = time.monotonic() + SETTLE_S
        while not (self._idle.is_set() and self._is_settled()):
            assert time.monotonic() < deadline, f"not settled: {self._reasons()}"
            if self.failure:
                raise self.failure
            for child in self.children.values():
                if child.is_dead():
                    self._count_death(child)
                    child.start()
            time.sleep(0.2)
        check_documents(self.library, self.ledger)
        check_conversations(self.database, self.ledger)
        self._check_index()
        assert not where(self.home, [content(n) for n in self.ledger.removed]), "traces are left"
        self.num_checks += 1
        settled_s = time.monotonic() - began
        self.say(
            f"settled in {settled_s:.0f} s; {self.deaths.total()} kills: "
            f"{len(self.ledger.added)} documents, "
            f"{len(self.ledger.removed)} removed, {len(self.ledger.answered)} answers, all whole"
        )

    def _reasons(self) -> dict[str, Any]:
        states = self.database.rows("SELECT state, count(*) FROM documents GROUP BY state")
        return {
            "documents": dict(states),
            "removals": self.database.rows("SELECT count(*) FROM removals")[0][0],
            "streaming": self._streaming(),
            "index": self._health(),
            "unsure": dict(self.ledger.unsure),
        }

    def _is_settled(self) -> bool:
        found = self._reasons()
        is_read = set(found["documents"]) <= {"indexed"}
        is_quiet = not (found["removals"] or found["unsure"] or found["streaming"])
        return (
            is_read and is_quiet and found["index"] == "ready" and self._chroma_ids() == self._ids()
        )

    def _streaming(self) -> int:
        (row,) = self.database.rows("SELECT count(*) FROM messages WHERE state = 'streaming'")
        return int(row[0])

    def _health(self) -> str:
        try:
            with contextlib.closing(self._remote()) as kit:
                return str(kit.status()["index_state"])
        except (KitError, KeyError):
            return "away"

    def _ids(self) -> list[int]:
        rows = self.database.rows(
            "SELECT chunk_id FROM vectors WHERE model = ? ORDER BY 1", (MODEL,)
        )
        return [row[0] for row in rows]

    def _chroma_ids(self) -> list[int] | None:
        path = self.home / "ids.json"
        path.unlink(missing_ok=True)
        self.children["web"].signal(signal.SIGUSR1)
        for _ in range(100):
            if path.exists():
                ids: list[int] | None = json.loads(path.read_text())
                return ids
            time.sleep(0.02)
        return None

    def _check_index(self) -> None:
        assert (
            self._chroma_ids()
            == self._ids()
            == [row[0] for row in self.database.rows("SELECT id FROM chunks ORDER BY id")]
        )


def check_documents(library: Library, ledger: Ledger) -> None:
    """Each acknowledged document is there once, whole; nothing else is."""
    database = library.database
    fresh = Database(database.path)  # FTS5 compares with what an older connection remembers
    assert fresh.rows("PRAGMA integrity_check") == [("ok",)]
    assert fresh.rows("PRAGMA foreign_key_check") == []
    fresh.close()
    records = library.list("local")
    assert sorted(record.name for record in records) == sorted(ledger.added)
    for record in records:
        text = content(record.name)
        assert record.state == "indexed", (record.name, record.error)
        assert library.original(record.id, "local").read_text() == text
        parsed = library.text(record.id, "local")
        hits = library.whole(record.id, "local").hits
        assert len(hits) == record.num_chunks > 1
        assert all(parsed.text[hit.start : hit.end] == hit.text for hit in hits)
        code = re.search(r"is (\w{32})\.", text)
        assert code is not None
        found = [chunk for chunk, _ in search_lexical(database, code[1], [1], 50)]
        assert found == [hit.chunk_id for hit in hits if code[1] in hit.text], record.name
    originals = {path.name for path in library.originals.glob("??/*")}
    assert originals >= {record.sha256 for record in records}


def check_conversations(database: Database, ledger: Ledger) -> None:
    """Question and answer alternate; what arrived is stored as it arrived, or was emptied because
    its document went."""
    rows = database.rows(
        "SELECT conversation_id, role, state, text FROM messages ORDER BY conversation_id, id"
    )
    stored: dict[str, list[tuple[str, str, str]]] = {}
    for conversation, *message in rows:
        stored.setdefault(conversation, []).append(tuple(message))  # type: ignore[arg-type]
    for messages in stored.values():
        roles = [role for role, _, _ in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(state != "streaming" for _, state, _ in messages)
    for conversation, question, answer in ledger.answered:
        (asked, _, first), (_, state, text) = stored[conversation]
        assert asked == "user"
        assert first in (question, EMPTIED)
        assert state == "complete"
        assert text in (answer, EMPTIED)


def where(home: Path, texts: list[str]) -> list[str]:
    """Files that hold the code of one of the documents.

    Read by another process: one that closes a file of the database loses the locks that its own
    connection has on it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    codes = [re.search(r"is (\w{32})\.", text) for text in texts]
    patterns = "\n".join(code[1] for code in codes if code)
    if not patterns:
        return []
    command = ["grep", "--recursive", "--files-with-matches", "--text", "--fixed-strings"]
    found = subprocess.run(
        [*command, "--file=-", str(home)],
        input=patterns,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.splitlines()


EMPTIED = "(This was emptied: it repeated a document that was removed.)"
CHILDREN = {"web": run_web, "worker": run_worker, "engine": run_engine, "adder": run_adder}
CHILDREN["mother"] = run_mother


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--max-s", type=float, default=1e9)
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--child", choices=sorted(CHILDREN))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.child:
        arm(options.child, options.kill_at)
        CHILDREN[options.child](options.home, options.port)
        return 0
    began = time.monotonic()
    options.home.mkdir(parents=True)
    loop = Loop(options.home, options.seed, lambda line: print(line, flush=True))
    loop.run(options.kills, max_s=options.max_s)
    print(dict(sorted(loop.deaths.items())), dict(sorted(loop.num_operations.items())))
    print(f"{loop.deaths.total()} kills in {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
