"""Bad input and bad machines: one clear error each, nothing lost, no traceback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kit.errors import AlreadyRunning, ConfigError, DiskFull, MachineError, ModelError, PortInUse
from tests.e2e.drive import KIT, Result, RunningKit, link_models, run_kit, start_kit

pytestmark = pytest.mark.e2e


def assert_clear(result: Result, exit_code: int, *words: str) -> None:
    """One error block: what happened, the words that matter, a next step, and no traceback."""
    assert result.code == exit_code, result.err
    assert "Traceback" not in result.err + result.out
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    assert "hint: " in result.err
    for word in words:
        assert word in result.err


def run_in(wrapper: list[str], *arguments: str) -> Result:
    done = subprocess.run(
        [*wrapper, *KIT, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def nasty_files(folder: Path) -> dict[str, str]:
    """Files that cannot become documents, with a word that their reason must hold."""
    from reportlab.pdfgen.canvas import Canvas

    folder.mkdir()
    whole = folder / "whole.pdf"
    page = Canvas(str(whole))
    page.drawString(72, 720, "A page that is never reached.")
    page.save()
    (folder / "broken.pdf").write_bytes(whole.read_bytes()[:400])
    whole.unlink()
    locked = Canvas(str(folder / "locked.pdf"), encrypt="secret")
    locked.drawString(72, 720, "Behind a password.")
    locked.save()
    (folder / "empty.txt").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "program.pdf").write_bytes(b"\x7fELF" + bytes(range(256)) * 8)
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate(1 << 30)  # sparse: takes no space here
    return {
        "broken.pdf": "damaged",
        "locked.pdf": "password",
        "empty.txt": "empty",
        "picture.png": "",
        "program.pdf": "",
        "huge.txt": "larger",
    }


def test_every_nasty_file_is_refused_with_its_reason(kit: RunningKit, tmp_path: Path) -> None:
    """A folder of bad files and a good one: the good one is indexed, each bad one says why."""
    reasons = nasty_files(tmp_path / "nasty")
    (tmp_path / "nasty" / "good.md").write_text("# Parking\n\nVisitors park behind the library.\n")
    result = run_kit(kit.home, "docs", "add", str(tmp_path / "nasty"), "--collection", "nasty")
    assert result.code != 0
    assert "Traceback" not in result.err + result.out
    shown = result.out + result.err
    for name, word in reasons.items():
        [line] = [line for line in shown.splitlines() if name in line][-1:]
        assert word.lower() in shown.lower(), line
    listed = run_kit(kit.home, "docs", "list", "--json").json()["documents"]
    states = {Path(d["name"]).name: d for d in listed}
    assert states["good.md"]["state"] == "indexed"
    for name in reasons:
        if name in states:  # a file that is too large never enters the library
            assert states[name]["state"] in ("refused", "no_text")
            assert states[name]["error"]
    assert kit.health()["status"] == "ok"


def test_port_in_use(home: Path) -> None:
    """A taken port is named before anything slow happens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_kit(home, "up", "--port", str(port))
    assert_clear(result, PortInUse.exit_code, str(port), "--port")


def test_read_only_home(tmp_path: Path) -> None:
    """A home that cannot be written is said to be so."""
    mount = f'mount -t tmpfs -o ro none {tmp_path} && exec "$@"'
    wrapper = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    result = run_in(wrapper, "--home", str(tmp_path / "home"), "up", "--port", "0")
    assert_clear(result, MachineError.exit_code, str(tmp_path))


def test_full_disk(tmp_path: Path) -> None:
    """A disk without space is said to be so, with the sizes."""
    mount = f'mount -t tmpfs -o size=2m none {tmp_path} && exec "$@"'
    wrapper = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    result = run_in(wrapper, "--home", str(tmp_path / "home"), "up", "--port", "0")
    assert_clear(result, DiskFull.exit_code, str(tmp_path))


def test_model_file_cut_short(home: Path, chat_model: Path, tmp_path: Path) -> None:
    """A model file that lost its end is refused with expected and observed size."""
    cut = tmp_path / "cut.gguf"
    with chat_model.open("rb") as source, cut.open("wb") as out:
        shutil.copyfileobj(source, out)
        out.truncate(50_000_000)
    result = run_kit(home, "up", "--port", "0", "--model", str(cut))
    assert_clear(result, ModelError.exit_code, "cut.gguf", "98362432", "50000000")


def test_second_kit_on_the_same_home(kit: RunningKit) -> None:
    """A second kit on one home is told where the first one is."""
    result = run_kit(kit.home, "up", "--port", "0")
    assert_clear(result, AlreadyRunning.exit_code, kit.url)


def test_other_address_needs_an_account(home: Path) -> None:
    """Off the loopback the kit refuses to start without an account and says how to make one."""
    result = run_kit(home, "up", "--port", "0", "--host", "0.0.0.0")
    assert result.code != 0
    assert "kit user add" in result.err
    assert "Traceback" not in result.err


def test_unknown_setting(home: Path) -> None:
    """A mistyped setting is an error with a suggestion."""
    (home / "kit.toml").write_text("[web]\nprot = 8000\n")
    result = run_kit(home, "config")
    assert_clear(result, ConfigError.exit_code, "prot", "web.port")


def test_unknown_option_is_suggested(home: Path) -> None:
    """A mistyped option is an error of one line with a suggestion."""
    result = run_kit(home, "docs", "search", "x", "--topk", "3")
    assert result.code == 2
    assert "--top-k" in result.err
    assert "Traceback" not in result.err


def test_disk_fills_while_adding(ready_models: Path, tmp_path: Path) -> None:
    """When the disk fills up, what was confirmed stays and the refused file is named."""
    script = tmp_path / "fill.sh"
    home = tmp_path / "small" / "home"
    (tmp_path / "small").mkdir()
    (tmp_path / "one.md").write_text("# One\n\nThe first document stays.\n")
    (tmp_path / "big.txt").write_text("All of this is text.\n" * 1_000_000)
    kit = f"{sys.executable} -m kit --home {home}"
    script.write_text(
        f"""set -u
        mount -t tmpfs -o size=300m none {tmp_path / "small"}
        {kit} docs add {tmp_path / "one.md"} >&2 || exit 90
        dd if=/dev/zero of={tmp_path / "small"}/fill bs=1M count=280 2>/dev/null
        {kit} docs add {tmp_path / "big.txt"} >&2; echo "code $?"
        rm {tmp_path / "small"}/fill
        {kit} docs list --json
        """
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"code {DiskFull.exit_code}" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert '"one.md"' in done.stdout
    assert '"big.txt"' not in done.stdout


def test_restart_after_power_cut(ready_models: Path, tmp_path: Path) -> None:
    """A kit killed whole starts again on the same home, with what it had confirmed."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    first = start_kit(home, "--no-samples")
    (tmp_path / "note.md").write_text("# Note\n\nThe archive opens at nine.\n")
    assert run_kit(home, "docs", "add", str(tmp_path / "note.md")).code == 0
    first.kill()
    second = start_kit(home, "--no-samples")
    try:
        names = [d["name"] for d in run_kit(home, "docs", "list", "--json").json()["documents"]]
        assert names.count("note.md") == 1
    finally:
        assert second.stop() == 0
