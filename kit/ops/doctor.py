"""Look at this machine and this home, and say of each thing how it is and what to do next.

Changes nothing but the remembered CPU variant. Invariant: one check that fails never hides the
others.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kit.config import Config
from kit.errors import KitError, MachineError, ModelError, NotFound, PortInUse
from kit.files import DISK_FLOOR_BYTES, format_bytes, require_writable_folder
from kit.instance import find_instance
from kit.ops.ports import claim_port, is_loopback
from kit.ops.recommend import choose_model
from kit.release import installation_root
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING
from kit.supply.runnable import find_chat_file, find_embedding_folder
from kit.supply.store import find_damage, is_bundled, list_installed, repair_hint

State = Literal["ok", "warn", "fail"]
LOW_DISK_BYTES = 5 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. `next_step` is empty where there is nothing to do."""

    name: str
    state: State
    found: str
    next_step: str = ""


def examine(config: Config) -> list[Finding]:
    """Every check in the order of the report."""
    findings: list[Finding] = []
    for name, check in _CHECKS.items():
        try:
            findings += check(config)
        except KitError as problem:
            said = "; ".join([problem.message, *(f"{p.where} {p.what}" for p in problem.problems)])
            findings.append(Finding(name, "fail", said, problem.hint or ""))
    return findings


def _python(config: Config) -> list[Finding]:
    del config
    found = f"{platform.python_version()} on {platform.machine()}, {platform.platform(terse=True)}"
    return [Finding("python", "ok", found)]


def _release(config: Config) -> list[Finding]:
    """Of an installation from a bundle: whether it is what was signed, and whether all is done."""
    from kit.bundle.installed import find_changes
    from kit.bundle.manifest import MANIFEST
    from kit.bundle.releases import Root

    del config
    folder = installation_root()
    if folder is None:
        return []
    root = Root(folder)
    release = root.current
    if release is None:
        return [Finding("release", "fail", f"no release is current in {folder}", _INSTALL_AGAIN)]
    if changes := find_changes(release, root.trusted_keys()):
        said = "; ".join(f"{one.where} {one.what}" for one in changes[:5])
        if {one.where for one in changes} == {MANIFEST}:  # its key may be distrusted since
            return [Finding("release", "fail", f"{release.id}: {said}", _INSTALL_AGAIN)]
        return [Finding("release", "fail", f"{release.id} was changed: {said}", _INSTALL_AGAIN)]
    if not root.is_settled:
        step = "run the last kit upgrade or kit rollback again"
        return [Finding("release", "warn", f"{release.id}: its switch was cut short", step)]
    num_files = len(release.manifest.files)
    return [Finding("release", "ok", f"{release.id}, {num_files} files as they were signed")]


_INSTALL_AGAIN = "go back with kit rollback, or install the bundle again"


def _sqlite(config: Config) -> list[Finding]:
    from kit.database import Database

    database = Database(config.home / "kit.db")  # refuses a SQLite that can corrupt it
    try:
        (version,) = database.row("SELECT sqlite_version()") or ("",)
        (health,) = database.row("PRAGMA quick_check(1)") or ("",)
    finally:
        database.close()
    if health != "ok":
        return [Finding("sqlite", "fail", f"kit.db: {health}", "restore the last backup")]
    return [Finding("sqlite", "ok", f"{version}, kit.db is sound")]


def _home(config: Config) -> list[Finding]:
    require_writable_folder(config.home)
    findings = [Finding("home", "ok", str(config.home))]
    if config.home.stat().st_mode & 0o077 and (config.home / "kit.db").exists():
        step = f"keep others on this machine out: chmod 700 {config.home}"
        findings = [Finding("home", "warn", f"{config.home} can be read by others", step)]
    free = shutil.disk_usage(config.home).free
    if free < DISK_FLOOR_BYTES:
        step = "free some space, or use another disk: --home FOLDER"
        return [*findings, Finding("disk", "fail", f"{format_bytes(free)} free", step)]
    state: State = "ok" if free > LOW_DISK_BYTES else "warn"
    step = "" if state == "ok" else "a real model needs 5 GiB and more"
    return [*findings, Finding("disk", state, f"{format_bytes(free)} free", step)]


def _cpu(config: Config) -> list[Finding]:
    from kit.engine.cpu.machine import usable_cores
    from kit.engine.cpu.variants import describe

    seen = describe(config.home)
    others = [
        f"{trial['name']} {trial['outcome']}"
        for trial in seen["trials"]
        if trial["name"] != seen["variant"]
    ]
    said = f"llama.cpp runs as {seen['variant']}" + (f" ({'; '.join(others)})" if others else "")
    return [
        Finding("cpu", "ok", f"{seen['cpu']}, {usable_cores()} cores for this kit"),
        Finding("engine", "ok", said),
    ]


