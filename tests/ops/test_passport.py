"""Passports made, kept, renewed and compared, with a model that answers from a script."""

from __future__ import annotations

import getpass
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import MachineError, ModelError
from kit.ops.check_model import check_model, ensure_passport, keep_if_sound
from kit.ops.passport import make_passport, plain_passport
from kit.supply.catalog import STARTER_EMBEDDING, ModelFile
from kit.supply.passport import Loss, Provenance
from kit.supply.passport_json import find_passport, passport_path, passport_text
from kit.supply.runnable import find_chat_file
from kit.supply.smoke.reply import Reply
from kit.supply.store import (
    InstalledModel,
    add_file,
    find_installed,
    import_gguf,
    model_folder,
    write_record,
)
from tests.ops.scripted_model import ScriptedModel, script
from tests.supply.smoke.good_replies import LAST

LOSS = Loss(7.4, 7.3, 0.01, 0.2, 0.91, 4096)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    return script(monkeypatch)


@pytest.fixture
def model(home: Path, tmp_path: Path) -> InstalledModel:
    path = tmp_path / "Office-F16.gguf"
    write_tiny_model(path)
    return import_gguf(home, path, "office")


def quantized(home: Path, model: InstalledModel, quant_type: str = "Q4_0") -> InstalledModel:
    """The model runs from another file from now on."""
    path = model_folder(home, model.name) / f"Office-{quant_type}.gguf"
    write_tiny_model(path)
    path.write_bytes(path.read_bytes() + b"\0" * 32)  # other bytes, as another type would have
    return add_file(home, model, path, quant_type)


def mute(_: str) -> None:
    """Nobody listens."""


