"""The plan as text: editing, round trips, errors that point at a line, merging."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput, PlanError
from acestep_core.planner.metas import parse_output
from acestep_core.planner.plan import Plan, PlanDraft, merge
from acestep_core.song.description import Song
from acestep_core.vocabulary import KEYSCALES, LANGUAGES, TIME_SIGNATURES

captions = st.text(max_size=200) | st.text(alphabet="ab :#'\"\n-é温\u2028\x85\t\\{[&%|>,`", max_size=200)


@st.composite
def plans(draw):
    caption = draw(captions.filter(lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)))
    return Plan(
        bpm=draw(st.none() | st.integers(30, 300)),
        caption=caption,
        duration=draw(st.none() | st.floats(10, 600)),
        keyscale=draw(st.sampled_from(["", *KEYSCALES])),
        language=draw(st.sampled_from(["", *LANGUAGES])),
        timesignature=draw(st.sampled_from(["", *TIME_SIGNATURES])),
    )


@settings(max_examples=300)
@given(plans())
@example(Plan(caption="\xa0"))
@example(Plan(caption="a\n\u3000\nb"))
def test_text_round_trip(plan):
    assert Plan.from_text(plan.to_text()) == plan


@settings(max_examples=200)
@given(plans())
def test_cot_is_yaml_that_reads_back(plan):
    cot = plan.to_cot()
    read = yaml.safe_load(cot.removeprefix("<think>\n").removesuffix("\n</think>")) or {}
    assert set(read) == set(plan.fields())
    if plan.bpm is not None:
        assert read["bpm"] == plan.bpm
    if plan.duration is not None:
        assert read["duration"] == int(plan.duration)


def test_texts_a_user_may_type():
    assert Plan.from_text("") == Plan()
    assert Plan.from_text("<think>\nbpm: 120\n</think>") == Plan(bpm=120)
    assert Plan.from_text("caption: Take 5: the #1 hit\r\nKeyScale: Am\n") == Plan(
        caption="Take 5: the #1 hit", keyscale="A minor"
    )
    assert Plan.from_text("caption: one\n   two\n\n  three\ntimesignature: 4/4") == Plan(
        caption="one two three", timesignature="4"
    )
    assert Plan.from_text("duration: 30.5\nlanguage: no\nbpm:") == Plan(duration=30.5, language="no")
    assert Plan.from_text("caption: 'it''s: quoted'") == Plan(caption="it's: quoted")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("bpm: 120\nkeyscale: H major", 2, "key"),
        ("bpm: fast", 1, "bpm"),
        ("caption: ok\n  folded\nduration: 5", 3, "duration"),
        ("bpm: 120\n\nlanguage: klingon", 3, "language"),
        ("caption: a\njust words", 2, "no field"),
        ("bpm: 1\x002", 1, "not text"),
        ("tempo: 120", 1, "tempo"),
        ("bpm: 120\ncaption: x\nbpm: 130", 3, "second time"),
        ("bpm: 120\ncaption: 'never closed\nduration: 30", 2, "quote"),
        ("  indented", 1, "no field"),
        ("<think>\ntimesignature: 7\n</think>", 2, "time signature"),
    ],
)
def test_an_error_points_at_its_line(text, line, what):
    with pytest.raises(PlanError, match=f"^Line {line} of the plan.*{what}"):
        Plan.from_text(text)


def test_values_are_checked():
    with pytest.raises(InvalidInput, match="bpm"):
        Plan(bpm=5)
    assert Plan(keyscale="G♭ minor").keyscale == "G♭ minor"
    assert Plan.from_metas({"bpm": "fast", "duration": "a while", "keyscale": "H", "language": "en"}) == Plan(
        language="en"
    )


def test_a_long_caption_folds_as_in_training():
    plan = Plan(bpm=90, caption="word " * 60 + "end")
    lines = plan.to_cot().splitlines()
    assert all(len(line) <= 85 for line in lines) and lines[3].startswith("  word")
    assert Plan.from_metas(parse_output(plan.to_cot()).metas) == plan


def test_merge_follows_the_rule():
    song = Song(caption="mine", lyrics="la", bpm=100)
    plan = Plan(bpm=100, caption="theirs", duration=60, keyscale="G♭ minor", language="de", timesignature="3")
    full = merge(song, plan)
    assert full == Song("theirs", "la", "de", 100, "Gb minor", "3", 60)
    assert merge(song, plan, caption=False).caption == "mine"
    assert merge(song, plan, language=False).language == "unknown"
    assert merge(song, Plan()) == song
    assert merge(song, Plan(bpm=90)).bpm == 90  # edited by hand
    assert merge(Song(instrumental=True), plan).language == "unknown"


def test_what_the_user_decided():
    song = Song("caption", "lyrics", "en", 120, "C major", "4", 30.5)
    assert Plan.of_song(song) == Plan(120, "", 30.5, "C major", "en", "4")
    assert Plan.of_song(Song("caption")) == Plan()
    assert Plan(bpm=100).or_else(Plan(bpm=90, caption="x")) == Plan(bpm=100, caption="x")


@pytest.mark.parametrize(("written", "bpm"), [("６０", 60), ("060", 60), ("+60", 60), ("60.0", 60), ("sixty", None)])
def test_numbers_as_the_model_may_write_them(written, bpm):
    assert Plan.from_metas(parse_output(f"<think>\nbpm: {written}\n</think>").metas).bpm == bpm


def test_full_width_digits_are_a_number():
    """As upstream reads them: Python's `int`."""
    assert parse_output("<think>\nbpm: ６０\nduration: １２\n</think>").metas == {"bpm": 60, "duration": 12}


def test_a_draft_says_what_the_model_is_asked_for() -> None:
    draft = PlanDraft.from_text("bpm: 92\nkeyscale: ?\ncaption: why?\nduration:  ? \n")
    assert draft == PlanDraft(Plan(bpm=92, caption="why?"), ("keyscale", "duration"))
    assert PlanDraft.from_text("") == PlanDraft(Plan())
    for refused in ("bpm: 92\nbpm: ?", "tempo: ?", "bpm: ??"):
        with pytest.raises(PlanError):
            PlanDraft.from_text(refused)
    with pytest.raises(PlanError, match="Line 1"):
        Plan.from_text("bpm: ?")
