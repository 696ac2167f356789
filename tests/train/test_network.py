"""The network that learns, on the device and in the format it learns in."""

from __future__ import annotations

import sys
import threading

import pytest
import torch
from torch.nn.functional import cosine_similarity

from acestep_core.errors import AdapterError, InvalidInput
from acestep_core.models.manager import manager
from acestep_core.train.network import LiveNetwork, peft_config, seeded
from acestep_core.train.settings import KINDS, AdapterOptions


def network_of(model, dtype=torch.float32, every=1, **adapter):
    options = AdapterOptions(**{"rank": 4, "alpha": 8.0, "dropout": 0.0, **adapter})
    model.to(dtype)
    return LiveNetwork(model, options, seed=3, every=every)


@pytest.fixture
def own(tiny_base):
    """A function that gives one more decoder of the test's own."""
    loaded = []

    def load():
        lent = manager.private(tiny_base.model)
        loaded.append(lent)
        return lent.__enter__()

    yield load
    for lent in loaded:
        lent.__exit__(None, None, None)


def inputs(model, rows=2, frames=40):
    random = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    states = [draw(1, 5 + row, model.config.encoder_dim) for row in range(rows)]
    return draw(rows, frames, 64), torch.tensor([0.3, 0.8])[:rows], draw(rows, frames, 128), states


def gradients(network, x, t, context, states):
    for parameter in network.parameters.values():
        parameter.grad = None
    network(x, t, context, states).square().mean().backward()
    return {name: p.grad.clone() for name, p in network.parameters.items()}


def stir(network):
    """Gives every part of the adapter some value, so that all of it has a gradient."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=random)


@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_as_the_model_and_all_of_it_learns(own, kind):
    model = own()
    args = inputs(model)
    with torch.no_grad():
        before = model.decoder(*args[:3], args[3]).clone()
    network = network_of(model, kind=kind, targets="attention+mlp")
    with torch.no_grad():
        torch.testing.assert_close(network(*args), before, rtol=1e-4, atol=1e-5)
    stir(network)
    found = gradients(network, *args)
    assert all(float(grad.abs().max()) > 0 for grad in found.values())
    assert all(p.grad is None for p in network.decoder.parameters() if not p.requires_grad)
    assert all(name.endswith(("_A.weight", "_B.weight", "vector", "w1", "w2", "w2_a", "w2_b")) for name in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["lora", "dora", "lokr"])
def test_checkpointing_changes_no_bit(own, dtype, kind):
    network = network_of(own(), dtype, every=0, kind=kind)
    stir(network)
    args = inputs(network.decoder)
    plain = gradients(network, *args)
    assert all(grad.dtype is torch.float32 for grad in plain.values())
    for network.every in (1, 3):
        assert all(torch.equal(grad, plain[name]) for name, grad in gradients(network, *args).items())


def test_bf16_points_where_fp32_does(own):
    full, half = network_of(own()), network_of(own(), torch.bfloat16)
    for network in (full, half):
        stir(network)
    args = inputs(full.decoder)
    one, two = (torch.cat([g.flatten() for g in gradients(n, *args).values()]) for n in (full, half))
    assert cosine_similarity(one, two, dim=0) > 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_in_another_thread(own, dtype):
    """As every graphics card does it."""
    network = network_of(own(), dtype, dropout=0.3)
    network.decoder.train()
    stir(network)
    args, found = inputs(network.decoder), {}

    def forward():
        with seeded(7, network.device):
            return network(*args).square().mean()

    forward().backward()
    here = {name: p.grad.clone() for name, p in network.parameters.items()}
    for parameter in network.parameters.values():
        parameter.grad = None
    loss = forward()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    found = {name: p.grad for name, p in network.parameters.items()}
    assert all(torch.allclose(found[name], grad, rtol=1e-5, atol=1e-8) for name, grad in here.items())


def test_dropout_comes_from_its_seed_and_leaves_no_trace(own):
    network = network_of(own(), dropout=0.5)
    network.decoder.train()
    stir(network)
    args, state = inputs(network.decoder), torch.random.get_rng_state()
    with torch.no_grad():
        drawn = []
        for seed in (1, 1, 2):
            with seeded(seed, network.device):
                drawn.append(network(*args))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_only_a_whole_adapter_is_taken(own):
    one, two = network_of(own()), network_of(own())
    stir(one)
    two.load(one.state())
    args = inputs(one.decoder)
    with torch.no_grad():
        assert torch.equal(one(*args), two(*args))
    state = one.state()
    for damaged in (dict(list(state.items())[1:]), state | {"more": torch.zeros(1)}, {}):
        with pytest.raises(AdapterError, match="do not fit"):
            two.load(damaged)


def test_targets(own):
    def layers(**adapter):
        return {name.rpartition(".lora")[0].partition(".layers")[0].split(".", 2)[2] for name in
                network_of(own(), **adapter).parameters}  # fmt: skip

    attention = {f"{a}.{p}_proj" for a in ("self_attn", "cross_attn") for p in "qkvo"}
    assert layers() == attention
    assert layers(targets="self") == {name for name in attention if name.startswith("self")}
    assert layers(targets="cross") == {name for name in attention if name.startswith("cross")}
    assert layers(targets="attention+mlp") == attention | {f"mlp.{p}_proj" for p in ("gate", "up", "down")}
    assert layers(targets="self_attn.q_proj, mlp.down_proj") == {"self_attn.q_proj", "mlp.down_proj"}
    for wrong in ("condition_embedder", "time_embed.linear_1", "", "k_proj,proj_in"):
        with pytest.raises(InvalidInput, match="can learn"):
            network_of(own(), targets=wrong)


def test_the_plain_decoder_comes_and_goes(own, tiny_base):
    network = network_of(own())
    stir(network)
    args = inputs(network.decoder)
    with torch.no_grad():
        adapted = network(*args)
        with network.plain() as decoder, manager.resident(tiny_base.model) as cached:
            assert torch.equal(decoder(*args[:3], args[3]), cached.decoder(*args[:3], args[3]))
        assert torch.equal(network(*args), adapted)


def test_peft_that_is_absent_and_peft_that_does_not_load(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidInput, match=r"needs PEFT; install it"):
        peft_config(AdapterOptions())
    (tmp_path / "peft.py").write_text("raise ImportError('it wants another torch')")
    monkeypatch.delitem(sys.modules, "peft")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidInput, match=r"does not load \(it wants another torch\)"):
        peft_config(AdapterOptions())
