"""The folder of a run, without a training."""

from __future__ import annotations

from pathlib import Path

from acestep_core.train.checkpoints import RunFolder


def test_rows_of_the_log_end_at_line_feeds_alone(tmp_path: Path) -> None:
    """Editors of the web and of macOS write other line ends into captions."""
    run = RunFolder(tmp_path)
    rows = [{"kind": "song", "caption": "slow\u2028sad\x85blue\x0b"}, {"kind": "step", "step": 1}]
    for row in rows:
        run.append(row)
    with run.log.open("a", encoding="utf-8") as file:
        file.write('{"kind": "st')  # cut off by a power failure
    assert run.records() == rows
    run.rewind(lambda row: row["kind"] == "song")
    assert run.records() == rows[:1]


def test_what_a_killed_run_had_begun_to_write_goes_when_the_folder_is_taken(tmp_path: Path) -> None:
    """Of a checkpoint, of the finished adapter, and of the log; what the user put there stays."""
    run = RunFolder(tmp_path)
    run.begin({"name": "mine"})
    begun = [run.checkpoints / ".0123abcd.tmp", tmp_path / ".89abcdef.tmp"]
    for folder in begun:
        folder.mkdir()
        (folder / "adapter_model.safetensors").touch()
    (tmp_path / ".fedcba98.tmp").touch()
    others = [tmp_path / "notes.tmp", tmp_path / ".mine.tmp", run.checkpoints / "best.tmp"]
    for file in others:
        file.touch()
    with run.held():
        assert set(tmp_path.rglob("*.tmp")) == set(others)
