"""What stages say they need, against what the real code is seen to allocate."""

from __future__ import annotations

import pytest
import torch

from acestep_core.commands.benches.runner import peak_bytes
from acestep_core.judge.alignment import combine_heads
from acestep_core.judge.attention import capture
from acestep_core.judge.lm_score import AT_ONCE, token_scores
from acestep_core.models import memory
from acestep_core.models.acestep import AceStepModel, tokenizing_bytes
from acestep_core.models.conditioner import ConditionEncoder
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from acestep_core.models.layers import scores_bytes
from acestep_core.models.manager import manager
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE
from acestep_core.models.qwen3 import Qwen3, Qwen3Config, StaticKVCache
from acestep_core.options import Guidance, LMSampling, Morph, Sampling
from acestep_core.planner.decode import CodesPrompt, codes_bytes, decode_codes
from acestep_core.planner.rows import reach_of
from acestep_core.render.conditioned import Branch, Conditioning
from acestep_core.render.parts import states_in
from acestep_core.render.sampler import sample
from acestep_core.render.schedule import schedule
from tests.models.peak import Peak

CPU = torch.device("cpu")
MID = AceStepConfig(
    hidden_size=256, intermediate_size=768, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    head_dim=64, text_hidden_dim=64, timbre_fix_frame=200, fsq_dim=256,
)  # fmt: skip
XL = AceStepConfig(
    hidden_size=2560, intermediate_size=9728, num_hidden_layers=32, num_attention_heads=32, encoder_hidden_size=2048,
    encoder_intermediate_size=6144, encoder_num_attention_heads=16, encoder_num_key_value_heads=8,
)  # fmt: skip
LM_MID = Qwen3Config(4000, 128, 384, 3, 4, 2, 32)
LM_17B = Qwen3Config(217204, 2048, 6144, 28, 16, 8)


def measured(work) -> int:
    """Most bytes alive at once on the CPU, with what kernels take inside."""
    with torch.inference_mode():
        return peak_bytes(work, CPU)


def counted(work) -> int:
    """Most bytes of tensors alive at once, on any device."""
    with torch.inference_mode(), Peak() as seen:
        work()
    return seen.most


def near(estimate: int, found: int) -> None:
    told = f"{found} found, {estimate} estimated"
    assert found <= estimate + scores_bytes(CPU), told
    assert estimate <= memory.SLACK * found + memory.TRIFLE, told


def close(estimate: float, found: int) -> None:
    """As `near`, for models of the usual sizes."""
    assert found <= estimate <= memory.NEAR * found + memory.TRIFLE, f"{found} found, {estimate} estimated"


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_is_known_to_the_byte(rows, dtype):
    cache = StaticKVCache(LM_17B, rows, 1536, dtype=dtype, device="meta")
    assert memory.kv_cache_bytes(LM_17B, rows, 1536, dtype.itemsize) == cache.buffer.nbytes


def test_eight_songs_of_four_minutes_take_what_the_review_found():
    """3.1 GiB of keys and values for the 1.7B model with guidance, as counted by hand."""
    assert memory.kv_cache_bytes(LM_17B, 16, reach_of(500 + 1200), 2) / 2**30 == pytest.approx(3.06, abs=0.01)


@pytest.mark.processor
@pytest.mark.parametrize("tokens", [64, 700])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reading(tokens, dtype):
    model = Qwen3(LM_MID).to(dtype)
    found = measured(lambda: model(torch.zeros(2, tokens, dtype=torch.long)))
    near(memory.reading_bytes(LM_MID, 2 * tokens, dtype.itemsize), found)


def test_reading_at_full_size():
    with torch.device("meta"):
        model, ids = Qwen3(LM_17B).to(torch.bfloat16), torch.zeros(1, 4000, dtype=torch.long)
        close(memory.reading_bytes(LM_17B, 4000, 2), counted(lambda: model(ids)))


@pytest.mark.parametrize("songs", [1, 4])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_writing_codes(tiny_models, songs, scale):
    with manager.resident(tiny_models.lm) as lm:
        prompt = lm.encode("a song " * 60)
        other = None if scale == 1 else prompt[:40]
        asked = [CodesPrompt(prompt, other, seed) for seed in range(songs)]
        found = measured(lambda: decode_codes(lm, asked, LMSampling(cfg_scale=scale), 20))
        near(codes_bytes(lm, CPU, songs, scale != 1, len(prompt), 20), found)


