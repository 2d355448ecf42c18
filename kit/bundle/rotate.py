"""A maker's change of keys: the old key signs the new one, and servers that trust the old take it.

Knows keys and texts, no folders. Invariant: no key is taken on but by the word of one that is
trusted already. Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.bundle import minisign
from kit.bundle.minisign import PublicKey, SecretKey
from kit.errors import BundleError

# Threat: a signature that the maker gave to something else, shown as their word for a key.
_SAID = "kit key {new} follows {old}"


def sign_successor(old: SecretKey, new: PublicKey) -> str:
    """The text of the signature by which `old` names `new` its successor."""
    comment = _SAID.format(new=new.id_text, old=old.public.id_text)
    return minisign.sign(old, new.text().encode(), comment)


def check_successor(new: PublicKey, signature: str, trusted: Sequence[PublicKey]) -> PublicKey:
    """The trusted key that named `new` its successor. Raises: BundleError if none did."""
    for old in trusted:
        try:
            comment = minisign.verify(old, new.text().encode(), signature)
        except BundleError:
            continue
        if comment == _SAID.format(new=new.id_text, old=old.id_text):
            return old
    known = ", ".join(key.id_text for key in trusted) or "none"
    raise BundleError(
        f"no trusted key names {new.id_text} its successor; trusted here: {known}",
        hint="the maker signs it: kit bundle rotate --key OLD.key NEW.pub; carry both files here",
    )
