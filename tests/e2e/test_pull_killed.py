"""A pull that is killed at any moment leaves no wrong file, and the next one finishes it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.supply.catalog import ModelCard
from kit.supply.fetch import pull
from tests.supply.conftest import make_gguf
from tests.supply.hub_server import HubServer

pytestmark = pytest.mark.e2e

CODE = """
import sys; from pathlib import Path
from kit.supply.catalog import ModelCard; from kit.supply.fetch import pull
pull(Path(sys.argv[1]), ModelCard(name="office", kind="chat", title="O", source="hf://office/model",
     licence="MIT", languages=("en",), facts_from="test"))
"""


def test_kill_at_any_moment(tmp_path: Path) -> None:
    """Ten pulls, each killed up to five times: the final file is absent or right, then right."""
    rng = random.Random(4)
    data = make_gguf(300_000)
    card = ModelCard(
        name="office", kind="chat", title="O", source="hf://office/model",
        licence="MIT", languages=("en",), facts_from="test",
    )  # fmt: skip
    num_with_part = 0
    with HubServer({"m-Q4_K_M.gguf": data}) as hub:
        for number in range(10):
            home = tmp_path / str(number)
            final = home / "models" / "office" / "m-Q4_K_M.gguf"
            part = final.with_name(final.name + ".part")
            hub.pause_s = 0.01
            for _ in range(5):
                child = subprocess.Popen(
                    [sys.executable, "-c", CODE, str(home)],
                    env={**os.environ, **hub.environ}, stderr=subprocess.DEVNULL,
                    cwd=Path(__file__).parents[2],
                )  # fmt: skip
                waited = time.monotonic() + 20
                while child.poll() is None and not part.exists() and time.monotonic() < waited:
                    time.sleep(0.005)
                time.sleep(rng.random() * 0.5)
                child.kill()
                child.wait()
                num_with_part += part.exists()
                assert not final.exists() or final.read_bytes() == data
            hub.pause_s = 0.0
            pull(home, card, environ=hub.environ)
            assert final.read_bytes() == data
            assert not part.exists()
    assert num_with_part > 5
