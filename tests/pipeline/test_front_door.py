"""The library as people call it: the guide's script, any kind of source, results that go on, models that can."""

from __future__ import annotations

import runpy
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

import acestep_core
from acestep_core import add_layer, cover, create, extract, generate, lrc, replay, score, understand
from acestep_core import format as rewrite
from acestep_core.errors import AudioError, InvalidInput, UnsupportedTask
from acestep_core.options import RenderSettings, track_in
from acestep_core.pipeline import asking, opening, steps
from acestep_core.pipeline.generation import make_in_parts
from acestep_core.pipeline.request import Request
from acestep_core.song.description import Song

RATE = 48000
GUIDE = """
prompt = "Upbeat corporate background music, energetic"
duration = 180
result = generate(prompt, duration=duration)
sketch = generate("Lo-fi hip hop beat, jazzy chords")
refined = cover(sketch, strength=0.3, prompt="richer bass")
final = add_layer(refined, "smooth saxophone solo")
repainted = repaint(final, 4, 8, prompt="a quiet break")
longer = extend(repainted, after=5)
"""


@pytest.fixture(scope="module")
def made(tiny_models):
    return generate("a", lyrics="[Verse]\nla la", duration=10, seed=3, batch=3, models=tiny_models, steps=1)


@pytest.fixture(scope="module")
def short(tiny_models):
    """A song of two seconds."""
    noise = 0.1 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(0))
    return cover((noise, RATE), "a", seed=3, models=tiny_models, steps=1)


@pytest.fixture
def found_here(tiny_root, monkeypatch):
    """The tiny checkpoints folder is all that there is to find."""
    monkeypatch.setattr(opening, "search_roots", lambda: [tiny_root])


def test_the_guides_script(found_here, tmp_path, monkeypatch):
    """As it stands there, only with shorter songs and fewer steps."""
    monkeypatch.setattr(steps, "DEFAULT_SECONDS", 12.0)
    monkeypatch.setattr(opening, "user_folder", None)  # nothing is built or fetched
    names = {name: getattr(acestep_core, name) for name in ("generate", "cover", "add_layer", "repaint", "extend")}
    script = tmp_path / "guide.py"
    script.write_text(GUIDE.replace(")\n", ", steps=1)\n").replace("180", "18"), encoding="utf-8")
    names = runpy.run_path(str(script), names)
    assert names["result"].duration == 18 and names["result"].song.caption.startswith("Upbeat")
    assert names["refined"].song.caption == "richer bass" and names["refined"].duration == 12
    assert (names["final"].model.variant, names["final"].tasks[0].tracks) == ("base", ("woodwinds",))
    assert names["final"].song.caption == "smooth saxophone solo"
    assert names["repainted"].song.caption == "a quiet break" and names["longer"].duration == 17


@pytest.mark.parametrize(
    ("words", "track"),
    [
        ("smooth saxophone solo", "saxophone"),
        ("Warm Strings over drums", "strings"),
        ("soft backing vocals", "backing_vocals"),
        ("two violins", "violin"),
        ("a brassy sound with a horn", "horn"),
    ],
)
def test_the_track_that_words_name(words, track):
    assert track_in(words) == track


@pytest.mark.parametrize("words", ["", "something nice", "drumsticks", None])
def test_words_that_name_no_track_are_refused(words):
    with pytest.raises(InvalidInput, match="names no track"):
        add_layer((torch.zeros(2, RATE), RATE), words)


def test_any_kind_of_recording_is_the_same_one(made, short, tiny_models, tmp_path):
    item = short
    file = tmp_path / "a.wav"
    soundfile.write(file, item.audio[0].T.numpy(), RATE, "FLOAT")
    kinds = [
        item,
        file,
        str(file),
        (item.audio[0], RATE),
        (item.audio[0].numpy(), np.int64(RATE)),
        {"waveform": item.audio, "sample_rate": RATE},
    ]
    songs = [cover(kind, "b", seed=1, models=tiny_models, steps=1) for kind in kinds]
    for song in songs[1:]:
        assert torch.equal(song.audio, songs[0].audio)
    timbres = [cover(file, "b", seed=1, models=tiny_models, steps=1, references=kind) for kind in (kinds[0], kinds[4])]
    assert torch.equal(timbres[0].audio, timbres[1].audio) and not torch.equal(timbres[0].audio, songs[0].audio)
    with pytest.raises(AudioError, match="one recording"):
        cover(made, "b", models=tiny_models)


def test_tasks_take_a_checkpoint_that_can(found_here, tiny_root, tiny_models, short):
    recording = (short.audio[0], RATE)
    assert extract(recording, "vocals", steps=1).model.variant == "base"
    assert extract(recording, "vocals", models=tiny_root, steps=1).model.variant == "base"
    assert cover(recording, "b", steps=1).model.variant == "turbo"
    for chosen in ({"variant": "turbo"}, {"models": tiny_models}):
        with pytest.raises(UnsupportedTask, match="acestep models download base"):
            extract(recording, "vocals", **chosen)


