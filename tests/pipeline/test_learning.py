"""Training from Python, by the front door."""

from __future__ import annotations

import json

import pytest

import acestep_core
from acestep_core.errors import InvalidInput
from acestep_core.pipeline.learning import existing_run, export_run, record_line, run_folder
from acestep_core.song.description import Song
from acestep_core.train.checkpoints import RunFolder
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
    assert records[-1]["kind"] == "done" and "adapter  1 of 1 step. It was finished before" in record_line(records[-1])
    made = json.loads((run.folder / "samples" / "00000001.json").read_text())
    assert "adapter" in {file["role"] for file in made["files"]}
    done = export_run(run, tmp_path / "mine.safetensors")
    assert done.error == 0 and "as trained" in str(done)


def test_refusals(tiny_base, tmp_path):
    write_trainset(tmp_path / "set", (150,))
    with pytest.raises(InvalidInput, match="auto, new, best, latest or a step"):
        acestep_core.train_adapter(tmp_path / "set", tiny_base, "x", tmp_path, resume="maybe")
    with pytest.raises(InvalidInput, match="needs a name"):
        run_folder(tmp_path, " .. ")
    with pytest.raises(InvalidInput, match="no run called 'x'"):
        existing_run(tmp_path, "x")
    run = RunFolder(tmp_path / "run")
    run.begin({"base": {"path": "x", "variant": "base"}})
    with pytest.raises(InvalidInput, match="no finished adapter"):
        export_run(run, tmp_path / "x.safetensors")


def test_a_new_run_takes_a_free_name(tmp_path):
    assert run_folder(tmp_path, "mine", new=True).name == "mine"
    (tmp_path / "mine").mkdir()
    assert run_folder(tmp_path, "mine").name == "mine"
    assert run_folder(tmp_path, "mine", new=True).name == "mine_00001"
    assert run_folder(tmp_path, "../a/b").parent == tmp_path
