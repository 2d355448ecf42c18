"""kit bundle trust, distrust: who is believed on a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.bundle.minisign import SecretKey
from kit.bundle.releases import Root
from kit.bundle.rotate import sign_successor
from kit.cli.keys import distrust, trust
from kit.errors import UsageError

OLD, NEW = SecretKey(b"oldoldol", bytes(32)), SecretKey(b"newnewne", bytes(range(32)))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    found = Root(tmp_path / "root")
    with found.locked():
        found.trust(OLD.public, "the first")
    return found


def test_a_key_without_a_word_says_what_to_carry(root: Root, tmp_path: Path) -> None:
    """Nothing vouches for the new key: refused, with both ways on; then the old key's word."""
    new = tmp_path / "new.pub"
    new.write_text(NEW.public.text())
    with pytest.raises(UsageError, match=r"new\.pub\.minisig") as caught:
        trust(new, fingerprint="", root=root.folder, is_json=False)
    assert {"rotate", "--fingerprint"} <= set((caught.value.hint or "").split())
    new.with_name("new.pub.minisig").write_text(sign_successor(OLD, NEW.public))
    trust(new, fingerprint="", root=root.folder, is_json=False)
    assert NEW.public in root.trusted_keys()


def test_the_last_key_stays(root: Root) -> None:
    """Without any trusted key no bundle could be installed: the only one is not distrusted."""
    with pytest.raises(UsageError, match="only trusted key"):
        distrust(OLD.public.id_text, root=root.folder, is_json=False)
    assert root.trusted_keys() == [OLD.public]
