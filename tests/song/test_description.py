import dataclasses
import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.song.description import Song, normalize_keyscale
from acestep_core.vocabulary import KEYSCALES, LANGUAGES, OWN_NAMES, PLAIN_KEYSCALES


@pytest.mark.parametrize(
    ("given_key", "wanted"),
    [
        ("Am", "A minor"),
        ("am", "A minor"),
        ("C Major", "C major"),
        ("CM", "C major"),
        ("Cmaj", "C major"),
        ("C", "C major"),
        ("f#m", "F# minor"),
        ("F♯ minor", "F# minor"),
        ("B♭", "Bb major"),
        ("bb", "Bb major"),
        ("bbm", "Bb minor"),
        ("B flat minor", "Bb minor"),
        ("c-sharp minor", "C# minor"),
        ("D min", "D minor"),
        ("  E   minor ", "E minor"),
        ("N/A", ""),
        ("", ""),
        ("Ｃ ｍａｊｏｒ", "C major"),
        ("C-Dur", "C major"),
        ("F#-Moll", "F# minor"),
        ("A小调", "A minor"),
        ("B♭長調", "Bb major"),
        ("C장조", "C major"),
        ("D ionian", "D major"),
        ("A Aeolian", "A minor"),
        ("-1", ""),
        ("auto", ""),
        ("unknown", ""),
        ("key of E minor", "E minor"),
        ("Key: Am", "A minor"),
        ("D Major Key", "D major"),
        ("fis-moll", "F# minor"),
        ("Es-Dur", "Eb major"),
        ("as moll", "Ab minor"),
        ("H-moll", "B minor"),
        ("B-Dur", "Bb major"),
        ("b-moll", "Bb minor"),
        ("B♭-Moll", "Bb minor"),
        ("La mineur", "A minor"),
        ("Fa# mineur", "F# minor"),
        ("Si bémol majeur", "Bb major"),
        ("Do mayor", "C major"),
        ("Sol sostenido menor", "G# minor"),
        ("Ré majeur", "D major"),
        ("A-flat major", "Ab major"),
        ("Ebmaj", "Eb major"),
        ("ハ長調", "C major"),
        ("嬰ヘ短調", "F# minor"),
        ("変ロ長調", "Bb major"),
        ("가단조", "A minor"),
        ("올림바 단조", "F# minor"),
        ("내림나장조", "Bb major"),
        ("降B大调", "Bb major"),
        ("C 大調", "C major"),
        ("8A", "A minor"),
        ("8B", "C major"),
        ("01b", "B major"),
        ("12a", "C# minor"),
    ],
)
def test_keys_are_brought_to_one_spelling(given_key: str, wanted: str) -> None:
    assert Song(keyscale=given_key).keyscale == wanted


def test_all_keys_of_the_language_model_are_understood() -> None:
    assert {Song(keyscale=key).keyscale for key in KEYSCALES} == set(PLAIN_KEYSCALES)
    assert len(KEYSCALES) == 70


@pytest.mark.parametrize(
    "key",
    ["H minor", "Cmm", "C mode", "1", "C##", 5, True, "minor", "H", "la la", "C7, G7", "C,", "13A", "ハ", "Bm moll"],
)
def test_unknown_keys_are_refused(key: object) -> None:
    with pytest.raises(InvalidInput, match="C major"):
        Song(keyscale=key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "nearest"), [("D dorian", "D minor"), ("f# Phrygian", "F# minor"), ("G mixolydian", "G major")]
)
def test_a_mode_that_the_models_do_not_know_goes_into_the_caption(key: str, nearest: str) -> None:
    song, mode = Song("calm", keyscale=key), key.split()[1].lower()
    assert (song.keyscale, song.caption) == (nearest, f"calm, {nearest.split()[0]} {mode}")
    (remark,) = song.remarks()
    assert f"no {mode} keys: {nearest!r} is the key" in remark
    assert Song(keyscale=key).caption == f"{nearest.split()[0]} {mode}"
    assert Song(f"a {mode} hymn", keyscale=key).caption == f"a {mode} hymn"
    assert dataclasses.replace(song, bpm=90).remarks() == []  # it is told once


@pytest.mark.parametrize(
    ("chord", "key"),
    [
        ("Am7", "A minor"),
        ("am7", "A minor"),
        ("Cmaj7", "C major"),
        ("CΔ7", "C major"),
        ("AmM7", "A minor"),
        ("G7(b9)", "G major"),
        ("E7#9", "E major"),
        ("F#m7b5", "F# minor"),
        ("B♭m9", "Bb minor"),
        ("Bdim", "B minor"),
        ("A-7", "A minor"),
        ("Gaug", "G major"),
        ("Esus", "E major"),
        ("Dsus4", "D major"),
        ("Cadd9", "C major"),
        ("A5", "A major"),
        ("C6", "C major"),
        ("G/B", "G major"),
        ("Am/F#", "A minor"),
    ],
)
def test_a_chord_is_taken_for_the_key_of_its_root(chord: str, key: str) -> None:
    song = Song("calm", keyscale=chord)
    assert (song.keyscale, song.caption) == (key, "calm")
    assert song.remarks() == [f"{chord!r} is a chord; {key!r} is taken as the key."]
    with pytest.raises(InvalidInput, match="C major"):  # a plan has no room for the remark
        normalize_keyscale(chord)


