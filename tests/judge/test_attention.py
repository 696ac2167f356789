"""Which heads, what is captured from them, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acestep_core.errors import AlignmentError, CheckpointError
from acestep_core.judge.attention import HEADS_2B, HEADS_XL, alignment_heads, attention_weights, capture, check_heads
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from tests.capabilities import needs_proc

SMALL = AceStepConfig(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    sliding_window=8,
)


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    return DiT(SMALL).eval().requires_grad_(False)


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(1, 31, 64), 0.125, torch.randn(1, 31, 128), torch.randn(1, 23, 64)


XL = AceStepConfig(num_hidden_layers=32, num_attention_heads=32, hidden_size=2560, encoder_hidden_size=2048)


def test_heads_come_from_the_config_else_they_are_those_of_the_published_models():
    assert alignment_heads(AceStepConfig()) == HEADS_2B
    assert alignment_heads(XL) == HEADS_XL and HEADS_XL != HEADS_2B
    named = AceStepConfig.from_json({"lyric_alignment_layers_config": {"1": [3], "0": [0, 2]}, "num_hidden_layers": 2})
    assert alignment_heads(named) == {1: (3,), 0: (0, 2)}


def test_unknown_heads_are_an_error_never_a_guess():
    for config in (replace(XL, encoder_hidden_size=None), replace(XL, num_attention_heads=16), SMALL):
        with pytest.raises(AlignmentError, match="No lyric alignment heads are known"):
            alignment_heads(config)


def test_heads_the_decoder_lacks_are_an_error():
    for heads in ({4: (0,)}, {0: (4,)}, {-1: (0,)}, {0: (-1,)}):
        with pytest.raises(AlignmentError, match="There is no head"):
            check_heads(heads, SMALL)
    with pytest.raises(AlignmentError, match="names no head"):
        check_heads({0: ()}, SMALL)


@pytest.mark.parametrize("value", [[1, 2], {"a": [1]}, {"1": 2}])
def test_a_broken_map_in_the_config_is_named(value):
    with pytest.raises(CheckpointError, match="lyric_alignment_layers_config"):
        AceStepConfig.from_json({"lyric_alignment_layers_config": value})


def test_weights_in_blocks_equal_weights_at_once():
    q, k = torch.randn(29, 16), torch.randn(11, 16)
    whole = torch.softmax(q @ k.T / 4, dim=-1).T
    for block in (1, 7, 64):
        torch.testing.assert_close(attention_weights(q, k, block=block), whole)
        torch.testing.assert_close(attention_weights(q, k, slice(2, 9), block), whole[2:9])
    assert attention_weights(q.bfloat16(), k.bfloat16()).dtype == torch.float32


def test_every_chosen_head_in_order(decoder, inputs):
    everything = dict.fromkeys(range(4), (0, 1, 2, 3))
    whole = list(capture(decoder, *inputs, everything))
    assert [w.shape for w in whole] == [(23, 16)] * 16
    for weights in whole:
        torch.testing.assert_close(weights.sum(0), torch.ones(16))
    some = list(capture(decoder, *inputs, {0: (3,), 2: (1, 0)}, slice(4, 10)))
    for got, index in zip(some, (3, 9, 8), strict=True):
        torch.testing.assert_close(got, whole[index][4:10])


def test_layers_behind_the_last_needed_one_never_run(decoder, inputs):
    ran = []
    hooks = [layer.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, layer in enumerate(decoder.layers)]
    list(capture(decoder, *inputs, {1: (0,)}))
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]


MEASURE = """
import re, sys, torch
from pathlib import Path
from acestep_core.judge.lyric_timing import listen
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT

torch.set_num_threads(1)
torch.manual_seed(0)
config = AceStepConfig(hidden_size=512, intermediate_size=1536, num_hidden_layers=5, num_attention_heads=8,
                       num_key_value_heads=4, head_dim=64)
decoder = DiT(config).eval().requires_grad_(False)
for parameter in decoder.parameters():
    torch.nn.init.normal_(parameter, std=0.02)
heads = {0: (6, 7), 1: (0, 1, 2, 3, 5)}

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def run(frames, tokens, what):
    pieces = [b"# Lyric\\n", *[b" la" if i % 8 else b"\\n" for i in range(tokens)], b"<|endoftext|>"]
    x, context, states = torch.randn(1, frames, 64), torch.randn(1, frames, 128), torch.randn(1, tokens + 1002, 512)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = peak()
    if what == "forward":
        decoder(x, torch.full((1,), 0.125), context, states)
    else:
        listen(decoder, x, context, states, pieces, heads)
    return peak() - before

with torch.inference_mode():
    for what in ("forward", "listen"):
        run(100, 20, what)
    print(run(6000, 1500, sys.argv[1]))
"""


@needs_proc
def test_memory_of_a_long_song_stays_near_that_of_a_decoder_call():
    """240 s with 1,500 lyric tokens: timing them takes less than 1.5 times what one decoder call takes."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed tensors leave the process at once
    peak = {}
    for what in ("forward", "listen"):
        command = [sys.executable, "-c", MEASURE, what]
        peak[what] = int(subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    assert peak["forward"] > 0
    assert peak["listen"] < 1.5 * peak["forward"], peak
