"""What the commands say to people."""

from __future__ import annotations

from acestep_core.commands.report import Pace, show


def test_the_pace_of_a_batch_counts_what_was_made() -> None:
    now = [0.0]
    pace = Pace(40, lambda: now[0])
    pace.note("done before")
    assert str(pace) == "1 of 40 rows", "nothing is known yet"
    now[0] = 60.0
    for how in ("made", "failed", "made"):
        pace.note(how)
    assert str(pace) == "4 of 40 rows, 120 an hour, about 18 min left"
    now[0] = 600.0
    assert str(pace) == "4 of 40 rows, 12 an hour, about 3 h 0 min left"
    for _ in range(36):
        pace.note("made")
    assert str(pace) == "40 of 40 rows, 228 an hour"
    assert pace.end() == "40 rows: 1 done before, 38 made, 1 failed"


def test_a_row_is_told_by_its_number(capsys) -> None:
    result = {"files": {}, "texts": {}, "seeds": {"Sampler.seed": [3]}, "seconds": 1.25}
    show(result, False)
    show({**result, "row": 2, "repeated": False}, False)
    show({**result, "row": 3, "repeated": True}, False)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Sampler.seed 3; 1.2 s.",
        "row 2: Sampler.seed 3; 1.2 s.",
        "row 3, done before: Sampler.seed 3; 1.2 s.",
    ]