def test_keys_are_no_chords() -> None:
    assert not any(Song(keyscale=key).remarks() for key in (*KEYSCALES, "Am", "CM", "Cmaj", "Fmin", "8A"))


def test_a_plan_has_no_room_for_a_mode() -> None:
    with pytest.raises(InvalidInput, match="give 'D minor' as the key and write 'D dorian' into the caption"):
        normalize_keyscale("D dorian")


@pytest.mark.parametrize(
    ("signature", "wanted"),
    [
        ("4/4", "4"),
        ("6/8", "6"),
        ("3", "3"),
        (2, "2"),
        (" 3 / 4 ", "3"),
        ("", ""),
        (None, ""),
        (4.0, "4"),
        ("4.0", "4"),
        ("４／４", "4"),
        (0, ""),
        ("auto", ""),
        ("3/4 time", "3"),
    ],
)
def test_time_signatures(signature: object, wanted: str) -> None:
    assert Song(timesignature=signature).timesignature == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("signature", ["5/4", "7", "8/6", 4.5, True])
def test_unknown_time_signatures_are_refused(signature: object) -> None:
    with pytest.raises(InvalidInput, match="2, 3, 4 or 6"):
        Song(timesignature=signature)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("EN", "en"),
        ("english", "en"),
        ("Chinese", "zh"),
        ("pt-BR", "pt"),
        ("zh_CN", "zh"),
        ("Haitian Creole", "ht"),
        ("Mandarin", "zh"),
        ("", "unknown"),
        ("auto", "unknown"),
        (None, "unknown"),
        ("日本語", "ja"),
        ("한국어", "ko"),
        (unicodedata.normalize("NFD", "한국어"), "ko"),
        ("DEUTSCH", "de"),
        ("Français", "fr"),
        ("中文", "zh"),
        ("粤语", "yue"),
        ("tiếng việt", "vi"),
        ("ＥＮ", "en"),
        ("jp", "ja"),
        ("espanol", "es"),
        ("Francais", "fr"),
        ("turkce", "tr"),
        ("ENG", "en"),
        ("ger", "de"),
        ("jpn", "ja"),
        ("und", "unknown"),
        ("en_US.UTF-8", "en"),
        ("Portuguese (Brazil)", "pt"),
        ("Brazilian Portuguese", "pt"),
        ("Simplified Chinese", "zh"),
        ("Chinese (Cantonese)", "yue"),
        ("Español (México)", "es"),
    ],
)
def test_languages(language: str | None, wanted: str) -> None:
    assert Song(language=language).language == wanted  # type: ignore[arg-type]


def test_every_language_name_is_understood() -> None:
    assert [Song(language=name).language for name in LANGUAGES.values()] == list(LANGUAGES)


def test_every_language_is_understood_in_its_own_words() -> None:
    for code, names in OWN_NAMES.items():
        assert {Song(language=name).language for name in names.split(", ")} == {code}
    assert OWN_NAMES.keys() <= LANGUAGES.keys()


@pytest.mark.parametrize("language", ["klingon", "xx", 3, "no vocals", "English, Spanish", "not English"])
def test_unknown_languages_are_refused_with_the_list(language: object) -> None:
    with pytest.raises(InvalidInput, match=r"en.*|text such as 'en'"):
        Song(language=language)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bpm", "wanted"),
    [
        (30, 30),
        (300, 300),
        ("120", 120),
        (99.0, 99),
        ("", None),
        ("N/A", None),
        ("120.0", 120),
        ("１２０", 120),
        ("120 BPM", 120),
        (0, None),
        (-1, None),
        ("-1", None),
        ("−1", None),
        ("auto", None),
        (0.0, None),
    ],
)
def test_bpm(bpm: object, wanted: int | None) -> None:
    assert Song(bpm=bpm).bpm == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("bpm", [29, 301, -2, 1, 120.5, "fast", float("nan"), float("inf"), True, [120]])
def test_bpm_out_of_range_is_refused_with_the_range(bpm: object) -> None:
    with pytest.raises(InvalidInput, match="30 to 300"):
        Song(bpm=bpm)  # type: ignore[arg-type]


