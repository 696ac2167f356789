"""What a graphics card is asked: `pytest tests/gpu`, skipped where there is none.

`--card cpu` plays the same on the processor with small networks, to see that the questions themselves can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from acestep_core import devices
from acestep_core.models.manager import manager
from tests.gpu.cards import Card


@pytest.fixture(scope="session")
def card(pytestconfig: pytest.Config) -> Card:
    wanted = pytestconfig.getoption("card")
    found = wanted or devices.available_devices()[0]
    if found == "cpu" and not wanted:
        pytest.skip("there is no graphics card")
    return Card(torch.device(found))


@pytest.fixture(autouse=True)
def emptied(card: Card) -> Iterator[None]:
    """Each question finds the card empty, and computes in full precision where it asks for fp32."""
    manager.unload()
    devices.empty_cache(card.device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)
