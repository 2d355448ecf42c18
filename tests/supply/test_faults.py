"""A hub that misbehaves once does not keep a model from arriving."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.supply.catalog import ModelCard
from kit.supply.fetch import fetch
from tests.supply.conftest import QUICK, make_gguf
from tests.supply.hub_server import FAULTS, HubServer


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_overcome(tmp_path: Path, hub_card: ModelCard, fault: str) -> None:
    """Any single fault, also after a cut, costs at most another try."""
    data = make_gguf(80_000)
    for before in ([], ["cut"]):
        folder = tmp_path / str(len(before))
        with HubServer({"m-Q4_K_M.gguf": data}, faults=[*before, fault]) as hub:
            fetch(folder, hub_card, environ=hub.environ, patience=QUICK)
        assert (folder / "m-Q4_K_M.gguf").read_bytes() == data
