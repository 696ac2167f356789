"""The table of options: every setting a user can make, declared once, free of torch.

A setting is a field of one of the dataclasses below, see `declared`. From it come its check, the node's widget, the
command's flag, the field of the record, the row of the help page and its English text. A new option is one field here
and one use where it takes effect.

A group is frozen and checked when it is made. Its names are local (`Guidance.scale`); in records, on the command line
and as keyword arguments of the front door they stand in one flat list (`guidance`, `guidance_mode`, ...), which
`TABLE` holds. None means that the checkpoint's preset decides, or that the setting is left open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from acestep_core.bars import Meter, check_length, check_region, length_in_bars, region_in_bars
from acestep_core.declared import Groups, Option, Options, option, options_of
from acestep_core.errors import InvalidInput
from acestep_core.vocabulary import DURATION_MAX, DURATION_MIN, INSTRUMENTS, NO_USER_INPUT, TRACKS

MAX_SEED = 2**64 - 1
GUIDANCE_MODES = ("apg", "adg", "adg_w_norm", "adg_wo_clip", "cfg", "none")
METHODS = ("euler", "heun", "sde")
WAVELETS = ("off", "double", "low", "high", "pix")
REPAINT_MODES = ("balanced", "conservative", "aggressive")
CHUNK_MASKS = ("ones", "window", "twos")
PROMPT_FORMS = ("corrected", "legacy")
NUMBER_FORMATS = ("auto", "bf16", "fp32")
"""Of what is computed. `auto` takes bf16 where the device is fast at it."""
INT8 = "int8"
"""Weights of eight bits, computed with in the format that `auto` takes: half of the memory, a little less exact."""
WEIGHT_FORMATS = (*NUMBER_FORMATS, INT8)
"""Of models with linear layers, which a VAE has not."""
_GUIDED = {"mode": tuple(mode for mode in GUIDANCE_MODES if mode != "none")}
_APG = {"mode": ("apg",)}
_BALANCED = {"mode": ("balanced",)}


# fmt: off
# --- how the music is rendered --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule(Options):
    """When the sampler looks, see `render.schedule`."""

    steps: int = option(None,
        "Sampling steps. 0 takes the model's own: 8 for turbo (at most 20), 50 for base and SFT.",
        low=1, high=200, empty=0)
    shift: float = option(None, "Above 1 spends more steps near the noise. 0 takes the model's own, usually 3.",
        low=0.01, high=10.0, step=0.1, empty=0.0)
    timesteps: tuple[float, ...] = option(None,
        "Own times instead, falling from 1, separated by commas: 1, 0.75, 0.5, 0.25.",
        empty="", advanced=True, field={"placeholder": "1, 0.75, 0.5, 0.25"})


@dataclass(frozen=True)
class Guidance(Options):
    """How strongly, and when, a base or SFT model is guided, see `render.guidance`. Turbo models take none."""

    PREFIX = "guidance_"

    mode: str = option("apg",
        "apg is the usual one; adg turns instead of stretching; cfg is plain; none switches it off.",
        choices=GUIDANCE_MODES)
    scale: float = option(None,
        "Higher is closer to the text; 1 is off. 0 takes the model's own: 7, or off for turbo.",
        flat="guidance", low=0.0, high=100.0, step=0.1, empty=0.0, counts=_GUIDED)
    start: float = option(None, "Guide only while the flow time is at least this; 0 guides to the end.",
        low=0.0, high=1.0, step=0.01, example=0.0, counts=_GUIDED)
    end: float = option(None, "Guide only while the flow time is at most this; 1 guides from the beginning.",
        low=0.0, high=1.0, step=0.01, example=1.0, counts=_GUIDED)
    momentum: float = option(-0.75, "apg: how much of the steps before counts; negative damps.",
        low=-1.0, high=1.0, step=0.05, advanced=True, counts=_APG)
    eta: float = option(0.0, "apg: how much of the part along the prediction stays.",
        low=0.0, high=1.0, step=0.05, advanced=True, counts=_APG)
    norm_threshold: float = option(2.5, "apg: longest difference that is used in full; 0 for no limit.",
        low=0.0, high=100.0, step=0.1, advanced=True, counts=_APG)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None and self.end is not None and self.start > self.end:
            raise InvalidInput(
                f"The guidance interval must rise within 0 to 1, not go from {self.start} to {self.end}."
            )

    @property
    def enabled(self) -> bool:
        """Whether the run needs null predictions at all. The scale must be decided."""
        return self.mode != "none" and self.scale > 1

    def active(self, t: float) -> bool:
        """Whether the step at flow time `t` (1 is noise) is guided. The scale must be decided."""
        start, end = 0.0 if self.start is None else self.start, 1.0 if self.end is None else self.end
        return self.enabled and start <= t <= end


@dataclass(frozen=True)
class Sampling(Options):
    """How the flow is integrated, see `render.sampler`, and from which noise."""

    method: str = option("euler", "euler is the usual one; heun looks twice at each step; sde draws new noise.",
        widget="sampler", choices=METHODS)
    velocity_clamp: float = option(0.0, "Limits how fast a step may move, relative to the state; 0 is off.",
        low=0.0, high=10.0, step=0.1, advanced=True)
    velocity_ema: float = option(0.0, "Share of the step before that is mixed in; 0 is off.",
        low=0.0, high=0.95, step=0.05, advanced=True)
    retake_variance: float = option(0.0,
        "Turns the noise towards that of the variation seed: 0 is the same song, 1 another one.",
        widget="variation", low=0.0, high=1.0, step=0.01, advanced=True)
    retake_seed: int = option(None, "Seed of the noise that variation turns to.",
        widget="variation_seed", low=0, high=MAX_SEED, example=0, advanced=True)
    wavelet: str = option("off",
        "Correction after each step that newer releases use with turbo: of slow, fast or both changes.",
        choices=WAVELETS, advanced=True)
    wavelet_low: float = option(0.05, "Strength of the slow part; 0.02 with a planned song.",
        low=-1.0, high=1.0, step=0.01, advanced=True, counts={"wavelet": ("double", "low", "pix")})
    wavelet_high: float = option(0.02, "Strength of the fast part; 0.06 with a planned song.",
        low=-1.0, high=1.0, step=0.01, advanced=True, counts={"wavelet": ("double", "high")})


@dataclass(frozen=True)
class Start(Options):
    """Where on the way from noise a run begins and ends, see `render.start`. What begins later needs a latent."""

    denoise: float = option(1.0,
        "With a latent: share of the schedule that is run from there; 1 makes everything anew.",
        low=0.01, high=1.0, step=0.01)
    start_step: int = option(0, "With a latent: steps of the schedule to leave out at its beginning.",
        low=0, high=200, advanced=True)
    end_step: int = option(None, "Stop after this step of the schedule; 0 runs all.",
        low=1, high=200, empty=0, advanced=True)
    add_noise: bool = option(True, "Off goes on from a latent in which an earlier run left its noise.", advanced=True)
    leave_noise: bool = option(False,
        "Leave the noise of the steps after the last one, for another sampler to go on from.", advanced=True)


@dataclass(frozen=True)
class Decode(Options):
    """How latents become audio, see `render.vae`."""

    latent_shift: float = option(0.0, "Added to the latents before decoding; 0 leaves them.",
        low=-1.0, high=1.0, step=0.01, advanced=True)
    latent_rescale: float = option(1.0, "Multiplies the latents before decoding; 1 leaves them.",
        low=0.1, high=2.0, step=0.01, advanced=True)
    tile: int = option(None, "Latent frames decoded at once; smaller needs less memory and sounds the same. 0 picks.",
        low=1, high=2048, step=32, empty=0, advanced=True)


@dataclass(frozen=True)
class Finish(Options):
    """How a song is finished, see `render.post`."""

    peak_db: float | None = option(-1.0, "Peak level in dBFS after normalising.",
        nullable=True, low=-60.0, high=0.0, step=0.1, counts={"normalize": (True,)})
    fade_in: float = option(0.0, "Seconds of fade-in at the start.", low=0.0, high=600.0, step=0.1, unit="seconds")
    fade_out: float = option(0.0, "Seconds of fade-out at the end.", low=0.0, high=600.0, step=0.1, unit="seconds")


# --- what the language model does -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LMSampling(Options):
    """The rare knobs of the language model, see `planner.sampling`."""

    PREFIX = "lm_"

    temperature: float = option(0.85, "Higher surprises more; 0 takes the likeliest.", low=0.0, high=10.0, step=0.05)
    top_p: float = option(0.9, "Keeps the likeliest choices up to this share; 1 is off.", low=0.0, high=1.0, step=0.01)
    top_k: int = option(0, "Keeps so many of the likeliest choices; 0 is off.", low=0, high=1_000_000)
    cfg_scale: float = option(2.0, "How strongly audio codes follow the plan; 1 is off and twice as fast.",
        low=1.0, high=100.0, step=0.1)
    repetition_penalty: float = option(1.0, "Above 1 repeats codes less often.",
        low=0.1, high=10.0, step=0.01, advanced=True)
    negative_prompt: str = option(NO_USER_INPUT, "What audio codes are guided away from; empty for anything.",
        empty="", example="", advanced=True, field={"multiline": True})
    prompt_form: str = option("corrected", "legacy repeats what older seeds made.", choices=PROMPT_FORMS, advanced=True)


@dataclass(frozen=True)
class PlanSettings(Options):
    """What the language model may decide, see `planner.planning`."""

    PREFIX = "plan_"

    metas: bool = option(True, "Decide tempo, key, time signature and length where they are open.")
    caption: bool = option(True, "Write a more detailed caption.")
    language: bool = option(True, "Decide the language of the vocals where it is open.")
    max_duration: float = option(DURATION_MAX, "The longest song it may plan, in seconds.",
        low=DURATION_MIN, high=DURATION_MAX, step=1.0, unit="seconds", advanced=True)
    caption_tokens: int = option(512, "About where a caption ends at the latest.",
        low=8, high=4096, unit="tokens", advanced=True)


# --- what is done with a recording ----------------------------------------------------------------------------------


_REGION_START = "Seconds where the region begins; below 0 adds a beginning."
_REGION_END = "Seconds where it ends; -1 is the end of the recording, beyond it adds an ending."
_MODE = "How closely the rest is held while sampling: conservative throughout, aggressive not at all."
_STRENGTH = "For balanced: 0 is like conservative, 1 like aggressive."
_CHUNK_MASK = "What the model is told about the region: nothing (ones), where it is (window), decide yourself (twos)."
_KEEP = "Put the recording's own samples back outside the region."
_BARS = "The region in bars instead, such as 'bars 9-12 at 92 bpm'; songs made here know their own tempo."


def track_names(tracks: Sequence[str]) -> tuple[str, ...]:
    """The models' names of tracks and instruments, in lower case with underscores.

    Raises:
        InvalidInput: for a name that is neither.
    """
    names = tuple(track.strip().lower().replace(" ", "_") for track in tracks)
    names = tuple(INSTRUMENTS.get(name, name) for name in names)
    for name in names:
        if name not in TRACKS:
            raise InvalidInput(f"Unknown track {name!r}; choose one of {', '.join(TRACKS)}.")
    return names


def track_in(description: str) -> str:
    """The first of the models' tracks, or of the instruments they know, that a text names, in singular or plural."""
    names = sorted((*TRACKS, *INSTRUMENTS), key=len, reverse=True)
    words = "|".join(re.escape(name).replace("_", "[ _-]") for name in names)
    found = re.search(rf"\b({words})(?:s|es)?\b", description, re.IGNORECASE) if isinstance(description, str) else None
    if found is None:
        raise InvalidInput(f"{description!r} names no track; say one of {', '.join(TRACKS)}, or an instrument.")
    return re.sub("[ -]", "_", found[1].lower())


