"""Pinned prefixes: keys and values of documents kept on disk, so that a restart costs no prefill.

Knows files and who may share them, not slots. Keeps two invariants: a state reaches native code
only if its bytes have the digest they were written with and the model is the one that computed
them, and nothing but the shared part of a prompt is ever written.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kit.engine.prefix import Cache, Saved, State
from kit.engine.sequence import Sequence, Sharing
from kit.errors import KitError
from kit.files import atomic_path, make_private_folder, require_space

MAX_PINNED_BYTES = 4 << 30
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


class PinStore:
    """A folder of pinned prefixes of one model. What is pinned longest ago goes when it is full."""

    def __init__(self, folder: Path, model: str, *, max_bytes: int = MAX_PINNED_BYTES) -> None:
        """`model` is a digest that changes whenever saved states would mean something else."""
        self._folder, self._model, self._max_bytes = folder, model, max_bytes
        self._names: set[str] = set()
        self._writer: threading.Thread | None = None

    def saved(self) -> Iterator[Saved]:
        """Every pinned prefix of this model that is there, each read only when it is used."""
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

    def remove(self, pinned: Iterable[Saved]) -> None:
        """The files of these prefixes are gone."""
        self._wait()
        for saved in pinned:
            name = self._name(saved.sharing.shared_namespace or "", saved.tokens)
            (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)
            self._names.discard(name)

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
            return None
        state = np.memmap(path, dtype=np.uint8, mode="r", offset=header["offset"])
        if hashlib.sha256(state.data).hexdigest() == header["sha256"]:
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
