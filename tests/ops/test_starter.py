"""The first run: what is fetched, which type is chosen, and that it happens once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.config import load_config
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.gguf import read_gguf
from kit.engine.quantize import Measurement
from kit.engine.quantizing.choose import Choice
from kit.errors import EngineError
from kit.ops import starter
from kit.ops.starter import (
    choose_best,
    choose_fastest,
    fetch_starters,
    needed_models,
    prepare_chat_model,
    quantized_name,
    use_type,
    write_passports,
)
from kit.samples import read_text
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING
from kit.supply.passport_json import find_passport
from kit.supply.store import (
    InstalledModel,
    find_damage,
    find_installed,
    import_gguf,
    model_folder,
    model_path,
)
from tests.engine.quantizing.figures import candidate

SPEEDS = {
    "Q4_1": (239.0, 69.0),
    "Q4_0": (676.0, 98.0),
    "Q4_K_M": (427.0, 66.0),
    "Q8_0": (453.0, 63.0),
}


class Quantizer:
    """Stands for kit.engine.quantize: real files, given speeds, counted calls."""

    def __init__(self, speeds: dict[str, tuple[float, float]] = SPEEDS) -> None:
        self.speeds = speeds
        self.num_measured = 0
        self.error: Exception | None = None

    def measure_types(
        self, source: Path, types: Sequence[str], work_folder: Path, *, home: Path | None = None
    ) -> list[Measurement]:
        self.num_measured += 1
        if self.error:
            raise self.error
        work_folder.mkdir(parents=True, exist_ok=True)
        out = []
        for name in types:
            path = work_folder / f"{name}.gguf"
            write_tiny_model(path)
            prefill, decode = self.speeds.get(name, (1.0, 1.0))
            out.append(Measurement(name, path, path.stat().st_size, prefill, decode))
        return out

    def quantize(self, source: Path, destination: Path, quant_type: str, **_: Any) -> Path:
        write_tiny_model(destination)
        return destination


@pytest.fixture
def quantizer(monkeypatch: pytest.MonkeyPatch) -> Quantizer:
    fake = Quantizer()
    monkeypatch.setattr("kit.engine.quantize.measure_types", fake.measure_types)
    monkeypatch.setattr("kit.engine.quantize.quantize", fake.quantize)
    return fake


@pytest.fixture
def model(home: Path, tmp_path: Path) -> InstalledModel:
    """The starter model's name, with a tiny file behind it."""
    path = tmp_path / "Tiny.Q4_1.gguf"
    write_tiny_model(path)
    return import_gguf(home, path, STARTER_CHAT)


def test_the_fastest_type_runs_and_the_numbers_stay(
    home: Path, model: InstalledModel, quantizer: Quantizer
) -> None:
    """The type that answers soonest becomes the active file; what was measured is kept with it."""
    said: list[str] = []
    prepare_chat_model(home, say=said.append)
    chosen = find_installed(home, STARTER_CHAT)
    assert chosen.quant_type == "Q4_0"
    assert model_path(home, chosen).name == "Tiny.Q4_0.gguf"
    assert {s.quant_type: s.prefill_tok_per_s for s in chosen.measured}["Q4_0"] == 676.0
    assert find_damage(home, chosen, by_digest=True) == []
    assert (model_folder(home, STARTER_CHAT) / "Tiny.Q4_1.gguf").exists()  # the source stays
    assert not (home / "tmp" / f"measure-{STARTER_CHAT}").exists()
    assert "runs as Q4_0" in said[-1]