class TaskOptions(Options):
    """What one call of the front door does with a recording.

    CALL: the function of the front door, as records name it. TASK: what the checkpoint must be able to do.
    NEEDS: options without which it makes no sense; bars stand for a start.
    """

    CALL: ClassVar[str]
    TASK: ClassVar[str]
    NEEDS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for declared in options_of(type(self)):
            if declared.choices == TRACKS:  # instruments are known, too
                given = getattr(self, declared.name)
                track_names([given] if isinstance(given, str) else given)

    @property
    def task(self) -> str:
        return self.TASK

    @classmethod
    def lacks(cls, given: Mapping[str, Any]) -> str:
        """The first of `NEEDS` that is not given; empty if all are there."""
        there = {*given, "start"} if given.get("bars") else {*given}
        return next((name for name in cls.NEEDS if name not in there), "")

    @property
    def in_bars(self) -> bool:
        """Whether times are given in bars, see `in_seconds`."""
        return bool(getattr(self, "bars", ""))

    def in_seconds(self, meter: Meter | None) -> Self:
        """The same with seconds in place of bars, for a recording of that meter. See `bars`."""
        return self


class RegionOptions(TaskOptions):
    """Of tasks that work on a part of the recording: `start` and `end`, or `bars`."""

    bars: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_region(self.bars)

    def in_seconds(self, meter: Meter | None) -> Self:
        if not self.bars:
            return self
        start, end = region_in_bars(self.bars, meter)
        return replace(self, start=start, end=end, bars="")  # type: ignore[type-var]


