"""kit bundle: everything an air-gapped server needs in one signed folder."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.keys import add_commands, secret_key
from kit.cli.output import emit, meter, say, table
from kit.config import load_config
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.bundle.manifest import Manifest

app = typer.Typer(help="Bundles: everything a server without a network needs, signed.")

Folder = Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="FOLDER")]
_SIZES = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}

add_commands(app)


@app.command()
def create(
    output: Annotated[Path, typer.Option("--output", help="A new folder.", metavar="FOLDER")],
    key: Annotated[Path, typer.Option("--key", help="The secret key: kit bundle keygen.")],
    name: Annotated[str, typer.Option("--name", help="What the bundle is called.")] = "office",
    models: Annotated[
        list[str] | None, typer.Option("--model", help="An installed model; may be repeated.")
    ] = None,
    probe: Annotated[
        Path | None, typer.Option("--for", help="The server's probe: kit doctor --probe.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Cut into volumes, for example 3900M.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option("--since", help="An installed bundle's manifest.json.")
    ] = None,
    good_days: Annotated[
        int, typer.Option("--good-days", min=1, help="Refused by servers after so many days.")
    ] = 365,
    minimum_version: Annotated[
        str, typer.Option("--minimum-version", help="The oldest release it can take over from.")
    ] = "",
    settings: Annotated[
        Path | None, typer.Option("--settings", help="A kit.toml that the server starts from.")
    ] = None,
    with_python: Annotated[
        Path | None,
        typer.Option("--with-python", help="Carry the Python of this archive.", metavar="TAR"),
    ] = None,
    backend: Annotated[
        str,
        typer.Option("--backend", help="Of llama.cpp: cpu, cuda, rocm, vulkan, cann."),
    ] = "cpu",
    created: Annotated[
        str | None, typer.Option("--created", help="Its time, to make the same bytes again.")
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Pack models, packages, pages and licences into one signed bundle. Needs the network."""
    from kit.ops.bundle import BundleOptions, make_bundle, target_of
    from kit.supply.machine import read_probe

    wanted = BundleOptions(
        output,
        name=name,
        models=tuple(models or ()),
        target=target_of(read_probe(probe)) if probe else None,
        created=_time(created) if created else None,
        since=since,
        volume_bytes=size_of(split) if split else 0,
        good_days=good_days,
        minimum_version=minimum_version,
        settings=settings,
        python_archive=with_python,
        backend=_backend(backend),
    )
    with meter() as shown:
        manifest = make_bundle(
            load_config(home=home), secret_key(key), wanted, say=say, on_progress=shown.show
        )
    if is_json:
        emit({"folder": str(output), **_facts(manifest)})
        return
    _print(manifest)
    print(output)


def size_of(text: str) -> int:
    """'3900M' -> 3,900,000,000, as makers of sticks count. Raises: UsageError."""
    found = re.fullmatch(r"(\d+)([KMG]?)", text.strip().upper())
    if found is None or int(found[1]) * _SIZES[found[2]] < 1_000_000:
        raise UsageError(f"{text!r} is no size of a volume", hint="for example 3900M, or 23G")
    return int(found[1]) * _SIZES[found[2]]


def _backend(text: str) -> str:
    from kit.bundle.make.wheelhouse import BACKENDS

    if text not in BACKENDS:
        raise UsageError(f"no backend {text!r}", hint=f"choose one of {', '.join(BACKENDS)}")
    return text


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{text!r} is no time", hint="for example 2026-11-26T10:00:00Z") from None


@app.command()
def verify(
    folder: Folder,
    key: Annotated[Path, typer.Option("--key", help="The public key that you trust.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute one bad volume from the others.")
    ] = False,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Take it although it is: expired.")
    ] = None,
    is_json: options.JsonOption = False,
) -> None:
    """Check the signature and every byte of a bundle; with --repair mend one bad volume."""
    from kit.bundle import verify as checks
    from kit.bundle.repair import repair_bundle
    from kit.bundle.trust import read_key

    for word in allow or ():
        if word != checks.EXPIRED:
            raise UsageError(f"--allow {word}: only {checks.EXPIRED} can be allowed here")
    trusted = read_key(key)
    with meter() as shown:
        if repair:
            for mended in repair_bundle(folder, trusted, on_progress=shown.show):
                say(f"mended {mended}")
        bundle = checks.verify(folder, trusted, allowed=allow or (), on_progress=shown.show)
    if is_json:
        emit({"whole": True, "comment": bundle.comment, "notes": list(bundle.notes)})
        return
    print(f"whole: {bundle.comment}")
    for note in bundle.notes:
        say(f"note: {note}")


@app.command()
def inspect(folder: Folder, is_json: options.JsonOption = False) -> None:
    """Show what a bundle says of itself. Nothing of it is checked: kit bundle verify does that."""
    from kit.bundle.manifest import MANIFEST, parse_manifest
    from kit.bundle.trust import SIGNER, read_key

    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"{folder} is no bundle: it has no {MANIFEST}")
    manifest, key = parse_manifest(path.read_bytes()), read_key(folder / SIGNER)
    if is_json:
        emit({**_facts(manifest), "key": key.id_text, "fingerprint": key.fingerprint})
        return
    _print(manifest)
    print(f"of the key {key.id_text}, fingerprint {key.fingerprint}")
    say("this is what it says; check it: kit bundle verify FOLDER --key KEY.pub")


def _facts(manifest: Manifest) -> dict[str, object]:
    return {
        "sizes": manifest.sizes_by_kind,
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "expires": manifest.expires,
        "target": vars(manifest.target),
        "num_files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "carried_bytes": manifest.carried_bytes,
        "volumes": [volume.path for volume in manifest.volumes],
        "manifest_sha256": manifest.sha256,
    }


def _print(manifest: Manifest) -> None:
    from kit.files import format_bytes

    target = manifest.target
    print(
        f"{manifest.name} {manifest.version}, made {manifest.created}, good to {manifest.expires}"
    )
    print(f"for Linux {target.machine}, Python {target.python}, glibc {target.glibc}")
    rows = [(kind, format_bytes(size)) for kind, size in manifest.sizes_by_kind.items()]
    table([*rows, ("in all", format_bytes(manifest.size_bytes))], ("PART", "SIZE"))
    if manifest.carried_bytes != manifest.size_bytes:
        print(f"a delta: {format_bytes(manifest.carried_bytes)} of these are in it")
