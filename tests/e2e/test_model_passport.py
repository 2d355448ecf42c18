"""The starter models' passports for real, and what the questions say of badly converted files."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.engine.gguf import GgufTensor, read_gguf
from kit.errors import ModelError
from kit.ops.check_model import check_model, ensure_passport
from kit.ops.passport import make_passport
from kit.supply.passport import Passport
from kit.supply.passport_json import parse_passport
from kit.supply.runnable import find_chat_file
from kit.supply.store import find_installed, import_gguf
from tests.e2e.drive import link_models, run_kit

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def mute(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def home(starter_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own with the starter models; what is written there is not theirs."""
    folder = tmp_path_factory.mktemp("passport")
    shutil.copytree(starter_models, folder / "models", copy_function=shutil.copy)
    for left in folder.glob("models/*/passport.json"):
        left.unlink()
    return folder


@pytest.fixture(scope="module")
def passport(home: Path) -> Passport:
    return make_passport(home, find_installed(home, "smollm2-135m"), say=mute)


def test_the_starter_model_is_sound(passport: Passport) -> None:
    """The smallest model that ships manages enough: nothing broken, some answers right."""
    assert passport.smoke is not None
    assert passport.smoke.problems() == []
    right = {a.name for a in passport.smoke.answers if a.outcome == "passed"}
    assert {"loads", "not-empty", "probabilities", "continues"} <= right


def test_what_a_first_start_chooses_is_accepted(starter_models: Path, tmp_path: Path) -> None:
    """`kit up` may run the starter in Q4_0: asking it, and choosing that type by hand, says so too,
    with what it cost, and the model still runs."""
    home = tmp_path / "home"
    shutil.copytree(starter_models, home / "models", copy_function=shutil.copy)
    assert run_kit(home, "model", "quantize", "smollm2-135m", "--type", "Q4_0").code == 0
    shown = run_kit(home, "model", "show", "smollm2-135m", "--json").json()
    assert shown["installed"]["quant_type"] == "Q4_0"
    assert 0.1 < shown["passport"]["loss"]["mean_kl"] < shown["card"]["max_kl"]
    assert find_chat_file(home, "smollm2-135m").is_file()


def test_its_figures_are_possible(passport: Passport) -> None:
    """Speed is above nothing, memory more than the weights, versions are known."""
    assert passport.speed is not None
    assert passport.speed.prefill_tok_per_s > 1
    assert (passport.speed.decode_tok_per_s or 0) > 1
    memory = passport.memory
    assert memory.weights_bytes < (memory.resident_bytes or 0) < memory.weights_bytes + (2 << 30)
    assert memory.contexts[0].kv_bytes == 2 * 30 * 3 * 64 * 2 * 2048
    assert len(passport.tools.llama_cpp) >= 7


def test_the_same_machine_answers_the_same(home: Path, passport: Passport) -> None:
    """A check repeats the greedy answers to the letter, but for one or two that were close: how far
    the engine guesses ahead follows the clock, and other batches round otherwise."""
    checked = check_model(home, find_installed(home, "smollm2-135m"), say=mute)
    assert len(checked.changed) <= 2
    assert checked.passport == passport


def test_the_embedding_model_is_sound(home: Path) -> None:
    """Every question about vectors passes, asked of the worker that serves them."""
    passport = make_passport(home, find_installed(home, "all-minilm-l6-v2"), say=mute)
    assert passport.smoke is not None
    assert [a.name for a in passport.smoke.answers if a.outcome != "passed"] == []
    assert passport.speed is not None
    assert passport.speed.decode_tok_per_s is None


# -- what a bad conversion leaves ------------------------------------------------------------------


def tensors(path: Path, *parts: str) -> list[GgufTensor]:
    return [t for t in read_gguf(path).tensors if any(part in t.name for part in parts)]


def rows_turned(path: Path) -> None:
    """Every query and key matrix with its rows in reverse: a permutation that was forgotten."""
    with path.open("r+b") as file:
        for tensor in tensors(path, "attn_q.weight", "attn_k.weight"):
            file.seek(tensor.offset)
            data = file.read(tensor.size_bytes)
            row = tensor.size_bytes // tensor.shape[1]
            file.seek(tensor.offset)
            file.write(b"".join(data[at : at + row] for at in range(len(data) - row, -1, -row)))


