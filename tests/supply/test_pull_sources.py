"""Getting models from a hub, a mirror and a folder: what arrives, what is refused, what is said."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import FetchError, KitError, ModelError
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.fetch import fetch, format_left, pull
from kit.supply.store import find_damage, list_installed
from tests.supply.conftest import QUICK, make_gguf, make_safetensors
from tests.supply.hub_server import COMMIT, HubServer

GGUF = make_gguf(60_000)
REPOSITORY = {
    "m-Q4_K_M.gguf": GGUF,
    "m-Q8_0.gguf": make_gguf(90_000),
    "README.md": b"# a card\n",
    "run.py": b"raise SystemExit",
}


def refused(card: ModelCard, folder: Path, environ: dict[str, str]) -> str:
    """The error of a fetch as a person reads it."""
    with pytest.raises(KitError) as caught:
        fetch(folder, card, environ=environ, patience=QUICK)
    assert caught.value.hint
    return "\n".join(caught.value.lines())


def test_pull_installs_the_wanted_type(home: Path, hub_card: ModelCard) -> None:
    """Of a repository of GGUF files the card's type is installed, with commit and digests."""
    with HubServer(REPOSITORY) as hub:
        model = pull(home, hub_card, environ=hub.environ, patience=QUICK)
        requests = len(hub.requests)
        assert pull(home, hub_card, environ=hub.environ) == model
        assert len(hub.requests) == requests
    assert model.active == "m-Q4_K_M.gguf"
    assert model.source == f"hf://office/model@{COMMIT}"
    assert [file.path for file in model.files] == ["m-Q4_K_M.gguf", "README.md"]
    assert model.files[0].sha256 == hashlib.sha256(GGUF).hexdigest()
    assert find_damage(home, model, by_digest=True) == []
    assert list_installed(home) == [model]


def test_safetensors_are_fetched_with_their_texts(tmp_path: Path, hub_card: ModelCard) -> None:
    """Weights in safetensors, configuration and tokenizer arrive; programs and pickles do not."""
    files = {
        "model.safetensors": make_safetensors(5000),
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "1_Pooling/config.json": b"{}",
        "LICENSE": b"MIT",
        "onnx/config.json": b"{}",
        "pytorch_model.bin": b"\x80\x02",
        "modeling.py": b"",
    }
    with HubServer(files) as hub:
        fetched = fetch(tmp_path, hub_card, environ=hub.environ, patience=QUICK)
    unwanted = {"onnx/config.json", "pytorch_model.bin", "modeling.py"}
    assert {file.path for file in fetched.files} == {*files} - unwanted
    assert fetched.files[0].path == "model.safetensors"
    assert fetched.revision == COMMIT


def test_chat_model_to_convert_costs_no_download(home: Path, hub_card: ModelCard) -> None:
    """A chat model that is only there as safetensors is refused before its weights are fetched."""
    with HubServer({"model.safetensors": make_safetensors(5000)}) as hub:
        with pytest.raises(FetchError, match="converted"):
            pull(home, hub_card, environ=hub.environ, patience=QUICK)
        assert hub.sent_bytes == 0


def test_resume_saves_bytes(tmp_path: Path, hub_card: ModelCard) -> None:
    """After a failed run the next one asks only for what is missing."""
    data = make_gguf(400_000)
    quick = replace(QUICK, max_tries=1)
    with HubServer({"m-Q4_K_M.gguf": data}, faults=["cut"]) as hub:
        with pytest.raises(FetchError, match="does not give"):
            fetch(tmp_path, hub_card, environ=hub.environ, patience=quick)
        first = hub.sent_bytes
        assert 0 < first < len(data)
        fetch(tmp_path, hub_card, environ=hub.environ, patience=quick)
        assert hub.sent_bytes < len(data) + first // 10
    assert (tmp_path / "m-Q4_K_M.gguf").read_bytes() == data