@dataclass(frozen=True)
class TextToMusic(TaskOptions):
    CALL, TASK = "generate", "text2music"

    codes_strength: float = option(1.0,
        "Share of the sampling steps that follow the codes; the rest follows the text alone.",
        low=0.0, high=1.0, step=0.05, advanced=True)
    seconds: float | None = option(None, "Length, where it is not the song's.",
        low=0.0, high=DURATION_MAX, unit="seconds")


@dataclass(frozen=True)
class Cover(TaskOptions):
    CALL, TASK = "cover", "cover"

    strength: float = option(1.0, "1 follows the recording's structure to the end; lower hands over to the text.",
        low=0.0, high=1.0, step=0.05)
    noise_strength: float = option(0.0, "0 starts from noise; towards 1 ever nearer to the recording's own sound.",
        low=0.0, high=1.0, step=0.05)
    fsq: bool = option(True, "Show the model what is played; off shows it the recording itself.",
        widget="semantic", advanced=True)

    @property
    def task(self) -> str:
        return "cover" if self.fsq else "cover_nofsq"


@dataclass(frozen=True)
class Repaint(RegionOptions):
    CALL, TASK, NEEDS = "repaint", "repaint", ("start",)

    start: float = option(0.0, _REGION_START, low=-600.0, high=600.0, step=0.1, unit="seconds")
    end: float = option(None, _REGION_END, low=-1.0, high=1200.0, step=0.1, unit="seconds", empty=-1.0)
    mode: str = option("balanced", _MODE, choices=REPAINT_MODES)
    strength: float = option(0.5, _STRENGTH, low=0.0, high=1.0, step=0.05, counts=_BALANCED)
    chunk_mask: str = option("ones", _CHUNK_MASK, choices=CHUNK_MASKS, advanced=True)
    keep_outside: bool = option(True, _KEEP, advanced=True)
    bars: str = option("", _BARS, advanced=True, field={"placeholder": "bars 9-12 at 92 bpm"})


