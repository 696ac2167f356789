"""What a recording is, as the language model hears it: caption, genre, tempo, key, time signature, language.

Each kind of model is loaded once: the VAE and the audio tokenizer for all samples, then the language model. After each
sample the dataset is handed out to be saved, so that an end at any moment costs one sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acestep_core.errors import AudioError, GenerationError, InvalidInput
from acestep_core.models.handles import LMHandle, ModelHandle, VAEHandle
from acestep_core.models.language_model import LanguageModel
from acestep_core.monitor import SILENT, Monitor
from acestep_core.planner.answer import GENRES_TOKENS, TOKENS, Answer, writing
from acestep_core.planner.create import format_song
from acestep_core.planner.understand import LISTEN_SAMPLING, describe_codes
from acestep_core.song.codes import codes_to_text
from acestep_core.train.dataset import Dataset, Sample
from acestep_core.train.dataset_options import Labelling
from acestep_core.train.latents import Encoded, LatentStore, check_share, without_progress
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, UNKNOWN_LANGUAGE

UPSTREAM_SAMPLING = replace(LISTEN_SAMPLING, temperature=0.7)
"""Source: upstream `dataset_builder_modules/label_single.py`."""
_METAS = ("bpm", "keyscale", "timesignature")
_OWN = (AudioError, GenerationError, InvalidInput)
"""What can be the matter with one sample alone."""


Ahead = Callable[[Sequence[Sample], Callable[[Sequence[Sample]], object]], object]


def _nobody(samples: Sequence[Sample], take: Callable[[Sequence[Sample]], object]) -> None:
    pass


def label(
    dataset: Dataset,
    model: ModelHandle,
    vae: VAEHandle,
    lm: LMHandle,
    folder: Path | str,
    options: Labelling = Labelling(),  # noqa: B008
    *,
    seed: int = 0,
    save: Callable[[Dataset], object] = lambda dataset: None,
    monitor: Monitor = SILENT,
    ahead: Ahead = _nobody,
) -> Dataset:
    """Writes down what the model hears, by the rules of `options.mode`; what a person wrote stays unless they ask.

    A sample that fails keeps its fields and gets a problem.

    Args:
        folder: keeps latents and codes, so that nothing is encoded twice; that of the trainset is a good choice.
        seed: another one hears it in other words; each sample is its own draw, whatever else is labelled.
        save: called with the dataset after each sample.
        ahead: is shown the samples, and may hand in some of them as `label_some` gives them.

    Raises:
        DatasetError: every sample failed.
    """
    wanted = [s for s in dataset.used if not (options.only_unlabeled and s.labeled and s.caption)]
    if not wanted:
        return dataset
    done: set[str] = set()

    def take(samples: Sequence[Sample]) -> None:
        nonlocal dataset
        dataset = dataset.with_samples(samples)
        done.update(sample.id for sample in samples)
        save(dataset)

    ahead(wanted, take)
    left = [sample for sample in wanted if sample.id not in done]
    problems: dict[str, str] = {}
    if left:
        problems = label_some(left, model, vae, lm, Path(folder), options, seed, monitor, take)[1]
    check_share(len(problems), len(wanted), next(iter(problems.values()), ""), True, "Labelling")
    return dataset


def label_some(
    wanted: Sequence[Sample],
    model: ModelHandle,
    vae: VAEHandle,
    lm: LMHandle,
    folder: Path,
    options: Labelling,
    seed: int,
    monitor: Monitor,
    take: Callable[[Sequence[Sample]], object] = lambda samples: None,
) -> tuple[list[Sample], dict[str, str]]:
    """Samples as the model hears them, and why it could not hear the others, by id; see `label`.

    Args:
        take: called with what has been written down, as soon as it is; also with samples that have a problem.
    """
    problems: dict[str, str] = {}
    done: list[Sample] = []
    codes = _codes(wanted, model, LatentStore(folder, vae, options.max_seconds), problems, monitor)
    longest = max((codes_to_text(row) for row in codes.values()), key=len, default="")
    texts = max((sample.raw_lyrics for sample in wanted), key=len) if options.format_lyrics else ""
    take([_with_problem(s, problems[s.id]) for s in wanted if s.id in problems])
    if codes:
        with writing(lm, longest, texts, tokens=TOKENS + GENRES_TOKENS) as language_model:
            for number, sample in enumerate((s for s in wanted if s.id in codes), start=1):
                try:
                    heard = _labelled(language_model, lm, sample, codes[sample.id], options, seed, monitor)
                    done.append(heard)
                except _OWN as error:
                    problems[sample.id] = str(error)
                    heard = _with_problem(sample, str(error))
                take([heard])
                monitor.tick("Labelling", number, len(codes))
    return done, problems


def sample_seed(seed: int, sample: Sample) -> int:
    """Of one sample: 32 bits, whatever else is in the dataset."""
    return int.from_bytes(hashlib.sha256(f"{seed} {sample.id}".encode()).digest()[:4])


def resumed(dataset: Dataset, saved: Dataset, lm: LMHandle, seed: int) -> Dataset:
    """The dataset with what an interrupted run with this model and seed has written already, beside what people wrote
    since.
    """
    before = {sample.id: sample for sample in saved.samples}

    def taken(sample: Sample) -> Sample:
        old = before.get(sample.id)
        origin = _origin(lm, sample_seed(seed, sample))
        names = [n for n, o in old.labels.items() if o == origin and sample.labels.get(n) != "user"] if old else []
        if not names:
            return sample
        values = {
            name: getattr(old, name) for name in [*names, "lyrics"] if name != "lyrics" or "formatted_lyrics" in names
        }
        return replace(sample, **values, labeled=True, labels={**sample.labels, **dict.fromkeys(names, origin)})

    return replace(dataset, samples=tuple(taken(sample) for sample in dataset.samples))


def _origin(lm: LMHandle, seed: int) -> str:
    return f"lm:{lm.path.name}@{seed}"


def _codes(
    samples: Sequence[Sample], model: ModelHandle, store: LatentStore, problems: dict[str, str], monitor: Monitor
) -> dict[str, tuple[int, ...]]:
    """Semantic codes by id; who has none has a problem."""
    quiet = without_progress(monitor)
    encoded: dict[str, Encoded] = {}
    codes: dict[str, tuple[int, ...]] = {}
    for number, sample in enumerate(samples, start=1):
        try:
            encoded[sample.id] = store.made(sample, quiet)
        except _OWN as error:
            problems[sample.id] = str(error)
        monitor.tick("Encoding recordings", number, len(samples))
    for sample in samples:
        if sample.id in encoded:
            codes[sample.id] = store.codes(sample, encoded[sample.id], model, quiet)
    return codes


def _labelled(
    lm: LanguageModel,
    handle: LMHandle,
    sample: Sample,
    codes: tuple[int, ...],
    options: Labelling,
    seed: int,
    monitor: Monitor,
) -> Sample:
    own_seed = sample_seed(seed, sample)
    origin = _origin(handle, own_seed)
    sampling = UPSTREAM_SAMPLING if options.mode == "upstream" else LISTEN_SAMPLING
    sung = _wants_lyrics(sample, options)
    quiet = without_progress(monitor)
    answer = describe_codes(lm, codes, sampling=sampling, seed=own_seed, lyrics=sung, monitor=quiet)
    changes = _allowed(sample, _heard(answer), options)
    done = replace(sample.edited(changes, origin), labeled=True)
    words = answer.lyrics if sung else ""
    if options.format_lyrics and not sample.is_instrumental and sample.raw_lyrics:
        written = format_song(lm, done.song(lyrics=sample.raw_lyrics), sampling=sampling, seed=own_seed, monitor=quiet)
        told = _allowed(sample, {"caption": written.caption, "language": written.language}, options)
        done, words = done.edited(told, origin), written.lyrics
    if words and words.lower() != INSTRUMENTAL_LYRICS.lower():
        done = replace(done, formatted_lyrics=words, lyrics=words, labels={**done.labels, "formatted_lyrics": origin})
    return replace(done, problems=tuple(text for text in done.problems if not text.startswith(_MARK)))


def _wants_lyrics(sample: Sample, options: Labelling) -> bool:
    if sample.is_instrumental:
        return False
    if options.mode == "upstream":
        return not sample.raw_lyrics
    return options.mode == "overwrite" and options.transcribe


def _heard(answer: Answer) -> dict[str, Any]:
    plan = answer.plan
    found = {"caption": plan.caption, "genre": answer.genres, "bpm": plan.bpm, "keyscale": plan.keyscale,
             "timesignature": plan.timesignature, "language": plan.language}  # fmt: skip
    return {name: value for name, value in found.items() if value not in (None, "", UNKNOWN_LANGUAGE)}


def _allowed(sample: Sample, heard: Mapping[str, Any], options: Labelling) -> dict[str, Any]:
    """What of it may be written into the sample: the table of the three modes."""
    always = {
        "fill": (),
        "overwrite": ("caption", "genre", *_METAS, "language"),
        "upstream": ("caption", "genre", "timesignature", "language"),
    }[options.mode]

    def may(name: str) -> bool:
        if name in _METAS and options.skip_metas:
            return False
        if name == "language" and sample.is_instrumental:
            return False
        return name in always or getattr(sample, name) in (None, "", UNKNOWN_LANGUAGE)

    return {name: value for name, value in heard.items() if may(name)}


_MARK = "Labelling failed: "


def _with_problem(sample: Sample, reason: str) -> Sample:
    kept = tuple(text for text in sample.problems if not text.startswith(_MARK))
    return replace(sample, problems=(*kept, f"{_MARK}{reason}"))