def test_it_is_done_once_per_cpu(
    home: Path, model: InstalledModel, quantizer: Quantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second start measures nothing; a home carried to another CPU is measured again."""
    prepare_chat_model(home, say=lambda _: None)
    prepare_chat_model(home, say=lambda _: None)
    assert quantizer.num_measured == 1
    monkeypatch.setattr("kit.engine.cpu.machine.cpu_name", lambda: "another CPU")
    prepare_chat_model(home, say=lambda _: None)
    assert quantizer.num_measured == 2


def test_if_it_cannot_be_measured_it_runs_as_it_arrived(
    home: Path, model: InstalledModel, quantizer: Quantizer
) -> None:
    """A measurement that fails is said, and the model that arrived is used."""
    quantizer.error = EngineError("measure was killed by SIGSEGV")
    said: list[str] = []
    prepare_chat_model(home, say=said.append)
    assert find_installed(home, STARTER_CHAT) == model
    assert "SIGSEGV" in said[-1]


def test_the_arrived_type_may_win(home: Path, model: InstalledModel, quantizer: Quantizer) -> None:
    """If no other type is faster, the file that arrived stays the active one."""
    arrived = "F32"  # what the tiny model says it is
    quantizer.speeds = {"F32": (900.0, 900.0)}
    from kit.engine.gguf import read_gguf

    arrived = read_gguf(model_path(home, model)).type_name
    quantizer.speeds = {arrived: (900.0, 900.0)}
    chosen = choose_fastest(home, model)
    assert chosen.active == model.active
    assert [file.path for file in chosen.files] == [model.active]


@pytest.mark.parametrize(("chosen", "has_matrix"), [("Q4_K_M", True), ("arrived", False)])
def test_the_best_type_is_chosen_by_speed_and_loss(
    home: Path,
    model: InstalledModel,
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
    has_matrix: bool,
) -> None:
    """The card's limit reaches the rule; the type it names runs, and tells of its matrix."""
    source = model_path(home, model)
    asked: dict[str, Any] = {}

    def weigh(path: Path, text: str, destination: Path, *, home: Path) -> None:
        assert (path, len(text) > 5000) == (source, True)
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(b"a matrix")

    def measure_and_choose(path: Path, work: Path, text: str, **given: Any) -> Choice:
        asked.update(given, text=text)
        work.mkdir(parents=True)
        made = work / "made.gguf"
        write_tiny_model(made)
        arrived = read_gguf(path).type_name
        candidates = [candidate("Q4_K_M", 400, 60, 0.05), candidate(arrived, 300, 50, 0.0)]
        places = (made, path)
        candidates = [
            replace(one, speed=replace(one.speed, path=place))
            for one, place in zip(candidates, places, strict=True)
        ]
        return Choice(candidates[chosen == "arrived"], tuple(candidates), arrived, 0.07)

    monkeypatch.setattr("kit.engine.quantizing.importance.weigh", weigh)
    monkeypatch.setattr("kit.engine.quantizing.auto.measure_and_choose", measure_and_choose)
    changed, choice, matrix = choose_best(home, model, max_kl=0.07)
    assert asked["max_kl"] == 0.07
    assert asked["importance"].read_bytes() == b"a matrix"
    assert asked["text"] not in read_text()
    assert changed.quant_type == choice.chosen.type_name
    assert (changed.active == model.active) != has_matrix
    assert bool(matrix) == has_matrix
    assert len(changed.measured) == 2
    assert find_damage(home, changed, by_digest=True) == []


def test_a_type_can_be_asked_for(home: Path, model: InstalledModel, quantizer: Quantizer) -> None:
    """`use_type` makes that type the active file and keeps the source."""
    changed = use_type(home, model, "Q8_0")
    assert changed.active == "Tiny.Q8_0.gguf"
    assert len(changed.files) == 2
    again = use_type(home, changed, "Q8_0")
    assert again.files == changed.files


@pytest.mark.parametrize(
    ("name", "quant_type", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_0", "SmolLM2-135M-Instruct.Q4_0.gguf"),
        ("Office-8B-F16.gguf", "Q4_K_M", "Office-8B-Q4_K_M.gguf"),
        ("Office-8B-Q5_K_M.gguf", "Q8_0", "Office-8B-Q8_0.gguf"),
        ("Office-8B-IQ4_XS.gguf", "Q8_0", "Office-8B-Q8_0.gguf"),
        ("office.gguf", "Q8_0", "office.Q8_0.gguf"),
        ("bf16.gguf", "Q8_0", "bf16.Q8_0.gguf"),
    ],
)
def test_names_say_their_type(name: str, quant_type: str, expected: str) -> None:
    """A quantized file's name has the new type in the place of the old one."""
    assert quantized_name(name, quant_type) == expected


def test_only_what_is_needed_is_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine or model needs no starter chat model; what is whole is not fetched again."""
    assert needed_models(load_config(home=home)) == [STARTER_CHAT, STARTER_EMBEDDING]
    assert needed_models(load_config({"engine.url": "http://gpu/v1"}, home=home)) == [
        STARTER_EMBEDDING
    ]
    assert needed_models(load_config({"engine.model": "office"}, home=home)) == [STARTER_EMBEDDING]
    fetched: list[str] = []
    monkeypatch.setattr(starter, "pull", lambda home, card, **_: fetched.append(card.name))
    fetch_starters(load_config(home=home), say=lambda _: None, on_progress=lambda *_: None)
    assert fetched == [STARTER_CHAT, STARTER_EMBEDDING]


def test_a_damaged_starter_is_fetched_again(
    home: Path, model: InstalledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A starter model that lost bytes is fetched again; one that is whole is not."""
    config = replace(load_config(home=home))
    fetched: list[str] = []
    monkeypatch.setattr(starter, "pull", lambda home, card, **_: fetched.append(card.name))
    fetch_starters(config, say=lambda _: None, on_progress=lambda *_: None)
    assert fetched == [STARTER_EMBEDDING]
    path = model_path(home, model)
    path.write_bytes(path.read_bytes()[:-1])
    fetch_starters(config, say=lambda _: None, on_progress=lambda *_: None)
    assert fetched == [STARTER_EMBEDDING, STARTER_CHAT, STARTER_EMBEDDING]


def test_a_first_run_writes_passports_and_asks_nothing(
    home: Path, model: InstalledModel, quantizer: Quantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passport is of the file that runs; no process is started for it, nobody waits."""

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("a first run started the model to ask it")

    monkeypatch.setattr("kit.ops.passport.running_model", never)
    monkeypatch.setattr("kit.ops.passport.measure_speed", never)
    monkeypatch.setattr(starter, "needed_models", lambda config: [STARTER_CHAT])
    prepare_chat_model(home, say=lambda _: None)
    write_passports(load_config(home=home))
    chosen = find_installed(home, STARTER_CHAT)
    passport = find_passport(home, chosen)
    assert passport is not None
    assert passport.is_of(chosen)
    assert (passport.quant_type, passport.smoke, passport.speed) == ("Q4_0", None, None)
