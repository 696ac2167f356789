"""The built-in model that comes with the package makes what is asked for, in captions that people wrote too."""

import random
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from acestep_core.builtin import reader
from acestep_core.builtin.asks import Ask, default_score, key_name
from acestep_core.builtin.captions import CAPTIONS
from acestep_core.builtin.demo import SHIPPED, is_demo
from acestep_core.builtin.lessons import song_codes
from acestep_core.builtin.measure import mean
from acestep_core.builtin.rolls import FIRST_DRUM, FIRST_LEAD, STRIKE, Score, tempo_class
from acestep_core.checkpoints.catalog import LAYOUTS
from acestep_core.checkpoints.verify import check
from acestep_core.commands.main import main
from acestep_core.commands.music import judged, table, unseen
from acestep_core.commands.music_learning import learned
from acestep_core.commands.music_tasks import by_hand, edits
from acestep_core.commands.music_thinking import thoughts
from acestep_core.io.audio import read_audio, write_audio
from acestep_core.judge.lm_score import score_codes, scoring
from acestep_core.judge.lyric_timing import DOES_NOT_SING
from acestep_core.models.convert import convert
from acestep_core.pipeline import opening
from acestep_core.pipeline.generation import generate
from acestep_core.pipeline.steps import UNHEARD
from acestep_core.records.song_record import SongRecord
from acestep_core.render.text_prompts import instruction_for, metas_text, text_prompt
from acestep_core.song.description import Song


def scores(prompts: list[str]) -> list[Score]:
    """What the shipped text encoder reads, by the values that the shipped DiT takes of it."""
    model = reader.Reader()
    text = load_file(SHIPPED / "Qwen3-Embedding-0.6B/model.safetensors")
    model.text.load_state_dict({name: tensor.float() for name, tensor in text.items()})
    dit = load_file(SHIPPED / "acestep-v15-turbo/model.safetensors")
    values = dit["decoder.layers.0.cross_attn.v_proj.weight"][: reader.READOUT, : reader.MARK].float()
    with torch.inference_mode():
        model.readout.weight[:, : reader.MARK] = values
        return [reader.understood(row) for row in model.read(prompts)]


def test_it_is_whole() -> None:
    assert is_demo(SHIPPED)
    assert check(SHIPPED).ok


def test_it_plays_and_thinks_the_same_in_every_layout(tmp_path) -> None:
    """It is a checkpoint like any other: converted, opened, planned with and rendered, to the bit."""
    songs = []
    for layout in (None, *LAYOUTS):
        folder = SHIPPED if layout is None else tmp_path / layout
        if layout is not None:
            convert(SHIPPED, folder, layout)
        made = generate("rock, with drums", duration=10, seed=3, models=opening.open_models(folder), think=True)
        songs.append((made.plan, made.origin.codes, made.audio))
    assert len(songs) == 4
    for plan, codes, audio in songs[1:]:
        assert (plan, codes) == songs[0][:2]
        assert torch.equal(audio, songs[0][2])


def test_captions_that_people_wrote_are_understood() -> None:
    texts = [text_prompt(instruction_for("text2music"), c.text, metas_text(duration=20)) for c in CAPTIONS]
    pairs = list(zip(CAPTIONS, scores(texts)))
    assert mean([float(score.style in c.styles) for c, score in pairs]) >= 0.9
    tempos = [abs(score.bpm / c.bpm - 1) < 0.02 for c, score in pairs if c.bpm]
    assert mean([float(right) for right in tempos]) >= 0.85
    assert all(c.key in (key_name(score), key_name(score, flat=True)) for c, score in pairs if c.key)
    assert all(score.drums == c.drums for c, score in pairs if c.drums is not None)


def test_songs_are_in_key_and_in_tempo() -> None:
    score = replace(default_score("rock"), tempo=tempo_class(100), tonic=7, mode="major")
    asks = [*unseen(5), Ask("rock, energetic, with drums", score, 100, "", "G major")]
    songs = judged(SHIPPED, asks, seconds=16, twice=1)
    assert mean([song.roll.in_key for song in songs]) >= 0.95
    assert mean([song.roll.on_grid for song in songs]) >= 0.9
    assert sum(song.in_tempo for song in songs) >= len(songs) - 1
    assert songs[-1].roll.drums > 2
    assert songs[0].overlap is not None and songs[0].overlap < 0.8
    assert "strikes in the asked key" in table(songs)


def test_repainting_and_extending_stay_in_key_and_in_time() -> None:
    figures = {name: float(value) for name, value in edits(SHIPPED, unseen(3)[1:], covers=False)}
    assert figures["repaint: strikes outside that stay"] > 0.95
    assert figures["extend: strikes of the song that stay"] > 0.9
    for task in ("repaint", "extend"):
        assert figures[f"{task}: new strikes in the key"] >= 0.9
        assert figures[f"{task}: new strikes on the grid"] >= 0.9
    assert figures["reference: strikes in the key"] >= 0.9


