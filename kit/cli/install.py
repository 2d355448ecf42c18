"""kit install, upgrade, rollback: a bundle becomes this server's release, and the way back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, meter, say

if TYPE_CHECKING:
    from kit.bundle.serving import Serving
    from kit.bundle.trust import Ask

Bundle = Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="FOLDER")]
Host = Annotated[str | None, typer.Option("--host", help="The address that the page listens on.")]
Port = Annotated[int | None, typer.Option("--port", help="The page's port.")]
Network = Annotated[
    list[str] | None, typer.Option("--network", help="Of the readers, as 192.168.1.0/24.")
]
User = Annotated[str | None, typer.Option("--user", help="Who the service runs as.")]
NoSystemd = Annotated[bool, typer.Option("--no-systemd", help="There is no service.")]
Key = Annotated[Path | None, typer.Option("--key", help="The maker's public key, your own copy.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="Take it although it is: expired, downgrade. Goes on record."),
]


def install(
    folder: Bundle,
    root: options.RootOption = None,
    host: Host = None,
    port: Port = None,
    network: Network = None,
    user: User = None,
    no_systemd: NoSystemd = False,
    key: Key = None,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="Of the maker's key, as you were told it.")
    ] = "",
    allow: Allow = None,
    admin: Annotated[
        str, typer.Option("--admin", help="The first account; its password is asked for.")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Its password is the first line of stdin.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Check a bundle, install it beside what runs, try it, and switch to it or change nothing.

    Also the way to serve an installed bundle otherwise: on another port, for other networks.
    """
    from kit.bundle.kernel import next_steps, read_password

    serving = choose_serving(root, home, user, host, port, network, no_systemd)
    _take(
        folder,
        serving,
        key=key,
        fingerprint=fingerprint,
        allow=allow,
        admin=admin,
        password=read_password(admin, password_stdin),
        ask=input if sys.stdin.isatty() else None,
        is_json=is_json,
    )
    if not is_json:
        for line in next_steps(serving):
            print(line)


def upgrade(
    folder: Bundle,
    root: options.RootOption = None,
    key: Key = None,
    allow: Allow = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Take over a newer bundle on a server that has one; served as before, after a backup."""
    from kit.bundle.releases import Root as Releases
    from kit.errors import NotFound

    serving = choose_serving(root, home)
    if Releases(serving.root).current is None:
        raise NotFound(
            f"nothing is installed in {serving.root}",
            hint="the first time: kit install FOLDER, or the bundle's own install.sh",
        )
    _take(folder, serving, key=key, allow=allow, is_json=is_json)


def _take(
    folder: Path,
    serving: Serving,
    *,
    key: Path | None,
    allow: list[str] | None,
    is_json: bool,
    fingerprint: str = "",
    admin: str = "",
    password: str = "",
    ask: Ask | None = None,
) -> None:
    from kit.bundle.install import InstallPlan
    from kit.bundle.install import install as take
    from kit.bundle.kernel import ALLOWED
    from kit.errors import UsageError

    for word in allow or ():
        if word not in ALLOWED:
            raise UsageError(f"--allow {word}: only {' and '.join(ALLOWED)} can be allowed")
    plan = InstallPlan(
        folder,
        serving,
        key=key,
        fingerprint=fingerprint,
        allowed=tuple(allow or ()),
        admin=admin,
        admin_password=password,
    )
    with meter() as shown:
        release = take(plan, say=say, ask=ask, on_progress=shown.show)
    if is_json:
        emit({"release": release.id, "root": str(serving.root), "home": str(serving.home)})
        return
    print(f"{release.id} is current in {serving.root}")


def rollback(
    lose_newer: Annotated[
        bool,
        typer.Option("--lose-newer", help="Also to the data of the backup before, if need be."),
    ] = False,
    root: options.RootOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Go back to the release before; once more, and you are forward again."""
    from kit.bundle.rollback import rollback as go_back
    from kit.bundle.service import service_of

    serving = choose_serving(root, home)
    release = go_back(serving, service_of(serving), say=say, may_lose_newer=lose_newer)
    if is_json:
        emit({"release": release.id, "root": str(serving.root), "home": str(serving.home)})
        return
    print(f"{release.id} is current in {serving.root}")


def choose_serving(
    root: Path | None,
    home: Path | None = None,
    user: str | None = None,
    host: str | None = None,
    port: int | None = None,
    network: list[str] | None = None,
    no_systemd: bool = False,
) -> Serving:
    """How this server's releases are served, or will be. Raises: UsageError, BundleError."""
    from kit.bundle.serving import Wishes, choose
    from kit.release import installation_root

    return choose(
        Wishes(
            root or installation_root(),
            home,
            user,
            host,
            port,
            None if network is None else tuple(network),
            False if no_systemd else None,
        )
    )
