"""A server in a folder: packages, self-test and service are stood in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kit.bundle import environment, install
from kit.bundle.install import InstallPlan
from kit.bundle.make import write
from kit.bundle.make.write import Part
from kit.bundle.manifest import Manifest, Target
from kit.bundle.minisign import SecretKey
from kit.bundle.releases import Root
from kit.bundle.serving import Serving
from kit.bundle.trust import SIGNER
from tests.bundle.made import KEY, SERVER, TEMPLATE, parts


class FakeService:
    """Writes down what was asked of it; healthy as long as it is told to be."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_well = True

    def require_stoppable(self) -> None:
        """It can be."""

    def prepare(self) -> None:
        self.calls.append("prepare")

    def stop(self) -> None:
        self.calls.append("stop")

    def start(self) -> None:
        self.calls.append("start")

    def is_healthy(self) -> bool:
        return self.is_well


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path, _python: str, _manifest: Manifest) -> Path:
        (folder / "venv").mkdir()
        return folder / "venv" / "bin" / "python"

    monkeypatch.setattr(environment, "create", make)
    monkeypatch.setattr(install, "self_test", lambda _python, _home: {"schema": 1})
    monkeypatch.setattr(install, "link_command", lambda _serving: None)
    monkeypatch.setattr(install, "look", lambda _root, _ports, **_kind: SERVER)
    monkeypatch.setattr(install, "busy_ports", lambda _ports: ())
    monkeypatch.setattr(install, "has_address", lambda _host: True)


class Box:
    """A server in a folder, and bundles to bring to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Root(folder / "root")
        self.service = FakeService()
        self.said: list[str] = []
        self._num_bundles = 0

    def bundle(
        self,
        version: str = "1.2.0",
        *,
        key: SecretKey = KEY,
        base: Manifest | None = None,
        seed: int = 0,
        minimum: str = "",
        expires: str = "2099-01-01T00:00:00Z",
        target: Target = TEMPLATE.target,
    ) -> Path:
        self._num_bundles += 1
        folder = self.folder / f"bundle-{self._num_bundles}"
        template = dataclasses.replace(
            TEMPLATE,
            version=version,
            minimum_version=minimum,
            expires=expires,
            target=target,
        )
        signer = Part(SIGNER, "readme", key.public.text().encode())
        write.write_bundle(folder, [*parts(seed), signer], template, key, base=base)
        return folder

    def install(self, bundle: Path, *, host: str = "127.0.0.1", **changes: object) -> str:
        plan = InstallPlan(
            bundle,
            Serving(self.root.folder, self.folder / "home", "kit", host),
            **changes,  # type: ignore[arg-type]
        )
        release = install.install(plan, say=self.said.append, service=self.service)
        return release.id

    @property
    def current(self) -> str:
        return self.root.current.id if self.root.current else ""


@pytest.fixture
def box(tmp_path: Path, stood_in: None) -> Box:
    del stood_in
    return Box(tmp_path)
