"""The one door for recordings: whatever people have becomes 48 kHz stereo, or a sentence that says why not."""

from __future__ import annotations

import logging
import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from acestep_core.errors import AudioError
from acestep_core.io import decode
from acestep_core.io.recordings import batch_of, load_recording, load_source

SECOND = 48_000
HALF = math.sqrt(0.5)


def tone(seconds: float = 2.0, rate: int = SECOND, hertz: float = 220.0, peak: float = 0.4) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("float32")


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Two seconds, 48 kHz, stereo, 16 bit."""
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), 0.5 * tone()], 1), SECOND, subtype="PCM_16")
    return tmp_path / "a.wav"


def flac_claiming(path: Path, samples: int, seconds: float = 2.0) -> Path:
    """A FLAC file whose header has another count of samples."""
    soundfile.write(path, np.stack([tone(seconds)] * 2, 1), SECOND)
    data = bytearray(path.read_bytes())
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36
    data[18:26] = (packed | samples).to_bytes(8, "big")
    path.write_bytes(data)
    return path


# Forms


class Lazy(Mapping[str, Any]):
    """Like those of other node packs: it loads when it is asked, and only once for each key."""

    def __init__(self, waveform: Any, rate: Any) -> None:
        self.values_by_key, self.asked = {"waveform": waveform, "sample_rate": rate}, []

    def __getitem__(self, key: str) -> Any:
        self.asked.append(key)
        return self.values_by_key[key]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("listing the keys is not needed")

    def __len__(self) -> int:
        raise AssertionError("counting the keys is not needed")


def test_all_forms_of_a_recording_are_the_same(tmp_path: Path) -> None:
    stereo = np.stack([tone(rate=44_100), 0.5 * tone(rate=44_100)])
    soundfile.write(tmp_path / "a.wav", stereo.T, 44_100, subtype="FLOAT")
    wanted = load_source(tmp_path / "a.wav")
    assert wanted.shape == (2, 2 * SECOND) and wanted.dtype == torch.float32
    at_once = soxr.resample(stereo.T.copy(), 44_100, SECOND, quality="HQ").T
    assert np.array_equal(wanted.numpy(), at_once)
    tensor = torch.from_numpy(stereo)
    lazy = Lazy(tensor[None], 44_100)
    for form in (
        str(tmp_path / "a.wav"),
        (tensor, 44_100),
        (stereo.astype(">f4"), np.int64(44_100)),
        (tensor[None].double().requires_grad_(), 44_100.0),
        {"waveform": tensor[None], "sample_rate": 44_100},
        {"waveform": stereo, "sample_rate": torch.tensor(44_100)},
        lazy,
        SimpleNamespace(audio=tensor[None], sample_rate=44_100),
    ):
        assert torch.equal(load_source(form), wanted)
    assert sorted(lazy.asked) == ["sample_rate", "waveform"]


def test_the_audio_column_of_datasets_is_a_recording(wav: Path) -> None:
    samples, rate = soundfile.read(wav, dtype="float32")
    column = {"path": "a.wav", "array": samples.T, "sampling_rate": rate}
    assert torch.equal(load_source(column), load_source(wav))


def test_a_path_may_be_as_it_was_copied(wav: Path) -> None:
    named = wav.with_name("a b#1.wav")
    wav.rename(named)
    for pasted in (f'"{named}"', f"'{named}'", named.as_uri(), f" {named.as_uri()} "):
        assert torch.equal(load_source(pasted), load_source(named))


def test_one_line_of_samples_is_mono() -> None:
    for form in ((tone(), SECOND), {"waveform": torch.from_numpy(tone()), "sample_rate": SECOND}):
        got = load_source(form)
        assert torch.equal(got, torch.from_numpy(tone()).expand(2, -1))


@pytest.mark.parametrize(
    ("kind", "full", "zero"),
    [("int16", 2**15, 0), ("int32", 2**31, 0), ("uint8", 2**7, 128), ("int8", 2**7, 0)],
)
def test_integers_are_scaled_to_full_scale(kind: str, full: int, zero: int) -> None:
    values = np.array([[0, full // 2, -full // 2, -full]]) + zero
    got = load_source((values.astype(kind), SECOND))
    assert got[0].tolist() == [0.0, 0.5, -0.5, -1.0]
    if kind != "uint8":
        assert torch.equal(load_source((torch.from_numpy(values.astype(kind)), SECOND)), got)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (None, "not NoneType"),
        (3, "not int"),
        (torch.zeros(2, 100), "not Tensor"),
        ((torch.zeros(2, 100),), "not tuple"),
        (([0.0, 0.1], SECOND), "not list"),
        ((torch.zeros(2, 0), SECOND), "not empty"),
        ((torch.zeros(1, 1, 2, 100), SECOND), "channels by samples"),
        ((torch.zeros(4000, 2), SECOND), r"turn it round"),
        ((SECOND, np.zeros(4000, "float32")), r"the waveform first"),
        ((np.zeros((2, 100), "int64"), SECOND), "int64 have no known full scale"),
        ((np.zeros((2, 100), "complex64"), SECOND), "complex64"),
        ((np.zeros((2, 100), "bool"), SECOND), "bool"),
        ((torch.full((2, 100), math.nan), SECOND), "not numbers"),
        ((torch.full((2, 100), math.inf), SECOND), "not numbers"),
        ((torch.zeros(2, 100), 0), "0 Hz"),
        ((torch.zeros(2, 100), 7_999), "8000 to 384000"),
        ((torch.zeros(2, 100), 384_001), "8000 to 384000"),
        ((torch.zeros(2, 100), None), "whole number of Hz"),
        ((torch.zeros(2, 100), 44_100.5), "whole number of Hz"),
        ((torch.zeros(2, 100), True), "whole number of Hz"),
        ((torch.zeros(2, 100), math.nan), "whole number of Hz"),
        ({"waveform": torch.zeros(2, 2, 100), "sample_rate": SECOND}, "batch of 2"),
        ({"waveform": None, "sample_rate": SECOND}, "not NoneType"),
        ("https://example.org/a.wav", "download it first"),
        ({"array": np.zeros((2, 100)), "sample_rate": SECOND}, "a waveform and a sample_rate"),
        ({"samples": torch.zeros(1, 64, 10)}, "a waveform and a sample_rate"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(audio: Any, reason: str) -> None:
    with pytest.raises(AudioError, match=reason) as caught:
        load_source(audio)
    assert str(caught.value).endswith(".")


def test_a_batch_keeps_its_items() -> None:
    waveforms, rate = batch_of({"waveform": torch.zeros(3, 1, 50), "sample_rate": 8000})
    assert waveforms.shape == (3, 1, 50) and rate == 8000


# Channels


def one_channel_of(channels: int, sounding: int) -> np.ndarray:
    samples = np.zeros((2 * SECOND, channels), "float32")
    samples[:, sounding] = tone()
    return samples


def gains(path: Path) -> tuple[float, float]:
    left, right = (float(side.abs().max()) / 0.4 for side in load_source(path))
    return round(left, 2), round(right, 2)


@pytest.mark.parametrize(
    ("sounding", "wanted"),
    [(0, (1, 0)), (1, (0, 1)), (2, (0.71, 0.71)), (3, (0, 0)), (4, (0.71, 0)), (5, (0, 0.71))],
)
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_surround_is_mixed_by_bs775(tmp_path: Path, kind: str, sounding: int, wanted: tuple[float, float]) -> None:
    soundfile.write(tmp_path / f"a.{kind}", one_channel_of(6, sounding), SECOND)
    assert gains(tmp_path / f"a.{kind}") == wanted


@pytest.mark.parametrize(
    ("sounding", "wanted"),
    [(0, (1, 0)), (1, (0.71, 0.71)), (2, (0, 1)), (3, (0.71, 0)), (4, (0, 0.71)), (5, (0, 0))],
)
def test_vorbis_has_an_order_of_its_own(tmp_path: Path, sounding: int, wanted: tuple[float, float]) -> None:
    soundfile.write(tmp_path / "a.ogg", one_channel_of(6, sounding), SECOND, format="OGG", subtype="VORBIS")
    assert gains(tmp_path / "a.ogg") == pytest.approx(wanted, abs=0.05)


def test_the_channel_mask_of_a_wav_file_is_followed(tmp_path: Path) -> None:
    """Three channels are left, right and centre, unless the mask says left, right and low frequencies."""
    soundfile.write(tmp_path / "a.wav", one_channel_of(3, 2), SECOND, format="WAVEX")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"fmt ") + 28
    for mask, wanted in ((0b111, (0.71, 0.71)), (0b1011, (0, 0)), (0, (0.71, 0.71))):
        data[at : at + 4] = struct.pack("<I", mask)
        (tmp_path / "b.wav").write_bytes(data)
        assert gains(tmp_path / "b.wav") == wanted


def test_waveforms_are_mixed_like_files_and_unknown_places_are_in_the_middle() -> None:
    for channels in range(3, 17):
        got = load_source((torch.from_numpy(one_channel_of(channels, channels - 1).T.copy()), SECOND))
        assert got.abs().max() > 0.15, f"the last of {channels} channels is lost"


def test_nothing_clips_by_mixing(tmp_path: Path) -> None:
    samples = np.stack([tone(peak=0.9)] * 5, 1)
    recording = load_recording((samples.T, SECOND))
    assert recording.waveform.abs().max() == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(recording.waveform[0] * 0.9, torch.from_numpy(samples[:, 0]), atol=1e-4), "distorted"
    assert recording.remarks == ("The recording is too loud and would clip, so it was turned down by 6.7 dB.",)


# What is said


def test_a_sound_recording_is_read_without_remark(wav: Path) -> None:
    recording = load_recording(wav)
    assert (recording.remarks, recording.conversion) == ((), "")
    samples, _ = soundfile.read(wav, dtype="float32")
    assert np.array_equal(recording.waveform.numpy(), samples.T)


def test_conversions_are_named_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(rate=22_050), 22_050)
    recording = load_recording(tmp_path / "a.flac")
    assert recording.conversion == "a.flac (22050 Hz, mono) was converted to 48000 Hz stereo."
    assert recording.remarks == ()


def test_beyond_full_scale_is_turned_down_and_said(tmp_path: Path) -> None:
    loud = np.stack([tone(peak=8.0), tone(peak=4.0)], 1)
    soundfile.write(tmp_path / "a.wav", loud, SECOND, subtype="FLOAT")
    recording = load_recording(tmp_path / "a.wav")
    assert recording.remarks == ("a.wav is too loud and would clip, so it was turned down by 18.1 dB.",)
    assert np.allclose(recording.waveform.numpy(), loud.T / 8, atol=1e-4)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integers_that_became_floats_are_scaled_and_named(bits: int, tmp_path: Path) -> None:
    sound = np.stack([tone(peak=1.0), tone(peak=0.5)], 1)
    numbers = np.floor(sound * 2.0 ** (bits - 1)).astype("float32")
    soundfile.write(tmp_path / "a.wav", numbers, SECOND, subtype="FLOAT")
    for source in ((numbers.T, SECOND), tmp_path / "a.wav"):
        recording = load_recording(source)
        assert np.allclose(recording.waveform.numpy(), sound.T, atol=1e-4)
        (remark,) = recording.remarks
        assert "as integer samples have" in remark and remark.endswith(f"divided by {2 ** (bits - 1)}.")


def test_a_rounding_error_beyond_full_scale_is_no_remark() -> None:
    recording = load_recording((np.full((2, 1000), 1.01, "float32"), SECOND))
    assert recording.remarks == () and recording.waveform.max() == 1.0


def test_silence_is_said() -> None:
    assert load_recording((torch.zeros(2, SECOND), SECOND)).remarks == (
        "The recording is silent; choose another if need be.",
    )


def test_remarks_are_warnings_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_source((torch.zeros(2, SECOND), SECOND))
    assert [record.getMessage() for record in caplog.records] == ["The recording is silent; choose another if need be."]


# Headers that lie


@pytest.mark.parametrize("riff", [0, 36, 0xFFFF_FFFF])
@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_stream_without_a_length_is_read_to_its_end(wav: Path, riff: int, size: int) -> None:
    data = wav.read_bytes()
    at = data.index(b"data")
    broken = data[:4] + struct.pack("<I", riff) + data[8 : at + 4] + struct.pack("<I", size) + data[at + 8 :]
    whole = load_source(wav)
    wav.write_bytes(broken)
    recording = load_recording(wav)
    assert torch.equal(recording.waveform, whole)
    assert len(recording.remarks) == 1 and "read to its end" in recording.remarks[0]


def test_a_length_that_was_not_brought_up_to_date_is_passed_over(wav: Path) -> None:
    data = wav.read_bytes()
    at = data.index(b"data")
    whole = load_source(wav)
    wav.write_bytes(data[: at + 4] + struct.pack("<I", 40_000) + data[at + 8 :])
    recording = load_recording(wav)
    assert torch.equal(recording.waveform, whole) and "wrong length" in recording.remarks[0]


@pytest.mark.parametrize(
    "trailer", [b"LIST\4\0\0\0INFO", b"\0" * 100_000, b"TAG" + b"x" * 125, b"id3 \4\0\0\0abcd" * 9]
)
def test_what_stands_behind_the_sound_is_not_heard(wav: Path, trailer: bytes) -> None:
    whole = load_source(wav)
    wav.write_bytes(wav.read_bytes() + trailer)
    recording = load_recording(wav)
    assert torch.equal(recording.waveform, whole) and recording.remarks == ()


def test_an_empty_file_stays_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), SECOND)
    with pytest.raises(AudioError, match="holds no audio"):
        load_source(tmp_path / "a.wav")


@pytest.mark.parametrize("claimed", [0, SECOND, 10 * 3600 * SECOND])
def test_what_a_flac_file_claims_is_not_believed(tmp_path: Path, claimed: int) -> None:
    path = flac_claiming(tmp_path / "a.flac", claimed)
    recording = load_recording(path)
    assert recording.waveform.shape == (2, 2 * SECOND)
    said = {0: "", SECOND: "1.00 s long, but holds 2.00 s"}.get(claimed, "2.00 of 36000.00 s")
    assert said in " ".join(recording.remarks) and bool(recording.remarks) == bool(claimed)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "w64", "au", "flac", "mp3", "rf64"])
def test_cut_files_say_how_much_is_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).standard_normal((10 * SECOND, 2)) * 0.1
    soundfile.write(path, noise, SECOND)
    assert load_recording(path).remarks == ()
    os.truncate(path, path.stat().st_size // 2)
    recording = load_recording(path)
    seconds = recording.waveform.shape[1] / SECOND
    assert 4.5 < seconds < 5.5
    assert recording.remarks == (f"{path.name} is cut off or damaged: {seconds:.2f} of 10.00 s could be read.",)


@pytest.mark.parametrize(("suffix", "subtype"), [("ogg", "VORBIS"), ("opus", "OPUS")])
def test_cut_ogg_files_are_noticed(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone(10.0)] * 2, 1), SECOND, format="OGG", subtype=subtype)
    assert load_recording(path).remarks == ()
    os.truncate(path, path.stat().st_size // 2)
    assert load_recording(path).remarks == (f"{path.name} has no end; it may be cut off.",)


# Length


def test_the_header_is_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("was decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", unwanted)
    slow = tmp_path / "slow.wav"  # one sample a second: half a day of 48 kHz
    soundfile.write(slow, np.zeros((40_000, 1)), 1)
    with pytest.raises(AudioError, match=r"slow\.wav is given as 1 Hz"):
        load_source(slow)
    wide = tmp_path / "wide.wav"
    soundfile.write(wide, np.zeros((10, 100)), SECOND)
    with pytest.raises(AudioError, match="100 channels"):
        load_source(wide)


RATES = [("wav", b"fmt ", 12, "<I"), ("au", b".snd", 16, ">I"), ("aiff", b"COMM", 16, ">HQ")]
"""Where each kind of file writes its rate, behind which chunk."""


@pytest.mark.parametrize("rate", [0, 4_000_000_000])
@pytest.mark.parametrize(("suffix", "chunk", "at", "layout"), RATES)
def test_a_rate_that_no_recording_has_is_told_by_its_number(
    suffix: str, chunk: bytes, at: int, layout: str, rate: int, tmp_path: Path
) -> None:
    """Also where no decoder opens such a file."""
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.zeros((SECOND, 2)), SECOND)
    data = bytearray(path.read_bytes())
    written = (16383 + 63, rate) if layout == ">HQ" else (rate,)
    told = r"\d+" if layout == ">HQ" else rate  # libsndfile has its own way with the ten bytes of AIFF
    at += data.index(chunk)
    data[at : at + struct.calcsize(layout)] = struct.pack(layout, *written)
    path.write_bytes(data)
    with pytest.raises(AudioError, match=rf"^a\.{suffix} is given as {told} Hz; recordings of 8000 to 384000 Hz"):
        load_source(path)


def test_no_more_than_the_limit_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((60 * SECOND, 1)), SECOND)
    decoded = 0
    plain = soundfile.SoundFile.read

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal decoded
        block = plain(*arguments, **options)
        decoded += len(block)
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    with pytest.raises(AudioError, match=r"a\.flac is 60\.0 s long; at most 5 s fit, so cut it\."):
        load_source(path, limit=5)
    assert decoded <= 5 * SECOND + 2 * decode.BLOCK
    decoded = 0
    assert load_source(path, start=1.0, end=3.0, limit=5).shape == (2, 2 * SECOND)
    assert decoded <= 3 * SECOND + 2 * decode.BLOCK


def test_the_limit_is_ten_minutes_if_not_said_otherwise() -> None:
    with pytest.raises(AudioError, match=r"longer than 600 s; at most 600 s fit"):
        load_source((np.zeros((1, 601 * 8000), "float32"), 8000))
    two = (np.zeros((1, 2 * SECOND), "float32"), SECOND)
    assert load_source(two, limit=2).shape == load_source(two, limit=None).shape == (2, 2 * SECOND)


def test_a_part_is_the_same_samples(wav: Path) -> None:
    whole = load_source(wav)
    assert torch.equal(load_source(wav, 0.5, 1.25), whole[:, SECOND // 2 : SECOND * 5 // 4])
    assert torch.equal(load_source(wav, start=1.5), whole[:, SECOND * 3 // 2 :])
    assert torch.equal(load_source(wav, end=0.5), whole[:, : SECOND // 2])
    assert torch.equal(load_source(wav, end=99.0), whole)
    with pytest.raises(AudioError, match=r"only 2\.00 s long; nothing is left from 3\.00 s on"):
        load_source(wav, start=3.0)
    for start, end in ((-1.0, None), (2.0, 1.0), (1.0, 1.0), (math.nan, None), (None, 0.0)):
        with pytest.raises(AudioError, match="A part of a recording"):
            load_source(wav, start, end)


# Files joined by hand


def stereo_bytes(path: Path, **options: Any) -> bytes:
    soundfile.write(path, np.stack([tone(), tone()], 1), SECOND, **options)
    return path.read_bytes()


@pytest.mark.parametrize(("name", "tags"), [("a.wav", 1), ("a.wav", 3), ("a.flac", 1), ("a.aiff", 2), ("a.au", 1)])
def test_tags_in_front_of_a_sound_file_cost_no_sample(name: str, tags: int, tmp_path: Path) -> None:
    """Some programs put an MP3's tag in front of any file; the last here has a foot, too."""
    plain = load_source(tmp_path / name) if stereo_bytes(tmp_path / name) else None
    tag = b"ID3\4\0\0\0\0\1\0" + bytes(128)
    footed = b"ID3\4\0\x10\0\0\0\x04" + bytes(4) + b"3DI\4\0\x10\0\0\0\x04"
    (tmp_path / name).write_bytes(tag * (tags - 1) + footed + (tmp_path / name).read_bytes())
    recording = load_recording(tmp_path / name)
    assert torch.equal(recording.waveform, plain) and not recording.remarks


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.aiff", {}),
        ("a.w64", {}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("a.mp3", {}),
    ],
)
def test_a_second_recording_behind_the_first_is_said(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = stereo_bytes(tmp_path / name, **options)
    alone = load_recording(tmp_path / name)
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10) if name.endswith("mp3") else b""
    (tmp_path / name).write_bytes(tag + data + tag + data)
    recording = load_recording(tmp_path / name)
    assert not alone.remarks and recording.waveform.shape == alone.waveform.shape
    assert recording.remarks == (
        f"{name} holds another recording behind the first, which is not heard; make a file of its own of that.",
    )


def test_a_recording_is_named_with_what_a_copy_brings_along(wav: Path) -> None:
    assert torch.equal(load_source(f"{wav} \n"), load_source(wav))
