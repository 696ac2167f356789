"""Layers whose weights stay in main memory while the rest of their model computes on a device."""

from __future__ import annotations

from pathlib import Path

import torch

from acestep_core.models import loading
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.entry import Entry
from acestep_core.models.handles import ModelHandle
from acestep_core.models.linear import PackedLinear, SideBySide
from acestep_core.models.manager import ModelManager
from acestep_core.models.streaming import Streaming

META = torch.device("meta")
GROUPED = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def entry_of(model: AceStepModel, device: torch.device = META) -> Entry:
    return Entry(("dit", "made up"), model, device, streams=True)


def small() -> AceStepModel:
    return AceStepModel(AceStepConfig(hidden_size=64, intermediate_size=96, num_attention_heads=4, head_dim=16))


def velocity(model: AceStepModel, device: torch.device) -> torch.Tensor:
    """Of 20 s, so that windows count."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 500, 64), (2, 500, 128), (2, 90, model.config.encoder_dim))
    x, context, condition = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    with torch.inference_mode():
        return model.decoder(x, torch.full((2,), 0.5, device=device), context, condition)


def test_songs_are_the_same_to_the_bit(tiny_models) -> None:
    """Also with an odd number of layers away, and in the order in which they come and go."""
    with ModelManager().resident(tiny_models.model) as model:
        whole = velocity(model, torch.device("cpu"))
        streaming = Streaming(model)
        for count in (len(streaming.layers), len(streaming.layers) - 1, 1, 0):
            streaming.keep(count)
            assert torch.equal(velocity(model, torch.device("cpu")), whole)


def test_what_stays_stays_and_all_else_goes(tiny_models) -> None:
    with ModelManager().resident(tiny_models.model) as model:
        entry = entry_of(model)
        entry.settle(-(1 << 60))
        entry.go_out()
        away = {name for name, tensor in entry.tensors() if not tensor.is_meta}
        assert away and {name.split(".")[-2] for name in away} == GROUPED
        assert entry.placed and entry.there == entry.going == entry.nbytes - entry.streaming.staying
        assert velocity(model, META).shape == (2, 500, 64)  # nothing meets what is on another device
        with torch.inference_mode():
            assert model.hints(torch.zeros(1, 20, dtype=torch.long, device=META)).shape == (1, 100, 64)
            assert model.codes(torch.zeros(1, 50, 64, device=META)).shape == (1, 10)
        entry.settle(1 << 60)
        assert not entry.placed
        entry.go_out()
        assert all(tensor.is_meta for _, tensor in entry.tensors())


def test_home_is_where_it_was(tiny_models) -> None:
    with ModelManager().resident(tiny_models.model) as model:
        entry = entry_of(model, torch.device("cpu"))
        entry.settle(-1)
        assert entry.streaming.count == 1 and entry.placed
        entry.module.to(torch.float64)  # as on a device: elsewhere, and laid out anew
        entry.go_home()
        assert all(tensor.data_ptr() == entry.home[name].data_ptr() for name, tensor in entry.tensors())
        assert entry.placed


def test_packed_weights_stay_packed_at_home(gguf_root: Path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "stays_packed", lambda *_: True)
    with ModelManager().resident(ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")) as model:
        whole = velocity(model, torch.device("cpu"))
        entry = entry_of(model)
        entry.settle(-(1 << 60))
        assert torch.equal(velocity(model, torch.device("cpu")), whole)
        entry.go_out()
        layers = [layer for layer in model.modules() if isinstance(layer, PackedLinear)]
        assert layers and not any(layer.data.is_meta for layer in layers)
        assert velocity(model, META).is_meta


def test_layers_that_a_song_needs_once_stay_first() -> None:
    with META:
        model = small()
    streaming = Streaming(model)
    of_decoder = {id(part) for layer in model.decoder.blocks for part in layer.modules()}
    order = [id(layer[0]) in of_decoder for layer in streaming.layers]
    assert order == sorted(order) and order.count(True) == model.config.num_hidden_layers
    assert not all(order)


def test_as_few_stay_as_must() -> None:
    with META:
        streaming = Streaming(small())
    streaming.keep(1)
    assert Streaming(streaming.module).unpacking == 0, "what was decided for another piece of work is forgotten"
    whole, layers = streaming.whole, len(streaming.layers)
    assert streaming.unpacking == 0 < streaming.coming
    assert streaming.fitting(whole) == 0
    assert streaming.fitting(whole - 1) >= 1
    for room in range(0, whole, whole // 50):
        count = streaming.fitting(room)
        streaming.keep(count)
        fits = whole - streaming.staying + streaming.passing <= room
        assert fits or count == layers
        streaming.keep(count - 1)
        assert count == 1 or whole - streaming.staying + streaming.passing > room


def test_what_comes_takes_no_more_than_said() -> None:
    """The largest group is there once, in the numbers that are computed in."""
    streaming = Streaming(small())
    groups = [part._layers() for part in streaming.module.modules() if isinstance(part, SideBySide)]
    assert streaming.coming == max(sum(layer.weight.nbytes for layer in group) for group in groups)


def test_nothing_changes_under_somebody_who_computes(tiny_models) -> None:
    with ModelManager().resident(tiny_models.model) as model:
        entry = entry_of(model)
        entry.computing = 1
        entry.settle(-(1 << 60))
        assert entry.streaming.count == 0
        entry.computing = 0
        entry.settle(-(1 << 60))
        assert entry.streaming.count == len(entry.streaming.layers)


def test_several_who_begin_at_once_do_not_hinder_that_layers_stay(tiny_models, monkeypatch) -> None:
    """All of them hold the model before any of them computes; the first decides what stays."""
    own, spare = ModelManager(), iter((-(1 << 60), 1 << 60))
    monkeypatch.setattr(own.placement, "place", lambda entry, working: entry.settle(next(spare)))
    with own._pinned(tiny_models.model) as entry:
        entry.streams = True
        counts = []
        for _ in range(2):
            with own.resident(tiny_models.model), own._pinned(tiny_models.model):
                counts.append(entry.streaming.count)
        assert counts == [len(entry.streaming.layers), 0] and not entry.computing
    spare = iter((-1, 1 << 60))
    with own.resident(tiny_models.model), own.resident(tiny_models.model):
        assert entry.streaming.count == 1 and entry.computing == 2


def test_on_the_processor_nothing_stays(tiny_models) -> None:
    """There is no other memory to stay in."""
    own = ModelManager()
    with own.resident(tiny_models.model):
        (entry,) = own._entries.values()
        assert not entry.streams


def test_who_trains_gets_all_layers(tiny_models, monkeypatch) -> None:
    own, placed = ModelManager(), []
    monkeypatch.setattr(own.placement, "place", lambda entry, working: placed.append(entry))
    with own.private(tiny_models.model):
        assert not placed[0].streams and not placed[0].could_shrink
