"""Batches, tiles and chunks in parts: the same songs, and once more in smaller parts where memory ends."""

from __future__ import annotations

import pytest
import torch

from acestep_core.errors import OutOfMemory
from acestep_core.models.manager import ModelManager, manager
from acestep_core.options import Sampling
from acestep_core.planner import planning
from acestep_core.planner.plan import Plan
from acestep_core.render import stages
from acestep_core.render.conditioned import Branch, Conditioning, Hold
from acestep_core.render.conditioning import condition
from acestep_core.render.guidance import Guidance
from acestep_core.render.parts import part_of, states_in
from acestep_core.render.repaint import RepaintSettings
from acestep_core.render.schedule import schedule
from acestep_core.render.tasks import text2music
from acestep_core.song.description import Song

SONGS = [Song("one", "la la la", duration=10), Song("two words", "", duration=10), Song("two words", "", duration=10)]
FULL = torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def in_parts(monkeypatch):
    """Makes everything that fits be done in parts of the given size."""

    def choose(size):
        monkeypatch.setattr(ModelManager, "_fitting", lambda self, handle, needs, wanted, least: min(size, wanted))

    return choose


@pytest.mark.parametrize("method", ["euler", "sde"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_in_parts_gives_the_same_songs(tiny_base, in_parts, method, parts):
    conditioning = condition(tiny_base.model, SONGS, [text2music(10.0)])
    times, given = schedule(3, 3.0), (Guidance("apg", 4.0), Sampling(method, velocity_clamp=2.0, velocity_ema=0.1))
    initial = torch.randn(3, 250, 64, generator=torch.Generator().manual_seed(0)) if parts == 1 else None
    whole = stages.render_latents(tiny_base.model, conditioning, [5, 6, 7], times, *given, initial)
    in_parts(parts)
    pieces = stages.render_latents(tiny_base.model, conditioning, [5, 6, 7], times, *given, initial)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=2e-5)


def test_a_batch_that_shares_one_conditioning_too(tiny_models, in_parts):
    conditioning = condition(tiny_models.model, SONGS[:1], [text2music(10.0)])
    whole = stages.render_latents(tiny_models.model, conditioning, [1, 2, 3], schedule(2, 3.0))
    in_parts(2)
    pieces = stages.render_latents(tiny_models.model, conditioning, [1, 2, 3], schedule(2, 3.0))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=2e-5)


def test_parts_keep_every_rows_own(tiny_models):
    """Rows of different lengths are grouped; a part takes the groups apart."""
    conditioning = condition(tiny_models.model, SONGS, [text2music(10.0)])
    assert [len(group) for group in conditioning.main.states] == [1, 2]
    one, two = part_of(conditioning, 0, 2), part_of(conditioning, 2, 3)
    assert [len(group) for group in one.main.states] == [1, 1] and [len(g) for g in two.main.states] == [1]
    assert one.main.states[1].equal(conditioning.main.states[1][:1])
    assert (one.batch, two.batch) == (2, 1)
    assert one.lyric_tokens + two.lyric_tokens == conditioning.lyric_tokens
    shared = condition(tiny_models.model, SONGS[1:], [text2music(10.0)])
    assert states_in(shared) == states_in(part_of(shared, 0, 1)), "rows that share their states count once"


def test_parts_of_everything_a_task_may_hold():
    def numbered(*shape: int) -> torch.Tensor:
        return torch.arange(3.0).view(3, *[1] * len(shape)).expand(3, *shape).clone()

    def branch() -> Branch:
        return Branch((numbered(4, 8)[:1], numbered(5, 8)[1:]), numbered(6, 128))

    hold = Hold(numbered(6, 64), numbered(6) > 0, RepaintSettings(0.5, 12, 0.02), numbered(6))
    whole = Conditioning(
        branch(),
        torch.zeros(1, 1, 8),
        branch(),
        source=numbered(6, 64),
        hold=hold,
        was=branch(),
        lyric_tokens=((0,), (1,), (2,)),
    )
    part = part_of(whole, 1, 3)
    found = [part.source, part.hold.clean, part.hold.soft, part.main.context, part.plain.context, part.was.context]
    found += [part.main.states[0], part.plain.states[0], part.was.states[0]]
    for tensor in found:
        assert tensor.flatten(1)[:, 0].tolist() == [1, 2]
    assert part.hold.region.all() and part.lyric_tokens == ((1,), (2,))
    assert states_in(whole) == 3 * (4 + 2 * 5)


def failing_once(monkeypatch, module, name):
    """Makes a function run out of memory at its first call; returns the list of its calls."""
    real, calls = getattr(module, name), []

    def work(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise FULL
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, work)
    return calls


def test_sampling_goes_on_with_half_the_batch(tiny_models, monkeypatch):
    conditioning = condition(tiny_models.model, SONGS[:1], [text2music(10.0)])
    whole = stages.render_latents(tiny_models.model, conditioning, [1, 2, 3, 4], schedule(2, 3.0))
    calls = failing_once(monkeypatch, stages, "sample")
    again = stages.render_latents(tiny_models.model, conditioning, [1, 2, 3, 4], schedule(2, 3.0))
    assert [call[1].batch for call in calls] == [4, 2, 2]
    torch.testing.assert_close(again, whole, rtol=0, atol=2e-5)
    assert all(entry.pins == 0 for entry in manager._entries.values())


def test_decoding_and_encoding_go_on_with_half_the_tile(tiny_models, monkeypatch):
    latents = torch.randn(1, 150, 64, generator=torch.Generator().manual_seed(1))
    whole = stages.decode_latents(tiny_models.vae, latents, tile=128)
    calls = failing_once(monkeypatch, stages.vae, "decode")
    again = stages.decode_latents(tiny_models.vae, latents, tile=128)
    assert [call[2] for call in calls] == [128, 64]
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-5)
    calls = failing_once(monkeypatch, stages.vae, "encode")
    first = stages.encode_audio(tiny_models.vae, whole, seed=3, tile=128)
    assert [call[2] for call in calls] == [128, 64]
    torch.testing.assert_close(first, stages.encode_audio(tiny_models.vae, whole, seed=3, tile=128), rtol=0, atol=1e-4)


def test_codes_go_on_with_half_the_chunk(tiny_models, monkeypatch):
    song, plan = Song("a", "b"), Plan(duration=10)
    whole = planning.codes_of(tiny_models.lm, song, plan, [1, 2, 3, 4])
    calls = failing_once(monkeypatch, planning, "decode_codes")
    assert planning.codes_of(tiny_models.lm, song, plan, [1, 2, 3, 4]) == whole
    assert [len(call[1]) for call in calls] == [4, 2, 2]


def test_a_second_time_is_the_last(tiny_models, monkeypatch):
    def full(*args, **kwargs):
        raise FULL

    monkeypatch.setattr(stages, "sample", full)
    conditioning = condition(tiny_models.model, SONGS[:1], [text2music(10.0)])
    with pytest.raises(OutOfMemory, match=r"The diffusion model ran out of memory on cpu: .* MiB"):
        stages.render_latents(tiny_models.model, conditioning, [1, 2], schedule(2, 3.0))
