from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import CheckpointError, InvalidInput, OutOfMemory
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.entry import Entry
from acestep_core.models.manager import ModelManager
from acestep_core.models.oobleck import OobleckVAE
from acestep_core.models.placement import OwnPlacement
from acestep_core.models.text import TextEncoder
from tests.capabilities import needs_mapping, needs_proc


@pytest.fixture
def own() -> ModelManager:
    return ModelManager()


def test_a_model_is_loaded_once(own, tiny_models):
    with own.resident(tiny_models.model) as first:
        pass
    with own.resident(tiny_models.model) as second:
        assert first is second
    assert isinstance(first, AceStepModel)
    assert first.silence_latent.shape == (1, 15000, 64)
    assert len(own.loaded()) == 1


def test_each_handle_gives_its_own_kind(own, tiny_models):
    with own.resident(tiny_models.vae) as vae, own.resident(tiny_models.model.text) as text:
        assert isinstance(vae, OobleckVAE)
        assert isinstance(text, TextEncoder)


def test_parameters_are_ordinary_tensors_whatever_the_callers_mode(own, tiny_models):
    with torch.inference_mode(), own.resident(replace(tiny_models.model, dtype="fp32")) as model:
        assert not any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers()))


def test_another_dtype_is_another_entry(own, tiny_models):
    with own.resident(tiny_models.vae) as first:
        pass
    with own.resident(replace(tiny_models.vae, dtype="bf16")) as second:
        assert second.dtype is torch.bfloat16
    assert first.dtype is torch.float32
    assert len(own.loaded()) == 2


def test_a_replaced_file_is_loaded_again(own, tiny_models, tmp_path):
    folder = shutil.copytree(tiny_models.vae.path, tmp_path / "vae")
    handle = replace(tiny_models.vae, path=folder)
    with own.resident(handle) as first:
        pass
    weights = folder / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, folder / "copy")
    (folder / "copy").replace(weights)
    with own.resident(handle) as second:
        assert first is not second


def test_the_limit_drops_the_least_recently_used(own, tiny_models):
    with own.resident(tiny_models.vae):
        pass
    with own.resident(tiny_models.model):
        pass
    own.limit = own.used() - 1
    with own.resident(tiny_models.model.text):
        kinds = [line.split()[0] for line in own.loaded()]
    assert "vae" not in kinds
    assert kinds[-1] == "text"


def test_what_is_in_use_is_never_dropped(own, tiny_models):
    own.limit = 1
    with own.resident(tiny_models.vae) as vae, own.resident(tiny_models.model):
        assert len(own.loaded()) == 2
        own.unload()
        assert len(own.loaded()) == 2
        assert vae.dtype is torch.float32
    own.unload()
    assert own.loaded() == []
    assert own.used() == 0


def test_an_error_inside_the_block_releases_the_model(own, tiny_models):
    with pytest.raises(RuntimeError, match="boom"), own.resident(tiny_models.vae):
        raise RuntimeError("boom")
    own.unload()
    assert own.loaded() == []


def test_a_device_that_is_full_sends_others_home(own, tiny_models, monkeypatch):
    """On a device with memory of its own, making room moves modules home and keeps them cached."""
    with own.resident(tiny_models.vae):
        pass
    with own.resident(tiny_models.model):
        pass
    homes = []
    monkeypatch.setattr(devices, "is_host", lambda device: False)
    monkeypatch.setattr(devices, "free_memory", lambda device: 0 if len(homes) < 1 else 1 << 40)
    monkeypatch.setattr(Entry, "go_home", lambda entry: homes.append(entry.key[0]))
    own.make_room(torch.device("cpu"), 1)
    assert homes == ["vae"]
    assert len(own.loaded()) == 2


def test_going_home_restores_the_mapped_tensors(own, tiny_models):
    with own.resident(tiny_models.vae) as vae:
        before = {name: tensor.data_ptr() for name, tensor in vae.named_parameters()}
        entry = next(iter(own._entries.values()))
        vae.to(torch.float64)
        entry.go_home()
        assert {name: tensor.data_ptr() for name, tensor in vae.named_parameters()} == before


def test_a_full_device_is_an_error_with_numbers(own, tiny_models, monkeypatch):
    class Full(torch.nn.Module):
        def to(self, *_):
            raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Entry, "placed", property(lambda entry: False))
    entry = Entry("key", Full(), torch.device("cpu"))
    with pytest.raises(OutOfMemory, match="MiB"):
        OwnPlacement(own).place(entry, 0)


def test_a_missing_checkpoint_is_named(own, tiny_models, tmp_path):
    with (
        pytest.raises(CheckpointError, match="nowhere"),
        own.resident(replace(tiny_models.vae, path=tmp_path / "nowhere")),
    ):
        pass


@pytest.mark.parametrize("role", ["dit", "vae"])
def test_half_precision_is_refused_where_it_overflows(role):
    with pytest.raises(InvalidInput, match="bf16"):
        devices.dtype_for(role, torch.device("cpu"), "fp16")
    assert devices.dtype_for("lm", torch.device("cpu"), "fp16") is torch.float16


def test_unknown_devices_and_formats_are_refused():
    with pytest.raises(InvalidInput, match="cpu"):
        devices.pick_device("warp drive")
    with pytest.raises(InvalidInput, match="fp32"):
        devices.dtype_for("dit", torch.device("cpu"), "fp8")
    assert devices.dtype_for("dit", torch.device("cpu")) is torch.float32


@needs_proc
def test_loading_makes_no_second_copy(own, tiny_models):
    """The parameters of a model in its file's number format are the mapped file, not memory of their own."""
    needs_mapping()
    handle = replace(tiny_models.model, dtype="bf16")
    with own.resident(handle) as model, open("/proc/self/maps", encoding="ascii") as maps:  # noqa: PTH123
        spans = []
        for line in maps:
            if "model.safetensors" in line:
                low, high = line.split()[0].split("-")
                spans.append((int(low, 16), int(high, 16)))
        address = model.decoder.condition_embedder.weight.data_ptr()
    assert any(low <= address < high for low, high in spans)
