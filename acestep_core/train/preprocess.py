"""From a dataset to a trainset: everything that the model reads, made by the functions that inference uses.

Files are kept under what they were made from. A run that was ended at any moment goes on from there, and a second run
over an unchanged dataset makes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from acestep_core.errors import AudioError, DatasetError, GenerationError, InvalidInput
from acestep_core.io.stamps import file_stamp
from acestep_core.io.text import read_text
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.models.manager import manager
from acestep_core.models.memory import encoding_bytes, windowed
from acestep_core.models.text import TextEncoder, caption_bytes
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.fingerprints import content_hash
from acestep_core.render.conditioning import prompts_of
from acestep_core.render.tasks import text2music
from acestep_core.train.dataset import Dataset, Sample, genre_shares, tag_of, training_texts
from acestep_core.train.dataset_options import Preprocessing
from acestep_core.train.latents import (
    Encoded,
    LatentStore,
    check_share,
    dtype_of,
    header_of,
    orphans,
    short_hash,
    weights_hash,
    without_progress,
)
from acestep_core.train.trainset import (
    KINDS,
    MANIFEST,
    Manifest,
    TrainEntry,
    Trainset,
    window_frames,
    windows,
    write_tensors,
)
from acestep_core.values import counted
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, LATENT_RATE, LYRIC_TOKENS, UNKNOWN_LANGUAGE

_GROUP = 16
"""Samples whose texts are held in memory between the text encoder and the condition encoder."""


@dataclass(frozen=True)
class _Job:
    """One sample: its latents, and the prompts of each tensor that is made of texts."""

    sample: Sample
    encoded: Encoded
    prompts: Mapping[str, str]
    windows: tuple[int, ...]
    lyrics: tuple[int, ...]
    file: str
    key: str


def preprocess(
    dataset: Dataset,
    model: ModelHandle,
    vae: VAEHandle,
    folder: Path | str,
    options: Preprocessing = Preprocessing(),  # noqa: B008
    *,
    prune: bool = False,
    monitor: Monitor = SILENT,
    known: Mapping[tuple[str, int, int], str] = {},
) -> Trainset:
    """Makes, completes or renews the trainset in a folder.

    A sample that cannot be used becomes a problem of the manifest.

    Args:
        model: the checkpoint that will be trained; its condition encoder and text encoder are used.
        prune: removes files that no song needs any more.
        known: SHA-256 of recordings, see `LatentStore`.

    Raises:
        DatasetError: nothing, or less than half without `options.keep_going`, can be used.
    """
    folder = Path(folder)
    if not dataset.used:
        reason = "holds no samples; scan a folder" if not dataset.samples else "has all its samples excluded"
        raise DatasetError(f"The dataset {dataset.name!r} {reason}.")
    if model.text is None:
        raise InvalidInput("The model has no text encoder; load Qwen3-Embedding-0.6B together with it.")
    folder.mkdir(parents=True, exist_ok=True)
    before = _before(folder)
    store = LatentStore(folder, vae, options.max_seconds, options.loudness)
    for entry in before.samples if before is not None else ():
        store.known[(entry.audio[0], entry.audio[1], entry.audio[2])] = entry.audio[3]
    store.known.update(known)
    problems: dict[str, str] = {}
    encoded = dict(_encoded(dataset.used, store, options, problems, monitor))
    first = next(iter(problems.values()), "")
    check_share(len(problems), len(dataset.used), first, options.keep_going, "Preprocessing")
    hashes = {
        "dit": weights_hash(model, "dit"),
        "text_encoder": weights_hash(model.text, "text_encoder"),
        "vae": weights_hash(vae, "vae"),
    }
    jobs = _jobs(dataset, dataset.used, encoded, model, options)
    _condition(jobs, model, store, options, folder, monitor)
    shares = genre_shares(dataset, fixed=options.genre_choice == "fixed")
    made = {(e.latents, e.conditions): e for e in (before.samples if before is not None else ())}
    manifest = Manifest(
        {
            "name": dataset.name,
            "custom_tag": dataset.custom_tag,
            "tag_position": dataset.tag_position,
            "genre_ratio": dataset.genre_ratio,
            "fingerprint": dataset.fingerprint(),
        },
        {"variant": model.variant, "dtype": dtype_of(model), **hashes},
        asdict(options),
        tuple(_entry(dataset, job, store, shares, made.get((job.encoded.name, job.file))) for job in jobs),
        problems,
    )
    manifest.save(folder)
    if prune:
        for path in orphaned(folder, manifest):
            path.unlink()
    return Trainset.open(folder)


def prepare(
    dataset: Dataset,
    samples: Sequence[Sample],
    model: ModelHandle,
    vae: VAEHandle,
    folder: Path,
    options: Preprocessing,
    monitor: Monitor = SILENT,
) -> dict[tuple[str, int, int], str]:
    """Makes the files of some samples, as far as that can be done, so that `preprocess` finds them.

    Returns:
        What `preprocess` takes as `known`.
    """
    if model.text is None:
        raise InvalidInput("The model has no text encoder; load Qwen3-Embedding-0.6B together with it.")
    folder.mkdir(parents=True, exist_ok=True)
    store = LatentStore(folder, vae, options.max_seconds, options.loudness)
    encoded = dict(_encoded(samples, store, options, {}, monitor))
    if encoded:
        _condition(_jobs(dataset, samples, encoded, model, options), model, store, options, folder, monitor)
    return store.known


def orphaned(folder: Path, manifest: Manifest) -> list[Path]:
    """Files in the folder of a trainset that none of its songs needs."""
    used = [name for entry in manifest.samples for name in (entry.latents, entry.conditions)]
    used += {str(Path(entry.conditions).with_name("shared.safetensors").as_posix()) for entry in manifest.samples}
    return orphans(folder, used)


def report_of(trainset: Trainset) -> str:
    """What a person should know, a line each."""
    manifest = trainset.manifest
    lines = [f"{counted(len(trainset), 'song')}, {manifest.seconds / 60:.1f} minutes, in {trainset.folder}"]
    lines += [f"Left out: {text}" for text in manifest.problems.values()]
    lines += [text for entry in manifest.samples for text in entry.problems]
    if left := orphaned(trainset.folder, manifest):
        files, command = counted(len(left), "file"), "acestep dataset preprocess --prune"
        lines.append(f"{files} that no song needs any more; `{command}` removes them.")
    return "\n".join(lines)


def _before(folder: Path) -> Manifest | None:
    """What an earlier run has made, as far as it can be read."""
    try:
        return Manifest.from_json(read_text(folder / MANIFEST, DatasetError), folder.name)
    except DatasetError:  # absent or damaged: it is written anew
        return None


def _encoded(
    samples: Sequence[Sample], store: LatentStore, options: Preprocessing, problems: dict[str, str], monitor: Monitor
) -> Iterator[tuple[str, Encoded]]:
    quiet = without_progress(monitor)
    for number, sample in enumerate(samples, start=1):
        try:
            found = store.made(sample, quiet)
            if options.reference == "self":
                store.reference(sample, quiet)
            yield sample.id, found
        except (AudioError, GenerationError) as error:
            problems[sample.id] = str(error)
        monitor.tick("Encoding recordings", number, len(samples))


def _jobs(
    dataset: Dataset,
    samples: Sequence[Sample],
    encoded: Mapping[str, Encoded],
    model: ModelHandle,
    options: Preprocessing,
) -> list[_Job]:
    assert model.text is not None
    hashes = weights_hash(model, "dit"), weights_hash(model.text, "text_encoder")
    encoders = short_hash(*hashes, dtype_of(model), dtype_of(model.text))
    return [
        _job(dataset, sample, encoded[sample.id], model.stems, options, f"conditions/{encoders}")
        for sample in samples
        if sample.id in encoded
    ]


def _job(dataset: Dataset, sample: Sample, encoded: Encoded, stems: bool, options: Preprocessing, folder: str) -> _Job:
    size = window_frames(options.window_seconds)
    starts = windows(encoded.frames, size) if options.length != "full" else (0,)
    prompts: dict[str, str] = {}
    lengths = {"": encoded.frames} if options.length != "window" or len(starts) == 1 else {}
    if len(starts) > 1:
        lengths[".window"] = size
    for end, frames in lengths.items():
        task = text2music(frames / LATENT_RATE)
        for kind, text in training_texts(dataset, sample).items():
            told, words = prompts_of(sample.song(caption=text), task, stems)
            prompts[f"caption.{KINDS.index(kind)}{end}"] = told
            prompts["lyrics"] = words
    places: tuple[int, ...] = ()
    if len(starts) > 1 and sample.timing and not sample.is_instrumental:
        parts = [_lines(sample, start, size) for start in starts]
        numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
        places = tuple(numbers[part] for part in parts)
        for part, number in numbers.items():
            prompts[f"lyrics.{number}"] = prompts_of(sample.song(lyrics=part), task, stems)[1]
    reference = encoded.name if options.reference == "self" else ""
    return _Job(
        sample, encoded, prompts, starts, places, f"{folder}/{sample.id}.safetensors", short_hash(prompts, reference)
    )


def _lines(sample: Sample, start: int, size: int) -> str:
    """The timed lyrics whose middle lies in a window; a part without any is instrumental."""
    first, last = start / LATENT_RATE, (start + size) / LATENT_RATE
    inside = [line.text for line in sample.timing if first <= (line.start + line.end) / 2 < last]
    return "\n".join(inside) or INSTRUMENTAL_LYRICS


def _condition(
    jobs: list[_Job], model: ModelHandle, store: LatentStore, options: Preprocessing, folder: Path, monitor: Monitor
) -> None:
    """Writes the conditions that are not there yet, and what all songs share."""
    shared = folder / Path(jobs[0].file).with_name("shared.safetensors")
    missing = [job for job in jobs if header_of(folder / job.file)[0].get("key") != job.key]
    if not missing and shared.is_file():
        return
    assert model.text is not None
    done = len(jobs) - len(missing)
    for start in range(0, max(len(missing), 1), _GROUP):
        group = missing[start : start + _GROUP]
        with torch.inference_mode():
            with manager.resident(model.text, caption_bytes) as text:
                texts = [_embedded(text, job.prompts, monitor) for job in group]
                instrumental = text.lyrics(_no_lyrics())
            with manager.resident(model.bare, _working) as module:
                silence = module.silence_latent.cpu()
                quiet = _timbre(module, silence[:, : module.config.timbre_fix_frame])
                if not shared.is_file():
                    words = _lyrics(module, instrumental)
                    write_tensors(shared, {"silence": silence[0], "lyrics.none": words}, {})
                for job, embedded in zip(group, texts, strict=True):
                    tensors = {name: _states(module, name, value) for name, value in embedded.items()}
                    tensors["timbre.silence"] = quiet
                    if options.reference == "self":
                        tensors["timbre.self"] = _timbre(module, store.reference(job.sample))
                    about = {"key": job.key, "name": job.sample.filename, "prompts": dict(job.prompts)}
                    write_tensors(folder / job.file, tensors, about)
                    store.written.add(job.file)
                    done += 1
                    monitor.tick("Encoding texts", done, len(jobs))


def _no_lyrics() -> str:
    """What the lyric encoder reads of an instrumental piece."""
    sample = Sample("", "", "")
    assert (sample.lyrics, sample.language) == (INSTRUMENTAL_LYRICS, UNKNOWN_LANGUAGE)
    return prompts_of(sample.song(), text2music(1.0))[1]


def _embedded(text: TextEncoder, prompts: Mapping[str, str], monitor: Monitor) -> dict[str, Tensor]:
    monitor.check()
    return {
        name: text.lyrics(prompt) if name.startswith("lyrics") else text.caption(prompt)
        for name, prompt in prompts.items()
    }


def _states(model: AceStepModel, name: str, embedded: Tensor) -> Tensor:
    """`[L, D]` of one text."""
    if name.startswith("lyrics"):
        return _lyrics(model, embedded)
    return model.encoder.text_projector(embedded.to(model.device, model.dtype))[0]


def _lyrics(model: AceStepModel, embedded: Tensor) -> Tensor:
    return model.encoder.lyric_encoder(embedded.to(model.device, model.dtype))[0]


def _timbre(model: AceStepModel, reference: Tensor) -> Tensor:
    """`[1, D]`."""
    return model.encoder.timbre_encoder(reference.to(model.device, model.dtype))


def _working(model: AceStepModel) -> int:
    config = model.config
    longest = max(windowed(config, LYRIC_TOKENS), windowed(config, config.timbre_fix_frame))
    return encoding_bytes(config, longest, LYRIC_TOKENS, model.dtype.itemsize)


def _entry(
    dataset: Dataset, job: _Job, store: LatentStore, shares: Mapping[str, float], known: TrainEntry | None
) -> TrainEntry:
    sample, path = job.sample, Path(job.sample.audio_path)
    same = known is not None and known.key == job.key and not store.written & {job.encoded.name, job.file}
    digests = known.sha256 if known is not None and same else (
        content_hash(store.folder / job.encoded.name), content_hash(store.folder / job.file))  # fmt: skip
    return TrainEntry(
        id=sample.id,
        name=sample.filename,
        latents=job.encoded.name,
        conditions=job.file,
        sha256=digests,
        frames=job.encoded.frames,
        repeat=sample.repeat,
        genre_share=shares[sample.id],
        tag=tag_of(dataset, sample),
        windows=job.windows,
        lyrics=job.lyrics,
        key=job.key,
        audio=(*file_stamp(path), store.content(sample)),
        problems=job.encoded.remarks,
    )
