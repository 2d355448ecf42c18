"""Starting the web process: what it refuses, and what it makes quiet."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.config import Config, WebSettings, load_config
from kit.database import Database
from kit.errors import AccessError, ConfigError, EmbedError, MachineError, PortInUse
from kit.people.accounts import Accounts
from kit.silence import QUIET, quiet_environment
from kit.web.index import EmbeddingModel, FollowedIndex
from kit.web.neighbours import EngineWatch, WorkerWatch
from kit.web.server import listen, main, prepare, require_account

PASSWORD = "four quiet green herons"


@pytest.fixture
def config(home: Path) -> Config:
    return Config(home=home, web=WebSettings(host="0.0.0.0"))


def test_no_account_no_network(config: Config, database: Database) -> None:
    """Beyond loopback the kit starts only when somebody can sign in, and says how to get there."""
    with pytest.raises(AccessError) as caught:
        require_account(config)
    assert caught.value.hint == "make one, then start again: kit user add NAME"
    Accounts(database).add("ana", PASSWORD)
    require_account(config)


def test_refusal_is_one_line_and_a_hint(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends with an error line, a hint and the exit code of its class; no traceback."""
    monkeypatch.setenv("KIT_WEB_HOST", "0.0.0.0")
    monkeypatch.setattr("kit.web.server.prepare", lambda *_: None)
    assert main(["--home", str(home)]) == AccessError.exit_code
    error, hint = capsys.readouterr().err.strip().splitlines()
    assert error == "error: listening on 0.0.0.0 needs an account, and there is none"
    assert hint.startswith("hint: ")


def test_loopback_needs_no_account(config: Config) -> None:
    """On loopback the kit starts without accounts, and says nothing about encryption."""
    for host in ("127.0.0.1", "::1", "localhost"):
        require_account(replace(config, web=WebSettings(host=host)))