def test_scoring(tiny_models):
    with manager.resident(tiny_models.lm) as lm:
        prompt, texts = "what is this " * 40, ["la la la " * 50, "short"]
        found = measured(lambda: token_scores(lm, prompt, texts))
        longest = len(lm.encode(prompt + texts[0]))
        near(memory.scoring_bytes(lm.model.config, 2, longest, AT_ONCE, lm.dtype.itemsize), found)


def told(config: AceStepConfig, batch: int, frames: int, states: int, plain: bool = False) -> Conditioning:
    def branch() -> Branch:
        return Branch((torch.randn(batch, states, config.encoder_dim),), torch.randn(batch, frames, 128))

    null = torch.randn(1, 1, config.encoder_dim)
    return Conditioning(branch(), null, branch() if plain else None, 0.5 if plain else 1.0)


@pytest.mark.parametrize("method", ["euler", "heun", "sde"])
@pytest.mark.parametrize("mode", ["none", "apg", "adg"])
def test_denoising(method, mode):
    decoder, conditioning = DiT(MID).requires_grad_(False), told(MID, 2, 800, 300, plain=True)
    noise, guidance = torch.randn(2, 800, 64), Guidance(mode, 7.0)
    sampling = Sampling(method, 2.0, 0.1, wavelet="double")
    found = measured(
        lambda: sample(
            decoder, conditioning, noise, schedule(3, 1.0), lambda: torch.randn(2, 800, 64), guidance, sampling
        )
    )
    size = (2, 800, states_in(conditioning), 4)
    near(memory.denoising_bytes(MID, *size, guided=guidance.enabled), found)


@pytest.mark.parametrize("mode", ["none", "apg"])
@pytest.mark.parametrize("config", [AceStepConfig(), XL], ids=["2b", "xl"])
@pytest.mark.parametrize(("rows", "frames"), [(1, 1500), (1, 6000), (1, 15000), (8, 6000)])
def test_denoising_at_full_size(config, rows, frames, mode):
    """The loop at the sizes of the released checkpoints, keys and values included."""
    times, guidance = schedule(3, 1.0), Guidance(mode, 7.0)
    with torch.device("meta"):
        decoder, first = DiT(config).to(torch.bfloat16), torch.zeros(rows, frames, 64)
        branch = Branch((torch.zeros(rows, 900, config.encoder_dim),), torch.zeros(rows, frames, 128))
        conditioning = Conditioning(branch, torch.zeros(1, 1, config.encoder_dim)).beside(first.to(torch.bfloat16))
    size = (rows, frames, states_in(conditioning), 2)
    found = counted(lambda: sample(decoder, conditioning, first, times, first.clone, guidance, Sampling("euler")))
    close(memory.denoising_bytes(config, *size, guided=guidance.enabled), found)


@pytest.mark.parametrize("mode", ["none", "apg"])
@pytest.mark.parametrize("draws", [1, 16])
def test_morphing_at_full_size(draws, mode):
    """Every draw is held, and what is predicted from it."""
    config, rows, frames, guidance = AceStepConfig(), 1, 15000, Guidance(mode, 7.0)
    times = schedule(3, 1.0)
    with torch.device("meta"):
        decoder, first = DiT(config).to(torch.bfloat16), torch.zeros(rows, frames, 64)
        branches = [Branch((torch.zeros(rows, 900, config.encoder_dim),), torch.zeros(rows, frames, 128)) for _ in "tw"]
        null, edit = torch.zeros(1, 1, config.encoder_dim), Morph("piano", average=draws)
        conditioning = Conditioning(branches[0], null, morph=edit, was=branches[1], source=first)
        conditioning = conditioning.beside(first.to(torch.bfloat16))
    size = (rows, frames, states_in(conditioning), 2)
    found = counted(lambda: sample(decoder, conditioning, first, times, first.clone, guidance, Sampling("euler")))
    estimate = memory.denoising_bytes(config, *size, guided=guidance.enabled, draws=draws)
    assert found <= estimate <= 1.2 * found, f"{found} found, {estimate} estimated"


