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
