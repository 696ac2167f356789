"""GGUF files as people have them: those of acestep.cpp, and those made for ComfyUI or by llama.cpp's tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from acestep_core.checkpoints import catalog, packing
from acestep_core.checkpoints.choose import choose
from acestep_core.checkpoints.find import find_checkpoint, find_models, find_tokenizer, list_models
from acestep_core.checkpoints.layouts import layout_of, open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.verify import check
from acestep_core.errors import CheckpointError
from tests.gguf_files import llama_name, meant, said, without_outer_ones, write_gguf

Tensors = Callable[[dict[str, Tensor]], dict[str, Tensor]]
TURBO, XL, TEXT, LM = "acestep-v15-turbo", "acestep-v15-xl-turbo", "Qwen3-Embedding-0.6B", "acestep-5Hz-lm-0.6B"


def assert_stands_for(found, plain: dict[str, Tensor], kind: str = "Q8_0", written: Tensors = dict) -> None:
    """`written`: what the converter made of the tensors before it packed them."""
    expected = meant(written(plain), kind)
    assert set(found) == set(plain)
    for name, tensor in plain.items():
        assert found[name].shape == tensor.shape and found[name].float().equal(expected[name].view_as(tensor)), name


@pytest.mark.parametrize("folder", [TURBO, XL])
def test_a_dit_of_acestep_cpp(tiny_root: Path, gguf_root: Path, folder: str):
    plain, found = open_dit(tiny_root / folder), open_dit(gguf_root / f"{folder}-Q8_0.gguf")
    assert layout_of(found.source) == "gguf" and found.tensors.format == "Q8_0"
    assert_stands_for(found.tensors, dict(plain.tensors), written=without_outer_ones)
    assert found.config == plain.config and found.variant == plain.variant, "the file says all that config.json does"
    assert found.silence.equal(plain.silence)
    assert any(info.dtype == "BF16" for info in found.tensors.infos.values()), "some rows are no whole blocks"


def test_asking_for_a_name_unpacks_nothing(gguf_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing.Packed, "unpacked", None)
    tensors = open_dit(gguf_root / f"{TURBO}-Q8_0.gguf").tensors
    assert "decoder.layers.0.self_attn.q_proj.weight" in tensors and "decoder.x" not in tensors


def test_the_other_parts_of_acestep_cpp(tiny_root: Path, gguf_root: Path):
    vae, text, lm = (
        open_vae(gguf_root / "vae-BF16.gguf"),
        open_text_encoder(gguf_root / f"{TEXT}-Q8_0.gguf"),
        open_lm(gguf_root / f"{LM}-Q8_0.gguf"),
    )
    assert_stands_for(vae.tensors, dict(open_vae(tiny_root).tensors), "BF16")
    assert_stands_for(text.tensors, dict(open_text_encoder(tiny_root).tensors))
    assert_stands_for(lm.tensors, dict(open_lm(tiny_root / LM).tensors))
    assert vae.config == open_vae(tiny_root).config
    assert (text.config, lm.config) == (open_text_encoder(tiny_root).config, open_lm(tiny_root / LM).config)


@pytest.mark.parametrize("folder", [TEXT, LM])
def test_their_tokenizers_are_the_models_own(tiny_root: Path, gguf_root: Path, folder: str):
    opening = open_lm if folder == LM else open_text_encoder
    plain, packed = opening(tiny_root / folder), opening(gguf_root / f"{folder}-Q8_0.gguf")
    rows = plain.config["vocab_size"]
    own, found = (load_tokenizer(find_tokenizer(files, []), rows) for files in (plain, packed))
    assert find_tokenizer(packed, []) == packed.source, "nothing else has to lie there"
    assert found.get_vocab() == own.get_vocab()
    text = "Hello, 123 little wörlds<|im_end|>\n<think>music</think>" + ("<|audio_code_77|>" if folder == LM else "")
    assert found.encode(text).ids == own.encode(text).ids
    assert found.decode(own.encode(text).ids) == own.decode(own.encode(text).ids), "the same tokens are hidden"


def test_they_are_found_by_what_they_are(gguf_root: Path):
    found = {(entry.kind, entry.name): entry for entry in list_models([gguf_root])}
    assert found.keys() == {
        ("dit", f"{TURBO}-Q8_0"),
        ("dit", f"{XL}-Q8_0"),
        ("vae", "vae-BF16"),
        ("text_encoder", f"{TEXT}-Q8_0"),
        ("lm", f"{LM}-Q8_0"),
    }
    assert all(entry.layout == "gguf" and not entry.problem for entry in found.values())
    assert {entry.format for (kind, _), entry in found.items() if kind != "vae"} == {"Q8_0"}
    assert found["vae", "vae-BF16"].format == ""
    dit = found["dit", f"{XL}-Q8_0"]
    assert (dit.variant, dit.size) == ("xl-turbo", "XL")
    assert dit.bytes < 1.2 * dit.path.stat().st_size
    assert found["lm", f"{LM}-Q8_0"].size == "0.6B"
    assert check(gguf_root).ok


def test_a_single_file_finds_what_lies_beside_it(gguf_root: Path):
    found = find_checkpoint(gguf_root / f"{TURBO}-Q8_0.gguf")
    assert [entry.variant for entry in found.dits] == ["turbo"]
    assert all(len(found.of(kind)) == 1 for kind in ("vae", "text_encoder", "lm"))
    assert choose("dit", f"{XL}-Q8_0", roots=find_models([gguf_root])).entry.path.name == f"{XL}-Q8_0.gguf"


def test_files_made_for_comfyui_in_its_folders(tiny_root: Path, tmp_path: Path):
    """They hold the tensors and nothing else: the name says what the DiT is."""
    models, dit = tmp_path / "models", open_dit(tiny_root / TURBO)
    text = {f"model.{name}": tensor for name, tensor in open_text_encoder(tiny_root).tensors.items()}
    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in dit.tensors.items()}
    write_gguf(models / "unet" / "acestep_v1.5_turbo_Q4_0.gguf", "acestep", dit.tensors, "Q4_0")
    write_gguf(models / "diffusion_models" / "mine" / "acestep-v15-mix-Q5_1.gguf", "pig", prefixed, "Q5_1")
    write_gguf(models / "text_encoders" / "qwen_0.6b_ace15-Q8_0.gguf", "qwen3", text, "Q8_0")
    found = find_models([models])
    assert {(entry.variant, entry.format) for entry in found.dits} == {("turbo", "Q4_0"), (None, "Q5_1")}
    assert [entry.format for entry in found.of("text_encoder")] == ["Q8_0"]
    assert choose("dit", variant="turbo", roots=found).entry.format == "Q4_0"
    for entry in found.dits:
        opened = open_dit(entry.path, "turbo")
        assert_stands_for(opened.tensors, dict(dit.tensors), entry.format)
        assert opened.silence is None
    with pytest.raises(CheckpointError, match="say so once with `variant`"):
        open_dit(models / "diffusion_models" / "mine" / "acestep-v15-mix-Q5_1.gguf")


def test_a_text_encoder_under_llama_cpp_s_names(tiny_root: Path, tmp_path: Path):
    plain = open_text_encoder(tiny_root)
    named = {llama_name(name): tensor for name, tensor in plain.tensors.items()}
    rows = plain.config["vocab_size"]
    own = load_tokenizer(find_tokenizer(plain, []), rows)
    words = sorted((number, word) for word, number in own.get_vocab(with_added_tokens=True).items())
    added = own.get_added_tokens_decoder()
    words += [(n, f"[PAD{n}]") for n in range(len(words), rows)]
    kinds = [
        1 if n not in added and n < own.get_vocab_size() else 3 if n < own.get_vocab_size() else 5 for n, _ in words
    ]
    tokens = {"tokenizer.ggml.tokens": [word for _, word in words], "tokenizer.ggml.token_type": kinds}
    merges = {"tokenizer.ggml.merges": said(plain)["tokenizer.ggml.merges"]}
    path = write_gguf(tmp_path / f"{TEXT}-Q8_0.gguf", "qwen3", named, "Q8_0", tokens | merges)
    (entry,) = list_models([tmp_path])
    assert entry.kind == "text_encoder" and not entry.problem
    found = open_text_encoder(path)
    assert_stands_for(found.tensors, dict(plain.tensors))
    text = "Hello wörld<|im_end|>\n"
    assert load_tokenizer(find_tokenizer(found, []), rows).encode(text).ids == own.encode(text).ids


def test_models_of_others_are_passed_over(tmp_path: Path):
    tensors = {"blk.0.attn_q.weight": torch.ones(32, 32), "token_embd.weight": torch.ones(64, 32)}
    write_gguf(tmp_path / "text_encoders" / "Llama-3-8B-Q8_0.gguf", "llama", tensors)
    write_gguf(tmp_path / "unet" / "flux1-dev-Q8_0.gguf", "flux", {"img_in.weight": torch.ones(32, 32)})
    (tmp_path / "unet" / "half-a-download.gguf").write_bytes(b"GGUF")
    assert list_models([tmp_path]) == []
    (tmp_path / "unet" / "acestep-v15-sft-Q8_0.gguf").write_bytes(b"GGUF")
    (tmp_path / "unet" / "acestep-5Hz-lm-4B-Q8_0.gguf").write_bytes(b"GGUF")
    assert {(entry.kind, bool(entry.problem)) for entry in list_models([tmp_path])} == {("dit", True), ("lm", True)}


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_an_output_head_must_be_the_embedding(tiny_root: Path, tmp_path: Path, kept: float):
    plain = open_lm(tiny_root / LM)
    table = plain.tensors["embed_tokens.weight"].float()
    tensors = {f"model.{name}": tensor for name, tensor in plain.tensors.items()}
    tensors["model.lm_head.weight"] = kept * table + (1 - kept) * table.flip(0)
    path = write_gguf(tmp_path / f"{LM}-Q4_0.gguf", "acestep-lm", tensors, "Q4_0")
    if kept:
        assert set(open_lm(path).tensors) == set(plain.tensors)
    else:
        with pytest.raises(CheckpointError, match="output head of its own"):
            open_lm(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"acestep.config_json": "{"}, "cannot be read as JSON"),
        ({"acestep.config_json": "[]"}, "does not hold a JSON object"),
        ({"acestep.config_json": json.dumps({"hidden_size": 64})}, "lacks intermediate_size"),
        ({"acestep.config_json": json.dumps({"hidden_size": 10**9})}, "must be a whole number"),
    ],
)
def test_a_damaged_config_is_refused(tiny_root: Path, tmp_path: Path, metadata: dict[str, str], message: str):
    path = write_gguf(
        tmp_path / f"{TURBO}-Q8_0.gguf", "acestep-dit", open_dit(tiny_root / TURBO).tensors, "Q8_0", metadata
    )
    with pytest.raises(CheckpointError, match=message):
        open_dit(path)


@pytest.mark.parametrize("silence", [torch.zeros(15000, 64), torch.ones(10, 64), torch.ones(64)])
def test_a_silence_that_is_none_is_refused(tiny_root: Path, tmp_path: Path, silence: Tensor):
    tensors = {**open_dit(tiny_root / TURBO).tensors, "silence_latent": silence}
    path = write_gguf(tmp_path / f"{TURBO}-Q8_0.gguf", "acestep-dit", tensors)
    with pytest.raises(CheckpointError, match="silence latent"):
        open_dit(path)


def test_words_that_do_not_fit_are_not_taken(tiny_root: Path, tmp_path: Path):
    plain = open_text_encoder(tiny_root)
    words = {"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": ["a b"]}
    path = write_gguf(tmp_path / f"{TEXT}-Q8_0.gguf", "acestep-text-enc", plain.tensors, "Q8_0", words)
    assert open_text_encoder(path).tokenizer_file is None
    shutil.copy(tiny_root / TEXT / "tokenizer.json", path.with_suffix(".tokenizer.json"))
    assert open_text_encoder(path).tokenizer_file == path.with_suffix(".tokenizer.json")


def test_published_names(tmp_path: Path):
    assert catalog.classify({}, False, "acestep-v15-turbo-Q8_0.gguf").name == "turbo"
    assert catalog.classify({}, False, "acestep-v15-turbo-shift3-Q4_K_M.gguf").name == "turbo-shift3"
    assert catalog.classify({}, True, "acestep-v15-xl-sft-BF16.gguf").name == "xl-sft"
    with pytest.raises(CheckpointError, match="does not say"):
        catalog.classify({}, True, "acestep-v15-merge-sft-turbo-xl-ta-0.3-Q8_0.gguf")
