"""Training from Python, by the front door."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import acestep_core
from acestep_core.errors import InvalidInput
from acestep_core.pipeline.learning import existing_run, export_run, models_of, record_line, run_folder
from acestep_core.song.description import Song
from acestep_core.train.checkpoints import RunFolder
from acestep_core.train.trainset import Trainset
from tests.train.making_trainsets import write_trainset


def test_a_run_its_test_song_and_its_file(tiny_base, tmp_path):
    write_trainset(tmp_path / "set", (150,))
    for _ in range(2):  # a name of the package must not hide the function
        records = list(
            acestep_core.train_adapter(
                tmp_path / "set", tiny_base, "mine", tmp_path / "runs", rank=4, epochs=1, test_every=1,
                test_song=Song("wavy", duration=10),
            )
        )  # fmt: skip
    run = existing_run(tmp_path / "runs", "mine")
    assert repr(Trainset.open(tmp_path / "set")).endswith("set', 1 song, 0.1 minutes)")
    assert records[-1]["kind"] == "done" and "adapter  1 of 1 step. It was finished before" in record_line(records[-1])
    made = json.loads((run.folder / "samples" / "00000001.json").read_text())
    assert "adapter" in {file["role"] for file in made["files"]}
    done = export_run(run, tmp_path / "mine.safetensors")
    assert done.error == 0 and "as trained" in str(done)
    assert export_run(run, tmp_path / "short", "kohya").path == tmp_path / "short.safetensors"
    assert export_run(run, tmp_path / "set", "single").path == tmp_path / "set" / "mine.safetensors"
    with pytest.raises(InvalidInput, match=r"end in .safetensors, not in '.pt'"):
        export_run(run, tmp_path / "mine.pt")


def test_the_last_song_is_heard_once_with_the_finished_adapter(tiny_base, tmp_path):
    write_trainset(tmp_path / "set", (150,))
    song = Song("wavy", duration=10)
    for name, every, epochs, wanted in (("end", 0, 2, [2]), ("both", 1, 2, [1, 2]), ("late", 2, 3, [2, 3])):
        records = list(
            acestep_core.train_adapter(
                tmp_path / "set", tiny_base, name, tmp_path / "runs", rank=4, epochs=epochs, test_every=every,
                test_song=song, ema=0.5,
            )
        )  # fmt: skip
        assert [r["step"] for r in records if r["kind"] == "sample"] == wanted
    made = json.loads((tmp_path / "runs" / "end" / "samples" / "00000002.json").read_text())
    assert [file["name"] for file in made["files"] if file["role"] == "adapter"] == ["adapter"]


def test_a_checkpoint_named_by_its_folder_begins_a_run(tiny_base, tmp_path):
    write_trainset(tmp_path / "set", (150,))
    flat = {"rank": 4, "log_every": 1}
    list(acestep_core.train_adapter(tmp_path / "set", tiny_base, "old", tmp_path / "runs", epochs=2, **flat))
    place = tmp_path / "runs" / "old" / "checkpoints" / "2"
    records = list(
        acestep_core.train_adapter(
            tmp_path / "set", tiny_base, "next", tmp_path / "other", resume=str(place), epochs=3, **flat
        )
    )
    assert records[0]["kind"] == "start" and records[0]["step"] == 2
    assert existing_run(tmp_path / "other", "next").about()["trained"]["steps"] == 3
    with pytest.raises(InvalidInput, match="folder of a checkpoint, not with"):
        acestep_core.train_adapter(tmp_path / "set", tiny_base, "x", tmp_path, resume=str(place.parent))


def test_refusals(tiny_base, tmp_path):
    write_trainset(tmp_path / "set", (150,))
    with pytest.raises(InvalidInput, match="auto, new, best, latest, a step or the folder of a checkpoint"):
        acestep_core.train_adapter(tmp_path / "set", tiny_base, "x", tmp_path, resume="maybe")
    with pytest.raises(InvalidInput, match="needs a name"):
        run_folder(tmp_path, " .. ")
    with pytest.raises(InvalidInput, match="no run called 'x'"):
        existing_run(tmp_path, "x")
    run = RunFolder(tmp_path / "run")
    run.begin({"base": {"path": "x", "variant": "base"}})
    with pytest.raises(InvalidInput, match="no finished adapter"):
        export_run(run, tmp_path / "x.safetensors")


def test_the_checkpoint_of_a_trainset_learns_unless_another_is_named(tiny_root, tmp_path):
    songs = write_trainset(tmp_path / "set", (150,))
    usual = models_of(songs, tiny_root).model.variant
    for made, taken in (("base", "base"), ("xl-turbo", "xl-turbo"), ("sft", usual)):
        replace(songs.manifest, model={"variant": made}).save(songs.folder)
        assert models_of(Trainset.open(songs.folder), tiny_root).model.variant == taken


def test_a_new_run_takes_a_free_name(tmp_path):
    assert run_folder(tmp_path, "mine", new=True).name == "mine"
    (tmp_path / "mine").mkdir()
    assert run_folder(tmp_path, "mine").name == "mine"
    assert run_folder(tmp_path, "mine", new=True).name == "mine_00001"
    assert run_folder(tmp_path, "../a/b").parent == tmp_path
