"""Weights, condition encoder, decoder and audio tokenizer: our results equal upstream's."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from acestep_core.models.conditioner import padding_masks
from acestep_core.models.layers import attend
from tests.golden_data import case, case_ids, cases, load_tensors, manifest, tolerance
from tests.parity.padded import encode_padded, pack_sequences, unpack_by_item
from tests.parity.reference_models import reference_model

ENCODER_CASES = [c["id"] for c in cases("B_condition_encoder/") if "encoder_hidden_states" in c["tensors"]]
MASK_CASES = [c["id"] for c in cases("B_condition_encoder/") if "sliding" in c["tensors"]]
PACK_CASES = [c["id"] for c in cases("B_condition_encoder/") if "packed" in c["tensors"]]
DECODER_CASES = [c["id"] for c in cases("C_decoder/") if "velocity" in c["tensors"]]
TIME_CASES = [c["id"] for c in cases("C_decoder/") if "sinusoid" in c["tensors"]]
TOKENIZER_CASES = [c["id"] for c in cases("D_audio_tokenizer/") if "latents" in c["tensors"]]
CODE_TABLE_CASES = [c["id"] for c in cases("D_audio_tokenizer/") if "indices_table" in c["tensors"]]


def test_every_case_of_these_groups_is_checked():
    checked = [
        *ENCODER_CASES,
        *MASK_CASES,
        *PACK_CASES,
        *DECODER_CASES,
        *TIME_CASES,
        *TOKENIZER_CASES,
        *CODE_TABLE_CASES,
    ]
    assert sorted(checked) == sorted(case_ids("B_") + case_ids("C_") + case_ids("D_"))


@pytest.mark.parametrize("weights", [entry["file"] for entry in manifest()["weights"]])
def test_weights_load_strictly(weights):
    entry = next(e for e in manifest()["weights"] if e["file"] == weights)
    state = reference_model(weights).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == entry["keys"]
    assert sum(v.numel() for v in state.values()) == entry["n_params"]


@pytest.mark.parametrize("case_id", ENCODER_CASES)
def test_condition_encoder(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    encoder = reference_model(c["settings"]["weights"]).encoder
    text, lyrics = t["text_hidden_states"], t["lyric_hidden_states"]
    lyric_mask, text_mask = t["lyric_attention_mask"], t["text_attention_mask"]
    references, order = t["refer_audio_acoustic_hidden_states_packed"], t["refer_audio_order_mask"]

    assert_close(encoder.text_projector(text), t["text_projected"], **tolerance(c))
    assert_close(encoder.lyric_encoder(lyrics, lyric_mask), t["lyric_encoder_output"], **tolerance(c))
    timbre, timbre_mask = unpack_by_item(encoder.timbre_encoder(references), order)
    assert_close(timbre, t["timbre_embeddings"], **tolerance(c))
    assert torch.equal(timbre_mask, t["timbre_mask"].bool())
    packed, packed_mask = pack_sequences(t["lyric_encoder_output"], timbre, lyric_mask, timbre_mask)
    assert_close(packed, t["packed_lyric_timbre"], **tolerance(c))
    assert torch.equal(packed_mask, t["packed_lyric_timbre_mask"].bool())
    states, mask = encode_padded(encoder, text, text_mask, lyrics, lyric_mask, references, order)
    assert_close(states, t["encoder_hidden_states"], **tolerance(c))
    assert torch.equal(mask, t["encoder_attention_mask"].bool())


@pytest.mark.parametrize("case_id", ENCODER_CASES)
def test_condition_encoder_without_padding_gives_the_valid_rows(case_id):
    """One song at a time, as we always do it, equals the valid rows of upstream's padded batch."""
    c = case(case_id)
    t = load_tensors(c["file"])
    encoder = reference_model(c["settings"]["weights"]).encoder
    for i in range(t["text_hidden_states"].shape[0]):
        states = encoder(
            t["text_hidden_states"][i : i + 1, t["text_attention_mask"][i].bool()],
            t["lyric_hidden_states"][i : i + 1, t["lyric_attention_mask"][i].bool()],
            t["refer_audio_acoustic_hidden_states_packed"][t["refer_audio_order_mask"] == i],
        )
        want = t["encoder_hidden_states"][i : i + 1, t["encoder_attention_mask"][i].bool()]
        assert_close(states, want, **tolerance(c))


