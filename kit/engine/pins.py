"""Pinned prefixes: keys and values of documents kept on disk, so that a restart costs no prefill.

Knows files and who may share them, not slots. Keeps three invariants: a state reaches native code
only if its bytes have the digest they were written with and the model is the one that computed
them; nothing but the shared part of a prompt is ever written; and every file in the folder tells
its namespace, also one of another model or one that a kill left half-written, so that a document
that is removed can be removed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kit.engine.prefix import Cache, Saved, State
from kit.engine.sequence import Sequence, Sharing
from kit.errors import KitError
from kit.files import atomic_path, make_private_folder, require_space

MAX_PINNED_BYTES = 4 << 30
LEFT_BEHIND_S = 60.0  # an unfinished file this old is no one's work in progress
_SUFFIX = ".prefix"
_MODEL_BYTES = 8 << 20
_MAX_HEADER_BYTES = 16 << 20


def model_digest(path: Path) -> str:
    """Changes with the model, its quantization and llama.cpp: what a saved state depends on.

    Of the file it reads the beginning, where names, shapes and types are, and the end.
    """
    digest = hashlib.sha256(importlib.metadata.version("llama-cpp-python").encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_MODEL_BYTES))
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _MODEL_BYTES))
        digest.update(stream.read() + str(size).encode())
    return digest.hexdigest()


def pinned(folder: Path) -> dict[Path, str]:
    """Every file with a prefix in the folder, of whatever model, finished or not: its namespace."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    headers = {path: _read_header(path) for path in paths}
    return {path: header["namespace"] for path, header in headers.items() if header is not None}


class PinStore:
    """A folder of pinned prefixes of one model. What was used longest ago goes when it is full."""

    def __init__(self, folder: Path, model: str, *, max_bytes: int = MAX_PINNED_BYTES) -> None:
        """`model` is a digest that changes whenever saved states would mean something else."""
        self._folder, self._model, self._max_bytes = folder, model, max_bytes
        self._names: set[str] = set()
        self._writer: threading.Thread | None = None

    def saved(self) -> Iterator[Saved]:
        """Every pinned prefix of this model that is there, each read only when it is used."""
        self._sweep()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            header = _read_header(path)
            if header is not None and header["model"] == self._model:
                self._names.add(path.stem)
                yield self._saved(path, header)

    def keep(self, sequence: Sequence, cache: Cache) -> Saved | None:
        """Pin the shared part of a prompt, if that was asked for and is what was just computed.

        Returns it as it can be used from now on; the file is written beside the next steps.
        """
        num = sequence.sharing.num_shared
        namespace = sequence.sharing.shared_namespace
        if not sequence.is_pinned or namespace is None or sequence.num_computed != num:
            return None
        tokens = sequence.tokens[:num]
        name = self._name(namespace, tokens)
        if name in self._names or (state := cache.save(sequence.row_slot, self._max_bytes)) is None:
            return None
        self._names.add(name)
        header = {"model": self._model, "namespace": namespace, "tokens": tokens}
        path = self._folder / f"{name}{_SUFFIX}"
        self._wait()
        self._writer = threading.Thread(target=self._write, args=(path, header, state))
        self._writer.start()
        return self._saved(path, header)

    def namespaces(self) -> list[str]:
        """Those that have anything on disk, whichever model computed it. From any thread."""
        return sorted(set(pinned(self._folder).values()))

    def forget(self, namespace: str) -> None:
        """No file of the namespace is left, whichever model computed it."""
        self._wait()
        for path, found in pinned(self._folder).items():
            if found == namespace:
                path.unlink(missing_ok=True)
                self._names.discard(path.stem)

    def _sweep(self) -> None:
        """What a kill left half-written, and what cannot be read, is gone."""
        whole = {path for path in pinned(self._folder) if path.suffix == _SUFFIX}
        oldest = time.time() - LEFT_BEHIND_S
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):  # it is gone already, or not ours to remove
                if path not in whole and path.stat().st_mtime < oldest:
                    path.unlink()

    def close(self) -> None:
        self._wait()

    def _wait(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _name(self, namespace: str, tokens: list[int]) -> str:
        told = json.dumps([self._model, namespace, tokens]).encode()
        return hashlib.sha256(told).hexdigest()[:32]

    def _saved(self, path: Path, header: dict[str, Any]) -> Saved:
        num = len(header["tokens"])
        return Saved(
            tokens=header["tokens"],
            sharing=Sharing(shared_namespace=header["namespace"], num_shared=num),
            read=lambda: self._read(path),
            size_bytes=0,
            is_pinned=True,
        )

    def _write(self, path: Path, header: dict[str, Any], state: Any) -> None:
        """A pin that cannot be written costs time later, never an answer now."""
        try:
            make_private_folder(self._folder)
            require_space(self._folder, state.nbytes)
            self._make_room(state.nbytes)
            line = json.dumps({**header, "sha256": hashlib.sha256(state).hexdigest()}).encode()
            with atomic_path(path) as temporary, temporary.open("wb") as out:
                out.write(line + b"\n")
                out.flush()  # whatever happens now, the file tells whose it is
                out.write(state)
        except (KitError, OSError) as problem:
            self._names.discard(path.stem)
            print(f"a document's prefix was not kept on disk: {problem}", file=sys.stderr)

    def _make_room(self, num_bytes: int) -> None:
        files = sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
        excess = sum(path.stat().st_size for path in files) + num_bytes - self._max_bytes
        for path in files:
            if excess <= 0:
                return
            excess -= path.stat().st_size
            path.unlink()
            self._names.discard(path.stem)

    def _read(self, path: Path) -> State | None:
        """The state if every byte is as it was written; a damaged file is removed."""
        self._wait()
        header = _read_header(path)
        if header is None:
            self._names.discard(path.stem)
            return None
        state = np.memmap(path, dtype=np.uint8, mode="r", offset=header["offset"])
        if hashlib.sha256(state.data).hexdigest() == header["sha256"]:
            with contextlib.suppress(OSError):
                os.utime(path)
            return state
        print(f"a document's prefix on disk was damaged and is dropped: {path}", file=sys.stderr)
        path.unlink(missing_ok=True)
        self._names.discard(path.stem)
        return None


def _read_header(path: Path) -> dict[str, Any] | None:
    """The first line of a file and where its state begins; None if that is not what it holds."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(_MAX_HEADER_BYTES)
        header = json.loads(line)
        tokens = header["tokens"]
        if not all(isinstance(header[key], str) for key in ("model", "namespace", "sha256")):
            return None
        if not (isinstance(tokens, list) and all(isinstance(token, int) for token in tokens)):
            return None
        if path.stat().st_size <= len(line):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {**header, "offset": len(line)}