def test_wrong_content_is_named_with_both_digests(tmp_path: Path, hub_card: ModelCard) -> None:
    """Corruption of the same size is tried once more from zero, then refused; nothing is left."""
    with HubServer({"m-Q4_K_M.gguf": GGUF}, faults=["corrupt"] * 9) as hub:
        said = refused(hub_card, tmp_path, hub.environ)
        assert len(hub.faults) == 7
    assert hashlib.sha256(GGUF).hexdigest() in said
    assert "observed" in said
    assert list(tmp_path.iterdir()) == []


def test_small_file_of_wrong_content_is_refused(tmp_path: Path, hub_card: ModelCard) -> None:
    """A file that git itself keeps is compared with the git digest that the hub states."""
    with HubServer({"m-Q4_K_M.gguf": GGUF}, lfs=False, faults=["corrupt"] * 9) as hub:
        assert "git sha1 expected" in refused(hub_card, tmp_path, hub.environ)


@pytest.mark.parametrize("status", [401, 403])
def test_gated_is_explained(tmp_path: Path, hub_card: ModelCard, status: int) -> None:
    """A gated repository says how to get in; with a token that may, it is fetched."""
    with HubServer(REPOSITORY) as hub:
        hub.gate = status
        said = refused(hub_card, tmp_path, hub.environ)
        assert "accepted its terms" in said
        assert "HF_TOKEN" in said
        fetch(tmp_path, hub_card, environ=hub.environ | {"HF_TOKEN": "good"}, patience=QUICK)


def test_what_is_not_there_is_said(tmp_path: Path, hub_card: ModelCard) -> None:
    """An unknown repository, revision, type and an unreachable hub each have words of their own."""
    with HubServer(REPOSITORY) as hub:
        other = replace(hub_card, source="hf://office/other")
        assert "does not have office/other" in refused(other, tmp_path, hub.environ)
        other = replace(hub_card, revision="v9")
        assert "no revision 'v9'" in refused(other, tmp_path, hub.environ)
        other = replace(hub_card, quant_type="Q6_K")
        assert "no GGUF file of type Q6_K" in refused(other, tmp_path, hub.environ)
    assert "cannot be reached" in refused(hub_card, tmp_path, {"HF_ENDPOINT": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pytorch_model.bin": b"\x80"}, "pickle"),
        ({"README.md": b""}, "no safetensors and no GGUF"),
        ({"../evil.gguf": GGUF, "m-Q4_K_M.gguf": GGUF}, "leaves the model's folder"),
        ({"/etc/evil.json": b"", "model.safetensors": b""}, "leaves the model's folder"),
        ({"a\\b.json": b"", "model.safetensors": b""}, "no plain file name"),
        ({"model.safetensors": b"\xff" * 64}, "no sane safetensors"),
        ({"m-Q4_K_M.gguf": b"PK" * 50}, "not a GGUF"),
    ],
)
def test_what_must_not_be_installed_is_refused(
    tmp_path: Path, hub_card: ModelCard, files: dict[str, bytes], words: str
) -> None:
    """Pickles, path tricks and weights of a wrong form are refused with the reason."""
    with HubServer(files) as hub:
        assert words in refused(hub_card, tmp_path / "folder", hub.environ)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("pattern", ["*.py", "*.bin"])
def test_patterns_reach_no_programs(tmp_path: Path, hub_card: ModelCard, pattern: str) -> None:
    """A card cannot ask for programs or pickles."""
    with HubServer(REPOSITORY | {"w.bin": b""}) as hub:
        said = refused(replace(hub_card, fetch=(pattern,)), tmp_path, hub.environ)
    assert "not taken" in said


def broken_headers() -> dict[str, bytes]:
    def made(header: object, data: bytes = b"") -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "too long": struct.pack("<Q", 1 << 40) + b"{}",
        "no JSON": struct.pack("<Q", 4) + b"{{{{",
        "no object": made([1]),
        "outside": made({"t": tensor}, b"1234"),
        "shape": made({"t": {**tensor, "shape": [3]}}, b"12345678"),
        "overlap": made({"t": tensor, "u": tensor}, b"12345678"),
        "left over": made({"t": tensor}, b"12345678more"),
        "short": b"123",
    }


