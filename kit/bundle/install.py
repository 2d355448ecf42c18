"""A bundle becomes the running release, or nothing changes.

    trust → manifest → order → names and sizes → preflight → stage → environment → self-test
    → [stop → backup →] switch → start → healthy? → done, or switch back

Knows the order of things. Invariants: until the switch nothing outside the new release's folder
changes; `current` is switched by one rename; what a kill leaves behind is removed by the next run.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from kit.bundle import environment
from kit.bundle.command import link_command
from kit.bundle.installed import find_changes
from kit.bundle.manifest import Manifest
from kit.bundle.minisign import PublicKey
from kit.bundle.preflight import choose_python, examine, examine_serving, require_fit
from kit.bundle.releases import Release, Root
from kit.bundle.rollback import restore
from kit.bundle.server import busy_ports, has_address, look, version_key
from kit.bundle.service import Service, clean_environment, run_release, said, service_of, stopped
from kit.bundle.serving import Serving, remember, remembered
from kit.bundle.stage import require_base, stage
from kit.bundle.trust import Ask, choose_key
from kit.bundle.verify import check_time, damaged, find_strangers, read_signed_manifest, wrong_sizes
from kit.errors import BundleError, KitError, MachineError, UsageError
from kit.files import explain_os_errors

DOWNGRADE = "downgrade"
SELF_TEST_S = 900.0
Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class InstallPlan:
    """What to install, where, and what was allowed in so many words."""

    bundle: Path
    serving: Serving
    key: Path | None = None
    fingerprint: str = ""
    allowed: tuple[str, ...] = ()
    admin: str = ""
    """The name of the first account, made before the first start."""
    admin_password: str = ""


def install(
    plan: InstallPlan,
    *,
    say: Say,
    ask: Ask | None = None,
    on_progress: Progress = lambda _path, _done, _total: None,
    service: Service | None = None,
) -> Release:
    """The release of that bundle is current and, with a service, running.

    Raises: UsageError (another home, another user), BundleError (whose, order, damage),
    MachineError (what this server lacks, a release that does not work), AlreadyRunning, DiskFull.
    Then what was current still is.
    """
    root = Root(plan.serving.root)
    service = service or service_of(plan.serving)
    require_same_owner(plan.serving)
    with _open_to(plan.serving), explain_os_errors(root.folder), root.locked():
        if left := root.remove_leftovers():
            say(f"removed what an earlier attempt left: {', '.join(left)}")
        current = root.current
        key, manifest = _accept(plan, root, current, say, ask)
        if current is not None and current.manifest == manifest:
            release = current
            say(f"{current.id} is installed and current already")
            if plan.admin or not root.is_settled or remembered(root.folder) != plan.serving:
                _serve_otherwise(plan, root, current, service, say)
        else:
            service.require_stoppable()
            python = _preflight(plan, manifest, current, say)
            release = _build(plan, root, manifest, current, python, say, on_progress)
            _put_on_record(plan, root, key, release)
            _activate(plan, root, release, current, service, say)
        for name in root.prune():
            say(f"removed the old release {name}")
    return release


@contextlib.contextmanager
def _open_to(serving: Serving) -> Iterator[None]:
    """A service's user reads what is laid out, however root's umask closes new files."""
    before = os.umask(0o022) if serving.has_service else None
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)


def _accept(
    plan: InstallPlan, root: Root, current: Release | None, say: Say, ask: Ask | None
) -> tuple[PublicKey, Manifest]:
    """The bundle is of a trusted maker, in order, in time, and has the right names and sizes."""
    key = choose_key(
        plan.bundle,
        root.trusted_keys(),
        named=plan.key,
        fingerprint=plan.fingerprint,
        ask=ask,
    )
    manifest, comment = read_signed_manifest(plan.bundle, key)
    say(f"signed by {key.id_text}: {comment}")
    check_order(manifest, current, plan.allowed)
    if current is None or current.manifest != manifest:
        require_base(manifest, current)
    now = datetime.now(timezone.utc)  # noqa: UP017 - 3.9
    for note in check_time(manifest, now, plan.allowed):
        say(f"note: {note}")
    problems = find_strangers(plan.bundle, manifest) + wrong_sizes(plan.bundle, manifest.on_disk)
    if problems:
        raise damaged(manifest, problems)
    if plan.allowed:
        root.record("allowed", what_was=list(plan.allowed), manifest=manifest.sha256)
    return key, manifest


def check_order(manifest: Manifest, current: Release | None, allowed: tuple[str, ...]) -> None:
    """The bundle may follow what is installed. Raises: BundleError."""
    if current is None:
        return
    here, new = version_key(current.manifest.version), version_key(manifest.version)
    if new < here and DOWNGRADE not in allowed:
        raise BundleError(
            f"the bundle is older ({manifest.version}) than what is installed "
            f"({current.manifest.version})",
            hint="to go back to the release before: kit rollback; else: --allow downgrade",
        )
    if manifest.minimum_version and here < version_key(manifest.minimum_version):
        raise BundleError(
            f"the bundle takes over from {manifest.minimum_version} or newer, "
            f"{current.manifest.version} is installed",
            hint=f"install a bundle of {manifest.minimum_version} first",
        )


def require_same_owner(serving: Serving) -> None:
    """The data stay where they are and whose they are. Raises: UsageError."""
    before = remembered(serving.root)
    if before is None or (before.home, before.user) == (serving.home, serving.user):
        return
    raise UsageError(
        f"this installation serves {before.home} as {before.user}, not {serving.home} as"
        f" {serving.user}",
        hint="to move the data: kit backup, then install into another folder with --root, --home"
        " and --user, and kit restore there",
    )


def _put_on_record(plan: InstallPlan, root: Root, key: PublicKey, release: Release) -> None:
    """The key is trusted, and the audit says why, and what was laid out and signed by whom."""
    if key not in root.trusted_keys():
        by = f"the key file {plan.key}" if plan.key else "a compared fingerprint"
        root.record("trusted", key=key.id_text, by=by)
    root.trust(key, f"of {release.manifest.name}, trusted with {release.manifest.version}")
    root.record("laid out", release=release.id, manifest=release.manifest.sha256, key=key.id_text)


def _preflight(plan: InstallPlan, manifest: Manifest, current: Release | None, say: Say) -> str:
    serving = plan.serving
    server = look(serving.root, (serving.port,), host=serving.host, for_service=serving.has_service)
    findings = examine(manifest, server, serving, is_first=current is None, admin=plan.admin)
    for finding in findings:
        step = f" - {finding.next_step}" if finding.next_step else ""
        say(f"{finding.state:<5} {finding.name:<8} {finding.found}{step}")
    require_fit(findings)
    return choose_python(manifest, server)


def _build(
    plan: InstallPlan,
    root: Root,
    manifest: Manifest,
    current: Release | None,
    python: str,
    say: Say,
    on_progress: Progress,
) -> Release:
    """A whole release that answered a question. Whatever fails, its folder is gone again."""
    if (there := _laid_out(plan, root, manifest, say)) is not None:
        return there
    folder = root.begin(manifest)
    try:
        stage(plan.bundle, manifest, folder, current, on_progress=on_progress)
        say("all files are copied and checked; installing the packages")
        python = python or environment.carried_python(folder, manifest)
        inside = environment.create(folder, python, manifest)
        say("asking the new release a question")
        facts = self_test(inside, plan.serving.home)
        return root.complete(manifest, facts)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _laid_out(plan: InstallPlan, root: Root, manifest: Manifest, say: Say) -> Release | None:
    """The same release, if it is here whole and works: it was current once and gone back from."""
    there = next((one for one in root.all() if one.manifest == manifest), None)
    if there is None:
        return None
    say(f"{there.id} is here already; comparing its files, asking it a question")
    try:
        if find_changes(there, root.trusted_keys()):
            raise MachineError("files of it were changed")
        self_test(there.python, plan.serving.home)
    except KitError as problem:
        say(f"it is laid out anew: {problem.message}")
        return None
    there.forget_good()  # if it does not run this time, what is current now runs again
    return there


def self_test(python: Path, home: Path) -> dict[str, object]:
    """What the release said of itself after it gave one cited answer from a built-in document.

    It takes its settings from `home`, which it does not change.
    Raises: MachineError with its reason if it did not.
    """
    command = [str(python), "-I", "-m", "kit", "selftest", "--home", str(home), "--json"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env=clean_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SELF_TEST_S,
            check=False,
        )
        facts = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError) as problem:
        raise MachineError(f"the new release does not work here: {problem}") from None
    if not isinstance(facts, dict):
        raise MachineError(
            f"the new release does not work here: {said(done)}", hint="nothing was changed"
        )
    return facts


def _activate(
    plan: InstallPlan,
    root: Root,
    release: Release,
    previous: Release | None,
    service: Service,
    say: Say,
) -> None:
    """The release is current and well, or the one before it is again."""
    service.prepare()
    if previous is not None:
        with stopped(service):
            _back_up(previous, release, plan.serving, say)
            root.switch(release)
            _make_account(plan, release, say)
    else:
        _make_account(plan, release, say)
        root.switch(release)
    _see_through(plan, root, release, previous, service, say)


def _serve_otherwise(
    plan: InstallPlan, root: Root, current: Release, service: Service, say: Say
) -> None:
    """The release that is current already is served as planned, or as before."""
    service.require_stoppable()
    before = remembered(root.folder)
    if before is not None and before != plan.serving:
        findings = examine_serving(
            busy_ports((plan.serving.port,)) if before.port != plan.serving.port else (),
            plan.serving,
            has_address=has_address(plan.serving.host),
            has_accounts=bool(plan.admin) or _has_accounts(plan.serving, current),
        )
        require_fit(findings)
    service.prepare()
    _make_account(plan, current, say)
    _see_through(plan, root, current, root.previous, service, say)


def _has_accounts(serving: Serving, release: Release) -> bool:
    """Whether somebody can sign in. Only asked where somebody has to."""
    if not serving.is_open:
        return False
    done = run_release(serving, release, ["user", "list", "--json"])
    if done.returncode != 0:
        raise MachineError(f"the accounts cannot be read, so nothing was changed: {said(done)}")
    return any(not user["disabled"] for user in json.loads(done.stdout)["users"])


def _see_through(
    plan: InstallPlan,
    root: Root,
    release: Release,
    previous: Release | None,
    service: Service,
    say: Say,
) -> None:
    """The release, current already, runs and is marked good; or the one before it runs again."""
    say("starting it")
    try:
        with explain_os_errors(root.folder):
            service.start()
        if not service.is_healthy():
            raise MachineError("the new release did not become healthy in time")
    except KitError as problem:
        before = remembered(root.folder)
        if release.good and before not in (None, plan.serving):
            service.stop()
            service_of(before).start()
            raise MachineError(
                f"it is served as before, at {before.url}/: {problem.message}",
                hint=plan.serving.log_hint,
            ) from problem
        if previous is None or release.good:
            raise
        root.record("switching back", to=previous.id, why=problem.message)
        _switch_back(plan, root, release, previous, service, say)
        raise MachineError(
            f"{release.id} did not run, {previous.id} runs again: {problem.message}",
            hint=plan.serving.log_hint,
        ) from problem
    remember(plan.serving)
    root.mark_good(release)
    if (place := link_command(plan.serving)) is not None:
        say(f"the command is {place}")


def _switch_back(
    plan: InstallPlan,
    root: Root,
    release: Release,
    previous: Release,
    service: Service,
    say: Say,
) -> None:
    service.stop()
    if release.schema > previous.schema and release.backup is not None:
        restore(previous, plan.serving, release.backup)
        say("the data is as it was; what the new release made of it is kept beside it")
    root.switch(previous)
    before = remembered(plan.serving.root)
    (service if before in (None, plan.serving) else service_of(before)).start()


def _make_account(plan: InstallPlan, release: Release, say: Say) -> None:
    """Somebody can sign in from the first start on. An account that is there stays as it is."""
    if not plan.admin:
        return
    command = ["user", "add", plan.admin, "--role", "admin", "--password-stdin"]
    done = run_release(plan.serving, release, command, stdin=plan.admin_password + "\n")
    if done.returncode != 0:
        say(f"note: the account {plan.admin} was not made: {said(done)}")


def _back_up(previous: Release, release: Release, serving: Serving, say: Say) -> None:
    """The data as it is before the new release touches it. Raises: MachineError.

    The older release makes it, for the newer one would first bring the database to its own form;
    while nothing serves, so that a way back has all that was written; with the originals as links,
    so that nobody waits for a copy.
    """
    if not (serving.home / "kit.db").is_file():
        return
    folder = serving.backups
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = serving.home.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    done = run_release(serving, previous, ["backup", str(folder), "--link"])
    if done.returncode != 0:
        raise MachineError(f"no backup could be made, so nothing was changed: {said(done)}")
    made = Path(done.stdout.strip())
    release.keep_backup(made)
    say(f"a backup of the data is in {made}")