@pytest.mark.parametrize("songs", [1, 8])
def test_conditioning_songs_with_codes_at_full_size(songs):
    """Codes are read song by song, before the encoder is at work."""
    config, codes = AceStepConfig(), 1200
    with torch.device("meta"):
        model = AceStepModel(config).to(torch.bfloat16)
        width = config.text_hidden_dim
        inputs = [torch.zeros(1, length, width, dtype=torch.bfloat16) for length in (256, 600)]
        inputs.append(torch.zeros(1, config.timbre_fix_frame, 64, dtype=torch.bfloat16))

    def work() -> None:
        for _ in range(songs):
            model.hints(torch.zeros(1, codes, dtype=torch.long, device="meta"))
        states = [model.encoder(*inputs) for _ in range(songs)]
        torch.cat(states)

    longest, states = memory.windowed(config, config.timbre_fix_frame), songs * (256 + 600 + 1)
    close(memory.conditioning_bytes(config, longest, states, 5 * codes, 2), counted(work))


@pytest.mark.parametrize(("lyrics", "clips"), [(900, 1), (10, 3)])
def test_encoding_conditions(lyrics, clips):
    encoder = ConditionEncoder(MID).requires_grad_(False)
    inputs = torch.randn(1, 60, 64), torch.randn(1, lyrics, 64), torch.randn(clips, 200, 64)
    found = measured(lambda: encoder(*inputs))
    longest = max(memory.windowed(MID, lyrics), memory.windowed(MID, 200) * clips)
    near(memory.encoding_bytes(MID, longest, 60 + lyrics + clips, 4, clips), found)


def test_tokenizing_at_full_size():
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig()).to(torch.bfloat16)
        model.silence_latent = torch.zeros(1, 15000, 64)
        latents, codes = torch.zeros(1, 15000, 64, dtype=torch.bfloat16), torch.zeros(1, 3000, dtype=torch.long)
        close(tokenizing_bytes(model, 15000), counted(lambda: model.codes(latents)))
        close(memory.encoding_bytes(model.config, 15000, 15000, 2), counted(lambda: model.hints(codes)))


@pytest.mark.parametrize(("lyrics", "clips"), [(4000, 1), (1000, 1), (10, 8)])
def test_encoding_conditions_at_full_size(lyrics, clips):
    config = AceStepConfig()
    with torch.device("meta"):
        encoder, width = ConditionEncoder(config).to(torch.bfloat16), config.text_hidden_dim
        of_shape = ((1, 256, width), (1, lyrics, width), (clips, config.timbre_fix_frame, 64))
        inputs = [torch.zeros(shape, dtype=torch.bfloat16) for shape in of_shape]
    longest = max(memory.windowed(config, lyrics), memory.windowed(config, config.timbre_fix_frame) * clips)
    close(memory.encoding_bytes(config, longest, 256 + lyrics + clips, 2, clips), counted(lambda: encoder(*inputs)))


@pytest.mark.parametrize("frames", [256, 3000])
def test_vae_windows_at_full_size(frames):
    """Without what libraries take."""
    with torch.device("meta"):
        vae = OobleckVAE(OobleckConfig()).to(torch.bfloat16)
        latents, audio = (torch.zeros(1, *shape, dtype=torch.bfloat16) for shape in ((64, frames), (2, 1920 * frames)))
    decoding, encoding = memory.decoding_bytes(vae.config, frames, 2), memory.vae_encoding_bytes(vae.config, frames, 2)
    close(decoding / memory.LIBRARIES, counted(lambda: vae.decode(latents)))
    close(encoding / memory.LIBRARIES, counted(lambda: vae.posterior(audio)))


def test_listening_for_lyrics():
    decoder = DiT(MID).requires_grad_(False)
    x, context, states = torch.randn(1, 1200, 64), torch.randn(1, 1200, 128), torch.randn(1, 700, 256)
    heads = {1: (0, 3), 2: (1,)}
    found = measured(lambda: combine_heads(capture(decoder, x, 0.1, context, states, heads, slice(10, 600))))
    near(memory.listening_bytes(MID, 1200, 700, 600, 256, 4), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frames", [10, 40])
def test_vae_windows(dtype, frames):
    config = OobleckConfig(encoder_hidden_size=16, decoder_channels=16)
    vae = OobleckVAE(config).to(dtype).requires_grad_(False)
    latents, audio = torch.zeros(1, 64, frames, dtype=dtype), torch.zeros(1, 2, 1920 * frames, dtype=dtype)
    near(memory.decoding_bytes(config, frames, dtype.itemsize), measured(lambda: vae.decode(latents)))
    near(memory.vae_encoding_bytes(config, frames, dtype.itemsize), measured(lambda: vae.posterior(audio)))
