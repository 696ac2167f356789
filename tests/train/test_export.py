"""What training writes for other programs acts as the network that was trained."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints.layouts import open_dit
from acestep_core.errors import AdapterError, InvalidInput, TrainingError
from acestep_core.models.adapters import applied, linear_layers
from acestep_core.models.handles import AdapterHandle, ModelHandle
from acestep_core.models.lokr import kronecker
from acestep_core.models.manager import manager
from acestep_core.pipeline.opening import open_models
from acestep_core.train import export as exporting
from acestep_core.train.checkpoints import RunFolder
from acestep_core.train.export import Trained, export
from acestep_core.train.network import LiveNetwork
from acestep_core.train.settings import KINDS, AdapterOptions

ABOUT = {"name": "waves", "tag": "wavy", "base": {"variant": "base"}}
# A strength that is not 1, and for LoKr one factor that is a product.
MADE = {kind: {"kind": kind, "rank": 4, "alpha": 6.0, "targets": "attention+mlp"} for kind in KINDS}
MADE["lokr"] = {**MADE["lokr"], "rank": 2, "alpha": 3.0, "decompose_both": True}
MADE["lora2"] = {**MADE["lora"], "alpha": 8.0}
USUAL = tuple(MADE)
MADE["lokr whole"] = {**MADE["lokr"], "rank": 64, "alpha": 96.0, "decompose_both": False}


@pytest.fixture(scope="module", params=USUAL)
def trained(request, tiny_base, tmp_path_factory):
    """An adapter on disk, inputs, and what the network that was trained says to them."""
    folder = tmp_path_factory.mktemp(request.param)
    random = torch.Generator().manual_seed(2)
    with manager.private(tiny_base.model) as model:
        network = LiveNetwork(model, AdapterOptions(**MADE[request.param]), seed=1)
        with torch.no_grad():
            for parameter in network.parameters.values():
                parameter += 0.05 * torch.randn(parameter.shape, generator=random)
        args = (
            torch.randn(1, 40, 64, generator=random),
            torch.tensor([0.4]),
            torch.randn(1, 40, 128, generator=random),
        )
        states = torch.randn(1, 9, model.config.encoder_dim, generator=random)
        with network.listening():
            live = network(*args, [states])
        adapter = RunFolder(folder / "run")
        adapter.folder.mkdir()
        return request.param, adapter.finish(network.config, network.state(), ABOUT), (*args, states), live


def velocity(models, inputs, *adapters):
    handles = [path if isinstance(path, AdapterHandle) else AdapterHandle(path) for path in adapters]
    with manager.resident(models.model) as model, torch.no_grad(), applied(model.decoder, handles) as reports:
        assert not any(report.unmatched or report.remarks for report in reports)
        return model.decoder(*inputs)


@pytest.mark.parametrize("format", ["peft", "single", "kohya"])
def test_every_format_gives_the_trained_velocity(format, trained, tiny_base, tmp_path):
    name, adapter, inputs, live = trained
    target = tmp_path / ("out" if format == "peft" else "out.safetensors")
    done = export(adapter, target, format, model=tiny_base.model)
    found = velocity(tiny_base, inputs, done.path)
    assert (live - velocity(tiny_base, inputs)).abs().max() > 0.05
    if name in ("lora", "lora2"):
        assert torch.equal(found, velocity(tiny_base, inputs, adapter)) and done.error == 0
    if name == "lora2":  # a strength of two rounds nothing
        assert torch.equal(found, live)
    torch.testing.assert_close(found, live, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("format", ["peft", "single", "kohya"])
def test_bf16_is_half_as_large_and_near(format, trained, tiny_base, tmp_path):
    _, adapter, inputs, live = trained
    target = tmp_path / ("out" if format == "peft" else "out.safetensors")
    done = export(adapter, target, format, "bf16", tiny_base.model)
    assert 0 < done.error < 1e-2
    effect = (live - velocity(tiny_base, inputs)).abs().max()
    assert (velocity(tiny_base, inputs, done.path) - live).abs().max() < 0.05 * effect


def test_merged_is_the_checkpoint_with_the_adapter_in_it(trained, tiny_base, tmp_path):
    _, adapter, inputs, live = trained
    done = export(adapter, tmp_path / "merged", "merged", model=tiny_base.model)
    assert {path.name for path in done.path.iterdir()} == {path.name for path in tiny_base.model.path.iterdir()}
    merged = ModelHandle(done.path, variant="base")
    with manager.resident(merged) as model, torch.no_grad():
        found = model.decoder(*inputs)
    effect = (live - velocity(tiny_base, inputs)).abs().max()
    assert (found - live).abs().max() < 0.1 * effect  # the checkpoint's own bf16


def test_nothing_is_merged_into_packed_weights(trained, gguf_root, tmp_path):
    packed = ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    with pytest.raises(AdapterError, match="are packed"):
        export(trained[1], tmp_path / "merged.safetensors", "merged", model=packed)
    assert not list(tmp_path.iterdir())


def test_peft_itself_reads_the_folder(trained, tiny_base, tmp_path):
    peft = pytest.importorskip("peft")
    _, adapter, inputs, live = trained
    done = export(adapter, tmp_path / "out", "peft")
    with manager.private(tiny_base.model) as model, torch.no_grad():
        found = peft.PeftModel.from_pretrained(model.decoder, str(done.path))(*inputs)
    torch.testing.assert_close(found, live, rtol=1e-4, atol=2e-5)


def test_a_file_says_what_it_is(trained, tiny_base, tmp_path):
    name, adapter, *_ = trained
    done = export(adapter, tmp_path / "out.safetensors", model=tiny_base.model)
    with safe_open(done.path, "pt") as file:
        told, names = file.metadata(), list(file.keys())
    assert json.loads(told["acestep_nodes"]) == ABOUT and told["modelspec.trigger_phrase"] == "wavy"
    assert len([n for n in names if n.endswith(".alpha")]) == len(Trained.open(adapter).layers)
    if name == "lokr":
        assert told["algo"] == "lokr" and all(n.startswith("lycoris_layers_") for n in names)
        assert {float(t) for n, t in load_file(done.path).items() if n.endswith(".alpha")} == {2.0}
    elif name == "rslora":
        assert float(load_file(done.path)[next(n for n in names if n.endswith(".alpha"))]) == 12.0
    else:
        assert told["ss_network_alpha"] == f"{MADE[name]['alpha']:g}"


@pytest.mark.parametrize("trained", ["dora"], indirect=True)
@pytest.mark.parametrize("strength", [1.0, 0.6, -0.5, 1.8])
def test_a_dora_for_comfyui_gives_the_trained_weights_there_and_here(trained, strength, tiny_base, tmp_path):
    """ComfyUI divides by the lengths of the plain weight; at other strengths both go there in a straight line."""
    _, adapter, inputs, _ = trained
    forms = {"single": tiny_base.model, "kohya": None, "peft": None}
    files = {
        form: export(adapter, tmp_path / (form if form == "peft" else f"{form}.safetensors"), form, model=model).path
        for form, model in forms.items()
    }
    heard = {form: velocity(tiny_base, inputs, AdapterHandle(path, strength)) for form, path in files.items()}
    assert torch.equal(heard["kohya"], heard["peft"])
    torch.testing.assert_close(heard["single"], heard["peft"], rtol=0, atol=5e-6)
    with manager.resident(tiny_base.model) as model:
        layers = {n: m.weight for n, m in linear_layers(model.decoder).items()}
    marked = load_file(files["single"])
    for layer, parts in Trained.open(adapter).layers.items():
        base, weight = f"base_model.model.{layer}", layers[layer].float()
        changed = weight + MADE["dora"]["alpha"] / 4 * parts["lora_B.weight"] @ parts["lora_A.weight"]
        true = changed * (parts["lora_magnitude_vector"] / changed.norm(dim=1))[:, None]
        theirs = changed * marked[f"{base}.dora_scale"] / weight.norm(dim=1, keepdim=True)
        torch.testing.assert_close(weight + strength * (theirs - weight), weight + strength * (true - weight))


@pytest.mark.parametrize("trained", ["dora"], indirect=True)
def test_a_dora_for_comfyui_needs_the_model_that_was_trained(trained, tiny_base, tiny_root, tmp_path):
    _, adapter, *_ = trained
    with pytest.raises(InvalidInput, match="needs the model that it was trained for"):
        export(adapter, tmp_path / "out.safetensors")
    with pytest.raises(AdapterError, match="name the model that was trained"):
        export(adapter, tmp_path / "out.safetensors", model=open_models(tiny_root, "xl-turbo").model)
    assert not list(tmp_path.iterdir())
    done = export(adapter, tmp_path / "out.safetensors", model=tiny_base.model)
    assert done.error == 0 and "ComfyUI expects" in str(done)
    assert not export(adapter, tmp_path / "k.safetensors", "kohya").remarks


def by_lycoris_rule(file, layers):
    """What LyCORIS makes of a LoKr's file by its published formula: `w + kron(w1, w2) * alpha / rank`.

    A factor may be a product, whose inner size is the rank; two whole factors have no rank and count as they are.
    """
    tensors, found = load_file(file), {}
    for name, weight in layers.items():
        base = f"lycoris_{name.replace('.', '_')}"
        parts = {n.removeprefix(f"{base}."): tensors.pop(n) for n in list(tensors) if n.startswith(f"{base}.")}
        alpha, factors, scale = float(parts.pop("alpha")), [], 1.0
        for factor in ("lokr_w1", "lokr_w2"):
            if factor not in parts:
                scale = alpha / parts[f"{factor}_b"].shape[0]
                parts[factor] = parts.pop(f"{factor}_a") @ parts.pop(f"{factor}_b")
            factors.append(parts.pop(factor))
        assert not parts
        found[name] = weight.float() + scale * torch.kron(*factors)
    assert not tensors
    return found


def by_lycoris(file, layers):
    """What LyCORIS itself makes of it, in a model whose layers are called as upstream calls them."""
    lycoris, root = pytest.importorskip("lycoris"), torch.nn.Module()
    for name, weight in layers.items():
        *folders, last = name.split(".")
        place = root
        for folder in folders:
            if not hasattr(place, folder):
                place.add_module(folder, torch.nn.Module())
            place = getattr(place, folder)
        place.add_module(last, torch.nn.Linear(*reversed(weight.shape), bias=False))
        getattr(place, last).weight.data = weight.float().clone()
    network, _ = lycoris.create_lycoris_from_weights(1.0, str(file), root)
    network.merge_to(1.0)
    return {name: root.get_submodule(name).weight.data for name in layers}


@pytest.mark.parametrize("trained", ["lokr", "lokr whole"], indirect=True)
@pytest.mark.parametrize("reader", [by_lycoris_rule, by_lycoris])
def test_a_lokr_is_what_was_trained_where_lycoris_reads_it(trained, reader, tiny_base, tmp_path):
    _, adapter, *_ = trained
    peft = Trained.open(adapter)
    with manager.resident(tiny_base.model) as model:
        layers = {n: m.weight.detach().clone() for n, m in linear_layers(model.decoder).items() if n in peft.layers}
    file = export(adapter, tmp_path / "out.safetensors").path
    for name, found in reader(file, layers).items():
        change = peft.alpha / peft.rank * kronecker(peft.layers[name], 1.0).weight()
        assert change.abs().max() > 1e-3
        torch.testing.assert_close(found, layers[name].float() + change, rtol=0, atol=3e-6)


@pytest.mark.parametrize("trained", ["lora"], indirect=True)
@pytest.mark.parametrize("flavour", ["turbo-shift1", "turbo-continuous"])
def test_a_merged_turbo_keeps_its_flavour_under_any_name(trained, flavour, tiny_models, tmp_path):
    """Upstream tells them apart by the names of their folders alone, and they sample in different ways."""
    source = tmp_path / f"acestep-v15-{flavour}"
    shutil.copytree(tiny_models.model.path, source)
    merged = export(trained[1], tmp_path / "my_style", "merged", model=ModelHandle(source, variant=flavour)).path
    assert open_dit(merged).variant.name == open_dit(source).variant.name == flavour


@pytest.mark.parametrize("format", ["peft", "single", "kohya", "merged"])
def test_an_export_made_twice_is_the_same_file(format, trained, tiny_base, tmp_path):
    _, adapter, *_ = trained
    whole = format in ("peft", "merged")
    made = [tmp_path / (str(number) if whole else f"{number}.safetensors") for number in range(4)]
    for target in made:
        export(adapter, target, format, model=tiny_base.model)
    files = [{p.name: p.read_bytes() for p in target.iterdir()} if whole else target.read_bytes() for target in made]
    assert all(file == files[0] for file in files)


def test_refusals(trained, tiny_base, tmp_path, monkeypatch):
    _, adapter, *_ = trained
    with pytest.raises(InvalidInput, match="needs the model"):
        export(adapter, tmp_path / "merged", "merged")
    with pytest.raises(InvalidInput, match="format must be"):
        export(adapter, tmp_path / "x.safetensors", "pickle")
    with pytest.raises(InvalidInput, match=r"end in \.safetensors"):
        export(adapter, tmp_path / "x.pt")
    (tmp_path / "taken.safetensors").touch()
    with pytest.raises(InvalidInput, match="exists already"):
        export(adapter, tmp_path / "taken.safetensors")
    with pytest.raises(AdapterError, match="no trained adapter"):
        export(tmp_path, tmp_path / "x.safetensors")
    monkeypatch.setattr(exporting, "_as", lambda tensors, dtype: {n: t * 1.5 for n, t in tensors.items()})
    with pytest.raises(TrainingError, match="read back"):
        export(adapter, tmp_path / "y.safetensors", model=tiny_base.model)


def test_an_adapter_that_changes_nothing_is_no_success(trained, tmp_path):
    name, adapter, *_ = trained
    folder = tmp_path / "nothing"
    folder.mkdir()
    (folder / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    zero = ("lora_B.weight", "lokr_w1", "lokr_w1_a")
    tensors = {n: torch.zeros_like(t) if n.endswith(zero) else t for n, t in tensors.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    if name == "dora":
        pytest.skip("a DoRA also has lengths")
    with pytest.raises(AdapterError, match="changes nothing"):
        export(folder, tmp_path / "x.safetensors")
