"""scripts/setup: names what a machine lacks, trusts a finished set-up only, wants all variants."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, working on an empty folder."""
    path = str(ROOT / "scripts" / "setup")
    loader = importlib.machinery.SourceFileLoader("setup_script", path)
    spec = importlib.util.spec_from_loader("setup_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    venv = tmp_path / ".venv"
    venv.mkdir()
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", venv / "setup.json")
    monkeypatch.setattr(module, "LOG", venv / "setup.log")
    return module


def test_everything_missing_is_named_at_once(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compilers, make, git and venv are missed together, with one command that gets them."""
    monkeypatch.setattr(setup.shutil, "which", lambda _name: None)
    monkeypatch.setattr(setup, "can_make_venv", lambda: False)
    with pytest.raises(setup.SetupError) as missing:
        setup.check_machine()
    said = str(missing.value)
    for what in ("a C compiler", "a C++ compiler", "make", "git", "venv"):
        assert what in said
    assert "apt-get install -y gcc g++ make git python3." in said


def test_a_named_compiler_counts(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """CC and CXX are honoured, with their flags."""
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/opt/{name}" if name == "zcc" else "")
    assert setup.find_compiler("zcc -O2", ("cc",)) == "/opt/zcc"
    assert setup.find_compiler(None, ("cc", "gcc")) is None


def test_only_a_finished_set_up_counts(setup: ModuleType) -> None:
    """No stamp, a stamp of other inputs or of another place: the steps run again."""
    wanted = setup.fingerprint(False)
    assert not setup.is_done(wanted)
    setup.PYTHON.parent.mkdir()
    setup.PYTHON.touch()
    setup.STAMP.write_text(json.dumps(setup.fingerprint(True)))
    assert setup.is_done(wanted)  # an environment with tests serves without, too
    assert setup.is_done(setup.fingerprint(True))
    setup.STAMP.write_text(json.dumps(wanted))
    assert not setup.is_done(setup.fingerprint(True))
    setup.STAMP.write_text(json.dumps({**wanted, "root": "/elsewhere"}))
    assert not setup.is_done(wanted)
    setup.STAMP.write_text("{")
    assert not setup.is_done(wanted)


def test_a_wheel_for_one_cpu_is_built_again(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's cache may hold a native build: without variants it is not taken."""
    calls: list[list[str]] = []

    def build(_requirement: str, folder: Path, extra: list[str]) -> None:
        calls.append(extra)
        folder.mkdir()
        with zipfile.ZipFile(folder / "llama_cpp_python-0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("llama_cpp/lib/libggml-cpu.so", "native")
            if extra:
                wheel.writestr("bin/libggml-cpu-haswell.so", "variant")

    monkeypatch.setattr(setup, "build_wheel", build)
    wheel = setup.llama_wheel()
    assert calls == [[], ["--no-cache-dir"]]
    with zipfile.ZipFile(wheel) as archive:
        assert any("haswell" in name for name in archive.namelist())


def test_a_built_wheel_is_taken_again(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next set-up does not build for minutes what lies there; other options, another version
    and a build that was cut short do."""
    calls: list[str] = []

    def build(requirement: str, folder: Path, _extra: list[str]) -> None:
        calls.append(requirement)
        folder.mkdir()
        with zipfile.ZipFile(folder / "llama_cpp_python-0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("bin/libggml-cpu-haswell.so", "variant")

    monkeypatch.setattr(setup, "build_wheel", build)
    assert setup.llama_wheel() == setup.llama_wheel()
    assert len(calls) == 1
    monkeypatch.setattr(setup, "CMAKE_ARGS", "-DOTHER=ON")
    setup.llama_wheel()
    assert len(calls) == 2
    monkeypatch.setattr(setup, "pins", lambda _lock: ["llama_cpp_python==9"])
    setup.llama_wheel()
    assert calls[-1] == "llama_cpp_python==9"
    (setup.VENV / "wheels" / "made").unlink()
    setup.llama_wheel()
    assert len(calls) == 4


def test_a_build_for_gpus_hears_the_user(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMAKE_ARGS of the environment come after the kit's own, so that they win."""
    told: list[str] = []

    def build(_requirement: str, folder: Path, _extra: list[str], cmake_args: str) -> None:
        told.append(cmake_args)
        folder.mkdir()
        (folder / "llama_cpp_python-0-py3-none-any.whl").touch()

    setup.PYTHON.parent.mkdir()
    setup.PYTHON.touch()
    monkeypatch.setattr(setup, "build_wheel", build)
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setenv("CMAKE_ARGS", "-DCMAKE_CUDA_ARCHITECTURES=90")
    setup.build_for_gpus(["cuda"])
    assert told[0].startswith(f"{setup.CMAKE_ARGS} -DGGML_CUDA=ON ")
    assert told[0].endswith(" -DCMAKE_CUDA_ARCHITECTURES=90")


def test_a_failed_step_shows_its_last_lines(setup: ModuleType) -> None:
    """A failure names the step, the end of its output, the log, and that a rerun continues."""
    code = "import sys\nfor n in range(40): print('line', n)\nsys.exit(3)"
    with pytest.raises(setup.SetupError) as failure:
        setup.run_logged([sys.executable, "-c", code], lambda _line: None, "baking")
    said = str(failure.value)
    assert said.startswith("baking failed")
    assert "line 39" in said
    assert "line 3\n" not in said
    assert str(setup.LOG) in said
    assert "again" in said
    assert "line 0" in setup.LOG.read_text()


def test_nothing_is_left_running(setup: ModuleType) -> None:
    """A build that is still going when the set-up fails is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True, text=True
    )
    setup.RUNNING.add(process)
    setup.stop_running()
    assert process.wait(timeout=10) != 0


def test_an_unknown_option_is_refused() -> None:
    """A mistyped option does not start a ten-minute set-up."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "setup"), "--tests"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--tests" in done.stderr
    assert "Traceback" not in done.stderr


def test_locks_name_no_host_and_pin_everything() -> None:
    """Every line of every lock is a name and one version; nothing says where it comes from."""
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
        assert lines, lock.name
        for line in lines:
            name, _, version = line.partition("==")
            assert name, line
            assert version, line
            assert "://" not in line
