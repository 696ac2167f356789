"""The looks of what we show: colours legible on the default palettes, sheets that keep to themselves."""

from __future__ import annotations

import re

from tests.canvas.desk import ROOT


def test_every_colour_can_be_read() -> None:
    """Text on the grounds of the default palettes: 4.5 to 1."""
    theme = (ROOT / "web" / "theme.js").read_text(encoding="utf-8")
    tokens = re.findall(r'^  "?([a-z-]+)"?: \["(#\w+)", "(#\w+)"\]', theme, re.M)
    assert len(tokens) > 14
    for name, dark, light in tokens:
        if name in ("unplayed", "audio-ink"):
            continue
        assert contrast(dark, "#313235") >= 4.5, name
        assert contrast(light, "#E1E1E1") >= 4.5, name
    share = int(re.search(r'"field-share": \["100%", "(\d+)%"\]', theme)[1]) / 100
    assert 0xC9 * share + 0xFF * (1 - share) >= 0xE1, "the light palette's fields, lightened towards its panels"
    inks = {name: (dark, light) for name, dark, light in tokens}
    for column in (0, 1):
        assert contrast(inks["audio-ink"][column], inks["audio"][column]) >= 4.5
    assert contrast(inks["unplayed"][0], "#262729") >= 2.5 and contrast(inks["unplayed"][1], "#FFFFFF") >= 3


def test_nothing_moves_for_those_who_want_it_still() -> None:
    """One rule that no other can outdo, whatever is given a transition; and nothing has an animation."""
    sheets = [path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.css")]
    assert not [sheet for sheet in sheets if re.search(r"@keyframes|\banimation\b", sheet)]
    still = re.findall(r"prefers-reduced-motion: reduce\) \{ (.*?) \{ (.*?) \} \}", "".join(sheets))
    assert still == [(".ace, .ace *, .ace *::before, .ace *::after", "transition: none !important;")]


def test_no_sheet_changes_what_another_shows() -> None:
    """Outside of the block of its part, a sheet names only what no other sheet names there."""
    sheets = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.css")}
    loaded = re.search(r"sheets = \[(.*?)\]", (ROOT / "web" / "theme.js").read_text())
    assert loaded and set(re.findall(r'"(.+?)"', loaded[1])) == set(sheets)
    named = {name: set(re.findall(r"\.(ace-[\w-]+)", heads(text))) - ROOTS for name, text in sheets.items()}
    shared = {one for name in named for one in named[name] for other in named if other != name and one in named[other]}
    assert not shared - {"ace-dialog", "ace-button", "ace-primary"}


ROOTS = {"ace-edit", "ace-plan", "ace-songbook", "ace-region", "ace-dataset", "ace-training", "ace-make"}


def heads(sheet: str) -> str:
    """The selectors that stand at the top of a sheet, or of one of its conditions."""
    text = re.sub(r"/\*.*?\*/", "", sheet, flags=re.S)
    text = re.sub(r"@(media|container)[^{]*\{((?:[^{}]|\{[^{}]*\})*)\}", r"\2", text)
    while "{" in text:
        text, before = re.sub(r"\{[^{}]*\}", ";", text), text
        assert text != before, "a bracket is missing"
    return text


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
