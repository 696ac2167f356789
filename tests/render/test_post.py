import re

import pytest
import torch

from acestep_core.errors import GenerationError, InvalidInput
from acestep_core.options import Finish
from acestep_core.render.post import check_audio, check_given, check_latents, fade, finished, limit_peak, normalize_peak
from tests.models.peak import Peak


def tone(peak: float = 0.5, items: int = 2, samples: int = 480) -> torch.Tensor:
    wave = torch.sin(torch.arange(samples) / 7.0)
    return (wave / wave.abs().max() * peak).expand(items, 2, samples).clone()


def test_each_item_is_levelled_on_its_own() -> None:
    audio = tone()
    audio[1] *= 4.0
    limited = limit_peak(audio)
    assert torch.equal(limited[0], audio[0])
    assert limited[1].abs().max() == pytest.approx(1.0)
    assert normalize_peak(audio, -6.0).abs().amax(dim=(1, 2)).tolist() == pytest.approx([10 ** (-6 / 20)] * 2)


def test_silence_is_not_amplified() -> None:
    audio = tone() * 1e-7
    assert torch.equal(normalize_peak(audio), audio)


def test_inputs_are_not_changed() -> None:
    audio = tone(2.0)
    before = audio.clone()
    limit_peak(audio), normalize_peak(audio), fade(audio, 10, 10), finished(audio, Finish(-3.0, 0.001, 0.001))
    assert torch.equal(audio, before)


def test_finish_normalises_then_fades() -> None:
    made = finished(tone(), Finish(peak_db=-1.0, fade_in=0.001, fade_out=0.002))
    assert made[..., 0].abs().max() == 0 and made[..., -1].abs().max() == 0
    assert made.abs().max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert torch.equal(finished(tone(), Finish(peak_db=None)), tone())


@pytest.mark.parametrize("wrong", [{"peak_db": 0.1}, {"peak_db": float("nan")}, {"fade_in": -1.0}, {"fade_out": 601.0}])
def test_finish_refuses_what_is_out_of_range(wrong: dict) -> None:
    with pytest.raises(InvalidInput):
        Finish(**wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named_by_item(value: float) -> None:
    audio, latents = tone(), torch.randn(3, 10, 64)
    check_audio(audio)
    check_latents(latents)
    audio[1, 0, 3] = value
    latents[2, 0, 3] = value
    with pytest.raises(GenerationError, match=r"Item 2.*float32"):
        check_audio(audio)
    with pytest.raises(GenerationError, match=r"Item 3.*float32"):
        check_latents(latents)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_given_latents_blame_what_made_them_and_no_weights(value: float) -> None:
    latents = torch.randn(3, 10, 64)
    check_given(latents)
    latents[1] = value
    with pytest.raises(InvalidInput, match=r"^Song 2 of the latents .*\.$") as refused:
        check_given(latents)
    assert not re.search("weights|checkpoint", str(refused.value))


def test_silence_is_refused_with_a_likely_cause() -> None:
    audio = tone()
    audio[1] = 0
    with pytest.raises(GenerationError, match=r"Item 2 decoded to silence.*checkpoint"):
        check_audio(audio)


def test_finishing_in_place_gives_the_same() -> None:
    finish, audio = Finish(-3.0, 0.001, 0.001), tone(2.0)
    wanted = finished(limit_peak(audio), finish)
    assert finished(limit_peak(audio, out=audio), finish, out=audio) is audio
    assert torch.equal(audio, wanted)


def test_peaks_of_a_song_that_is_cut_take_no_copy() -> None:
    audio = torch.randn(2, 2, 60_000, generator=torch.Generator().manual_seed(1))[..., :50_000]
    with Peak() as seen:
        check_audio(audio)
    assert seen.most < 10_000
    louder = audio * 3
    assert torch.equal(limit_peak(louder), louder / louder.abs().amax(dim=(1, 2), keepdim=True))


@pytest.mark.parametrize(("fade_in", "fade_out"), [(30, 30), (70, 60), (200, 0), (0, 200), (100, 100)])
def test_fades_are_one_envelope(fade_in: int, fade_out: int) -> None:
    """Also where some samples are under both, to the bit."""
    audio = torch.randn(2, 2, 100, generator=torch.Generator().manual_seed(1))
    rise, fall = min(fade_in, 100), min(fade_out, 100)
    envelope = torch.ones(100)
    envelope[:rise] *= torch.linspace(0, 1, rise)
    envelope[100 - fall :] *= torch.linspace(1, 0, fall)
    other = torch.empty_like(audio)
    assert torch.equal(fade(audio, fade_in, fade_out), audio * envelope)
    assert fade(audio, fade_in, fade_out, out=other) is other and torch.equal(other, audio * envelope)
    assert fade(audio, fade_in, fade_out, out=audio) is audio and torch.equal(other, audio)
