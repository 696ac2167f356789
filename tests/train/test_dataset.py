"""The dataset as a value: edits, tags, instrumental pieces, which text a step reads."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from acestep_core.errors import DatasetError
from acestep_core.train.dataset import Dataset, Sample, genre_shares, tagged, training_texts
from acestep_core.train.sample_fields import read_field, read_fields


def sample(number: int = 0, **values: object) -> Sample:
    return Sample(id=f"{number:08x}", audio_path=f"/songs/{number}.wav", filename=f"{number}.wav", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("position", "text", "wanted"), [
    ("prepend", "a song", "TAG, a song"), ("append", "a song", "a song, TAG"), ("replace", "a song", "TAG"),
    ("prepend", "", "TAG"), ("append", "", "TAG"), ("replace", "", "TAG"),
])  # fmt: skip
def test_where_the_tag_stands(position: str, text: str, wanted: str) -> None:
    assert tagged(text, "TAG", position) == wanted
    assert tagged(text, "", position) == text


def test_the_samples_own_tag_wins_and_can_be_taken_away() -> None:
    own = sample(caption="a song", custom_tag="MINE")
    dataset = Dataset(custom_tag="TAG", samples=(own,))
    assert training_texts(dataset, own) == {"caption": "MINE, a song", "caption-untagged": "a song"}
    plain = dataset.edited({own.id: {"custom_tag": ""}}).samples[0]
    assert training_texts(dataset, plain)["caption"] == "TAG, a song"
    assert training_texts(replace(dataset, custom_tag=""), plain) == {"caption": "a song"}


def test_an_empty_text_gives_way_to_the_other() -> None:
    only_genre, only_caption = sample(1, genre="rock"), sample(2, caption="a song")
    both, neither = sample(3, caption="a song", genre="rock"), sample(4)
    dataset = Dataset(genre_ratio=30, samples=(only_genre, only_caption, both, neither))
    assert list(genre_shares(dataset).values()) == [1.0, 0.0, 0.3, 0.0]
    assert training_texts(dataset, only_genre) == {"genre": "rock"}
    assert training_texts(dataset, neither) == {"caption": ""}
    forced = dataset.edited({both.id: {"prompt_override": "genre"}})
    assert genre_shares(forced)[both.id] == 1.0


def test_the_fixed_choice_is_upstreams() -> None:
    samples = tuple(sample(n, caption="a", genre="b", labeled=True) for n in range(10))
    shares = genre_shares(Dataset(genre_ratio=35, samples=samples), fixed=True)
    assert [n for n, share in enumerate(shares.values()) if share] == [2, 3, 7]


def test_all_instrumental_takes_no_lyrics_away() -> None:
    sung, bare = sample(1, raw_lyrics="la la", lyrics="la la", is_instrumental=False, language="en"), sample(2)
    said = sample(3, labels={"is_instrumental": "user"}, raw_lyrics="la")
    dataset = Dataset(samples=(sung, bare, said)).with_all_instrumental(True)
    assert [s.is_instrumental for s in dataset.samples] == [False, True, True]
    assert dataset.samples[0].lyrics == "la la"
    off = dataset.with_all_instrumental(False)
    assert [s.is_instrumental for s in off.samples] == [False, False, True]
    assert off.samples[1].lyrics == ""
    assert any("vocal, but has no lyrics" in text for text in off.remarks())
    assert off.with_all_instrumental(True) == dataset


def test_an_instrumental_piece_has_no_language() -> None:
    made = sample(is_instrumental=True, lyrics="la la", language="en")
    assert (made.lyrics, made.language) == ("[Instrumental]", "unknown")


def test_an_edit_makes_a_new_dataset_and_says_who_did_it() -> None:
    dataset = Dataset(samples=(sample(1), sample(2)))
    changed = dataset.edited({"1.wav": {"caption": " new ", "bpm": "120.5", "key": "10B", "time signature": "6/8"}})
    one = changed.samples[0]
    assert (one.caption, one.bpm, one.keyscale, one.timesignature, one.labeled) == ("new", 121, "D major", "6", True)
    assert set(one.labels) == {"caption", "bpm", "keyscale", "timesignature"} and set(one.labels.values()) == {"user"}
    assert dataset.samples[0].caption == "" and changed.samples[1] == dataset.samples[1]
    sung = changed.edited({one.id: {"lyrics": "la la"}}).samples[0]
    assert (sung.is_instrumental, sung.raw_lyrics, sung.lyrics) == (False, "la la", "la la")
    assert changed.edited({one.id: {"bpm": ""}}).samples[0].bpm is None
    assert changed.fingerprint() != dataset.fingerprint()
    back = sung.edited({"is_instrumental": True}).edited({"is_instrumental": False})
    assert back.lyrics == "la la"


@pytest.mark.parametrize("edits", [
    {"none.wav": {"caption": "x"}}, {"1.wav": {"duration": 5}}, {"1.wav": {"audio_path": "/etc/passwd"}},
    {"1.wav": {"bpm": 500}}, {"1.wav": {"keyscale": "X dur"}}, {"1.wav": {"repeat": 0}}, {"1.wav": {"caption": "\0"}},
    {"1.wav": {"prompt_override": "both"}}, {"1.wav": {"is_instrumental": "perhaps"}},
])  # fmt: skip
def test_what_cannot_be_edited(edits: dict) -> None:
    with pytest.raises(DatasetError):
        Dataset(samples=(sample(1),)).edited(edits)


def test_of_several_files_with_one_name_the_id_chooses() -> None:
    twins = (sample(1), replace(sample(2), filename="1.wav"))
    dataset = Dataset(samples=twins)
    with pytest.raises(DatasetError, match="00000001, 00000002"):
        dataset.find("1.wav")
    assert dataset.find("00000002") == twins[1]
    assert dataset.find("/songs/2.wav") == twins[1]


def test_a_sample_is_found_without_the_ending_of_its_file() -> None:
    dataset = Dataset(samples=(sample(1), sample(2), replace(sample(3), filename="2.mp3")))
    assert dataset.find("1") == dataset.samples[0] and dataset.find("2.wav") == dataset.samples[1]
    with pytest.raises(DatasetError, match="Several"):
        dataset.find("2")


def test_a_sample_is_found_however_a_system_writes_its_name() -> None:
    apart = unicodedata.normalize("NFD", "고백.ogg")
    songs = (
        replace(sample(1), audio_path=f"/songs/{apart}", filename=apart),
        replace(sample(2), audio_path="/songs/live/Demo.WAV", filename="Demo.WAV"),
        replace(sample(3), audio_path="/songs/studio/Demo.WAV", filename="Demo.WAV"),
    )
    dataset = Dataset(samples=songs)
    for name in ("고백.ogg", "고백", apart, "songs/고백.OGG"):
        assert dataset.find(name) == songs[0]
    for name in ("live/Demo.WAV", "live\\demo.wav", "./live/Demo.WAV"):
        assert dataset.find(name) == songs[1]
    for name in ("demo.wav", "demo"):
        with pytest.raises(DatasetError, match="00000002, 00000003"):
            dataset.find(name)
    for name in ("ive/Demo.WAV", "", "ogg"):
        with pytest.raises(DatasetError, match="no sample"):
            dataset.find(name)


def test_what_many_samples_lack_is_said_once() -> None:
    few = Dataset(samples=tuple(sample(n, is_instrumental=True) for n in range(3)))
    assert len(few.remarks()) == 3
    many = Dataset(samples=tuple(sample(n, is_instrumental=True) for n in range(100)))
    assert many.remarks() == ["0.wav has no caption; write one, or label the dataset. So it is with 99 more."]
    assert all(len(texts) == 1 for texts in many.sample_remarks().values())


@pytest.mark.parametrize(("name", "value", "wanted"), [
    ("bpm", "120", 120), ("bpm", 190.6, 191), ("bpm", 119.5, 120), ("bpm", "98,5 BPM", 99), ("bpm", "n/a", None),
    ("keyscale", "8A", "A minor"), ("keyscale", "1b", "B major"), ("keyscale", "12A", "Db minor"),
    ("keyscale", "Am", "A minor"), ("timesignature", "3/4", "3"), ("language", "Korean", "ko"),
    ("is_instrumental", "yes", True), ("is_instrumental", 0, False), ("genre", 80, "80"), ("prompt_override", "", None),
])  # fmt: skip
def test_values_have_one_spelling(name: str, value: object, wanted: object) -> None:
    assert read_field(name, value) == wanted


def test_what_does_not_fit_is_left_open_with_a_remark() -> None:
    remarks: list[str] = []
    values = {"bpm": 20, "keyscale": "D dorian", "timesignature": "7/8", "language": "Klingon", "caption": "kept"}
    assert read_fields(values, remarks.append) == {"caption": "kept"}
    assert len(remarks) == 4
    assert read_fields({"language": "instrumental"}, remarks.append) == {"language": "unknown", "is_instrumental": True}


def test_settings_out_of_range() -> None:
    for wrong in ({"tag_position": "middle"}, {"genre_ratio": 101}):
        with pytest.raises(DatasetError):
            Dataset(**wrong)  # type: ignore[arg-type]
