"""The options of a training run, declared like all others: from a field come check, widget, flag and help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from acestep_core.declared import Groups, Options, option
from acestep_core.errors import InvalidInput
from acestep_core.train.dataset_options import LENGTHS

KINDS: Final = ("lora", "rslora", "dora", "lokr")
OPTIMIZERS: Final = ("adamw", "adamw8bit", "prodigy")
LR_SCHEDULES: Final = ("cosine", "linear", "constant")
QUANTIZED: Final = ("none", "int8", "nf4")
TIMESTEPS: Final = ("auto", "model", "schedule", "mixed")
EXPORT_FORMATS: Final = ("single", "peft", "kohya", "merged")
EXPORT_DTYPES: Final = ("fp32", "bf16")
ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD: Final = ("gate_proj", "up_proj", "down_proj")
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "attention": ATTENTION,
    "self": tuple(f"self_attn.{name}" for name in ATTENTION),
    "cross": tuple(f"cross_attn.{name}" for name in ATTENTION),
    "attention+mlp": (*ATTENTION, *FEED_FORWARD),
}
"""Sets of layers by the ends of their names, as upstream's checkpoints call them."""
LEARNING_RATES: Final[Mapping[str, float]] = {"lokr": 1e-3}
USUAL_RATE: Final = 1e-4
_LOKR: Final = {"kind": ("lokr",)}
MAX_SEED: Final = 2**53 - 1


