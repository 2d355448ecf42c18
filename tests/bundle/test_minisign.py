"""minisign's format: what we write is read back, and anything else is refused in words."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.bundle import ed25519, minisign
from kit.bundle.minisign import SecretKey
from kit.errors import BundleError, UsageError

KEY = SecretKey(b"abcdefgh", bytes(range(32)))
MESSAGE = b'{"a bundle": 1}\n'
SIGNED = minisign.sign(KEY, MESSAGE, "kit bundle office 1.2.0")


def test_a_signature_gives_its_comment() -> None:
    """What was signed is accepted, and the trusted comment comes back."""
    assert minisign.verify(KEY.public, MESSAGE, SIGNED) == "kit bundle office 1.2.0"
    assert minisign.sign(KEY, MESSAGE, "kit bundle office 1.2.0") == SIGNED


def test_the_older_kind_of_signature_is_taken_too() -> None:
    """minisign -l signs the message itself, not its hash."""
    signature = ed25519.sign(KEY.seed, MESSAGE)
    whole = ed25519.sign(KEY.seed, signature + b"old")
    text = "\n".join(
        [
            "untrusted comment: x",
            base64.b64encode(b"Ed" + KEY.id + signature).decode(),
            "trusted comment: old",
            base64.b64encode(whole).decode(),
        ]
    )
    assert minisign.verify(KEY.public, MESSAGE, text + "\n") == "old"


@settings(max_examples=80, deadline=None)
@example(at=SIGNED.index("=\n") - 1, character=chr(ord(SIGNED[SIGNED.index("=\n") - 1]) + 1))
@given(at=st.integers(0, len(SIGNED) - 1), character=st.characters(codec="utf-8"))
def test_any_changed_character_is_refused(at: int, character: str) -> None:
    """Only the untrusted comment may be anything."""
    changed = SIGNED[:at] + character + SIGNED[at + 1 :]
    start, end = len("untrusted comment: "), SIGNED.index("\n")
    if changed == SIGNED or (start <= at < end and character != "\n"):
        return
    if at == len(SIGNED) - 1 and not character.strip():
        return
    with pytest.raises(BundleError):
        minisign.verify(KEY.public, MESSAGE, changed)


def test_another_key_is_named() -> None:
    """A signature of a key that is not trusted says which key made it."""
    other = SecretKey(b"ABCDEFGH", bytes(range(1, 33)))
    with pytest.raises(BundleError, match=f"observed {other.public.id_text}"):
        minisign.verify(KEY.public, MESSAGE, minisign.sign(other, MESSAGE, "x"))
    twin = SecretKey(KEY.id, other.seed)
    with pytest.raises(BundleError, match="does not fit"):
        minisign.verify(KEY.public, MESSAGE, minisign.sign(twin, MESSAGE, "x"))


def test_keys_are_read_back() -> None:
    """Both keys survive their files; the password opens what it sealed and nothing else does."""
    assert minisign.parse_public_key(KEY.public.text()) == KEY.public
    assert minisign.parse_public_key(KEY.public.text().splitlines()[1]) == KEY.public
    plain = minisign.secret_key_text(KEY)
    assert minisign.parse_secret_key(plain) == KEY
    for damaged in ("", "x\ny\n", plain.replace("RW", "RX", 1), plain[:-20] + plain[-19:]):
        with pytest.raises(UsageError):
            minisign.parse_secret_key(damaged)
    with pytest.raises(UsageError):
        minisign.parse_public_key(plain)


def test_a_password_seals_the_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password the file gives nothing; with a wrong one an error, no wrong key."""
    monkeypatch.setattr(minisign, "_OPS", 32768)
    monkeypatch.setattr(minisign, "_MEM", 1 << 24)
    sealed = minisign.secret_key_text(KEY, "a long password")
    assert base64.b64encode(KEY.seed).decode()[:12] not in sealed
    assert minisign.parse_secret_key(sealed, "a long password") == KEY
    for wrong in ("", "another"):
        with pytest.raises(UsageError):
            minisign.parse_secret_key(sealed, wrong)


def test_a_fingerprint_can_be_read_out() -> None:
    """Eight groups of four, the same for the same key, another for another."""
    shown = KEY.public.fingerprint
    assert [len(group) for group in shown.split()] == [4] * 8
    assert shown != SecretKey(KEY.id, bytes(32)).public.fingerprint


def test_a_comment_is_one_line() -> None:
    """A trusted comment cannot hold a line break that would forge the next line."""
    with pytest.raises(UsageError):
        minisign.sign(KEY, MESSAGE, "a\nb")
