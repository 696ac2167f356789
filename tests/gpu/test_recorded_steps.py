"""Steps recorded as graphs do what they do when they are called, whatever else happens on the card."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from acestep_core import devices
from acestep_core.commands.benches import lm_bench
from acestep_core.models import graphs
from acestep_core.options import LMSampling
from acestep_core.planner.decode import CodesPrompt, decode_codes
from tests.gpu.cards import Card

COUNT = 40


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another thread"])
def test_codes_are_the_same(beside: bool, card: Card, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """The prompt has 237 tokens, so writing passes from 256 columns to 512: two sizes."""
    lm = lm_bench.random_model("tiny", card.device, card.dtype)
    asked = [CodesPrompt(lm.encode("a song " * 118), lm.encode("la " * 90), seed) for seed in range(2)]
    recordings: list[Any] = []

    def written() -> list[tuple[int, ...]]:
        return decode_codes(lm, asked, LMSampling(cfg_scale=2.0), COUNT)

    def counted(device: torch.device) -> Any:
        record = devices.recorder(device)
        return record and (lambda work: recordings.append(record(work)) or recordings[-1])

    over = threading.Event()

    def allocating() -> None:
        """Memory that no cache has: each piece is larger than the one before."""
        size = 24 << 20
        while not over.is_set():
            torch.empty(size, dtype=torch.uint8, device=card.device)
            devices.empty_cache(card.device)
            size = size + (2 << 20) if size < 256 << 20 else 24 << 20

    monkeypatch.setattr(graphs, "recorder", counted)
    thread = threading.Thread(target=allocating)
    if beside:
        thread.start()
    try:
        recorded = written()
    finally:
        over.set()
    if beside:
        thread.join()
    assert not caplog.records, "recording failed"
    assert len(recordings) == (2 if devices.records_graphs(card.device) else 0)
    monkeypatch.setattr(graphs, "recorder", lambda device: None)
    assert written() == recorded
