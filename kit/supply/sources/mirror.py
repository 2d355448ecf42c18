"""A folder on a web server or in a bucket as a source: https://host/folder/.

Such a place cannot be listed. If it has a SHA256SUMS that is the list; else the card names the
files and their digests.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import quote

from kit.errors import FetchError
from kit.supply.sources import sums
from kit.supply.sources.source import RemoteFile, RemoteStream
from kit.supply.sources.web import open_bytes, open_client, plain_address


class MirrorSource:
    """The files below one address."""

    must_state_digests = True
    revision = ""

    def __init__(self, spec: str, *, read_timeout_s: float) -> None:
        self._base = spec.rstrip("/") + "/"
        self.name = plain_address(self._base)
        self._client = open_client(read_timeout_s)

    def list_files(self) -> tuple[RemoteFile, ...]:
        """What SHA256SUMS names; empty if there is none."""
        try:
            with self.open(RemoteFile(sums.NAME), 0) as stream:
                text = b""
                for block in stream.blocks:
                    text += block
                    if len(text) > sums.MAX_BYTES:
                        raise FetchError(f"{self.name}{sums.NAME} is larger than a list of digests")
        except _Absent:
            return ()
        return sums.parse_sums(text.decode("utf-8", "replace"), self.name + sums.NAME)

    def open(self, file: RemoteFile, offset: int) -> AbstractContextManager[RemoteStream]:
        """The file from `offset` on, or from where the stream says."""
        return open_bytes(self._client, self._base + quote(file.path), offset, {}, _explain)

    def close(self) -> None:
        """The connections are closed."""
        self._client.close()


class _Absent(FetchError):
    """The mirror has no such file; a bucket says 403 where listing is not allowed."""


def _explain(status: int, address: str) -> FetchError:
    if status in (403, 404, 410):
        return _Absent(
            f"the mirror does not give {address} (it answered {status})",
            hint="check the folder's address in the card, and what the mirror carries",
        )
    return FetchError(
        f"the mirror refused {address} (it answered {status})", hint="ask who runs the mirror"
    )
