"""Which model is taken: one rule over all places, and sentences where there is none to take."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from acestep_core.checkpoints.catalog import LM_SIZES, TIERS, VARIANTS
from acestep_core.checkpoints.choose import candidates, choose, is_bare, names
from acestep_core.checkpoints.find import Found, ModelEntry
from acestep_core.errors import CheckpointError

SMALL, _, _, MIDDLE, _, LARGE = (name for name, tier in TIERS.items() if tier.variant)


def entry(place: str, kind: str, name: str, *, problem: str | None = None, tiny: bool = False, **known) -> ModelEntry:
    if kind == "dit" and "variant" not in known:
        known["variant"] = name.removeprefix("acestep-v15-")
    if kind == "dit" and "size" not in known:
        known["size"] = "XL" if "xl" in name else "2B"
    if kind == "lm":
        known["size"] = next((size for size in LM_SIZES if size in name), "")
    return ModelEntry(kind, name, Path(place) / name, "upstream", problem=problem, tiny=tiny, **known)


def dit(variant: str, place: str = "/a", **known) -> ModelEntry:
    return entry(place, "dit", f"acestep-v15-{variant}", **known)


def lm(size: str, place: str = "/a", **known) -> ModelEntry:
    return entry(place, "lm", f"acestep-5Hz-lm-{size}", **known)


def vae(place: str = "/a", **known) -> ModelEntry:
    return entry(place, "vae", "vae", **known)


def file(place: str, kind: str, name: str, variant: str | None = None) -> ModelEntry:
    """A part of a single file."""
    return ModelEntry(kind, name, Path(place) / f"{name}.safetensors", "comfyui", variant, size="2B" * (kind == "dit"))


def found(*entries: ModelEntry) -> Found:
    return Found((Path("/a"), Path("/b")), entries)


# --- which DiT ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_how_models_are_spread_over_places_does_not_matter(order):
    models = [dit("base"), dit("turbo", "/b"), dit("xl-turbo", "/c")]
    assert choose("dit", roots=found(*(models[i] for i in order))).entry == models[1]


def test_of_two_alike_the_first_place_is_taken():
    here, there = dit("turbo"), dit("turbo", "/b")
    assert choose("dit", roots=found(here, there)).entry is here
    assert choose("dit", roots=found(there, here)).entry is there
    assert choose("dit", "acestep-v15-turbo", roots=found(there, here)).entry is there


def test_what_can_say_its_variant_comes_first():
    models = found(file("/a", "dit", "mix"), dit("sft"))
    assert choose("dit", roots=models).entry.variant == "sft"
    assert choose("dit", roots=found(file("/a", "dit", "mix"))).variant is None, "whoever opens it is asked to say"


@pytest.mark.parametrize("wanted", VARIANTS)
def test_a_variant_is_that_one_or_none(wanted: str):
    others = [dit(variant) for variant in VARIANTS if variant != wanted]
    with pytest.raises(
        CheckpointError,
        match=rf"^There is no {wanted} model in /a, /b, only {others[0].variant}, .*download {wanted} --to /a`\.$",
    ):
        choose("dit", variant=wanted, roots=found(*others))
    assert choose("dit", variant=wanted, roots=found(*others, dit(wanted))).entry.variant == wanted


def test_a_tiny_model_never_answers_for_a_variant_beside_real_ones():
    models = found(dit("base", "/t", tiny=True), dit("turbo"))
    with pytest.raises(CheckpointError, match=r"There is no base model in /a, /b, only turbo;"):
        choose("dit", variant="base", roots=models)
    assert choose("dit", roots=found(dit("turbo", "/t", tiny=True), dit("xl-sft"))).entry.variant == "xl-sft"
    with pytest.raises(CheckpointError, match=r"There is no DiT in .*, only the language model"):
        choose("dit", roots=found(dit("turbo", "/t", tiny=True), lm("1.7B")))


def test_a_tiny_checkpoint_that_was_put_there_is_used_where_it_is_alone_or_named():
    tiny = [dit("base", "/t", tiny=True), vae("/t", tiny=True)]
    assert choose("dit", variant="base", roots=found(*tiny)).entry.tiny
    both = found(*tiny, dit("turbo"), vae())
    assert choose("dit", "acestep-v15-base", roots=both).entry.tiny
    assert names("dit", both) == ["acestep-v15-turbo", "acestep-v15-base"]


def test_one_file_that_cannot_say_is_taken_at_the_callers_word_several_are_not():
    mix, other = file("/a", "dit", "mix"), file("/b", "dit", "other")
    choice = choose("dit", variant="base", roots=found(dit("turbo"), mix))
    assert (choice.entry, choice.variant) == (mix, "base")
    with pytest.raises(CheckpointError, match=r"^Any of mix, other may be the base model; choose one by its name\.$"):
        choose("dit", variant="base", roots=found(mix, other))
    with pytest.raises(CheckpointError, match="no xl-base model"):
        choose("dit", variant="xl-base", roots=found(mix))


def test_a_broken_model_is_not_replaced_by_another():
    broken = dit("base", problem="base is broken.")
    with pytest.raises(CheckpointError, match="base is broken"):
        choose("dit", variant="base", roots=found(broken, dit("turbo"), file("/a", "dit", "mix")))
    with pytest.raises(CheckpointError, match="base is broken"):
        choose("dit", "acestep-v15-base", roots=found(broken))
    with pytest.raises(CheckpointError, match="base is broken"):
        choose("dit", roots=found(broken, lm("1.7B")))
    whole = dit("base", "/b")
    assert choose("dit", variant="base", roots=found(broken, whole)).entry is whole


def test_names():
    models = found(dit("turbo"), file("/b", "dit", "mix"))
    assert choose("dit", "mix.safetensors", roots=models).entry.name == "mix"
    with pytest.raises(CheckpointError, match=r"^There is no DiT called 'gone' in .*, only acestep-v15-turbo, mix;"):
        choose("dit", "gone", roots=models)
    with pytest.raises(CheckpointError, match=r"fetch it with `acestep models download acestep-v15-sft --to /a`\.$"):
        choose("dit", "acestep-v15-sft", roots=models)


# --- tiers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "there", "taken"),
    [
        (LARGE, ["turbo", "base", "xl-base"], "turbo"),
        (LARGE, ["base", "xl-base"], "xl-base"),
        (LARGE, ["turbo", "xl-turbo"], "xl-turbo"),
        (SMALL, ["xl-turbo", "base"], "base"),
        (SMALL, ["xl-turbo", "base", "turbo-shift1"], "turbo-shift1"),
        (SMALL, ["xl-turbo"], "xl-turbo"),
        (MIDDLE, ["sft", "turbo", "xl-turbo"], "turbo"),
    ],
)
def test_a_tier_is_a_wish(tier: str, there: list[str], taken: str):
    choice = choose("dit", tier=tier, roots=found(*map(dit, there)))
    wished = TIERS[tier].variant
    assert choice.entry.variant == taken
    assert bool(choice.remark) == (taken != wished)
    if choice.remark:
        assert choice.remark == (
            f"There is no {wished} model here, so acestep-v15-{taken} is taken; fetch the other with "
            f"`acestep models download {wished}`."
        )


@pytest.mark.parametrize(
    ("tier", "there", "taken"),
    [
        (None, ["0.6B", "1.7B", "4B"], "1.7B"),
        (None, ["4B", "0.6B"], "0.6B"),
        (LARGE, ["0.6B", "1.7B"], "1.7B"),
        (MIDDLE, ["4B"], "4B"),
    ],
)
def test_the_language_model_is_the_largest_that_fits(tier: str | None, there: list[str], taken: str):
    choice = choose("lm", tier=tier, roots=found(dit("turbo"), *map(lm, there)))
    assert choice.entry.size == taken
    assert ("acestep models download acestep-5Hz-lm-" in choice.remark) == (tier is not None)


def test_a_language_model_by_part_of_its_name():
    models = found(lm("0.6B"), lm("1.7B", "/b"))
    assert choose("lm", "1.7b", roots=models).entry.size == "1.7B"
    with pytest.raises(CheckpointError, match=r"'4B' in .*, only .*0\.6B, .*download acestep-5Hz-lm-4B --to /a`\.$"):
        choose("lm", "4B", roots=models)


def test_an_unknown_tier_is_refused():
    with pytest.raises(CheckpointError, match="no tier called 'huge'"):
        choose("dit", tier="huge", roots=found(dit("turbo")))


# --- parts ----------------------------------------------------------------------------------------------------------


def test_the_nearest_part_is_taken_from_whatever_place():
    far, near, inside = vae("/b"), vae("/a"), vae("/a/acestep-v15-turbo")
    for parts, taken in (([far], far), ([far, near], near), ([far, near, inside], inside)):
        assert choose("vae", roots=found(*parts), beside=dit("turbo")).entry is taken
    assert choose("vae", roots=found(far, near, dit("turbo", "/b"))).entry is far, "the DiT that is taken by itself"


def test_the_size_of_a_language_model_matters_more_than_its_place():
    assert choose("lm", roots=found(lm("0.6B"), lm("1.7B", "/b")), beside=dit("turbo")).entry.size == "1.7B"


def test_files_of_their_own_before_parts_of_an_all_in_one_file():
    models = found(
        file("/m/checkpoints", "dit", "aio", "base"),
        file("/m/checkpoints", "vae", "aio"),
        file("/m/diffusion_models", "dit", "split", "turbo"),
        file("/m/vae", "vae", "split_vae"),
    )
    assert choose("vae", roots=models).entry.name == "split_vae"
    assert choose("vae", roots=models, beside=models.dits[0]).entry.name == "aio"


@pytest.mark.parametrize("kind", ["vae", "text_encoder", "lm"])
def test_no_tiny_part_beside_real_ones(kind: str):
    tiny = entry("/t", kind, "tiny", tiny=True)
    with pytest.raises(CheckpointError, match=r"^There is no .*, only the DiT acestep-v15-turbo; .*`acestep models"):
        choose(kind, roots=found(tiny, dit("turbo")))
    own = entry("/b", kind, "own")
    assert candidates(kind, found(tiny, own, dit("turbo"))) == [own]
    assert candidates(kind, found(tiny, own), dit("turbo", "/t", tiny=True)) == [tiny]


def test_what_counts_as_nothing_installed():
    assert is_bare(found())
    assert is_bare(found(entry("/a", "text_encoder", "Qwen3-Embedding-0.6B"))), "it may be another program's"
    for there in (dit("turbo"), vae(), lm("4B"), dit("turbo", problem="broken"), dit("turbo", tiny=True)):
        assert not is_bare(found(there))
