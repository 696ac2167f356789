import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import CodesError, InvalidInput
from acestep_core.song.codes import (
    codes_to_text,
    seconds_to_codes,
    text_to_codes,
    text_to_codes_lenient,
)
from tests.golden_data import rows


@given(st.lists(st.integers(0, 63999)))
def test_text_round_trip(codes: list[int]) -> None:
    text = codes_to_text(codes)
    assert text_to_codes(text) == tuple(codes)
    assert text_to_codes_lenient(text) == (tuple(codes), [])
    assert text_to_codes(text.replace("><", ">\n <")) == tuple(codes)


def test_spelling_is_the_models() -> None:
    assert codes_to_text([0, 63999]) == "<|audio_code_0|><|audio_code_63999|>"
    assert codes_to_text([]) == ""


@pytest.mark.parametrize("codes", [[64000], [-1], [1.0], [True], ["1"]])
def test_illegal_numbers_are_refused(codes: list) -> None:
    with pytest.raises(CodesError, match="0 to 63999"):
        codes_to_text(codes)


@pytest.mark.parametrize(
    "text",
    ["<|audio_code_64000|>", "<|audio_code_-1|>", "<|audio_code_1|> x", "123", "<|audio_code_1", "<|audio_code_²|>"],
)
def test_strict_reading_refuses_what_is_not_a_legal_code(text: str) -> None:
    with pytest.raises(CodesError):
        text_to_codes(text)


def test_lenient_reading_clamps_and_reports() -> None:
    codes, remarks = text_to_codes_lenient("<think>x</think><|audio_code_7|>,<|audio_code_64000|><|audio_code_999999|>")
    assert codes == (7, 63999, 63999)
    assert len(remarks) == 2 and "2 of 3" in remarks[0]


@given(st.text(alphabet="<|>audio_code_0199 \n"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        codes = text_to_codes(text)
    except CodesError as error:
        assert isinstance(error, InvalidInput)
    else:
        assert codes == text_to_codes_lenient(text)[0]


def test_thousands_of_digits_are_refused_without_delay() -> None:
    with pytest.raises(CodesError):
        text_to_codes(f"<|audio_code_{'9' * 100_000}|>")


@pytest.mark.parametrize("tenths", range(100, 6001, 7))
def test_whole_codes_are_not_lost_to_rounding(tenths: int) -> None:
    assert seconds_to_codes(tenths / 10) == tenths * 5 // 10


def test_durations() -> None:
    assert seconds_to_codes(30.0) == 150
    assert seconds_to_codes(0.39) == 1
    assert seconds_to_codes(sum([0.1] * 8)) == 4, "0.7999999999999999 seconds"


@pytest.mark.parametrize("row", rows("H_parsing/lm_output_parsing"), ids=lambda row: row["output"][:20])
def test_lenient_reading_equals_the_reference(row: dict) -> None:
    assert list(text_to_codes_lenient(row["output"])[0]) == row["code_ints"]
