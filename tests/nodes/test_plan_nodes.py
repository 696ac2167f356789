from collections.abc import Callable
from typing import Any

import pytest

from acestep_core.errors import InvalidInput, PlanError
from acestep_core.song.description import Song
from acestep_core.vocabulary import CODE_RATE


@pytest.fixture
def lm(call: Callable[..., Any]) -> Any:
    return call("ACEStepLMLoader", lm="auto")[0]


def plan(call: Callable[..., Any], lm: Any, song: Song, **changes: Any) -> tuple[Song, str]:
    values = {"seed": 1, "metas": True, "caption": False, "language": True} | changes
    return call("ACEStepPlan", lm=lm, song=song, **values)


def test_a_plan_fills_what_is_open_and_keeps_what_is_fixed(call: Callable[..., Any], lm: Any) -> None:
    song = Song("calm piano", "la la", bpm=77, keyscale="A minor")
    planned, text = plan(call, lm, song)
    assert (planned.bpm, planned.keyscale, planned.caption) == (77, "A minor", "calm piano")
    assert planned.duration is not None and planned.timesignature
    assert "bpm: 77" in text
    assert plan(call, lm, song) == (planned, text)


def test_an_edited_plan_is_the_last_word(call: Callable[..., Any], lm: Any) -> None:
    planned, _ = plan(call, lm, Song("calm", bpm=77), edited_plan="bpm: 120\nduration: 42", caption=True)
    assert (planned.bpm, planned.duration, planned.caption) == (120, 42.0, "calm")
    with pytest.raises(PlanError, match="Line 1"):
        plan(call, lm, Song("calm"), edited_plan="tempo: 120")


def test_an_edited_plan_may_leave_fields_to_the_model(call: Callable[..., Any], lm: Any) -> None:
    planned, text = plan(call, lm, Song("calm", bpm=77), edited_plan="bpm: 120\ntimesignature: ?\nkeyscale: ?")
    assert planned.bpm == 120 and planned.timesignature and planned.keyscale
    assert (planned.duration, planned.caption) == (None, "calm"), "nothing else is asked for"
    given = Song("calm", keyscale="A minor")
    assert plan(call, lm, given, edited_plan="keyscale: ?")[0].keyscale == "A minor", "what the song says stays"
    assert plan(call, lm, Song("calm"), edited_plan=text)[0].keyscale == planned.keyscale


def test_codes_have_the_plans_length(call: Callable[..., Any], lm: Any) -> None:
    values = {"seed": 3, "batch_size": 2}
    (codes,) = call("ACEStepPlanCodes", lm=lm, song=Song("calm"), plan="duration: 10", **values)
    assert [len(song) / CODE_RATE for song in codes] == [10.0, 10.0]
    assert codes[0] != codes[1]
    (second,) = call("ACEStepPlanCodes", lm=lm, song=Song("calm"), plan="duration: 10", seed=4, batch_size=1)
    assert second[0] == codes[1]
    (fixed,) = call("ACEStepPlanCodes", lm=lm, song=Song("calm", duration=11.0), plan="", seed=4, batch_size=1)
    assert call("ACEStepPlanCodes", lm=lm, song=Song("calm", duration=11.0), seed=4, batch_size=1) == (fixed,)
    assert len(fixed[0]) == 55


def test_songs_are_invented_rewritten_and_heard(call: Callable[..., Any], lm: Any) -> None:
    (sampling,) = call("ACEStepLMSampling", temperature=0.9, top_p=0.95, top_k=0, cfg_scale=2.0)
    (invented,) = call(
        "ACEStepCreateSong", lm=lm, query="spring", instrumental=True, language="en", seed=1, sampling=sampling
    )
    assert invented.instrumental and invented.lyrics == "[Instrumental]" and invented.caption
    (written,) = call("ACEStepFormatSong", lm=lm, song=Song("calm", "la", bpm=90), seed=1)
    assert written.bpm == 90
    (heard,) = call("ACEStepUnderstand", lm=lm, codes=((1, 2, 3),), seed=1)
    assert isinstance(heard, Song)
    with pytest.raises(InvalidInput, match="set item to 0"):
        call("ACEStepUnderstand", lm=lm, codes=((1,),), seed=1, item=1)


def test_without_a_language_model_the_node_says_what_to_do(call: Callable[..., Any]) -> None:
    with pytest.raises(InvalidInput, match="Load ACE-Step Language Model"):
        plan(call, None, Song("calm"))


def test_song_info_takes_a_song_apart(call: Callable[..., Any]) -> None:
    song = Song("calm", "la", "en", 90, "Am", "4", 30.0)
    assert call("ACEStepSongInfo", song=song) == ("calm", "la", "en", 30.0, 90, "A minor", "4", False)
    assert call("ACEStepSongInfo", song=Song())[3:7] == (0.0, 0, "auto", "auto")
