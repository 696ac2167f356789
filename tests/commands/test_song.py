from __future__ import annotations

import json

import pytest
import soundfile
import torch

from acestep_core.commands.main import main
from acestep_core.pipeline import opening as finding
from acestep_core.records.song_record import SongRecord


@pytest.fixture
def song(tiny_root, tmp_path):
    """Runs `acestep song` on the tiny checkpoint; the file goes to `tmp_path`."""

    def call(*arguments: str, output: str = "song.flac") -> tuple[int, list]:
        status = main(["song", *arguments, "--models", str(tiny_root), "-o", str(tmp_path / output)])
        return status, sorted(path for path in tmp_path.iterdir() if path.suffix not in (".txt", ".json"))

    return call


def test_writes_a_song_of_the_asked_length(song, capsys):
    status, [path] = song("lo-fi piano", "--duration", "10.5", "--seed", "7")
    assert status == 0
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (48000, 2, 504000)
    assert "seed 7" in capsys.readouterr().out


def test_lyrics_come_from_a_file_or_as_lines(song, tmp_path):
    lyrics = tmp_path / "lyrics.txt"
    lyrics.write_text("[Verse]\nhello", encoding="utf-8")
    song("pop", "--duration", "10", "--seed", "1", "--lyrics", str(lyrics), output="sung.wav")
    song("pop", "--duration", "10", "--seed", "1", "--lyrics", "[Verse]\nhello", output="lines.wav")
    song("pop", "--duration", "10", "--seed", "1", output="other.wav")
    sung, lines, other = ((tmp_path / f"{name}.wav").read_bytes() for name in ("sung", "lines", "other"))
    assert sung == lines != other


def test_a_batch_gets_numbered_files(song):
    _, paths = song("pop", "--duration", "10", "--batch", "2", "--steps", "2", "--seed", "1", output="x.mp3")
    assert [path.name for path in paths] == ["x_00001.mp3", "x_00002.mp3"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pop", "--duration", "5"), "10"),
        (("pop", "--bpm", "500"), "300"),
        (("pop", "--lyrics", "/no/such/file"), "There is no file"),
        (("pop", "--variant", "nonsense"), "variant"),
        (("pop", "--device", "toaster"), "auto"),
        (("pop", "--guidance", "7", "--duration", "10"), "turbo"),
        (("pop", "--task", "cover"), "--source"),
        (("pop", "--task", "repaint", "--source", "x.wav"), "--start"),
        (("pop", "--task", "repaint", "--source", "x.wav", "--bars", "some"), "bars 9-12"),
        (("pop", "--source", "x.wav"), "--task"),
        (("pop", "--lora", "x=loud"), "number"),
        (("pop", "--subtitles", "lrc,ass"), "'ass'"),
        (("pop", "--keep", "2"), "--best-of"),
        (("pop", "--best-of", "2", "--batch", "2"), "--batch"),
        (("pop", "--best-of", "2", "--keep", "3"), "1 to 2"),
        (("pop", "--best-of", "2", "--keep", "0"), "1 to 2"),
        (("pop", "--format", "mp3", "--bitrate", "1", "--duration", "10", "--steps", "1"), "kbit/s"),
    ],
)
def test_mistakes_are_told_in_one_line(song, capsys, arguments, says):
    status, paths = song(*arguments)
    assert status == 1
    assert paths == []
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("acestep: ")
    assert says in lines[-1]
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (("--task", "cover", "--strength", "0.5"), 6),
        (("--task", "repaint", "--start", "2", "--end", "4"), 6),
        (("--task", "extend", "--after", "2", "--before", "1"), 9),
        (("--task", "extract", "--track", "vocals", "--variant", "base"), 6),
        (("--task", "add-track", "--track", "drums", "--variant", "base"), 6),
        (("--task", "complete", "--track", "drums", "--track", "bass", "--variant", "base"), 6),
    ],
)
def test_tasks_on_a_recording(song, tmp_path, arguments, seconds):
    source = tmp_path / "source.txt"  # told by content, not by name
    soundfile.write(source, 0.1 * torch.randn(44100 * 6, 1).numpy(), 44100, format="WAV")
    status, [path] = song("pop", "--source", str(source), "--steps", "2", "--seed", "1", *arguments)
    assert status == 0
    assert soundfile.info(path).frames == seconds * 48000


def test_record_and_subtitles_lie_beside_the_song(song, tmp_path):
    lyrics = tmp_path / "lyrics.txt"
    lyrics.write_text("[Verse]\nhello", encoding="utf-8")
    arguments = ("pop", "--duration", "10", "--seed", "1", "--steps", "1", "--lyrics", str(lyrics))
    _, paths = song(*arguments, "--subtitles", "lrc,vtt")
    assert [path.name for path in paths] == ["song.flac", "song.lrc", "song.vtt"]
    record = json.loads((tmp_path / "song.json").read_text(encoding="utf-8"))
    assert record["song"]["lyrics"] == "[Verse]\nhello" and record["settings"]["steps"] == 1
    song(*arguments, "--no-record", output="bare.flac")
    assert not (tmp_path / "bare.json").exists()


