"""Files that libsndfile does not know, read by PyAV and by the `ffmpeg` program; the one or the other may be absent."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep_core.errors import AudioError
from acestep_core.io import decode
from acestep_core.io.audio import read_audio
from acestep_core.io.recordings import load_recording

SECOND = 48_000
RATE = 44_100
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to make the files")


def has_pyav() -> bool:
    return decode._pyav() is not None


@pytest.fixture(params=["pyav", "ffmpeg"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leaves only one of the two."""
    if request.param == "pyav":
        if not has_pyav():
            pytest.skip("needs PyAV")
        monkeypatch.setattr(decode.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(decode, "_pyav", lambda: None)
    return str(request.param)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four seconds in many containers."""
    folder = tmp_path_factory.mktemp("containers")
    time = np.arange(4 * RATE) / RATE
    soundfile.write(folder / "a.wav", np.stack([0.4 * np.sin(1400 * time), 0.2 * np.sin(2000 * time)], 1), RATE)
    surround = np.zeros((4 * SECOND, 6))
    surround[:, 2] = 0.4 * np.sin(1400 * np.arange(4 * SECOND) / SECOND)
    soundfile.write(folder / "six.wav", surround, SECOND)
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=4"]
    for arguments in (
        ["-i", "a.wav", "-c:a", "aac", "-movflags", "+faststart", "a.m4a"],
        ["-i", "a.wav", "-c:a", "aac", "a.aac"],
        ["-i", "a.wav", "-c:a", "alac", "alac.m4a"],
        ["-i", "a.wav", "-c:a", "flac", "flac.ogg"],
        ["-i", "a.wav", "-c:a", "libopus", "a.webm"],
        ["-i", "a.wav", "a.wma"],
        ["-i", "a.wav", "a.mka"],
        ["-i", "six.wav", "-c:a", "aac", "six.m4a"],
        [*picture, "-i", "a.wav", "-c:v", "mpeg4", "-c:a", "aac", "film.mp4"],
        [*picture, "-c:v", "mpeg4", "mute.mp4"],
        [
            *picture,
            "-i",
            "a.wav",
            "-i",
            "six.wav",
            *["-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a", "aac", "two.mp4"],
        ],
    ):
        subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], cwd=folder, check=True)
    return folder


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "alac.m4a", "flac.ogg", "a.webm", "a.wma", "a.mka", "film.mp4"])
def test_other_containers_are_read(made: Path, reader: str, name: str) -> None:
    got = load_recording(made / name)
    wanted = load_recording(made / "a.wav").waveform
    assert abs(got.waveform.shape[1] - wanted.shape[1]) < 0.1 * SECOND
    assert got.remarks == ()
    for side in range(2):
        spectra = [np.abs(np.fft.rfft(wave[side, SECOND : 2 * SECOND].numpy())) for wave in (got.waveform, wanted)]
        assert spectra[0].argmax() == spectra[1].argmax()
        assert spectra[0].max() == pytest.approx(spectra[1].max(), rel=0.1)


@needs_ffmpeg
def test_lossless_sound_comes_out_bit_by_bit(made: Path, reader: str) -> None:
    for name in ("alac.m4a", "flac.ogg"):
        waveform, rate = read_audio(made / name)
        assert rate == RATE and waveform.equal(read_audio(made / "a.wav")[0])


@needs_ffmpeg
def test_a_voice_in_the_centre_is_heard_on_both_sides(made: Path, reader: str) -> None:
    left, right = load_recording(made / "six.m4a").waveform
    assert left.equal(right)
    assert left[SECOND : 3 * SECOND].square().mean().sqrt() == pytest.approx(0.4 * 0.5, rel=0.05)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "said"), [("a.m4a", "of 4.0"), ("a.mka", "of 4.0"), ("a.wma", "damaged")])
def test_cut_containers_are_noticed(made: Path, reader: str, tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    path.write_bytes((made / name).read_bytes()[: (made / name).stat().st_size // 2])
    recording = load_recording(path)
    assert 1 < recording.waveform.shape[1] / SECOND < 3
    assert len(recording.remarks) == 1 and said in recording.remarks[0]


@needs_ffmpeg
def test_a_second_track_is_not_left_out_in_silence(made: Path, reader: str) -> None:
    recording = load_recording(made / "two.mp4")
    assert recording.waveform.abs().max() > 0.3
    assert recording.remarks == ("two.mp4 has 2 sound tracks, of which the first is heard.",)
    assert load_recording(made / "film.mp4").remarks == ()


@needs_ffmpeg
def test_a_film_without_sound_is_refused(made: Path, reader: str) -> None:
    with pytest.raises(AudioError, match=r"mute\.mp4 holds no sound"):
        load_recording(made / "mute.mp4")


@needs_ffmpeg
def test_limits_hold_there_too(made: Path, reader: str) -> None:
    with pytest.raises(AudioError, match="at most 2 s fit"):
        load_recording(made / "film.mp4", limit=2)
    assert load_recording(made / "film.mp4", 1.0, 2.0, limit=2).waveform.shape == (2, SECOND)


@needs_ffmpeg
def test_a_file_may_not_name_other_files(made: Path, reader: str, tmp_path: Path) -> None:
    other = made / "a.aac"
    lists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{other}\n#EXT-X-ENDLIST\n",
        "list.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{other}\n#EXT-X-ENDLIST\n",
        "list.wav": f"ffconcat version 1.0\nfile '{other}'\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="is a playlist; choose one of the recordings that it names"):
            load_recording(tmp_path / name)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["-y.m4a", "a%03d.m4a", "http:x.m4a", "a|b'\".m4a", "노래.m4a"])
def test_names_are_only_names(made: Path, reader: str, tmp_path: Path, name: str, monkeypatch) -> None:
    shutil.copy(made / "a.m4a", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert load_recording(name).waveform.shape[0] == 2


def test_without_a_reader_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_pyav", lambda: None)
    monkeypatch.setattr(decode.shutil, "which", lambda name: None)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    with pytest.raises(AudioError, match=r"install PyAV \(`.+ -m pip install av`\) or ffmpeg"):
        load_recording(tmp_path / "a.m4a")


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for ffmpeg")
def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setattr(decode, "_pyav", lambda: None)
    monkeypatch.setattr(decode.shutil, "which", lambda name: str(tmp_path / "ffmpeg"))
    monkeypatch.setattr(decode, "_FFMPEG_SECONDS", 0.1)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    with pytest.raises(AudioError, match="cannot be read"):
        load_recording(tmp_path / "a.m4a")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"RIFF", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3\4\0\0", b"\0" * 10_000]
)
def test_what_is_not_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("a.wav", "a.mp3", "a.raw", "a"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError, match=r"cannot be read|holds no audio|is empty|but zeros"):
            read_audio(tmp_path / name)


@pytest.mark.filterwarnings("error")
def test_every_cut_and_every_flipped_byte_of_a_header_ends_in_sound_or_in_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_pyav", lambda: None)
    monkeypatch.setattr(decode.shutil, "which", lambda name: None)
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff"):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, np.zeros((2000, 2)), SECOND)
        data = path.read_bytes()
        for at in range(0, min(len(data), 120)):
            for broken in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
                path.write_bytes(broken)
                try:
                    load_recording(path)
                except AudioError as error:
                    assert str(error).endswith(".")
