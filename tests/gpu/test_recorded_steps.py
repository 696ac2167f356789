"""Steps recorded as graphs do what they do when they are called, whatever else happens on the card."""

from __future__ import annotations

import threading

import pytest
import torch

from acestep_core.commands.benches import lm_bench
from acestep_core.models import graphs
from acestep_core.options import LMSampling
from acestep_core.planner.decode import CodesPrompt, decode_codes
from tests.gpu.cards import Card

COUNT = 40


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another thread"])
def test_codes_are_the_same(beside: bool, card: Card, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    lm = lm_bench.random_model("tiny", card.device, card.dtype)
    asked = [CodesPrompt(lm.encode("a song " * 118), lm.encode("la " * 90), seed) for seed in range(2)]

    def written() -> list[tuple[int, ...]]:
        return decode_codes(lm, asked, LMSampling(cfg_scale=2.0), COUNT)

    over = threading.Event()

    def allocating() -> None:
        kept: list[torch.Tensor] = []
        while not over.is_set():
            kept = [*kept[-20:], torch.ones(1 << 20, device=card.device)]

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
    monkeypatch.setattr(graphs, "recorder", lambda device: None)
    assert written() == recorded
