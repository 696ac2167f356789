"""`acestep dataset` from a folder to a trainset."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from acestep_core.commands.main import main
from acestep_core.train.trainset import Trainset
from tests.train.recordings import write_tone


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for number in range(3):
        write_tone(tmp_path / "songs" / f"{number}.wav", 2.0, 110 * (number + 1))
    (tmp_path / "songs" / "0.txt").write_text("la la")
    return tmp_path / "songs"


def test_the_whole_way(songs: Path, tmp_path: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "set.json"
    assert main(["dataset", "scan", str(songs), "-o", str(file), "--tag", "my_style", "--genre-ratio", "20"]) == 0
    assert "3 recordings" in capsys.readouterr().out
    assert main(["dataset", "edit", str(file), "1.wav", "bpm=120", "caption=mine", "key=8A"]) == 0
    assert "1 sample edited: " in capsys.readouterr().out
    assert main(["dataset", "label", str(file), "--models", str(tiny_root), "--device", "cpu"]) == 0
    assert main(["dataset", "show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "mine" in shown and "120" in shown and "A minor" in shown and "ready" in shown
    assert main(["dataset", "preprocess", str(file), "--models", str(tiny_root), "--device", "cpu",
                 "--max-seconds", "10"]) == 0  # fmt: skip
    trainset = Trainset.open(tmp_path / "set_trainset")
    assert len(trainset) == 3 and trainset.manifest.dataset["custom_tag"] == "my_style"
    assert not (tmp_path / ".set.json.lock").exists()
    assert main(["dataset", "scan", str(songs), "-o", str(file)]) == 0  # what was written is kept
    assert json.loads(file.read_text())["metadata"]["custom_tag"] == "my_style"
    samples = json.loads(file.read_text())["samples"]
    assert samples[1]["caption"] == "mine" and samples[2]["caption"] and samples[2]["labeled"]


def test_how_texts_are_encoded_is_remembered(songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, sheet = tmp_path / "set.json", songs / "songs.csv"
    scan = ["dataset", "scan", str(songs), "-o", str(file)]
    sheet.write_bytes("File;Caption\n1.wav;느린 노래\n".encode("cp949"))
    assert main(scan) == 0 and "encoding" in capsys.readouterr().err
    assert "encoding" not in json.loads(file.read_text())["metadata"]["acestep_nodes"]
    assert main([*scan, "--encoding", "cp949"]) == 0 and main(scan) == 0
    assert "encoding" not in capsys.readouterr().err
    assert json.loads(file.read_text())["samples"][1]["caption"] == "느린 노래"
    edits = tmp_path / "edits.csv"
    edits.write_bytes("File;Caption\n2.wav;빠른 노래\n".encode("cp949"))
    assert main(["dataset", "edit", str(file), "--from", str(edits)]) == 0 and main(scan) == 0
    assert json.loads(file.read_text())["samples"][2]["caption"] == "빠른 노래"
    assert main([*scan, "--encoding", ""]) == 0 and "encoding" in capsys.readouterr().err  # said anew, it counts


def test_edits_from_a_sheet_and_exports(songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, sheet = tmp_path / "set.json", tmp_path / "edits.csv"
    main(["dataset", "scan", str(songs), "-o", str(file)])
    sheet.write_text("File,Caption,BPM\n0.wav,zero,100\n2.wav,two,\n")
    assert main(["dataset", "edit", str(file), "--from", str(sheet)]) == 0
    out = tmp_path / "up" / "out.json"
    out.parent.mkdir()
    assert main(["dataset", "export", str(file), "-o", str(out), "--for", "upstream"]) == 0
    exported = json.loads(out.read_text())["samples"]
    assert exported[0]["audio_path"] == str(songs / "0.wav") and exported[0]["bpm"] == 100
    beside = tmp_path / "beside"
    assert main(["dataset", "export", str(file), "--sidecars", str(beside)]) == 0
    assert (beside / "0.caption.txt").read_text() == "zero\n" and (beside / "0.lyrics.txt").read_text() == "la la\n"
    assert json.loads((beside / "0.json").read_text())["bpm"] == 100
    capsys.readouterr()
    assert main(["dataset", "show", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["num_samples"] == 3


def test_words_for_switches_and_an_encoding_for_sheets(
    songs: Path, tmp_path: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, sheet = tmp_path / "set.json", tmp_path / "edits.csv"

    def told(name: str) -> list[object]:
        return [sample[name] for sample in json.loads(file.read_text())["samples"]]

    for word, wanted in (("--vocals", [False, False, False]), ("--instrumental", [False, True, True])):
        assert main(["dataset", "scan", str(songs), "-o", str(file), word]) == 0
        assert told("is_instrumental") == wanted
    sheet.write_bytes("File;Caption;Excluded\r\n0;봄 노래;no\r\n1.wav;;yes\r\n2.wav;둘;\r\n".encode("cp949"))
    assert main(["dataset", "edit", str(file), "--from", str(sheet)]) == 1
    assert main(["dataset", "edit", str(file), "--from", str(sheet), "--encoding", "cp949"]) == 0
    assert told("caption") == ["봄 노래", "", "둘"]
    assert [own["excluded"] for own in told("acestep_nodes")] == [False, True, False]  # type: ignore[index]
    models = ["--models", str(tiny_root), "--device", "cpu", "--mode", "overwrite"]
    assert main(["dataset", "label", str(file), *models]) == 0 and told("caption")[0] == "봄 노래"
    assert "--all" in capsys.readouterr().out
    assert main(["dataset", "label", str(file), *models, "--all"]) == 0
    assert told("caption")[0] != "봄 노래" and not told("caption")[1]


def test_the_table_is_straight_with_letters_of_two_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", unicodedata.normalize("NFD", "봄비.wav"), "봄" * 20 + ".wav", "é" * 30 + ".wav"):
        write_tone(tmp_path / "songs" / name, 2.0)
        (tmp_path / "songs" / name).with_suffix(".caption.txt").write_text("|")
    (tmp_path / "songs" / "a.txt").write_text("[Verse]\nla la")
    main(["dataset", "scan", str(tmp_path / "songs"), "-o", str(tmp_path / "set.json")])
    main(["dataset", "show", str(tmp_path / "set.json")])
    rows = [line for line in capsys.readouterr().out.split("\n") if "|" in line]
    assert len(rows) == 4 and {row.partition("|")[2].strip() for row in rows} == {"la la", "[Instrumental]"}
    before = [row.partition("|")[0] for row in rows]
    assert {sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text) for text in before} == {56}


def test_names_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tone(tmp_path / "songs" / "\x1b[31mred\nline.wav", 2.0)
    (tmp_path / "songs" / "\x1b]0;title.wav").touch()
    main(["dataset", "scan", str(tmp_path / "songs"), "-o", str(tmp_path / "set.json")])
    main(["dataset", "show", str(tmp_path / "set.json")])
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err


@pytest.mark.parametrize(("words", "reason"), [
    (["edit", "set.json"], "nothing to edit"),
    (["edit", "set.json", "0.wav", "bpm"], "FIELD=VALUE"),
    (["edit", "set.json", "0.wav", "bpm=fast"], "bpm must be"),
    (["edit", "set.json", "nobody", "bpm=100"], "no sample 'nobody'"),
    (["export", "set.json"], "nowhere to export"),
    (["show", "none.json"], "no file"),
    (["scan", "none", "-o", "x.json"], "no folder"),
])  # fmt: skip
def test_mistakes_are_told_in_one_line(
    songs: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(songs.parent)
    main(["dataset", "scan", "songs", "-o", "set.json"])
    before = Path("set.json").read_text()
    capsys.readouterr()
    assert main(["dataset", *words]) == 1
    told = capsys.readouterr().err
    assert reason in told and told.count("\n") == 1
    assert Path("set.json").read_text() == before