def test_songs_bring_the_models_that_made_them(short, tiny_root, monkeypatch):
    """Nothing is to be found in the usual places, so what goes on lies beside."""
    monkeypatch.setattr(opening, "search_roots", lambda: [])
    assert short.cover("b", steps=1).models == replace(short.models, remarks=())
    stem = short.extract("vocals", steps=1)
    assert (stem.model.variant, stem.model.path.parent) == ("base", short.model.path.parent)
    xl = cover(short, "a", models=tiny_root, variant="xl-turbo", steps=1)
    assert xl.cover("b", steps=1).model.variant == "xl-turbo"
    assert xl.cover("b", steps=1, variant="base").model.variant == "base"


def test_methods_are_the_functions_of_their_names(short, tiny_base):
    from acestep_core.pipeline import editing

    calls = {
        "cover": (("b",), {"strength": 0.4}),
        "repaint": ((1.0, 1.5, "b"), {"mode": "aggressive"}),
        "extend": ((1.0, 2.0, "b"), {"strength": 0.2}),
        "add_track": (("drums",), {"start": 1.0}),
        "add_layer": (("a smooth saxophone",), {"end": 1.0}),
        "extract": (("drums", "b"), {}),
        "complete": ((("drums", "bass"), "b"), {"lyrics": "x"}),
        "morph": (("a", "b"), {"average": 2}),
    }
    assert calls.keys() - {"add_layer"} == acestep_core.options.TASKS.keys() - {"generate"}
    for name, (arguments, more) in calls.items():
        more = {**more, "models": tiny_base, "steps": 1, "seed": 1, "guidance": 1.0}
        method = getattr(short, name)(*arguments, **more)
        function = getattr(editing, name)(short, *arguments, **more)
        assert torch.equal(method.audio, function.audio), name
        assert method.record().task == function.record().task, name


def test_a_result_is_a_sequence_of_songs(made):
    assert len(made) == 3 and [song.seeds for song in made] == [(3,), (4,), (5,)]
    assert made[-1].seeds == (5,) and made[1:].seeds == (4, 5) and torch.equal(made[1].audio[0], made.audio[1])
    with pytest.raises(IndexError):
        made[3]
    assert repr(made) == "<3 songs of 10.0 s by turbo, seed 3, 4, 5: 'a'>"
    assert made[2].record().task["index"] == 2


def test_a_notebook_shows_players_and_a_table(tiny_models):
    loud = (torch.ones(2, RATE * 2) * 3, RATE)
    made = cover(loud, "<b> & c", seed=3, batch=2, models=tiny_models, steps=1)
    page = made._repr_html_()
    assert page.count("<audio controls") == 2 and "<td>4</td>" in page and "<td>2.0</td>" in page
    assert "&lt;b&gt; &amp; c" in page and "too loud" in page and "alignment" not in page
    assert "<th>lm</th>" in acestep_core.pipeline.takes.judge_takes(made, lyrics=False)._repr_html_()


def test_remarks_of_recordings_reach_the_result(tiny_models):
    quiet, loud = (torch.zeros(2, RATE * 2), RATE), (torch.ones(2, RATE * 2) * 3, RATE)
    made = cover(quiet, "b", seed=3, models=tiny_models, steps=1, references=[loud])
    silent, turned_down = made.remarks
    assert "silent" in silent and "too loud" in turned_down
    assert generate("b", duration=10, models=tiny_models, steps=1).remarks == ()


def test_the_judge_hears_songs_and_recordings(made, tiny_models):
    scores = score(made, progress=False)
    assert [set(found) for found in scores] == [{"lm", "alignment", "parts"}] * 3
    assert all(0 <= found["lm"] <= 1 and 0 <= found["alignment"] <= 1 for found in scores)
    (heard,) = score((made.audio[0], RATE), "a", lyrics="[Verse]\nla la", models=tiny_models)
    assert 0 <= heard["lm"] <= 1 and 0 <= heard["alignment"] <= 1
    assert "<" in lrc(made[0]) and "[Verse]" not in lrc(made[0])
    assert "la la" in lrc(made[0], words=False) and "<" not in lrc(made[0], words=False)
    assert "-->" in lrc((made.audio[0], RATE), lyrics="one\ntwo", kind="vtt", models=tiny_models)
    with pytest.raises(InvalidInput, match=r"result\[0\]"):
        lrc(made)


