"""`acestep import`: files in, files out, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acestep_core.commands.main import main
from tests.host.migrate.native_graphs import TEMPLATES, TEXT
from tests.places import nothing_known


@pytest.fixture
def here(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    nothing_known(monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Path("mine.json").write_text(json.dumps(TEMPLATES["split"]), encoding="utf-8")
    return work


def test_canvas_and_prompt_lie_beside_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "mine.json"]) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["mine_acestep.json", "mine_acestep_api.json"]
    assert "Note: acestep_v1.5_turbo.safetensors is not here: choose another in Model.\n" in said.err
    canvas, prompt = (json.loads(Path(name).read_text(encoding="utf-8")) for name in said.out.split())
    assert any(node["type"] == "ACEStepSampler" for node in canvas["nodes"])
    assert next(n for n in prompt.values() if n["class_type"] == "ACEStepSong")["inputs"]["caption"] == TEXT
    assert sorted(path.name for path in here.iterdir()) == ["mine.json", "mine_acestep.json", "mine_acestep_api.json"]


def test_as_json_under_another_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "mine.json", "-o", "other.json", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["canvas"], told["prompt"]) == ("other.json", "other_api.json") and len(told["notes"]) == 4


@pytest.mark.parametrize("text", [None, "{", "[]", '{"a": 1}', '{"nodes": [{"type": "KSampler"}]}', '{"nodes": 3}'])
def test_what_cannot_be_carried_is_one_sentence(
    text: str | None, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("bad.json").write_text(text, encoding="utf-8")
    assert main(["import", "bad.json"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith(".") and "\n" not in said and "Traceback" not in said
