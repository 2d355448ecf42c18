"""Before the first process starts: what is refused, in which order, and what the plan holds."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from kit.config import Config, load_config
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import (
    AccessError,
    AlreadyRunning,
    DiskFull,
    KitError,
    MachineError,
    ModelError,
    NotFound,
    PortInUse,
)
from kit.instance import find_instance, own_home
from kit.ops import start
from kit.ops.start import Voice, child_specs, make_plan, public_address, run_kit
from kit.supply.catalog import ModelFile
from kit.supply.store import InstalledModel, import_gguf, write_record


class Heard:
    """What a start said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.voice = Voice(
            say=self.lines.append,
            ready=self.lines.append,
            progress=lambda *_: None,
            done=lambda: None,
        )


def never(*_: Any, **__: Any) -> None:
    pytest.fail("went on although it should have been refused")


@pytest.fixture(autouse=True)
def _nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fetch, no measuring, no child in these tests."""
    for name in ("fetch_starters", "prepare_chat_model", "add_samples", "_supervise"):
        monkeypatch.setattr(start, name, never)


def up(home: Path, **flags: Any) -> None:
    config = load_config(
        {"web.port": 0, **{k.replace("_", "."): v for k, v in flags.items()}}, home=home
    )
    run_kit(config, Heard().voice, is_first_run_allowed=True, with_samples=True)


def test_a_taken_port_stops_before_anything_slow(home: Path) -> None:
    """A port in use is refused before models are fetched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse):
            up(home, web_port=taken.getsockname()[1])


def test_a_second_kit_is_refused(home: Path) -> None:
    """While one kit owns the home, another does not start."""
    with own_home(home), pytest.raises(AlreadyRunning):
        up(home)


def test_other_addresses_need_an_account(home: Path) -> None:
    """Off the loopback nothing starts without an account; how to make one is said."""
    with pytest.raises(AccessError) as caught:
        up(home, web_host="0.0.0.0")
    assert "kit user add" in str(caught.value.hint)


def test_a_full_disk_stops_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little free space is said before anything is written."""
    monkeypatch.setattr("kit.files.DISK_FLOOR_BYTES", 1 << 62)
    with pytest.raises(DiskFull):
        up(home)
    assert not (home / "kit.db").exists()


def test_a_home_that_cannot_be_written_stops_it(tmp_path: Path) -> None:
    """A home below a file is refused in words."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="a file stands where a folder is needed"):
        up(tmp_path / "file" / "home")


def test_a_cut_model_is_named_before_any_fetch(home: Path, tmp_path: Path) -> None:
    """A damaged file given by --model is refused before starter models are fetched."""
    path = tmp_path / "cut.gguf"
    write_tiny_model(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match=r"cut\.gguf"):
        up(home, engine_model=str(path))
    with pytest.raises(NotFound):
        up(home, engine_model="nosuch")


def installed(home: Path, tmp_path: Path) -> None:
    """A chat model 'office' and an embedding model 'words'."""
    path = tmp_path / "office.gguf"
    write_tiny_model(path)
    import_gguf(home, path, "office")
    (home / "models" / "words").mkdir()
    (home / "models" / "words" / "a").write_bytes(b"x")
    file = ModelFile("a", "0" * 64, 1)
    write_record(home, InstalledModel("words", "embedding", "test", "MIT", (file,)))


def config_of(home: Path, **flags: Any) -> Config:
    flags = {"engine_model": "office", "library_embedding_model": "words"} | flags
    named = {k.replace("_", ".", 1): v for k, v in flags.items()}
    return load_config({"web.port": 0, **named}, home=home)


def test_the_plan_has_three_children(home: Path, tmp_path: Path) -> None:
    """Page first, then engine and worker, each with its log, on ports of the loopback."""
    installed(home, tmp_path)
    config = config_of(home)
    plan = make_plan(config, 7860)
    specs = child_specs(config, plan)
    assert [spec.name for spec in specs] == ["web", "engine", "worker"]
    assert [spec.log.name for spec in specs] == ["web.log", "engine.log", "worker.log"]
    engine = " ".join(specs[1].command)
    for words in ("--model", "office.gguf", "--host 127.0.0.1"):
        assert words in engine
    assert str(home / "models" / "words") in " ".join(specs[2].command)
    assert len({7860, plan.engine_port, plan.worker_port}) == 3
    assert len(plan.instance.token) > 40
    assert make_plan(config, 7860).instance.token != plan.instance.token


def test_children_are_quiet(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every child starts with the switches that keep libraries silent, and without a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    installed(home, tmp_path)
    config = config_of(home)
    for spec in child_specs(config, make_plan(config, 7860)):
        assert spec.environ["HF_HUB_OFFLINE"] == "1"
        assert spec.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert "HTTPS_PROXY" not in spec.environ
        assert "secret" not in " ".join(spec.command)


def test_another_server_replaces_the_engine(home: Path, tmp_path: Path) -> None:
    """With [engine] url no engine is started, and the page is told that address."""
    installed(home, tmp_path)
    config = config_of(home, engine_url="http://gpu:8000/v1/")
    plan = make_plan(config, 7860)
    assert [spec.name for spec in child_specs(config, plan)] == ["web", "worker"]
    assert plan.instance.engine_url == "http://gpu:8000/v1"


def test_the_run_file_lives_as_long_as_the_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While children run the instance is announced; afterwards, also after an error, it is not."""
    installed(home, tmp_path)
    monkeypatch.setattr(start, "prepare_chat_model", lambda *_, **__: None)
    monkeypatch.setattr(start, "add_samples", lambda *_, **__: None)
    monkeypatch.setattr(start, "fetch_starters", lambda *_, **__: None)
    seen: list[Any] = []

    def supervise(config: Config, plan: Any, voice: Voice) -> None:
        seen.append(find_instance(home))
        assert seen[0] == plan.instance
        assert seen[0].pid == os.getpid()
        raise KitError("the page failed")

    monkeypatch.setattr(start, "_supervise", supervise)
    with pytest.raises(KitError, match="the page failed"):
        run_kit(config_of(home), Heard().voice, is_first_run_allowed=True, with_samples=True)
    assert len(seen) == 1
    assert find_instance(home) is None
    with own_home(home):
        pass


def test_sigterm_in_the_first_run_is_a_clean_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while models are fetched ends with 0, and the home is free again."""

    def fetch(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        never()

    monkeypatch.setattr(start, "fetch_starters", fetch)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        up(home)
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    with own_home(home):
        pass


def test_serve_fetches_nothing(home: Path) -> None:
    """`kit serve` on a home without models is an error that names a missing one."""
    with pytest.raises(NotFound, match="is installed"):
        run_kit(
            load_config({"web.port": 0}, home=home),
            Heard().voice,
            is_first_run_allowed=False,
            with_samples=False,
        )


def test_the_address_names_this_machine() -> None:
    """On all addresses the printed one is this machine's name, else the address itself."""
    assert public_address("127.0.0.1", 7860) == "http://127.0.0.1:7860/"
    assert public_address("0.0.0.0", 7860) == f"http://{socket.gethostname()}:7860/"
    assert public_address("10.1.2.3", 443, is_https=True) == "https://10.1.2.3:443/"
