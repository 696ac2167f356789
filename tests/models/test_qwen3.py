"""Qwen3 against transformers' Qwen3Model with the same random weights."""

import pytest
import torch

from acestep_core.errors import CheckpointError
from acestep_core.models.qwen3 import Qwen3, Qwen3Config, StaticKVCache

CONFIG = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-6,
}


@pytest.fixture(scope="module")
def pair():
    from transformers import Qwen3Config as HFConfig
    from transformers import Qwen3Model

    torch.manual_seed(0)
    reference = Qwen3Model(HFConfig(**CONFIG)).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 1.0)
    model = Qwen3(Qwen3Config.from_json(reference.config.to_dict())).eval()
    model.load_state_dict(reference.state_dict(), strict=True)
    return model, reference


@torch.inference_mode()
def test_hidden_states_match_transformers(pair):
    model, reference = pair
    ids = torch.randint(0, 97, (3, 21))
    torch.testing.assert_close(model(ids), reference(ids).last_hidden_state, rtol=1e-4, atol=1e-4)
    embeds = model.embed_tokens(ids)
    torch.testing.assert_close(model(embeds=embeds), model(ids))


@torch.inference_mode()
def test_padding_on_the_right_changes_nothing_to_its_left(pair):
    model, reference = pair
    ids = torch.randint(0, 97, (2, 12))
    keep = torch.ones(2, 12, dtype=torch.long)
    keep[1, 7:] = 0
    want = reference(ids, attention_mask=keep).last_hidden_state
    got = model(ids)
    torch.testing.assert_close(got[0], want[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got[1, :7], want[1, :7], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_cached_decoding_equals_one_forward(pair):
    """Two rows of unequal length, aligned at their right end, decoded one and several tokens at a time."""
    model, _ = pair
    rows = [torch.randint(0, 97, (14,)), torch.randint(0, 97, (11,))]
    pads = torch.tensor([0, 3])
    prompt = 6
    cache = StaticKVCache(model.config, 2, 16, dtype=torch.float32, device="cpu")
    for index, (row, pad) in enumerate(zip(rows, pads.tolist())):
        length = prompt - pad
        model(row[None, :length], cache=cache.rows(index, index + 1), slots=torch.arange(pad, prompt))
    columns = torch.arange(16)
    at, outputs = prompt, []
    for step in (1, 3, 1, 2, 1):
        slots = torch.arange(at, at + step)
        positions = slots[None] - pads[:, None]
        ids = torch.stack([row[at - pad : at - pad + step] for row, pad in zip(rows, pads.tolist())])
        mask = (columns <= slots[:, None]) & (columns >= pads[:, None, None])
        outputs.append(model(ids, positions=positions, cache=cache, slots=slots, mask=mask[:, None]))
        at += step
    got = torch.cat(outputs, dim=1)
    for index, (row, pad) in enumerate(zip(rows, pads.tolist())):
        torch.testing.assert_close(got[index], model(row[None])[0, prompt - pad :], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_head_slice_is_a_slice_of_the_logits(pair):
    model, reference = pair
    hidden = model(torch.randint(0, 97, (1, 5)))
    full = hidden @ reference.embed_tokens.weight.T
    torch.testing.assert_close(model.logits(hidden), full)
    torch.testing.assert_close(model.logits(hidden, slice(40, 60)), full[..., 40:60])


def test_config_from_weights_equals_config_from_json():
    config = Qwen3Config.from_json(CONFIG)
    with torch.device("meta"):
        weights = Qwen3(config).state_dict()
    assert Qwen3Config.from_state_dict(weights) == config


def test_other_models_are_refused():
    with pytest.raises(CheckpointError, match="hidden_size"):
        Qwen3Config.from_json({"vocab_size": 3})
    with pytest.raises(CheckpointError, match="embed_tokens"):
        Qwen3Config.from_state_dict({"layers.0.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="biases"):
        Qwen3Config.from_json({**CONFIG, "attention_bias": True})
