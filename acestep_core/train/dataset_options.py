"""The options of scanning, labelling and preprocessing, free of torch; see `acestep_core.options`."""

from __future__ import annotations

from dataclasses import dataclass

from acestep_core.declared import Options, option

TAG_POSITIONS = ("prepend", "append", "replace")
LABEL_MODES = ("fill", "overwrite", "upstream")
LENGTHS = ("auto", "full", "window")
VAE_MODES = ("sample", "mean")
LOUDNESS = ("none", "peak")
GENRE_CHOICES = ("drawn", "fixed")
REFERENCES = ("silence", "self")


# fmt: off
@dataclass(frozen=True)
class Scanning(Options):
    """How a folder becomes a dataset, see `scan`."""

    name: str = option("my_dataset", "What the dataset is called.")
    all_instrumental: bool = option(True,
        "Recordings without lyrics of their own are instrumental. Off, all have vocals.",
        field={"label_on": "instrumental", "label_off": "vocals"})
    custom_tag: str = option("", "The activation tag: a word that will call the style, such as my_style.", flat="tag")
    tag_position: str = option(TAG_POSITIONS[0],
        "Where the tag stands: before the caption, behind it, or in its place.", choices=TAG_POSITIONS)
    genre_ratio: int = option(0, "How many percent of the steps read the genre instead of the caption.",
        low=0, high=100)
    encoding: str = option("", "Of texts that are neither UTF-8 nor UTF-16, such as cp949.", advanced=True)
    max_files: int = option(10_000, "More recordings than that are refused.", low=1, high=1_000_000, advanced=True)


@dataclass(frozen=True)
class Labelling(Options):
    """What the language model may write, see `label`."""

    mode: str = option(LABEL_MODES[0],
        "fill writes only what is empty; overwrite writes everything; upstream does as upstream's program.",
        choices=LABEL_MODES)
    skip_metas: bool = option(False, "Leave tempo, key and time signature alone.")
    only_unlabeled: bool = option(True, "Pass over samples that have a caption.")
    format_lyrics: bool = option(False, "Also rewrite the lyrics that vocal samples have; yours are kept beside them.")
    transcribe: bool = option(False, "With overwrite, take the lyrics that the model hears. They are often invented.",
        counts={"mode": ("overwrite",)})
    max_seconds: float = option(240.0, "How much of each recording is listened to.",
        flat="listen_seconds", widget="listen_seconds", low=10.0, high=600.0, step=1.0, unit="seconds", advanced=True)


@dataclass(frozen=True)
class Preprocessing(Options):
    """How a dataset becomes tensors, see `preprocess`."""

    max_seconds: float = option(240.0, "How much of each recording is used.",
        low=5.0, high=600.0, step=1.0, unit="seconds")
    length: str = option(LENGTHS[0],
        "What a training step sees: full songs, windows of them, or auto for whichever fits the memory.",
        choices=LENGTHS)
    window_seconds: float = option(60.0, "Length of a window.", low=5.0, high=600.0, step=1.0, unit="seconds",
        counts={"length": ("auto", "window")})
    vae_mode: str = option(VAE_MODES[0],
        "sample draws the latents anew at every step, as the VAE means it; mean takes the likeliest.",
        choices=VAE_MODES, advanced=True)
    loudness: str = option(LOUDNESS[0], "none leaves it; peak turns every recording to a peak of -1 dB.",
        choices=LOUDNESS, advanced=True)
    reference: str = option(REFERENCES[0], "self also keeps the timbre of each recording, as a reference.",
        choices=REFERENCES, advanced=True)
    genre_choice: str = option(GENRE_CHOICES[0],
        "drawn lets every step draw caption or genre; fixed settles it once for each song, as upstream's trainer does.",
        choices=GENRE_CHOICES, advanced=True)
    keep_going: bool = option(False, "Go on even if more than half of the recordings cannot be used.", advanced=True)
# fmt: on
