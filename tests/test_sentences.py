"""What a user of the canvas may be told is there in every language, with the same values."""

from __future__ import annotations

import re

import pytest

from locales import sentences

every_language = pytest.mark.parametrize("language", ["ko", "zh"])


@pytest.fixture(scope="module")
def spoken() -> dict[str, str]:
    return sentences.spoken()


def holes(text: str) -> set[str]:
    return set(re.findall(r"\{\d\}", text))


def test_sentences_are_found(spoken: dict[str, str]) -> None:
    """A refusal of an option, a remark, a constant, and one of `str.format`; not what describes a node."""
    assert {
        "{0} must be {1}, not {2}.",
        "Text between the codes was left out.",
        "The run was cancelled.",
        "There is no setting {0}; see `acestep song --help` for all there are.",
    } <= set(spoken)
    assert not [text for text in spoken if text.startswith("Describes the song to make")]


def test_every_sentence_can_be_told_from_what_people_write(spoken: dict[str, str]) -> None:
    """Lines under a node are looked up in the table, and some are captions and names of files."""
    assert not [text for text in spoken if len(re.sub(r"\{\d\}|\W", "", text)) < 8]


@every_language
def test_every_sentence_is_translated(language: str, spoken: dict[str, str]) -> None:
    there = sentences.translations(language)
    assert not [f"{place}: {text}" for text, place in spoken.items() if not there.get(text)]


@every_language
def test_translations_are_of_what_is_said(language: str, spoken: dict[str, str]) -> None:
    """With no value that is not there, and of phrases every word stands in a source."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sentences.sources())
    for text, translation in sentences.translations(language).items():
        assert holes(translation) <= holes(text), text
        assert text in spoken or all(word in code for word in re.findall(r"\w+", text)), text
