"""Whatever a keyword is given, the front door makes a song or says in one sentence what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acestep_core import options
from acestep_core.declared import Groups
from acestep_core.errors import AceStepError, CodesError, InvalidInput
from acestep_core.pipeline import arguments, editing
from acestep_core.pipeline.generation import _sequences, generate
from acestep_core.pipeline.request import Request
from acestep_core.pipeline.starting import start_from
from acestep_core.song.description import Song
from acestep_core.train.settings import TrainSettings

WRONG = (object(), b"7", [], {}, (1, [2]), float("nan"), -7.5, 3 + 4j, "\0", "\ud800", {"a": 1}, [object()], lambda: 0)
LATER = {"references", "latent", "noise_mask"}
"""These are read with the models, see below."""
KEYWORDS = sorted({*arguments.NAMES, *options.TABLE, *Song().to_dict()} - LATER)


@pytest.mark.parametrize("name", KEYWORDS)
def test_every_keyword_is_read_or_refused_in_a_sentence(name: str, tiny_models: Any) -> None:
    refused = 0
    for value in WRONG:
        try:
            Request.of("", {"models": tiny_models, "think": True, name: value})
        except AceStepError as error:
            refused += 1
            assert str(error).endswith(".") and "\n" not in str(error)
    assert refused >= len(WRONG) - 4, "nearly all of these make no sense anywhere"


@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
def test_what_a_song_starts_from_is_read_or_refused_in_a_sentence(value: Any, tiny_models: Any) -> None:
    for latent, mask in ((value, None), (torch.zeros(1, 250, 64), value)):
        with pytest.raises(AceStepError) as error:
            start_from(latent, mask, vae=tiny_models.vae)
        assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize(("call", "group"), options.TASKS.items())
def test_every_option_of_a_task_is_read_or_refused(call: str, group: type[options.TaskOptions]) -> None:
    for option in options.options_of(group):
        for value in WRONG:
            try:
                group(**{option.name: value})
            except InvalidInput as error:
                assert str(error).endswith(".")


def test_numbers_may_be_text() -> None:
    settings = options.RenderSettings.of(steps="8.0", guidance="7,5", timesteps="1; 0,5", guidance_mode="CFG")
    assert (settings.schedule.steps, settings.guidance.scale) == (8, 7.5)
    assert (settings.schedule.timesteps, settings.guidance.mode) == ((1.0, 0.5), "cfg")
    assert options.Complete("drums, bass").tracks == ("drums", "bass")  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", [options.RenderSettings, TrainSettings])
def test_a_value_in_a_groups_place_is_refused(groups: type[Groups]) -> None:
    for name in groups.groups():
        with pytest.raises(InvalidInput, match=rf"{groups.__name__}\({name}=\.\.\.\) takes a .*, not '7'; .*\.of"):
            groups(**{name: "7"})


def test_arguments_may_be_text_and_numpy(tiny_models: Any) -> None:
    read = Request.of("a", {"models": tiny_models, "batch": "2", "seed": np.int64(5), "think": "no", "bpm": "120.0"})
    assert (read.batch, read.seed, read.thinking, read.song.bpm) == (2, 5, None, 120)
    assert Request.of("a", {"models": tiny_models, "seed": -1}).seed is None


@pytest.mark.parametrize("codes", [[1, 2], (1, 2), np.array([1, 2]), "<|audio_code_1|><|audio_code_2|>", [[1, 2]]])
def test_codes_in_every_form(codes: Any) -> None:
    assert _sequences(codes, 1) == ((1, 2),)


@pytest.mark.parametrize("codes", [5, "la", [1, [2]], [1.5], [[1], 2], object(), [None], {"a": 1}, [[]], [True]])
def test_what_is_no_codes_is_refused(codes: Any) -> None:
    with pytest.raises(CodesError):
        _sequences(codes, 1)


@pytest.mark.parametrize("value", [0, [], False, 3, b"la"])
def test_lyrics_must_be_text(value: Any, tiny_models: Any) -> None:
    with pytest.raises(InvalidInput, match="lyrics must be text"):
        generate("a", lyrics=value, models=tiny_models)


def test_one_track_is_as_good_as_a_list_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(editing, "edit", lambda audio, caption, options, more: seen.append(options.tracks))
    editing.complete("x.wav", "drums")  # type: ignore[arg-type]
    assert seen == [("drums",)]
