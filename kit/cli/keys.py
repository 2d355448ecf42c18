"""kit bundle keygen, rotate, trust, distrust, keys: who signs bundles, and who is believed."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, say, table
from kit.errors import NotFound, UsageError

if TYPE_CHECKING:
    from kit.bundle.minisign import PublicKey, SecretKey
    from kit.bundle.releases import Root as Releases

PASSWORD = "KIT_BUNDLE_PASSWORD"  # noqa: S105 - the variable's name
NewKey = Annotated[Path, typer.Argument(help="The new public key.", metavar="NEW.pub")]
_NO_WORD = (
    "carry it here beside the key, as kit bundle rotate wrote it; without the old key, compare"
    " the new one's fingerprint: --fingerprint"
)


def add_commands(app: typer.Typer) -> None:
    """`kit bundle` has the verbs of this module."""
    for verb in (keygen, rotate, trust, distrust, keys):
        app.command()(verb)


def keygen(
    path: Annotated[Path, typer.Argument(help="Where the secret key goes.", metavar="FILE.key")],
    no_password: Annotated[bool, typer.Option("--no-password", help="Do not seal it.")] = False,
    is_json: options.JsonOption = False,
) -> None:
    """Make the key that signs bundles, and show the fingerprint to compare on the server."""
    from kit.bundle import minisign
    from kit.ops.bundle import new_key

    key = minisign.generate()
    password = "" if no_password else _new_password()
    secret, public = new_key(path, key, minisign.secret_key_text(key, password))
    if is_json:
        files = {"secret_key": str(secret), "public_key": str(public)}
        emit(files | _facts(key.public))
        return
    print(f"secret key   {secret}   (keep it; whoever has it makes bundles in your name)")
    print(f"public key   {public}")
    print(f"fingerprint  {key.public.fingerprint}")
    say("tell the fingerprint to the server's administrator by voice or on paper")


def rotate(
    new: NewKey,
    key: Annotated[Path, typer.Option("--key", help="The old secret key.")],
    is_json: options.JsonOption = False,
) -> None:
    """Say with the old key that a new one follows it: servers then take the new one on."""
    from kit.bundle.rotate import sign_successor
    from kit.bundle.trust import read_key

    follower = read_key(new)
    path = _signature_of(new)
    path.write_text(sign_successor(secret_key(key), follower), encoding="utf-8")
    if is_json:
        emit({"signature": str(path)} | _facts(follower))
        return
    print(path)
    say(f"carry {new} and {path.name} to each server, and run there: kit bundle trust {new.name}")


def trust(
    new: NewKey,
    fingerprint: Annotated[
        str,
        typer.Option("--fingerprint", help="As you were told it, where the old key is lost."),
    ] = "",
    root: options.RootOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Take bundles of a new key from now on: one that a trusted key names, or that you compared."""
    from kit.bundle.rotate import check_successor
    from kit.bundle.trust import read_key, read_text, require_same_fingerprint

    releases, follower = _releases(root), read_key(new)
    with releases.locked():
        if fingerprint:
            require_same_fingerprint(follower, fingerprint)
            by = "a compared fingerprint"
        else:
            signature = read_text(_signature_of(new), hint=_NO_WORD)
            by = check_successor(follower, signature, releases.trusted_keys()).id_text
        releases.trust(follower, f"trusted by {by}")
        releases.record("trusted", key=follower.id_text, by=by)
    _tell(follower, f"is trusted, by {by}", is_json)


def distrust(
    key_id: Annotated[str, typer.Argument(help="As kit bundle keys shows it.", metavar="KEY")],
    root: options.RootOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Take no more bundles of that key. What is installed stays."""
    releases = _releases(root)
    with releases.locked():
        trusted = releases.trusted_keys()
        key = next((one for one in trusted if one.id_text == key_id.upper()), None)
        if key is None:
            raise NotFound(f"no trusted key {key_id}", hint="see them: kit bundle keys")
        if len(trusted) == 1:
            raise UsageError(
                f"{key.id_text} is the only trusted key: without it no bundle can be installed",
                hint="take on its successor first: kit bundle trust NEW.pub",
            )
        releases.distrust(key)
        releases.record("distrusted", key=key.id_text)
    _tell(key, "is trusted no more", is_json)


def keys(root: options.RootOption = None, is_json: options.JsonOption = False) -> None:
    """List the keys whose bundles this server takes."""
    trusted = _releases(root).trusted_keys()
    if is_json:
        emit({"keys": [_facts(key) for key in trusted]})
        return
    table([(key.id_text, key.fingerprint) for key in trusted], ("KEY", "FINGERPRINT"))


def _releases(root: Path | None) -> Releases:
    from kit.bundle.releases import Root as Releases
    from kit.cli.install import choose_serving

    return Releases(choose_serving(root).root)


def _signature_of(new: Path) -> Path:
    return new.with_name(f"{new.name}.minisig")


def _facts(key: PublicKey) -> dict[str, str]:
    return {"key_id": key.id_text, "fingerprint": key.fingerprint}


def _tell(key: PublicKey, what: str, is_json: bool) -> None:
    if is_json:
        emit(_facts(key))
        return
    print(f"{key.id_text} {what}")


def _new_password() -> str:
    if given := os.environ.get(PASSWORD):
        return given
    if not sys.stdin.isatty():
        raise UsageError(
            "a password is needed to seal the key", hint=f"set {PASSWORD}, or use --no-password"
        )
    password = getpass.getpass("Password for the secret key: ")
    if password != getpass.getpass("Again: "):
        raise UsageError("the two passwords differ", hint="try again")
    return password


def secret_key(path: Path) -> SecretKey:
    """The secret key of a file, its password asked for. Raises: UsageError."""
    from kit.bundle import minisign
    from kit.bundle.trust import read_text

    text = read_text(path)
    try:
        return minisign.parse_secret_key(text, os.environ.get(PASSWORD, ""))
    except UsageError:
        if os.environ.get(PASSWORD) or not sys.stdin.isatty():
            raise
    return minisign.parse_secret_key(text, getpass.getpass(f"Password of {path}: "))
