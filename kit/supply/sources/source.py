"""What every source of files is: a list of names and digests, and the bytes behind each.

Invariant: a stream says at which offset it really begins; nobody who reads one has to trust that
the server did what it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Report = Callable[[str, int, int | None], None]
"""(what is going on, bytes done, bytes in all if known)"""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a source, with what the source (or a model card) says of its content."""

    path: str
    """Relative to the source, with '/'."""
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    """Digest of the git blob: SHA-1 of 'blob SIZE', NUL and the content. The hub says it of the
    files that it keeps in git itself."""
    etag: str = ""


@dataclass(frozen=True)
class RemoteStream:
    """The bytes of a file as they arrive."""

    begins_at: int
    """Offset in the file of the first byte of `blocks`."""
    size_bytes: int | None
    """Of the whole file, as this answer states it."""
    etag: str
    blocks: Iterator[bytes]


class Source(Protocol):
    """Files of one place. Any method may be called from several threads, except `close`."""

    name: str
    """The source as a card writes it, without credentials."""
    revision: str
    """The commit that the files are taken from; empty where there is none."""
    must_state_digests: bool
    """True if bytes of this source are only taken where something says their digest."""

    def list_files(self) -> tuple[RemoteFile, ...]:
        """What there is; empty if the source can give files but not list them.

        Raises: FetchError.
        """

    def open(self, file: RemoteFile, offset: int) -> AbstractContextManager[RemoteStream]:
        """The bytes of the file from `offset` on, or from where the stream says.

        Raises: Interrupted if asking again may help, here or while blocks are read; FetchError.
        """

    def close(self) -> None:
        """Nothing of the source is open any more."""


class Interrupted(Exception):
    """The bytes stopped or did not begin; asking again may help."""

    def __init__(
        self, reason: str, *, retry_after_s: float | None = None, from_zero: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        """What the server asked for, in seconds."""
        self.from_zero = from_zero
        """True if the part that is here does not help."""
