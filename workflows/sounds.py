"""Makes the sound of each card of the gallery, or of those named: `python workflows/sounds.py [NAME ...]`.

The built-in model plays the workflow as it opens, only shorter; what it cannot play has no sound. Another machine
rounds differently, so this runs by hand, after a change of the model or of a workflow's song.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from cards import CARDS  # noqa: E402
from graphs import GRAPHS  # noqa: E402

from acestep_core.builtin.demo import SHIPPED  # noqa: E402
from acestep_core.host.client.local import LocalRunner  # noqa: E402
from acestep_core.host.client.sources import Sources  # noqa: E402
from acestep_core.host.graph.context import Folders  # noqa: E402
from acestep_core.io.audio import read_audio, write_audio  # noqa: E402
from acestep_core.io.formats import FORMATS  # noqa: E402

SECONDS = 12
PLAYERS = {"ACEStepSaveSong", "ACEStepPreviewSong"}
ABSENT = {"base", "recordings", "trainset", "lora"}
"""Needs of a workflow that the built-in model leaves open."""
ELSEWHERE = ("regenerate", "round_trip", "score_recording")
"""Their sound is one that is there already."""


def played() -> Iterator[str]:
    """Names of the workflows that have a sound."""
    for name, card in CARDS.items():
        plays = any(kind in PLAYERS for kind, _ in GRAPHS[name].nodes.values())
        if plays and not ABSENT & set(card.needs) and name not in ELSEWHERE:
            yield name


async def play(names: Iterable[str], dest: Path) -> None:
    """Writes the sounds of workflows to `dest`: the first song of each, its first `SECONDS`."""
    with tempfile.TemporaryDirectory() as place:
        runner = LocalRunner(Folders.under(Path(place), models=SHIPPED), [HERE.parent])
        for name in names:
            workflow = runner.load(HERE / "api" / f"{name}.json")
            for node_id, node in workflow.prompt.items():
                if isinstance(node["inputs"].get("duration"), float):
                    workflow.put(node_id, "duration", float(SECONDS))
            result = await runner.run(runner.prepare(workflow, Sources([HERE / "examples"])))
            song = next(file for files in result.files.values() for file in files if file.suffix == ".flac")
            sound, rate = read_audio(song)
            write_audio(dest / f"{name}.mp3", sound[:, : SECONDS * rate], rate, "mp3", min(FORMATS["mp3"].bitrates))


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1:] or played(), HERE))
