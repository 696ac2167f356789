"""Any model writes a plan that can be read, in every mode and with every choice of fields."""

import random

import pytest
import torch
import yaml

from acestep_core.errors import GenerationError
from acestep_core.monitor import SILENT
from acestep_core.options import LMSampling
from acestep_core.planner.answer import write_answer
from acestep_core.planner.decode import decode_text
from acestep_core.planner.grammar import PlanText, cot_grammar
from acestep_core.planner.lm_prompts import plan_prompt
from acestep_core.planner.metas import PLAN_FIELDS, parse_output
from acestep_core.planner.plan import Plan
from acestep_core.vocabulary import KEYSCALES, LANGUAGES, TIME_SIGNATURES
from tests.planner.fixtures import tiny_lm

WILD = LMSampling(temperature=2.0, top_p=1.0)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(codes=500)


def random_given(rng):
    """Some fields as a user may have set them."""
    choices = {
        "bpm": rng.randint(30, 300),
        "duration": rng.choice([10.0, 30.5, 600.0]),
        "keyscale": rng.choice(KEYSCALES),
        "language": rng.choice(list(LANGUAGES)),
        "timesignature": rng.choice(TIME_SIGNATURES),
    }
    return Plan(**{name: value for name, value in choices.items() if rng.random() < 0.3})


def write(lm, given, open_fields, seed, max_duration=600.0, room=700):
    constraint = PlanText(lm, cot_grammar(given.fields(), open_fields, max_duration), room)
    ids = decode_text(lm, lm.encode(plan_prompt("a", "b")), constraint, WILD, seed, room)
    return lm.decode(ids), constraint


@pytest.mark.parametrize("seed", range(200))
def test_a_random_model_writes_a_plan_that_reads(lm, seed):
    """Field subsets, given values and seeds at random; the caption is the one field without an end of its own."""
    rng = random.Random(seed)
    given = random_given(rng)
    fields = [name for name in PLAN_FIELDS if name not in given.fields() and rng.random() < 0.7]
    answer = write_answer(
        lm, plan_prompt("a", "b"), given, fields, WILD, seed, max_duration=60, caption_tokens=rng.choice([8, 16, 40])
    )
    assert set(answer.plan.fields()) == set(fields) | set(given.fields())
    for name, value in given.fields().items():
        assert getattr(answer.plan, name) == value
    if "duration" in fields:
        assert 10 <= answer.plan.duration <= 60
    assert Plan.from_text(answer.plan.to_text()) == answer.plan


@pytest.mark.parametrize("seed", range(20))
def test_genres_are_a_line_of_their_own(lm, seed):
    answer = write_answer(
        lm, plan_prompt("a", "b"), Plan(), [*PLAN_FIELDS, "genres"], WILD, seed, max_duration=60, caption_tokens=8
    )
    assert 0 < len(answer.genres) <= 71 and "\n" not in answer.genres
    assert set(answer.plan.fields()) == set(PLAN_FIELDS)


def walk(lm, grammar, seed, tokens):
    """Random allowed tokens, every third one starting a word or, where none may, a line; after `tokens`, an end."""
    rng = random.Random(seed)
    constraint = PlanText(lm, grammar, 10_000)
    starts_word = torch.zeros(lm.ids.first_code, dtype=torch.bool)
    line_end = lm.encode("\n")
    for index in range(lm.ids.first_code):
        starts_word[index] = (lm.tokenizer.id_to_token(index) or "").startswith("Ġ")
    written = constraint.forced()
    while not constraint.finished():
        allowed = constraint.allowed()
        wants_word = len(written) % 3 == 0 or written[-1] in line_end
        if wants_word and (allowed & starts_word).any() and len(written) <= tokens:
            choices = (allowed & starts_word).nonzero()[:, 0]
        elif wants_word and allowed[line_end].all():
            choices = torch.tensor(line_end)
        else:
            choices = allowed.nonzero()[:, 0]
        token = int(choices[rng.randrange(len(choices))])
        constraint.write(token)
        written += [token, *constraint.forced()]
    return lm.decode(written)