@pytest.mark.parametrize("name", broken_headers())
def test_broken_safetensors_are_refused(tmp_path: Path, hub_card: ModelCard, name: str) -> None:
    """A header that is too long, no JSON, or whose offsets do not fit the file is refused."""
    with HubServer({"model.safetensors": broken_headers()[name]}) as hub, pytest.raises(ModelError):
        fetch(tmp_path, hub_card, environ=hub.environ, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_mirror_with_and_without_a_list(tmp_path: Path, hub_card: ModelCard) -> None:
    """A mirror works with SHA256SUMS or with the card's pins, and is refused without either."""
    digest = hashlib.sha256(GGUF).hexdigest()
    sums = f"{digest}  m-Q4_K_M.gguf\n".encode()
    with HubServer({"m-Q4_K_M.gguf": GGUF, "SHA256SUMS": sums}, faults=["", "cut"]) as hub:
        card = replace(hub_card, source=f"{hub.url}/mirror/")
        fetched = fetch(tmp_path / "a", card, environ={}, patience=QUICK)
        assert fetched.files == (ModelFile("m-Q4_K_M.gguf", digest, len(GGUF)),)
        del hub.files["SHA256SUMS"]
        assert "names no files" in refused(card, tmp_path / "b", {})
        pinned = replace(card, files=fetched.files)
        assert fetch(tmp_path / "b", pinned, environ={}, patience=QUICK).files == fetched.files


def test_folder_is_a_source(tmp_path: Path, home: Path, hub_card: ModelCard) -> None:
    """A folder or stick is copied from; SHA256SUMS there is believed, a missing folder is said."""
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "m-Q4_K_M.gguf").write_bytes(GGUF)
    card = replace(hub_card, source=str(stick))
    assert pull(home, card).active == "m-Q4_K_M.gguf"
    (stick / "SHA256SUMS").write_text(f"{'0' * 64} *m-Q4_K_M.gguf\n")
    assert f"sha256 expected {'0' * 64}" in refused(card, tmp_path / "other", {})
    assert "is the USB stick" in refused(replace(card, source="/nowhere"), tmp_path / "x", {})


def test_full_disk_keeps_what_arrived(tmp_path: Path, hub_card: ModelCard) -> None:
    """Where no more bytes fit the error says so, and the part is used by the next run."""
    data = make_gguf(200_000)
    code = (
        "import sys, resource, dataclasses; from pathlib import Path\n"
        "from kit.errors import DiskFull; from kit.supply.catalog import read_card\n"
        "from kit.supply.fetch import fetch\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: fetch(Path(sys.argv[2]), read_card(Path(sys.argv[1])))\n"
        "except DiskFull as full: print(full.message); sys.exit(full.exit_code)\n"
    )
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "m-Q4_K_M.gguf").write_bytes(data)
    card = tmp_path / "office.toml"
    card.write_text(
        f'name="office"\nkind="chat"\ntitle="O"\nsource="{stick}"\nlicence="MIT"\n'
        'languages=["en"]\nfacts_from="test"\n'
    )
    folder = tmp_path / "folder"
    done = subprocess.run(
        [sys.executable, "-c", code, str(card), str(folder)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "takes in one file" in done.stdout
    assert (folder / "m-Q4_K_M.gguf.part").stat().st_size == 100_000
    fetch(folder, replace(hub_card, source=str(stick)))
    assert (folder / "m-Q4_K_M.gguf").read_bytes() == data
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_time_left_is_for_people() -> None:
    """Seconds, then minutes, then hours."""
    assert [format_left(s) for s in (5, 600, 4000)] == ["5 s", "10 min", "1 h 7 min"]
