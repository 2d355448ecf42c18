"""kit model: what is there, what arrives, what is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import FetchError, ModelError, NotFound, UsageError
from kit.supply import fetch
from kit.supply.machine import write_probe
from kit.supply.passport_json import parse_passport
from kit.supply.smoke.reply import Reply
from kit.supply.transfer import Patience
from tests.cli.conftest import RunKit
from tests.engine.quantizing.figures import loss
from tests.ops.scripted_model import ScriptedModel, script
from tests.supply.smoke.good_replies import LAST
from tests.supply.test_machine import PROBE


@pytest.fixture
def probe_file(tmp_path: Path) -> Path:
    """A server with 48 GiB to spare and a GPU."""
    path = tmp_path / "machine.json"
    path.write_text(write_probe(replace(PROBE, gpus=("NVIDIA L4",))), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """No command of these tests starts a model; this one answers in its place."""
    return script(monkeypatch)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Office-Q8_0.gguf"
    write_tiny_model(path)
    return path


def test_import_list_show_check_rm(run_kit: RunKit, gguf: Path) -> None:
    """A GGUF file is imported, listed, shown, checked byte by byte, and removed."""
    result = run_kit("model", "import", str(gguf), "--name", "office", "--json")
    assert result.code == 0
    assert result.json()["model"]["active"] == "Office-Q8_0.gguf"
    listed = run_kit("model", "list", "--json").json()["models"]
    by_name = {model["name"]: model for model in listed}
    assert by_name["office"]["installed"] is not None
    assert by_name["qwen3-8b"]["installed"] is None
    assert "office" in run_kit("model", "list").out
    assert "Office-Q8_0.gguf" in run_kit("model", "show", "office").out
    assert "office: whole (1 files)" in run_kit("model", "check").out
    assert run_kit("model", "rm", "office").code == 0
    assert run_kit("model", "check", "office").code == NotFound.exit_code


def test_check_names_a_changed_bit(run_kit: RunKit, gguf: Path, home: Path) -> None:
    """One changed bit is found, the file is named, and the next step is given."""
    run_kit("model", "import", str(gguf), "--name", "office")
    path = home / "models" / "office" / gguf.name
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    result = run_kit("model", "check")
    assert result.code == ModelError.exit_code
    assert "models/office/Office-Q8_0.gguf" in result.err
    assert "hint: " in result.err


def test_import_refuses_what_is_no_model(run_kit: RunKit, tmp_path: Path) -> None:
    """A file that is no GGUF, or is not there, is one clear error."""
    other = tmp_path / "letter.gguf"
    other.write_bytes(b"Dear Sir")
    assert run_kit("model", "import", str(other), "--name", "x").code == ModelError.exit_code
    absent = run_kit("model", "import", str(tmp_path / "absent.gguf"), "--name", "x")
    assert absent.code == ModelError.exit_code
    assert "absent.gguf" in absent.err


def test_import_refuses_an_unknown_type_before_copying(
    run_kit: RunKit, gguf: Path, home: Path
) -> None:
    """A quantization type that does not exist is refused before anything is copied."""
    result = run_kit("model", "import", str(gguf), "--name", "office", "--type", "Q9_9")
    assert result.code == UsageError.exit_code
    assert not (home / "models").exists()


def test_pull_says_when_the_hub_is_out_of_reach(
    run_kit: RunKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that does not answer is named, with what to check."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(fetch, "PATIENCE", Patience(first_wait_s=0.001))
    result = run_kit("model", "pull", "qwen3-8b")
    assert result.code == FetchError.exit_code
    assert "hf://Qwen/Qwen3-8B cannot be reached" in result.err
    assert "HF_ENDPOINT" in result.err


def test_show_states_memory_by_type_and_context(run_kit: RunKit) -> None:
    """`kit model show` says how much memory the model needs in each type at each context."""
    shown = run_kit("model", "show", "qwen3-8b").out
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("Q4_K_M")]
    assert [float(cell) for cell in row[1::2]] == [4.7, 5.7, 6.3, 9.7]
    assert "4,096" in shown
    assert "32,768" in shown
    rows = run_kit("model", "show", "qwen3-8b", "--json").json()["memory"]
    by_type = {row["quant_type"]: row for row in rows}
    assert by_type["F16"]["weights_bytes"] == 2 * 8_190_735_360


def test_list_says_what_fits_and_recommends(run_kit: RunKit, probe_file: Path) -> None:
    """For the machine of a probe file each model has memory, verdict and speed; one is advised."""
    result = run_kit("model", "list", "--for", str(probe_file))
    assert result.code == 0
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert "30.5 B (3.4 B active)" in lines["qwen3-30b-a3b"]
    assert " yes " in lines["qwen3-4b"]
    assert " no " in lines["gpt-oss-120b"]
    assert " no " in lines["deepseek-v3.2"]
    assert "recommended: qwen3-30b-a3b-instruct-2507, the largest" in result.out
    assert "Some CPU, probed 2026-11-26" in result.err
    assert "GPU memory is not counted: NVIDIA L4" in result.err


def test_list_for_a_machine_as_json(run_kit: RunKit, probe_file: Path) -> None:
    """The same as one JSON document, of one kind where asked."""
    document = run_kit(
        "model", "list", "--for", str(probe_file), "--kind", "reranker", "--json"
    ).json()
    assert {model["card"]["kind"] for model in document["models"]} == {"reranker"}
    assert document["machine"]["memory_bytes"] == 48 << 30
    assert document["machine"]["probe"]["cores"] == 16
    assert document["recommended"] == "qwen3-30b-a3b-instruct-2507"
    assert document["models"][0]["fit"]["verdict"] == "yes"


def test_list_of_this_machine_knows_its_memory(
    run_kit: RunKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a probe file it is this machine's memory that counts, and none is recommended."""
    monkeypatch.setattr("kit.engine.cpu.machine.available_memory", lambda: 1 << 30)
    result = run_kit("model", "list", "--kind", "chat")
    assert "recommended: none: this machine lacks the memory" in result.out
    assert "1.0 GiB available" in result.err
    assert "bge-m3" not in result.out