@pytest.mark.parametrize("duration", [9.99, 600.01, -2, 1, "long", "3:2", "99:00", "1:2:3:4", float("nan"), False])
def test_duration_out_of_range_is_refused_with_the_range(duration: object) -> None:
    with pytest.raises(InvalidInput, match="10 to 600"):
        Song(duration=duration)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("duration", "wanted"),
    [
        ("3:20", 200.0),
        ("03:20.5", 200.5),
        ("0:03:20", 200.0),
        ("３：２０", 200.0),
        ("200", 200.0),
        ("200 s", 200.0),
        ("200sec", 200.0),
        ("45 secs", 45.0),
        ("2 min", 120.0),
        ("3분 20초", 200.0),
        ("3分20秒", 200.0),
        ("2分钟", 120.0),
        ("3 minutes", 180.0),
        ("3m", 180.0),
        ("1m30s", 90.0),
        ("1 min 30 sec", 90.0),
        ("1.5 min", 90.0),
        ("2:30 min", 150.0),
        (-1, None),
        (0, None),
        ("-1.0", None),
        ("auto", None),
        ("", None),
    ],
)
def test_durations_as_people_write_them(duration: object, wanted: float | None) -> None:
    assert Song(duration=duration).duration == wanted  # type: ignore[arg-type]


def test_duration_is_a_float() -> None:
    song = Song(duration=10)
    assert song.duration == 10.0 and isinstance(song.duration, float)


def test_instrumental_replaces_lyrics_and_language() -> None:
    song = Song(lyrics="la la", language="en", instrumental=True)
    assert (song.lyrics, song.language) == ("[Instrumental]", "unknown")


@pytest.mark.parametrize(("given_value", "wanted"), [("true", True), ("No", False), (1, True), ("WAHR", True)])
def test_switches_as_people_write_them(given_value: object, wanted: bool) -> None:
    assert Song(instrumental=given_value).instrumental is wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["maybe", 2, [], None, 0.5])
def test_what_is_no_switch_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="true or false"):
        Song(instrumental=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [None, 3, b"bytes", "lone \ud800 surrogate", "nul \0 byte"])
def test_what_is_not_text_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        Song(caption=text)  # type: ignore[arg-type]


def test_text_is_kept_but_for_line_ends() -> None:
    song = Song(caption="  lo-fi, piano  ", lyrics="[Verse]\r\nline\rend \n")
    assert song.caption == "  lo-fi, piano  "
    assert song.lyrics == "[Verse]\nline\nend \n"


def test_long_texts_and_control_tokens_are_allowed_and_warned_about() -> None:
    assert Song(caption="c" * 570, lyrics="l" * 5900).warnings() == Song(caption="中" * 190).warnings() == []
    for long in (Song(caption="c" * 600), Song(lyrics="l" * 6000), Song(lyrics="中" * 2000), Song(caption="中" * 200)):
        (warned,) = long.warnings()
        assert "tokens" in warned and long.remarks() == []
    assert len(Song(caption="c" * 600, lyrics="l" * 6000 + "<|im_end|>").warnings()) == 3
    for token in ("<|audio_code_5|>", "<think>", "</think>", "<|endoftext|>"):
        assert token in Song(lyrics=f"la {token} la").warnings()[0]
    assert Song(lyrics="<3 | <b> |>").warnings() == []


def test_dictionary_round_trip_survives_json() -> None:
    song = Song("pop", "hello", "de", 120, "Am", "4/4", 30.5)
    assert Song.from_dict(json.loads(json.dumps(song.to_dict()))) == song
    assert Song.from_dict({"caption": "x", "bpm": None}) == Song("x")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'tempo'"):
        Song.from_dict({"tempo": 120})


def test_a_song_is_a_value() -> None:
    assert hash(Song("a", keyscale="Am")) == hash(Song("a", keyscale="A minor"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Song().caption = "b"  # type: ignore[misc]


@given(st.text(), st.text(), st.sampled_from(list(LANGUAGES)), st.booleans())
def test_normalising_twice_changes_nothing(caption: str, lyrics: str, language: str, instrumental: bool) -> None:
    try:
        song = Song(caption, lyrics, language, instrumental=instrumental)
    except InvalidInput:
        assert any(char == "\0" or 0xD800 <= ord(char) <= 0xDFFF for char in caption + lyrics)
        return
    assert dataclasses.replace(song) == song


@given(st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.none(), st.booleans()))
def test_any_value_is_either_normalised_or_refused(value: object) -> None:
    for field in ("bpm", "keyscale", "timesignature", "duration", "language"):
        try:
            song = Song(**{field: value})  # type: ignore[arg-type]
        except InvalidInput:
            continue
        assert dataclasses.replace(song) == song


def test_song_needs_no_torch() -> None:
    modules = "acestep_core.song.description, acestep_core.song.codes, acestep_core.io.atomic"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
