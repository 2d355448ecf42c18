"""Ed25519: the standard's own vectors, and nothing else than what was signed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.bundle.ed25519 import L, P, public_key_of, sign, verify

# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_standards_vectors(secret: str, public: str, message: str, signature: str) -> None:
    """Keys, signatures and their check agree with RFC 8032 to the byte."""
    seed, key, text = (bytes.fromhex(part) for part in (secret, public, message))
    assert public_key_of(seed) == key
    assert sign(seed, text).hex() == signature
    assert verify(key, text, bytes.fromhex(signature))


SEED = bytes(range(32))
KEY = public_key_of(SEED)
MESSAGE = b"the manifest"
SIGNATURE = sign(SEED, MESSAGE)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 64 * 8 - 1), where=st.sampled_from(["signature", "key", "message"]))
def test_any_changed_bit_is_refused(at: int, where: str) -> None:
    """A signature holds for its key, its message and its own bytes, to the bit."""
    parts = {"signature": SIGNATURE, "key": KEY, "message": MESSAGE}
    changed = bytearray(parts[where])
    at %= 8 * len(changed)
    changed[at // 8] ^= 1 << at % 8
    parts[where] = bytes(changed)
    assert not verify(parts["key"], parts["message"], parts["signature"])


def test_no_second_signature_can_be_made_from_the_first() -> None:
    """S plus the group's order, which a lenient check takes, is refused; so are other lengths."""
    s = int.from_bytes(SIGNATURE[32:], "little")
    twin = SIGNATURE[:32] + (s + L).to_bytes(32, "little")
    assert not verify(KEY, MESSAGE, twin)
    for wrong in (b"", SIGNATURE[:63], SIGNATURE + b"\0"):
        assert not verify(KEY, MESSAGE, wrong)
    assert not verify(KEY[:31], MESSAGE, SIGNATURE)


# The eight points of small order, and two that are not in canonical form: a signature with such a
# key holds for more than one message (Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs").
SMALL = [
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    (0).to_bytes(32, "little"),
    (1 << 255).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    P.to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
]


@pytest.mark.parametrize("key", SMALL, ids=lambda key: key.hex()[:8])
def test_keys_of_small_order_sign_nothing(key: bytes) -> None:
    """The identity as commitment and S = 0 would hold for any message under such a key."""
    forged = (1).to_bytes(32, "little") + bytes(32)
    assert not verify(key, MESSAGE, forged)
    assert not verify(key, b"another", forged)
    assert not verify(KEY, MESSAGE, key + SIGNATURE[32:])
