"""Every stage at its real size: nothing waits for the card between its steps, its memory is what was estimated, and an
item of a batch is its single run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from acestep_core.commands.benches import lm_bench, sizes
from acestep_core.commands.benches.runner import peak_bytes
from acestep_core.judge.alignment import combine_heads
from acestep_core.judge.attention import BLOCK, capture
from acestep_core.models import memory
from acestep_core.models.acestep import tokenizing_bytes
from acestep_core.models.fits import STATES
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import Guidance, LMSampling, Sampling
from acestep_core.planner.decode import CodesPrompt, codes_bytes, decode_codes
from acestep_core.render import vae
from acestep_core.render.conditioned import Branch, Conditioning
from acestep_core.render.guidance import OFF
from acestep_core.render.parts import states_in
from acestep_core.render.sampler import sample
from acestep_core.render.schedule import schedule
from tests.gpu.cards import Card, lively, unwaiting

ASIDE = 16 << 20
"""What libraries of a card keep for themselves."""


def near(card: Card, estimate: int, work: Callable[[], object]) -> None:
    """What work takes on a card is at most what was estimated, and more than half of it."""
    with torch.inference_mode():
        work()  # whatever is made once
        found = peak_bytes(work, card.device)
    if card.real:
        told = f"{found / 2**20:.0f} MiB found, {estimate / 2**20:.0f} MiB estimated"
        assert found <= 1.1 * estimate + ASIDE, told
        assert estimate <= 2 * found + ASIDE, told


def told(card: Card, width: int, batch: int, frames: int, states: int = STATES) -> Conditioning:
    """What songs are made from, on the card."""
    draws = torch.Generator().manual_seed(2)
    like = {"device": card.device, "dtype": card.dtype}
    branch = Branch(
        (torch.randn(batch, states, width, generator=draws).to(**like),),
        torch.randn(batch, frames, 128, generator=draws).to(**like),
    )
    return Conditioning(branch, torch.zeros(1, 1, width, **like))


def noise(batch: int, frames: int) -> Tensor:
    return torch.randn(batch, frames, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("mode", ["none", "apg"], ids=["turbo", "guided"])
@pytest.mark.parametrize(
    ("size", "batch", "seconds", "gigabytes"),
    [("2b", 1, 240, 7), ("2b", 8, 60, 9), ("2b", 1, 600, 9), ("xl", 1, 240, 14)],
)
def test_sampling(size: str, batch: int, seconds: int, gigabytes: float, mode: str, card: Card) -> None:
    card.needs(gigabytes)
    model = sizes.random_model(card.pick(size, "tiny"), card.device, card.dtype)
    frames, guidance = card.frames(seconds), OFF if mode == "none" else Guidance(mode, 7.0)
    conditioning, first = told(card, model.config.encoder_dim, batch, frames), noise(batch, frames)

    def made(monitor: Monitor = SILENT) -> Tensor:
        asked = (model.decoder, conditioning, first, schedule(8, 3.0), lambda: first)
        return sample(*asked, guidance, Sampling("euler"), monitor)

    assert made(unwaiting(card.device)).isfinite().all()
    size_of = (batch, frames, states_in(conditioning), model.dtype.itemsize)
    near(card, memory.denoising_bytes(model.config, *size_of, guided=guidance.enabled), made)


@pytest.mark.parametrize("batch", [4, 8])
def test_an_item_of_a_batch_is_its_single_run(batch: int, card: Card) -> None:
    """In bf16 kernels of other sizes add in another order; what that makes of a song stays small."""
    card.needs(9)
    model = lively(sizes.random_model(card.pick("2b", "tiny"), card.device, card.dtype))
    frames = card.frames(60)
    whole, first = told(card, model.config.encoder_dim, batch, frames), noise(batch, frames)

    def made(conditioning: Conditioning, first: Tensor) -> Tensor:
        return sample(model.decoder, conditioning, first, schedule(8, 3.0), lambda: first, OFF, Sampling("euler"))

    together = made(whole, first)
    for item in (0, batch - 1):
        one = Branch((whole.main.states[0][item : item + 1],), whole.main.context[item : item + 1])
        alone = made(Conditioning(one, whole.null), first[item : item + 1])
        made_of_noise, made_alone = ((x - first[item].to(x.device)) for x in (together[item], alone[0]))
        apart = (made_of_noise - made_alone).norm() / made_alone.norm()
        assert apart < (3e-2 if card.dtype == torch.bfloat16 else 1e-4)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize(("size", "songs", "gigabytes"), [("0.6b", 1, 4), ("1.7b", 8, 12), ("4b", 1, 12)])
def test_codes(size: str, songs: int, gigabytes: float, scale: float, card: Card) -> None:
    card.needs(gigabytes)
    lm = lm_bench.random_model(card.pick(size, "tiny"), card.device, card.dtype)
    prompt, other = lm.encode("a song about the sea " * 80), lm.encode("a song " * 20)
    count = 600 if card.real else 12
    asked = [CodesPrompt(prompt, other if scale != 1 else None, seed) for seed in range(songs)]

    def written(monitor: Monitor = SILENT) -> list[tuple[int, ...]]:
        return decode_codes(lm, asked, LMSampling(cfg_scale=scale), count, monitor)

    codes = written(unwaiting(card.device, first=3))
    assert all(len(song) == count for song in codes)
    assert codes == written()
    near(card, codes_bytes(lm, card.device, songs, scale != 1, len(prompt), count), written)


@pytest.mark.parametrize("seconds", [60, 240])
def test_the_vae(seconds: int, card: Card) -> None:
    network = lively(sizes.random_vae(card.pick("real", "tiny"), card.device, card.dtype))
    frames = card.frames(seconds)
    tile = min(frames, vae.largest_tile(card.device))
    latents = noise(1, frames)
    audio = vae.decode(network, latents, tile)
    assert audio.shape == (1, 2, 1920 * frames) and audio.isfinite().all()
    halves = vae.decode(network, latents, tile // 2)
    assert (audio - halves).norm() / audio.norm() < (0.2 if card.dtype == torch.bfloat16 else 1e-4)
    near(card, vae.decoding(network, tile), lambda: vae.decode(network, latents, tile))
    short = 0.1 * audio[..., : 1920 * min(frames, 1500)]
    near(card, vae.encoding(network, tile), lambda: vae.encode(network, short, tile))


def test_reading_and_conditions(card: Card) -> None:
    text = sizes.random_qwen(card.pick("0.6b", "tiny"), 2000, card.device, card.dtype)
    rows = 16
    ids = torch.arange(256, device=card.device).expand(rows, -1)
    near(card, memory.reading_bytes(text.config, rows * 256, card.dtype.itemsize), lambda: text(ids))
    model = sizes.random_model(card.pick("2b", "tiny"), card.device, card.dtype)
    config, like = model.config, {"device": card.device, "dtype": card.dtype}
    width, lyrics = config.text_hidden_dim, 1000
    inputs = [torch.randn(1, length, width, **like) for length in (256, lyrics)]
    inputs.append(torch.randn(1, config.timbre_fix_frame, 64, **like))
    longest = max(memory.windowed(config, lyrics), memory.windowed(config, config.timbre_fix_frame))
    near(card, memory.encoding_bytes(config, longest, STATES, card.dtype.itemsize), lambda: model.encoder(*inputs))
    latents = noise(1, card.frames(240)).to(**like)
    model.silence_latent = latents
    near(card, tokenizing_bytes(model, latents.shape[1]), lambda: model.codes(latents))


def test_listening(card: Card) -> None:
    model = sizes.random_model(card.pick("2b", "tiny"), card.device, card.dtype)
    frames, like = card.frames(240), {"device": card.device, "dtype": card.dtype}
    x, context = torch.randn(1, frames, 64, **like), torch.randn(1, frames, 128, **like)
    states, heads = torch.randn(1, STATES, model.config.encoder_dim, **like), {1: (0, 3), 2: (1,)}
    estimate = memory.listening_bytes(model.config, frames, STATES, 700, BLOCK, card.dtype.itemsize)
    asked = (model.decoder, x, 0.1, context, states, heads, slice(10, 710))
    near(card, estimate, lambda: combine_heads(capture(*asked)))
