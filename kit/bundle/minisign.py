"""Signatures and keys in minisign's format, so that minisign of any distribution checks them too.

Knows text lines, no folders. Invariant: what `verify` accepts was signed by that key as a whole:
the message, and the trusted comment with it. Runs on Python 3.9 with the standard library alone.
Source: the format as minisign's manual page describes it (jedisct1, "Minisign").
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from kit.bundle import ed25519
from kit.errors import BundleError, UsageError

_PLAIN, _HASHED = b"Ed", b"ED"  # signed as it is, or its BLAKE2b-512
_SCRYPT, _NO_KDF, _BLAKE2 = b"Sc", b"\0\0", b"B2"
_COMMENT, _TRUSTED = "untrusted comment: ", "trusted comment: "
_OPS, _MEM = 1 << 25, 1 << 30  # libsodium's "sensitive": a second and 1 GiB for every guess
MAX_COMMENT_CHARS = 1024
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class PublicKey:
    """Whom to trust. `id`, 8 bytes, only names the key; `fingerprint` is what people compare."""

    id: bytes
    key: bytes

    @property
    def id_text(self) -> str:
        """As minisign prints it: 16 hexadecimal digits."""
        return self.id[::-1].hex().upper()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key in eight groups of four digits, to be read out or printed.

        128 bits: nobody makes a second key with the same one.
        """
        digits = hashlib.sha256(self.key).hexdigest()[:32]
        return " ".join(digits[at : at + 4] for at in range(0, 32, 4))

    def text(self, comment: str = "") -> str:
        """The key's file."""
        comment = comment or f"minisign public key {self.id_text}"
        return _lines(_COMMENT + comment, _b64(_PLAIN + self.id + self.key))


@dataclass(frozen=True)
class SecretKey:
    """Who signs. `seed` is 32 bytes."""

    id: bytes
    seed: bytes

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.id, ed25519.public_key_of(self.seed))


def generate() -> SecretKey:
    """A new key from the system's randomness."""
    return SecretKey(secrets.token_bytes(8), secrets.token_bytes(32))


def parse_public_key(text: str) -> PublicKey:
    """A public key from its file, or from the one line that matters of it. Raises: UsageError."""
    line = next((x for x in reversed(text.strip().splitlines()) if x.strip()), "")
    raw = _decoded(line, "a public key")
    if len(raw) != 42 or raw[:2] != _PLAIN:
        raise UsageError(
            "this is no minisign public key",
            hint="it has two lines, the second of 56 characters that begin with RW",
        )
    return PublicKey(raw[2:10], raw[10:])


def secret_key_text(key: SecretKey, password: str = "") -> str:
    """The secret key's file, sealed with the password if there is one."""
    secret = key.id + key.seed + key.public.key
    secret += hashlib.blake2b(_PLAIN + secret, digest_size=32).digest()
    salt = secrets.token_bytes(32)
    head = _PLAIN + (_SCRYPT if password else _NO_KDF) + _BLAKE2 + salt
    limits = (_OPS, _MEM) if password else (0, 0)
    head += b"".join(limit.to_bytes(8, "little") for limit in limits)
    if password:
        secret = _xor(secret, _stream(password, salt, _OPS, _MEM))
    return _lines(f"{_COMMENT}minisign secret key {key.public.id_text}", _b64(head + secret))


def parse_secret_key(text: str, password: str = "") -> SecretKey:
    """The key of a secret key's file. Raises: UsageError for a wrong file or password."""
    lines = text.strip().splitlines()
    raw = _decoded(lines[1] if len(lines) > 1 else "", "a secret key")
    if len(raw) != 158 or raw[:2] != _PLAIN or raw[4:6] != _BLAKE2:
        raise UsageError("this is no minisign secret key", hint="make one: kit bundle keygen")
    kdf, salt, secret = raw[2:4], raw[6:38], raw[54:]
    ops, mem = (int.from_bytes(raw[at : at + 8], "little") for at in (38, 46))
    if kdf == _SCRYPT:
        if not password:
            raise UsageError("the secret key is sealed with a password", hint="give it when asked")
        secret = _xor(secret, _stream(password, salt, ops, mem))
    elif kdf != _NO_KDF:
        raise UsageError("the secret key is sealed in a way that is not known here")
    key = SecretKey(secret[:8], secret[8:40])
    checksum = hashlib.blake2b(_PLAIN + secret[:72], digest_size=32).digest()
    if not hmac.compare_digest(checksum, secret[72:]) or key.public.key != secret[40:72]:
        raise UsageError("the password is wrong, or the secret key is damaged")
    return key


