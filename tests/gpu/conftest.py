"""What a graphics card is asked: `pytest tests/gpu --card auto`, or a device's name; else all is skipped.

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
    if wanted is None:
        pytest.skip("no card is named with --card")
    found = devices.available_devices()[0] if wanted == "auto" else wanted
    if wanted == "auto" and found == "cpu":
        pytest.skip("there is no graphics card")
    return Card(devices.indexed(torch.device(found)))


@pytest.fixture(autouse=True)
def emptied(card: Card) -> Iterator[None]:
    """Each question finds the card empty, may be waited for, and computes in full precision where it asks for fp32."""
    manager.unload()
    devices.empty_cache(card.device)
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
    if card.device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")
