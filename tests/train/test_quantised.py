"""A frozen decoder in fewer bits: nearly the same, as small as said, and what is learned beside it fits the whole."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.nn.functional import cosine_similarity

from acestep_core.errors import InvalidInput, OutOfMemory
from acestep_core.models.adapters import applied
from acestep_core.models.handles import AdapterHandle
from acestep_core.models.manager import manager
from acestep_core.train import estimate as estimating
from acestep_core.train.checkpoints import RunFolder
from acestep_core.train.estimate import Work, choose_plan, estimate, layer_costs
from acestep_core.train.network import LiveNetwork
from acestep_core.train.objective import Drawing, Times, judge
from acestep_core.train.quantised import WHOLE, CompactLinear, quantise, saved_bytes
from acestep_core.train.settings import AdapterOptions, TrainSettings
from acestep_core.train.trainer import Trainer
from tests.train.making_trainsets import write_trainset

FORMS = {"int8": 0.02, "nf4": 0.25}
"""And how far a layer may be from what it was, relative to its largest number."""


@pytest.fixture(params=FORMS)
def form(request):
    if request.param == "nf4":
        pytest.importorskip("bitsandbytes")
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_and_its_gradient_are_those_of_the_weight_it_stands_for(form, dtype, tiny_base):
    x = torch.randn(2, 5, 64, dtype=dtype, requires_grad=True)
    with manager.private(tiny_base.model) as model:
        plain = model.decoder.to(dtype).layers[1].mlp.up_proj
        compact = CompactLinear(plain, form)
        exact, found = plain(x), compact(x)
        assert (found - exact).abs().max() < FORMS[form] * exact.abs().max()
        assert found.dtype is dtype and not torch.equal(found, exact)
        (grad,) = torch.autograd.grad(found.float().square().sum(), x)
        weight = compact.whole(dtype)
        product = x @ weight.T
        (wanted,) = torch.autograd.grad(product.float().square().sum(), x)
        torch.testing.assert_close(found, product)
        torch.testing.assert_close(grad, wanted)
        assert compact.weight.nbytes + compact.scale.nbytes < 0.3 * plain.weight.numel() * 4


def test_a_row_of_zeros_stays_one(form):
    layer = torch.nn.Linear(64, 2, bias=False)
    with torch.no_grad():
        layer.weight[0] = 0
    whole = CompactLinear(layer, form).whole(torch.float32)
    assert torch.equal(whole[0], torch.zeros(64)) and bool(torch.isfinite(whole).all())


@pytest.mark.parametrize("every", [0, 1])
@pytest.mark.parametrize("kind", ["lora", "lokr"])
def test_the_decoder_points_where_the_whole_one_does(form, kind, every, tiny_base):
    if kind in WHOLE[form]:
        pytest.skip("refused")
    found = []
    for shape in ("none", form):
        with manager.private(tiny_base.model, 0, lambda model, shape=shape: quantise(model.decoder, shape)) as model:
            network = LiveNetwork(model, AdapterOptions(kind=kind, rank=4, dropout=0.0), 3, every)
            random = torch.Generator().manual_seed(5)
            with torch.no_grad():
                for parameter in network.parameters.values():
                    parameter += 0.05 * torch.randn(parameter.shape, generator=random)
            draw = lambda *size: torch.randn(*size, generator=random)  # noqa: E731, B023
            velocity = network(draw(1, 40, 64), torch.tensor([0.4]), draw(1, 40, 128), [draw(1, 6, 64)])
            velocity.square().mean().backward()
            found.append(torch.cat([p.grad.flatten() for p in network.parameters.values()]))
            frozen = [p for p in network.decoder.parameters() if not p.requires_grad]
            assert all(p.grad is None for p in frozen)
    assert cosine_similarity(*found, dim=0) > 0.95


def test_a_run_learns_for_the_whole_model_and_goes_on(form, tiny_base, tmp_path):
    songs = write_trainset(tmp_path / "set", (128, 128))
    flat = {"quantize": form, "rank": 16, "targets": "attention+mlp", "learning_rate": 5e-3, "dropout": 0.0,
            "log_every": 20, "save_every": 10_000, "memory": "none"}  # fmt: skip

    def run(folder, steps):
        settings = TrainSettings.of(**flat, max_steps=steps, lr_schedule="constant", warmup=0)
        return list(Trainer(songs, tiny_base.model, tmp_path / folder, settings).records())

    run("parts", 30)
    records = run("parts", 60)
    assert records[-1]["kind"] == "done" and "exactly" in records[-1]["text"]
    run("whole", 60)
    parts, whole = RunFolder(tmp_path / "parts"), RunFolder(tmp_path / "whole")
    assert (parts.adapter / "adapter_model.safetensors").read_bytes() == (
        whole.adapter / "adapter_model.safetensors"
    ).read_bytes()
    with manager.private(tiny_base.model) as model:
        times = Times.of("model", model.config, tiny_base.model.preset)
        settings = TrainSettings.of().resolved(False)
        drawing = Drawing(songs, times, settings.fine, model.null_condition_emb, False)

        def velocity(x, t, context, states):
            return model.decoder(x, t, context, states[0])

        losses = [judge(drawing, (0, 1), velocity, torch.device("cpu"))]
        with applied(model.decoder, [AdapterHandle(whole.adapter)]) as (report,):
            losses.append(judge(drawing, (0, 1), velocity, torch.device("cpu")))
    assert not report.unmatched and losses[1] < 0.85 * losses[0], losses


def test_the_estimate_counts_it(form, tiny_base, tmp_path):
    work, said = Work(1, 800, 60), {}
    songs = write_trainset(tmp_path / "set", (2000,))
    for shape in ("none", form):
        with manager.private(tiny_base.model, 0, lambda model, shape=shape: quantise(model.decoder, shape)) as model:
            saved = saved_bytes(model.decoder, form)
            network = LiveNetwork(model, AdapterOptions(rank=4), 3, 1)
            said[shape] = estimate(network, "adamw", work, 1, layer_costs(network))
            own = sum(p.numel() for p in network.parameters.values())
            held = sum(t.nbytes for t in (*network.decoder.parameters(), *network.decoder.buffers())) - 4 * own
            assert said[shape].weights == held
            if shape == "none":
                network.every = 0
                costs = layer_costs(network)
                room = estimate(network, "adamw8bit", Work(1, 1500, 21), 1, costs).besides_weights
                with pytest.raises(OutOfMemory, match=f"and quantize {form}"):
                    room -= saved_bytes(model.decoder, form)
                    choose_plan(network, songs, TrainSettings.of(rank=4), (False,), room)
                expected = said["none"].weights - saved
    assert said[form].weights == expected
    assert said[form].kept == pytest.approx(said["none"].kept, rel=0.02)


def test_refusals(tiny_base, tmp_path, monkeypatch):
    songs = write_trainset(tmp_path / "set")

    def run(**flat):
        return list(Trainer(songs, tiny_base.model, tmp_path / "run", TrainSettings.of(rank=4, **flat)).records())

    for kind, form in (("dora", "int8"), ("dora", "nf4"), ("lokr", "nf4")):
        with pytest.raises(InvalidInput, match=f"{kind} cannot learn beside weights in {form}; choose lora or rslora"):
            run(kind=kind, quantize=form)
    with pytest.raises(InvalidInput, match="quantize must be"):
        run(quantize="int4")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InvalidInput, match="pip install bitsandbytes"):
        run(quantize="nf4")
    monkeypatch.setattr(estimating.devices, "free_memory", lambda device: 3 << 20)

    def full(*_):
        raise OutOfMemory("full")

    monkeypatch.setattr(manager.placement, "place", full)
    with pytest.raises(OutOfMemory, match=r"where 3 MiB are free; set quantize to int8 or nf4, choose"):
        run()
    with pytest.raises(OutOfMemory, match=r"are free; set quantize to nf4, choose"):
        run(quantize="int8")