@pytest.mark.parametrize("case_id", MASK_CASES)
def test_attention_masks(case_id):
    c = case(case_id)
    t, s = load_tensors(c["file"]), c["settings"]
    lengths = s["valid_lengths"] or [s["seq_len"]]
    mask = torch.arange(s["seq_len"])[None, :] < torch.tensor(lengths)[:, None]
    full, sliding = padding_masks(mask, s["sliding_window"], torch.float32)
    for ours, name in ((full, "full"), (sliding, "sliding")):
        assert torch.equal(ours == 0, t[name].bool()), name


@pytest.mark.parametrize("case_id", PACK_CASES)
def test_pack_sequences(case_id):
    t = load_tensors(case(case_id)["file"])
    packed, mask = pack_sequences(t["hidden1"], t["hidden2"], t["mask1"], t["mask2"])
    assert torch.equal(packed, t["packed"])
    assert torch.equal(mask, t["packed_mask"].bool())


@pytest.mark.parametrize("case_id", DECODER_CASES)
def test_decoder(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    decoder = reference_model(c["settings"]["weights"]).decoder
    x, time, context = t["hidden_states"], t["timestep"], t["context_latents"]
    condition, r = t["encoder_hidden_states"], t["timestep_r"]
    prepared = decoder.prepare(condition, x.shape[1])
    assert_close(decoder(x, time, context, condition, r), t["velocity"], **tolerance(c))
    if torch.equal(time, r):
        assert_close(decoder(x, time, context, prepared), t["velocity"], **tolerance(c))

    _, modulation = decoder.embed_time(time, r, prepared)
    h = decoder.embed(x, context)
    for i, layer in enumerate(decoder.layers):
        if "cross_attention" in t:
            band = prepared.band if decoder.config.is_sliding(i) else None
            shift, scale, gate = modulation[i].chunk(6, dim=1)[:3]
            normed = layer.self_attn_norm(h) * scale + shift
            attended = layer.self_attn(normed, prepared.rope, prepared.scales[i], band)
            q = layer.cross_attn.queries(layer.cross_attn_norm(h + gate * attended))
            eye = torch.eye(condition.shape[1]).expand(*prepared.groups[0].keys[i].shape[:2], -1, -1)
            assert_close(attend(q, prepared.groups[0].keys[i], eye), t["cross_attention"][i], **tolerance(c))
        h = layer(h, modulation, prepared, i, prepared.band if decoder.config.is_sliding(i) else None)
        if "block_outputs" in t:
            assert_close(h, t["block_outputs"][i], **tolerance(c))


@pytest.mark.parametrize("case_id", TIME_CASES)
def test_timestep_embedding(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    embed = reference_model(c["settings"]["weights"]).decoder.time_embed
    temb, projected = embed(t["timestep"])
    assert_close(embed.sinusoid(t["timestep"]), t["sinusoid"], **tolerance(c))
    assert_close(temb, t["temb"], **tolerance(c))
    assert_close(projected, t["timestep_proj"], **tolerance(c))


@pytest.mark.parametrize("case_id", TOKENIZER_CASES)
def test_audio_tokenizer(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    model = reference_model(c["settings"]["weights"])
    latents, silence = t["latents"], t["silence_latent"]
    padded = torch.cat([latents, silence[:, : -latents.shape[1] % 5].expand(latents.shape[0], -1, -1)], dim=1)
    assert_close(model.tokenizer.pool(padded), t["pooled"], **tolerance(c))
    codes = model.tokenizer.encode(latents, silence)
    assert torch.equal(codes, t["indices"].squeeze(-1).long())
    quantized = model.tokenizer.quantizer.decode(codes)
    assert_close(quantized, t["quantized"], **tolerance(c))
    assert_close(quantized, t["quantized_from_indices"], **tolerance(c))
    assert_close(model.hints(codes), t["hints_25hz"], **tolerance(c))
    assert_close(model.hints(codes), t["hints_from_indices_25hz"], **tolerance(c))


@pytest.mark.parametrize("case_id", CODE_TABLE_CASES)
def test_codes_to_latents(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    model = reference_model(c["settings"]["weights"])
    assert_close(model.tokenizer.quantizer.decode(t["indices_table"]), t["quantized_table"], **tolerance(c))
    for name, entry in c["settings"]["strings"].items():
        if entry["latents_tensor"] is None:
            continue
        codes = torch.tensor([entry["parsed_codes"]])
        assert_close(model.tokenizer.quantizer.decode(codes), t[f"quantized_{name}"], **tolerance(c))
        assert_close(model.hints(codes), t[entry["latents_tensor"]], **tolerance(c))
