"""The trust kernel's own commands, for a server that has nothing but Python: verify, install …

Runs on Python 3.9 with the standard library alone; `kit` itself offers the same verbs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.bundle.install import InstallPlan, install
from kit.bundle.repair import repair_bundle
from kit.bundle.rollback import rollback
from kit.bundle.service import NoService, Systemd
from kit.bundle.trust import read_key
from kit.bundle.units import Serving, checked_networks
from kit.bundle.verify import EXPIRED, verify
from kit.errors import KitError, UsageError
from kit.files import format_bytes


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(list(arguments))
    try:
        {"verify": _verify, "install": _install, "rollback": _rollback}[options.verb](options)
    except KitError as problem:
        print("\n".join(problem.lines()), file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install.sh", description="Install a bundle of the kit.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verified = verbs.add_parser("verify", help="check every byte and change nothing")
    verified.add_argument("--repair", action="store_true", help="mend one bad volume")
    installed = verbs.add_parser("install", help="check, install and start")
    back = verbs.add_parser("rollback", help="go back to the release before")
    back.add_argument("--lose-newer", action="store_true", help="and to its data, if need be")
    for command in (verified, installed):
        command.add_argument("folder", type=Path, help="the bundle's folder")
        command.add_argument("--key", type=Path, help="the maker's public key, which you trust")
        command.add_argument("--allow", action="append", default=[], choices=ALLOWED)
    installed.add_argument("--fingerprint", default="", help="of the key, as you were told it")
    for command in (installed, back):
        command.add_argument("--root", type=Path, help="where releases go; default: /opt/kit")
        command.add_argument("--home", type=Path, help="where data goes; default: /var/lib/kit")
        command.add_argument("--host", default="127.0.0.1", help="address the page listens on")
        command.add_argument("--port", type=int, default=7860)
        command.add_argument("--network", action="append", default=[], help="of the readers")
        command.add_argument("--user", default="kit", help="who the service runs as")
        command.add_argument("--no-systemd", action="store_true", help="there is no service")
    return parser


ALLOWED = (EXPIRED, "downgrade")


def _verify(options: argparse.Namespace) -> None:
    if options.key is None:
        raise UsageError(
            "whose signature is right? name the key that you trust: --key FILE",
            hint="a key that came with the bundle proves nothing",
        )
    if options.repair:
        for name in repair_bundle(options.folder, read_key(options.key), on_progress=show):
            print(f"mended {name}", file=sys.stderr)
    bundle = verify(options.folder, read_key(options.key), allowed=options.allow, on_progress=show)
    clear()
    size = format_bytes(sum(file.size_bytes for file in bundle.manifest.on_disk))
    print(f"whole: {bundle.comment}; {len(bundle.manifest.on_disk)} files, {size}")
    for note in bundle.notes:
        print(f"note: {note}", file=sys.stderr)


def _serving(options: argparse.Namespace) -> Serving:
    """Where and how it runs: for root the system's places, else the user's own."""
    is_root = os.geteuid() == 0
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    root = options.root or (Path("/opt/kit") if is_root else data / "kit-releases")
    home = options.home or (Path("/var/lib/kit") if is_root else data / "kit")
    return Serving(
        root.absolute(),
        home.absolute(),
        options.user,
        options.host,
        options.port,
        checked_networks(options.network),
    )


def _has_service(options: argparse.Namespace) -> bool:
    return os.geteuid() == 0 and not options.no_systemd


def _install(options: argparse.Namespace) -> None:
    plan = InstallPlan(
        options.folder,
        _serving(options),
        key=options.key,
        fingerprint=options.fingerprint,
        wants_systemd=_has_service(options),
        allowed=tuple(options.allow),
    )
    release = install(plan, say=_say, ask=_ask if sys.stdin.isatty() else None, on_progress=show)
    clear()
    print(f"installed {release.id} in {plan.serving.root}")
    if not plan.wants_systemd:
        python = plan.serving.root / "current" / "venv" / "bin" / "python"
        print(f"start it: {python} -I -m kit --home {plan.serving.home} serve")


def _rollback(options: argparse.Namespace) -> None:
    serving = _serving(options)
    service = Systemd(serving) if _has_service(options) else NoService(serving)
    release = rollback(serving, service, say=_say, may_lose_newer=options.lose_newer)
    print(f"{release.id} is current")


def _say(text: str) -> None:
    clear()
    print(text, file=sys.stderr, flush=True)


def _ask(question: str) -> str:
    return input(question)


def show(path: str, done: int, total: int) -> None:
    """Progress on a terminal."""
    if sys.stderr.isatty() and total:
        print(f"\r\033[K{100 * done // total:3} %  {path[:60]}", end="", file=sys.stderr)


def clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