def _gpu(config: Config) -> list[Finding]:
    """Of a build with code for GPUs: which ones it can use."""
    from kit.engine.cpu.variants import choose_variant
    from kit.engine.devices import find_devices
    from kit.engine.gpu import gpu_backends

    try:
        variant = choose_variant(config.home).variant.path
    except MachineError:  # the check of the CPU tells it
        return []
    backends = gpu_backends(variant.parent) if variant else []
    if variant is None or not backends or config.engine.url:
        return []
    if not config.engine.gpu_layers:
        return [Finding("gpu", "ok", "not used (engine.gpu_layers is 0)")]
    seen = find_devices(variant)
    if not seen.devices:
        names = " and ".join(path.stem.removeprefix("libggml-") for path in backends)
        step = "everything runs on the CPU: install the maker's driver and run-time libraries"
        return [Finding("gpu", "warn", f"built for {names}, no device: {seen.said}", step)]
    said = (f"{device.name}, {format_bytes(device.free_bytes)} free" for device in seen.devices)
    return [Finding("gpu", "ok", "; ".join(said))]


def _threads(config: Config) -> list[Finding]:
    from kit.engine.cpu.choose_threads import describe, remembered
    from kit.engine.cpu.machine import usable_cores
    from kit.engine.cpu.threads import default_choice, is_set_by_administrator

    if config.engine.url:
        return []
    default = default_choice(config.engine.threads or usable_cores())
    if config.engine.threads or is_set_by_administrator():
        return [Finding("threads", "ok", f"{describe(default)} (as was set)")]
    known = None
    with contextlib.suppress(NotFound, ModelError):  # other checks tell of them
        path = find_chat_file(config.home, config.engine.model or STARTER_CHAT)
        known = remembered(config.home, path)
    why = "measured here" if known else "not measured yet: the next start does"
    return [Finding("threads", "ok", f"{describe(known or default)} ({why})")]


def _memory(config: Config) -> list[Finding]:
    from kit.engine.cpu.machine import available_memory
    from kit.engine.gguf import read_gguf

    free = available_memory()
    found = f"{format_bytes(free)} available"
    if config.engine.url:
        return [Finding("memory", "ok", f"{found}; the language model runs at {config.engine.url}")]
    header = read_gguf(find_chat_file(config.home, config.engine.model or STARTER_CHAT))
    num_tokens = config.engine.ctx * config.engine.parallel
    heads = header.number("attention.head_count_kv") or header.number("attention.head_count")
    size = header.number("attention.key_length") or (
        header.number("embedding_length") // max(1, header.number("attention.head_count"))
    )
    # weights + F16 key-value cache of every sequence, as in kit/supply/catalog.py
    needed = header.size_bytes + 4 * header.number("block_count") * heads * size * num_tokens
    found += f"; the language model needs about {format_bytes(needed)}"
    if needed > free:
        step = "use a smaller model or context: KIT_ENGINE_CTX, KIT_ENGINE_PARALLEL"
        return [Finding("memory", "fail", found, step)]
    return [Finding("memory", "ok", found)]


def _models(config: Config) -> list[Finding]:
    findings = []
    for model in list_installed(config.home):
        is_compared = is_bundled(config.home, model.name)  # byte by byte, as part of the release
        damage = find_damage(config.home, model, by_digest=not is_compared)
        said = f"{model.kind}, {format_bytes(model.size_bytes)} {model.quant_type}".strip()
        if damage:
            said = "; ".join(f"{problem.where} {problem.what}" for problem in damage)
        step = repair_hint(model) if damage else ""
        state: State = "fail" if damage else "ok"
        findings.append(Finding(f"model {model.name}", state, said, step))
    return findings


def _chat_model(config: Config) -> list[Finding]:
    if config.engine.url:
        return [Finding("chat model", "ok", f"another server answers: {config.engine.url}")]
    wanted = config.engine.model or STARTER_CHAT
    path = find_chat_file(config.home, wanted)
    if wanted != STARTER_CHAT:
        return [Finding("chat model", "ok", str(path))]
    return [Finding("chat model", "warn", f"{path.name}: the starter model", _better_model(config))]