def test_plain_http_on_a_network_is_said(
    config: Config, database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a certificate one line says that nothing is encrypted; with one it is quiet."""
    Accounts(database).add("ana", PASSWORD)
    require_account(config)
    assert "unencrypted" in capsys.readouterr().err
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    web = replace(
        config.web, certfile=str(tmp_path / "cert.pem"), keyfile=str(tmp_path / "key.pem")
    )
    require_account(replace(config, web=web))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "web",
    [
        WebSettings(certfile="/nowhere.pem"),
        WebSettings(keyfile="/nowhere.pem"),
        WebSettings(certfile="/nowhere.pem", keyfile="/nowhere.pem"),
    ],
)
def test_half_a_certificate_is_refused(config: Config, web: WebSettings) -> None:
    """A certificate without its key, or one that is not there, is an error, not plain HTTP."""
    with pytest.raises(ConfigError):
        require_account(replace(config, web=web))


def test_port_in_use_is_told(config: Config) -> None:
    """A port that is taken is an error that names another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            listen(replace(config, web=WebSettings(port=port)))
    assert str(port + 1) in (caught.value.hint or "")


def test_address_of_another_machine_is_told(config: Config) -> None:
    """An address that this machine does not have is an error in words."""
    with pytest.raises(MachineError):
        listen(replace(config, web=WebSettings(host="192.0.2.1", port=0)))


def test_quiet_environment() -> None:
    """Every switch is set, every proxy and sharing variable is gone, and the rest is kept."""
    noisy = {"HTTPS_PROXY": "http://p:1", "http_proxy": "x", "GRADIO_SHARE": "True", "PATH": "/bin",
             "SPACE_ID": "a/b", "GRADIO_ANALYTICS_ENABLED": "True", "no_proxy": "x"}  # fmt: skip
    quiet = quiet_environment(noisy)
    assert quiet == {"PATH": "/bin", **QUIET}
    assert quiet["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_prepare_keeps_temporary_files_in_the_home(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads in transit lie inside KIT_HOME, in a folder of this user alone; old ones are gone."""
    left = config.home / "tmp" / "gradio" / "0123" / "secret.md"
    left.parent.mkdir(parents=True)
    left.touch()
    monkeypatch.setattr("tempfile.tempdir", None)
    environ = {"ALL_PROXY": "http://p:1"}
    prepare(config, environ)
    assert environ["GRADIO_TEMP_DIR"] == str(config.home / "tmp" / "gradio")
    assert "ALL_PROXY" not in environ
    assert not left.exists()
    assert os.stat(config.home / "tmp").st_mode & 0o777 == 0o700


def test_certificate_settings_are_settings(home: Path) -> None:
    """Certificate and key are set like every other setting."""
    config = load_config(home=home, environ={"KIT_WEB_CERTFILE": "/c", "KIT_WEB_KEYFILE": "/k"})
    assert (config.web.certfile, config.web.keyfile) == ("/c", "/k")


# The dense index in the background ---------------------------------------------------------------


MODEL = EmbeddingModel("minilm", 384)


class FakeIndex:
    """An index that counts how often it follows."""

    def __init__(self, *, fails: int = 0) -> None:
        self.num_followed = 0
        self.is_closed = False
        self.fails = fails
        self.is_ready = True
        self.state = "ready"

    def follow(self) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("broken index")
        self.num_followed += 1

    def close(self) -> None:
        self.is_closed = True

    def search(
        self, vector: np.ndarray, collection_ids: object, limit: int
    ) -> list[tuple[int, float]]:
        return [(1, 0.5)]


def _wait_for(condition: object) -> None:
    deadline = time.monotonic() + 5
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_page_does_not_wait_for_the_index() -> None:
    """Until the index is open, search finds nothing there, at once, and says 'waiting'."""
    may_open = threading.Event()

    def slow(_: EmbeddingModel) -> FakeIndex:
        may_open.wait(5)
        return FakeIndex()

    index = FollowedIndex(lambda: MODEL, slow, every_s=0.01)
    index.start()
    assert (index.is_ready, index.state) == (False, "waiting")
    assert index.search(np.zeros(2), [1], 5) == []
    may_open.set()
    _wait_for(lambda: index.is_ready)
    assert index.search(np.zeros(2), [1], 5) == [(1, 0.5)]
    index.close()


def test_index_follows_when_woken() -> None:
    """A change is followed at once when told, not only at the next turn."""
    fake = FakeIndex()
    index = FollowedIndex(lambda: MODEL, lambda _: fake, every_s=60)
    index.start()
    _wait_for(lambda: fake.num_followed == 1)
    index.wake()
    _wait_for(lambda: fake.num_followed == 2)
    index.close()


def test_another_model_has_another_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """When another model's vectors are to be searched, its index is built while the old one serves,
    takes its place, and only then is that told."""
    monkeypatch.setattr("kit.web.index.RETRY_AFTER_S", 0.01)
    model, opened, told = MODEL, {}, []
    seen = []

    class Built(FakeIndex):
        def follow(self) -> object:
            seen.append((index.model, opened[MODEL].is_closed))
            return super().follow()

    def open_index(wanted: EmbeddingModel) -> FakeIndex:
        made = FakeIndex() if wanted == MODEL else Built(fails=1)
        return opened.setdefault(wanted, made)

    index = FollowedIndex(lambda: model, open_index, told.append, every_s=0.005)
    index.start()
    _wait_for(lambda: told == [MODEL])
    model = EmbeddingModel("bge-m3", 1024)
    index._wake.set()
    _wait_for(lambda: told == [MODEL, model])
    assert seen[0] == (MODEL.name, False)
    assert opened[MODEL].is_closed
    assert index.model == "bge-m3"
    index.close()
    assert opened[model].is_closed


def test_broken_index_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that fails says so, is tried again, and does not end the thread."""
    monkeypatch.setattr("kit.web.index.RETRY_AFTER_S", 0.01)
    fake = FakeIndex(fails=2)
    index = FollowedIndex(lambda: MODEL, lambda _: fake, every_s=0.01)
    index.start()
    _wait_for(lambda: fake.num_followed > 0 and index.state == "ready")
    index.close()


def test_index_that_cannot_open_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason an index cannot be opened is its state, for the status page."""

    def refuse(_: EmbeddingModel) -> FakeIndex:
        raise EmbedError("another model made these vectors")

    index = FollowedIndex(lambda: MODEL, refuse)
    index.start()
    _wait_for(lambda: index.state == "another model made these vectors")
    index.close()


# Neighbours ---------------------------------------------------------------------------------------


def test_absent_worker_is_a_state() -> None:
    """Without a worker's address, or with nobody there, there is a state and no error."""
    absent = WorkerWatch("")
    absent.start()
    assert absent().state == "absent"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        unreachable = WorkerWatch(f"http://127.0.0.1:{closed.getsockname()[1]}")
    unreachable.start()
    assert unreachable().ready is False
    unreachable.close()
    unreachable._thread.join(5)


@pytest.mark.anyio
async def test_engine_is_asked_now_and_then() -> None:
    """However many want to know, the engine is asked once in two seconds."""
    asked = 0

    async def healthy() -> bool:
        nonlocal asked
        asked += 1
        return True

    watch = EngineWatch(healthy)
    assert [await watch() for _ in range(5)] == [True] * 5
    assert asked == 1
