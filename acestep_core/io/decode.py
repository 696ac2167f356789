"""Sound files, opened by whatever reads them: libsndfile, then PyAV, then the `ffmpeg` program.

A file is opened and its rate and channels are checked before any of it is decoded; decoding then goes block by block,
so that what a header claims costs nothing.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from acestep_core.errors import AudioError
from acestep_core.io.downmix import speakers_of
from acestep_core.io.headers import Repaired, parse_format
from acestep_core.io.kinds import START, kind_of
from acestep_core.io.terminal import pip_install

if TYPE_CHECKING:
    from numpy import ndarray

RATES: Final = (8_000, 384_000)
"""Lowest and highest sample rate that is taken."""
CHANNELS_MAX: Final = 64
BLOCK: Final = 1 << 12
"""Samples of each channel decoded at once; what a damaged file loses is at most this."""
_ERRORS_MAX = 100
_LENGTH_UNKNOWN = 1 << 60
_BYTES_A_SECOND = 200
"""Files with less than that are silence, or lie about their length."""
_FFMPEG_SECONDS = 600.0
"""The `ffmpeg` program is ended after that time."""
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,tak,"
    "truehd,tta,w64,wav,wv"
)
"""Containers only: no playlists and the like, which could name other files or the network."""
_STATED = ("mov", "caf")
"""Formats, by the start of their names, that state the length of each stream; others are guessed."""
_ONLY_THIS_FILE = {"protocol_whitelist": "file,pipe", "format_whitelist": _DEMUXERS}
_INTEGER_SCALES: Final = {"uint8": 2.0**7, "int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}


@dataclass
class Sound:
    """An open recording.

    Attributes:
        rate, speakers: samples a second, and where each channel plays.
        blocks: float32 `[S, C]`, in order; once.
        seconds: that the file claims to last; None if it claims nothing.
        size: bytes of the file.
        remarks: what is wrong with it, complete once all blocks were taken. Each is the end of a sentence that starts
            with the file's name.
    """

    rate: int
    speakers: tuple[str, ...]
    blocks: Iterator[ndarray]
    seconds: float | None = None
    remarks: list[str] = field(default_factory=list)
    size: int = 0


class _Unreadable(Exception):
    """This reader cannot read it; another one may."""


@contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """Opens a file with the first reader that gets sound out of it.

    Raises:
        AudioError: it is absent, no reader knows it, or its rate or count of channels is beyond what is taken.
    """
    if path.is_dir():
        raise AudioError(f"{path.name!r} is a folder; name a recording in it.")
    if re.match(r"https?:/", str(path), re.IGNORECASE):
        raise AudioError("A recording must lie on this machine; download it first, and name the file.")
    if not path.is_file():
        raise AudioError(f"There is no audio file {path.name!r}; check the name and the folder.")
    reasons = []
    with ExitStack() as stack:
        for reader in (_by_soundfile, _by_pyav, _by_ffmpeg):
            try:
                sound = stack.enter_context(reader(path))
                break
            except _Unreadable as reason:
                reasons.append(str(reason))
            except OSError as error:
                raise AudioError(f"{path.name} cannot be opened; check that it may be read.") from error
        else:
            raise AudioError(f"{path.name} {_named(path) or next(filter(None, reasons), _what_to_do())}")
        sound.size = path.stat().st_size
        yield sound


def to_float(samples: ndarray) -> ndarray:
    """Samples of any kind with a known full scale as float32 within about ±1.

    Raises:
        AudioError: they are of another kind.
    """
    kind = samples.dtype.name
    if samples.dtype.kind == "f":
        return samples.astype("float32", copy=False)
    if kind not in _INTEGER_SCALES:
        raise AudioError(
            f"Samples of type {kind} have no known full scale; give floats within ±1, or integers of 16 or 32 bits."
        )
    centred = samples.astype("float64" if kind == "int32" else "float32") - (128 if kind == "uint8" else 0)
    return (centred / _INTEGER_SCALES[kind]).astype("float32", copy=False)


def check_header(name: str, rate: int, channels: int) -> None:
    """Refuses rates and counts of channels that no recording has.

    Raises:
        AudioError: it is such a one.
    """
    if said := _beyond(rate, channels):
        raise AudioError(f"{name} {said}")


def _beyond(rate: int, channels: int) -> str:
    """The end of a sentence about a recording that cannot be one; empty for others."""
    if not RATES[0] <= rate <= RATES[1]:
        return f"is given as {rate} Hz; recordings of {RATES[0]} to {RATES[1]} Hz are taken, so export it again."
    if not 1 <= channels <= CHANNELS_MAX:
        return f"is given as {channels} channels; 1 to {CHANNELS_MAX} are taken, so export it again."
    return ""


def _named(path: Path) -> str:
    """What a file is that is no recording, as the end of a sentence; empty where that is not known."""
    with path.open("rb") as file:
        kind = kind_of(file.read(START))
    return "" if kind is None else f"{kind.says}; {kind.for_sound}."


def _what_to_do() -> str:
    if _pyav() or shutil.which("ffmpeg"):
        return "cannot be read as audio; it is damaged or no recording, so choose or export another file."
    return (
        "cannot be read as audio; if it is one of another kind than WAV, FLAC, MP3, Ogg and Opus (such as m4a or mp4), "
        f"install PyAV (`{pip_install('av')}`) or ffmpeg, or convert it."
    )


def _started(name: str, sound: Sound) -> Sound:
    """The sound, once it has shown that it has some."""
    check_header(name, sound.rate, len(sound.speakers))
    first = next(sound.blocks, None)
    if first is None:
        raise _Unreadable("holds no audio; choose another file.")
    sound.blocks = chain((first,), sound.blocks)
    return sound


# libsndfile


@contextmanager
def _by_soundfile(path: Path) -> Iterator[Sound]:
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Only ever reads on: seeking after each block, as the base does, fails where the length is not known."""

        def seekable(self) -> bool:
            return False

    with path.open("rb") as raw:
        sound_bytes, header = Repaired.by_header(raw)
        try:
            file = Forward(sound_bytes)
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
            raise _Unreadable("" if header.claims is None else _beyond(*header.claims)) from error
        with file:
            rate, channels = file.samplerate, file.channels
            counted = file.format == "OGG" or (header.counted and file.format in ("MP3", "MPEG"))
            claimed = file.frames if counted and file.frames < _LENGTH_UNKNOWN else header.samples
            speakers = speakers_of(channels, header.speakers, vorbis=file.format == "OGG")
            remarks = [header.remark] if header.remark else []
            length = claimed if claimed is not None or file.frames > _LENGTH_UNKNOWN else file.frames
            sound = Sound(rate, speakers, iter(()), length / rate if length else None, remarks)

            def blocks() -> Iterator[ndarray]:
                done = errors = 0
                while errors < _ERRORS_MAX:
                    try:
                        block = file.read(BLOCK, dtype="float32", always_2d=True)
                    except soundfile.SoundFileError:
                        errors += 1
                        continue
                    if not len(block):
                        break
                    done += len(block)
                    yield block
                if not done:
                    return
                whole = claimed if claimed is not None else done / header.share
                sound.remarks += _missing(done / rate, whole / rate)
                if done > whole + 0.05 * rate:
                    sound.remarks.append(f"says that it is {whole / rate:.2f} s long, but holds {done / rate:.2f} s")

            sound.blocks = blocks()
            yield _started(path.name, sound)