def _better_model(config: Config) -> str:
    """What to do for real answers on this machine."""
    choice = choose_model(config)
    card = choice.card
    if card is None:
        return (
            f"too small for real answers, and this machine lacks the {choice.lacks} for a larger "
            "one: let another server answer: KIT_ENGINE_URL=http://HOST:PORT/v1"
        )
    wait = f", about {choice.wait_s:.0f} s for an answer" if choice.wait_s else ""
    return (
        f"too small for real answers; this machine can run {card.title}{wait}: download a GGUF "
        f"file of it ({card.source}), then: kit model import FILE.gguf --name {card.name}"
    )


def _embedding_model(config: Config) -> list[Finding]:
    folder = find_embedding_folder(config.home, config.library.embedding_model or STARTER_EMBEDDING)
    return [Finding("embedding model", "ok", folder.name)]


def _ports(config: Config) -> list[Finding]:
    host, port = config.web.host, config.web.port
    instance = find_instance(config.home)
    if instance is not None:
        return [Finding("port", "ok", f"the kit is running at {instance.web_url}/")]
    try:
        claim_port(host, port)
    except PortInUse as problem:
        return [Finding("port", "warn", problem.message, problem.hint or "")]
    return [Finding("port", "ok", f"{port} on {host} is free")]


def _people(config: Config) -> list[Finding]:
    from kit.database import Database
    from kit.people.accounts import Accounts

    if is_loopback(config.web.host):
        return [Finding("people", "ok", "only this machine reaches the page: one local user")]
    database = Database(config.home / "kit.db")
    try:
        if Accounts(database).has_passwords():
            return [Finding("people", "ok", f"people sign in at {config.web.host}")]
    finally:
        database.close()
    step = "make one: kit user add NAME --role admin"
    return [Finding("people", "fail", f"{config.web.host} needs an account, there is none", step)]


def _library(config: Config) -> list[Finding]:
    from kit.database import Database
    from kit.library.documents import FAILED_STATES

    database = Database(config.home / "kit.db")
    try:
        states: dict[str, int] = dict(
            database.rows("SELECT state, count(*) FROM documents GROUP BY state")
        )
        (missing,) = database.row(
            "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT chunk_id FROM vectors)"
        ) or (0,)
    finally:
        database.close()
    said = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "empty"
    if bad := sum(states.get(state, 0) for state in FAILED_STATES):
        step = f"see why {bad} cannot be searched: kit docs list --state failed"
        return [Finding("library", "warn", said, step)]
    if missing:
        step = "they are made while the kit runs: kit up"
        return [Finding("library", "warn", f"{said}; {missing} passages have no vector", step)]
    return [Finding("library", "ok", said)]


def _user(config: Config) -> list[Finding]:
    del config
    if os.geteuid() == 0:
        step = "run it as a user of its own, so that a fault reaches less"
        return [Finding("user", "warn", "root", step)]
    return [Finding("user", "ok", f"uid {os.geteuid()}")]


def _text_recognition(config: Config) -> list[Finding]:
    """Whether scans and pictures can be read, and in which languages."""
    from kit.library.reading.recognise import CannotRead, find_recogniser

    name, languages = "text recognition", config.library.ocr_languages
    found = find_recogniser(languages)
    if not isinstance(found, CannotRead):
        return [Finding(name, "ok", f"tesseract, languages {', '.join(languages)}")]
    if not languages:
        return [Finding(name, "ok", "switched off (library.ocr_languages)")]
    return [Finding(name, "warn", f"{found.reason}: scans and pictures are not read", found.hint)]


def _old_office_files(config: Config) -> list[Finding]:
    """Whether files of before 2007 that only LibreOffice reads can be read."""
    from kit.library.parsers.libreoffice import find_libreoffice, missing_packages

    del config
    name, program = "old Office files", find_libreoffice()
    if packages := missing_packages(program):
        found = "no LibreOffice" if program is None else "LibreOffice in part"
        step = f"install what is missing: apt-get install {' '.join(packages)}"
        return [Finding(name, "warn", f"{found}: not every DOC and PPT is read", step)]
    return [Finding(name, "ok", f"LibreOffice in {program}")]


_CHECKS: dict[str, Callable[[Config], list[Finding]]] = {
    "python": _python,
    "release": _release,
    "sqlite": _sqlite,
    "user": _user,
    "home": _home,
    "cpu": _cpu,
    "gpu": _gpu,
    "threads": _threads,
    "models": _models,
    "chat model": _chat_model,
    "embedding model": _embedding_model,
    "memory": _memory,
    "port": _ports,
    "people": _people,
    "library": _library,
    "text recognition": _text_recognition,
    "old Office files": _old_office_files,
}