# fmt: off
@dataclass(frozen=True)
class AdapterOptions(Options):
    """What is trained."""

    kind: str = option("lora",
        "lora is the usual one; rslora scales by the root of the rank; dora also trains lengths; lokr is smallest.",
        choices=KINDS)
    rank: int = option(64, "Higher learns more and needs more memory.", low=1, high=1024, step=4,
        field={"min": 4})
    alpha: float = option(128.0, "Strength of what is learned, relative to the rank; twice the rank is usual.",
        low=1.0, high=2048.0, step=1.0)
    dropout: float = option(0.1, "Share of the adapter's input that is left out at random; not used by lokr.",
        low=0.0, high=0.5, step=0.05, counts={"kind": tuple(kind for kind in KINDS if kind != "lokr")})
    targets: str = option("attention",
        "Which layers learn: attention, self, cross, attention+mlp; in commands also ends of names, with commas.",
        choices=tuple(TARGETS), free=True)
    factor: int = option(-1, "lokr: the size of the smaller factor; -1 picks it.", low=-1, high=1024, advanced=True,
        counts=_LOKR)
    decompose_both: bool = option(False, "lokr: also make the smaller factor of two.", advanced=True, counts=_LOKR)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of the names of the layers that learn.

        Raises:
            InvalidInput: an end names no layer that can be adapted.
        """
        if self.targets in TARGETS:
            return TARGETS[self.targets]
        names = tuple(part.strip() for part in self.targets.split(",") if part.strip())
        wrong = [name for name in names if name.rpartition(".")[2] not in (*ATTENTION, *FEED_FORWARD)]
        if wrong or not names:
            raise InvalidInput(
                f"No layer that can learn is called {(wrong or [self.targets])[0]!r}; choose {', '.join(TARGETS)}, or "
                f"ends of names such as {', '.join((*ATTENTION, *FEED_FORWARD))}."
            )
        return names


@dataclass(frozen=True)
class Training(Options):
    """How long, and how fast."""

    epochs: int = option(500, "How often every song is seen.", low=1, high=10_000)
    learning_rate: float = option(None,
        "How far a step goes. 0 takes what is usual: 0.0001, for lokr 0.001, for prodigy 1.",
        low=0.0, high=1.0, step=1e-5, empty=0.0, example=USUAL_RATE, field={"round": 1e-6})
    batch: int = option(1, "Songs at a time; more need more memory.", low=1, high=8)
    accumulation: int = option(1, "Batches that make one step together.", low=1, high=64)
    save_every: int = option(200, "Epochs between checkpoints that are kept.", low=1, high=10_000)


@dataclass(frozen=True)
class Fine(Options):
    """The rarer settings."""

    optimizer: str = option("adamw", "adamw8bit (bitsandbytes) needs less memory; prodigy finds its own rate.",
        choices=OPTIMIZERS)
    schedule: str = option("cosine", "How the learning rate goes after the warm-up.",
        flat="lr_schedule", choices=LR_SCHEDULES)
    warmup: int = option(100, "Steps in which the rate rises; at most a tenth of the run.", low=0, high=100_000)
    weight_decay: float = option(0.01, "Pulls the adapter towards nothing.", low=0.0, high=1.0, step=0.01)
    clip: float = option(1.0, "Longest gradient that is used in full.", low=1e-3, high=1000.0, step=0.1)
    timesteps: str = option("auto",
        "Which noise levels are trained: as base models learn (model), as turbo samples (schedule), or both (mixed).",
        choices=TIMESTEPS)
    drop: float = option(None, "Share of the steps without any text, for guidance. -1 takes 0.15, for turbo 0.",
        low=0.0, high=1.0, step=0.05, empty=-1.0)
    ema: float = option(0.0, "Keeps an average of the adapter with this decay, such as 0.999; 0 is off.",
        low=0.0, high=0.9999, step=0.001)
    seed: int = option(42, "Decides every draw of the run.", widget="train_seed", low=0, high=MAX_SEED)
    max_steps: int = option(0, "Ends after so many steps, whatever the epochs say; 0 is off.", low=0, high=10_000_000)
    memory: str = option("auto", "checkpoint saves memory and costs a third more time; auto picks what fits.",
        choices=("auto", "checkpoint", "none"))
    checkpoint_every: int = option(1, "With checkpoint: how many layers are made again at once.", low=1, high=64,
        advanced=True, counts={"memory": ("checkpoint",)})
    length: str = option("auto", "Whole songs (full) or parts of them (window), if the trainset was made for both.",
        choices=LENGTHS)
    validation: float = option(0.0, "Share of the songs that is only listened to, to see what was learned.",
        low=0.0, high=0.5, step=0.05)
    validate_every: int = option(10, "Epochs between looks at them.", low=1, high=10_000, advanced=True)
    keep: int = option(2, "How many of the latest checkpoints are kept.", low=1, high=100, advanced=True)
    save_minutes: float = option(10.0, "Minutes between checkpoints to go on from.",
        low=0.0, high=1440.0, step=1.0, unit="minutes", advanced=True)
    log_every: int = option(10, "Steps between reports.", low=1, high=10_000, advanced=True)
    lyric_drop: float = option(0.0, "Share of the steps that hide the lyrics.", low=0.0, high=1.0, step=0.05,
        advanced=True)
    tag_drop: float = option(0.0, "Share of the steps without the activation tag, where that was preprocessed.",
        low=0.0, high=1.0, step=0.05, advanced=True)
    own_timbre: float = option(0.0, "Share of the steps with the song's own timbre as reference, if preprocessed.",
        low=0.0, high=1.0, step=0.05, advanced=True)
    deterministic: bool = option(False, "The same bits on every run, also on a graphics card; slower.", advanced=True)
    quantize: str = option("none",
        "Keeps the model that learns nothing in fewer bits, for XL on small cards: int8, or nf4 (bitsandbytes).",
        choices=QUANTIZED, advanced=True)
    held_out: str = option("",
        "Songs that are only listened to, by id or file name, with commas; in place of a share of them.", advanced=True)


@dataclass(frozen=True)
class TestSongs(Options):
    """Songs made on the way, to hear what was learned."""

    PREFIX = "test_"

    every: int = option(0, "Epochs between test songs; 0 makes one at the end.",
        widget="test_every", low=0, high=10_000)
    seed: int = option(0, "Seed of the test songs.", widget="test_seed", low=0, high=MAX_SEED)
# fmt: on


FREE_TO_CHANGE: Final = (
    "epochs", "max_steps", "save_every", "save_minutes", "keep", "log_every", "test_every", "test_seed",
    "validate_every", "memory", "checkpoint_every",
)  # fmt: skip
"""What may differ when a run goes on, and the result up to the old end is the same."""
FIXED: Final = ("kind", "rank", "alpha", "targets", "factor", "decompose_both", "seed", "validation", "held_out")
"""What must not differ when a run goes on."""


@dataclass(frozen=True)
class TrainSettings(Groups):
    """Everything a run is told besides what it trains on."""

    UNKNOWN = "There is no training setting {!r}; see `acestep train --help`."

    adapter: AdapterOptions = AdapterOptions()
    training: Training = Training()
    fine: Fine = Fine()
    test_songs: TestSongs = TestSongs()

    def resolved(self, turbo: bool) -> TrainSettings:
        """The same with nothing left to the checkpoint's kind."""
        fine, training, kind = self.fine, self.training, self.adapter.kind
        if fine.timesteps == "auto":
            fine = replace(fine, timesteps="mixed" if turbo else "model")
        if fine.drop is None:
            fine = replace(fine, drop=0.0 if turbo else 0.15)
        if not training.learning_rate:
            usual = 1.0 if fine.optimizer == "prodigy" else LEARNING_RATES.get(kind, USUAL_RATE)
            training = replace(training, learning_rate=usual)
        if fine.optimizer == "prodigy":
            fine = replace(fine, schedule="constant")
        self.adapter.suffixes  # noqa: B018 - raises here, not after the weights were loaded
        return replace(self, fine=fine, training=training)


GROUPS: Final = TrainSettings.groups()


def remarks(settings: TrainSettings, kind: str) -> list[str]:
    """What a user should know about resolved settings on a checkpoint of `kind` (turbo, base or sft)."""
    found = []
    if kind == "turbo":
        found.append(
            "Turbo has few steps by distillation, which plain training weakens; an adapter of base works on turbo, too."
        )
    usual = settings.adapter.kind == "lokr" or settings.fine.optimizer == "prodigy"
    if settings.training.learning_rate > 1e-3 and not usual:
        found.append("A learning rate above 0.001 often spoils a LoRA; 0.0001 is usual.")
    return found
