"""What a run is said to take, against what autograd is seen to keep."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from acestep_core.errors import OutOfMemory
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.manager import manager
from acestep_core.train.estimate import Work, choose_plan, estimate, kept_bytes, layer_costs
from acestep_core.train.network import LiveNetwork
from acestep_core.train.settings import AdapterOptions, TrainSettings
from tests.train.making_trainsets import write_trainset


@pytest.fixture(params=["lora", "lokr"])
def network(request, tiny_base):
    with manager.private(tiny_base.model) as model:
        yield LiveNetwork(model, AdapterOptions(kind=request.param, rank=8), 0, every=0)


def test_a_layer_keeps_a_straight_line(network):
    for band, cost in layer_costs(network).items():
        layer = next(i for i in range(4) if network.decoder.config.is_sliding(i) is band)
        for patches, states in ((768, 100), (1280, 300)):
            assert cost.at(patches, states) == pytest.approx(kept_bytes(network, layer, patches, states), rel=0.02)


def test_the_whole_network_keeps_what_is_said(network):
    work, sizes = Work(1, 1536, 200), {}

    def note(tensor):
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = (storage.nbytes(), tensor.detach())

    weights = {p.untyped_storage()._cdata for p in network.decoder.parameters()}
    x, context = torch.randn(1, 1536, 64), torch.randn(1, 1536, 128)
    with saved_tensors_hooks(note, lambda nothing: nothing):
        network(x, torch.tensor([0.5]), context, [torch.randn(1, 200, network.decoder.config.encoder_dim)])
    seen = sum(size for place, (size, _) in sizes.items() if place not in weights)
    said = estimate(network, "adamw", work, 0, layer_costs(network))
    assert seen <= said.kept + said.working <= 1.7 * seen
    assert said.weights == sum(p.nbytes for p in network.decoder.parameters() if not p.requires_grad)
    assert said.adapter == 16 * sum(p.numel() for p in network.parameters.values())
    saved = estimate(network, "adamw", work, 1, layer_costs(network))
    assert saved.kept < 0.5 * said.kept
    assert estimate(network, "adamw", Work(2, 1536, 200), 0, layer_costs(network)).kept == pytest.approx(2 * said.kept)


def test_auto_takes_the_first_plan_that_fits(network, tmp_path):
    songs = write_trainset(tmp_path / "set", (2000, 300), length="auto", window_seconds=20)
    settings, costs = TrainSettings.of(), layer_costs(network)
    whole, window = Work.of(songs, 1, False), Work.of(songs, 1, True)
    assert (whole.frames, window.frames) == (2000, 500)
    need = {
        (every, work is window): estimate(network, "adamw", work, every, costs).besides_weights
        for work in (whole, window)
        for every in (0, 1)
    }
    assert need[0, False] > need[1, False] > need[0, True] > need[1, True]
    for (every, windowed), free in need.items():
        plan, found = choose_plan(network, songs, settings, (False, True), free)
        assert (plan.every, plan.windowed) == (every, windowed) and found.besides_weights == free
    with pytest.raises(OutOfMemory, match="windows of"):
        choose_plan(network, write_trainset(tmp_path / "long", (4000,)), settings, (False,), need[0, False])
    with pytest.raises(OutOfMemory, match="set memory to checkpoint"):
        choose_plan(network, songs, TrainSettings.of(memory="none"), (False,), need[1, False])
    with pytest.raises(OutOfMemory, match="smaller model"):
        choose_plan(network, songs, settings, (False, True), 1000)


@pytest.mark.processor  # other devices keep the scores of attention, too
@pytest.mark.parametrize("dropout, full, sliding", [(0.0, 94.1, 108.7), (0.1, 124.9, 139.5)])
def test_a_layer_of_2b_keeps_what_the_table_says(dropout, full, sliding):
    """A minute of sound, 200 states of text, rank 64 on attention, bf16: the promise of `estimate`."""
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig(num_hidden_layers=2))
    del model.encoder, model.tokenizer, model.detokenizer
    model = model.to(torch.bfloat16).to_empty(device="cpu").requires_grad_(False)
    for parameter in model.parameters():
        parameter.fill_(0.01)
    network = LiveNetwork(model, AdapterOptions(dropout=dropout), 0, every=0)
    costs = layer_costs(network)
    at = {band: cost.at(750, 200) / 2**20 for band, cost in costs.items()}
    assert at == pytest.approx({False: full, True: sliding}, rel=0.02)
    layer = next(i for i in range(2) if network.decoder.config.is_sliding(i))
    assert kept_bytes(network, layer, 750, 200) / 2**20 == pytest.approx(sliding, rel=0.02)