def test_list_refuses_what_it_cannot_use(run_kit: RunKit, tmp_path: Path) -> None:
    """An unknown kind and a file that is no probe are usage errors with the next step."""
    result = run_kit("model", "list", "--kind", "chats")
    assert result.code == UsageError.exit_code
    assert "known: chat, embedding, reranker" in result.err
    other = tmp_path / "letter.json"
    other.write_text("{}")
    result = run_kit("model", "list", "--for", str(other))
    assert result.code == UsageError.exit_code
    assert "kit doctor --probe --output machine.json" in result.err


def test_probe_is_written_and_read_back(
    run_kit: RunKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kit doctor --probe` on one machine and `kit model list --for` on another are one way."""
    monkeypatch.setattr("kit.ops.probe.measure_bandwidth", lambda: 20e9)
    path = tmp_path / "out" / "machine.json"
    assert run_kit("doctor", "--probe", "--output", str(path)).code == 0
    assert run_kit("model", "list", "--for", str(path)).code == 0
    assert run_kit("doctor", "--probe").json()["format"] == "kit machine probe"
    refused = run_kit("doctor", "--output", str(path))
    assert refused.code == UsageError.exit_code


def imported(run_kit: RunKit, gguf: Path, *flags: str) -> None:
    assert run_kit("model", "import", str(gguf), "--name", "office", *flags).code == 0


def test_import_asks_and_show_tells(run_kit: RunKit, gguf: Path, scripted: ScriptedModel) -> None:
    """An imported model has a passport, whose figures `show` prints, as JSON or as a page."""
    imported(run_kit, gguf)
    assert scripted.num_started == 1
    shown = run_kit("model", "show", "office").out
    assert "passport: sound; 14 of 14 smoke questions passed" in shown
    assert "500.0 tokens per second" in shown
    document = run_kit("model", "show", "office", "--json").json()["passport"]
    assert document["smoke"]["answers"][1]["name"] == "not-empty"
    page = run_kit("model", "show", "office", "--page").out
    assert page.startswith("# Passport of office\n")
    assert run_kit("model", "show", "qwen3-8b", "--page").code == NotFound.exit_code


def test_no_smoke_starts_nothing(run_kit: RunKit, gguf: Path, scripted: ScriptedModel) -> None:
    """With --no-smoke a model is installed and checked without being started."""
    imported(run_kit, gguf, "--no-smoke")
    assert run_kit("model", "check", "office", "--no-smoke").code == 0
    assert scripted.num_started == 0
    assert "not measured yet: kit model check office" in run_kit("model", "show", "office").out


def test_check_of_all_compares_digests_only(
    run_kit: RunKit, gguf: Path, scripted: ScriptedModel
) -> None:
    """A named model is asked, all of them only on demand."""
    imported(run_kit, gguf, "--no-smoke")
    assert "office: whole (1 files)" in run_kit("model", "check").out
    assert scripted.num_started == 0
    assert "14 of 14 smoke questions passed" in run_kit("model", "check", "--smoke").out
    assert "14 of 14 smoke questions passed" in run_kit("model", "check", "office").out
    assert scripted.num_started == 2
    (checked,) = run_kit("model", "check", "office", "--json").json()["models"]
    assert (checked["name"], checked["whole"], checked["smoke"]["changed"]) == ("office", True, [])


def test_check_tells_weak_and_changed_answers(
    run_kit: RunKit, gguf: Path, scripted: ScriptedModel
) -> None:
    """A wrong answer and one that differs from the passport are information: exit code 0."""
    imported(run_kit, gguf)
    scripted.answers[LAST["remembers"]] = Reply("I do not know.", finish_reason="stop")
    result = run_kit("model", "check", "office")
    assert result.code == 0
    assert "weak: remembers: 'Thandi' is not in the answer" in result.out
    assert "answered otherwise than in the passport: remembers" in result.out


def test_check_of_a_broken_model_fails(
    run_kit: RunKit, gguf: Path, scripted: ScriptedModel
) -> None:
    """Broken answers are named, with exit code 11 and a next step; the model runs no more."""
    imported(run_kit, gguf)
    scripted.rewrite = lambda reply: Reply("!" * 64, finish_reason="length")
    result = run_kit("model", "check", "office")
    assert result.code == ModelError.exit_code
    assert "not-empty" in result.err
    assert "100% of the answer" in result.err
    assert "hint: see them: kit model show office --page" in result.err
    assert "broken, do not use it" in run_kit("model", "show", "office").out


def test_check_writes_the_passport_elsewhere(run_kit: RunKit, gguf: Path, tmp_path: Path) -> None:
    """--passport leaves the record and its page in a folder, --renew measures anew before."""
    imported(run_kit, gguf, "--no-smoke")
    folder = tmp_path / "out" / "office"
    assert run_kit("model", "check", "office", "--renew", "--passport", str(folder)).code == 0
    passport = parse_passport((folder / "passport.json").read_text(encoding="utf-8"))
    assert passport.smoke is not None
    assert (folder / "passport.md").read_text(encoding="utf-8") == (
        run_kit("model", "show", "office", "--page").out
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["office", "--smoke", "--no-smoke"], "--no-smoke contradicts --smoke"),
        (["office", "--renew", "--no-smoke"], "--no-smoke contradicts --renew"),
        (["--renew"], "--renew is for one model"),
        (["--passport", "x"], "--passport is for one model"),
    ],
)
def test_check_refuses_what_contradicts_itself(
    run_kit: RunKit, flags: list[str], says: str
) -> None:
    """Flags that exclude each other are an error before anything is read."""
    result = run_kit("model", "check", *flags)
    assert result.code == UsageError.exit_code
    assert says in result.err


def test_a_damaged_passport_is_an_error_that_names_it(
    run_kit: RunKit, gguf: Path, home: Path
) -> None:
    """`show` says what is wrong with it and how it is made anew, and that works."""
    imported(run_kit, gguf)
    (home / "models" / "office" / "passport.json").write_text('{"schema": 99}')
    result = run_kit("model", "show", "office")
    assert result.code == ModelError.exit_code
    assert "schema 2 expected, 99 observed" in result.err
    assert "kit model check office --renew" in result.err
    assert run_kit("model", "check", "office", "--renew").code == 0
    assert run_kit("model", "show", "office").code == 0


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Quantizing writes something at once, and costs the mean KL divergence in the list."""

    def quantize(source: Path, destination: Path, quant_type: str, **_: object) -> Path:
        destination.write_bytes(source.read_bytes() + quant_type.encode())
        return destination

    costs = [0.01]
    monkeypatch.setattr("kit.engine.quantize.quantize", quantize)
    monkeypatch.setattr(
        "kit.engine.quantizing.measure_loss.measure_loss", lambda *_, **__: loss(costs[0])
    )
    return costs


def test_a_quantization_that_loses_too_much_is_refused(
    run_kit: RunKit, gguf: Path, home: Path, losses: list[float]
) -> None:
    """The type before runs again and the file is gone; with --force it is taken, and the passport
    tells what it cost."""
    imported(run_kit, gguf)
    before = run_kit("model", "show", "office", "--json").json()["installed"]
    losses[0] = 0.8
    result = run_kit("model", "quantize", "office", "--type", "Q2_K")
    assert result.code == ModelError.exit_code
    assert "0.800 nats observed" in result.err
    assert "--force" in result.err
    assert run_kit("model", "show", "office", "--json").json()["installed"] == before
    assert not list((home / "models" / "office").glob("*Q2_K*"))
    assert run_kit("model", "quantize", "office", "--type", "Q2_K", "--force").code == 0
    passport = run_kit("model", "show", "office", "--json").json()["passport"]
    assert passport["loss"]["mean_kl"] == 0.8


def test_quantize_gives_a_passport_of_the_new_file(
    run_kit: RunKit, gguf: Path, scripted: ScriptedModel, losses: list[float]
) -> None:
    """What runs from now on was asked; if it is broken, the type before runs again."""
    imported(run_kit, gguf, "--no-smoke")
    assert losses
    assert run_kit("model", "quantize", "office", "--type", "Q4_0").code == 0
    passport = run_kit("model", "show", "office", "--json").json()["passport"]
    assert [file["path"] for file in passport["outputs"]] == [passport["active"]]
    scripted.rewrite = lambda reply: Reply("!" * 64, finish_reason="length")
    result = run_kit("model", "quantize", "office", "--type", "Q5_0")
    assert result.code == ModelError.exit_code
    assert "runs as Q4_0 as before" in result.err
    again = run_kit("model", "show", "office", "--json").json()
    assert again["passport"] == passport
    assert again["installed"]["quant_type"] == "Q4_0"


def test_rm_of_a_pull_that_was_cut_short(run_kit: RunKit, home: Path) -> None:
    """`rm` of a model that never arrived removes what its pull left, and says so."""
    left = home / "tmp" / "pull-qwen3-8b" / "hub"
    left.mkdir(parents=True)
    (left / "model.safetensors.part").write_bytes(b"half")
    result = run_kit("model", "rm", "qwen3-8b")
    assert result.code == 0
    assert "what a pull of it left is removed" in result.err
    assert not left.parent.exists()
    assert run_kit("model", "rm", "qwen3-8b").code == NotFound.exit_code
