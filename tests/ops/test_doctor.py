"""The doctor: every row has a state, every problem a next step, and one failure hides no other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kit.config import load_config
from kit.database import Database
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.cpu.variants import Choice, Variant
from kit.engine.devices import Seen
from kit.engine.gpu import Device
from kit.errors import MachineError
from kit.ops import doctor, recommend
from kit.ops.doctor import Finding, examine
from kit.ops.recommend import typical_answer_s
from kit.supply.catalog import find_card
from kit.supply.store import TypeSpeed, import_gguf
from tests.bundle.conftest import Box, box, stood_in  # noqa: F401 - the fixtures
from tests.bundle.made import KEY
from tests.cli.conftest import RunKit, run_kit  # noqa: F401 - the fixture


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU variant was chosen; nothing is tried here."""
    trials = [
        {"name": "sapphirerapids", "score": 9, "outcome": "killed by SIGSEGV"},
        {"name": "icelake", "score": 8, "outcome": "works"},
    ]
    seen = {"variant": "icelake", "cpu": "Some CPU", "trials": trials}
    monkeypatch.setattr("kit.engine.cpu.variants.describe", lambda _: seen)


def rows(home: Path, **flags: object) -> dict[str, Finding]:
    named = {key.replace("_", ".", 1): value for key, value in flags.items()}
    return {finding.name: finding for finding in examine(load_config(named, home=home))}


def test_an_empty_home_says_what_to_get(home: Path) -> None:
    """Without models the doctor names each missing one and the command that gets it."""
    found = rows(home)
    assert found["chat model"].state == "fail"
    assert "kit model pull smollm2-135m" in found["chat model"].next_step
    assert found["embedding model"].state == "fail"
    for finding in found.values():
        assert finding.state == "ok" or finding.next_step, finding


def test_it_says_which_variant_runs_and_what_the_others_did(home: Path) -> None:
    """The chosen CPU variant is named, and how the better-scored ones died."""
    found = rows(home)
    assert found["cpu"].found.startswith("Some CPU")
    assert found["engine"].found == "llama.cpp runs as icelake (sapphirerapids killed by SIGSEGV)"


def test_gpus_are_named_where_the_build_is_for_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row for a CPU build; a card with what is free; none with what is wrong; or not used."""
    variant = Variant("icelake", tmp_path / "libggml-cpu-icelake.so")
    monkeypatch.setattr("kit.engine.cpu.variants.choose_variant", lambda _: Choice(variant, ()))
    assert "gpu" not in rows(home)
    (tmp_path / "libggml-cuda.so").touch()
    seen = Seen((Device("Card", 3 << 30),))
    monkeypatch.setattr("kit.engine.devices.find_devices", lambda _: seen)
    assert rows(home)["gpu"].found == "Card, 3.0 GiB free"
    assert rows(home, engine_gpu_layers=0)["gpu"].found == "not used (engine.gpu_layers is 0)"
    seen = Seen((), "libcudart.so.13: cannot open shared object file")
    found = rows(home)["gpu"]
    assert (found.state, found.found) == ("warn", f"built for cuda, no device: {seen.said}")
    assert "driver and run-time libraries" in found.next_step

    def fails(_: object) -> None:
        raise MachineError("no build of llama.cpp runs on this CPU")

    monkeypatch.setattr("kit.engine.cpu.variants.choose_variant", fails)
    assert "gpu" not in rows(home)  # it is the CPU's row that says so, once


def test_one_failure_hides_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that fails is one row; all others are still there."""

    def fails(_: object) -> None:
        raise MachineError("no variant runs", hint="build it again")

    before = set(rows(home))
    monkeypatch.setattr("kit.engine.cpu.variants.describe", fails)
    found = rows(home)
    assert found["cpu"] == Finding("cpu", "fail", "no variant runs", "build it again")
    assert before - set(found) == {"engine"}


