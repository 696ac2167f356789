"""Songs that were asked for one by one and sampled together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from acestep_core import options
from acestep_core.options import RenderSettings
from acestep_core.pipeline.sampling import Sampling, sampled, sampled_together
from acestep_core.pipeline.steps import conditioned, text_task
from acestep_core.render.parts import joined, part_of
from acestep_core.song.description import Song

BOUND = 1e-5
"""Of latents whose size is about 1: what products over a batch may round differently."""


def asked(models, caption: str, seed: int, duration: float = 10.0, batch: int = 1, **sampling):
    song = Song(caption, "la la", duration=duration)
    what = conditioned(models.model, song, [text_task(song, options.TextToMusic())])
    settings = RenderSettings(options.Schedule(steps=3), sampling=options.Sampling(**sampling))
    return Sampling.of(models.model, what, seed, batch, settings)


def alone(one: Sampling):
    return sampled(one.model, one.what, one.seeds[0], len(one.seeds), one.settings)


@pytest.mark.parametrize("sampling", [{}, {"method": "sde"}, {"retake_variance": 0.5, "retake_seed": 3}])
def test_each_is_the_song_that_it_is_alone(tiny_base, sampling) -> None:
    several = [
        asked(tiny_base, "one", 1, **sampling),
        asked(tiny_base, "quite another, with more words", 9, batch=2, **sampling),
        asked(tiny_base, "one", 4, **sampling),
    ]
    for one, (latents, made) in zip(several, sampled_together(several), strict=True):
        expected, story = alone(one)
        torch.testing.assert_close(latents, expected, rtol=0, atol=BOUND)
        assert made.seeds == story.seeds and made.song == story.song
        assert made.origin == replace(story.origin, at_once=4)


def test_what_differs_in_more_is_made_apart(tiny_base, tiny_models) -> None:
    several = [
        asked(tiny_base, "one", 1),
        asked(tiny_base, "one", 1, duration=12.0),
        asked(tiny_base, "one", 1, method="heun"),
        asked(tiny_models, "one", 1),
    ]
    for one, (latents, made) in zip(several, sampled_together(several), strict=True):
        assert torch.equal(latents, alone(one)[0]) and made.origin.at_once == 1


def test_joining_is_the_inverse_of_parting(tiny_base) -> None:
    one, other = (asked(tiny_base, caption, 1).what.conditioning for caption in ("one", "another text"))
    whole = joined([one, other, one])
    for place, single in enumerate((one, other, one)):
        part = part_of(whole, place, place + 1)
        assert torch.equal(part.main.context, single.main.context)
        assert all(torch.equal(a, b) for a, b in zip(part.main.states, single.main.states, strict=True))
    assert joined([one, one]).main.states[0].stride(0) == 0  # rows that are one tensor stay one