def not_numbers(path: Path) -> None:
    """The last normalisation full of NaN, as an overflow in half precision leaves it."""
    with path.open("r+b") as file:
        (tensor,) = tensors(path, "output_norm.weight")
        file.seek(tensor.offset)
        file.write(struct.pack("<f", float("nan")) * (tensor.size_bytes // 4))


def layers_shuffled(path: Path) -> None:
    """The second half of every feed-forward matrix twice: a shard that was read again."""
    with path.open("r+b") as file:
        for tensor in tensors(path, "ffn_down.weight", "ffn_up.weight", "attn_v.weight"):
            half = tensor.size_bytes // 2
            file.seek(tensor.offset + half)
            data = file.read(half)
            file.seek(tensor.offset)
            file.write(data)


def vocabulary_shifted(path: Path) -> None:
    """The embeddings one row off: added tokens that were counted twice."""
    with path.open("r+b") as file:
        (tensor,) = tensors(path, "token_embd.weight")
        file.seek(tensor.offset)
        data = file.read(tensor.size_bytes)
        row = tensor.size_bytes // tensor.shape[1]
        file.seek(tensor.offset)
        file.write(data[row * 40 :] + data[: row * 40])


@pytest.mark.parametrize("damage", [rows_turned, not_numbers, layers_shuffled, vocabulary_shifted])
def test_a_bad_conversion_is_broken(
    chat_model: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Files that load and are whole by digest, but were converted wrongly, are refused."""
    path = tmp_path / "bad.gguf"
    shutil.copy(chat_model, path)
    damage(path)
    home = tmp_path / "home"
    model = import_gguf(home, path, "bad")
    with pytest.raises(ModelError, match="broken"):
        ensure_passport(home, model, say=mute)
    with pytest.raises(ModelError, match="broken"):
        find_chat_file(home, "bad")


def test_a_model_without_a_vocabulary_is_broken(tmp_path: Path) -> None:
    """What llama.cpp refuses to load is told as broken, in words."""
    from kit.engine.cpu.tiny_model import write_tiny_model

    write_tiny_model(tmp_path / "tiny.gguf")
    model = import_gguf(tmp_path / "home", tmp_path / "tiny.gguf", "tiny")
    with pytest.raises(ModelError) as caught:
        ensure_passport(tmp_path / "home", model, say=mute)
    assert caught.value.problems[0].where in ("loads", "not-empty")
    assert str(tmp_path) not in caught.value.problems[0].what


# -- commands --------------------------------------------------------------------------------------


def test_check_and_show(starter_models: Path, tmp_path: Path) -> None:
    """`kit model check NAME` makes the passport, `show` prints it, `quantize` writes a new one."""
    home, out = tmp_path / "home", tmp_path / "out"
    link_models(starter_models, home)
    checked = run_kit(home, "model", "check", "smollm2-135m", "--passport", str(out))
    assert checked.code == 0, checked.err
    assert "smoke questions passed" in checked.out
    passport = parse_passport((out / "passport.json").read_text(encoding="utf-8"))
    assert "sound;" in run_kit(home, "model", "show", "smollm2-135m").out
    done = run_kit(home, "model", "quantize", "smollm2-135m", "--type", "Q8_0", "--no-smoke")
    assert done.code == 0, done.err
    shown = run_kit(home, "model", "show", "smollm2-135m", "--json").json()["passport"]
    assert shown["quant_type"] == "Q8_0"
    assert [file["sha256"] for file in shown["inputs"]] == [f.sha256 for f in passport.inputs]
    assert len(shown["outputs"]) == 1


def test_scripts_do_the_steps(chat_model: Path, ready_models: Path, tmp_path: Path) -> None:
    """The thin scripts quantize a file and write a passport; a wrong call says how."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    environ = {"PYTHONPATH": str(ROOT), "KIT_HOME": str(home), "PATH": "/usr/bin:/bin"}

    def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    made = tmp_path / "made.gguf"
    done = script("model-quantize", str(chat_model), str(made), "Q8_0")
    assert done.returncode == 0, done.stderr
    assert read_gguf(made).type_name == "Q8_0"
    assert script("model-quantize", str(chat_model), str(made), "Q9_9").returncode == 2
    assert "SOURCE.gguf DESTINATION.gguf TYPE" in script("model-quantize").stderr
    done = script("model-passport", "smollm2-135m", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "passport.md").is_file()
    assert "NAME FOLDER" in script("model-passport").stderr
    assert "installed" in script("model-passport", "no-such", str(tmp_path)).stderr