def sign(key: SecretKey, message: bytes, trusted_comment: str) -> str:
    """The text of a signature file."""
    if len(trusted_comment) > MAX_COMMENT_CHARS or not trusted_comment.isprintable():
        raise UsageError(f"a trusted comment is one line of up to {MAX_COMMENT_CHARS} characters")
    signature = ed25519.sign(key.seed, hashlib.blake2b(message).digest())
    whole = ed25519.sign(key.seed, signature + trusted_comment.encode())
    return _lines(
        f"{_COMMENT}signature from minisign secret key",
        _b64(_HASHED + key.id + signature),
        _TRUSTED + trusted_comment,
        _b64(whole),
    )


def verify(key: PublicKey, message: bytes, signature_text: str) -> str:
    """The trusted comment of a signature that is right.

    Raises: BundleError that says whether the signature is no signature, another key's, or wrong.
    """
    lines = signature_text.rstrip("\n").split("\n")
    if len(lines) != 4 or not lines[0].startswith(_COMMENT) or not lines[2].startswith(_TRUSTED):
        raise BundleError("the signature is no minisign signature", hint=_AGAIN)
    try:
        raw, whole = _decoded(lines[1], "a signature"), _decoded(lines[3], "a signature")
    except UsageError as problem:
        raise BundleError("the signature is no minisign signature", hint=_AGAIN) from problem
    if len(raw) != 74 or len(whole) != 64 or raw[:2] not in (_PLAIN, _HASHED):
        raise BundleError("the signature is no minisign signature", hint=_AGAIN)
    if raw[2:10] != key.id:
        observed = raw[2:10][::-1].hex().upper()
        raise BundleError(
            f"signed with another key: expected {key.id_text}, observed {observed}",
            hint="ask who made the bundle; never trust a key that came with it",
        )
    comment = lines[2][len(_TRUSTED) :]
    signed = hashlib.blake2b(message).digest() if raw[:2] == _HASHED else message
    if not ed25519.verify(key.key, signed, raw[10:]) or not ed25519.verify(
        key.key, raw[10:] + comment.encode("utf-8", "surrogateescape"), whole
    ):
        raise BundleError("the signature does not fit what was signed", hint=_AGAIN)
    return comment


_AGAIN = "copy the bundle again; if it stays so, it was changed after it was signed"


def _stream(password: str, salt: bytes, ops: int, mem: int) -> bytes:
    n, r, p = _scrypt_parameters(ops, mem)
    if n * r * 128 > 1 << 31:  # threat: a key file that takes all memory
        raise UsageError("the secret key asks for more memory than any minisign key")
    room = 128 * r * (n + p + 2)
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=room, dklen=104)


def _scrypt_parameters(ops: int, mem: int) -> tuple[int, int, int]:
    """(N, r, p) as libsodium chooses them from its two limits."""
    ops, r = max(ops, 32768), 8
    largest = ops // (r * 4) if ops < mem // 32 else mem // (r * 128)
    log2_n = next(bits for bits in range(1, 63) if (1 << bits) > largest // 2)
    p = 1 if ops < mem // 32 else max(1, min(ops // 4 // (1 << log2_n), 0x3FFFFFFF) // r)
    return 1 << log2_n, r, p


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b))  # noqa: B905 - strict= is of 3.10


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(line: str, what: str) -> bytes:
    line = line.strip()
    with contextlib.suppress(binascii.Error, ValueError):
        raw = base64.b64decode(line.encode("ascii"), validate=True)
        if base64.b64encode(raw).decode() == line:  # else its last bits are not zero
            return raw
    raise UsageError(f"{what} in minisign's format expected, {line[:20]!r} observed")


def _lines(*lines: str) -> str:
    return "".join(line + "\n" for line in lines)
