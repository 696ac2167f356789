"""What the language model writes into a dataset, and what it must leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acestep_core.errors import Cancelled, DatasetError
from acestep_core.models.handles import Models
from acestep_core.monitor import Monitor
from acestep_core.pipeline.opening import open_models
from acestep_core.planner.answer import Answer
from acestep_core.planner.plan import Plan
from acestep_core.train import label as module
from acestep_core.train.dataset import Dataset, Sample
from acestep_core.train.dataset_options import Labelling
from acestep_core.train.label import label, sample_seed
from acestep_core.train.scan import scan
from tests.train.recordings import write_tone

HEARD = Answer(Plan(120, "heard", 20, "C major", "ko", "3"), "heard words", "rock, pop")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("songs")
    for number in range(3):
        write_tone(folder / f"{number}.wav", 2.0, 110 * (number + 1))
    (folder / "1.caption.txt").write_text("mine")
    (folder / "2.txt").write_text("[Verse]\nmy words")
    return scan(folder)


@pytest.fixture
def models(tiny_root: Path) -> Models:
    return open_models(tiny_root, device="cpu")


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The model hears `HEARD` in everything, and notes how it was asked."""
    asked: list[dict] = []

    def describe(lm: object, codes: tuple, **told: object) -> Answer:
        asked.append(told)
        return HEARD if told["lyrics"] else replace(HEARD, lyrics="")

    monkeypatch.setattr(module, "describe_codes", describe)
    return asked


def run(dataset: Dataset, models: Models, folder: Path, **options: object) -> Dataset:
    return label(dataset, models.model, models.vae, models.lm, folder, Labelling(**options))  # type: ignore[arg-type]


def test_the_tiny_model_labels_and_a_seed_hears_the_same(dataset: Dataset, models: Models, tmp_path: Path) -> None:
    done = run(dataset, models, tmp_path)
    assert [s.labeled for s in done.samples] == [True, True, True]
    assert all(s.caption for s in done.samples) and done.samples[1].caption == "mine"
    first = done.samples[0]
    assert first.genre and first.bpm and first.keyscale and first.timesignature
    assert first.labels["caption"] == f"lm:{models.lm.path.name}@{sample_seed(0, first)}"  # type: ignore[union-attr]
    assert run(dataset, models, tmp_path) == done
    alone = replace(dataset, samples=dataset.samples[2:])
    assert run(alone, models, tmp_path).samples[0] == done.samples[2]


def sample_with(dataset: Dataset, **values: object) -> Dataset:
    return replace(dataset, samples=(replace(dataset.samples[2], **values),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "wanted"), [
    ({}, {"caption": "mine", "genre": "rock, pop", "bpm": 90, "keyscale": "C major", "timesignature": "4",
          "language": "ko", "lyrics": "[Verse]\nmy words"}),
    ({"skip_metas": True}, {"keyscale": "", "bpm": 90, "genre": "rock, pop"}),
    ({"mode": "overwrite"}, {"caption": "heard", "bpm": 120, "timesignature": "3", "lyrics": "[Verse]\nmy words"}),
    ({"mode": "overwrite", "skip_metas": True}, {"caption": "heard", "bpm": 90, "keyscale": ""}),
    ({"mode": "overwrite", "transcribe": True}, {"lyrics": "heard words", "raw_lyrics": "[Verse]\nmy words"}),
    ({"transcribe": True}, {"lyrics": "[Verse]\nmy words"}),
    ({"mode": "upstream"}, {"caption": "heard", "bpm": 90, "keyscale": "C major", "timesignature": "3",
                            "language": "ko", "lyrics": "[Verse]\nmy words"}),
    ({"mode": "upstream", "skip_metas": True}, {"keyscale": "", "timesignature": "4"}),
])  # fmt: skip
def test_the_table_of_modes(
    dataset: Dataset, models: Models, tmp_path: Path, hearing: list, options: dict, wanted: dict
) -> None:
    before = sample_with(dataset, caption="mine", labeled=True, bpm=90, timesignature="4")
    done = run(before, models, tmp_path, only_unlabeled=False, **options).samples[0]
    assert {name: getattr(done, name) for name in wanted} == wanted
    assert hearing[0]["sampling"].temperature == (0.7 if options.get("mode") == "upstream" else 0.3)


def test_only_unlabelled_samples_are_heard(dataset: Dataset, models: Models, tmp_path: Path, hearing: list) -> None:
    run(dataset, models, tmp_path)
    assert len(hearing) == 2
    hearing.clear()
    done = run(dataset, models, tmp_path, only_unlabeled=False, mode="overwrite")
    assert len(hearing) == 3
    assert run(done, models, tmp_path) is done


def test_an_instrumental_piece_stays_one(dataset: Dataset, models: Models, tmp_path: Path, hearing: list) -> None:
    done = run(dataset, models, tmp_path, mode="overwrite", transcribe=True, only_unlabeled=False).samples[0]
    assert (done.is_instrumental, done.lyrics, done.language) == (True, "[Instrumental]", "unknown")


def test_lyrics_are_formatted_beside_the_users_own(
    dataset: Dataset, models: Models, tmp_path: Path, hearing: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    def formatted(lm: object, song: object, **told: object) -> object:
        return replace(song, caption="formatted", lyrics=f"better: {song.lyrics}", language="ja")  # type: ignore[attr-defined, type-var]

    monkeypatch.setattr(module, "format_song", formatted)
    done = run(sample_with(dataset), models, tmp_path, format_lyrics=True).samples[0]
    assert done.lyrics == done.formatted_lyrics == "better: [Verse]\nmy words"
    assert done.raw_lyrics == "[Verse]\nmy words"
    assert done.caption == "formatted"


def test_an_end_at_any_moment_costs_one_sample(dataset: Dataset, models: Models, tmp_path: Path, hearing: list) -> None:
    saved: list[Dataset] = []

    def cancelled() -> bool:
        return len(hearing) == 1 and len(saved) == 2

    with pytest.raises(Cancelled):
        label(dataset, models.model, models.vae, models.lm, tmp_path, save=saved.append,  # type: ignore[arg-type]
              monitor=Monitor(cancelled=cancelled))  # fmt: skip
    assert [s.labeled for s in saved[-1].samples] == [True, True, False]
    hearing.clear()
    run(saved[-1], models, tmp_path)
    assert len(hearing) == 1


def test_a_bad_sample_keeps_its_fields(dataset: Dataset, models: Models, tmp_path: Path, hearing: list) -> None:
    gone: Sample = replace(dataset.samples[2], audio_path=str(tmp_path / "gone.wav"), bpm=90)
    done = run(dataset.with_samples([gone]), models, tmp_path)
    assert (done.samples[2].bpm, done.samples[2].labeled) == (90, False)
    assert "gone.wav" in done.samples[2].problems[0]
    again = run(done, models, tmp_path, only_unlabeled=False)
    assert len(again.samples[2].problems) == 1
    healed = run(
        done.with_samples([replace(done.samples[2], audio_path=dataset.samples[2].audio_path)]), models, tmp_path
    )
    assert healed.samples[2].labeled and not healed.samples[2].problems
    with pytest.raises(DatasetError, match="all 1"):
        run(replace(dataset, samples=(gone,)), models, tmp_path)