@dataclass(frozen=True)
class Extend(TaskOptions):
    CALL, TASK = "extend", "extend"

    after: float = option(0.0, "Seconds to add after the recording.",
        low=0.0, high=600.0, step=1.0, unit="seconds", example=30.0)
    before: float = option(0.0, "Seconds to add before it.", low=0.0, high=600.0, step=1.0, unit="seconds")
    mode: str = option("conservative", _MODE, choices=REPAINT_MODES)
    strength: float = option(0.5, _STRENGTH, low=0.0, high=1.0, step=0.05, counts=_BALANCED)
    chunk_mask: str = option("ones", _CHUNK_MASK, choices=CHUNK_MASKS, advanced=True)
    bars: str = option("",
        "How many bars to add instead, such as '8 bars' or '4 before, 8 after at 92 bpm'.",
        advanced=True, field={"placeholder": "4 before, 8 after"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_length(self.bars)

    def in_seconds(self, meter: Meter | None) -> Self:
        if not self.bars:
            return self
        before, after = length_in_bars(self.bars, meter)
        return replace(self, after=after, before=before, bars="")


@dataclass(frozen=True)
class AddTrack(RegionOptions):
    CALL, TASK, NEEDS = "add_track", "lego", ("track",)

    track: str = option("drums", "The track to add.", choices=TRACKS, free=True)
    start: float = option(0.0, _REGION_START, low=-600.0, high=600.0, step=0.1, unit="seconds")
    end: float = option(None, _REGION_END, low=-1.0, high=1200.0, step=0.1, unit="seconds", empty=-1.0)
    mode: str = option("balanced", _MODE, choices=REPAINT_MODES)
    strength: float = option(0.5, _STRENGTH, low=0.0, high=1.0, step=0.05, counts=_BALANCED)
    chunk_mask: str = option("ones", _CHUNK_MASK, choices=CHUNK_MASKS, advanced=True)
    keep_outside: bool = option(True, _KEEP, advanced=True)
    bars: str = option("", _BARS, advanced=True, field={"placeholder": "bars 9-12 at 92 bpm"})


@dataclass(frozen=True)
class Extract(TaskOptions):
    CALL, TASK, NEEDS = "extract", "extract", ("track",)

    track: str = option("vocals", "The track to take out.", choices=TRACKS, free=True)


@dataclass(frozen=True)
class Complete(TaskOptions):
    CALL, TASK = "complete", "complete"

    tracks: tuple[str, ...] = option((),
        "Tracks to add, separated by commas; empty leaves it to the model. Known are: " + ", ".join(TRACKS),
        choices=TRACKS, free=True, example=("drums", "bass", "guitar"))


@dataclass(frozen=True)
class Morph(TaskOptions):
    """What the recording is, and how far to leave it, see `render.flow_edit`."""

    CALL, TASK, NEEDS = "morph", "text2music", ("source_caption",)

    source_caption: str = option("", "Describes the recording as it is. What it shares with the song's caption stays.",
        example="pop song, acoustic guitar, male vocals", field={"multiline": True})
    source_lyrics: str = option("", "Lyrics of the recording as it is.", field={"multiline": True})
    start: float = option(0.0, "Share of the steps to leave out at the beginning; more stays nearer to it.",
        low=0.0, high=1.0, step=0.05)
    end: float = option(1.0, "Share of the steps after which the song is followed freely; 1 never lets go.",
        low=0.0, high=1.0, step=0.05)
    average: int = option(1, "Draws of noise in each step; more is steadier and slower.", low=1, high=16, advanced=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start > self.end:
            raise InvalidInput(f"The editing window must rise within 0 to 1, not go from {self.start} to {self.end}.")


TASKS: Mapping[str, type[TaskOptions]] = {
    group.CALL: group for group in (TextToMusic, Cover, Repaint, Extend, AddTrack, Extract, Complete, Morph)
}
"""The functions of the front door, by name."""


# fmt: on
# --- all of them together -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RenderSettings(Groups):
    """How the DiT and the VAE are run: everything between conditions and audio, finishing aside."""

    UNKNOWN = "There is no setting {!r}; see `acestep song --help` for all there are."

    schedule: Schedule = Schedule()
    guidance: Guidance = Guidance()
    sampling: Sampling = Sampling()
    start: Start = Start()
    decode: Decode = Decode()

    @staticmethod
    def named(flat: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of `flat` that are settings."""
        return known(flat, *RENDER_GROUPS.values())


RENDER_GROUPS: Mapping[str, type[Options]] = RenderSettings.groups()
GROUPS: tuple[type[Options], ...] = (*RENDER_GROUPS.values(), Finish, PlanSettings, LMSampling)
"""All groups whose flat names are one list."""

TABLE: Mapping[str, tuple[type[Options], Option]] = {
    entry.flat: (group, entry) for group in GROUPS for entry in options_of(group)
}
"""Flat name -> the group and the option."""


def known(flat: Mapping[str, Any], *groups: type[Options]) -> dict[str, Any]:
    """The entries of `flat` that are options of these groups (all, if none is named)."""
    names = {o.flat for group in groups or GROUPS for o in options_of(group)}
    return {name: value for name, value in flat.items() if name in names}
