"""Make a bundle of this checkout and the models of a home: gather, name, write, sign.

Composes supply and bundle. Invariant: what is missing is named before anything large is copied.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kit import __version__
from kit.bundle.make import create, wheelhouse
from kit.bundle.make.create import BundledModel
from kit.bundle.make.wheels import needed_glibc, read_wheel
from kit.bundle.make.write import Part, require_empty, write_bundle
from kit.bundle.manifest import Manifest, Target, parse_manifest
from kit.bundle.minisign import SecretKey
from kit.bundle.server import version_key
from kit.config import Config, read_settings
from kit.errors import UsageError
from kit.files import make_private_folder, write_atomic
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING
from kit.supply.machine import MachineProbe
from kit.supply.store import InstalledModel, find_installed, model_folder, require_whole

GOOD_DAYS = 365
PYTHONS = ("3.11", "3.12", "3.13")  # for which every pinned package has a wheel
LLAMA = "llama_cpp_python-*.whl"
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class BundleOptions:
    """What to make.

    Empty `models` = those that the home is set to run; the first chat and embedding model lead.
    """

    output: Path
    name: str = "office"
    models: tuple[str, ...] = ()
    target: Target | None = None
    created: datetime | None = None
    good_days: int = GOOD_DAYS
    since: Path | None = None
    volume_bytes: int = 0
    minimum_version: str = ""
    settings: Path | None = None
    """A kit.toml whose settings the bundle carries besides the names of its models."""
    python_archive: Path | None = None
    backend: str = wheelhouse.CPU


def make_bundle(
    config: Config,
    key: SecretKey,
    options: BundleOptions,
    *,
    say: Callable[[str], None],
    on_progress: Progress,
) -> Manifest:
    """The signed manifest of a new bundle in `options.output`.

    Raises: UsageError (no checkout, a wrong name), NotFound, ModelError (a model), FetchError
    (wheels), BundleError (what does not fit the target), DiskFull.
    """
    checkout = wheelhouse.checkout_folder()
    models = [_bundled(config.home, name) for name in options.models or _in_use(config)]
    base = parse_manifest(options.since.read_bytes()) if options.since else None
    target = options.target or _this_machine(checkout)
    target = replace(target, backend=options.backend)
    created = (options.created or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    require_empty(options.output)
    given = [
        create.settings_part(_settings(config.home, models, options.settings)),
        *create.python_parts(options.python_archive, target),
    ]
    make_private_folder(config.home)
    names = (target.machine, target.python, target.glibc, target.backend)
    house = config.home / "wheelhouse" / "-".join(filter(None, names))
    say(f"gathering the packages for {target.machine}, Python {target.python}")
    wheels = wheelhouse.gather(checkout, target, house, on_progress=on_progress)
    with tempfile.TemporaryDirectory(dir=house.parent) as work:
        app = create.build_app_wheel(checkout, Path(work), created)
        parts: list[Part] = [
            *create.front_parts(key.public, options.name, __version__, created),
            *create.wheel_parts(wheels, app),
            *create.model_parts(models),
            *given,
            *create.unit_parts(),
            *create.doc_parts(checkout),
            *create.notice_parts(
                options.name, __version__, created, wheels, models, _llama_version(house)
            ),
        ]
        template = Manifest(
            name=options.name,
            version=__version__,
            minimum_version=options.minimum_version,
            created=created,
            expires=_expiry(options, created),
            target=target,
            files=(),
        )
        say(f"writing {len(parts)} files")
        return write_bundle(
            options.output,
            parts,
            template,
            key,
            base=base,
            volume_bytes=options.volume_bytes,
            on_progress=on_progress,
        )


def target_of(probe: MachineProbe) -> Target:
    """What to make for a machine that was probed."""
    known = [version for version in probe.python_versions if version in PYTHONS]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = here if here in known or not known else max(known, key=version_key)
    return Target(probe.architecture, python, probe.glibc or "")


def _settings(
    home: Path, models: Sequence[BundledModel], extra: Path | None
) -> dict[str, dict[str, Any]]:
    """Section -> key -> value: those of the file, and the models that lead. Raises: ConfigError."""
    settings: dict[str, dict[str, Any]] = read_settings(extra) if extra else {}
    keys = {"chat": ("engine", "model"), "embedding": ("library", "embedding_model")}
    for model in reversed(models):
        section, key = keys.get(find_installed(home, model.name).kind, ("", ""))
        if section:
            settings.setdefault(section, {})[key] = model.name
    return settings


def _expiry(options: BundleOptions, created: str) -> str:
    begun = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (begun + timedelta(days=options.good_days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_use(config: Config) -> Sequence[str]:
    """The models that the settings name. Raises: UsageError if one is a path."""
    chat = config.engine.model or STARTER_CHAT
    if chat.endswith(".gguf") or "/" in chat:
        raise UsageError(
            f"engine.model is a file, {chat}: a bundle carries installed models",
            hint="install it: kit model import FILE --name NAME, then name it: --model NAME",
        )
    named = [] if config.engine.url else [chat]
    return [*named, config.library.embedding_model or STARTER_EMBEDDING]


def _bundled(home: Path, name: str) -> BundledModel:
    model: InstalledModel = find_installed(home, name)
    require_whole(home, model, by_digest=True)
    files = tuple((file.path, file.sha256) for file in model.files)
    return BundledModel(name, model_folder(home, name), model.licence, model.source, files)


def _this_machine(checkout: Path) -> Target:
    """The connected machine itself, with the glibc that the llama.cpp built here needs."""
    built = sorted((checkout / ".venv" / "wheels").glob(LLAMA))
    glibc = needed_glibc(built[-1]) if built else ""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Target(platform.machine(), python, max(glibc, "2.28", key=version_key))


def _llama_version(house: Path) -> str:
    """The version of llama.cpp's binding that the wheel holds; it pins llama.cpp's commit."""
    found = sorted(house.glob(LLAMA))
    return f"of llama-cpp-python {read_wheel(found[-1]).version}" if found else "unknown"


def new_key(path: Path, key: SecretKey, secret_text: str) -> tuple[Path, Path]:
    """(secret, public) key files, new; the secret one for this user alone. Raises: UsageError."""
    public = path.with_suffix(".pub")
    for existing in (path, public):
        if existing.exists():
            raise UsageError(
                f"{existing} is there already",
                hint="a key that signed bundles must not be lost: choose another name",
            )
    write_atomic(path, secret_text.encode(), mode=0o600)
    write_atomic(public, key.public.text().encode())
    return path, public
