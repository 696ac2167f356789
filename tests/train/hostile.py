"""A folder as people really have it, and worse."""

from __future__ import annotations

import os
import pickle
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from acestep_core.io import system
from tests.capabilities import close_to_reading, link
from tests.train.recordings import write_tone


@dataclass
class Code:
    """What makes a folder when it is unpickled."""

    path: Path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def write_hours(path: Path, hours: int) -> Path:
    """A recording that is mostly a hole in the file."""
    write_tone(path, 1.0, rate=8000, channels=1)
    size = 2 * 8000 * 3600 * hours
    with path.open("r+b") as file:
        file.seek(4)
        file.write((36 + size).to_bytes(4, "little"))
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.truncate(44 + size)
    return path


def hostile(root: Path) -> tuple[set[str], set[str]]:
    """A folder of a hundred files. Returns the names of those that are usable, and of those that are not.

    `root / "ran"` is what code in one of them would make.
    """
    folder = root / "set"
    good, bad = set(), set()

    def tone(name: str, **made: object) -> None:
        write_tone(folder / name, **{"seconds": 1.2, **made})  # type: ignore[arg-type]
        good.add(name)

    def broken(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        bad.add(name)

    for number in range(70):
        tone(f"plain/{number:02d}.wav", rate=8000, channels=1, pitch=100 + number)
    tone("a.wav/inside.wav")  # a folder that is called like a file
    tone("plain/00 copy.wav", rate=8000, channels=1, pitch=100)  # the same content
    tone("one/same.wav")
    tone("two/same.wav", pitch=330)
    tone("rate.wav", rate=192_000)
    tone("six.wav", channels=6)
    longest = 250 if not system.WINDOWS else min(250, 258 - len(str(folder.absolute())))
    for name in ("한국어.wav", "عربي.wav", "🎵🎶.wav", "it's \"quoted\".wav", "<img src=x onerror=alert(1)>.wav",
                 "new\nline.wav", "x" * (longest - 4) + ".wav", unicodedata.normalize("NFD", "é한.wav"),
                 unicodedata.normalize("NFC", "twice é.wav")):  # fmt: skip
        tone(name)
    apart = unicodedata.normalize("NFD", "twice é.wav")
    if not (folder / apart).exists():  # where both spellings are one file it would take the place of the first
        tone(apart, pitch=440)
    soundfile.write(folder / "silent.flac", np.zeros((60_000, 2)), 48_000)
    soundfile.write(folder / "dc.flac", np.full((60_000, 2), 0.5), 48_000)
    good.update(("silent.flac", "dc.flac"))
    whole = (folder / "six.wav").read_bytes()
    broken("empty.wav", b"")
    broken("header.wav", whole[:44])
    broken("text.mp3", b"this is no music" * 100)
    broken("cut.wav", whole[: len(whole) // 2])
    broken("html.flac", b"<html>not found</html>")
    broken("random.ogg", os.urandom(4096))
    broken("code.opus", b"\x80\x04cos\nsystem\n(S'touch /tmp/x'\ntR.")
    write_tone(folder / "short.wav", 0.3)
    link(folder / "link out.wav", root / "secret.wav")
    link(folder / "link nowhere.wav", folder / "gone.wav")
    bad.update(("short.wav", "link out.wav", "link nowhere.wav"))
    link(folder / "loop", folder)
    (root / "other").mkdir()
    link(folder / "out", root / "other")
    bad.add("out")
    (folder / "weights.pt").write_bytes(pickle.dumps(Code(root / "ran")))
    write_hours(folder / "hours.wav", 3)
    good.add("hours.wav")
    (bad if close_to_reading(write_tone(folder / "closed.wav", 2)) else good).add("closed.wav")
    write_tone(root / "secret.wav", 2)
    write_tone(root / "other" / "x.wav", 2)
    (folder / "silent.json").write_bytes(b"[" * 1000)
    (folder / "dc.txt").write_bytes("\ufeffwords".encode())
    (folder / "rate.lyrics.txt").write_bytes("한국어".encode("cp949"))
    (folder / "six.txt").write_bytes(b"x" * (50 << 20))
    (folder / "sheet.csv").write_text("no such column\n")
    return good, bad
