from typing import Any

import pytest

from acestep_core import vocabulary
from tests.golden_data import tables

CONSTANTS = tables("G_prompts/constants")


@pytest.mark.parametrize("wanted", CONSTANTS, ids=lambda _: "constants")
def test_vocabulary_equals_the_models_constants(wanted: dict[str, Any]) -> None:
    assert list(vocabulary.LANGUAGES) == wanted["VALID_LANGUAGES"]
    assert sorted(vocabulary.KEYSCALES) == sorted(wanted["VALID_KEYSCALES"])
    assert [int(value) for value in vocabulary.TIME_SIGNATURES] == wanted["VALID_TIME_SIGNATURES"]
    assert list(vocabulary.TRACKS) == wanted["TRACK_NAMES"]
    assert wanted["TASK_INSTRUCTIONS"] == vocabulary.TASK_INSTRUCTIONS
    assert list(vocabulary.TURBO_TASKS) == wanted["TASK_TYPES_TURBO"]
    assert list(vocabulary.BASE_TASKS) == wanted["TASK_TYPES_BASE"]
    assert (wanted["BPM_MIN"], wanted["BPM_MAX"]) == (vocabulary.BPM_MIN, vocabulary.BPM_MAX)
    assert (wanted["DURATION_MIN"], wanted["DURATION_MAX"]) == (vocabulary.DURATION_MIN, vocabulary.DURATION_MAX)


@pytest.mark.parametrize("wanted", CONSTANTS, ids=lambda _: "constants")
def test_language_model_instructions_equal_the_models_constants(wanted: dict[str, Any]) -> None:
    assert {
        "generate": wanted["DEFAULT_LM_INSTRUCTION"],
        "understand": wanted["DEFAULT_LM_UNDERSTAND_INSTRUCTION"],
        "create": wanted["DEFAULT_LM_INSPIRED_INSTRUCTION"],
        "format": wanted["DEFAULT_LM_REWRITE_INSTRUCTION"],
    } == vocabulary.LM_INSTRUCTIONS


def test_rates_agree_with_each_other() -> None:
    assert vocabulary.SAMPLE_RATE == vocabulary.HOP * vocabulary.LATENT_RATE
    assert vocabulary.LATENT_RATE == vocabulary.FRAMES_PER_CODE * vocabulary.CODE_RATE


def test_every_alias_names_a_language() -> None:
    assert set(vocabulary.LANGUAGE_ALIASES.values()) <= set(vocabulary.LANGUAGES)
    assert not set(vocabulary.LANGUAGE_ALIASES) & set(vocabulary.LANGUAGES)