def test_a_changed_bit_in_a_model_is_found(home: Path, tmp_path: Path) -> None:
    """The doctor reads every byte: a model with one changed bit fails, with a way to cure it."""
    path = tmp_path / "office.gguf"
    write_tiny_model(path)
    import_gguf(home, path, "office")
    assert rows(home)["model office"].state == "ok"
    damaged = home / "models" / "office" / "office.gguf"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    finding = rows(home)["model office"]
    assert finding.state == "fail"
    assert "sha256" in finding.found
    assert "kit model import" in finding.next_step


def test_a_taken_port_and_a_missing_account_are_found(home: Path) -> None:
    """The doctor names a port that is taken and an address that needs an account."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = rows(home, web_port=taken.getsockname()[1])
    assert found["port"].state == "warn"
    assert "--port" in found["port"].next_step
    people = rows(home, web_host="0.0.0.0", web_port=0)["people"]
    assert people.state == "fail"
    assert "kit user add" in people.next_step


def test_documents_that_cannot_be_searched_are_counted(home: Path, database: Database) -> None:
    """Refused documents are a warning with the command that shows why."""
    with database.write() as connection:
        connection.execute("INSERT INTO collections VALUES (1, 'library', NULL)")
        connection.execute(
            "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
            " created_at, updated_at) VALUES ('d', 'x.pdf', 1, 'local', '', 1, 'refused', '', '')"
        )
    finding = rows(home)["library"]
    assert (finding.state, finding.found) == ("warn", "1 refused")
    assert "kit docs list" in finding.next_step


def test_the_recommendation_is_honest_about_waiting() -> None:
    """An answer's estimated time grows with the model, from what the starter measured here."""
    speed = TypeSpeed("Q4_0", 676.0, 98.0)
    seconds = [typical_answer_s(find_card(f"qwen3-{size}"), speed) for size in ("4b", "8b", "14b")]
    assert seconds == sorted(seconds)
    assert seconds[0] == pytest.approx(4_022_468_096 / 134_515_008 * (1000 / 676 + 150 / 98))


def test_a_small_machine_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too little memory for a real model, another server is the next step."""
    monkeypatch.setattr("kit.engine.cpu.machine.available_memory", lambda: 1 << 30)
    assert "lacks the memory" in doctor._better_model(load_config(home=home))
    monkeypatch.setattr("kit.engine.cpu.machine.available_memory", lambda: 64 << 30)
    assert "Qwen3 30B-A3B Instruct 2507" in doctor._better_model(load_config(home=home))
    slow = TypeSpeed("Q4_0", 1.0, 1.0)
    monkeypatch.setattr(recommend, "starter_speed", lambda _: slow)
    assert "lacks the speed" in doctor._better_model(load_config(home=home))


def test_a_release_is_said_to_be_changed_only_if_it_was(
    box: Box,  # noqa: F811
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that is trusted no more leaves the files as they were signed."""
    box.install(box.bundle(), fingerprint=KEY.public.fingerprint)
    monkeypatch.setattr(doctor, "installation_root", lambda: box.root.folder)
    assert rows(home)["release"].state == "ok"
    current = box.root.current
    assert current is not None
    (current.files / "docs" / "index.html").write_text("mine")
    assert "was changed: docs/index.html" in rows(home)["release"].found
    (current.files / "docs" / "index.html").write_bytes(b"<p>Hello</p>\n")
    box.root.distrust(KEY.public)
    found = rows(home)["release"]
    assert (found.state, "was changed" in found.found) == ("fail", False)
    assert "no key that is trusted here" in found.found


def test_the_command_fails_if_a_check_does(run_kit: RunKit) -> None:  # noqa: F811
    """`kit doctor` ends with 4 if something fails, and --json carries every row."""
    result = run_kit("doctor", "--json")
    assert result.code == 4
    checks = result.json()["checks"]
    assert {check["state"] for check in checks} <= {"ok", "warn", "fail"}
    assert all({"name", "state", "found", "next_step"} == set(check) for check in checks)
    assert "-> " in run_kit("doctor").out
