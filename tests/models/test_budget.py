"""Kernels of one step at the real sizes: numbers that may only fall, for they bound the speed of short songs.

Counted as on a card, whose attention knows grouped heads; see `tests.kernel_count`.
"""

from __future__ import annotations

import pytest
import torch

from acestep_core import devices
from acestep_core.commands.benches.sizes import LM, LM_ROWS
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.planner.decode import CodesWriter
from acestep_core.planner.rows import Rows, reach_of
from acestep_core.planner.sampling import LMSampling
from tests.kernel_count import count_kernels
from tests.planner.fixtures import tokenizer

DIT_STEP = 675
DIT_STEP_OF_A_BATCH = 687
LM_TOKEN = 500
LM_STEP_WITH_SAMPLING = 550


@pytest.fixture(autouse=True)
def as_on_a_card(monkeypatch):
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(grouped_attention=True))


@pytest.mark.parametrize(("seconds", "rows", "budget"), [(60, 1, DIT_STEP), (600, 8, DIT_STEP_OF_A_BATCH)])
def test_a_step_of_the_2b_decoder(seconds, rows, budget):
    with torch.device("meta"):
        decoder = DiT(AceStepConfig()).eval().requires_grad_(False)
        frames = seconds * 25
        x, context, t = torch.empty(rows, frames, 64), torch.empty(rows, frames, 128), torch.empty(rows)
        prepared = decoder.prepare(torch.empty(rows, 500, 2048), frames)
        count = count_kernels(lambda: decoder(x, t, context, prepared))
    assert count.total <= budget, count.kernels
    assert not count.waits


@pytest.fixture(scope="module")
def writer() -> CodesWriter:
    with torch.device("meta"):
        model = Qwen3(Qwen3Config(LM_ROWS, *LM["1.7b"])).eval().requires_grad_(False)
    lm = LanguageModel(model, tokenizer())
    with torch.inference_mode():
        rows = Rows(lm, [[1, 2, 3], [1, 2]], 100)
        return CodesWriter(lm, rows, 1, True, LMSampling(), 100, open_end=False)


def test_a_token_of_the_language_model(writer):
    ids, lm = torch.zeros(2, 1, dtype=torch.long, device="meta"), writer.lm
    count = count_kernels(lambda: lm.model.logits(writer.rows.append(ids, reach_of(4)), lm.ids.code_slice))
    assert count.total <= LM_TOKEN, count.kernels
    assert not count.waits


def test_a_token_and_its_choice(writer):
    count = count_kernels(lambda: writer.step(reach_of(4)))
    assert count.total <= LM_STEP_WITH_SAMPLING, count.kernels
    assert not count.waits


def test_waiting_is_noticed():
    count = count_kernels(lambda: bool(torch.ones(1).sum() > 0))
    assert count.waits
