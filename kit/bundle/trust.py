"""Whose bundle this is, and whether that maker is trusted on this server.

The first installation pins the maker's key, after a person compared its fingerprint with what they
were told by another way; from then on no other key is taken. Knows keys, installs nothing.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kit.bundle.minisign import PublicKey, parse_public_key
from kit.errors import BundleError, UsageError

SIGNER = "signer.pub"
Ask = Callable[[str], str]


def read_key(path: Path) -> PublicKey:
    """The public key of a file. Raises: UsageError."""
    return parse_public_key(read_text(path))


def read_text(path: Path, hint: str | None = None) -> str:
    """The text of a key's or a signature's file. Raises: UsageError with that hint."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", hint=hint) from None
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}", hint=hint) from None


def choose_key(
    bundle: Path,
    trusted: Sequence[PublicKey],
    *,
    named: Path | None,
    fingerprint: str,
    ask: Ask | None,
) -> PublicKey:
    """The key that the bundle must be signed with.

    `named` is a key file that the administrator brought; `fingerprint` what they were told; `ask`
    puts a question to them, None if nobody is there. Raises: BundleError, UsageError.
    """
    if named is not None:
        key = read_key(named)
        if trusted and key not in trusted:
            raise BundleError(
                f"the key {key.id_text} is not trusted on this server",
                hint="bundles of a new key are taken after: kit bundle trust NEW.pub",
            )
        return key
    claimed = read_key(bundle / SIGNER)
    if trusted:
        if claimed in trusted:
            return claimed
        known = ", ".join(key.id_text for key in trusted)
        raise BundleError(
            f"the bundle says it is of key {claimed.id_text}; trusted here: {known}",
            hint="if the maker changed keys, they sign the change: kit bundle trust NEW.pub",
        )
    _compare(claimed, fingerprint, ask)
    return claimed


def _compare(key: PublicKey, fingerprint: str, ask: Ask | None) -> None:
    """A person confirms the key. Threat: a bundle and a key that both come from someone else."""
    if not fingerprint:
        if ask is None:
            raise UsageError(
                f"nobody confirmed the maker's key; its fingerprint is {key.fingerprint}",
                hint="if you were told the same, add: --fingerprint '" + key.fingerprint + "'",
            )
        fingerprint = ask(
            "The first bundle on this server. Its maker told you a fingerprint, by voice or on"
            " paper.\nType it (spaces do not matter): "
        )
    require_same_fingerprint(key, fingerprint)


def require_same_fingerprint(key: PublicKey, fingerprint: str) -> None:
    """Raises: BundleError if a person was told another one."""
    if _digits(fingerprint) != _digits(key.fingerprint):
        raise BundleError(
            f"the fingerprints differ: you gave {fingerprint.strip()!r}, the key has"
            f" {key.fingerprint}",
            hint="do not install it; ask its maker",
        )


def _digits(text: str) -> str:
    return "".join(text.lower().replace(":", "").replace("-", "").split())
