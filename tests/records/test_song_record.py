"""The record of a song: nothing is lost, nothing unusable gets in, and it tells what has changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import AceStepError, CodesError, InvalidInput
from acestep_core.options import RenderSettings
from acestep_core.records.song_record import FORMAT, FileRecord, SongRecord, describe_file, is_record, versions
from acestep_core.song.description import Song

SHA = "0" * 64
SONG = Song("warm pads", "[Verse]\nla [ 1, 2 ] 夜空 🎵", bpm=120, duration=30)
RECORD = SongRecord(
    song=SONG.to_dict(),
    seeds={"noise": 2**64 - 1, "plan": 7},
    plan="bpm: 120\n",
    codes=tuple(range(150)),
    task={"name": "text2music"},
    settings=asdict(RenderSettings.of(steps=8, timesteps=(1.0, 0.5))),
    finish={"peak_db": -1.0},
    files=(FileRecord("dit", "model.safetensors", SHA), FileRecord("adapter", "voice.safetensors", SHA, 0.8)),
    machine={"device": "cpu", "dtype": "fp32"},
    versions=versions(),
    seconds={"sample": 1.25},
    scores={"lm": 0.5},
    graph={"3": {"class_type": "ACEStepSong", "inputs": {"caption": "warm pads"}}},
)


def test_everything_survives_the_file(tmp_path):
    RECORD.save(tmp_path / "song.json")
    again = SongRecord.load(tmp_path / "song.json")
    assert again == RECORD and again.to_song() == SONG and again.codes == RECORD.codes
    assert [path.name for path in tmp_path.iterdir()] == ["song.json"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(st.text(min_size=1), json_values, max_size=3)


@given(tables, tables, st.text(), st.lists(st.integers(0, 63999), max_size=20))
def test_any_json_survives(settings, unknown, plan, codes):
    known = SongRecord.from_json(RECORD.to_json()).to_dict()
    extra = {key: value for key, value in unknown.items() if key not in known}
    record = replace(RECORD, settings=settings, plan=plan, codes=tuple(codes), extra=extra)
    assert SongRecord.from_json(record.to_json()) == record


def test_keys_of_other_versions_are_kept_wherever_they_are():
    values = json.loads(RECORD.to_json())
    values |= {"version": 9, "mood": {"valence": 0.5}}
    values["song"]["tempo_map"] = [1, 2]
    values["files"][0]["revision"] = "abc"
    values["settings"]["new_sampler"] = True
    again = SongRecord.from_json(json.dumps(values))
    assert json.loads(again.to_json()) == values
    assert again.to_song() == SONG


def test_a_short_record_takes_the_defaults():
    short = SongRecord.from_dict({"format": FORMAT, "song": {"caption": "a"}, "seeds": {"noise": 1}})
    assert (short.to_song(), short.codes, short.files, short.graph) == (Song("a"), (), (), None)


def test_codes_stay_on_one_line_and_text_is_untouched():
    text = RECORD.to_json()
    assert "[0, 1, 2, 3" in text and len(text.splitlines()) < 120
    assert json.loads(text)["song"]["lyrics"] == SONG.lyrics


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": {}}, "seeds.noise"),
        ({"seeds": {"noise": -1}}, "whole number"),
        ({"seeds": {"noise": 1.5}}, "whole number"),
        ({"seeds": {"noise": True}}, "whole number"),
        ({"codes": (64_000,)}, "64000"),
        ({"plan": None}, "must be text"),
        ({"song": {"bpm": 5}}, "bpm"),
        ({"song": []}, "must be a table"),
        ({"settings": {"x": float("nan")}}, "plain JSON"),
        ({"settings": {"x": object()}}, "plain JSON"),
    ],
)
def test_unusable_values_are_refused(change, words):
    with pytest.raises((InvalidInput, CodesError), match=words):
        replace(RECORD, **change)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "acestep-song"}', '{"format": "acestep-song", "files": 3}', '{"3": {}}']
)
def test_other_files_are_refused_in_one_sentence(text):
    with pytest.raises(AceStepError) as caught:
        SongRecord.from_json(text)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [{"files": [3]}, {"files": [{"role": "dit"}]}, {"codes": 5}, {"codes": "ab"}])
def test_damaged_records_are_refused(damage):
    with pytest.raises(AceStepError):
        SongRecord.from_dict(json.loads(RECORD.to_json()) | damage)


def test_records_that_cannot_be_read_say_so(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    for name, wrong in (("a.json", "cannot be read"), ("absent.json", "There is no file")):
        with pytest.raises(InvalidInput, match=wrong) as error:
            SongRecord.load(tmp_path / name)
        assert name in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_record_that_an_editor_saved_in_its_own_way_is_read(tmp_path, encoding):
    (tmp_path / "a.json").write_text(RECORD.to_json(), encoding=encoding)
    assert SongRecord.load(tmp_path / "a.json") == RECORD


def test_a_workflow_is_no_record():
    assert is_record(json.loads(RECORD.to_json()))
    assert not any(map(is_record, ({"nodes": [], "links": []}, {"3": {"class_type": "A", "inputs": {}}}, [], None)))


def test_files_are_named_without_their_folders():
    with pytest.raises(InvalidInput, match="without folders"):
        FileRecord("dit", "/home/me/model.safetensors")
    with pytest.raises(InvalidInput, match="64 hexadecimal"):
        FileRecord("dit", "model.safetensors", "abc")
    with pytest.raises(InvalidInput, match="must be a number"):
        FileRecord("adapter", "a.safetensors", SHA, float("inf"))


def test_files_and_folders_are_described_by_their_content(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    described = describe_file("dit", file)
    assert described == FileRecord("dit", "model.safetensors", hashlib.sha256(b"weights").hexdigest())
    assert describe_file("dit", tmp_path) == replace(described, name=tmp_path.name)
    (tmp_path / "more.safetensors").write_bytes(b"weights")
    both = describe_file("dit", tmp_path)
    assert both.sha256 != described.sha256
    (tmp_path / "more.safetensors").write_bytes(b"changed")
    assert describe_file("dit", tmp_path).sha256 != both.sha256
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(InvalidInput, match="nothing to describe"):
            describe_file("dit", missing)


def test_differences_say_why_a_song_may_come_out_otherwise():
    assert RECORD.differences(RECORD) == []
    dit, adapter = RECORD.files
    now = replace(
        RECORD,
        files=(replace(dit, sha256="1" * 64), replace(adapter, strength=0.5), FileRecord("lm", "lm")),
        machine={"device": "cuda:0", "dtype": "fp32"},
    )
    assert RECORD.differences(now) == [
        "The dit model.safetensors is another file than model.safetensors was.",
        "The adapter voice.safetensors has strength 0.5, not 0.8.",
        "The lm lm was not used then.",
        "device was cpu, now it is cuda:0.",
    ]
    assert RECORD.differences(replace(RECORD, files=(dit,))) == ["The adapter voice.safetensors is not used now."]


def test_records_need_no_torch():
    code = "import sys, acestep_core.records.song_record as r; r.versions(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
