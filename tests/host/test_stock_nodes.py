"""ComfyUI's own audio nodes, as the embedded host has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from acestep_core.host.graph import context
from acestep_core.host.graph.stock_nodes import LoadAudio

SECOND = 48_000


class Said:
    """A reporter that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, node_id: str, value: float, total: float, preview: object) -> None: ...

    def status_text(self, node_id: str, text: str) -> None:
        self.lines.append(text)


def test_load_audio_keeps_rate_and_channels_and_says_what_is_wrong(tmp_path: Path) -> None:
    folders, said = context.Folders.under(tmp_path), Said()
    samples = np.random.default_rng(0).standard_normal((2 * SECOND, 3)).astype("float32") * 0.1
    soundfile.write(folders.input / "a.wav", samples, 44_100, subtype="FLOAT")
    (folders.input / "cut.wav").write_bytes((folders.input / "a.wav").read_bytes()[:-120_000])
    with context.executing(context.Execution(folders, "p", "1", 0, said, lambda: False)):
        (audio,) = LoadAudio().load("a.wav")
        assert np.array_equal(audio["waveform"][0].numpy(), samples.T) and audio["sample_rate"] == 44_100
        assert said.lines == []
        (audio,) = LoadAudio().load("cut.wav")
    assert audio["waveform"].shape[:2] == (1, 3)
    assert len(said.lines) == 1 and "cut off or damaged: 1.95 of 2.18 s" in said.lines[0]


def test_what_may_hold_sound_is_listed(tmp_path: Path) -> None:
    folders = context.Folders.under(tmp_path)
    for name in ("a.wav", "b.m4a", "c.mp4", "d.png", "e.txt"):
        (folders.input / name).touch()
    with context.hosting(folders):
        assert LoadAudio.INPUT_TYPES()["required"]["audio"][1]["options"] == ["a.wav", "b.m4a", "c.mp4"]
