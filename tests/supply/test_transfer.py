"""What a transfer does when it is too slow, when two want the same file, when a disk is full."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import AlreadyRunning, FetchError
from kit.supply.catalog import ModelCard
from kit.supply.fetch import fetch, pull
from tests.supply.conftest import QUICK, make_gguf
from tests.supply.hub_server import HubServer

ROOT = Path(__file__).parents[2]
NAME = "m-Q4_K_M.gguf"


def test_a_server_that_drips_is_given_up_on(tmp_path: Path, hub_card: ModelCard) -> None:
    """Bytes below the minimum rate are as none: tried again, then one clear error; what arrived is
    kept, and a server that is quick goes on from there."""
    data = make_gguf(60_000)
    quick = replace(QUICK, max_tries=3, read_timeout_s=0.1)
    with HubServer({NAME: data}, faults=["cut", "drip", "drip", "drip"]) as hub:
        with pytest.raises(FetchError, match="does not give what is expected") as given_up:
            fetch(tmp_path, hub_card, environ=hub.environ, patience=quick)
        said = "\n".join(given_up.value.lines())
        assert "bytes arrived in" in said
        assert "tried 3 times" in said
        assert "what has arrived is kept" in said
        assert not (tmp_path / NAME).exists()
        kept = (tmp_path / f"{NAME}.part").stat().st_size
        assert kept > len(data) / 2
        hub.faults, sent = [], hub.sent_bytes
        fetch(tmp_path, hub_card, environ=hub.environ, patience=QUICK)
        assert hub.sent_bytes - sent < len(data) / 2  # from there on, not from the beginning
    assert (tmp_path / NAME).read_bytes() == data


def test_a_slow_line_above_the_minimum_is_waited_for(tmp_path: Path, hub_card: ModelCard) -> None:
    """A line that is slow but moves is no fault: one request brings the file."""
    data = make_gguf(60_000)
    with HubServer({NAME: data}) as hub:
        hub.pause_s = 0.02
        fetch(tmp_path, hub_card, environ=hub.environ, patience=replace(QUICK, read_timeout_s=0.1))
        assert sum("/cdn/" in request for request in hub.requests) == 1
    assert (tmp_path / NAME).read_bytes() == data


def test_of_two_fetches_of_one_file_the_second_says_so(tmp_path: Path, hub_card: ModelCard) -> None:
    """While one fetches a file another is refused at once, and does not touch what arrived."""
    data = make_gguf(120_000)
    part = tmp_path / f"{NAME}.part"
    with HubServer({NAME: data}) as hub:
        hub.pause_s = 0.02
        first = threading.Thread(
            target=lambda: fetch(tmp_path, hub_card, environ=hub.environ, patience=QUICK)
        )
        first.start()
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.001)
        with pytest.raises(AlreadyRunning, match=f"another kit is fetching {NAME}") as refused:
            fetch(tmp_path, hub_card, environ=hub.environ, patience=QUICK)
        assert refused.value.hint == "wait until it is done"
        first.join()
    assert hub.sent_bytes == len(data)  # nobody sent a byte of it twice
    assert (tmp_path / NAME).read_bytes() == data


PULL = """
import sys; from pathlib import Path
from kit.errors import AlreadyRunning
from kit.supply.catalog import ModelCard; from kit.supply.fetch import pull
card = ModelCard(name="office", kind="chat", title="O", source="hf://office/model",
                 licence="MIT", languages=("en",), facts_from="test")
print("ready", flush=True); sys.stdin.readline()
try: pull(Path(sys.argv[1]), card)
except AlreadyRunning as other: sys.exit(other.exit_code)
"""


@pytest.mark.e2e
def test_processes_that_pull_the_same_model_at_once(home: Path, hub_card: ModelCard) -> None:
    """Of four that begin together each ends well or says that another does it; no byte is fetched
    twice, and the model is whole."""
    data = make_gguf(200_000)
    with HubServer({NAME: data}) as hub:
        hub.pause_s = 0.01
        pulls = [
            subprocess.Popen(
                [sys.executable, "-c", PULL, str(home)],
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **hub.environ},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(4)
        ]  # fmt: skip
        for child in pulls:
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
        said = [child.communicate("go\n", timeout=60)[1] for child in pulls]
        codes = [child.returncode for child in pulls]
        assert set(codes) <= {0, AlreadyRunning.exit_code}, said
        assert codes.count(0) >= 1
        assert hub.sent_bytes == len(data)
        model = pull(home, hub_card, environ=hub.environ)
    assert (home / "models" / "office" / model.active).read_bytes() == data


FULL = """
import subprocess, sys; from pathlib import Path
from kit import files
from kit.errors import DiskFull; from kit.supply.catalog import read_card
from kit.supply.fetch import fetch
files.DISK_FLOOR_BYTES = -(1 << 40)  # the disk fills while it is fetched, after the look at it
card, folder = read_card(Path(sys.argv[1])), Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(folder)], check=True)
try: fetch(folder, card)
except DiskFull as full: print("\\n".join(full.lines()))
print(sorted(path.name for path in folder.iterdir()))
subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=True)
fetch(folder, card)
print(sorted(path.name for path in folder.iterdir()))
sys.exit((folder / sys.argv[3]).read_bytes() != (Path(card.source) / sys.argv[3]).read_bytes())
"""


@pytest.mark.e2e
def test_a_disk_that_fills_is_one_clear_error(tmp_path: Path) -> None:
    """On a real full disk one error names the file and the next step, what arrived is kept, and
    when there is room again the same command completes."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives nobody a file system of their own")
    stick, folder = tmp_path / "stick", tmp_path / "folder"
    stick.mkdir()
    folder.mkdir()
    (stick / NAME).write_bytes(make_gguf(200_000))
    card = tmp_path / "office.toml"
    card.write_text(
        f'name="office"\nkind="chat"\ntitle="O"\nsource="{stick}"\nlicence="MIT"\n'
        'languages=["en"]\nfacts_from="test"\n'
    )
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", FULL, str(card), str(folder), NAME],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, hint, left, complete = done.stdout.splitlines()
    assert first.startswith("error: no space left while writing")
    assert NAME in first
    assert hint.startswith("hint: free some space")
    assert left == str([f"{NAME}.part", f"{NAME}.part.json"])
    assert complete == str([NAME])
