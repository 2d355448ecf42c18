"""A small bundle for tests, with every kind of part."""

from __future__ import annotations

import random
from pathlib import Path

from kit.bundle.make.write import Part, write_bundle
from kit.bundle.manifest import Manifest, Target
from kit.bundle.minisign import SecretKey
from kit.bundle.server import Server

KEY = SecretKey(b"officekt", bytes(range(32)))
TEMPLATE = Manifest(
    name="office",
    version="1.2.0",
    minimum_version="",
    created="2026-11-26T10:00:00Z",
    expires="2027-11-26T10:00:00Z",
    target=Target("x86_64", "3.11", "2.28"),
    files=(),
)

SERVER = Server(
    machine="x86_64",
    system="Linux",
    glibc="2.36",
    pythons=(("3.11", "/usr/bin/python3.11"),),
    memory_bytes=16 << 30,
    free_memory_bytes=12 << 30,
    free_disk_bytes=500 << 30,
    has_systemd=False,
    is_root=False,
    busy_ports=(),
    has_address=True,
    has_loopback=True,
    cpu="a processor",
    cpu_flags=frozenset({"avx2"}),
)


def parts(seed: int = 0) -> list[Part]:
    """Some files of some sizes; the same seed gives the same ones."""
    chance = random.Random(seed)

    def blob(size: int) -> bytes:
        return chance.randbytes(size)

    return [
        Part("install.sh", "installer", b"#!/bin/sh\n"),
        Part("kernel/kit/errors.py", "kernel", b"# errors\n"),
        Part("README.txt", "readme", b"Read me.\n"),
        Part("wheels/gradio-6.31.0-py3-none-any.whl", "wheel", blob(5_000), "Apache-2.0"),
        Part("wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "wheel", blob(20_000)),
        Part("models/office/office-8b.Q4_0.gguf", "model", blob(70_000), "MIT"),
        Part("models/office/empty.txt", "model", b""),
        Part("docs/index.html", "doc", b"<p>Hello</p>\n"),
    ]


def make_bundle(folder: Path, seed: int = 0, *, volume_bytes: int = 0) -> Manifest:
    return write_bundle(folder, parts(seed), TEMPLATE, KEY, volume_bytes=volume_bytes)
