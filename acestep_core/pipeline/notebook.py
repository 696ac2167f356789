"""How songs look in a notebook: a table with a player for each."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from acestep_core.io.audio import write_audio

if TYPE_CHECKING:
    from acestep_core.pipeline.generation import Generation

FORMAT, KIND = "mp3", "audio/mpeg"
"""Which every browser plays and which keeps notebooks small."""
SCORES = ("lm", "alignment")


def html_of(songs: Generation) -> str:
    """A table of songs: number, player, seed, length, scores; what there is to remark stands below it."""
    scored = [name for name in SCORES if any(found.get(name) is not None for found in songs.scores)]
    head = "".join(f"<th>{name}</th>" for name in ("", "song", "seed", "seconds", *scored))
    rows = []
    for item, seed in enumerate(songs.seeds):
        found = songs.scores[item] if songs.scores else {}
        cells = [str(item), _player(songs.audio[item], songs.sample_rate), str(seed), f"{songs.duration:.1f}"]
        cells += ["-" if found.get(name) is None else f"{found[name]:.3f}" for name in scored]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    said = "".join(f"<p>{escape(text)}</p>" for text in (songs.song.caption, *songs.remarks) if text)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{said}"


def _player(song: Tensor, sample_rate: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "song"
        write_audio(file, song, sample_rate, FORMAT)
        data = b64encode(file.read_bytes()).decode()
    return f'<audio controls preload="metadata" src="data:{KIND};base64,{data}"></audio>'
