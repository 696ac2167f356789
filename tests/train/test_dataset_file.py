"""Upstream's dataset file, read and written; and files that are nothing of the kind."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import DatasetError
from acestep_core.train.dataset import Dataset, Sample, TimedText
from acestep_core.train.dataset_file import dataset_json, load_dataset, parse_dataset, sample_id, save_dataset
from tests.capabilities import link

UPSTREAM = {
    "metadata": {
        "name": "my set", "custom_tag": "tag", "tag_position": "append", "created_at": "2026-04-01T10:00:00.123456",
        "num_samples": 1, "all_instrumental": False, "genre_ratio": 25,
    },
    "samples": [{
        "id": "a1b2c3d4", "audio_path": "./one.wav", "filename": "one.wav", "caption": "a song", "genre": "rock",
        "lyrics": "la la", "raw_lyrics": "la la", "formatted_lyrics": "", "bpm": 120, "keyscale": "C major",
        "timesignature": "4", "duration": 12, "language": "en", "is_instrumental": False, "custom_tag": "",
        "labeled": True, "prompt_override": None,
    }],
}  # fmt: skip


@dataclass
class AudioSample:
    """Upstream's class, as far as its `from_dict` goes: unknown keys are passed over, the others must fit."""

    id: str = ""
    audio_path: str = ""
    filename: str = ""
    caption: str = ""
    genre: str = ""
    lyrics: str = "[Instrumental]"
    raw_lyrics: str = ""
    formatted_lyrics: str = ""
    bpm: int | None = None
    keyscale: str = ""
    timesignature: str = ""
    duration: int = 0
    language: str = "unknown"
    is_instrumental: bool = True
    custom_tag: str = ""
    labeled: bool = False
    prompt_override: str | None = None


def test_upstreams_file_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one.wav").touch()
    (tmp_path / "set.json").write_text(json.dumps(UPSTREAM))
    dataset = load_dataset(tmp_path / "set.json")
    assert not dataset.problems
    assert (dataset.name, dataset.genre_ratio, dataset.tag_position) == ("my set", 25, "append")
    assert dataset.samples[0].audio_path == str(tmp_path / "one.wav")
    save_dataset(dataset, tmp_path / "set.json", now=datetime(2026, 4, 2))
    written = json.loads((tmp_path / "set.json").read_text())
    assert list(written["metadata"])[:7] == list(UPSTREAM["metadata"])
    assert list(written["samples"][0])[:17] == [field.name for field in fields(AudioSample)]
    assert written["metadata"].pop("acestep_nodes") == {"format": 1}
    assert written["samples"][0].pop("acestep_nodes")["repeat"] == 1
    written["samples"][0]["audio_path"] = "./" + written["samples"][0]["audio_path"]
    assert written == UPSTREAM | {"metadata": {**UPSTREAM["metadata"], "created_at": "2026-04-02T00:00:00"}}


