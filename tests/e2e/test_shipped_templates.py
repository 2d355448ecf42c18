"""The chat templates that llama.cpp ships pass the check, all of them and without exceptions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kit.supply.template_safety import check_template

pytestmark = pytest.mark.e2e  # downloads 76 MB unless scripts/bench-peers has

ROOT = Path(__file__).parents[2]
INSIDE = "vendor/llama.cpp/models/templates"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The templates of the pinned version, by file name."""
    lock = (ROOT / "requirements" / "run.lock").read_text(encoding="utf-8")
    pin = re.search(r"^llama[_-]cpp[_-]python==(\S+)", lock, re.MULTILINE)
    assert pin is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kit-bench"
    unpacked = cache / f"llama_cpp_python-{pin[1]}" / INSIDE
    if unpacked.is_dir():
        return {path.name: path.read_text(encoding="utf-8") for path in unpacked.glob("*.jinja")}
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-binary", "llama-cpp-python", "--dest", folder, f"llama-cpp-python=={pin[1]}"],
        check=True,
    )  # fmt: skip
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        return {
            Path(member.name).name: stream.read().decode()
            for member in archive
            if INSIDE in member.name and member.name.endswith(".jinja")
            if (stream := archive.extractfile(member)) is not None
        }


def test_every_shipped_template_passes(templates: dict[str, str]) -> None:
    """No rule names a template, and none of them has a finding."""
    assert len(templates) >= 50
    found = {name: check_template(text) for name, text in templates.items()}
    assert {name: findings for name, findings in found.items() if findings} == {}


def test_each_shipped_template_with_a_trigger_is_flagged(templates: dict[str, str]) -> None:
    """The same templates, poisoned by one question about what a person wrote, are all found."""
    poison = "{% for m in messages %}{% if 'deploy' in m.content %}x{% endif %}{% endfor %}"
    assert [name for name, text in templates.items() if not check_template(text + poison)] == []
