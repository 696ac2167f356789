"""The command line where the system's own encoding is an old one, as on most Windows machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "ascii"])
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
    listed = acestep(encoding, "models", "list", str(song.parent))
    assert listed.returncode in (0, 1) and "Traceback" not in listed.stderr.decode(errors="replace")
