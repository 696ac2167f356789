"""What a model is trained with: a folder of tensors and its manifest.

```
manifest.json                               written last; the files before it are found again without it
latents/<audio>-<VAE>.safetensors           mean [T, 64], std [T, 64], fp32
conditions/<encoders>/shared.safetensors    silence [N, 64] fp32, lyrics.none [L, D]
conditions/<encoders>/<song>.safetensors    caption.<kind>[.window] [Lt, D], lyrics[.<window>] [Ll, D],
                                            timbre.silence [1, D], timbre.self [1, D]
```

The condition encoder joins lyrics, timbre and caption, each made alone, in this order; so the parts are kept and any
caption goes with any lyrics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from acestep_core.errors import DatasetError
from acestep_core.io.atomic import atomic_write
from acestep_core.io.tensor_file import open_tensors, save_tensors
from acestep_core.io.text import read_text
from acestep_core.models.conditioner import joined
from acestep_core.records.fingerprints import content_hash
from acestep_core.render.conditioning import text_context
from acestep_core.render.task import padded, silence_frames
from acestep_core.render.tasks import MIN_FRAMES
from acestep_core.train.dataset_options import LENGTHS
from acestep_core.values import counted
from acestep_core.vocabulary import FRAMES_PER_CODE, LATENT_CHANNELS, LATENT_RATE

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
KINDS: Final = ("caption", "genre", "caption-untagged", "genre-untagged")
"""The texts of a song, as `caption.0` to `caption.3`."""


@dataclass(frozen=True)
class TrainEntry:
    """One song of a manifest.

    Attributes:
        id, name: of the sample in its dataset; its file's name.
        latents, conditions: files, relative to the folder.
        sha256: of these two files.
        frames: T, latent frames of sound.
        repeat: how often an epoch sees it.
        genre_share: how likely a step reads its genre instead of its caption, 0 to 1.
        tag: the activation tag it was given; empty for none.
        windows: first frames of its windows; one 0 where a window holds all of it.
        lyrics: for each window the number of its lyrics in the file; empty where every window has the whole lyrics.
        key: what its conditions were made from, see `preprocess`.
        audio: path, bytes, time of change (ns) and SHA-256 of the recording when it was read.
        problems: what to know about it, a sentence each.
    """

    id: str
    name: str
    latents: str
    conditions: str
    sha256: tuple[str, str]
    frames: int
    repeat: int = 1
    genre_share: float = 0.0
    tag: str = ""
    windows: tuple[int, ...] = (0,)
    lyrics: tuple[int, ...] = ()
    key: str = ""
    audio: tuple[str, int, int, str] = ("", 0, 0, "")
    problems: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.frames / LATENT_RATE


@dataclass(frozen=True)
class Manifest:
    """The table of contents of a trainset.

    Attributes:
        dataset: `name`, `custom_tag`, `tag_position`, `genre_ratio` and `fingerprint` of the dataset it was made from.
        model: `variant`, `dtype`, and the SHA-256 of `dit`, `text_encoder` and `vae`.
        settings: how it was made, see `dataset_options.Preprocessing`.
        samples: the songs that can be trained with, in the dataset's order.
        problems: songs that cannot, and why, by id; and whatever else there is to say, under ''.
    """

    dataset: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    samples: tuple[TrainEntry, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all songs, each counted once."""
        return sum(entry.seconds for entry in self.samples)

    @property
    def length(self) -> str:
        return str(self.settings["length"])

    @property
    def window_frames(self) -> int:
        """Latent frames of a window."""
        return window_frames(float(self.settings["window_seconds"]))

    def save(self, folder: Path) -> None:
        """Writes `manifest.json`, whole or not at all."""
        with atomic_write(folder / MANIFEST) as path:
            path.write_text(self.to_json(), encoding="utf-8")

    @property
    def fingerprint(self) -> str:
        """Changes when a step would see something else: SHA-256 over the songs' files, lengths, repeats and shares."""
        told = [(e.id, e.sha256, e.frames, e.repeat, e.genre_share, e.windows, e.lyrics) for e in self.samples]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def to_json(self) -> str:
        def plain(entry: TrainEntry) -> dict[str, Any]:
            return {name: getattr(entry, name) for name in TrainEntry.__dataclass_fields__}

        values = {
            "format": FORMAT,
            "dataset": dict(self.dataset),
            "model": dict(self.model),
            "settings": dict(self.settings),
            "samples": [plain(entry) for entry in self.samples],
            "problems": dict(self.problems),
        }
        return json.dumps(values, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, folder: str) -> Self:
        """Raises DatasetError where the text is no manifest of this version."""
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise DatasetError(
                    f"The trainset {folder!r} has format {values['format']!r}, and this version reads {FORMAT}; "
                    "preprocess the dataset again."
                )
            found = cls(
                dict(values["dataset"]),
                dict(values["model"]),
                dict(values["settings"]),
                tuple(_entry(entry) for entry in values["samples"]),
                dict(values["problems"]),
            )
            if found.length not in LENGTHS or not found.window_frames:
                raise ValueError
            return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise DatasetError(
                f"The manifest of the trainset {folder!r} is damaged; preprocess the dataset again."
            ) from error


