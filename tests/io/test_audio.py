import json
import re
from pathlib import Path

import pytest
import soundfile
import torch

from acestep_core.errors import AudioError, InvalidInput, StorageError
from acestep_core.io.audio import read_audio, resample, write_audio
from acestep_core.io.formats import FORMATS, format_for
from acestep_core.io.tags import read_tags, write_tags

SECOND = 48_000
EXACTNESS = {"flac": 2**-22, "wav16": 2**-14, "wav32": 0.0}


def sweep(seconds: float = 1.0, rate: int = SECOND) -> torch.Tensor:
    """`[2, S]`: two slow sine sweeps with a little noise, peak below 1."""
    time = torch.arange(int(seconds * rate)) / rate
    noise = torch.randn(2, time.numel(), generator=torch.Generator().manual_seed(0)) * 0.01
    return torch.stack([torch.sin(900 * time * (1 + time)), torch.sin(500 * time * (2 - time))]) * 0.6 + noise


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"song{FORMATS[name].suffix}"
    audio = sweep(1.5)
    write_audio(path, audio, format=name)
    got, rate = read_audio(path)
    assert rate == SECOND and got.shape == audio.shape and got.dtype == torch.float32
    if name in EXACTNESS:
        assert (got - audio).abs().max() <= EXACTNESS[name]
    else:
        error = (got - audio)[:, 4800:-4800]
        assert error.square().mean() < 0.01 * audio.square().mean()


@pytest.mark.parametrize(("name", "kbits"), [(n, kbits) for n, form in FORMATS.items() for kbits in form.bitrates])
def test_bitrates_and_lengths_are_kept(tmp_path: Path, name: str, kbits: int) -> None:
    path = tmp_path / "song"
    write_audio(path, torch.randn(2, 3 * SECOND) * 0.1, format=name, bitrate=kbits)
    assert path.stat().st_size * 8 / 3 / 1000 == pytest.approx(kbits, rel=0.06, abs=6)
    assert read_audio(path)[0].shape == (2, 3 * SECOND)


@pytest.mark.parametrize("kbits", [64, 128])
def test_bitrates_of_mono_are_kept(tmp_path: Path, kbits: int) -> None:
    write_audio(tmp_path / "song", torch.randn(1, 5 * SECOND) * 0.1, format="opus", bitrate=kbits)
    assert (tmp_path / "song").stat().st_size * 8 / 5 / 1000 == pytest.approx(kbits, rel=0.06)