def test_the_best_of_three(song, tmp_path, capsys):
    lyrics = tmp_path / "lyrics.txt"
    lyrics.write_text("sing with me\nall night", encoding="utf-8")
    arguments = ("pop", "--duration", "10", "--seed", "4", "--steps", "1", "--lyrics", str(lyrics))
    _, paths = song(*arguments, "--best-of", "3", "--keep", "2")
    assert [path.name for path in paths] == ["song_00001.flac", "song_00002.flac"]
    captured = capsys.readouterr()
    table = [line.split() for line in captured.err.splitlines() if line.split() and line.split()[0] in "123"]
    assert [row[-1] == "*" for row in table] == [True, True, False]
    totals = [float(row[3]) for row in table]
    assert totals == sorted(totals, reverse=True)
    records = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in paths]
    assert [str(record["seeds"]["noise"]) for record in records] == [row[2] for row in table[:2]]
    for record, row in zip(records, table):
        assert record["task"]["seeds"] == [4, 5, 6] and record["task"]["index"] == int(row[1]) - 1
        scores = record["scores"]
        assert (scores["lm"] + scores["alignment"]) / 2 == pytest.approx(float(row[3]), abs=0.001)
        assert set(scores["parts"]) == {"caption", "lyrics", "metas", "coverage", "monotonicity", "confidence"}


def test_takes_that_cannot_be_scored_are_all_kept(song, monkeypatch, capsys):
    from acestep_core.errors import OutOfMemory
    from acestep_core.pipeline import takes

    def fail(*_, **__):
        raise OutOfMemory("It does not fit.")

    monkeypatch.setattr(takes, "judge_takes", fail)
    status, paths = song("pop", "--duration", "10", "--seed", "4", "--steps", "1", "--best-of", "2")
    assert status == 1 and [path.name for path in paths] == ["song_00001.flac", "song_00002.flac"]
    assert "does not fit" in capsys.readouterr().err


def test_without_alignment_heads_the_language_model_judges(song, monkeypatch, capsys):
    from acestep_core.errors import AlignmentError
    from acestep_core.pipeline import takes

    def fail(*_, **__):
        raise AlignmentError("No heads are known.")

    monkeypatch.setattr(takes, "listen_to_batch", fail)
    status, paths = song("pop", "--duration", "10", "--seed", "4", "--steps", "1", "--best-of", "2")
    assert status == 0 and [path.name for path in paths] == ["song.flac"]
    assert "No heads are known." in capsys.readouterr().err


