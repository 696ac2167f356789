import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zipfile import ZipFile

import pytest
import torch

from acestep_core.commands.main import main
from acestep_core.errors import AudioError, InvalidInput
from acestep_core.io.audio import read_audio
from acestep_core.io.formats import FORMATS
from acestep_core.io.names import safe_name
from acestep_core.io.tags import read_tags
from acestep_core.judge.lyric_timing import SungLyrics
from acestep_core.judge.timing import Line, TimedLyrics
from acestep_core.records.song_record import SongRecord
from acestep_core.song.description import Song
from tests.host.test_paths import HOSTILE

ROOT = Path(__file__).parents[2]
PROMPT = {"1": {"class_type": "ACEStepSong", "inputs": {"caption": "Übung"}}}
WORKFLOW = {"nodes": [{"id": 1, "title": "ノード"}]}


def audio(items: int = 1, channels: int = 2, rate: int = 48_000) -> dict[str, Any]:
    wave = torch.sin(torch.arange(rate) / 20).expand(items, channels, -1) * 0.5
    return {"waveform": wave.clone(), "sample_rate": rate}


def save(call: Callable[..., Any], **changes: Any) -> list[dict[str, str]]:
    values = {"audio": audio(), "filename_prefix": "a/b/song", "format": "flac"} | changes
    return call("ACEStepSaveSong", **values)["ui"]["audio"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_with_the_graph(call: Callable[..., Any], folders: Any, name: str) -> None:
    (shown,) = save(call, format=name, prompt=PROMPT, extra_pnginfo={"workflow": WORKFLOW, "no id": 1})
    assert shown == {"filename": f"song_00001{FORMATS[name].suffix}", "subfolder": "a/b", "type": "output"}
    path = folders.output / shown["subfolder"] / shown["filename"]
    tags = read_tags(path)
    assert json.loads(tags["prompt"]) == PROMPT and json.loads(tags["workflow"]) == WORKFLOW
    assert tags["prompt"].isascii() and tags["encoder"].startswith("acestep-nodes")
    assert read_audio(path)[0].shape == (2, 48_000)


def test_bitrate_counts_only_where_there_is_one(call: Callable[..., Any], folders: Any) -> None:
    sizes = {}
    for bitrate in ("64", "320"):
        (shown,) = save(call, format="mp3", bitrate=bitrate)
        sizes[bitrate] = (folders.output / "a/b" / shown["filename"]).stat().st_size
    assert sizes["320"] > 4 * sizes["64"]
    assert save(call, format="flac", bitrate="64")


def test_batches_and_repeats_never_overwrite(call: Callable[..., Any], folders: Any) -> None:
    names = [shown["filename"] for _ in range(2) for shown in save(call, audio=audio(items=3), sidecar=False)]
    assert names == [f"song_0000{number}.flac" for number in range(1, 7)]
    assert len(list((folders.output / "a/b").iterdir())) == 6


def test_the_graph_can_be_left_out_and_a_sidecar_added(call: Callable[..., Any], folders: Any) -> None:
    (shown,) = save(call, save_graph=False, sidecar=True, prompt=PROMPT)
    path = folders.output / "a/b" / shown["filename"]
    assert "prompt" not in read_tags(path)
    assert not path.with_suffix(".json").exists()
    (shown,) = save(call, sidecar=True, prompt=PROMPT)
    path = folders.output / "a/b" / shown["filename"]
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["prompt"] == PROMPT
    (shown,) = save(call, sidecar=False, prompt=PROMPT)
    assert not (folders.output / "a/b" / shown["filename"]).with_suffix(".json").exists()


@pytest.mark.parametrize("prefix", ["../out", "a/../../out", "/etc/out", "a/../../../x/y", "..", "C:\\..\\..\\..\\x"])
def test_nothing_is_written_outside_the_output_folder(call: Callable[..., Any], folders: Any, prefix: str) -> None:
    before = set(folders.output.parent.rglob("*"))
    try:
        save(call, filename_prefix=prefix)
    except InvalidInput as error:
        assert "outside" in str(error)
    new = set(folders.output.parent.rglob("*")) - before
    assert all(path.is_relative_to(folders.output) for path in new)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("", "song_00001.flac"), ("a:b?*", "a_b___00001.flac"), ("sub/", "sub_00001.flac"), (" . ", "song_00001.flac")],
)
def test_odd_names_become_usable(call: Callable[..., Any], prefix: str, name: str) -> None:
    assert save(call, filename_prefix=prefix)[0]["filename"] == name


