"""What is compiled of a release's packages, and what is left to whoever imports it."""

from __future__ import annotations

import sys
from pathlib import Path

from kit.bundle.environment import _compile


def test_what_is_imported_is_compiled(tmp_path: Path) -> None:
    """Packages are; their own tests and other seldom parts are not, wherever the release lies."""
    packages = tmp_path / "tests" / "release" / "lib" / "site-packages"
    compiled = ("torch/nn.py", "kit/testing.py", "transformers/modeling.py", "protests/a.py")
    left = ("pandas/tests/a.py", "torch/test/b/c.py", "transformers/models/bert/d.py")
    left += ("kubernetes/client.py", "tests/e.py")
    for name in (*compiled, *left):
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("X = 1\n")
    _compile(Path(sys.executable), packages.parent)
    found = {path.parent.parent / path.name.split(".")[0] for path in packages.rglob("*.pyc")}
    assert found == {(packages / name).with_suffix("") for name in compiled}
