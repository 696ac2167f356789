from __future__ import annotations

import json
import threading

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from acestep_core.errors import AdapterError
from acestep_core.models import adapters
from acestep_core.models.adapters import applied, fit, linear_shapes, read_adapter
from acestep_core.models.handles import AdapterHandle

DIM = 16


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(DIM, 24, bias=False)
        self.o_proj = nn.Linear(24, DIM, bias=True)

    def forward(self, x):
        return self.o_proj(self.q_proj(x))


class Decoder(nn.Module):
    """The names of a decoder, small."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList([nn.ModuleDict({"self_attn": Attention()}) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = x + layer["self_attn"](x)
        return x


@pytest.fixture
def decoder():
    return Decoder().eval().requires_grad_(False)


X = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(9))


def peft_tensors(model, rank=4, seed=1, dora=False):
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (out, into) in linear_shapes(model).items():
        key = f"base_model.model.{name}"
        tensors[f"{key}.lora_A.weight"] = torch.randn(rank, into, generator=g) * 0.2
        tensors[f"{key}.lora_B.weight"] = torch.randn(out, rank, generator=g) * 0.2
        if dora:
            tensors[f"{key}.lora_magnitude_vector"] = torch.rand(out, generator=g) + 0.5
    return tensors


def save_peft(folder, tensors, **config):
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "o_proj"], **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def merged(model, tensors, scale):
    """The decoder with the change written into its weights: what an adapter must equal."""
    other = Decoder().eval()
    other.load_state_dict(model.state_dict())
    for name, module in other.named_modules():
        down = tensors.get(f"base_model.model.{name}.lora_A.weight")
        if down is not None:
            module.weight.data += scale * tensors[f"base_model.model.{name}.lora_B.weight"] @ down
    return other


def run(model, *handles, x=X):
    with applied(model, handles), torch.no_grad():
        return model(x)


def test_equals_merged_weights_and_leaves_nothing_behind(decoder, tmp_path):
    tensors = peft_tensors(decoder)
    folder = save_peft(tmp_path / "a", tensors)
    before, state = decoder(X), {k: v.clone() for k, v in decoder.state_dict().items()}
    torch.testing.assert_close(run(decoder, AdapterHandle(folder)), merged(decoder, tensors, 2.0)(X))
    torch.testing.assert_close(run(decoder, AdapterHandle(folder, -0.5)), merged(decoder, tensors, -1.0)(X))
    assert torch.equal(run(decoder, AdapterHandle(folder, 0.0)), before)
    assert torch.equal(decoder(X), before)
    assert all(torch.equal(value, state[name]) for name, value in decoder.state_dict().items())


@pytest.mark.parametrize(
    "config", [{}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}}, {"use_dora": True}], ids=str
)
def test_equals_peft(decoder, tmp_path, config):
    peft = pytest.importorskip("peft")
    dora = bool(config.get("use_dora"))
    tensors = peft_tensors(decoder, dora=dora)
    folder = save_peft(tmp_path / "a", tensors, **config)
    reference = Decoder().eval()
    reference.load_state_dict(decoder.state_dict())
    wanted = peft.PeftModel.from_pretrained(reference, str(folder))
    with torch.no_grad():
        torch.testing.assert_close(run(decoder, AdapterHandle(folder)), wanted(X), rtol=1e-4, atol=1e-5)


def test_equals_peft_s_lokr(decoder, tmp_path):
    peft = pytest.importorskip("peft")
    for rank in (2, 64):  # 64 is beyond the factors' sizes: they are stored whole
        reference = Decoder().eval()
        reference.load_state_dict(decoder.state_dict())
        settings = peft.LoKrConfig(r=rank, alpha=6, target_modules=["q_proj", "o_proj"], init_weights=False)
        wanted = peft.get_peft_model(reference, settings).eval()
        wanted.save_pretrained(str(tmp_path / f"lokr{rank}"))
        with torch.no_grad():
            got = run(decoder, AdapterHandle(tmp_path / f"lokr{rank}"))
            torch.testing.assert_close(got, wanted(X), rtol=1e-4, atol=1e-4)


def test_several_at_once_add_up_in_any_order(decoder, tmp_path):
    one, two = peft_tensors(decoder), peft_tensors(decoder, rank=3, seed=5)
    a, b = save_peft(tmp_path / "a", one), save_peft(tmp_path / "b", two, r=3, lora_alpha=3)
    both = merged(merged(decoder, one, 2.0 * 0.7), two, -0.3)
    got = run(decoder, AdapterHandle(a, 0.7), AdapterHandle(b, -0.3))
    torch.testing.assert_close(got, both(X))
    torch.testing.assert_close(run(decoder, AdapterHandle(b, -0.3), AdapterHandle(a, 0.7)), got)


def restyle(tensors, style):
    """The same adapter in another program's names, with its alpha where that program puts it."""
    result = {}
    for key, value in tensors.items():
        layer, part = key.removeprefix("base_model.model.").rsplit(".lora_", 1)
        side = {"A.weight": "down", "B.weight": "up"}[part]
        if style == "diffusers":
            layer = layer.replace("q_proj", "to_q").replace("o_proj", "to_out.0")
            result[f"transformer.{layer}.lora_{part}"] = value
            continue
        prefix = (
            f"lora_unet_decoder_{layer.replace('.', '_')}" if style == "kohya" else f"diffusion_model.decoder.{layer}"
        )
        result[f"{prefix}.lora_{side}.weight"] = value
        result[f"{prefix}.alpha"] = torch.tensor(8.0)
    return result


