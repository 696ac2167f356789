"""Datasets on the canvas."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import AceStepError, DatasetError, InvalidInput
from acestep_core.host.graph.context import Folders, hosting
from tests.capabilities import link
from tests.train.recordings import write_tone

SCAN = {
    "name": "tones",
    "all_instrumental": True,
    "custom_tag": "my_style",
    "tag_position": "prepend",
    "genre_ratio": 0,
}


@pytest.fixture
def songs(folders: Folders) -> Path:
    folder = folders.input / "my_songs"
    for number in range(2):
        write_tone(folder / f"{number}.wav", 2.0, 110 * (number + 1))
    (folder / "0.caption.txt").write_text("mine")
    return folder


def test_from_a_folder_to_a_trainset(bench: Any, songs: Path) -> None:
    outcome = bench(
        load=("ACEStepLoader", {"preset": "auto"}),
        scan=("ACEStepScanDataset", {"folder": "my_songs", **SCAN}),
        label=("ACEStepLabelDataset", {
            "dataset": "scan.0", "model": "load.0", "vae": "load.1", "lm": "load.2", "mode": "fill",
            "skip_metas": False, "only_unlabeled": True, "format_lyrics": False, "transcribe": False, "seed": 1,
            "save_as": "datasets/labels",
        }),
        one=("ACEStepEditSample", {"dataset": "label.0", "sample": "1.wav", "caption": "another", "bpm": 90,
                                   "keyscale": "A minor", "use": "use"}),
        edit=("ACEStepEditDataset", {"dataset": "one.0", "edits": '{"0.wav": {"repeat": 2}}', "save_as": ""}),
        save=("ACEStepSaveDataset", {"dataset": "edit.0", "file": "datasets/mine.json", "reader": "upstream"}),
        make=("ACEStepPreprocess", {"dataset": "edit.0", "model": "load.0", "vae": "load.1", "max_seconds": 10.0,
                                    "length": "full", "window_seconds": 60.0}),
    )  # fmt: skip
    assert outcome.success, outcome.error
    rows = outcome.outputs["edit"]["acestep_dataset"]
    assert [(row["name"], row["repeat"]) for row in rows] == [("0.wav", 2), ("1.wav", 1)]
    assert rows[0]["before"] == {"repeat": 1} and rows[1]["before"] == {} and not rows[1]["problems"]
    said = bench.said(outcome)
    assert sum(text.startswith("2 recordings, 0.1 minutes") for text in said) == 3, said  # scan, label, edit
    assert any(str(bench.folders.output / "datasets" / "mine.json") in text for text in said)
    assert any(text.startswith("2 songs, ") for text in said)
    assert not any("2 recordings" in line for line in bench.sink.lines), "a status line vanishes"
    assert rows[1]["caption"] == "another" and rows[1]["keyscale"] == "A minor"
    assert rows[0]["audio"] == {"filename": "0.wav", "subfolder": "my_songs", "type": "input"}
    json.dumps(rows)
    written = json.loads((bench.folders.output / "datasets" / "mine.json").read_text())
    assert written["samples"][0]["audio_path"] == str(songs / "0.wav")
    labels = json.loads((bench.folders.output / "datasets" / "labels.json").read_text())["samples"]
    assert labels[0]["caption"] == "mine" and labels[1]["labeled"]
    manifest = json.loads((bench.folders.output / "trainsets" / "tones" / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["samples"]] == ["0.wav", "1.wav"]
    assert {entry["tag"] for entry in manifest["samples"]} == {"my_style"}
    opened = bench(
        set=("ACEStepLoadTrainset", {"folder": "trainsets/tones"}),
        data=("ACEStepLoadDataset", {"file": "datasets/mine.json"}),
        show=("PreviewAny", {"source": "data.2"}),
    )
    assert opened.success, opened.error


def test_labels_go_on_where_they_were_stopped(
    call: Callable[..., Any], songs: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acestep_core.planner.answer import Answer
    from acestep_core.planner.plan import Plan
    from acestep_core.train import label as module

    heard: list[int] = []

    def describe(lm: Any, codes: Any, **told: Any) -> Answer:
        heard.append(1)
        if len(heard) == 2:
            raise KeyboardInterrupt
        return Answer(Plan(caption="heard"), "")

    monkeypatch.setattr(module, "describe_codes", describe)
    (songs / "0.caption.txt").unlink()
    model, vae, lm = call("ACEStepLoader", preset="auto")
    dataset = call("ACEStepScanDataset", folder="my_songs", **SCAN)[0]
    told = {"mode": "fill", "skip_metas": False, "only_unlabeled": True, "format_lyrics": False, "transcribe": False}
    parts = {"model": model, "vae": vae, "lm": lm, "save_as": "x.json", **told}
    with pytest.raises(KeyboardInterrupt):
        call("ACEStepLabelDataset", dataset=dataset, seed=1, **parts)
    edited = dataset.edited({"0.wav": {"caption": "mine"}})
    done, count, _ = call("ACEStepLabelDataset", dataset=edited, seed=1, **parts)["result"]
    assert (len(heard), count) == (3, 2)
    assert [sample.caption for sample in done.samples] == ["mine", "heard"]
    call("ACEStepLabelDataset", dataset=dataset, seed=1, **parts)
    assert len(heard) == 4  # the first one, which a person had written meanwhile
    call("ACEStepLabelDataset", dataset=dataset, seed=2, **parts)
    assert len(heard) == 6  # another seed hears everything anew


@pytest.mark.parametrize("folder", ["..", "/etc", "../outside", "link"])
def test_nothing_outside_the_folders_is_read(
    call: Callable[..., Any], songs: Path, folder: str, tmp_path: Path
) -> None:
    write_tone(tmp_path / "outside" / "a.wav", 2.0)
    link(songs.parent / "link", tmp_path / "outside")
    for node in ("ACEStepScanDataset", "ACEStepLoadTrainset"):
        with pytest.raises(AceStepError, match=r"acestep_datasets|There is no"):
            call(node, folder=folder, **(SCAN if "Scan" in node else {}))
    with pytest.raises(AceStepError, match=r"acestep_datasets|There is no"):
        call("ACEStepLoadDataset", file=f"{folder}/a.wav")


def test_folders_that_the_user_lists(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, songs: Path
) -> None:
    write_tone(tmp_path / "outside" / "a.wav", 2.0)
    monkeypatch.setenv("ACESTEP_DATASETS", os.pathsep.join([str(tmp_path / "outside"), ""]))
    assert call("ACEStepScanDataset", folder=str(tmp_path / "outside"), **SCAN)[1] == 1


def test_a_dataset_replaces_datasets_only(call: Callable[..., Any], songs: Path, folders: Folders) -> None:
    dataset = call("ACEStepScanDataset", folder="my_songs", **SCAN)[0]
    (folders.output / "song.json").write_text('{"format": "acestep-song"}')
    with pytest.raises(DatasetError, match="is no dataset"):
        call("ACEStepSaveDataset", dataset=dataset, file="song", reader="acestep-nodes")
    for name in ("../x.json", str(songs / "x.json")):
        with pytest.raises(InvalidInput):
            call("ACEStepSaveDataset", dataset=dataset, file=name, reader="acestep-nodes")
    for _ in range(2):
        call("ACEStepSaveDataset", dataset=dataset, file="set", reader="acestep-nodes")
    assert (folders.output / "set.json").is_file()


@pytest.mark.parametrize(
    "edits", ["[", "[]", '{"0.wav": 5}', '{"0.wav": {"bpm": "x"}}', '{"no": {"bpm": 90}}', "[" * 99_999]
)
def test_edits_that_are_none(call: Callable[..., Any], songs: Path, edits: str) -> None:
    dataset = call("ACEStepScanDataset", folder="my_songs", **SCAN)[0]
    with pytest.raises(AceStepError):
        call("ACEStepEditDataset", dataset=dataset, edits=edits, save_as="")


def test_one_sample_is_edited_and_emptied(call: Callable[..., Any], songs: Path) -> None:
    dataset = call("ACEStepScanDataset", folder="my_songs", **SCAN)[0]
    assert call("ACEStepEditSample", dataset=dataset, sample=" ")[0] is dataset
    edited = call(
        "ACEStepEditSample", dataset=dataset, sample="0.wav", caption="-", lyrics="la la", language="ko",
        timesignature="3", prompt="genre", use="exclude", custom_tag="x", repeat=4,
    )[0].samples[0]  # fmt: skip
    assert (edited.caption, edited.lyrics, edited.is_instrumental, edited.language) == ("", "la la", False, "ko")
    assert (edited.timesignature, edited.prompt_override, edited.excluded, edited.repeat) == ("3", "genre", True, 4)


def test_a_changed_folder_is_scanned_again(pack: Any, songs: Path, folders: Folders) -> None:
    node = pack.classes["ACEStepScanDataset"]
    with hosting(folders):
        first = node.IS_CHANGED(folder="my_songs", **SCAN)
        assert node.IS_CHANGED(folder="my_songs", **SCAN) == first
        (songs / "1.txt").write_text("la la")
        assert node.IS_CHANGED(folder="my_songs", **SCAN) != first
        assert math.isnan(node.IS_CHANGED(folder="../..", **SCAN))
