"""Which browser the tests of this folder look with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.canvas import browser


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a browser; Playwright would put its own into the folder."""
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    return tmp_path


def test_playwrights_own_browser_is_taken_where_the_system_has_none(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    assert own.is_relative_to(bare)
    find = browser.chromium.__wrapped__
    assert find() is None
    own.parent.mkdir(parents=True)
    own.touch()
    assert find() == str(own)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert find() == "/usr/bin/chromium"
