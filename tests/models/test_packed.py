"""Weights that stay packed give what they stand for, to the bit, take less memory, and go where modules go."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.checkpoints.layouts import open_dit
from acestep_core.checkpoints.packing import AT_ONCE, SCRATCH
from acestep_core.errors import CheckpointError, InvalidInput
from acestep_core.models import linear, loading
from acestep_core.models.adapters import applied
from acestep_core.models.handles import AdapterHandle, LMHandle, ModelHandle, TextHandle
from acestep_core.models.layers import MLP, Attention
from acestep_core.models.linear import Layer, Linear, PackedLinear, passing_bytes
from acestep_core.models.loading import How, load_model, load_qwen, stays_narrow, stays_packed
from acestep_core.models.manager import ModelManager
from tests.capabilities import needs_mapping
from tests.checkpoints.test_packing import HALVES, blocks
from tests.checkpoints.test_weights import CONVENTIONS, fp8
from tests.models.peak import Peak
from tests.models.test_adapters import peft_tensors, save_peft

CPU = torch.device("cpu")
X = torch.randn(2, 5, 256, generator=torch.Generator().manual_seed(0))
FEW = X[:1, :1]
"""A single row is multiplied in another way than many."""


def both(module: nn.Module, kinds: dict[str, str], dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """The module with some layers packed, and with what these stand for."""
    packed = module.to(dtype).requires_grad_(False)
    plain = copy.deepcopy(packed)
    for seed, (name, kind) in enumerate(kinds.items()):
        layer = getattr(packed, name)
        weight = blocks(kind, layer.out_features, layer.in_features, seed, 0.02)
        setattr(packed, name, PackedLinear(weight))
        getattr(plain, name).weight.data.copy_(weight.unpacked(dtype))
    return packed, plain


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_layer_gives_what_the_unpacked_one_gives(kind: str, dtype: torch.dtype):
    weight = blocks(kind, 32, 256, 0, 0.02)
    plain = Linear(256, 32).to(dtype).requires_grad_(False)
    plain.weight.data.copy_(weight.unpacked(dtype))
    for x in (X, FEW):
        assert PackedLinear(weight)(x.to(dtype)).equal(plain(x.to(dtype)))


MIXED = {
    "all of one type": {"q_proj": "Q8_0", "k_proj": "Q8_0", "v_proj": "Q8_0", "o_proj": "Q8_0"},
    "values better than the rest": {"q_proj": "Q4_K", "k_proj": "Q4_K", "v_proj": "Q6_K", "o_proj": "Q4_K"},
    "values not packed": {"q_proj": "Q4_0", "k_proj": "Q5_1"},
    "only one": {"k_proj": "Q3_K"},
}


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("cross", [False, True])
def test_groups_multiply_as_one_whatever_their_types(kinds: dict[str, str], cross: bool):
    packed, plain = both(Attention(256, 4, 2, 64, 1e-6, cross=cross), kinds)
    for x in (X, FEW):
        assert packed.product(x).equal(plain.product(x))
    assert packed.output(packed.product(X)[..., :256].unflatten(-1, (4, 64))).equal(
        plain.output(plain.product(X)[..., :256].unflatten(-1, (4, 64)))
    )


def test_feed_forward():
    packed, plain = both(MLP(256, 512), {"gate_proj": "Q4_K", "up_proj": "Q4_K", "down_proj": "Q6_K"})
    assert packed(X).equal(plain(X))


def test_hooks_see_input_and_result_and_may_change_it():
    packed, plain = both(MLP(256, 512), {"gate_proj": "Q8_0", "up_proj": "Q8_0"})
    for module in (packed, plain):
        module.up_proj.register_forward_hook(lambda layer, args, output: output + args[0].sum())
    assert packed(X).equal(plain(X))


def test_a_gradient_reaches_what_comes_before():
    packed, plain = both(MLP(256, 512), {"gate_proj": "Q8_0", "up_proj": "Q8_0", "down_proj": "Q8_0"})
    found = []
    for module in (packed, plain):
        x = X.clone().requires_grad_()
        module(x).sum().backward()
        found.append(x.grad)
    assert (found[0] - found[1]).abs().max() < 1e-5 * found[1].abs().max()


def test_number_formats_leave_packed_bytes_alone():
    packed, _ = both(MLP(256, 512), {"up_proj": "Q8_0"})
    before = packed.up_proj.data.clone()
    packed.bfloat16()
    assert packed.up_proj.data.equal(before)
    assert packed(X.bfloat16()).dtype is torch.bfloat16
    assert packed.to("meta").up_proj.data.is_meta and packed.gate_proj.weight.is_meta


def test_what_unpacking_takes_is_no_more_than_said():
    packed, _ = both(MLP(2048, 6144), {"gate_proj": "Q4_K", "up_proj": "Q4_K", "down_proj": "Q6_K"})
    x = torch.zeros(1, 1, 2048)
    with torch.inference_mode(), Peak() as seen:
        packed.product(x)
    assert seen.most <= passing_bytes(packed) <= 2 * seen.most
    assert passing_bytes(packed) == 2 * 2048 * 6144 * 4 + AT_ONCE * SCRATCH
    assert passing_bytes(MLP(256, 512)) == 0


# --- whole models ---------------------------------------------------------------------------------------------------


def scaled(source: Path, target: Path, convention: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(fp8(load_file(source), convention), target)
    return target


@pytest.fixture(params=["Q8_0", "Q8_0 XL", *CONVENTIONS])
def dit(request, gguf_root: Path, all_layouts: Path, tmp_path: Path) -> ModelHandle:
    """A tiny DiT in packed files of every kind."""
    if request.param in CONVENTIONS:
        source = all_layouts / "comfyui" / "diffusion_models" / "acestep_v1.5_turbo.safetensors"
        return ModelHandle(scaled(source, tmp_path / source.name, request.param))
    xl = "xl-" if "XL" in request.param else ""
    return ModelHandle(gguf_root / f"acestep-v15-{xl}turbo-Q8_0.gguf", variant=f"{xl}turbo")


def loaded(load: Callable, handle, monkeypatch: pytest.MonkeyPatch, packed: bool, dtype=torch.float32, mapped=True):
    with monkeypatch.context() as patch:
        patch.setattr(loading, "stays_packed", lambda *_: packed)
        return load(handle, How(dtype, CPU, mapped))[0]


def velocity(model, dtype: torch.dtype = torch.float32) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    x, context, condition = (torch.randn(shape, generator=draws).to(dtype) for shape in SHAPES)
    with torch.inference_mode():
        return model.decoder(x, torch.tensor([0.7, 0.7], dtype=dtype), context, condition)


SHAPES = ((2, 50, 64), (2, 50, 128), (2, 9, 64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mapped", [True, False])
def test_a_packed_dit_is_the_unpacked_one(dit: ModelHandle, monkeypatch, dtype: torch.dtype, mapped: bool):
    packed, plain = (loaded(load_model, dit, monkeypatch, kept, dtype, mapped) for kept in (True, False))
    layers = [part for part in packed.modules() if isinstance(part, PackedLinear)]
    assert layers and not any(isinstance(part, PackedLinear) for part in plain.modules())
    assert velocity(packed, dtype).equal(velocity(plain, dtype))
    codes = torch.arange(4)[None]
    assert packed.hints(codes).equal(plain.hints(codes))
    held = [sum(t.nbytes for t in (*m.parameters(), *m.buffers())) for m in (packed, plain)]
    assert held[0] < held[1]


def test_a_packed_dit_stays_mapped(gguf_root: Path, monkeypatch):
    needs_mapping()
    handle = ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    tensors = open_dit(handle.path).tensors
    monkeypatch.setattr(loading, "open_dit", lambda path, variant: replace(open_dit(path, variant), tensors=tensors))
    packed = loaded(load_model, handle, monkeypatch, True)
    name = "decoder.layers.0.self_attn.q_proj"
    assert packed.get_submodule(name).data.data_ptr() == tensors.packed(f"{name}.weight").data.data_ptr()


@pytest.mark.parametrize("name", ["Qwen3-Embedding-0.6B", "acestep-5Hz-lm-0.6B"])
def test_a_packed_qwen3_is_the_unpacked_one(gguf_root: Path, monkeypatch, name: str):
    handle = (LMHandle if "lm" in name else TextHandle)(gguf_root / f"{name}-Q8_0.gguf")
    packed, plain = (loaded(load_qwen, handle, monkeypatch, kept) for kept in (True, False))
    assert any(isinstance(part, PackedLinear) for part in packed.modules())
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert packed(ids).equal(plain(ids))
        assert packed.logits(packed(ids)).equal(plain.logits(plain(ids)))


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_act_on_packed_weights(dit: ModelHandle, monkeypatch, tmp_path: Path, dora: bool):
    packed, plain = (loaded(load_model, dit, monkeypatch, kept) for kept in (True, False))
    tensors = peft_tensors(plain.decoder, dora=dora)
    folder = save_peft(tmp_path / "a", tensors, use_dora=dora)
    before, found = velocity(plain), []
    for model in (packed, plain):
        with applied(model.decoder, [AdapterHandle(folder)]) as (report,):
            assert not report.unmatched
            found.append(velocity(model))
    assert found[0].equal(found[1]) and not found[0].equal(before)


# --- who decides, and who counts ------------------------------------------------------------------------------------


GIB = 1 << 30
CARD = torch.device("cuda:0")


@pytest.mark.parametrize(
    ("role", "device", "able", "memory", "stays"),
    [
        ("dit", CARD, {}, 80 * GIB, True),
        ("text", CARD, {}, 80 * GIB, True),
        ("lm", CARD, {}, 80 * GIB, False),
        ("lm", CARD, {}, 1 << 20, True),
        ("dit", CPU, {}, 80 * GIB, False),
        ("dit", CPU, {}, 1 << 20, True),
        ("dit", CARD, {"unpacks": False}, 1 << 20, False),
        ("dit", CARD, {"float8": False}, 80 * GIB, True),
    ],
)
def test_the_rule(gguf_root: Path, monkeypatch, role: str, device: torch.device, able: dict, memory: int, stays: bool):
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(**able))
    monkeypatch.setattr(devices, "total_memory", lambda device: memory)
    tensors = open_dit(gguf_root / "acestep-v15-turbo-Q8_0.gguf").tensors
    assert stays_packed(role, device, torch.bfloat16, tensors) is stays


def test_the_rule_for_fp8_and_for_what_is_not_packed(all_layouts: Path, tiny_root: Path, tmp_path: Path, monkeypatch):
    source = all_layouts / "comfyui" / "diffusion_models" / "acestep_v1.5_turbo.safetensors"
    tensors = open_dit(scaled(source, tmp_path / source.name, "comfy_quant")).tensors
    assert stays_packed("dit", CARD, torch.bfloat16, tensors)
    monkeypatch.setattr(devices, "limits", lambda device: devices.MPS)
    assert not stays_packed("dit", torch.device("mps:0"), torch.bfloat16, tensors)
    assert not stays_packed("dit", CARD, torch.bfloat16, open_dit(tiny_root / "acestep-v15-turbo").tensors)


def test_int8_of_an_fp8_file_where_floats_of_eight_bits_cannot_be_read(all_layouts: Path, tmp_path: Path, monkeypatch):
    """They become whole numbers when they are loaded; elsewhere they stay as they are, which is as small."""
    source = all_layouts / "comfyui" / "diffusion_models" / "acestep_v1.5_turbo.safetensors"
    handle = ModelHandle(scaled(source, tmp_path / source.name, "comfy_quant"), "int8")
    for able, kinds in ((devices.Limits(), {"F8_E4M3"}), (devices.MPS, {"Q8_0"})):
        monkeypatch.setattr(devices, "limits", lambda device, able=able: able)
        model = load_model(handle, How(torch.float32, CPU, True, handle.eight_bits))[0]
        assert {x.packed.dtype for x in model.modules() if isinstance(x, PackedLinear)} == kinds


def test_the_manager_counts_packed_bytes_and_what_unpacking_takes(gguf_root: Path, monkeypatch):
    handle = ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    sizes, asked = [], []
    for kept in (True, False):
        monkeypatch.setattr(loading, "stays_packed", lambda *_, kept=kept: kept)
        own = ModelManager()
        monkeypatch.setattr(own, "make_room", lambda device, needed, keep: asked.append(needed))
        with own.resident(handle, 1000) as model:
            sizes.append(own.used())
            assert asked[-1] == 1000 + passing_bytes(model)
    infos = open_dit(handle.path).tensors.infos.values()
    saved = sum(i.numel * 4 - i.nbytes for i in infos if i.packed and any(p in i.key for p in PROJECTIONS))
    assert sizes[1] - sizes[0] == saved > 0
    assert asked[0] > asked[1] == 1000


PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def test_who_trains_gets_weights_to_train_with(gguf_root: Path, monkeypatch):
    monkeypatch.setattr(loading, "stays_packed", lambda *_: True)
    with ModelManager().private(ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")) as model:
        assert not any(isinstance(part, PackedLinear) for part in model.modules())
        assert (
            linear.joined([getattr(model.decoder.layers[0].self_attn, n).weight for n in ("q_proj", "k_proj")])
            is not None
        )


def test_a_model_that_was_away_comes_back(gguf_root: Path, monkeypatch):
    """Home are the packed bytes; going there and back changes nothing."""
    monkeypatch.setattr(loading, "stays_packed", lambda *_: True)
    own, handle = ModelManager(), ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    with own.resident(handle) as model:
        before = velocity(model)
    (entry,) = own._entries.values()
    assert any(name.endswith("q_proj.data") for name in entry.home)
    for _, tensor in entry.tensors():
        tensor.data = tensor.data.clone()
    entry.go_home()
    assert all(tensor.data_ptr() == entry.home[name].data_ptr() for name, tensor in entry.tensors())
    with own.resident(handle) as model:
        assert velocity(model).equal(before)


# --- packed when they are loaded ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["model", "text", "lm"])
def test_int8_takes_half_and_is_nearly_the_same(tiny_models, part: str):
    handle = {"model": tiny_models.model, "text": tiny_models.model.text, "lm": tiny_models.lm}[part]
    own, found, held = ModelManager(), [], []
    for dtype in ("auto", "int8"):
        with own.resident(replace(handle, dtype=dtype)) as product, torch.inference_mode():
            model = getattr(product, "model", product)
            layers = [layer for layer in model.modules() if isinstance(layer, Layer)]
            assert all(isinstance(layer, PackedLinear) == (dtype == "int8") for layer in layers)
            held.append(sum(t.nbytes for layer in layers for t in (*layer.parameters(), *layer.buffers())))
            found.append(velocity(model) if part == "model" else model(torch.arange(20)[None]))
    assert held[1] == held[0] * 34 / (32 * 4)  # of fp32
    error = (found[0] - found[1]).norm() / found[0].norm()
    assert 0 < error < 0.02, error


def test_int8_leaves_alone_what_is_packed_already(gguf_root: Path):
    handle = ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    model = load_model(handle, How(torch.float32, CPU, True, eight_bits=True))[0]
    tensors, name = open_dit(handle.path).tensors, "decoder.layers.0.self_attn.q_proj"
    assert model.get_submodule(name).data.equal(tensors.packed(f"{name}.weight").data)


def test_int8_is_refused_where_a_device_cannot_unpack(tiny_models, monkeypatch):
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(unpacks=False))
    asked = replace(tiny_models.model, dtype="int8")
    with pytest.raises(InvalidInput, match="choose the number format auto"), ModelManager().resident(asked):
        pytest.fail("nothing runs")


def test_a_vae_has_nothing_to_round(tiny_models):
    with ModelManager().resident(replace(tiny_models.vae, dtype="int8")) as vae:
        assert not any(isinstance(part, PackedLinear) for part in vae.modules())


def in_bf16(source: Path, place: Path) -> Path:
    """The same checkpoint in sixteen bits."""
    folder = place / source.name
    shutil.copytree(source, folder)
    file = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file)
    return folder


def test_sixteen_bits_stay_so_where_32_would_fill_the_memory(tiny_root: Path, tmp_path: Path, monkeypatch):
    """A card without bf16, or a laptop: as stored, the model takes half, and the song is the same."""
    folder = in_bf16(tiny_root / "acestep-v15-turbo", tmp_path)
    found, held = [], []
    for memory in (1 << 20, 80 * GIB):
        monkeypatch.setattr(devices, "total_memory", lambda device, memory=memory: memory)
        model = load_model(ModelHandle(folder), How(torch.float32, CPU, True))[0]
        layers = [layer for layer in model.modules() if isinstance(layer, Layer)]
        assert all(isinstance(layer, PackedLinear) == (memory < GIB) for layer in layers)
        held.append(sum(t.nbytes for layer in layers for t in (*layer.parameters(), *layer.buffers())))
        found.append(velocity(model))
    assert found[0].equal(found[1]) and held[1] == 2 * held[0]
    monkeypatch.setattr(devices, "total_memory", lambda device: 1 << 20)
    assert not stays_narrow(CPU, torch.bfloat16, open_dit(folder).tensors)
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(unpacks=False))
    assert not stays_narrow(CPU, torch.float32, open_dit(folder).tensors)


def test_a_host_gets_no_packed_weights(tiny_root: Path, tmp_path: Path, monkeypatch):
    """What is advised then helps, also where sixteen bits stayed so."""
    own, folder = ModelManager(), in_bf16(tiny_root / "acestep-v15-turbo", tmp_path)
    monkeypatch.setattr(devices, "total_memory", lambda device: 1 << 20)
    for dtype in ("int8", "fp32"):
        with pytest.raises(CheckpointError, match="a bf16 file, and the number format bf16"):
            own.shared(ModelHandle(folder, dtype))
    assert own.shared(ModelHandle(folder, "bf16"))[1]