def _missing(read: float, whole: float | None, damaged: bool = False) -> list[str]:
    """What to say of a recording of which `read` of `whole` seconds could be read."""
    if whole is not None and read < whole - 0.05:
        return [f"is cut off or damaged: {read:.2f} of {whole:.2f} s could be read"]
    return [f"is damaged; {read:.2f} s could be read"] if damaged else []


def _tracks(count: int) -> list[str]:
    """Films carry one for each language or microphone."""
    return [f"has {count} sound tracks, of which the first is heard"] if count > 1 else []


# PyAV


def _pyav() -> Any:
    """The module, or None; a mere folder of that name counts for nothing."""
    try:
        import av
    except ImportError:
        return None
    return av if hasattr(av, "open") else None


@contextmanager
def _by_pyav(path: Path) -> Iterator[Sound]:
    av = _pyav()
    if av is None:
        raise _Unreadable
    try:
        container = av.open(f"file:{path.resolve()}", options=dict(_ONLY_THIS_FILE))
    except (av.FFmpegError, ValueError) as error:
        raise _Unreadable from error
    with container:
        if not container.streams.audio:
            raise _Unreadable("holds no sound; choose another file.")
        stream = container.streams.audio[0]
        errors: list[Exception] = []
        frames = _frames_of(container, stream, errors)
        first = next(frames, None)
        if first is None:
            raise _Unreadable
        rate, channels = first.sample_rate, first.layout.nb_channels
        names = tuple(channel.name for channel in first.layout.channels)
        seconds = _stated(container, stream)
        remarks = _tracks(len(container.streams.audio))
        sound = Sound(rate, names if len(names) == channels else speakers_of(channels), iter(()), seconds, remarks)

        def blocks() -> Iterator[ndarray]:
            done = 0
            for frame in chain((first,), frames):
                if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
                    sound.remarks.append("changes its rate or channels on the way; what follows was left out")
                    return
                samples = frame.to_ndarray()
                block = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
                done += len(block)
                yield to_float(block)
            sound.remarks += _missing(done / rate, seconds, bool(errors))

        sound.blocks = blocks()
        yield _started(path.name, sound)


