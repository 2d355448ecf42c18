"""A bug planted in each guarantee of a bundle, and of access: the tests of it turn red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bug:
    """In `path` the text `right` becomes `wrong`; `tests` must notice."""

    path: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MACHINE = ("e2e/test_access.py::test_ten_thousand_steps",)
BUGS = {
    "any signature": Bug(
        "bundle/minisign.py",
        "if not ed25519.verify(key.key, signed, raw[10:]) or not",
        "if False and not",
        ("bundle/test_minisign.py", "bundle/test_update_attacks.py"),
    ),
    "any key": Bug(
        "bundle/trust.py",
        "        if claimed in trusted:\n",
        "        if True:\n",
        ("bundle/test_update_attacks.py",),
    ),
    "any fingerprint": Bug(
        "bundle/trust.py",
        "if _digits(fingerprint) != _digits(key.fingerprint):",
        "if not fingerprint:",
        ("bundle/test_install.py",),
    ),
    "any bytes": Bug(
        "bundle/stage.py",
        "if size != entry.size_bytes or digest.hexdigest() != entry.sha256:",
        "if size != entry.size_bytes:",
        ("bundle/test_install.py",),
    ),
    "any bytes of the base": Bug(
        "bundle/stage.py",
        "    if digest != entry.sha256:\n",
        "    if False:\n",
        ("bundle/test_install.py",),
    ),
    "any name": Bug(
        "bundle/manifest.py",
        "        if not _PART.fullmatch(part):\n",
        "        if not part:\n",
        ("bundle/test_manifest.py",),
    ),
    "any version": Bug(
        "bundle/install.py",
        "if new < here and DOWNGRADE not in allowed:",
        "if False:",
        ("bundle/test_update_attacks.py",),
    ),
    "any age": Bug(
        "bundle/install.py",
        "    for note in check_time(manifest, now, plan.allowed):\n",
        "    for note in ():\n",
        ("bundle/test_update_attacks.py",),
    ),
    "strangers": Bug(
        "bundle/install.py",
        "find_strangers(plan.bundle, manifest) + wrong_sizes",
        "wrong_sizes",
        ("bundle/test_update_attacks.py",),
    ),
    "an ill release stays": Bug(
        "bundle/install.py",
        "        if not service.is_healthy():\n",
        "        if False:\n",
        ("bundle/test_install.py",),
    ),
    "a switch in two steps": Bug(
        "bundle/releases.py",
        "os.replace(new, self.folder / CURRENT)",
        "(self.folder / CURRENT).unlink(missing_ok=True); os.rename(new, self.folder / CURRENT)",
        ("e2e/test_install_kills.py::test_killed_at_every_step",),
    ),
    "a release before it is whole": Bug(
        "bundle/install.py",
        "    folder = root.begin(manifest)\n",
        "    folder = root.begin(manifest)\n    (folder / 'release.json').write_text('{}')\n",
        ("e2e/test_install_kills.py::test_killed_at_every_step",),
    ),
    "a service that stays down": Bug(
        "bundle/service.py",
        "    except BaseException:\n        service.start()\n        raise\n",
        "    except BaseException:\n        raise\n",
        ("e2e/test_install_kills.py::test_every_write_refused",),
    ),
    "a backup that is not compared": Bug(
        "ops/backup.py",
        "elif (observed := sha256_file(path)) != file.sha256:",
        "elif (observed := sha256_file(path)) == '':",
        ("ops/test_backup.py",),
    ),
    "passages without the gate": Bug(
        "library/store.py",
        '_VISIBLE = f"c.id IN ({READABLE})"',
        '_VISIBLE = "1"',
        MACHINE,
    ),
    "any group": Bug(
        "library/gate.py",
        "(SELECT group_id FROM group_members WHERE user_id = :reader)",
        "(SELECT group_id FROM group_members)",
        MACHINE,
    ),
    "readers who write": Bug(
        "library/gate.py",
        "id IN ({_GRANTED} AND may_write)",
        "id IN ({_GRANTED})",
        MACHINE,
    ),
    "a right that is not taken back": Bug(
        "library/collections.py",
        "    if not _delete_grant(connection, collection_id, to):\n",
        "    if not collection_id:\n",
        MACHINE,
    ),
    "a stranger who shares": Bug(
        "library/collections.py",
        "    if not (is_owner or is_admin(connection, actor)):\n",
        "    if not may_read:\n",
        MACHINE,
    ),
    "old answers as they were": Bug(
        "answer/conversations/conversations.py",
        "    if closed:\n",
        "    if closed and answer is None:\n",
        MACHINE,
    ),
    "what the model said of closed documents": Bug(
        "answer/conversations/closed.py",
        "        sentences=(),\n",
        "        sentences=answer.sentences,\n",
        MACHINE,
    ),
    "answers that were before the model": Bug(
        "answer/chat.py",
        "earlier = [message.id for message in remembered(history)]",
        "earlier: list[int] = []",
        ("answer/test_chat.py",),
    ),
    "words of old answers found": Bug(
        "answer/conversations/conversations.py",
        "      AND {_CLOSED} = '[]'))\n",
        "      ))\n",
        MACHINE,
    ),
}


@pytest.mark.parametrize("name", sorted(BUGS))
def test_it_is_noticed(tmp_path: Path, name: str) -> None:
    """With the bug the tests fail; that they pass without it, the suite itself shows."""
    bug = BUGS[name]
    for folder in ("kit", "tests", "models"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=ignored)
    for file in ("pyproject.toml", "requirements"):
        (tmp_path / file).symlink_to(CHECKOUT / file)
    source = tmp_path / "kit" / bug.path
    text = source.read_text(encoding="utf-8")
    assert text.count(bug.right) == 1, "the code that the bug is planted in has changed"
    source.write_text(text.replace(bug.right, bug.wrong), encoding="utf-8")
    wanted = [f"tests/{test}" for test in bug.tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *wanted],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:]
    assert "FAILED" in done.stdout