@pytest.mark.parametrize("prefix", HOSTILE)
def test_folders_of_a_name_can_be_made_on_every_system(call: Callable[..., Any], folders: Any, prefix: str) -> None:
    """No drive, no stream of NTFS, no device: a graph saves at the same place everywhere."""
    (shown,) = save(call, filename_prefix=prefix)
    parts = [*PurePosixPath(shown["subfolder"]).parts, shown["filename"]]
    assert [safe_name(part) for part in parts] == parts
    place = PureWindowsPath("C:/out", *parts)
    assert place.drive == "C:" and place.is_relative_to("C:/out")
    assert folders.output.joinpath(*parts).is_file()


def test_any_rate_and_channel_count_is_kept(call: Callable[..., Any], folders: Any) -> None:
    save(call, audio=audio(channels=1, rate=44_100))
    wave, rate = read_audio(folders.output / "a/b/song_00001.flac")
    assert (wave.shape[0], rate) == (1, 44_100)


def test_unusable_audio_leaves_nothing(call: Callable[..., Any], folders: Any) -> None:
    bad = audio()
    bad["waveform"][0, 0, 0] = float("nan")
    with pytest.raises(AudioError):
        save(call, audio=bad)
    with pytest.raises(InvalidInput, match="holds no audio"):
        save(call, audio={"waveform": torch.zeros(1, 2, 0), "sample_rate": 48_000})
    assert not [path for path in folders.output.rglob("*") if path.is_file()]


def test_preview_is_temporary_and_carries_the_graph(call: Callable[..., Any], folders: Any) -> None:
    shown = call("ACEStepPreviewSong", audio=audio(items=2), prompt=PROMPT)["ui"]["audio"]
    assert [item["type"] for item in shown] == ["temp", "temp"]
    path: Path = folders.temp / shown[1]["filename"]
    assert json.loads(read_tags(path)["prompt"]) == PROMPT
    assert not list(folders.output.iterdir())


def test_songs_that_were_made_apart_are_taken_together(call: Callable[..., Any], folders: Any) -> None:
    """One by one, each with its own length and rate; what is said beside the first is of the first alone."""
    timing = (SungLyrics(TimedLyrics((Line("la", 0.0, 1.0),)), None),)
    several = {"audio": audio(), "audio_4": audio(channels=1, rate=44_100), "audio_2": audio(items=2), "audio_3": None}
    saved = call(
        "ACEStepSaveSong", **several, filename_prefix="x", format="wav16", timing=timing, plan="bpm: 90", zip=True
    )
    names = [entry["filename"] for entry in saved["ui"]["audio"]]
    assert names == [f"x_0000{number}.wav" for number in (1, 2, 3, 4)]
    kept = [read_audio(folders.output / name) for name in names]
    assert [(wave.shape[0], rate) for wave, rate in kept] == [(2, 48_000)] * 3 + [(1, 44_100)]
    assert [path.name for path in folders.output.glob("*.lrc")] == ["x_00001.lrc"]
    with ZipFile(folders.output / saved["ui"]["zip"][0]["filename"]) as archive:
        assert set(archive.namelist()) == {*names, "x_00001.lrc"}
    played = call("ACEStepPreviewSong", **several, timing=timing, lm_scores=(0.5, 0.7), plan="bpm: 90")
    assert len(played["ui"]["audio"]) == 4 and played["result"][0] is several["audio"]
    known = [json.loads(text) for text in played["ui"]["songs"]]
    assert [facts.get("plan") for facts in known] == ["bpm: 90", "", "", ""]
    assert [facts["scores"].get("lm") for facts in known] == [0.5, None, None, None]
    with pytest.raises(InvalidInput, match="holds no audio"):
        call("ACEStepPreviewSong", audio=audio(), audio_2={"waveform": torch.zeros(1, 2, 0), "sample_rate": 48_000})