def _stated(container: Any, stream: Any) -> float | None:
    """Seconds that the file states; not what is guessed from its size, nor the length of a picture."""
    if container.format.name.startswith(_STATED) and stream.duration:
        return float(stream.duration * stream.time_base)
    if container.format.name.startswith("matroska") and len(container.streams) == 1 and container.duration:
        return float(container.duration / 1e6)
    return None


def _frames_of(container: Any, stream: Any, errors: list[Exception]) -> Iterator[Any]:
    """All frames that can be decoded; damaged packets are passed over."""
    failure, packets = _pyav().FFmpegError, container.demux(stream)
    while len(errors) < _ERRORS_MAX:
        try:
            packet = next(packets, None)
        except failure as error:
            errors.append(error)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except failure as error:
            errors.append(error)
        else:
            yield from frames


# The ffmpeg program


@contextmanager
def _by_ffmpeg(path: Path) -> Iterator[Sound]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise _Unreadable
    guarded = [part for name, value in _ONLY_THIS_FILE.items() for part in (f"-{name}", value)]
    source = ["-hide_banner", "-nostats", "-nostdin", *guarded, "-i", f"file:{path.resolve()}"]
    wanted = ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen([program, *source, *wanted], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        as process,
    ):  # fmt: skip
        timer = threading.Timer(_FFMPEG_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            yield _started(path.name, _from_pipe(process, process.stdout, messages))
        finally:
            timer.cancel()
            process.kill()


def _from_pipe(process: subprocess.Popen[bytes], pipe: IO[bytes], messages: IO[bytes]) -> Sound:
    """What the program writes: a WAV file without a length."""
    import numpy as np

    content = b""
    if len(pipe.read(12)) == 12:
        while len(head := pipe.read(8)) == 8 and head[:4] != b"data":
            chunk = pipe.read(struct.unpack("<I", head[4:])[0])
            content = chunk if head[:4] == b"fmt " else content
    if not content:
        process.wait()
        missing = b"matches no streams" in _said(messages)
        raise _Unreadable("holds no sound; choose another file." if missing else "")
    channels, rate, mask = parse_format(content)
    sound = Sound(rate, speakers_of(channels, mask), iter(()))

    def blocks() -> Iterator[ndarray]:
        done, width = 0, 4 * channels
        while data := pipe.read(BLOCK * width):
            block = np.frombuffer(data[: len(data) // width * width], "<f4").reshape(-1, channels)
            done += len(block)
            yield block
        failed, said = process.wait() != 0, _said(messages)
        damaged = failed or re.search(rb"partial file|Invalid data|[Ee]rror|ended prematurely", said) is not None
        # The length is that of the longest stream: it only counts where something went wrong, too.
        claim = re.search(rb"Input #0, (?:mov|matroska).*?Duration: (\d+):(\d+):(\d+\.\d+)", said, re.DOTALL)
        seconds = sum(float(part) * unit for part, unit in zip(claim.groups(), (3600, 60, 1))) if claim else None
        sound.remarks += _missing(done / rate, seconds if damaged else None, damaged)
        sound.remarks += _tracks(
            len(re.findall(rb"\n *Stream #0:\d+[^\n]*: Audio:", said.partition(b"\nOutput #0")[0]))
        )

    sound.blocks = blocks()
    return sound


def _said(messages: IO[bytes]) -> bytes:
    messages.seek(0)
    return messages.read(1 << 20)


# Taking a part


def part(
    sound: Sound, name: str, start: float | None = None, end: float | None = None, limit: float | None = None
) -> Iterator[ndarray]:
    """The blocks from `start` to `end` seconds; what lies before is decoded and dropped, what lies behind is not read.

    Raises:
        AudioError: it holds samples that are not numbers, ends before `start`, or is longer than `limit` seconds.
    """
    import numpy as np

    rate, at = sound.rate, 0
    first = 0 if start is None else round(start * rate)
    last = float("inf") if end is None else round(end * rate)
    most = float("inf") if limit is None else first + round(limit * rate)
    claimed = sound.seconds or 0.0
    honest = sound.size > claimed * _BYTES_A_SECOND
    length = f"{claimed:.1f} s long" if claimed * rate > most else f"longer than {limit or 0:g} s"
    too_long = AudioError(f"{name} is {length}; at most {limit or 0:g} s fit, so cut it.")
    if honest and min(claimed * rate, last) > most:
        raise too_long
    for block in sound.blocks:
        if not np.isfinite(block).all():
            raise AudioError(f"{name} holds samples that are not numbers; export it again.")
        kept = block[max(0, first - at) : int(min(len(block), max(0, last - at)))]
        at += len(block)
        if min(at, last) > most:
            raise too_long
        if len(kept):
            yield kept
        if at >= last:
            return
    if at <= first:
        raise AudioError(f"{name} is only {at / rate:.2f} s long; nothing is left from {first / rate:.2f} s on.")