def test_without_the_built_in_model_the_tiny_checkpoint_is_the_default(tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("acestep_core.builtin.demo.SHIPPED", tmp_path / "not there")
    monkeypatch.setattr(finding, "search_roots", lambda: [])
    monkeypatch.setattr(finding, "user_folder", lambda: tmp_path / "cache" / "checkpoints")
    target = tmp_path / "song.flac"
    assert main(["song", "a", "--duration", "10", "--seed", "1", "--steps", "1", "-o", str(target)]) == 0
    err = capsys.readouterr().err
    assert err.count("tiny checkpoint") == 1
    assert target.stat().st_size > 10_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lyrics_are_the_same_however_they_were_saved(tmp_path, encoding):
    from acestep_core.commands.song import _read_lyrics

    (tmp_path / "lyrics.txt").write_bytes("[Verse]\n노래".encode(encoding))
    assert _read_lyrics(str(tmp_path / "lyrics.txt")) == "[Verse]\n노래"


def test_values_of_a_song_are_read_as_the_library_reads_them(tiny_root, tmp_path, capsys):
    told = ["--bpm", "120.0", "--key", "Am", "--time-signature", "4/4", "--duration", "0:10", "--language", "English"]
    where = ["--models", str(tiny_root), "--steps", "1", "-o", str(tmp_path / "song.wav")]
    assert main(["song", "calm", *told, *where]) == 0
    song = SongRecord.load(tmp_path / "song.json").to_song()
    assert (song.bpm, song.keyscale, song.timesignature, song.duration, song.language) == (
        120,
        "A minor",
        "4",
        10,
        "en",
    )


def test_a_large_batch_is_written_as_it_goes(tiny_root, tmp_path, monkeypatch, capsys):
    """What was made before something fails is kept, under the numbers of one batch."""
    from acestep_core.errors import OutOfMemory
    from acestep_core.pipeline import generation

    real, made = generation.make, []

    def make(request, *rest):
        if len(made) == 2:
            raise OutOfMemory("It does not fit.")
        made.append(request.batch)
        return real(request, *rest)

    monkeypatch.setattr(generation, "make", make)
    monkeypatch.setattr(generation.make_in_parts, "__defaults__", ((), (), 1))
    words = ["--duration", "10", "--seed", "4", "--steps", "1", "--batch", "3", "--json", "--models", str(tiny_root)]
    assert main(["song", "pop", *words, "-o", str(tmp_path / "song.wav")]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("seeds") for line in lines] == [{"song": [4]}, {"song": [5]}, None]
    assert lines[2] == {"error": "It does not fit."}
    files = [path for line in lines[:2] for path in line["files"]["song"]]
    assert files == [str(tmp_path / f"song_0000{number}.wav") for number in (1, 2)]
    assert all(line["seconds"] > 0 and line["texts"] == {} for line in lines[:2])


def test_a_random_seed_is_drawn(song, capsys):
    for _ in range(2):
        song("pop", "--duration", "10", "--steps", "1", "--seed", "random")
    seeds = [line.split("  seed ")[1].split()[0] for line in capsys.readouterr().out.splitlines()]
    assert len(set(seeds)) == 2


def test_stems_need_no_variant(song, tmp_path):
    source = tmp_path / "source.txt"
    soundfile.write(source, 0.1 * torch.randn(44100 * 2, 1).numpy(), 44100, format="WAV")
    status, _ = song("pop", "--source", str(source), "--steps", "1", "--task", "extract", "--track", "vocals")
    record = json.loads((tmp_path / "song.json").read_text(encoding="utf-8"))
    assert status == 0 and record["files"][0]["variant"] == "base"


def test_a_song_made_again_from_its_own_file(song, tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    _, [path] = song("pop", "--duration", "10", "--seed", "4", "--steps", "1")
    assert main(["run", str(path), "--output", str(tmp_path / "again"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["seeds"] == {"song": [4]} and told["files"] == {"song": [str(tmp_path / "again" / "song.flac")]}
    assert (tmp_path / "again" / "song.flac").read_bytes() == path.read_bytes()
    assert main(["run", str(path), "--seed", "5"]) == 1


def test_memory_is_told_before_anything_is_made(song, tmp_path, capsys):
    status, paths = song("pop", "--duration", "60", "--batch", "2", "--think", "--estimate", output="new/x.flac")
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and not (tmp_path / "new").exists() and not paths
    assert [line.split()[0] for line in lines] == ["think", "text", "condition", "sample", "decode"]
    assert all("of cpu" in line for line in lines)


def test_memory_is_told_for_another_card(song, capsys):
    assert song("pop", "--duration", "600", "--estimate", "8", "--json")[0] == 0
    stages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {stage["memory"] for stage in stages} == {8 << 30} and all(stage["fits"] for stage in stages)
    assert all(stage["total"] == stage["weights"] - stage["home"] + stage["work"] for stage in stages)
    assert song("pop", "--estimate", "0.5")[0] == 1
    assert "1 to 1024" in capsys.readouterr().err


def test_memory_is_told_of_the_song_that_was_asked_for(song, tmp_path, capsys):
    """Its length where a recording or codes decide it, its guidance, its adapters, what is listened to."""

    def told(*arguments: str) -> dict[str, int]:
        assert song("pop", "--estimate", "--json", *arguments)[0] == 0
        stages = map(json.loads, capsys.readouterr().out.splitlines())
        return {stage["name"]: stage["work"] for stage in stages}

    def work(*arguments: str) -> int:
        return told(*arguments)["sample"]

    recording = tmp_path / "recording.wav"
    soundfile.write(recording, torch.zeros(48000 * 15, 2).numpy(), 48000)
    shorter, longer = work("--duration", "60"), work("--duration", "120")
    assert work() == longer > shorter
    (tmp_path / "codes.txt").write_text("<|audio_code_7|>" * 300 + "\n" + "<|audio_code_7|>" * 300)
    assert work("--codes", str(tmp_path / "codes.txt")) == work("--duration", "60", "--batch", "2") > shorter
    cover = told("--task", "cover", "--source", str(recording))
    assert "encode" in cover and cover["sample"] == work("--duration", "15") < shorter
    assert work("--task", "extend", "--source", str(recording), "--after", "120") > longer
    assert work("--variant", "base", "--guidance", "1") == longer < work("--variant", "base")
    adapter = tmp_path / "style.safetensors"
    adapter.write_bytes(bytes(1 << 20))
    assert work("--lora", str(adapter)) == longer + (1 << 20)
    assert song("pop", "--estimate", "--guidance", "5")[0] == 1
