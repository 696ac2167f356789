from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from acestep_core.errors import InvalidInput
from acestep_core.pipeline import progress
from acestep_core.pipeline.progress import ProgressBar, in_notebook, monitor_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[str]:
    """What stays on each line."""
    return [line.rsplit("\r", 1)[-1].strip() for line in stream.getvalue().strip("\n").split("\n")]


def test_each_stage_is_a_line_with_its_part_and_the_time_left():
    stream = Terminal()
    with ProgressBar(stream) as bar:
        bar.part = "3/40"
        for done in range(1, 5):
            bar("sample", done, 4)
        bar("decode", 1, 2)
    first, second = lines(stream)
    assert first.startswith("3/40 sample: 100%") and "4/4 [00:00<00:00" in first
    assert second.startswith("3/40 decode:  50%") and "1/2 [00:00<" in second


def test_a_stage_of_another_length_begins_anew():
    stream = Terminal()
    with ProgressBar(stream) as bar:
        bar("decode", 1, 2)
        bar("decode", 1, 8)
    assert ["1/2" in lines(stream)[0], "1/8" in lines(stream)[1]] == [True, True]


def test_where_nobody_looks_it_is_silent():
    stream = io.StringIO()
    with ProgressBar(stream) as bar:
        bar("sample", 1, 2)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (None, False),
        (SimpleNamespace(get_ipython=lambda: None), False),
        (SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"TerminalIPythonApp": {}})), False),
        (SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"IPKernelApp": {}})), True),
    ],
)
def test_a_notebook_is_known(shell, expected, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert in_notebook() is expected
    assert (monitor_of(None, None).progress is not None) is expected
    assert monitor_of(False, None).progress is None


def test_a_terminal_gets_a_bar_unless_somebody_listens(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    assert isinstance(monitor_of(None, None).progress, ProgressBar)
    assert monitor_of(False, None).progress is None and monitor_of(print, None).progress is print
    for wrong in (("x", None), (None, 1), (False, False)):
        with pytest.raises(InvalidInput, match="must be a function"):
            monitor_of(*wrong)
