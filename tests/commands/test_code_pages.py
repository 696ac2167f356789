"""The command line where the system's own encoding is an old one, as on most Windows machines."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import soundfile

from acestep_core.commands.main import main

TITLE = "노래 夜 naïve ٣"


def acestep(encoding: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": f"{encoding}:strict",
        "PYTHONWARNDEFAULTENCODING": "1",
    }
    command = [
        sys.executable,
        "-W",
        "error::EncodingWarning:acestep_core",
        "-m",
        "acestep_core.commands.main",
        *arguments,
    ]
    return subprocess.run(command, input=given, capture_output=True, env=environment, check=False, timeout=300)


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "cp932", "ascii"])
def test_a_song_with_names_of_other_scripts(encoding: str, tmp_path: Path, tiny_root: Path) -> None:
    song = tmp_path / "출력" / f"{TITLE}.flac"
    song.parent.mkdir()
    lyrics = "[절]\n밤하늘의 별\n".encode()
    made = acestep(
        encoding, "song", TITLE, "--lyrics", "-", "--duration", "10", "--steps", "1",
        "--models", str(tiny_root), "-o", str(song), given=lyrics,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr.decode(errors="replace")
    assert song.is_file() and TITLE in made.stdout.decode("utf-8")
    record = json.loads(song.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["song"]["lyrics"] == lyrics.decode()


class Console(io.TextIOWrapper):
    """What is shown on a screen, in its code page."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "cp932"])
@pytest.mark.parametrize("stream", [io.TextIOWrapper, Console])
def test_what_is_told_about_names_of_other_scripts(
    stream: type[io.TextIOWrapper], encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets UTF-8; a console what it can show of it, and no error for the rest."""
    folder = tmp_path / TITLE
    folder.mkdir()
    soundfile.write(folder / f"{TITLE}.wav", numpy.zeros(48000), 48000)
    (folder / f"{TITLE}.txt").write_text(f"{TITLE}\n", encoding="utf-16")
    written, problems = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", stream(written, encoding=encoding, errors="strict"))
    monkeypatch.setattr(sys, "stderr", stream(problems, encoding=encoding, errors="strict"))
    sheet = str(folder / "묶음.json")
    for words in (
        ["dataset", "scan", str(folder), "-o", sheet],
        ["dataset", "show", sheet],
        ["models", "list", str(folder)],
        ["song", TITLE, "--models", str(folder / "없다")],
        ["run", str(folder / "없다.json")],
    ):
        assert main(words) == (words[0] in ("song", "run")), words
    sys.stdout.flush()
    sys.stderr.flush()
    used = encoding if stream is Console else "utf-8"
    said = written.getvalue().decode(used) + problems.getvalue().decode(used)
    shown = TITLE.encode(used, errors="backslashreplace").decode(used)
    assert said.count(shown) >= 4
