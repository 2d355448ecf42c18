"""GPUs are asked for in a child: whatever a driver does there, the asking process has an answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit.engine import devices, native
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.cpu.variants import candidates
from kit.engine.devices import Seen, ask, find_devices
from kit.engine.gpu import Device
from kit.errors import ModelError

CRASHING = """
#include <signal.h>
void *ggml_backend_init(void) { raise(SIGSEGV); return 0; }
"""


def test_devices_come_as_the_child_named_them() -> None:
    """Name and free bytes of each; other lines before are passed over."""
    told = {"devices": [{"name": "Card A", "free_bytes": 7}], "said": ""}
    seen = find_devices(Path("v"), ask=lambda _: f"a driver's banner\n{json.dumps(told)}\n")
    assert seen == Seen((Device("Card A", 7),))


@pytest.mark.parametrize("printed", ["", "\n", "no JSON", "[]", '{"devices": 3}', '{"said": ""}'])
def test_nonsense_is_no_device(printed: str) -> None:
    """A child that ended early or printed something else is no error of the asking process."""
    seen = find_devices(Path("v"), ask=lambda _: printed)
    assert seen == Seen((), "llama.cpp did not answer")


@pytest.mark.e2e
def test_a_driver_that_crashes_is_told(tmp_path: Path) -> None:
    """Code for a GPU that dies when it is loaded: the child dies, and its signal is named."""
    variant = _variant_in(tmp_path)
    assert find_devices(variant) == Seen((), "no driver shows one")
    (tmp_path / "cuda.c").write_text(CRASHING)
    library = tmp_path / "libggml-cuda.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=True)
    assert find_devices(variant) == Seen((), "killed by SIGSEGV")


@pytest.mark.e2e
def test_what_a_gpu_lacks_is_told(tmp_path: Path) -> None:
    """Code that needs a library which is not here: its name is in the answer."""
    variant = _variant_in(tmp_path)
    (tmp_path / "no.c").write_text("int no;\n")
    needed = tmp_path / "libnosuchruntime.so"
    subprocess.run(["gcc", "-shared", "-o", needed, tmp_path / "no.c"], check=True)
    library = tmp_path / "libggml-cuda.so"
    link = ["gcc", "-shared", "-Wl,--no-as-needed", "-o", library, tmp_path / "no.c"]
    subprocess.run([*link, f"-L{tmp_path}", "-lnosuchruntime"], check=True)
    needed.unlink()
    seen = find_devices(variant)
    assert seen.devices == ()
    assert "libnosuchruntime.so" in seen.said


@pytest.mark.e2e
def test_a_driver_that_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes when the time is over."""
    variant = _variant_in(tmp_path)
    source = "#include <unistd.h>\nvoid *ggml_backend_init(void) { sleep(600); return 0; }\n"
    (tmp_path / "cuda.c").write_text(source)
    library = tmp_path / "libggml-cuda.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=True)
    monkeypatch.setattr(devices, "LIFETIME_S", 5)
    assert json.loads(ask(variant)) == {"devices": [], "said": "no answer after 5 s"}


def _variant_in(folder: Path) -> Path:
    """This build's plainest CPU variant, alone in a folder."""
    path = next(found.path for found in reversed(candidates()) if found.path)
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    return copy


class Library:
    """As much of llama_cpp's API as loading needs; it keeps what it was given and refuses."""

    devices: Any = None

    @staticmethod
    def llama_model_default_params() -> Any:
        class Params:
            devices = None

        return Params()

    def llama_model_load_from_file(self, _path: bytes, params: Any) -> int:
        self.devices = params.devices
        if self.devices:
            self.devices = native.ctypes.c_void_p.from_address(self.devices).value or "none"
        return 0


@pytest.mark.parametrize(("num_gpu_layers", "expected"), [(0, "none"), (3, None)])
def test_a_gpu_without_room_for_a_layer_is_left_alone(
    tmp_path: Path, num_gpu_layers: int, expected: str | None
) -> None:
    """Without layers llama.cpp is given an empty list of devices, else it may use all (None)."""
    write_tiny_model(tmp_path / "tiny.gguf")
    library = Library()
    with pytest.raises(ModelError):
        native.Model(library, tmp_path / "tiny.gguf", num_gpu_layers=num_gpu_layers)
    assert library.devices == expected
