"""Morphs: the flow of a recording to another, driven by the loop of every other run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from acestep_core.errors import Cancelled, InvalidInput
from acestep_core.monitor import Monitor
from acestep_core.options import Guidance, Morph, Sampling
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.guidance import OFF
from acestep_core.render.sampler import METHODS, check_morph, sample
from acestep_core.render.schedule import schedule
from acestep_core.render.velocity import Velocity
from acestep_core.seeds import draw, generators
from tests.render.toys import FRAMES, ToyDecoder, latents, towards

SOURCE = latents(1)
TIMES = schedule(6, 2.0)


WHOLE, EULER = Morph(), Sampling()


def told(was, becomes, edit=WHOLE, source=SOURCE):
    nothing = torch.zeros(1, 1, 64)
    return Conditioning(towards(becomes), nothing, source=source, was=towards(was), morph=edit)


def run(edit, was, becomes, guidance=OFF, sampling=EULER, decoder=None, monitor=None, seed=5):
    sources = generators([seed])
    conditioning = told(was, becomes, edit)
    unused = torch.full_like(SOURCE, float("nan"))
    again = lambda: draw(sources, FRAMES)  # noqa: E731
    return sample(decoder or ToyDecoder(), conditioning, unused, TIMES, again, guidance, sampling, monitor or Monitor())


@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.parametrize("wavelet", ["off", "double"])
def test_the_same_description_changes_nothing(method, wavelet):
    assert_close(run(WHOLE, SOURCE, SOURCE, sampling=Sampling(method, 0.0, 0.3, wavelet=wavelet)), SOURCE)


def test_another_description_leads_there():
    goal = torch.ones_like(SOURCE)
    assert_close(run(WHOLE, SOURCE, goal), goal, rtol=1e-4, atol=1e-4)


def test_free_sampling_after_the_window_ends_at_the_target():
    goal = torch.ones_like(SOURCE)
    assert_close(run(Morph(end=0.5), SOURCE, goal), goal, rtol=1e-4, atol=1e-4)


def test_what_is_never_edited_is_the_recording():
    decoder = ToyDecoder()
    assert torch.equal(run(Morph(start=1.0), SOURCE, SOURCE + 1, decoder=decoder), SOURCE)
    assert not decoder.calls


def test_one_edit_step_by_hand():
    """Two steps, one edited and one free, each with its own draw of the seed's noise."""
    sources = generators([5])
    was, becomes, edit = latents(2), latents(3), Morph(end=0.5)
    times = torch.tensor([1.0, 0.4, 0.0])
    decoder = ToyDecoder()
    got = sample(decoder, told(was, becomes, edit), SOURCE, times, lambda: draw(sources, FRAMES))
    same = generators([5])
    first, second = draw(same, FRAMES), draw(same, FRAMES)
    noised = first  # at flow time 1 nothing of the recording is left
    edited = SOURCE - (1.0 - 0.4) * (((noised + SOURCE - SOURCE) - becomes) - (noised - was))
    x = edited + (0.6 * SOURCE + 0.4 * second) - SOURCE
    assert_close(decoder.seen[-1], x)
    assert_close(got, x - 0.4 * (x - becomes) / 0.4, rtol=1e-5, atol=1e-5)


def test_a_late_start_skips_steps_and_draws_cost_calls():
    decoder = ToyDecoder()
    run(Morph(start=0.5), SOURCE, SOURCE + 1, decoder=decoder)
    assert [t for t, _ in decoder.calls] == [t for t in TIMES[3:-1].tolist() for _ in range(2)]
    decoder.calls.clear()
    run(Morph(start=0.34, end=0.67), SOURCE, SOURCE + 1, decoder=decoder)
    assert len(decoder.calls) == 2 * 2 + 2
    decoder.calls.clear()
    run(Morph(average=3), SOURCE, SOURCE + 1, decoder=decoder)
    assert len(decoder.calls) == 2 * 3 * 6


def test_heun_looks_twice_under_the_same_noise():
    decoder, draws = ToyDecoder(), []
    sources = generators([5])

    def again():
        draws.append(1)
        return draw(sources, FRAMES)

    sample(decoder, told(SOURCE, SOURCE + 1), SOURCE, TIMES, again, OFF, Sampling("heun"))
    assert len(decoder.calls) == 2 * 2 * 6 and len(draws) == 6


def test_every_control_reaches_a_morph():
    goal, turn = latents(7), Guidance("cfg", 3.0, 0.0, 0.6)  # a turn on the way, which smoothing rounds
    plain = run(WHOLE, SOURCE, goal, turn)
    for sampling in (Sampling("heun"), Sampling(velocity_clamp=0.05), Sampling(velocity_ema=0.5)):
        assert not torch.allclose(run(WHOLE, SOURCE, goal, turn, sampling), plain, atol=1e-3), sampling
    assert not torch.allclose(run(WHOLE, SOURCE, goal), plain, atol=1e-3)


def test_what_a_morph_cannot_have_is_refused():
    for method in METHODS:
        if method != "sde":
            check_morph(Sampling(method, 1.0, 0.1, wavelet="double"), varied=False)
    with pytest.raises(InvalidInput, match=r"sde.*euler, heun\.$"):
        check_morph(Sampling("sde"), varied=False)
    with pytest.raises(InvalidInput, match="variation"):
        check_morph(Sampling(), varied=True)


class Outwards(Velocity):
    """Predicts the state itself where it is told, and nothing where it is not."""

    def predict(self, x, t, guided):
        return x, torch.zeros_like(x)


def test_draws_of_one_step_share_the_momentum():
    velocity = Outwards(ToyDecoder(), torch.zeros(1, 1, 64), Guidance(scale=3.0))
    states = [SOURCE + 1, SOURCE + 2]
    velocity(states, 0.5)
    assert_close(velocity.memory.average, SOURCE + 1.5)
    velocity(states, 0.5)
    assert_close(velocity.memory.average, 0.25 * (SOURCE + 1.5))
    velocity(states, 0.4, again=True)
    assert_close(velocity.memory.average, 0.25 * (SOURCE + 1.5), msg="a second look does not advance it")


def test_rows_of_a_morph_keep_apart():
    source, was, becomes = latents(1, 2), latents(2, 2), latents(3, 2)
    times = schedule(4, 1.0)

    def morphed(rows, seeds):
        sources = generators(seeds)
        here = told(was[rows], becomes[rows], Morph(end=0.5), source[rows])
        return sample(ToyDecoder(), here, source[rows], times, lambda: draw(sources, FRAMES), Guidance("apg", 3.0))

    both = morphed(slice(0, 2), [5, 6])
    assert_close(both[:1], morphed(slice(0, 1), [5]))
    assert_close(both[1:], morphed(slice(1, 2), [6]))


def test_a_cancel_stops_within_a_step():
    decoder = ToyDecoder()
    with pytest.raises(Cancelled):
        cancelled = Monitor(cancelled=lambda: len(decoder.calls) >= 4)
        run(WHOLE, SOURCE, SOURCE, decoder=decoder, monitor=cancelled)
    assert len(decoder.calls) == 4


def test_a_morph_without_its_source_is_a_bug():
    with pytest.raises(ValueError, match="source"):
        sample(ToyDecoder(), replace(told(SOURCE, SOURCE), source=None), SOURCE, TIMES, lambda: SOURCE)


@pytest.mark.parametrize("bad", [{"start": 0.6, "end": 0.5}, {"end": 1.1}, {"average": 0}, {"start": float("nan")}])
def test_settings_are_checked(bad):
    with pytest.raises(InvalidInput):
        Morph(**bad)