def test_the_language_model_invents_rewrites_and_describes(short, tiny_models, monkeypatch):
    for name in ("create_song", "format_song", "understand_codes"):
        monkeypatch.setattr(asking, name, partial(getattr(asking, name), lyrics_tokens=8, caption_tokens=8))
    quick = {"models": tiny_models, "seed": 5}
    song = create("a song about tea", language="de", **quick)
    assert (
        isinstance(song, Song) and song.language == "de" and song == create("a song about tea", language="de", **quick)
    )
    assert song != create("a song about tea", language="de", models=tiny_models, seed=6)
    assert create("x", instrumental=True, **quick).instrumental
    assert rewrite("calm", bpm=90, **quick).bpm == 90 == rewrite(Song("calm", bpm=90), **quick).bpm
    assert understand(short, seed=5) == understand(short, **quick)
    assert understand((short.audio[0], RATE), lm_temperature=0.1, **quick).caption is not None


@pytest.mark.parametrize(
    "given",
    [
        {"batch": True}, {"models": 42}, {"progress": "bar"}, {"cancelled": 1}, {"song": "a"}, {"prompt": "b"},
        {"prompt": 3}, {"references": [3]},
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused_in_a_sentence(given, tiny_models):
    with pytest.raises(acestep_core.AceStepError) as refused:
        generate("a", **({"duration": 10, "models": tiny_models} | given))
    assert str(refused.value).endswith(".") and len(str(refused.value)) > 20


def test_a_large_batch_in_parts_is_the_batch(tiny_models):
    """Seeds, retakes and the one plan go on from part to part."""
    asked = {"duration": 10, "seed": 2**64 - 2, "batch": 3, "models": tiny_models, "steps": 1, "think": True}
    asked |= {"retake_variance": 0.4, "retake_seed": 9, "plan_caption": False}
    options = acestep_core.options.TextToMusic()
    whole = generate("a", **asked)
    parts = list(make_in_parts(Request.of("a", asked), options, size=2))
    assert [len(part) for part in parts] == [2, 1]
    assert sum((part.seeds for part in parts), ()) == whole.seeds
    assert all(part.plan == whole.plan for part in parts)
    torch.testing.assert_close(torch.cat([part.audio for part in parts]), whole.audio, atol=1e-4, rtol=1e-3)


def test_importing_and_completing_names_is_light():
    code = (
        "import sys, acestep_core; names = dir(acestep_core); "
        "assert {'score', 'lrc', 'understand', 'create', 'format', 'open_models', 'replay'} <= set(names); "
        "assert not {'torch', 'numpy', 'soundfile', 'tqdm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    for name in acestep_core.__all__:
        assert getattr(acestep_core, name) is not None


@pytest.mark.processor  # others may not be able to convolve such tiles
def test_what_went_together_is_made_again_together(tiny_models, tmp_path, monkeypatch):
    """A batch that was split and a tile that was halved, because memory ran out, are in the record."""
    from acestep_core.render import stages

    settings = RenderSettings.of(steps=2, tile=128)
    sizes = fails_once(monkeypatch, stages, "sample", lambda call: call[1].batch)
    tiles = fails_once(monkeypatch, stages.vae, "decode", lambda call: call[2])
    made = generate("a", duration=10, seed=1, batch=4, models=tiny_models, settings=settings)
    assert (sizes, tiles) == ([4, 2, 2], [128, 64])
    record = made.record(1)
    assert record.task["at_once"] == 2 and record.settings["tile"] == 64
    again = replay(record, tiny_models)
    assert (sizes[3:], tiles[2:]) == ([2, 2], [64])
    assert torch.equal(again.audio, made[1].audio) and again.record().task == record.task
    assert "at_once" not in generate("a", duration=10, seed=1, models=tiny_models, steps=1).record().task


@pytest.mark.processor  # others may not be able to convolve such tiles
def test_a_tile_that_was_halved_while_a_source_was_encoded(made, tiny_models, tmp_path, monkeypatch):
    from acestep_core.render import stages

    file = tmp_path / "a.wav"
    soundfile.write(file, made.audio[0].T.numpy(), RATE, "FLOAT")
    tiles = fails_once(monkeypatch, stages.vae, "encode", lambda call: call[2])
    song = cover(file, "b", seed=1, models=tiny_models, steps=1, tile=128)
    path = song.save(tmp_path / "b.wav")[0]
    again = replay(path.with_suffix(".json"), tiny_models)
    assert tiles == [128, 64, 64] and torch.equal(again.audio, song.audio)
    assert torch.equal(replay(path, tiny_models).audio, song.audio), "the record in the song itself"


@pytest.mark.parametrize("at_once", [0, "2", True, 1.5])
def test_a_damaged_number_of_songs_is_refused(made, tiny_models, at_once):
    record = made.record()
    with pytest.raises(InvalidInput, match="at_once"):
        replay(replace(record, task={**record.task, "at_once": at_once}), tiny_models)


def fails_once(monkeypatch, module, name, told):
    """Makes a function run out of memory at its first call; returns what `told` says of the arguments of each call."""
    real, calls = getattr(module, name), []

    def work(*args, **kwargs):
        calls.append(told(args))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, work)
    return calls