def test_what_is_written_is_what_writing_it_again_gives(lm):
    """Captions fold where PyYAML folds them, so the model's own text stands in the next prompt unchanged."""
    grammar, folds, lengths = cot_grammar({}, PLAN_FIELDS), 0, set()
    for seed in range(50):
        text = walk(lm, grammar, seed, tokens=10 + 5 * seed)
        values = yaml.safe_load(text.removeprefix("<think>\n").removesuffix("</think>"))
        assert tuple(values) == PLAN_FIELDS
        if "caption: '" not in text:
            assert Plan.from_metas(parse_output(text).metas).to_cot() == text
            folds += text.count("\n  ")
            lengths |= {len(line) for line in text.split("\n")}
    assert folds > 50 and max(lengths) > 80


def test_field_names_are_tokens_as_the_model_learned_them(lm):
    """Forced text is cut into tokens like any prompt, `b` `pm` and not `bp` `m`."""
    given = Plan(120, "a caption", 30, "F# minor", "no", "4")
    text, constraint = write(lm, given, [], 0)
    assert constraint.closed and text == given.to_cot()
    ids = decode_text(lm, lm.encode("x"), PlanText(lm, cot_grammar(given.fields(), []), 700), WILD, 0, 700)
    assert ids == lm.encode(text)


def test_a_caption_without_end_is_cut_at_a_word_and_the_plan_goes_on(lm):
    answers = [
        write_answer(lm, plan_prompt("a", "b"), Plan(bpm=90), PLAN_FIELDS[1:], WILD, seed, caption_tokens=8)
        for seed in range(5)
    ]
    for answer in answers:
        assert set(answer.plan.fields()) == set(PLAN_FIELDS) and answer.plan.bpm == 90
        assert "\ufffd" not in answer.plan.caption
    assert max(len(lm.encode(answer.plan.caption)) for answer in answers) < 8 + 100


def test_greedy_plans_do_not_depend_on_the_seed(lm):
    greedy = LMSampling(temperature=0)
    one, two = (write_answer(lm, plan_prompt("a", "b"), Plan(), ["bpm", "keyscale"], greedy, seed) for seed in (1, 2))
    assert one == two
    drawn = {write_answer(lm, plan_prompt("a", "b"), Plan(), ["bpm"], WILD, seed).plan.bpm for seed in range(8)}
    assert len(drawn) > 4


def test_all_languages_keys_and_signatures_can_be_written(lm):
    for field, values in (("language", LANGUAGES), ("keyscale", KEYSCALES), ("timesignature", TIME_SIGNATURES)):
        for value in values:
            matcher = PlanText(lm, cot_grammar({}, [field]), 100).matcher
            ids = lm.encode(Plan(**{field: value}).to_cot().removeprefix("<think>\n").removesuffix("</think>"))
            assert matcher.try_consume_tokens(ids) == len(ids), value
            assert matcher.is_accepting()


@pytest.mark.parametrize(
    "line", ["bpm: 29\n", "bpm: 301\n", "bpm: 0120\n", "bpm:120\n", "bpm: 120 \n", "duration: 30\n", "Bpm: 120\n"]
)
def test_what_is_not_a_plan_is_refused(lm, line):
    matcher = PlanText(lm, cot_grammar({}, ["bpm"]), 100).matcher
    ids = lm.encode(line)
    assert matcher.try_consume_tokens(ids) < len(ids)


@pytest.mark.parametrize(
    ("caption", "fine"),
    [
        ("A calm song", True),
        ("80s synth pop", True),
        ("温柔的钢琴，夜晚", True),
        ("'Genre: pop, it''s loud'", True),
        ("Genre: pop", False),
        ("a #1 hit", False),
        ("ends with:", False),
        ("- list", False),
        ("code `x`", False),
        ("two  spaces", False),
        ("'open", False),
        ("tab\there", False),
    ],
)
def test_captions_are_safe_yaml(lm, caption, fine):
    matcher = PlanText(lm, cot_grammar({}, ["caption"]), 100).matcher
    ids = lm.encode(f"caption: {caption}\n")
    assert (matcher.try_consume_tokens(ids) == len(ids)) is fine


def test_a_broken_grammar_says_so(lm):
    with pytest.raises(GenerationError, match="grammar failed"):
        PlanText(lm, "start: nothing", 10)


def test_progress_is_reported_while_planning(lm):
    from acestep_core.monitor import Monitor

    ticks = []
    monitor = Monitor(progress=lambda *tick: ticks.append(tick[:2]))
    write_answer(lm, plan_prompt("a", "b"), Plan(), PLAN_FIELDS, WILD, 0, caption_tokens=20, monitor=monitor)
    assert len(ticks) > 10 and {stage for stage, _ in ticks} == {"Planning"}
    assert SILENT.progress is None
