"""A value means the same at every door: library, command, `--set`, sheet, JSON, `/prompt`, node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_core.checkpoints.catalog import TINY
from acestep_core.commands import song as command
from acestep_core.commands.flags import given
from acestep_core.errors import AceStepError
from acestep_core.host.client.batch import values_of
from acestep_core.host.client.rows import read_rows
from acestep_core.host.graph.packs import Registry
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import Workflow
from acestep_core.song.description import Song
from nodes.song import ACEStepSong

FLAGS = {"keyscale": "--key", "timesignature": "--time-signature"}
OPEN = {"caption": "a", "lyrics": "", "instrumental": False, "language": "unknown", "duration": 0.0, "bpm": 0}
OPEN |= {"keyscale": "auto", "timesignature": "auto"}
GRAPH = {
    "song": {"class_type": "ACEStepSong", "inputs": OPEN},
    "info": {"class_type": "ACEStepSongInfo", "inputs": {"song": ["song", 0]}},
    "task": {"class_type": "ACEStepTextToMusic", "inputs": {"song": ["again", 0]}},
    "again": {"class_type": "ACEStepSong", "inputs": {n: ["info", i] for i, n in enumerate(
        ("caption", "lyrics", "language", "duration", "bpm", "keyscale", "timesignature", "instrumental"))}},
    "model": {"class_type": "ACEStepModelLoader", "inputs": {"model": TINY}},
    "vae": {"class_type": "ACEStepVAELoader", "inputs": {"vae": TINY}},
    "heard": {"class_type": "ACEStepConditioning", "inputs": {
        "model": ["model", 0], "song": ["again", 0], "task": ["task", 0]}},
    "latent": {"class_type": "ACEStepSampler", "inputs": {
        "model": ["model", 0], "conditioning": ["heard", 0], "seed": 1, "batch_size": 1, "sampler": "euler"}},
    "audio": {"class_type": "ACEStepDecode", "inputs": {"vae": ["vae", 0], "latent": ["latent", 0]}},
    "out": {"class_type": "PreviewAudio", "inputs": {"audio": ["audio", 0]}},
}  # fmt: skip


def _made(widgets: dict[str, Any]) -> Song:
    """What the node hands on; with remarks it does that beside a text to show."""
    found = ACEStepSong().make(**widgets)
    return (found["result"] if isinstance(found, dict) else found)[0]


class Doors:
    """Each turns one value of a song, written in some way, into a song."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.workflow = Workflow(GRAPH, registry.definitions())

    def library(self, name: str, value: str) -> Song:
        return Song(caption="a", **{name: value})

    def command(self, name: str, value: str) -> Song:
        parser = argparse.ArgumentParser(exit_on_error=False)
        command.add_parser(parser.add_subparsers())
        flag = FLAGS.get(name, f"--{name}")
        return Song.from_dict({"caption": "a"} | given(parser.parse_args(["song", "a", f"{flag}={value}"]), (Song,)))

    def setting(self, name: str, value: str) -> Song:
        return self._run(self.workflow.with_inputs(values_of([f"song.{name}={value}"])))

    def sheet(self, name: str, value: str) -> Song:
        (self.folder / "rows.csv").write_text(f"song.{name};song.caption\n{value};a\n", encoding="utf-16")
        return self._run(self.workflow.with_inputs(read_rows(self.folder / "rows.csv")[0]))

    def json(self, name: str, value: str) -> Song:
        (self.folder / "rows.jsonl").write_text(json.dumps({f"song.{name}": value}), encoding="utf-8")
        return self._run(self.workflow.with_inputs(read_rows(self.folder / "rows.jsonl")[0]))

    def prompt(self, name: str, value: str) -> Song:
        changed = self.workflow.with_inputs({})
        changed.put("song", name, value)
        return self._run(changed)

    def node(self, name: str, value: str) -> Song:
        return _made(OPEN | {name: value})

    def _run(self, workflow: Workflow) -> Song:
        report = validate(workflow.prompt, self.registry)
        if report.error is not None:
            raise AceStepError(str(report.node_errors))
        return _made(workflow.prompt["song"]["inputs"])


DOORS = [name for name in vars(Doors) if not name.startswith("_")]


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path) -> Callable[[str, str], Song]:
    return getattr(Doors(registry, tmp_path), request.param)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("keyscale", "Am", "A minor"),
        ("keyscale", "B♭-Dur", "Bb major"),
        ("keyscale", "D dorian", "D minor"),
        ("keyscale", "Am7", "A minor"),
        ("keyscale", "-1", ""),
        ("timesignature", "6/8", "6"),
        ("timesignature", "4.0", "4"),
        ("timesignature", "auto", ""),
        ("language", "Deutsch", "de"),
        ("language", "日本語", "ja"),
        ("language", "EN", "en"),
        ("bpm", "120.0", 120),
        ("bpm", "１２０", 120),
        ("bpm", "128 bpm", 128),
        ("bpm", "-1", None),
        ("bpm", "auto", None),
        ("duration", "3:20", 200.0),
        ("duration", "60,5", 60.5),
        ("duration", "-1", None),
        ("duration", "auto", None),
    ],
)
def test_one_value_means_the_same_at_every_door(
    door: Callable[[str, str], Song], name: str, value: str, wanted: Any
) -> None:
    song = door(name, value)
    assert getattr(song, name) == wanted
    assert ("D dorian" in song.caption) is (value == "D dorian")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("keyscale", "H minor", "C major"),
        ("timesignature", "5/4", "2, 3, 4 or 6"),
        ("language", "klingon", "not known"),
        ("bpm", "fast", "bpm"),
        ("bpm", "128.4", "bpm"),
        ("bpm", "128.4 bpm", "bpm"),
        ("duration", "9", "10"),
    ],
)
def test_what_one_door_refuses_all_refuse(door: Callable[[str, str], Song], name: str, value: str, words: str) -> None:
    with pytest.raises(AceStepError, match=words):
        door(name, value)


def test_what_is_in_a_song_can_be_wired_into_another(registry: Registry) -> None:
    prompt = Workflow(GRAPH, {}).with_inputs({}).prompt
    assert validate(prompt, registry).error is None
    prompt["again"]["inputs"]["keyscale"] = ["model", 0]
    report = validate(prompt, registry)
    assert "keyscale takes COMBO or STRING" in str(report.node_errors["again"])
