"""The trust kernel's own commands, for a server that has nothing but Python: verify, install …

Runs on Python 3.9 with the standard library alone; `kit` itself offers the same verbs.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.bundle.install import InstallPlan, install
from kit.bundle.releases import CURRENT
from kit.bundle.repair import repair_bundle
from kit.bundle.rollback import rollback
from kit.bundle.service import service_of
from kit.bundle.serving import Serving, Wishes, choose
from kit.bundle.trust import read_key
from kit.bundle.verify import EXPIRED, verify
from kit.errors import KitError, MachineError, UsageError
from kit.files import format_bytes


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(list(arguments))
    try:
        {"verify": _verify, "install": _install, "rollback": _rollback}[options.verb](options)
        sys.stdout.flush()
    except KitError as problem:
        print("\n".join(problem.lines()), file=sys.stderr)
        return problem.exit_code
    except OSError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return MachineError.exit_code
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install.sh", description="Install a bundle of the kit.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verified = verbs.add_parser("verify", help="check every byte and change nothing")
    verified.add_argument("--repair", action="store_true", help="mend one bad volume")
    installed = verbs.add_parser(
        "install",
        prog="install.sh",
        help="check, install and start",
        epilog="Other verbs: install.sh verify, install.sh rollback; each has --help too.",
    )
    back = verbs.add_parser("rollback", help="go back to the release before")
    back.add_argument("--lose-newer", action="store_true", help="and to its data, if need be")
    for command in (verified, installed):
        # install.sh names it: its own folder.
        command.add_argument("folder", type=Path, help=argparse.SUPPRESS)
        command.add_argument("--key", type=Path, help="the maker's public key, which you trust")
        command.add_argument("--allow", action="append", default=[], choices=ALLOWED)
    installed.add_argument("--fingerprint", default="", help="of the key, as you were told it")
    installed.add_argument("--admin", default="", help="the first account; its password is asked")
    installed.add_argument(
        "--password-stdin", action="store_true", help="the password is the first line of stdin"
    )
    for command in (installed, back):
        command.add_argument("--root", type=Path, help="where releases go; usually /opt/kit")
        command.add_argument("--home", type=Path, help="where data goes; usually /var/lib/kit")
        command.add_argument("--host", help="the address that the page listens on")
        command.add_argument("--port", type=int)
        command.add_argument("--network", action="append", help="of the readers: 192.168.1.0/24")
        command.add_argument("--user", help="who the service runs as")
        command.add_argument("--no-systemd", action="store_true", help="there is no service")
    return parser


ALLOWED = (EXPIRED, "downgrade")
SHORTEST_PASSWORD = 10  # as in kit.people.passwords, which is not in a bundle's kernel


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
    networks = None if options.network is None else tuple(options.network)
    has_service = False if options.no_systemd else None
    wishes = Wishes(
        options.root,
        options.home,
        options.user,
        options.host,
        options.port,
        networks,
        has_service,
    )
    return choose(wishes)


def _install(options: argparse.Namespace) -> None:
    plan = InstallPlan(
        options.folder,
        _serving(options),
        key=options.key,
        fingerprint=options.fingerprint,
        allowed=tuple(options.allow),
        admin=options.admin,
        admin_password=read_password(options.admin, options.password_stdin),
    )
    release = install(plan, say=_say, ask=input if sys.stdin.isatty() else None, on_progress=show)
    clear()
    print(f"installed {release.id} in {plan.serving.root}")
    for line in next_steps(plan.serving):
        print(line)


def next_steps(serving: Serving) -> list[str]:
    """What to do once it is installed."""
    if serving.has_service:
        return [f"the page: {serving.url}/", "its log: journalctl -u kit"]
    kit = serving.root / CURRENT / "venv" / "bin" / "kit"
    return [f"start it: {kit} serve --host {serving.host} --port {serving.port}"]


def read_password(admin: str, is_stdin: bool) -> str:
    """The first account's password; nothing without an account. Raises: UsageError."""
    if not admin:
        return ""
    if is_stdin:
        password = sys.stdin.readline().rstrip("\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password for {admin}: ")
        if password != getpass.getpass("Again: "):
            raise UsageError("the two passwords differ", hint="try again")
    else:
        raise UsageError(f"a password for {admin} is needed", hint="add --password-stdin")
    if len(password) < SHORTEST_PASSWORD:
        raise UsageError(
            f"the password for {admin} is shorter than {SHORTEST_PASSWORD} characters",
            hint="choose a longer one; nothing was changed",
        )
    return password


def _rollback(options: argparse.Namespace) -> None:
    serving = _serving(options)
    release = rollback(serving, service_of(serving), say=_say, may_lose_newer=options.lose_newer)
    print(f"{release.id} is current")


def _say(text: str) -> None:
    clear()
    print(text, file=sys.stderr, flush=True)


def show(path: str, done: int, total: int) -> None:
    """Progress on a terminal."""
    if sys.stderr.isatty() and total:
        print(f"\r\033[K{100 * done // total:3} %  {path[:60]}", end="", file=sys.stderr)


def clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
