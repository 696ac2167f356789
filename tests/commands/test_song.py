from __future__ import annotations

import pytest
import soundfile
import torch

from acestep_core.cli import main
from acestep_core.models import models as finding


@pytest.fixture
def song(tiny_root, tmp_path):
    """Runs `acestep song` on the tiny checkpoint; the file goes to `tmp_path`."""

    def call(*arguments: str, output: str = "song.flac") -> tuple[int, list]:
        status = main(["song", *arguments, "--models", str(tiny_root), "-o", str(tmp_path / output)])
        return status, sorted(path for path in tmp_path.iterdir() if path.suffix != ".txt")

    return call


def test_writes_a_song_of_the_asked_length(song, capsys):
    status, [path] = song("lo-fi piano", "--duration", "10.5", "--seed", "7")
    assert status == 0
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (48000, 2, 504000)
    assert "seed 7" in capsys.readouterr().out


def test_lyrics_come_from_a_file(song, tmp_path):
    lyrics = tmp_path / "lyrics.txt"
    lyrics.write_text("[Verse]\nhello", encoding="utf-8")
    song("pop", "--duration", "10", "--seed", "1", "--lyrics", str(lyrics), output="sung.wav")
    song("pop", "--duration", "10", "--seed", "1", output="other.wav")
    assert (tmp_path / "sung.wav").read_bytes() != (tmp_path / "other.wav").read_bytes()


def test_a_batch_gets_numbered_files(song):
    _, paths = song("pop", "--duration", "10", "--batch", "2", "--steps", "2", "--seed", "1", output="x.mp3")
    assert [path.name for path in paths] == ["x_00001.mp3", "x_00002.mp3"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pop", "--duration", "5"), "10"),
        (("pop", "--bpm", "500"), "300"),
        (("pop", "--lyrics", "/no/such/file"), "lyrics file"),
        (("pop", "--variant", "nonsense"), "variant"),
        (("pop", "--guidance", "7", "--duration", "10"), "turbo"),
        (("pop", "--task", "cover"), "--source"),
        (("pop", "--source", "x.wav"), "--task"),
        (("pop", "--lora", "x=loud"), "number"),
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


def test_the_tiny_checkpoint_is_the_default_and_says_so(tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(finding, "search_roots", lambda: [])
    monkeypatch.setattr(finding, "user_folder", lambda: tmp_path / "cache" / "checkpoints")
    target = tmp_path / "song.flac"
    assert main(["song", "a", "--duration", "10", "--seed", "1", "--steps", "1", "-o", str(target)]) == 0
    err = capsys.readouterr().err
    assert err.count("tiny checkpoint") == 1
    assert target.stat().st_size > 10_000
