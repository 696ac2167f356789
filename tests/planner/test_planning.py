"""Planning a song and writing its codes, in every mode."""

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.options import LMSampling
from acestep_core.planner.create import create_song, format_song
from acestep_core.planner.lm_prompts import codes_prompt, plan_prompt
from acestep_core.planner.plan import Plan, merge
from acestep_core.planner.planning import Ask, PlanSettings, codes_of, codes_together, plan_song, write_codes
from acestep_core.planner.understand import understand_codes
from acestep_core.song.description import Song
from acestep_core.vocabulary import LANGUAGES
from tests.planner.fixtures import tiny_lm

SHORT = PlanSettings(caption_tokens=8, max_duration=20)
ALL_METAS = Song("a song", "la", "unknown", 120, "C major", "4", 12)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(codes=500)


@pytest.fixture
def prompts_seen(lm):
    """The texts of all prompts that go into the model."""
    seen = []
    first = lm.model.register_forward_pre_hook(
        lambda _module, args, kwargs: seen.append(lm.decode(args[0][0].tolist())) if "mask" not in kwargs else None,
        with_kwargs=True,
    )
    yield seen
    first.remove()


def test_a_plan_fills_what_the_user_left_open(lm):
    song = Song("a calm song", "la la", bpm=90, keyscale="Am")
    plan = plan_song(lm, song, SHORT, seed=1)
    assert set(plan.fields()) == {"bpm", "caption", "duration", "keyscale", "language", "timesignature"}
    assert (plan.bpm, plan.keyscale) == (90, "A minor")
    assert 10 <= plan.duration <= 20
    assert plan == plan_song(lm, song, SHORT, seed=1) != plan_song(lm, song, SHORT, seed=2)
    merged = merge(song, plan)
    assert (merged.bpm, merged.lyrics, merged.caption) == (90, "la la", plan.caption)


@pytest.mark.parametrize("metas", [True, False])
@pytest.mark.parametrize("caption", [True, False])
@pytest.mark.parametrize("language", [True, False])
@pytest.mark.parametrize("song", [Song("a song", "la"), ALL_METAS], ids=["open", "all metas given"])
def test_each_switch_works_alone_even_when_all_metas_are_given(lm, song, metas, caption, language):
    settings = PlanSettings(metas, caption, language, 20, 8)
    plan = plan_song(lm, song, settings)
    want = set(Plan.of_song(song).fields())
    want |= {"bpm", "duration", "keyscale", "timesignature"} if metas else set()
    want |= ({"caption"} if caption else set()) | ({"language"} if language else set())
    assert set(plan.fields()) == want


def test_nothing_runs_where_nothing_is_open(lm, prompts_seen):
    plan = plan_song(lm, ALL_METAS, PlanSettings(caption=False, language=False))
    assert plan == Plan.of_song(ALL_METAS) and prompts_seen == []


def test_values_are_normalised_before_the_model_reads_them(lm):
    plan = plan_song(lm, Song("x", "y", "English", 120, "a♭ Minor", "6/8", 33.3), PlanSettings(caption=False))
    assert plan.to_cot() == (
        "<think>\nbpm: 120\nduration: 33\nkeyscale: Ab minor\nlanguage: en\ntimesignature: 6\n</think>"
    )


def test_codes_have_the_length_of_the_plan(lm):
    for seconds, count in ((10, 50), (12.3, 61), (30.5, 152)):
        (codes,) = write_codes(lm, Song("a", "b"), Plan(duration=seconds), [0])
        assert len(codes) == count


def test_six_hundred_seconds_are_three_thousand_codes(lm):
    (codes,) = write_codes(lm, Song("a", "b"), Plan(duration=600), [0], LMSampling(cfg_scale=1, top_p=1.0))
    assert len(codes) == 3000


def test_a_sequence_depends_on_its_own_seed_alone(lm):
    song, plan = Song("a", "b"), Plan(duration=10)
    batch = write_codes(lm, song, plan, [7, 8, 9], chunk=2)
    assert batch == write_codes(lm, song, plan, [7, 8, 9])
    assert batch[1:2] == write_codes(lm, song, plan, [8])
    assert len(set(batch)) == 3
    with pytest.raises(InvalidInput, match="chunk"):
        write_codes(lm, song, plan, [7], chunk=0)


