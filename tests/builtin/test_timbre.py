"""The built-in model hears drums and melody in a reference, and nothing in silence."""

import random

import pytest
import torch

from acestep_core.builtin import circuits, codec, player, timbre
from acestep_core.builtin.clock import clock
from acestep_core.builtin.reader import DRUMS, LEAD, READOUT, WIDTH
from acestep_core.builtin.rolls import STYLES, compose, draw_score
from acestep_core.models.acestep import AceStepModel
from acestep_core.vocabulary import HOP

FRAMES = 750
HEARD = [timbre.HEARD, timbre.HEARD_DRUMS, timbre.HEARD_LEAD]


@pytest.fixture(scope="module")
def model() -> AceStepModel:
    return player.build(torch.eye(READOUT, WIDTH))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_drums_and_melody_are_heard_in_songs_loud_and_soft(dtype: torch.dtype) -> None:
    encoder = player.build(torch.eye(READOUT, WIDTH)).encoder.timbre_encoder.half().to(dtype)
    rng, right = random.Random(1), []
    for _ in range(40):
        score, start = draw_score(rng), rng.choice((0, rng.randrange(400)))
        song = compose(score, start + FRAMES, rng)[start:] * rng.uniform(0.4, 1.6)
        drums = score.drums and bool(STYLES[score.style].hat)
        found = encoder(song[None].to(dtype))[0, HEARD].float()
        right.append(torch.allclose(found, torch.tensor([1.0, 2.0 * drums - 1, 2.0 * score.lead - 1]), atol=0.1))
        assert timbre.recognised(song) or not right[-1]
    assert sum(right) >= 38  # slow ambient music may strike nothing for two seconds


@torch.inference_mode()
def test_silence_says_nothing_and_is_never_looked_at(model: AceStepModel) -> None:
    silence = model.encoder.timbre_encoder(clock(FRAMES)[None])
    assert silence[0, timbre.HEARD] < -0.9
    assert not timbre.recognised(clock(FRAMES))
    asked = player.conditions([draw_score(random.Random(2))], torch.Generator().manual_seed(0))
    assert torch.allclose(_read(model, torch.cat([silence[None], asked], 1)), asked[0, 0, :READOUT], atol=1e-5)


def test_songs_of_its_own_are_told_from_other_recordings() -> None:
    """From the sound, as it is read from a file."""
    vae, rng = codec.build_codec(), random.Random(3)
    with torch.inference_mode():
        for _ in range(4):
            song = compose(draw_score(rng), 120, rng)
            sound = vae.decode(song.T[None])
            assert timbre.recognised(vae.encode(sound[..., 3 * HOP :])[0].T)
            assert not timbre.recognised(vae.encode(sound[..., 480:])[0].T)
        hiss = 0.1 * torch.randn(1, 2, 100 * HOP, generator=torch.Generator().manual_seed(0))
        tone = (torch.arange(100 * HOP) * 2 * torch.pi * 440 / 48000).sin().expand(1, 2, -1)
        for sound in (hiss, 0.5 * tone, 0 * tone):
            assert not timbre.recognised(vae.encode(sound)[0].T)


@torch.inference_mode()
def test_the_prompt_decides_where_no_reference_does(model: AceStepModel) -> None:
    rng, generator = random.Random(2), torch.Generator().manual_seed(0)
    asked = player.conditions([draw_score(rng)], generator)
    others = torch.randn(1, 40, circuits.HIDDEN, generator=generator)
    others[..., [circuits.END, timbre.HEARD]] = 0
    plain, *led = (
        _read(model, torch.cat([others, heard, asked], 1))
        for heard in (torch.zeros(1, 1, circuits.HIDDEN), _timbre(1, -1), _timbre(-1, 1), _both())
    )
    for values in (plain, *led):  # tempo, key and style are the prompt's
        assert torch.allclose(values[:DRUMS], asked[0, 0, :DRUMS], atol=2e-3)
    flags = [DRUMS, LEAD]
    assert torch.allclose(plain[flags], asked[0, 0, flags], atol=2e-3)
    for values, wanted in zip(led, ([1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]), strict=True):
        assert torch.allclose(values[flags], torch.tensor(wanted), atol=2e-3)


def _timbre(drums: float, lead: float) -> torch.Tensor:
    found = torch.zeros(1, 1, circuits.HIDDEN)
    found[..., HEARD] = torch.tensor([1.0, drums, lead])
    return found


def _both() -> torch.Tensor:
    """Two references that say the opposite."""
    return torch.cat([_timbre(1, -1), _timbre(-1, 1)], 1)


def _read(model: AceStepModel, states: torch.Tensor) -> torch.Tensor:
    """What the first layer's cross-attention sees of conditions, `[READOUT]`."""
    attention = model.decoder.blocks[0].cross_attn
    heads = (1, -1, circuits.HEADS, circuits.HEAD_DIM)
    stream = torch.zeros(1, 1, circuits.HIDDEN)
    stream[..., circuits.CONSTANT] = circuits.SEEN
    q = attention.q_norm(attention.q_proj(stream).view(heads))
    k = attention.k_norm(attention.k_proj(states).view(heads))
    v = attention.v_proj(states).view(heads)
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(circuits.HEAD_DIM**0.5).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten()[:READOUT]
