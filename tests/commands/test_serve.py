"""`acestep serve --open`."""

import pytest

from acestep_core.io import system


@pytest.mark.parametrize(
    ("own", "display", "opens"), [("", "", False), ("", ":0", True), ("MACOS", "", True), ("WINDOWS", "", True)]
)
def test_a_browser_is_opened_only_where_it_has_a_window(
    own: str, display: str, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MACOS", "WINDOWS"):
        monkeypatch.setattr(system, name, name == own)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert system.has_window() is opens