def test_a_batch_with_all_its_files_fits_into_one(call: Callable[..., Any], folders: Any) -> None:
    timing = tuple(SungLyrics(TimedLyrics((Line(text, 0.0, 1.0),)), None) for text in ("one", "two"))
    shown = call(
        "ACEStepSaveSong",
        audio=audio(items=2),
        filename_prefix="x",
        format="wav16",
        timing=timing,
        subtitles="all",
        zip=True,
        prompt=PROMPT,
    )["ui"]
    assert shown["zip"] == [{"filename": "x_00003.zip", "subfolder": "", "type": "output"}]
    ends = ("wav", "json", "lrc", "vtt", "srt", "lyrics.json")
    with ZipFile(folders.output / "x_00003.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"x_0000{number}.{end}" for number in (1, 2) for end in ends)
        assert archive.read("x_00002.wav") == (folders.output / "x_00002.wav").read_bytes()
        assert "two" in archive.read("x_00002.srt").decode()


def test_a_song_made_on_the_canvas_is_made_again_from_its_record(
    bench: Any, folders: Any, tiny_root: Path, tmp_path: Path, capsys: Any
) -> None:
    outcome = bench(
        load=("ACEStepLoader", {"preset": "auto"}),
        song=(
            "ACEStepSong",
            {
                "caption": "calm",
                "lyrics": "",
                "language": "unknown",
                "instrumental": False,
                "duration": 10.0,
                "bpm": 0,
                "keyscale": "auto",
                "timesignature": "auto",
            },
        ),
        task=("ACEStepTextToMusic", {"song": "song.0"}),
        cond=("ACEStepConditioning", {"model": "load.0", "song": "song.0", "task": "task.0"}),
        sampler=(
            "ACEStepSampler",
            {"model": "load.0", "conditioning": "cond.0", "seed": 3, "batch_size": 2, "sampler": "euler"},
        ),
        decode=("ACEStepDecode", {"vae": "load.1", "latent": "sampler.0"}),
        save=("ACEStepSaveSong", {"audio": "decode.0", "filename_prefix": "x", "format": "wav32"}),
    )
    assert outcome.success, outcome.error
    record = folders.output / "x_00002.json"
    assert SongRecord.load(record).machine["dit"] == "fp32" and SongRecord.load(record).seeds == {"noise": 4}
    places = ["--output", str(tmp_path / "again"), "--base-directory", str(tmp_path), "--pack", str(ROOT)]
    assert main(["run", str(record), "--models-directory", str(tiny_root), "--json", *places]) == 0
    (paths,) = json.loads(capsys.readouterr().out)["files"].values()
    songs = [Path(path) for path in paths if path.endswith(".wav")]
    for path, old in zip(songs, ("x_00001.wav", "x_00002.wav"), strict=True):
        assert path.read_bytes() == (folders.output / old).read_bytes()


def test_the_record_tells_what_made_a_song(call: Callable[..., Any], folders: Any) -> None:
    song = Song("calm", "la la", "en", 90, "C major", "4", 10.0)
    model, vae, _ = call("ACEStepLoader", preset="auto")
    (task,) = call("ACEStepTextToMusic", song=song, codes=((1,) * 50, (2,) * 50))
    (conditioning,) = call("ACEStepConditioning", model=model, song=song, task=task)
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, seed=7, batch_size=1, sampler="heun")
    (made,) = call("ACEStepDecode", vae=vae, latent=latent, peak_db=-2.0)
    shown = save(call, audio=made, format="opus", sidecar=True, prompt=PROMPT)
    path = folders.output / "a/b" / shown[1]["filename"]
    record = SongRecord.load(path.with_suffix(".json"))
    assert record.to_song() == song and record.graph == PROMPT
    assert record.seeds == {"noise": 8} and record.codes == (2,) * 50 and record.task["index"] == 1
    assert record.settings["method"] == "heun" and record.settings["steps"] == 8
    assert record.finish["peak_db"] == -2.0 and record.finish["format"] == "opus"
    assert [(file.role, len(file.sha256)) for file in record.files] == [("dit", 64), ("text_encoder", 64), ("vae", 64)]
    tag = SongRecord.from_dict(json.loads(read_tags(path)["acestep"]))
    assert (tag.codes, tag.seeds, tag.settings) == (record.codes, record.seeds, record.settings)
    assert list(record.seconds) == ["condition", "sample", "decode"] and min(record.seconds.values()) > 0
    assert tag.seconds == {}  # the same song is the same file, however long it took