def test_it_plans_what_is_asked_for_plays_the_plan_and_knows_it_again() -> None:
    figures = {name: float(text.split()[0]) for name, text in thoughts(SHIPPED, unseen(6))}
    assert {value for name, value in figures.items() if name.startswith("plan: ")} == {1.0}
    assert figures["song: strikes in the key"] >= 0.95
    assert figures["song: strikes as the codes tell"] >= 0.9
    assert figures["song: key heard"] >= 0.8
    assert figures["understood: key"] >= 0.8


def test_a_score_prefers_a_songs_own_caption_to_one_of_another_style() -> None:
    asks, right = unseen(60), []
    handle = opening.open_models(SHIPPED).lm
    assert handle is not None
    takes = [song_codes(ask.score, 100, random.Random(n)).tolist() for n, ask in enumerate(asks)]
    with scoring(handle, takes, Song(caption=max((ask.caption for ask in asks), key=len))) as lm:
        for n, (ask, codes) in enumerate(zip(asks, takes, strict=True)):
            other = next(b for b in (*asks[n:], *asks) if b.score.style != ask.score.style)
            own, swapped = (score_codes(lm, codes, Song(caption=b.caption)).total for b in (ask, other))
            right.append(float(own > swapped))
    assert mean(right) >= 0.8


def test_captions_are_heard() -> None:
    figures = dict(by_hand(SHIPPED, [caption for caption in CAPTIONS if caption.bpm and caption.key][:2]))
    assert figures["tempo heard within 2 %"] == "2 of 2"
    assert figures["key or its relative heard"] == "2 of 2"


def test_it_is_taken_where_no_model_lies_and_says_what_it_is(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(opening, "search_roots", lambda: [])
    target = tmp_path / "song.flac"
    assert main(["song", "calm piano", "--duration", "10", "--seed", "1", "-o", str(target)]) == 0
    assert capsys.readouterr().err.count("toy model") == 1
    assert SongRecord.load(target.with_suffix(".json")).machine["toy_model"]


def test_times_of_its_lyrics_come_with_the_word_that_it_does_not_sing(tmp_path, caplog) -> None:
    (tmp_path / "words.txt").write_text("[Verse]\nall along the river\n", encoding="utf-8")
    out = str(tmp_path / "song.flac")
    asked = ["--lyrics", str(tmp_path / "words.txt"), "--duration", "10", "--subtitles", "lrc", "--seed", "1"]
    assert main(["song", "calm piano", *asked, "--models", str(SHIPPED), "-o", out]) == 0
    assert (tmp_path / "song.lrc").exists()
    assert [record.getMessage() for record in caplog.records] == [DOES_NOT_SING]
    asked[:2], caplog.records[:] = ["--instrumental"], []
    assert main(["song", "calm piano", *asked, "--models", str(SHIPPED), "-o", out]) == 0
    assert not caplog.records


def test_a_song_has_drums_and_melody_as_its_reference_has() -> None:
    models = opening.open_models(SHIPPED)
    with_drums, with_melody = (
        generate(caption, duration=12, seed=1, models=models)
        for caption in ("rock, with drums, no melody", "calm piano, no drums, with melody")
    )
    for caption in ("pop", "folk, no drums, with melody", "funk, with drums, with melody"):
        for reference, drums, melody in ((with_drums, True, False), (with_melody, False, True)):
            made = generate(caption, duration=12, seed=2, models=models, references=[reference])
            struck = made.latents[0] > STRIKE / 2
            assert (struck[:, FIRST_DRUM:].sum() > 12) == drums
            assert struck[:, FIRST_DRUM:].any() == drums
            assert (struck[:, FIRST_LEAD:FIRST_DRUM].sum() > 12) == melody
            assert struck[:, FIRST_LEAD:FIRST_DRUM].any() == melody


def test_a_reference_that_it_cannot_hear_is_told(tmp_path, capsys) -> None:
    whole, cut, song = (str(tmp_path / f"{name}.flac") for name in ("whole", "cut", "song"))
    asked = ["--duration", "12", "--seed", "1", "--models", str(SHIPPED)]
    assert main(["song", "rock, with drums", *asked, "-o", whole]) == 0
    sound, rate = read_audio(Path(whole))
    write_audio(Path(cut), sound[:, 480:], rate, "flac")
    for reference, told in ((whole, 0), (cut, 1)):
        assert main(["song", "calm piano", *asked, "--reference", reference, "-o", song]) == 0
        assert capsys.readouterr().err.count(UNHEARD) == told


def test_an_adapter_learns_a_style_and_leaves_others_alone() -> None:
    figures = dict(learned(SHIPPED, 2, epochs=20))
    assert figures["zorblax music, before: played as rock"] == "0 of 2"
    assert figures["zorblax music, after: played as rock"] == "2 of 2"
    assert figures["zorblax music, after: tempo heard"] == "2 of 2"
    assert float(figures["zorblax music, after: strikes in the key"]) > 0.95
    assert figures["jazz, after: played as rock"] == "0 of 2"