def test_the_prompts_of_a_song(lm, prompts_seen):
    song, plan = Song("a caption", "la\nla"), Plan(bpm=100, duration=10)
    write_codes(lm, song, plan, [0, 1], LMSampling(negative_prompt="noise"))
    assert prompts_seen == [
        codes_prompt("a caption", "la\nla", plan.to_cot()),
        "<|im_start|>system\n# Instruction\nGenerate audio semantic tokens based on the given conditions:\n\n"
        "<|im_end|>\n<|im_start|>user\nnoise<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ]
    prompts_seen.clear()
    write_codes(lm, song, plan, [0], LMSampling(cfg_scale=1, prompt_form="legacy"))
    assert prompts_seen == [codes_prompt("a caption", "la\nla", plan.to_cot(), "legacy")]


def test_guidance_and_negative_prompt_change_the_codes(lm):
    song, plan = Song("a", "b"), Plan(duration=10)
    versions = [
        LMSampling(),
        LMSampling(cfg_scale=1),
        LMSampling(cfg_scale=4),
        LMSampling(negative_prompt="noise"),
        LMSampling(prompt_form="legacy"),
    ]
    assert len({write_codes(lm, song, plan, [0], sampling)[0] for sampling in versions}) == len(versions)


LYRICS = {
    "empty": "",
    "long": "[Verse]\n" + "We walk all night, we dream all day\n" * 150,
    "multi-line": "[Intro]\n\n\n[Verse 1]\nla\n\tla\n\n",
    "emoji": "🎵 la 🎶 👩‍🎤",
    "Arabic": "يا ليل يا عين",
    "Hindi": "दिल की बात",
    "Japanese": "夜空に歌う",
    "Korean": "밤하늘에 노래해",
    "Thai": "เพลงรัก",
    "control token": "stop <|im_end|> here",
}


@pytest.mark.parametrize("lyrics", LYRICS.values(), ids=LYRICS)
def test_any_lyrics_can_be_planned(lm, prompts_seen, lyrics):
    song = Song("a", lyrics)
    plan = plan_song(lm, song, PlanSettings(caption=False, max_duration=12))
    assert prompts_seen == [plan_prompt("a", lyrics)]  # every byte reaches the model
    (codes,) = write_codes(lm, song, plan, [0])
    assert len(codes) == int(plan.duration * 5)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_can_be_given(lm, language):
    song = Song("a", "b", language)
    plan = plan_song(lm, song, PlanSettings(metas=False, caption=False, language=False))
    assert plan.language == ("" if language == "unknown" else language)
    created = create_song(lm, "x", language=language, lyrics_tokens=4, caption_tokens=8, seed=3)
    assert language == "unknown" or created.language == language


def test_lyrics_beyond_the_context_are_refused(lm):
    with pytest.raises(InvalidInput, match="shorten the lyrics"):
        plan_song(lm, Song("a", "7 " * 20_600), SHORT)


def test_create_a_song_from_a_description(lm, prompts_seen):
    song = create_song(lm, "a happy song", seed=1, lyrics_tokens=40, caption_tokens=8)
    assert "a happy song\n\ninstrumental: false<|im_end|>" in prompts_seen[0]
    assert song.caption and song.bpm and song.keyscale and song.timesignature and song.duration
    assert song.lyrics and not song.instrumental
    assert song == create_song(lm, "a happy song", seed=1, lyrics_tokens=40, caption_tokens=8)
    assert song != create_song(lm, "a happy song", seed=2, lyrics_tokens=40, caption_tokens=8)


def test_create_without_words_or_without_vocals(lm, prompts_seen):
    song = create_song(lm, "  ", instrumental=True, caption_tokens=8)
    assert "NO USER INPUT\n\ninstrumental: true<|im_end|>" in prompts_seen[0]
    assert (song.lyrics, song.instrumental, song.language) == ("[Instrumental]", True, "unknown")


def test_format_keeps_what_the_user_fixed(lm, prompts_seen):
    song = Song("pop", "la la", "de", 100, "", "3", 42.5)
    formatted = format_song(lm, song, seed=1, lyrics_tokens=40, caption_tokens=8)
    assert "# Caption\npop\n\n# Lyric\nla la<|im_end|>" in prompts_seen[0]
    assert (formatted.language, formatted.bpm, formatted.timesignature) == ("de", 100, "3")
    assert formatted.duration == 42.5
    assert formatted.keyscale and formatted.caption and formatted.caption != "pop"
    assert formatted.lyrics not in ("", "la la")


def test_format_of_nothing(lm, prompts_seen):
    formatted = format_song(lm, Song(instrumental=True), lyrics_tokens=10, caption_tokens=8)
    assert "# Caption\nNO USER INPUT\n\n# Lyric\n[Instrumental]<|im_end|>" in prompts_seen[0]
    assert formatted.instrumental and formatted.lyrics == "[Instrumental]" and formatted.caption


def test_understand_codes(lm, prompts_seen):
    song = understand_codes(lm, [1, 20, 400], lyrics_tokens=30, caption_tokens=8)
    assert "<|im_start|>user\n<|audio_code_1|><|audio_code_20|><|audio_code_400|><|im_end|>" in prompts_seen[0]
    assert song.caption and song.bpm and song.duration
    understand_codes(lm, [], lyrics_tokens=4, caption_tokens=8)
    assert "<|im_start|>user\nNO USER INPUT<|im_end|>" in prompts_seen[-1]
    with pytest.raises(InvalidInput, match="64000"):
        understand_codes(lm, [64000])


@pytest.mark.parametrize("seed", range(25))
def test_free_text_of_any_model_becomes_a_song(lm, seed):
    """Broken characters and control bytes that a model may write do not reach the song."""
    song = create_song(lm, "x", seed=seed, sampling=LMSampling(3.0, top_p=1.0), lyrics_tokens=60, caption_tokens=8)
    assert Song.from_dict(song.to_dict()) == song
    assert not set(song.lyrics) & {"\ufffd", "\0", "\x1b"}


def test_settings_out_of_range_are_refused():
    for bad in ({"max_duration": 5}, {"max_duration": 601}, {"caption_tokens": 1}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            PlanSettings(**bad)


def test_only_legal_codes_are_written_with_the_full_vocabulary():
    """The tokenizer holds 65 535 codes; the last 1 535 are not in the codebook."""
    lm = tiny_lm()
    assert lm.ids.codes == 64_000
    model = type(lm.model)(lm.model.config).eval().requires_grad_(False)
    model.load_state_dict(lm.model.state_dict())
    model.embed_tokens.weight[lm.ids.first_code + 64_000 :] = 10  # these would always win
    from dataclasses import replace

    (codes,) = write_codes(replace(lm, model=model), Song("a", "b"), Plan(duration=10), [0], LMSampling(temperature=0))
    assert max(codes) < 64_000 and len(codes) == 50


def test_scoring_logits(lm):
    ids = torch.tensor([lm.encode("a calm song"), lm.encode("a fast song")])
    full = lm.forward_logits(ids)
    assert full.shape == (*ids.shape, lm.model.config.vocab_size)
    part = lm.forward_logits(ids, slice(1, 3), slice(5, 25), at_once=1)
    torch.testing.assert_close(part, full[:, 1:3, 5:25])


def test_songs_whose_codes_are_written_together_get_those_they_get_alone(tiny_models):
    asks = [
        Ask(Song("a", "b"), Plan(duration=10), [1]),
        Ask(
            Song("quite another song, of many words", "and more lyrics\nthan one line"),
            Plan(duration=10, bpm=90),
            [5, 6],
        ),
    ]
    together = codes_together(tiny_models.lm, asks)
    assert together == [codes_of(tiny_models.lm, ask.song, ask.plan, ask.seeds) for ask in asks]
