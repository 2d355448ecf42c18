"""How an installation is served: where its data lies, who runs it, who may reach it.

Kept in the root of the releases, so that an upgrade and a rollback go on as it was installed.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import BundleError, UsageError
from kit.files import write_atomic

FILE = "serving.json"


@dataclass(frozen=True)
class Serving:
    """How the installed kit runs. `networks` are those of the readers, as '192.168.1.0/24'."""

    root: Path
    home: Path
    user: str = "kit"
    host: str = "127.0.0.1"
    port: int = 7860
    networks: tuple[str, ...] = ()
    has_service: bool = False
    """Run by systemd as `user`; else by whoever starts it."""

    @property
    def backups(self) -> Path:
        """Where the backup before an upgrade goes."""
        return self.home.parent / f"{self.home.name}-backups"

    @property
    def is_open(self) -> bool:
        """Whether others than this machine reach the page, so that somebody must sign in."""
        return self.host not in ("localhost", "::1") and not self.host.startswith("127.")

    @property
    def log_hint(self) -> str:
        """Where to see why it does not run."""
        return "see why: journalctl -u kit" if self.has_service else "see its log"

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Wishes:
    """What an administrator asked for; None = as it was, or as usual."""

    root: Path | None = None
    home: Path | None = None
    user: str | None = None
    host: str | None = None
    port: int | None = None
    networks: tuple[str, ...] | None = None
    has_service: bool | None = None


def choose(wishes: Wishes) -> Serving:
    """What was asked for, else what was remembered, else the usual: for root the system's places.

    Raises: UsageError for a network that is none; BundleError if what was kept is damaged.
    """
    is_root = os.geteuid() == 0
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    root = (wishes.root or (Path("/opt/kit") if is_root else data / "kit-releases")).absolute()
    usual = Serving(
        root, Path("/var/lib/kit") if is_root else data / "kit", "kit", has_service=is_root
    )
    before = remembered(root) or usual
    asked: dict[str, Any] = {
        field.name: value
        for field in dataclasses.fields(Wishes)
        if (value := getattr(wishes, field.name)) is not None
    }
    serving = dataclasses.replace(before, **{**asked, "root": root})
    networks = checked_networks(serving.networks)
    return dataclasses.replace(serving, home=serving.home.absolute(), networks=networks)


def remembered(root: Path) -> Serving | None:
    """How the releases of `root` are served; None before the first. Raises: BundleError."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Serving(
            root,
            Path(record["home"]),
            str(record["user"]),
            str(record["host"]),
            int(record["port"]),
            tuple(map(str, record["networks"])),
            bool(record["has_service"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BundleError(
            f"{path} cannot be read: {problem}",
            hint="say again how it is served: --home, --host, --port, --network",
        ) from None


def remember(serving: Serving) -> None:
    """The next upgrade goes on like this."""
    record = dataclasses.asdict(serving)
    record = {
        name: str(value) if isinstance(value, Path) else value for name, value in record.items()
    }
    del record["root"]
    write_atomic(serving.root / FILE, json.dumps(record, indent=2, sort_keys=True).encode())


def checked_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """The networks in canonical form. Raises: UsageError for what is none, or not one's own."""
    checked: list[str] = []
    for text in networks:
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            raise UsageError(
                f"{text!r} is no network", hint="write it as 192.168.1.0/24 or fd00::/8"
            ) from None
        if network.prefixlen == 0 or not (network.is_private or network.is_loopback):
            raise UsageError(
                f"{text} is not a network of your own",
                hint="name the office's, for example 10.0.0.0/8 or 192.168.1.0/24",
            )
        checked.append(str(network))
    return tuple(checked)
