"""Wheels for the target: checked by name, platform and digest before a bundle is made of them."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from kit.bundle.make.interpreter import read_interpreter
from kit.bundle.make.wheelhouse import gather, pins, platform_tags
from kit.bundle.make.wheels import read_wheel, require_fit
from kit.bundle.manifest import Target
from kit.errors import BundleError, UsageError

CHECKOUT = Path(__file__).parents[3]
TARGET = Target("x86_64", "3.11", "2.28")


def make_wheel(folder: Path, file_name: str, metadata: str = "", **files: bytes) -> Path:
    """A wheel of that file name; its metadata says the same name and version."""
    name, version, *_ = file_name.split("-")
    path = folder / file_name
    with zipfile.ZipFile(path, "w") as archive:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}"
        archive.writestr(f"{name}-{version}.dist-info/METADATA", text)
        for inside, data in files.items():
            archive.writestr(inside, data)
    return path


@pytest.mark.parametrize(
    "file_name",
    [
        "gradio-6.31.0-py3-none-any.whl",
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
        "apsw-3.54.1.0-cp39-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    ],
)
def test_what_fits_is_taken(tmp_path: Path, file_name: str) -> None:
    """Pure wheels, those for this Python, those for any newer, on a glibc that is there."""
    require_fit([read_wheel(make_wheel(tmp_path, file_name))], TARGET)


@pytest.mark.parametrize(
    ("file_name", "why"),
    [
        ("numpy-2.0-cp312-cp312-manylinux_2_28_x86_64.whl", "Python 3.11 expected"),
        ("numpy-2.0-cp311-cp311-manylinux_2_34_x86_64.whl", "glibc 2.28 expected"),
        ("numpy-2.0-cp311-cp311-manylinux_2_28_aarch64.whl", "x86_64"),
        ("numpy-2.0-cp311-cp311-win_amd64.whl", "x86_64"),
        ("torch-2.13.0+cu130-cp311-cp311-manylinux_2_28_x86_64.whl", "is for GPUs"),
        ("nvidia_cublas_cu12-12.1-py3-none-manylinux_2_17_x86_64.whl", "is for GPUs"),
        ("triton-3.1-cp311-cp311-manylinux_2_17_x86_64.whl", "is for GPUs"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, file_name: str, why: str) -> None:
    """Another Python, an older glibc, another machine, or a GPU's gigabytes: refused by name."""
    with pytest.raises(BundleError) as caught:
        require_fit([read_wheel(make_wheel(tmp_path, file_name))], TARGET)
    (problem,) = caught.value.problems
    assert problem.where == file_name
    assert why in problem.what


def test_gpu_wheels_are_taken_where_there_is_one(tmp_path: Path) -> None:
    """A bundle for a GPU may hold what a bundle for CPUs may not."""
    wheel = make_wheel(tmp_path, "nvidia_cublas_cu12-12.1-py3-none-manylinux_2_17_x86_64.whl")
    require_fit([read_wheel(wheel)], Target("x86_64", "3.11", "2.28", "cuda"))


def test_a_wheel_says_inside_what_its_name_says(tmp_path: Path) -> None:
    """A file that was renamed, or is none, is refused."""
    path = make_wheel(tmp_path, "gradio-6.31.0-py3-none-any.whl")
    renamed = path.rename(tmp_path / "gradio-6.32.0-py3-none-any.whl")
    with pytest.raises(BundleError, match="says inside"):
        read_wheel(renamed)
    renamed.write_bytes(b"no zip")
    with pytest.raises(BundleError, match="no whole wheel"):
        read_wheel(renamed)


def test_what_it_was_built_against_counts(tmp_path: Path) -> None:
    """A wheel that only says linux is looked into: its libraries name the glibc they need."""
    inside = {"lib/libllama.so": b"\0GLIBC_2.17\0GLIBC_2.34\0"}
    path = make_wheel(tmp_path, "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl", **inside)
    with pytest.raises(BundleError, match="do not fit") as caught:
        require_fit([read_wheel(path)], TARGET)
    assert "glibc 2.34" in caught.value.problems[0].what
    require_fit([read_wheel(path)], Target("x86_64", "3.11", "2.36"))


def test_a_backend_that_was_not_built_costs_no_download(tmp_path: Path) -> None:
    """It is said at once, with the command that builds it."""
    (tmp_path / "requirements").mkdir()
    lock = (CHECKOUT / "requirements" / "run.lock").read_text()
    (tmp_path / "requirements" / "run.lock").write_text(lock)
    with pytest.raises(BundleError, match="for cuda") as caught:
        gather(tmp_path, Target("x86_64", "3.11", "2.28", "cuda"), tmp_path / "house")
    assert "scripts/setup --llama cuda" in str(caught.value.hint)
    assert not (tmp_path / "house").exists()


def test_every_pin_is_carried() -> None:
    """The lock's packages, and the pip that installs them."""
    pinned = pins(CHECKOUT)
    assert {"pip", "gradio", "chromadb", "torch", "llama-cpp-python"} <= set(pinned)


def test_no_tag_is_newer_than_the_target() -> None:
    """pip is asked for what an old server can load."""
    tags = platform_tags(TARGET)
    assert "manylinux_2_28_x86_64" in tags
    assert "manylinux_2_31_x86_64" not in tags


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A stand-alone Python as such archives lay it out, and links that lead out of it."""
    folder = tmp_path / "python"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "python3.11" / "test").mkdir(parents=True)
    (folder / "bin" / "python3.11").write_bytes(b"\x7fELF")
    (folder / "bin" / "python3").symlink_to("python3.11")
    (folder / "lib" / "python3.11" / "os.py").write_text("# os\n")
    (folder / "lib" / "python3.11" / "test" / "big.py").write_text("# left out\n")
    (folder / "lib" / "outside.so").symlink_to("../../../../etc/passwd")
    (folder / "lib" / "loop.so").symlink_to("loop.so")
    path = tmp_path / "python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "python")
    return path


def test_a_carried_python_is_plain_files(archive: Path) -> None:
    """Links become copies; those that lead out, and what no server needs, are left out."""
    files = read_interpreter(archive, "3.11")
    assert files == {
        "bin/python3": b"\x7fELF",
        "bin/python3.11": b"\x7fELF",
        "lib/python3.11/os.py": b"# os\n",
    }


def test_another_python_is_refused(archive: Path, tmp_path: Path) -> None:
    """The target's version, or a clear error; also for what is no archive."""
    with pytest.raises(UsageError, match=r"no Python 3\.12"):
        read_interpreter(archive, "3.12")
    (tmp_path / "no.tar").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        read_interpreter(tmp_path / "no.tar", "3.11")
