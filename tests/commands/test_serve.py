"""`acestep serve --open`."""

import pytest

from acestep_core.commands import serve


@pytest.mark.parametrize(
    ("system", "display", "opens"),
    [("linux", "", False), ("linux", ":0", True), ("darwin", "", True), ("win32", "", True)],
)
def test_a_browser_is_opened_only_where_it_has_a_window(
    system: str, display: str, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.sys, "platform", system)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert serve.has_window() is opens
