from __future__ import annotations

from dataclasses import replace

import torch
from torch.testing import assert_close

from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT

CONFIG = AceStepConfig(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    sliding_window=8,
    text_hidden_dim=16,
)


def make() -> DiT:
    torch.manual_seed(0)
    decoder = DiT(CONFIG).eval().requires_grad_(False)
    for parameter in decoder.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return decoder


def test_even_layers_look_through_a_window_if_not_said_otherwise():
    assert [CONFIG.is_sliding(i) for i in range(4)] == [True, False, True, False]
    told = replace(CONFIG, layer_types=("full_attention", "sliding_attention"))
    assert [told.is_sliding(i) for i in range(2)] == [False, True]
    assert not replace(CONFIG, use_sliding_window=False).is_sliding(0)


def test_conditions_of_different_length_are_not_padded():
    """A row gives the same velocity whatever the other rows attend to."""
    decoder = make()
    x, context, t = torch.randn(3, 37, 64), torch.randn(3, 37, 128), torch.tensor([0.9, 0.5, 0.1])
    conditions = [torch.randn(1, 5, 32), torch.randn(1, 9, 32), torch.randn(1, 2, 32)]
    together = decoder(x, t, context, decoder.prepare(conditions, 37))
    for i, condition in enumerate(conditions):
        alone = decoder(x[i : i + 1], t[i : i + 1], context[i : i + 1], condition)
        assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_expanded_condition_is_projected_once():
    decoder = make()
    condition = torch.randn(1, 6, 32)
    shared = decoder.prepare(condition.expand(4, -1, -1), 20)
    assert shared.rows == 4
    assert all(keys.stride(0) == 0 for keys in shared.groups[0].keys)
    separate = decoder.prepare(condition.repeat(4, 1, 1), 20)
    for a, b in zip(shared.groups[0].keys, separate.groups[0].keys):
        assert_close(a, b)


def test_one_null_key_equals_many():
    """The null branch repeats one vector, so its length cannot matter."""
    decoder = make()
    x, context, t = torch.randn(1, 20, 64), torch.randn(1, 20, 128), torch.tensor([0.4])
    null = torch.randn(1, 1, 32)
    assert_close(decoder(x, t, context, null), decoder(x, t, context, null.expand(1, 13, -1).contiguous()))


def test_joined_batches_keep_their_rows():
    decoder = make()
    x, context, t = torch.randn(2, 20, 64), torch.randn(2, 20, 128), torch.tensor([0.4, 0.4])
    first, second = torch.randn(1, 4, 32), torch.randn(1, 7, 32)
    joined = decoder.prepare(first, 20).joined(decoder.prepare(second, 20))
    both = decoder(x, t, context, joined)
    assert_close(both[:1], decoder(x[:1], t[:1], context[:1], first), atol=1e-5, rtol=1e-4)
    assert_close(both[1:], decoder(x[1:], t[1:], context[1:], second), atol=1e-5, rtol=1e-4)


def test_odd_lengths_keep_their_length():
    decoder = make()
    for frames in (1, 2, 7, 21):
        out = decoder(torch.randn(1, frames, 64), torch.ones(1), torch.randn(1, frames, 128), torch.randn(1, 3, 32))
        assert out.shape == (1, frames, 64)


def test_what_is_kept_for_a_song_keeps_nothing_else_in_memory():
    group = make().prepare(torch.randn(1, 9, 32), 20).groups[0]
    for kept in (*group.keys, *group.values):
        assert kept.untyped_storage().nbytes() == kept.nbytes
