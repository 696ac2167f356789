"""What published models weigh and what fits on a card."""

import pytest

from acestep_core.checkpoints.catalog import VARIANTS, download_names
from acestep_core.models.fits import BASE_CONFIG, XL_CONFIG, longest_song, offers, weights

GIB = 2**30


def test_weights_are_those_that_are_published() -> None:
    assert weights(BASE_CONFIG) / GIB == pytest.approx(4.46, abs=0.01)
    assert weights(XL_CONFIG) / GIB == pytest.approx(9.29, abs=0.01)


def test_a_larger_card_makes_longer_songs_and_guidance_takes_room() -> None:
    for variant in VARIANTS.values():
        lengths = [longest_song(variant, gib * GIB) for gib in (2, 4, 5, 6, 8, 10, 12, 16, 24)]
        assert lengths == sorted(lengths) and lengths[0] == 0 and lengths[-1] == 600
    tight = weights(BASE_CONFIG) + GIB // 2
    assert longest_song(VARIANTS["base"], tight) < longest_song(VARIANTS["turbo"], tight)
    assert longest_song(VARIANTS["xl-turbo"], 8 * GIB) == 0 < longest_song(VARIANTS["turbo"], 8 * GIB)


def test_what_is_larger_than_a_card_comes_by_turns() -> None:
    for card, streaming in ((4, {"turbo", "base", "xl-turbo"}), (8, {"xl-turbo"}), (16, set())):
        found = {offer.name: offer for offer in offers(card * GIB, streams=True)}
        for name in ("turbo", "base", "xl-turbo"):
            offer = found[VARIANTS[name].folder]
            assert offer.longest and offer.streams == (name in streaming), (card, name)
    assert not any(offer.streams for offer in offers(4 * GIB))
    assert longest_song(VARIANTS["xl-base"], GIB // 2, streams=True) == 0


def test_everything_that_is_offered_can_be_downloaded() -> None:
    found = offers(24 * GIB)
    assert {offer.name for offer in found} <= set(download_names())
    assert {offer.name for offer in found} >= set(download_names()) - {"tokenizer"}
    assert all(offer.bytes > 10**8 for offer in found)


def test_a_larger_card_makes_no_shorter_songs() -> None:
    """Where a model fits with hardly any work, its layers come by turns for more."""
    cards = [GIB * tenths // 10 for tenths in range(40, 70, 5)]
    found = [offer for card in cards for offer in offers(card, streams=True) if offer.name == "acestep-v15-turbo"]
    lengths = [offer.longest or 0 for offer in found]
    assert lengths == sorted(lengths) and {offer.streams for offer in found} == {True, False}
