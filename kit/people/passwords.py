"""Password hashing: argon2id with the parameters of the OWASP cheat sheet, two at a time.

Knows no accounts. Invariant: a check costs the same whether or not there is an account, so the time
of an answer does not tell which names exist.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kit.errors import AccessError, UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH = 10
MAX_LENGTH = 256  # bounds the work one request can cause
MEMORY_KIB, NUM_PASSES, NUM_LANES = 19_456, 2, 1
MAX_CONCURRENT_HASHES = 2  # x 19 MiB; more would let sign-ins push the engine out of memory
MAX_WAIT_S = 10.0

# The hash of 32 random bytes that nobody kept: what an unknown name is checked against.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$"
    "skNMAAWow7yhl/2FtN7dig$8BeWsLGCBkvCm1XbvvdIgb1TlAcOpGab8fys2RwaKcM"
)

_hashing = threading.BoundedSemaphore(MAX_CONCURRENT_HASHES)


def hash_password(password: str) -> str:
    """The argon2id hash with its parameters and salt, as one string."""
    with _turn():
        return _hasher().hash(_normal(password))


def matches(password: str, password_hash: str | None) -> bool:
    """Whether the password belongs to the hash; None costs the same time and never matches."""
    from argon2.exceptions import VerifyMismatchError

    if len(password) > MAX_LENGTH:
        return False
    with _turn():
        try:
            _hasher().verify(password_hash or _NOBODY, _normal(password))
        except VerifyMismatchError:
            return False
    return password_hash is not None


def check_rules(name: str, password: str) -> None:
    """Raise UsageError unless the password may be used: long enough, and not the name."""
    hint = "a sentence of four or five words is easy to remember and hard to guess"
    if len(password) < MIN_LENGTH:
        raise UsageError(f"the password is shorter than {MIN_LENGTH} characters", hint=hint)
    if len(password) > MAX_LENGTH:
        raise UsageError(f"the password is longer than {MAX_LENGTH} characters")
    if name.lower() in password.lower() and len(password) < len(name) + MIN_LENGTH:
        raise UsageError("the password is little more than the name", hint=hint)
    if len(set(password.lower())) < 4:
        raise UsageError("the password repeats the same few characters", hint=hint)


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher, Type

    return PasswordHasher(
        time_cost=NUM_PASSES, memory_cost=MEMORY_KIB, parallelism=NUM_LANES, type=Type.ID
    )


def _normal(password: str) -> str:
    """One form for what a person sees as the same characters (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Wait for one of the two places; a crowd is told to come back instead of piling up."""
    if not _hashing.acquire(timeout=MAX_WAIT_S):
        raise AccessError(
            "too many people are signing in at once",
            status=429,
            hint="try again in a moment",
            retry_after_s=int(MAX_WAIT_S),
        )
    try:
        yield
    finally:
        _hashing.release()