@pytest.mark.parametrize("name", FORMATS)
def test_same_arguments_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    tags = {"prompt": "{}"}
    for copy in ("a", "b"):
        write_audio(tmp_path / copy, sweep(), format=name, metadata=tags)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_float_files_carry_no_time_stamp(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", sweep(), format="wav32")
    data = (tmp_path / "a.wav").read_bytes()
    start = data.index(b"PEAK")
    assert data[start + 12 : start + 16] == bytes(4)


@pytest.mark.parametrize("name", ["mp3", "opus"])
def test_rates_that_a_format_cannot_hold_are_resampled(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / "song", sweep(1.0, 22_050), 22_050, format=name)
    got, rate = read_audio(tmp_path / "song")
    assert rate == SECOND and abs(got.shape[1] - SECOND) < 2


def test_samples_beyond_one_are_clipped_except_in_float_files(tmp_path: Path) -> None:
    loud = sweep() * 3
    write_audio(tmp_path / "a.flac", loud)
    write_audio(tmp_path / "a.wav", loud, format="wav32")
    assert torch.allclose(read_audio(tmp_path / "a.flac")[0], loud.clamp(-1, 1), atol=1e-6)
    assert torch.equal(read_audio(tmp_path / "a.wav")[0], loud)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    time = torch.arange(96_000, dtype=torch.float64) / 96_000
    tone = torch.sin(2 * torch.pi * 30_000 * time).float().expand(2, -1)
    assert resample(tone, 96_000, 48_000)[:, 1000:-1000].abs().max() < 1e-4


def test_resampling_keeps_what_both_rates_can_hold() -> None:
    there = resample(sweep(1.0), SECOND, 44_100)
    back = resample(there, 44_100, SECOND)
    assert (back - resample(resample(sweep(1.0), SECOND, 96_000), 96_000, SECOND))[:, 500:-500].std() < 0.005
    assert resample(sweep(1.0), SECOND, SECOND).equal(sweep(1.0))


@pytest.mark.parametrize("waveform", [torch.zeros(0, 5), torch.zeros(2, 0), torch.zeros(5), torch.zeros(1, 2, 5)])
def test_wrong_shapes_are_refused(tmp_path: Path, waveform: torch.Tensor) -> None:
    with pytest.raises(AudioError, match="channels by samples"):
        write_audio(tmp_path / "x", waveform)


def test_what_cannot_be_saved_leaves_no_file(tmp_path: Path) -> None:
    bad = sweep()
    bad[0, 5] = float("nan")
    with pytest.raises(AudioError, match="not numbers"):
        write_audio(tmp_path / "x.flac", bad)
    with pytest.raises(AudioError, match="at most 2 channels"):
        write_audio(tmp_path / "x.mp3", torch.zeros(3, 100), format="mp3")
    with pytest.raises(AudioError, match="could not be encoded"):
        write_audio(tmp_path / "x.flac", sweep(), 10_000_000)
    with pytest.raises(InvalidInput, match="flac, wav16"):
        write_audio(tmp_path / "x", sweep(), format="aac")
    with pytest.raises(InvalidInput, match="128"):
        write_audio(tmp_path / "x", sweep(), format="mp3", bitrate=100)
    with pytest.raises(InvalidInput, match="leave it out"):
        write_audio(tmp_path / "x", sweep(), format="flac", bitrate=128)
    with pytest.raises(InvalidInput, match="tag name"):
        write_audio(tmp_path / "x.flac", sweep(), metadata={"a=b": "c"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError):
        write_audio(tmp_path / "gone" / "x", sweep())


def test_what_is_not_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello, dear listener")
    (tmp_path / "none.flac").touch()
    soundfile.write(tmp_path / "empty.wav", torch.zeros(0, 2).numpy(), SECOND)
    soundfile.write(tmp_path / "nan.wav", torch.full((10, 2), float("nan")).numpy(), SECOND, subtype="FLOAT")
    for name, reason in {
        "text.wav": "is a text file",
        "none.flac": "is empty",
        "empty.wav": "holds no audio",
        "nan.wav": "not numbers",
        "absent.wav": "no audio file",
        ".": "is a folder; name a recording in it",
    }.items():
        with pytest.raises(AudioError, match=reason):
            read_audio(tmp_path / name)


def test_formats_follow_the_suffix() -> None:
    assert [format_for(f"a{suffix}") for suffix in (".flac", ".WAV", ".mp3", ".opus")] == [
        "flac",
        "wav16",
        "mp3",
        "opus",
    ]
    with pytest.raises(InvalidInput, match=r"\.opus"):
        format_for("a.aac")


TAGS = {
    "prompt": json.dumps({"1": {"class_type": "ACEStepSong", "inputs": {"caption": "übung {a}"}}}),
    "workflow": json.dumps({"nodes": [{"id": 1, "title": "ノード"}] * 300}),
    "lyrics": "[Verse]\nÜber den Wolken\n日本語",
    "bpm": "120",
    "title": "A song",
    "comment": "",
    "acestep": "{}",
}


@pytest.mark.parametrize("name", FORMATS)
def test_tags_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "song"
    write_audio(path, sweep(), format=name, metadata=TAGS)
    plain = tmp_path / "plain"
    write_audio(plain, sweep(), format=name)
    assert read_tags(path) == TAGS
    assert read_tags(plain) == {}
    assert read_audio(path)[0].equal(read_audio(plain)[0])


@pytest.mark.parametrize("name", ["flac", "mp3", "opus", "wav16"])
def test_other_programs_read_the_tags(tmp_path: Path, name: str) -> None:
    av = pytest.importorskip("av", reason="PyAV is only needed to compare with another reader")
    write_audio(tmp_path / "song", sweep(), format=name, metadata=TAGS | {"big": "x" * 200_000})
    with av.open(str(tmp_path / "song")) as file:
        found = {key.lower(): value for key, value in {**file.metadata, **file.streams.audio[0].metadata}.items()}
        assert sum(frame.samples for frame in file.decode(audio=0)) >= SECOND
    for key in ("prompt", "workflow", "title", "big"):
        assert found[key] == (TAGS | {"big": "x" * 200_000})[key]


@pytest.mark.parametrize("name", ["flac", "mp3", "opus"])
def test_the_canvas_finds_prompt_and_workflow(tmp_path: Path, name: str) -> None:
    """The canvas searches the bytes, read as Latin-1, in these ways."""
    write_audio(tmp_path / "song", sweep(), format=name, metadata=TAGS)
    text = (tmp_path / "song").read_bytes().decode("latin-1")
    if name == "mp3":
        text = text[: text.index("ÿû")]
    for key in ("prompt", "workflow"):
        if name == "mp3":
            start = text.index(f"{key}\0{{") + len(key) + 1
            found = text[start : text.index("}\0", start) + 1]
        elif name == "opus":
            start = text.index(f"{key}={{") + len(key) + 1
            rest = text[start : text.index("\0", text.index("}", start))]
            found = re.search(r"\{.*\}", rest)[0]
        else:
            start = text.index(f"{key}={{") + len(key) + 1
            found = text[start : start + len(TAGS[key])]
        assert json.loads(found) == json.loads(TAGS[key])


def test_long_ogg_comments_span_pages(tmp_path: Path) -> None:
    for size in (64_900, 65_025 - 70, 200_000, *range(254 * 255 - 80, 254 * 255 + 200, 17)):
        write_audio(tmp_path / "song", sweep(0.1), format="opus", metadata={"a": "x" * size})
        assert read_tags(tmp_path / "song")["a"] == "x" * size
        assert read_audio(tmp_path / "song")[0].shape == (2, 4800)


def test_tags_that_cannot_be_stored_are_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "song", sweep(0.1))
    for tags in ({"a=b": "c"}, {"": "c"}, {"ü": "c"}, {"a": "null \0"}):
        with pytest.raises(InvalidInput):
            write_tags(tmp_path / "song", tags)
    with pytest.raises(AudioError, match="16 MiB"):
        write_tags(tmp_path / "song", {"a": "x" * (1 << 24)})
    (tmp_path / "text").write_text("hello")
    with pytest.raises(AudioError, match="not a FLAC"):
        write_tags(tmp_path / "text", {"a": "b"})
    with pytest.raises(AudioError, match="cannot be opened"):
        read_tags(tmp_path / "absent")


@pytest.mark.parametrize("name", FORMATS)
def test_cut_files_are_read_without_a_crash(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / "song", sweep(0.2), format=name, metadata=TAGS)
    data = (tmp_path / "song").read_bytes()
    for end in (0, 3, 5, 20, 43, 60, 100, 300, 1000, len(data) // 2):
        (tmp_path / "cut").write_bytes(data[:end])
        assert isinstance(read_tags(tmp_path / "cut"), dict)
