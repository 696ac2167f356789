"""Training on the canvas: to a file, cancelled and gone on with, and heard on the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.context import hosting
from acestep_core.train.checkpoints import RunFolder
from tests.train.making_trainsets import write_trainset

TRAINING = {"name": "mine", "learning_rate": 1e-3, "batch": 1, "accumulation": 1, "save_every": 200, "resume": "auto"}


@pytest.fixture
def training(bench: Any, pack: Any) -> dict[str, Any]:
    """Nodes up to the run. Its settings are those that the widgets show, but small."""
    write_trainset(bench.folders.output / "trainsets" / "waves", (150, 150))
    types = pack.classes["ACEStepTrainSettings"].INPUT_TYPES()["required"]
    settings = {name: entry[1]["default"] for name, entry in types.items()} | {"rank": 4, "log_every": 1}
    return {
        "load": ("ACEStepModelLoader", {"model": "auto", "variant": "base"}),
        "set": ("ACEStepLoadTrainset", {"folder": "trainsets/waves"}),
        "how": ("ACEStepTrainSettings", settings),
        "train": ("ACEStepTrainLoRA", {"trainset": "set.0", "model": "load.0", "settings": "how.0", "epochs": 3,
                                       **TRAINING}),
    }  # fmt: skip


def test_from_a_trainset_to_a_file(bench: Any, training: dict[str, Any]) -> None:
    export = {"lora": "train.1", "filename": "styles/mine", "format": "single", "dtype": "fp32"}
    outcome = bench(**training, export=("ACEStepExportLoRA", export))
    assert outcome.success, outcome.error
    shown = outcome.outputs["train"]
    assert shown["acestep_train"][0]["steps"] == 6 and any("6 of 6 steps" in text for text in bench.said(outcome))
    picture = shown["images"][0]
    assert (bench.folders.temp / picture["filename"]).stat().st_size > 500
    assert any(line.startswith("Epoch 3/3, step 6, loss ") for line in bench.sink.lines)
    assert bench.sink.pictures
    file = bench.folders.models / "loras" / "styles" / "mine.safetensors"
    assert file.is_file() and "as trained" in outcome.outputs["export"]["text"][0]


def test_the_canvas_hears_every_record_that_it_shows_once(bench: Any, training: dict[str, Any], pack: Any) -> None:
    training["train"][1]["resume"] = "new"
    for run in ("mine", "mine_00001"):
        bench.sink.events.clear()
        outcome = bench(**training)
        assert outcome.success, outcome.error
        assert outcome.outputs["train"]["acestep_train"][0]["run"] == run
        news = [data for event, data in bench.sink.events if event == "acestep.train"]
        told = [record for data in news for record in data["records"]]
        assert {data["node"] for data in news} == {"train"} and {data["run"] for data in news} == {run}
        logged = RunFolder(bench.folders.output / "acestep" / "runs" / run).records()
        shown = [record for record in logged if record["kind"] != "epoch"]
        assert told == shown and [r["step"] for r in told if r["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
        training["train"][1]["epochs"] = 3
        training["train"][1]["learning_rate"] = 2e-3  # another input, or the result is taken from the cache


def test_a_finished_run_shows_all_of_it_again(bench: Any, training: dict[str, Any], pack: Any) -> None:
    types = pack.classes["ACEStepSong"].INPUT_TYPES()["required"]
    song = ("ACEStepSong", {name: entry[1]["default"] for name, entry in types.items()} | {"duration": 10.0})
    training["train"][1].update(test_song="song.0", test_every=1, epochs=2)
    first = bench(**training, song=song)
    assert first.success, first.error
    training["train"][1]["save_every"] = 100  # which a finished run does not mind, and no cache answers for
    again = bench(**training, song=song)
    assert again.success, again.error
    shown = [outcome.outputs["train"] for outcome in (first, again)]
    assert shown[0]["audio"] == shown[1]["audio"] and len(shown[0]["audio"]) == 2
    pictures = [(bench.folders.temp / output["images"][0]["filename"]).read_bytes() for output in shown]
    assert pictures[0] == pictures[1] and len(pictures[0]) > 500


def test_cancel_saves_and_running_again_goes_on(bench: Any, training: dict[str, Any]) -> None:
    stop = threading.Event()
    training["train"][1]["epochs"] = 20
    real = bench.sink.text

    def text(node: str, prompt: str, line: str, client: str | None) -> None:
        real(node, prompt, line, client)
        if line.startswith("Epoch") and "step 5," in line:
            stop.set()

    bench.sink.text = text
    assert not bench(stop, **training).success
    run = RunFolder(bench.folders.output / "acestep" / "runs" / "mine")
    reached = run.latest()
    assert reached is not None and 5 <= reached.step < 40 and not run.finished
    assert f"Stopped at step {reached.step} of 40; run it again to go on from there." in bench.sink.lines
    assert bench(**training).success and run.finished
    starts = [record["step"] for record in run.records() if record["kind"] == "start"]
    assert starts == [0, reached.step]


def test_a_test_song_is_heard_on_the_way(bench: Any, training: dict[str, Any], pack: Any) -> None:
    types = pack.classes["ACEStepSong"].INPUT_TYPES()["required"]
    song = {name: entry[1]["default"] for name, entry in types.items()} | {"caption": "wavy", "duration": 10.0}
    training["train"][1].update(epochs=2, test_song="song.0", test_every=2)
    outcome = bench(song=("ACEStepSong", song), **training)
    assert outcome.success, outcome.error
    heard = outcome.outputs["train"]["audio"]
    files = [bench.folders.output / found["subfolder"] / found["filename"] for found in heard]
    assert [file.name for file in files] == ["00000004.flac"] and files[0].is_file()
    news = [data for event, data in bench.sink.events if event == "acestep.train"]
    assert [r["songs"] for data in news for r in data["records"] if r["kind"] == "sample"] == [heard]
    assert files[0].with_suffix(".json").is_file()


def test_a_finished_run_is_not_run_again(bench: Any, training: dict[str, Any], pack: Any) -> None:
    node = pack.classes["ACEStepTrainLoRA"]
    with hosting(bench.folders):
        before = node.IS_CHANGED(name="mine")
        bench(**training)
        assert node.IS_CHANGED(name="mine") == before
        (bench.folders.output / "acestep/runs/mine/adapter/adapter.json").unlink()
        assert node.IS_CHANGED(name="mine") != node.IS_CHANGED(name="mine")


def test_paths_stay_inside(call: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="outside"):
        call("ACEStepExportLoRA", lora=str(tmp_path / "elsewhere"), filename="x", format="single", dtype="fp32")
    with pytest.raises(InvalidInput, match="needs a name"):
        call("ACEStepExportLoRA", lora="acestep/runs/x", filename="../..", format="single", dtype="fp32")


@pytest.mark.parametrize("form", ["single", "peft"])
def test_exports_take_free_names(form: str, bench: Any, training: dict[str, Any], call: Any) -> None:
    bench(**training)
    told = {"lora": "acestep/runs/mine/adapter", "format": form, "dtype": "fp32"}
    end = "" if form == "peft" else ".safetensors"
    for name, expected in (("a", "a"), ("a", "a_00001"), ("A", "A_00002")):
        (path,) = call("ACEStepExportLoRA", filename=f"{form}/{name}", **told)["result"]
        assert Path(path) == bench.folders.models / "loras" / form / f"{expected}{end}" and Path(path).exists()
    assert not list((bench.folders.models / "loras" / form).glob(".*.stage"))