def test_a_plain_passport_starts_nothing(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """What the files say is there; what must be measured is None, and no process was started."""
    passport = plain_passport(home, model)
    assert scripted.num_started == 0
    assert passport.inputs == model.files
    assert passport.outputs == ()
    assert (passport.smoke, passport.speed, passport.loss) == (None, None, None)
    assert passport.memory.weights_bytes == model.size_bytes
    assert passport.tools.llama_cpp_python
    assert find_passport(home, model) is None  # nothing is written


def test_memory_is_the_headers(home: Path, model: InstalledModel) -> None:
    """2 (K, V) * layers * KV heads * head size * 2 bytes * tokens, up to the trained context."""
    path = model_folder(home, model.name) / model.active
    data = path.read_bytes()
    key = b"llama.context_length" + (4).to_bytes(4, "little")
    at = data.index(key) + len(key)
    path.write_bytes(data[:at] + (8192).to_bytes(4, "little") + data[at + 4 :])
    contexts = plain_passport(home, model).memory.contexts
    assert [context.n_ctx for context in contexts] == [2048, 4096, 8192]
    layers, heads, head_dim = 5, 4, 64  # of kit.engine.cpu.tiny_model
    assert contexts[0].kv_bytes == 2 * layers * heads * head_dim * 2 * 2048


def test_a_full_passport_has_answers_speed_and_memory(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Asked, timed, measured, written beside the model; the process was started once."""
    passport = make_passport(home, model, say=mute)
    assert find_passport(home, model) == passport
    assert passport.smoke is not None
    assert passport.smoke.num_passed == len(passport.smoke.answers) == 14
    assert passport.smoke.answers[0].answer == "llama, 135,000,000 parameters"
    assert passport.speed is not None
    assert passport.memory.resident_bytes == 200 << 20
    assert scripted.num_started == 1
    assert passport.is_of(model)


def test_nothing_of_the_machine_is_told(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """No path, no host and no account's name, wherever the model came from."""
    model = write_record(home, replace(model, source=str(home / "models-of-thandi")))
    text = passport_text(make_passport(home, model, say=mute))
    assert str(home) not in text
    assert socket.gethostname() not in text
    assert f"/{getpass.getuser()}" not in text
    assert "folder models-of-thandi" in text


def test_what_earlier_stages_know_is_kept(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Inputs, revision, converter, matrix and loss survive every renewal."""
    fetched = (ModelFile("model.safetensors", "ab" * 32, 270_000_000),)
    known = Provenance(fetched, "0123abc", "the converter", "cd" * 32)
    passport = ensure_passport(home, model, say=mute, provenance=known, loss=LOSS, is_asked=False)
    assert passport.inputs == fetched
    assert passport.outputs == model.files
    renewed = check_model(home, model, say=mute, is_renewed=True).passport
    assert renewed.provenance == known
    assert renewed.loss == LOSS
    assert renewed.smoke is not None


def test_the_chat_template_is_checked(
    home: Path, model: InstalledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a template should not do stands in the passport, without anybody asking for it."""
    monkeypatch.setattr(
        "kit.engine.gguf.GgufFile.chat_template", property(lambda self: "{{ ''.__class__ }}")
    )
    template = plain_passport(home, model).template
    assert template is not None
    assert template.findings is not None
    assert [note.severity for note in template.findings] == ["danger"]


def test_what_belongs_to_one_file_does_not_pass_to_another(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Another quantization keeps where the model came from, not what that one cost."""
    known = Provenance((), "0123abc", "the converter", "cd" * 32)
    ensure_passport(home, model, say=mute, provenance=known, loss=LOSS, is_asked=False)
    passport = plain_passport(home, quantized(home, model))
    assert (passport.revision, passport.tools.converter) == ("0123abc", "the converter")
    assert (passport.loss, passport.imatrix_sha256) == (None, "")
    assert [file.path for file in passport.outputs] == ["Office-Q4_0.gguf"]


def test_a_passport_that_is_there_is_not_made_again(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """A second pull asks nothing; a plain passport is completed when questions are wanted."""
    ensure_passport(home, model, say=mute, is_asked=False)
    assert scripted.num_started == 0
    full = ensure_passport(home, model, say=mute)
    assert scripted.num_started == 1
    assert ensure_passport(home, model, say=mute) == full
    assert ensure_passport(home, model, say=mute, is_asked=False) == full
    assert scripted.num_started == 1


def test_a_broken_model_is_refused_and_says_why(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Each broken answer is named; the model does not run until it is asked again and sound."""
    scripted.answers[LAST["not-empty"]] = Reply("", finish_reason="stop")
    with pytest.raises(ModelError) as caught:
        ensure_passport(home, model, say=mute)
    assert [problem.where for problem in caught.value.problems] == ["not-empty"]
    with pytest.raises(ModelError, match="is broken"):
        find_chat_file(home, "office")
    with pytest.raises(ModelError):  # asked once, it stays so
        ensure_passport(home, model, say=mute)
    scripted.answers.clear()
    assert not check_model(home, model, say=mute).report.is_broken
    assert find_chat_file(home, "office").name == model.active


def test_a_model_that_does_not_load_is_broken(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """What llama.cpp said stands in the passport; there is no speed and no memory."""
    scripted.load_error = ModelError("llama.cpp cannot load Office-F16.gguf: no vocabulary")
    passport = make_passport(home, model, say=mute)
    assert passport.smoke is not None
    (problem,) = passport.smoke.problems()
    assert problem.where == "loads"
    assert "no vocabulary" in problem.what
    assert (passport.speed, passport.memory.resident_bytes) == (None, None)


def test_a_model_that_dies_of_a_question_is_broken(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """The question is named, what was answered before it stays, nothing more is asked."""
    scripted.answers[LAST["finds"]] = ModelError("its process was killed by SIGSEGV")
    passport = make_passport(home, model, say=mute)
    assert passport.smoke is not None
    last = passport.smoke.answers[-1]
    assert (last.name, last.outcome) == ("finds", "broken")
    assert "SIGSEGV" in last.why
    assert [answer.name for answer in passport.smoke.answers[:3]] == ["loads", "not-empty", "ends"]


def test_a_machine_that_is_too_small_asks_nothing(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """On a small connected machine the model of a large server is installed, and that is said."""
    scripted.load_error = MachineError("needs 20 GiB of memory, 8 GiB is free")
    said: list[str] = []
    passport = ensure_passport(home, model, say=said.append)
    assert passport.smoke is None
    assert "20 GiB" in said[-1]
    assert find_chat_file(home, "office").name == model.active
    with pytest.raises(MachineError):
        check_model(home, model, say=mute)


def test_a_broken_quantization_does_not_take_the_place(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """The file before runs again, with its passport; the broken one is gone."""
    before = ensure_passport(home, model, say=mute)
    after = quantized(home, model)
    scripted.rewrite = lambda reply: Reply("!" * 64, finish_reason="length")
    said: list[str] = []
    with pytest.raises(ModelError, match="broken"):
        keep_if_sound(home, model, after, say=said.append)
    assert find_installed(home, "office") == model
    assert find_passport(home, model) == before
    assert not (model_folder(home, "office") / "Office-Q4_0.gguf").exists()
    assert find_chat_file(home, "office").name == model.active
    assert "as before" in said[-1]


def test_a_sound_quantization_runs(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Its passport is of the new file, which is listed as made by the kit."""
    ensure_passport(home, model, say=mute)
    after = quantized(home, model)
    passport = keep_if_sound(home, model, after, say=mute, loss=LOSS)
    assert passport.is_of(find_installed(home, "office"))
    assert (passport.active, passport.loss) == ("Office-Q4_0.gguf", LOSS)


def test_a_check_compares_greedy_answers(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """Answers that differ are named; the passport stays the measure they are compared with."""
    passport = ensure_passport(home, model, say=mute)
    assert check_model(home, model, say=mute).changed == ()
    scripted.answers[LAST["quotes"]] = Reply(
        "It was founded in Beaufort West in 1987.", finish_reason="stop"
    )
    checked = check_model(home, model, say=mute)
    assert checked.changed == ("quotes",)
    assert find_passport(home, model) == passport
    renewed = check_model(home, model, say=mute, is_renewed=True)
    assert renewed.changed == ("quotes",)
    assert check_model(home, model, say=mute).changed == ()


def test_a_passport_that_cannot_be_read_is_made_anew(
    home: Path, model: InstalledModel, scripted: ScriptedModel
) -> None:
    """What is wrong with it is said, and a check replaces it."""
    passport_path(home, model.name).write_text("{")
    said: list[str] = []
    checked = check_model(home, model, say=said.append)
    assert find_passport(home, model) == checked.passport
    assert "cannot be read" in said[0]


def test_a_model_that_thinks_is_told_by_its_template(
    home: Path, model: InstalledModel, scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a card, the chat template says whether there must be room for thoughts."""
    make_passport(home, model, say=mute)
    assert not any("chat_template_kwargs" in body for body in scripted.asked)
    scripted.asked.clear()
    monkeypatch.setattr(
        "kit.engine.gguf.GgufFile.chat_template", property(lambda self: "{{ '<think>' }}")
    )
    passport = make_passport(home, model, say=mute)
    assert any("chat_template_kwargs" in body for body in scripted.asked)
    assert passport.template is not None
    assert passport.template.findings == ()


def test_an_embedding_model_is_asked_for_vectors(home: Path, scripted: ScriptedModel) -> None:
    """Its folder's files are all inputs; its card's dimension is what the vectors must have."""
    folder = model_folder(home, STARTER_EMBEDDING)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    model = write_record(
        home,
        InstalledModel(
            name=STARTER_EMBEDDING,
            kind="embedding",
            source="pypi://x==1#y/",
            licence="Apache-2.0",
            files=(ModelFile("model.safetensors", "ab" * 32, 7),),
        ),
    )
    passport = make_passport(home, model, say=mute)
    assert passport.smoke is not None
    assert passport.smoke.problems() == []
    assert {"dimension", "unit-norm", "finds-water"} <= {a.name for a in passport.smoke.answers}
    assert (passport.template, passport.memory.contexts) == (None, ())
    assert passport.memory.resident_n_ctx is None
    assert passport.licence.text_from == "the standard text of Apache-2.0"
