"""Tokenizer and detokenizer learn what codes say, and go into wider layers unchanged."""

import random

import torch

from acestep_core.builtin import coder, player
from acestep_core.builtin.practice import train
from acestep_core.builtin.rolls import compose, draw_score
from acestep_core.checkpoints import shapes
from acestep_core.models.config import AceStepConfig


def test_examples_are_windows_and_their_codes() -> None:
    windows, spelled = coder.examples(random.Random(0), torch.Generator().manual_seed(0))
    assert windows.shape == (coder.WINDOWS, 5, 64)
    assert spelled.shape == (coder.WINDOWS,)
    assert len(spelled.unique()) > 100


def test_all_but_sizes_is_as_in_the_file() -> None:
    narrow, wide = coder.narrow(), AceStepConfig.from_json(player.config())
    for name in (
        "head_dim",
        "rope_theta",
        "pool_window_size",
        "num_attention_pooler_hidden_layers",
        "fsq_input_levels",
        "audio_acoustic_hidden_dim",
        "rms_norm_eps",
    ):
        assert getattr(narrow, name) == getattr(wide, name), name


def test_wider_layers_say_the_same() -> None:
    small = coder.Coder(0)
    config = player.config()
    wide = coder.Coder(0, AceStepConfig.from_json(config))
    wide.load_state_dict(coder.widened(small.state_dict(), shapes.dit_shapes(config)))
    rng = random.Random(1)
    song = compose(draw_score(rng), 100, rng)[None]
    with torch.no_grad():
        # What keeps a norm from dividing by nothing weighs a little more in wider layers.
        assert torch.allclose(small.heard(song), wide.heard(song), atol=2e-3)
        said = small.encode(song)
        assert torch.allclose(small.decode(said), wide.decode(said), atol=2e-3)
        late = coder.hints(small, song, 1)
    assert torch.equal(late[:, 5:], small.decode(said)[:, :-5])


def test_it_learns(tmp_path) -> None:
    course = coder.course(0, 7)
    draws = random.Random(5), torch.Generator().manual_seed(5)
    before = course.loss(*draws).item()
    train(course, tmp_path, 0)
    assert course.loss(random.Random(5), torch.Generator().manual_seed(5)).item() < 0.9 * before
    small = coder.load(tmp_path / "codes.pt")
    assert small.encode(torch.zeros(1, 10, 64)).shape == (1, 2)
