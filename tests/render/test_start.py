"""Starting from latents: which steps are run, where the first state lies, and what stays."""

import pytest
import torch
from torch.testing import assert_close

from acestep_core.errors import InvalidInput
from acestep_core.options import Morph, Start
from acestep_core.records.song_record import FileRecord
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.sampler import sample
from acestep_core.render.schedule import passage, schedule
from acestep_core.render.start import StartLatents, check_start, mask_of
from tests.render.toys import FRAMES, ToyDecoder, latents, towards

GOAL, NOISE, GIVEN = latents(1), latents(3), latents(4)
TIMES = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
FILE = FileRecord("latent", "latent")


def run(times, begin=None, **more):
    told, decoder = Conditioning(towards(GOAL), torch.zeros(1, 1, 64)), more.pop("decoder", None) or ToyDecoder()
    return sample(decoder, told, NOISE, times, lambda: NOISE, turbo=False, begin=begin, **more)


def test_denoise_runs_all_steps_of_a_longer_schedule():
    """As ComfyUI's KSampler: 8 steps at 0.5 are the last 8 of 16."""
    start = Start(denoise=0.5)
    whole = schedule(8, 3.0, start=start)
    assert len(whole) == 17 and torch.equal(passage(whole, start), schedule(16, 3.0)[8:])


@pytest.mark.parametrize("steps", [1, 3, 8, 50])
@pytest.mark.parametrize("denoise", [0.01, 0.1, 0.3, 0.35, 0.7, 0.9, 0.99])
def test_as_many_steps_are_run_as_were_asked_for(steps, denoise):
    start = Start(denoise=denoise)
    assert len(passage(schedule(steps, start=start), start)) == steps + 1


def test_of_own_times_the_last_share_is_run():
    assert passage(TIMES, Start(denoise=0.5)).tolist() == [0.5, 0.25, 0.0]
    assert passage(TIMES, Start(denoise=0.6)).tolist() == [0.75, 0.5, 0.25, 0.0]


def test_first_and_last_step():
    assert passage(TIMES, Start(start_step=1, end_step=3)).tolist() == [0.75, 0.5, 0.0]
    assert passage(TIMES, Start(start_step=1, end_step=3, leave_noise=True)).tolist() == [0.75, 0.5, 0.25]
    assert torch.equal(passage(TIMES, Start(end_step=9)), TIMES)
    with pytest.raises(InvalidInput, match="begin after step 4"):
        passage(TIMES, Start(start_step=4))


def test_own_times_may_end_above_zero_where_noise_is_left():
    assert schedule(timesteps=[1, 0.5], start=Start(leave_noise=True)).tolist() == [1.0, 0.5]
    assert schedule(timesteps=[1, 0.5]).tolist() == [1.0, 0.5, 0.0]


def test_the_first_state_is_the_latent_half_hidden_in_noise():
    decoder = ToyDecoder()
    run(TIMES[2:], StartLatents(GIVEN, FILE), decoder=decoder)
    assert_close(decoder.seen[0], 0.5 * NOISE + 0.5 * GIVEN)


def test_what_the_mask_spares_comes_out_as_it_went_in():
    mask = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.5, 1.0]])
    got = run(TIMES, StartLatents(GIVEN, FILE, mask))
    assert torch.equal(got[:, :2], GIVEN[:, :2])
    assert_close(got[:, 2:4], GOAL[:, 2:4])
    assert not torch.allclose(got[:, 4], GIVEN[:, 4]) and not torch.allclose(got[:, 4], GOAL[:, 4])


def test_two_runs_one_after_the_other_are_one():
    whole = run(TIMES)
    first = run(TIMES[:3])
    decoder = ToyDecoder()
    second = run(TIMES[2:], StartLatents(first, FILE, add_noise=False), decoder=decoder)
    assert_close(decoder.seen[0], (1 - TIMES[2]) * first)
    assert_close(second, whole)
    assert not torch.allclose(first, whole)


def test_a_sampler_of_somebody_else_goes_the_same_way():
    def straight_on(clean, x, times, tick):
        for step, (now, then) in enumerate(zip(times[:-1].tolist(), times[1:].tolist())):
            estimate = clean(x, now)
            tick(step, estimate)
            x = x + (then - now) * (x - estimate) / now
        return x

    mask = torch.tensor([[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]])
    for begin in (None, StartLatents(GIVEN, FILE), StartLatents(GIVEN, FILE, mask)):
        assert_close(run(TIMES[1:], begin, integrator=straight_on), run(TIMES[1:], begin), atol=1e-5, rtol=1e-5)


def test_short_latents_are_filled_up_with_silence_and_made_there():
    silence = torch.full((1, 9, 64), 7.0)
    start = StartLatents(GIVEN[:, :4], FILE, torch.zeros(1, 4)).laid_out(FRAMES, silence, torch.device("cpu"))
    assert torch.equal(start.latents[:, 4:], silence[:, :2]) and start.mask.tolist() == [[0, 0, 0, 0, 1, 1]]


def test_another_length_or_number_is_refused():
    start = StartLatents(torch.zeros(2, 250, 64), FILE)
    start.check(2, 250, 480_000)
    with pytest.raises(InvalidInput, match="10 s long and the song 12 s"):
        start.check(2, 300, 576_000)
    with pytest.raises(InvalidInput, match="2 songs, and 3 are made"):
        start.check(3, 250, 480_000)


@pytest.mark.parametrize("wanted", [{"denoise": 0.5}, {"start_step": 2}, {"add_noise": False}])
def test_what_needs_a_latent_says_so(wanted):
    with pytest.raises(InvalidInput, match=f"{next(iter(wanted))} needs a latent"):
        check_start(None, Start(**wanted), Conditioning(towards(GOAL), NOISE))


@pytest.mark.parametrize("told", [{"source": GIVEN, "start_strength": 0.5}, {"morph": Morph(), "source": GIVEN}])
def test_tasks_that_start_from_their_recording_take_no_latent(told):
    with pytest.raises(InvalidInput, match="starts from its recording already"):
        check_start(StartLatents(GIVEN, FILE), Start(), Conditioning(towards(GOAL), NOISE, **told))


def test_masks_of_every_kind():
    assert mask_of("0.04-0.12; 0.2-9", 6).tolist() == [[0, 1, 1, 0, 0, 1]]
    assert mask_of([0, 1], 2).tolist() == [[0, 1]]
    assert mask_of(torch.ones(2, 1, 3, 6), 6).shape == (2, 6)  # ComfyUI's, of an image's mask
    assert mask_of([[0.0, 1.0]], 4)[0].tolist() == [0.0, 0.25, 0.75, 1.0]


@pytest.mark.parametrize("told", ["", "3", "5-2", "a-b", "-1-2", [2.0], [], object(), [float("nan")]])
def test_what_is_no_mask_is_refused(told):
    with pytest.raises(InvalidInput):
        mask_of(told, 6)