def test_our_own_additions_and_those_of_others_are_kept(tmp_path: Path) -> None:
    sample = Sample(
        id="00000001", audio_path=str(tmp_path / "sub/a.wav"), filename="a.wav", caption="한국어 🎵",
        sha256="a" * 64, samples=480_000, timing=(TimedText(0.5, 2.0, "la"),), labels={"caption": "user"}, repeat=3,
        excluded=True, problems=("a problem",), extra={"mood": ["calm", 1.5, None]},
    )  # fmt: skip
    dataset = Dataset(name="x", samples=(sample,), extra={"their": {"key": 1}})
    saved = save_dataset(dataset, tmp_path / "set.json")
    read = load_dataset(tmp_path / "set.json")
    assert replace(read, problems=()) == saved
    assert "한국어" in (tmp_path / "set.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "set.json").read_text())["samples"][0]["audio_path"] == "sub/a.wav"
    save_dataset(dataset, tmp_path / "up.json", absolute=True)
    assert json.loads((tmp_path / "up.json").read_text())["samples"][0]["audio_path"] == str(tmp_path / "sub/a.wav")


@pytest.mark.parametrize("text", [
    json.dumps(UPSTREAM["samples"]),
    json.dumps({"samples": UPSTREAM["samples"]}),
    "\n".join([json.dumps(UPSTREAM["samples"][0])] * 2),
])  # fmt: skip
def test_other_forms_are_read(text: str, tmp_path: Path) -> None:
    dataset = parse_dataset(text, tmp_path / "set.jsonl")
    assert dataset.samples[0].caption == "a song"
    assert dataset.name == "untitled"  # as upstream calls it


@pytest.mark.parametrize("text", ["", "{", "42", '"samples"', "{}", '{"samples": {}}', "[" * 100_000, "null", "\0"])
def test_what_is_no_dataset(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        parse_dataset(text, tmp_path / "set.json")


def test_what_is_wrong_with_a_sample_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    for name in ("a.wav", "sub/b.wav", "sub/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    samples = [
        {"id": "same", "audio_path": "a.wav", "bpm": "fast", "duration": -3, "labeled": "yes", "keyscale": 7},
        {"id": "same", "audio_path": "sub\\b.wav"},
        {"id": "../../x", "audio_path": "C:\\music\\c.wav"},
        {"id": "gone", "audio_path": "gone.wav"},
        {"audio_path": 5},
        "nothing",
    ]
    dataset = parse_dataset(json.dumps({"metadata": {"tag_position": "middle", "genre_ratio": -1}, "samples": samples}),
                            tmp_path / "set.json")  # fmt: skip
    told = "\n".join(dataset.problems)
    assert [Path(s.audio_path).relative_to(tmp_path).as_posix() for s in dataset.samples] == [
        "a.wav", "sub/b.wav", "sub/c.wav", "gone.wav"]  # fmt: skip
    assert len({s.id for s in dataset.samples}) == 4 and "/" not in dataset.samples[2].id
    for part in ("Sample 0 (a.wav): bpm", "duration", "labeled", "Sample 1 (b.wav): the id 'same' stands there twice",
                 "'sub/c.wav' is taken", "Sample 3 (gone.wav): there is no recording", "Sample 4: ", "Sample 5: ",
                 "metadata: tag_position", "metadata: genre_ratio"):  # fmt: skip
        assert part in told, part
    assert all(text.endswith(".") for text in dataset.problems)


def test_a_recording_that_moved_is_known_by_its_name_on_every_system(tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "고백.ogg")).touch()
    dataset = parse_dataset(json.dumps([{"id": "x", "audio_path": "D:\\노래\\고백.OGG"}]), tmp_path / "set.json")
    assert Path(dataset.samples[0].audio_path).is_file() and "is taken" in dataset.problems[0]


def test_recordings_outside_the_folders_are_not_looked_at(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.wav").touch()
    link(inside / "link.wav", tmp_path / "secret.wav")
    for path in ("../secret.wav", str(tmp_path / "secret.wav"), "link.wav", "../gone.wav"):
        text = json.dumps([{"id": "x", "audio_path": path}])
        dataset = parse_dataset(text, inside / "set.json", roots=[inside])
        assert not dataset.samples and "outside" in dataset.problems[-1], path


def test_ten_thousand_samples(tmp_path: Path) -> None:
    entries = [{**UPSTREAM["samples"][0], "id": f"{n:08x}", "audio_path": f"{n}.wav"} for n in range(10_000)]
    before = time.process_time()
    dataset = parse_dataset(json.dumps({"samples": entries}), tmp_path / "set.json")
    assert len(dataset.samples) == 10_000
    assert time.process_time() - before < 20  # it is linear: a quadratic reader takes minutes


def test_ids_are_those_of_paths() -> None:
    assert sample_id("a/b.wav") == sample_id("a/b.wav") != sample_id("a/c.wav")
    assert len(sample_id("x")) == 8
    assert sample_id("x", {sample_id("x")}) == sample_id("x", {sample_id("x")}) != sample_id("x")


NAMES = [field.name for field in fields(AudioSample)] + ["acestep_nodes", "timing", "labels", "repeat", "problems"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*NAMES, "metadata", "samples"]) | st.text(), inner, max_size=6)
    ),
    max_leaves=25,
)
SAMPLES = st.lists(st.dictionaries(st.sampled_from(NAMES), JSON).map(lambda d: {**d, "audio_path": str(d.get("id"))}))


@given(JSON | st.fixed_dictionaries({"samples": SAMPLES}, optional={"metadata": JSON}))
def test_any_json_is_a_dataset_or_a_sentence(values: Any) -> None:
    here = Path("/nowhere/at/all")
    try:
        dataset = parse_dataset(json.dumps(values), here / "set.json")
    except DatasetError:
        return
    text = dataset_json(dataset, here)
    text.encode()
    again = parse_dataset(text, here / "set.json")
    assert replace(again, problems=()) == replace(dataset, problems=())
    for entry in json.loads(text)["samples"]:
        upstreams = AudioSample(**{f.name: entry[f.name] for f in fields(AudioSample)})
        assert isinstance(upstreams.caption, str) and isinstance(upstreams.duration, int)


@given(st.text())
def test_any_text_is_a_dataset_or_a_sentence(text: str) -> None:
    try:
        parse_dataset(text, Path("/nowhere/set.json"))
    except DatasetError as error:
        assert str(error).endswith(".")