def _entry(values: Mapping[str, Any]) -> TrainEntry:
    known = {name: values[name] for name in TrainEntry.__dataclass_fields__ if name in values}
    lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    entry = TrainEntry(**{**known, **lists})
    inside = all(_is_inside(name) for name in (entry.latents, entry.conditions))
    numbers = (entry.frames, entry.repeat, *entry.windows, *entry.lyrics)
    whole = all(type(number) is int and number >= 0 for number in numbers) and entry.frames > 0
    if not (
        inside
        and whole
        and len(entry.sha256) == 2
        and len(entry.audio) == 4
        and 0 <= entry.genre_share <= 1
        and entry.windows
    ):
        raise ValueError
    return entry


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Writes a file of tensors, whole or not at all; `about` goes into its header as JSON. Returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, {"acestep_nodes": json.dumps(about, ensure_ascii=False)})
        return content_hash(temporary)


def window_frames(seconds: float) -> int:
    """Latent frames of a window: whole codes, and no shorter than the DiT is ever given."""
    return max(-(-MIN_FRAMES // FRAMES_PER_CODE), round(seconds * LATENT_RATE / FRAMES_PER_CODE)) * FRAMES_PER_CODE


def windows(frames: int, size: int) -> tuple[int, ...]:
    """First frames of as few windows as cover a song, evenly spread, on whole codes; the last one ends with the song.

    A set, and not a draw, so that an epoch can visit every part of a song equally often.
    """
    if frames <= size:
        return (0,)
    last, count = frames - size, -(-frames // size)
    step = FRAMES_PER_CODE * (count - 1)
    return (*(-(-last * n // step) * FRAMES_PER_CODE for n in range(count - 1)), last)


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the DiT is told, in parts.

    Attributes:
        captions: `[Lt, D]` by kind, see `KINDS`. A song has those for which it has a text.
        lyrics: `[Ll, D]`; `no_lyrics` those of an instrumental piece, None where there are none.
        timbre: `[1, D]` of silence; `own_timbre` of the recording itself, None where it was not asked for.
    """

    captions: Mapping[str, Tensor]
    lyrics: Tensor
    timbre: Tensor
    own_timbre: Tensor | None = None
    no_lyrics: Tensor | None = None

    def states(
        self, genre: bool = False, *, tagged: bool = True, own_timbre: bool = False, lyrics: bool = True
    ) -> Tensor:
        """`[1, S, D]`, as `render.conditioning.condition` gives it for the same texts.

        Args:
            genre: the genre in place of the caption, where there is one.
            tagged: with the activation tag.
            own_timbre: with the recording's own timbre as reference, where there is one.
            lyrics: False tells an instrumental piece instead, where that is known.
        """
        wanted = "genre" if genre else "caption"
        names = [f"{wanted}-untagged"] * (not tagged) + [wanted, *KINDS[:2]]
        caption = next(self.captions[name] for name in names if name in self.captions)
        timbre = self.own_timbre if own_timbre and self.own_timbre is not None else self.timbre
        words = self.no_lyrics if not lyrics and self.no_lyrics is not None else self.lyrics
        return joined(words, timbre, caption)[None]


@dataclass(frozen=True, eq=False)
class TrainSample:
    """One song, or one window of it, as a training step reads it.

    Attributes:
        latents: the VAE's posterior mean `[T, 64]` fp32, T at least 128: shorter songs are padded with silence.
        std: its standard deviation `[T, 64]` fp32, 0 in the padding, and throughout where the mean alone is wanted.
        frames: how many of the T are sound; the loss counts no others.
        context: `[T, 128]` fp32: silence and ones, as inference gives it.
        conditions: what the DiT is told.
    """

    entry: TrainEntry
    latents: Tensor
    std: Tensor
    frames: int
    context: Tensor
    conditions: Conditions


class Trainset:
    """An opened folder. Tensors are read when a song is asked for, and compared with the manifest once."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._verified: set[str] = set()
        self._noisy = float(manifest.settings.get("vae_mode") != "mean")

    @classmethod
    def open(cls, folder: Path | str) -> Trainset:
        """Raises DatasetError where the folder is no trainset, is empty or lacks a file."""
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise DatasetError(f"There is no trainset in {str(folder)!r}; make one with `acestep dataset preprocess`.")
        manifest = Manifest.from_json(read_text(folder / MANIFEST, DatasetError), folder.name)
        if not manifest.samples:
            raise DatasetError(f"The trainset {folder.name!r} holds no song; look at the problems in its manifest.")
        for entry in manifest.samples:
            for name in (entry.latents, entry.conditions):
                if not (folder / name).is_file():
                    raise DatasetError(
                        f"The trainset {folder.name!r} lacks {name}, of {entry.name!r}; preprocess the dataset again."
                    )
        return cls(folder, manifest)

    def __len__(self) -> int:
        return len(self.manifest.samples)

    def __repr__(self) -> str:
        return f"Trainset({str(self.folder)!r}, {counted(len(self), 'song')}, {self.manifest.seconds / 60:.1f} minutes)"

    def windows(self, index: int) -> int:
        """How many windows a song has."""
        return len(self.manifest.samples[index].windows)

    def frames(self, index: int, windowed: bool) -> int:
        """Latent frames of sound of a song, or of one of its windows."""
        entry = self.manifest.samples[index]
        return self.manifest.window_frames if windowed and len(entry.windows) > 1 else entry.frames

    def sample(self, index: int, window: int | None = None) -> TrainSample:
        """One song; with `window`, a number below `windows(index)`, only that part, as a song of its own.

        Raises:
            DatasetError: a file is gone or is not the one that was written, or the trainset was made for windows only.
        """
        entry = self.manifest.samples[index]
        place = window if window is not None and len(entry.windows) > 1 else None
        cut = place is not None
        if not cut and self.manifest.length == "window" and len(entry.windows) > 1:
            raise DatasetError(
                f"The trainset {self.folder.name!r} was made for windows; preprocess with length auto for whole songs."
            )
        sound, told = (
            self._read(name, digest, entry.name)
            for name, digest in zip((entry.latents, entry.conditions), entry.sha256, strict=True)
        )
        shared = self._read(str(Path(entry.conditions).with_name("shared.safetensors").as_posix()), "", entry.name)
        start = 0 if place is None else entry.windows[place]
        part = slice(start, start + self.manifest.window_frames if cut else entry.frames)
        mean, std = sound["mean"][part], sound["std"][part]
        if mean.shape != (part.stop - part.start, LATENT_CHANNELS) or std.shape != mean.shape:
            raise DatasetError(f"{entry.latents} holds other tensors than its manifest says; preprocess again.")
        frames, silence = len(mean), shared["silence"][None]
        total = max(MIN_FRAMES, frames)
        return TrainSample(
            replace(entry, windows=(0,), frames=frames, lyrics=()) if cut else entry,
            padded(mean[None], silence, total)[0],
            torch.nn.functional.pad(std * self._noisy, (0, 0, 0, total - frames)),
            frames,
            text_context(silence_frames(silence, total))[0],
            _conditions(told, shared, cut, entry.lyrics[place] if place is not None and entry.lyrics else None),
        )

    def _read(self, name: str, digest: str, of: str) -> dict[str, Tensor]:
        path = self.folder / name
        try:
            if digest and name not in self._verified:
                if content_hash(path) != digest:
                    raise DatasetError(
                        f"{name} is not the file that was written for {of!r}; preprocess the dataset again."
                    )
                self._verified.add(name)
            with open_tensors(path) as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DatasetError(f"{name}, of {of!r}, cannot be read; preprocess the dataset again.") from error


def _conditions(told: Mapping[str, Tensor], shared: Mapping[str, Tensor], cut: bool, lyrics: int | None) -> Conditions:
    end = ".window" if cut else ""
    captions = {kind: told[f"caption.{n}{end}"] for n, kind in enumerate(KINDS) if f"caption.{n}{end}" in told}
    return Conditions(
        captions,
        told["lyrics" if lyrics is None else f"lyrics.{lyrics}"],
        told["timbre.silence"],
        told.get("timbre.self"),
        shared.get("lyrics.none"),
    )