@pytest.mark.parametrize("style", ["kohya", "comfyui", "diffusers"])
def test_other_programs_names(decoder, tmp_path, style):
    tensors = peft_tensors(decoder)
    metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 8, "transformer.r": 4})}
    save_file(restyle(tensors, style), tmp_path / "a.safetensors", metadata if style == "diffusers" else None)
    got = run(decoder, AdapterHandle(tmp_path / "a.safetensors"))
    torch.testing.assert_close(got, merged(decoder, tensors, 2.0)(X))


def test_lycoris_lokr_scales_only_products(decoder, tmp_path):
    name, (out, into) = next(iter(linear_shapes(decoder).items()))
    w1, a, b = torch.randn(4, 4), torch.randn(out // 4, 2), torch.randn(2, into // 4)
    flat = f"lycoris_{name.replace('.', '_')}"
    whole = {f"{flat}.lokr_w1": w1, f"{flat}.lokr_w2": a @ b, f"{flat}.alpha": torch.tensor(6.0)}
    product = {
        f"{flat}.lokr_w1": w1,
        f"{flat}.lokr_w2_a": a,
        f"{flat}.lokr_w2_b": b,
        f"{flat}.alpha": torch.tensor(6.0),
    }
    for tensors, scale in ((whole, 1.0), (product, 3.0)):
        save_file(tensors, tmp_path / "k.safetensors", {"lokr_config": json.dumps({"linear_alpha": 6})})
        other = Decoder().eval()
        dict(other.named_modules())[name].weight.data += scale * torch.kron(w1, a @ b)
        got = run(decoder, AdapterHandle(tmp_path / "k.safetensors"))
        torch.testing.assert_close(got, other(X), rtol=1e-4, atol=1e-4)


def test_dora_strength_goes_from_the_base_to_the_trained_weight(decoder, tmp_path):
    folder = save_peft(tmp_path / "a", peft_tensors(decoder, dora=True), use_dora=True)
    linear = "layers.0.self_attn.o_proj"
    fitted = fit(read_adapter(folder), linear_shapes(decoder)).changes[linear]
    module = dict(decoder.named_modules())[linear]
    trained = module.weight + fitted.delta.weight()
    trained = fitted.magnitude[:, None] * trained / trained.norm(dim=1, keepdim=True)
    half = module.weight + 0.5 * (trained - module.weight)
    x = torch.randn(3, 24)
    with applied(decoder, [AdapterHandle(folder, 0.5)]):
        torch.testing.assert_close(module(x), x @ half.T + module.bias, rtol=1e-4, atol=1e-5)


class Quantised(nn.Module):
    """A linear layer that keeps int8 rows and a scale, as quantisers do."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("scale", linear.weight.abs().amax(1, keepdim=True) / 127)
        self.register_buffer("rows", (linear.weight / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, x):
        return nn.functional.linear(x, self.rows * self.scale, self.bias)


@pytest.mark.parametrize("dora", [False, True])
def test_works_on_quantised_layers(decoder, tmp_path, dora):
    folder = save_peft(tmp_path / "a", peft_tensors(decoder, dora=dora), use_dora=dora)
    plain = run(decoder, AdapterHandle(folder))
    for layer in decoder.layers:
        attention = layer["self_attn"]
        attention.q_proj, attention.o_proj = Quantised(attention.q_proj), Quantised(attention.o_proj)
    got = run(decoder, AdapterHandle(folder))
    torch.testing.assert_close(got, plain, rtol=0.05, atol=0.05)
    assert (got - decoder(X)).abs().max() > 0.1


def test_half_precision_decoders_stay_half(decoder, tmp_path):
    folder = save_peft(tmp_path / "a", peft_tensors(decoder, dora=True), use_dora=True)
    assert run(decoder.bfloat16(), AdapterHandle(folder), x=X.bfloat16()).dtype == torch.bfloat16


def test_another_thread_hears_the_base_model(decoder, tmp_path):
    folder, heard = save_peft(tmp_path / "a", peft_tensors(decoder)), []
    before = decoder(X)
    with applied(decoder, [AdapterHandle(folder)]):
        thread = threading.Thread(target=lambda: heard.append(decoder(X)))
        thread.start()
        thread.join()
        adapted = decoder(X)
    # not bit by bit: a new thread may split its sums over another number of cores
    torch.testing.assert_close(heard[0], before)
    assert (adapted - before).abs().max() > 100 * (heard[0] - before).abs().max()


def test_an_error_inside_removes_the_adapter(decoder, tmp_path):
    folder, before = save_peft(tmp_path / "a", peft_tensors(decoder)), decoder(X)
    with pytest.raises(RuntimeError, match="cancelled"), applied(decoder, [AdapterHandle(folder)]):
        raise RuntimeError("cancelled")
    assert torch.equal(decoder(X), before)


def test_report_names_what_did_not_match(decoder, tmp_path, caplog):
    tensors = peft_tensors(decoder)
    tensors["base_model.model.layers.7.self_attn.q_proj.lora_A.weight"] = torch.zeros(4, DIM)
    tensors["base_model.model.layers.0.norm.weight"] = torch.zeros(4)
    folder = save_peft(tmp_path / "a", tensors)
    with applied(decoder, [AdapterHandle(folder)]) as (report,):
        assert report.matched == tuple(sorted(linear_shapes(decoder)))
        assert len(report.unmatched) == 2 and not report.remarks
    assert "layers.7" in str(report) and "layers.7" in caplog.text


def test_a_file_without_alpha_says_so(decoder, tmp_path):
    save_file(peft_tensors(decoder), tmp_path / "alone.safetensors")
    report = fit(read_adapter(tmp_path / "alone.safetensors"), linear_shapes(decoder)).report
    assert report.remarks == (adapters.NO_ALPHA,)


def test_refusals(decoder, tmp_path):
    shapes = linear_shapes(decoder)
    with pytest.raises(AdapterError, match="no adapter"):
        read_adapter(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AdapterError, match="no safetensors"):
        read_adapter(tmp_path / "empty")
    (tmp_path / "x.pt").write_bytes(b"1")
    with pytest.raises(AdapterError, match="safetensors"):
        read_adapter(tmp_path / "x.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(AdapterError, match="not a safetensors file"):
        read_adapter(tmp_path / "broken.safetensors")
    save_file({"blocks.0.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(AdapterError, match="matches no layer"):
        fit(read_adapter(tmp_path / "other.safetensors"), shapes)
    with pytest.raises(AdapterError, match="kind VERA"):
        read_adapter(save_peft(tmp_path / "vera", peft_tensors(decoder), peft_type="VERA"))
    wide = {f"base_model.model.{name}.lora_A.weight": torch.zeros(4, into + 1) for name, (_, into) in shapes.items()}
    wide |= {f"base_model.model.{name}.lora_B.weight": torch.zeros(out, 4) for name, (out, _) in shapes.items()}
    with pytest.raises(AdapterError, match="does not fit"):
        fit(read_adapter(save_peft(tmp_path / "wide", wide)), shapes)
    folder = save_peft(tmp_path / "fine", peft_tensors(decoder))
    with pytest.raises(AdapterError, match="finite"), applied(decoder, [AdapterHandle(folder, float("nan"))]):
        pass
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="JSON"):
        read_adapter(folder)


@pytest.mark.parametrize(("file_width", "model_width", "needs"), [(2048, 2560, "2B"), (2560, 2048, "XL")])
def test_2b_and_xl_are_told_apart(tmp_path, file_width, model_width, needs):
    key = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {f"{key}.lora_A.weight": torch.zeros(2, file_width), f"{key}.lora_B.weight": torch.zeros(64, 2)}
    folder = save_peft(tmp_path / "a", tensors)
    with pytest.raises(AdapterError, match=f"trained for the {needs} models"):
        fit(read_adapter(folder), {"layers.0.self_attn.q_proj": (64, model_width)})


def test_in_a_run_it_acts_on_its_own_branch_only(tiny_models, tmp_path):
    from dataclasses import replace

    from acestep_core import generate
    from acestep_core.models.manager import manager
    from acestep_core.options import RenderSettings

    with manager.resident(tiny_models.model) as model:
        shapes = linear_shapes(model.decoder)
    g = torch.Generator().manual_seed(3)
    tensors = {}
    for name, (out, into) in shapes.items():
        if "_attn." in name:
            tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(4, into, generator=g) * 0.3
            tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(out, 4, generator=g) * 0.3
    folder = save_peft(tmp_path / "a", tensors)
    report = adapters.inspect_adapter(folder, tiny_models.model)
    assert len(report.matched) == len(tensors) // 2 and not report.unmatched

    def latents(handle):
        models = replace(tiny_models, model=handle)
        return generate("a", duration=10, seed=1, models=models, settings=RenderSettings.of(steps=2)).latents

    plain = latents(tiny_models.model)
    loaded = manager.loaded()
    adapted = latents(tiny_models.model.with_adapter(folder, 1.0))
    assert (adapted - plain).abs().max() > 0.01
    assert torch.equal(latents(tiny_models.model), plain), "the base is untouched"
    assert torch.equal(latents(tiny_models.model.with_adapter(folder, 0.0)), plain)
    assert sorted(manager.loaded()) == sorted(loaded), "and was not read again"


# --- what files say ---------------------------------------------------------------------------------------------------

LAYER = "layers.0.self_attn.q_proj"
FLAT = "lycoris_layers_0_self_attn_q_proj"


def scale_of(decoder, path, whole):
    """How many times `whole` the adapter at `path` adds to `LAYER`."""
    delta = fit(read_adapter(path), linear_shapes(decoder)).changes[LAYER].delta.weight()
    factor = float((delta * whole).sum() / (whole**2).sum())
    torch.testing.assert_close(delta, factor * whole, rtol=1e-3, atol=1e-4)
    return factor


def saved(tmp_path, tensors, metadata=None):
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / "x.safetensors", metadata)
    return tmp_path / "x.safetensors"


PATTERNS = [
    ({"decoder.layers.0.self_attn.q_proj": 16}, 4.0),
    ({"layers.0.self_attn.q_proj": 16}, 4.0),
    ({"^decoder\\.layers\\.[0-9]+\\.self_attn.*": 2}, 0.5),
    ({"layers.1.self_attn.q_proj": 16, "q_proj": 8}, 2.0),
    ({"k_proj": 16}, 1.0),
]


@pytest.mark.parametrize(("patterns", "scale"), PATTERNS, ids=str)
def test_patterns_hold_the_file_s_own_names(decoder, tmp_path, patterns, scale):
    g = torch.Generator().manual_seed(4)
    a, b = torch.randn(4, DIM, generator=g), torch.randn(24, 4, generator=g)
    tensors = {f"base_model.model.decoder.{LAYER}.lora_{s}.weight": t for s, t in (("A", a), ("B", b))}
    folder = save_peft(tmp_path / "p", tensors, lora_alpha=4, alpha_pattern=patterns, rank_pattern={"q_proj": 4})
    assert scale_of(decoder, folder, b @ a) == pytest.approx(scale)


@pytest.mark.parametrize(
    ("alpha", "metadata", "scale"),
    [
        (1.0, {"ss_network_dim": "32", "ss_network_alpha": "1"}, 1 / 32),
        (32.0, {"ss_network_dim": "32", "ss_network_alpha": "1"}, 1.0),  # LyCORIS writes the rank for whole factors
        (64.0, {"lokr_config": json.dumps({"linear_dim": 64, "linear_alpha": 128})}, 1.0),
        (1.0, {"ss_network_dim": "Dynamic", "ss_network_alpha": "Dynamic"}, 1.0),
        (1.0, None, 1.0),
    ],
)
def test_whole_factors_are_scaled_by_alpha_over_the_stated_rank(decoder, tmp_path, alpha, metadata, scale):
    w1, w2 = torch.randn(8, 4), torch.randn(3, 4)
    tensors = {f"{FLAT}.lokr_w1": w1, f"{FLAT}.lokr_w2": w2, f"{FLAT}.alpha": torch.tensor(alpha)}
    assert scale_of(decoder, saved(tmp_path, tensors, metadata), torch.kron(w1, w2)) == pytest.approx(scale)


def test_a_trained_scalar_counts(decoder, tmp_path):
    w1, w2 = torch.randn(8, 4), torch.randn(3, 4)
    tensors = {f"{FLAT}.lokr_w1": w1, f"{FLAT}.lokr_w2": w2, f"{FLAT}.scalar": torch.tensor(3.0)}
    assert scale_of(decoder, saved(tmp_path, tensors), torch.kron(w1, w2)) == pytest.approx(3.0)


def test_an_alpha_tensor_is_over_the_rank_in_an_rslora_too(decoder, tmp_path):
    a, b = torch.randn(4, DIM), torch.randn(24, 4)
    key = f"base_model.model.{LAYER}"
    tensors = {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
    folder = save_peft(tmp_path / "p", tensors, use_rslora=True)
    assert scale_of(decoder, folder, b @ a) == pytest.approx(4.0)  # 8 / sqrt(4)
    folder = save_peft(tmp_path / "p", {**tensors, f"{key}.alpha": torch.tensor(16.0)}, use_rslora=True)
    assert scale_of(decoder, folder, b @ a) == pytest.approx(4.0)  # 16 / 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("lora_alpha", value) for value in ("auto", [8], {"a": 8}, True, float("nan"), float("inf"), "1e999")),
        *(("r", value) for value in (0, -4, "many")),
        ("alpha_pattern", [4]),
        ("alpha_pattern", {"q_proj": "much"}),
        ("alpha_pattern", {"(q_proj": 4}),
        ("rank_pattern", {"q_proj": 0}),
        ("use_rslora", "false"),
    ],
)
def test_settings_of_another_type_are_refused_by_name(decoder, tmp_path, key, value):
    folder = save_peft(tmp_path / "odd", peft_tensors(decoder), **{key: value})
    with pytest.raises(AdapterError, match=rf"^The .*{key}.*\.$"):
        read_adapter(folder)


def test_a_number_written_as_text_is_that_number(decoder, tmp_path):
    folder = save_peft(tmp_path / "a", peft_tensors(decoder), lora_alpha="8")
    assert read_adapter(folder).scaling == read_adapter(save_peft(tmp_path / "b", peft_tensors(decoder))).scaling


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["oft_blocks", "alpha"], "OFT"),
        (["boft_R"], "OFT"),
        (["ia3_l"], "IA3"),
        (["a1.weight", "a2.weight", "b1.weight", "b2.weight", "alpha"], "GLoRA"),
        (["vera_lambda_b", "vera_lambda_d"], "VeRA"),
    ],
)
def test_kinds_that_cannot_be_used_are_named(tmp_path, names, kind):
    with pytest.raises(AdapterError, match=f"of kind {kind}; only LoRA, DoRA, LoKr and LoHa"):
        read_adapter(saved(tmp_path, {f"{FLAT}.{name}": torch.ones(2, 2) for name in names}))


@pytest.mark.parametrize(("kind", "config"), [("LoHa", "LOHA"), ("LoKr", "LOKR")])
def test_settings_of_another_kind_than_the_tensors_are_refused(decoder, tmp_path, kind, config):
    folder = save_peft(tmp_path / "p", peft_tensors(decoder), peft_type=config, r=4, alpha=8)
    with pytest.raises(AdapterError, match=f"called a {kind} in its settings and holds the tensors of a LoRA"):
        read_adapter(folder)


def test_a_loha_that_is_called_a_lora_is_refused(tmp_path):
    hada = {f"base_model.model.{LAYER}.hada_w{n}_{s}": torch.ones(2, 2) for n in (1, 2) for s in "ab"}
    with pytest.raises(AdapterError, match="called a LoRA in its settings and holds the tensors of a LoHa"):
        read_adapter(save_peft(tmp_path / "p", hada, peft_type="LORA", r=2, lora_alpha=2))


@pytest.mark.parametrize(
    ("layer", "model"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj", " but one for Flux"),
        ("transformer.single_transformer_blocks.3.attn.to_q", " but one for Flux"),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", " but one for Stable Diffusion"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", " but one for Stable Diffusion"),
        ("transformer.transformer_blocks.0.cross_attn.to_q", " but one for ACE-Step 1.0"),
        ("blocks.0.attn", ""),
    ],
)
def test_adapters_of_other_models_are_named(decoder, tmp_path, layer, model):
    part = ("lora_down", "lora_up") if layer.startswith("lora_") else ("lora_A", "lora_B")
    path = saved(tmp_path, {f"{layer}.{name}.weight": torch.ones(2, 2) for name in part})
    with pytest.raises(AdapterError, match=f"not an ACE-Step 1.5 LoRA{model}: it matches no layer"):
        fit(read_adapter(path), linear_shapes(decoder))


def test_a_model_is_no_adapter(tmp_path):
    with pytest.raises(AdapterError, match="is no adapter"):
        read_adapter(saved(tmp_path, {f"decoder.{LAYER}.weight": torch.ones(2, 2)}))


def test_the_kind_is_named_first(decoder, tmp_path):
    hada = {
        f"{FLAT}.hada_w{n}_{s}": torch.ones(*shape) for n in (1, 2) for s, shape in (("a", (24, 2)), ("b", (2, DIM)))
    }
    lokr = {f"{FLAT}.lokr_w1": torch.ones(8, 4), f"{FLAT}.lokr_w2": torch.ones(3, 4)}
    diff = {f"{FLAT}.diff": torch.ones(24, DIM)}
    kinds = {
        "LoRA": peft_tensors(decoder),
        "DoRA": peft_tensors(decoder, dora=True),
        "LoHa": hada,
        "LoKr": lokr,
        "full difference": diff,
    }
    for kind, tensors in kinds.items():
        report = fit(read_adapter(saved(tmp_path, tensors)), linear_shapes(decoder)).report
        assert str(report).startswith(f"{kind} x.safetensors: ")


@pytest.mark.parametrize("style", ["kohya", "peft"])
def test_loha_equals_its_definition(decoder, tmp_path, style):
    g = torch.Generator().manual_seed(6)
    a1, b1, a2, b2 = (torch.randn(s, generator=g) for s in ((24, 3), (3, DIM), (24, 3), (3, DIM)))
    key = f"lora_unet_decoder_{LAYER.replace('.', '_')}" if style == "kohya" else f"base_model.model.{LAYER}"
    tensors = {f"{key}.hada_w1_a": a1, f"{key}.hada_w1_b": b1, f"{key}.hada_w2_a": a2, f"{key}.hada_w2_b": b2}
    if style == "kohya":
        path = saved(tmp_path, {**tensors, f"{key}.alpha": torch.tensor(6.0)})
    else:
        path = save_peft(tmp_path / "p", tensors, peft_type="LOHA", r=3, alpha=6)
    assert scale_of(decoder, path, (a1 @ b1) * (a2 @ b2)) == pytest.approx(2.0)


def test_equals_peft_s_loha(decoder, tmp_path):
    peft = pytest.importorskip("peft")
    reference = Decoder().eval()
    reference.load_state_dict(decoder.state_dict())
    settings = peft.LoHaConfig(r=3, alpha=6, target_modules=["q_proj", "o_proj"], init_weights=False)
    wanted = peft.get_peft_model(reference, settings).eval()
    wanted.save_pretrained(str(tmp_path / "loha"))
    with torch.no_grad():
        got = run(decoder, AdapterHandle(tmp_path / "loha"))
        torch.testing.assert_close(got, wanted(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_named_with_their_tensor(decoder, tmp_path, value):
    tensors = peft_tensors(decoder)
    broken = f"base_model.model.{LAYER}.lora_B.weight"
    tensors[broken][3, 1] = value
    with pytest.raises(AdapterError, match=rf"nanlora is damaged: its tensor {broken} .*not finite"):
        read_adapter(save_peft(tmp_path / "nanlora", tensors))


def test_two_adapters_in_one_file_are_refused(decoder, tmp_path):
    tensors = peft_tensors(decoder)
    twice = {name.replace(".weight", ".other.weight"): tensor.clone() for name, tensor in tensors.items()}
    with pytest.raises(AdapterError, match="two adapters"):
        read_adapter(save_peft(tmp_path / "a", tensors | twice))
    kohya = restyle(tensors, "kohya")
    with pytest.raises(AdapterError, match="two adapters"):
        fit(read_adapter(saved(tmp_path, tensors | kohya)), linear_shapes(decoder))


def test_shapes_that_are_none_are_refused_with_file_and_layer(decoder, tmp_path):
    for tensors in (
        {f"{FLAT}.lora_down.weight": torch.ones(2, DIM)},
        {f"{FLAT}.lora_down.weight": torch.ones(()), f"{FLAT}.lora_up.weight": torch.ones(())},
        {f"{FLAT}.lora_down.weight": torch.ones(0, DIM), f"{FLAT}.lora_up.weight": torch.ones(24, 0)},
        {f"{FLAT}.lokr_w1": torch.ones(3)},
        {f"{FLAT}.hada_w1_a": torch.ones(3, 2)},
        {f"{FLAT}.diff": torch.ones(3)},
        {
            f"{FLAT}.lora_down.weight": torch.ones(2, DIM),
            f"{FLAT}.lora_up.weight": torch.ones(24, 2),
            f"{FLAT}.alpha": torch.ones(2),
        },
    ):
        with pytest.raises(AdapterError, match=rf"x\.safetensors, {FLAT}: "):
            fit(read_adapter(saved(tmp_path, tensors)), linear_shapes(decoder))


class Patches(nn.Module):
    """A decoder's way in: a convolution over patches that do not overlap."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.proj_in = nn.Sequential(nn.Identity(), nn.Conv1d(6, 8, 2, stride=2))

    def forward(self, x):
        return self.proj_in(x)


G = torch.Generator().manual_seed(11)
DOWN, UP, MID = torch.randn(3, 6, 2, generator=G), torch.randn(8, 3, 1, generator=G), torch.randn(3, 3, 2, generator=G)
DOWN_1, W1, W2 = torch.randn(3, 6, 1, generator=G), torch.randn(2, 3, generator=G), torch.randn(4, 2, 2, generator=G)
A, B = torch.randn(8, 3, generator=G), torch.randn(3, 12, generator=G)
CONVOLUTIONS = {
    "LoCon": (
        {"lora_down.weight": DOWN, "lora_up.weight": UP},
        torch.einsum("or,rik->oik", UP[..., 0], DOWN),
    ),
    "Tucker": (
        {"lora_down.weight": DOWN_1, "lora_mid.weight": MID, "lora_up.weight": UP},
        torch.einsum("or,rqk,qi->oik", UP[..., 0], MID, DOWN_1[..., 0]),
    ),
    "LoKr": ({"lokr_w1": W1, "lokr_w2": W2}, torch.einsum("ab,cdk->acbdk", W1, W2).reshape(8, 6, 2)),
    "LoHa": (
        {"hada_w1_a": A, "hada_w1_b": B, "hada_w2_a": A, "hada_w2_b": B},
        ((A @ B) ** 2).reshape(8, 6, 2),
    ),
    "diff": ({"diff": 0.1 * torch.ones(8, 6, 2)}, 0.1 * torch.ones(8, 6, 2)),
}


@pytest.mark.parametrize("name", ["lycoris_decoder_proj_in_1", "diffusion_model.decoder.proj_in.1"])
@pytest.mark.parametrize("form", CONVOLUTIONS)
def test_convolutions_over_patches(tmp_path, form, name):
    parts, change = CONVOLUTIONS[form]
    model, x = Patches().eval(), torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(12))
    path = saved(tmp_path, {f"{name}.{part}": tensor for part, tensor in parts.items()})
    with applied(model, [AdapterHandle(path, 0.5)]) as (report,), torch.no_grad():
        got = model(x)
    assert report.matched == ("proj_in.1",) and not report.unmatched
    conv = model.proj_in[1]
    wanted = nn.functional.conv1d(x, conv.weight + 0.5 * change, conv.bias, stride=2)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_linear_layers_stored_as_convolutions_of_one(decoder, tmp_path):
    a, b = torch.randn(4, DIM), torch.randn(24, 4)
    tensors = {
        f"{FLAT}.lora_down.weight": a[..., None, None],
        f"{FLAT}.lora_up.weight": b[..., None, None],
        f"{FLAT}.alpha": torch.tensor(4.0),
    }
    assert scale_of(decoder, saved(tmp_path, tensors), b @ a) == pytest.approx(1.0)
