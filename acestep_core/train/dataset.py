"""A dataset: recordings and what is said about them, as one value. An edit makes a new one.

The rules that a training song's text follows are here: tag, caption or genre, vocals or none.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from acestep_core.errors import DatasetError, InvalidInput
from acestep_core.io.names import folded
from acestep_core.song.description import Song
from acestep_core.train.dataset_options import TAG_POSITIONS
from acestep_core.train.sample_fields import FIELDS, field_named, read_field
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, UNKNOWN_LANGUAGE

UNTITLED: Final = "untitled_dataset"
_CHOICE_SEED = 42


@dataclass(frozen=True)
class TimedText:
    """A line of lyrics and when it is sung, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Sample:
    """One recording. The first seventeen fields are upstream's.

    Attributes:
        id: names its files; letters and digits.
        audio_path: where it is, absolute; `filename`: its base name.
        caption: without the tag; `genre`: short tags in its place.
        lyrics: what training reads; `raw_lyrics`: as the user wrote them; `formatted_lyrics`: as a model rewrote them.
        duration: whole seconds, rounded down.
        labeled: whether a caption was written or confirmed.
        prompt_override: `caption` or `genre`; None leaves it to the dataset.
        sha256: of the file; `samples`: its length at 48 kHz; 0 and empty where nobody has looked.
        timing: timed lyrics.
        labels: where fields come from: `user`, `file`, `csv` or `lm:<model>@<seed>`.
        repeat: how often an epoch sees it; `excluded`: not at all.
        problems: what was wrong with it or with what was said about it, a sentence each.
        extra: what other programs keep in the file.
    """

    id: str
    audio_path: str
    filename: str
    caption: str = ""
    genre: str = ""
    lyrics: str = INSTRUMENTAL_LYRICS
    raw_lyrics: str = ""
    formatted_lyrics: str = ""
    bpm: int | None = None
    keyscale: str = ""
    timesignature: str = ""
    duration: int = 0
    language: str = UNKNOWN_LANGUAGE
    is_instrumental: bool = True
    custom_tag: str = ""
    labeled: bool = False
    prompt_override: str | None = None
    sha256: str = ""
    samples: int = 0
    timing: tuple[TimedText, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1
    excluded: bool = False
    problems: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_instrumental:
            object.__setattr__(self, "lyrics", INSTRUMENTAL_LYRICS)
            object.__setattr__(self, "language", UNKNOWN_LANGUAGE)

    def song(self, caption: str | None = None, lyrics: str | None = None) -> Song:
        """What inference would be asked for, without a length.

        Args:
            caption, lyrics: in place of the sample's own.
        """
        return Song(
            caption=self.caption if caption is None else caption,
            lyrics=self.lyrics if lyrics is None else lyrics,
            language=self.language,
            bpm=self.bpm,
            keyscale=self.keyscale,
            timesignature=self.timesignature,
            instrumental=self.is_instrumental,
        )

    def edited(self, changes: Mapping[str, Any], origin: str = "user") -> Sample:
        """The sample with other values, see `sample_fields.FIELDS`.

        Lyrics make a piece vocal unless the same edit says otherwise, and are kept as the user's own.

        Raises:
            InvalidInput: there is no such field, or its value does not fit.
        """
        values: dict[str, Any] = {}
        for given, value in changes.items():
            name = field_named(given)
            if name is None:
                raise InvalidInput(f"A sample has no field {given!r} to set; its fields are {', '.join(FIELDS)}.")
            values[name] = read_field(name, value)
        if "caption" in values:
            values["labeled"] = True
        if "lyrics" in values:
            values["raw_lyrics"] = "" if values["lyrics"] == INSTRUMENTAL_LYRICS else values["lyrics"]
            values["formatted_lyrics"] = ""
            values.setdefault("is_instrumental", not values["raw_lyrics"])
        elif values.get("is_instrumental") is False and self.is_instrumental:
            values["lyrics"] = self.formatted_lyrics or self.raw_lyrics
        known = {name: origin for name in values if name in FIELDS}
        return replace(self, **values, labels={**self.labels, **known})


@dataclass(frozen=True)
class Dataset:
    """Samples and what holds for all of them.

    Attributes:
        custom_tag: the activation tag of samples without their own.
        tag_position: `prepend`, `append` or `replace`.
        created_at: when it was last saved, ISO 8601 in local time.
        all_instrumental: samples without lyrics of their own are instrumental.
        genre_ratio: how many percent of the steps read the genre instead of the caption.
        encoding: of the texts beside the recordings that are neither UTF-8 nor UTF-16.
        problems: of files that are no samples, and of the dataset file; not saved.
    """

    name: str = UNTITLED
    custom_tag: str = ""
    tag_position: str = TAG_POSITIONS[0]
    created_at: str = ""
    all_instrumental: bool = True
    genre_ratio: int = 0
    encoding: str = ""
    samples: tuple[Sample, ...] = ()
    problems: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tag_position not in TAG_POSITIONS:
            raise DatasetError(
                f"The tag position {self.tag_position!r} is not known; choose one of {', '.join(TAG_POSITIONS)}."
            )
        if not 0 <= self.genre_ratio <= 100:
            raise DatasetError(f"The genre ratio must be from 0 to 100 percent, not {self.genre_ratio}.")

    @property
    def used(self) -> tuple[Sample, ...]:
        """The samples that are not excluded."""
        return tuple(sample for sample in self.samples if not sample.excluded)

    def find(self, name: str) -> Sample:
        """The sample with this id, path, end of a path or file name, with or without its ending.

        What is written letter by letter counts first, then what some system takes for the same name.

        Raises:
            DatasetError: there is none, or several files are called so.
        """
        wanted = name.strip()
        end = folded(wanted.replace("\\", "/").removeprefix("./"))
        for fits in (
            lambda s: s.id == wanted,
            lambda s: Path(s.audio_path).as_posix() == wanted,
            lambda s: s.filename == wanted,
            lambda s: Path(s.filename).stem == wanted,
            lambda s: folded(f"/{Path(s.audio_path).as_posix()}").endswith(f"/{end}"),
            lambda s: end in (folded(s.filename), folded(Path(s.filename).stem)),
        ):
            found = [sample for sample in self.samples if fits(sample)]
            if len(found) == 1:
                return found[0]
            if found:
                ids = ", ".join(sample.id for sample in found)
                raise DatasetError(f"Several samples are called {wanted!r}; give the id of one: {ids}.")
        raise DatasetError(f"There is no sample {wanted!r} in the dataset; give its id or its file name.")

    def with_samples(self, samples: Iterable[Sample]) -> Dataset:
        """These samples in the place of those with the same id."""
        changed = {sample.id: sample for sample in samples}
        return replace(self, samples=tuple(changed.get(sample.id, sample) for sample in self.samples))

    def edited(self, edits: Mapping[str, Mapping[str, Any]], origin: str = "user") -> Dataset:
        """The dataset with other values of some samples: id or file name -> field -> value.

        Raises:
            DatasetError: a sample is not there, or a value does not fit; the message names both.
        """
        done: dict[str, Sample] = {}
        for name, changes in edits.items():
            sample = self.find(name)
            try:
                done[sample.id] = done.get(sample.id, sample).edited(changes, origin)
            except InvalidInput as error:
                raise DatasetError(f"{sample.filename} ({sample.id}): {error}") from error
        return self.with_samples(done.values())

    def with_all_instrumental(self, on: bool) -> Dataset:
        """The rule for samples of which nobody has said whether they have vocals: on, those without lyrics of their own
        are instrumental; off, all have vocals. Lyrics are never removed.
        """
        return replace(self, all_instrumental=on, samples=tuple(settled(sample, on) for sample in self.samples))

    def remarks(self) -> list[str]:
        """What is allowed but probably not meant, a sentence each; of what many samples have, the first and a count."""
        replaced = "The tag takes the place of every caption, so the model learns nothing of what they say."
        found, kinds = self.sample_remarks(), defaultdict[str, list[str]](list)
        for sample in self.used:
            for text in found[sample.id]:
                kinds[text.replace(sample.filename, "")].append(text)
        own = [
            text
            for alike in kinds.values()
            for text in (alike if len(alike) <= 3 else [f"{alike[0]} So it is with {len(alike) - 1} more."])
        ]
        return [replaced, *own] if self.tag_position == "replace" else own

    def sample_remarks(self) -> dict[str, list[str]]:
        """Those that are about one sample, by its id."""
        found: dict[str, list[str]] = {}
        seen: dict[str, str] = {}
        for sample in self.used:
            texts = found[sample.id] = []
            if not sample.is_instrumental and sample.lyrics in ("", INSTRUMENTAL_LYRICS):
                texts.append(f"{sample.filename} is vocal, but has no lyrics; write them, or mark it as instrumental.")
            if not (sample.caption or sample.genre or sample.custom_tag or self.custom_tag):
                texts.append(f"{sample.filename} has no caption; write one, or label the dataset.")
            if sample.sha256 and sample.sha256 in seen:
                texts.append(f"{sample.filename} has the same content as {seen[sample.sha256]}.")
            seen.setdefault(sample.sha256, sample.filename)
            texts += [f"{sample.filename}: {text}" for text in sample.song().warnings()]
        return found

    def fingerprint(self) -> str:
        """SHA-256 over what training depends on."""
        own = [
            {name: value for name, value in asdict(sample).items() if name not in _NOT_TRAINED} for sample in self.used
        ]
        whole = [self.custom_tag, self.tag_position, self.genre_ratio, own]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


_NOT_TRAINED = (
    "audio_path", "filename", "raw_lyrics", "formatted_lyrics", "labeled", "labels", "problems", "extra", "duration",
    "samples",
)  # fmt: skip


def settled(sample: Sample, all_instrumental: bool) -> Sample:
    """See `Dataset.with_all_instrumental`; whoever has said what it is has the last word."""
    own = sample.formatted_lyrics or sample.raw_lyrics
    instrumental = sample.is_instrumental
    if "is_instrumental" not in sample.labels:
        instrumental = all_instrumental and not own
    if instrumental == sample.is_instrumental:
        return sample
    return replace(sample, is_instrumental=instrumental, lyrics=INSTRUMENTAL_LYRICS if instrumental else own)


def tagged(text: str, tag: str, position: str) -> str:
    """A text with the activation tag."""
    if not tag:
        return text
    if not text or position == "replace":
        return tag
    return f"{tag}, {text}" if position == "prepend" else f"{text}, {tag}"


def tag_of(dataset: Dataset, sample: Sample) -> str:
    return sample.custom_tag or dataset.custom_tag


def training_texts(dataset: Dataset, sample: Sample) -> dict[str, str]:
    """Caption and genre as the model is told them, by the names of `trainset.KINDS`.

    An empty one stands for nothing if the other is there; without both the tag alone is the caption.
    """
    tag = tag_of(dataset, sample)
    texts = {kind: text for kind in ("caption", "genre") if (text := getattr(sample, kind))} or {"caption": ""}
    found = {kind: tagged(text, tag, dataset.tag_position) for kind, text in texts.items()}
    return found | ({f"{kind}-untagged": text for kind, text in texts.items()} if tag else {})


def genre_shares(dataset: Dataset, fixed: bool = False) -> dict[str, float]:
    """How likely a step reads the genre of each sample, 0 to 1, by id.

    Args:
        fixed: as upstream's first trainer: a share of the labeled samples reads it always, the others never.
    """
    labeled = [sample.id for sample in dataset.samples if sample.labeled]
    order = list(range(len(labeled)))
    random.Random(_CHOICE_SEED).shuffle(order)
    chosen = {labeled[place] for place in order[: int(len(labeled) * dataset.genre_ratio / 100)]}

    def share(sample: Sample) -> float:
        if not (sample.caption and sample.genre):
            return float(bool(sample.genre))
        if sample.prompt_override is not None:
            return float(sample.prompt_override == "genre")
        return float(sample.id in chosen) if fixed else dataset.genre_ratio / 100

    return {sample.id: share(sample) for sample in dataset.samples}
