"""How a workflow is offered: in which group, in one line, with which picture of its result, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = (
    "Make a song",
    "Change a song",
    "Add and separate",
    "Listen and understand",
    "Many songs",
    "Train",
)
"""In the order in which they are shown."""

NEEDS = {
    "lm": "language model",
    "base": "base model",
    "recording": "a recording",
    "recordings": "a folder of recordings",
    "trainset": "a trainset",
    "lora": "a LoRA",
}


@dataclass(frozen=True)
class Card:
    """One card of the gallery.

    Args:
        group: one of `GROUPS`.
        about: what comes out, in one line of at most 70 signs.
        picture: which drawing of `pictures.py` shows it.
        needs: some of `NEEDS`.
    """

    group: str
    about: str
    picture: str
    needs: tuple[str, ...] = ()


MAKE, CHANGE, ADD, LISTEN, MANY, TRAIN = GROUPS
CARDS: dict[str, Card] = {
    "make_a_song": Card(MAKE, "Words in, songs out: plan, sound, timed lyrics, stars.", "song", ("lm",)),
    "text2music": Card(MAKE, "Style and lyrics become a song, in the fewest nodes.", "song"),
    "simple": Card(MAKE, "Say what you want; lyrics and everything else are written.", "sentence", ("lm",)),
    "think_text2music": Card(MAKE, "A plan and audio codes first, then the sound follows them.", "codes", ("lm",)),
    "edit_plan": Card(MAKE, "Change tempo, key, length or caption of the plan, then play it.", "plan", ("lm",)),
    "format": Card(MAKE, "Loose notes become a full caption and clean lyrics.", "sentence", ("lm",)),
    "reference_audio": Card(MAKE, "A new song with the timbre of a recording.", "reference", ("recording",)),
    "long_song": Card(MAKE, "Up to ten minutes, with memory that does not grow.", "long"),
    "karaoke": Card(MAKE, "Every word with its time, as LRC, WebVTT, SRT and JSON.", "lyrics"),
    "lora": Card(MAKE, "Adds a trained style or voice to the model.", "lora", ("lora", "lm")),
    "two_loras": Card(MAKE, "Two trained styles at once, each with its own strength.", "lora", ("lora",)),
    "turbo": Card(MAKE, "Every stage by itself: eight steps, no guidance.", "steps"),
    "base_guidance": Card(MAKE, "Fifty guided steps: slower, closer to the text.", "steps", ("base",)),
    "regenerate": Card(MAKE, "The very same song again from its record, or a variation.", "again"),
    "cover": Card(CHANGE, "Another rendition of a recording, in another style.", "cover", ("recording",)),
    "cover_sweep": Card(CHANGE, "The same cover close to the recording, half way, and far.", "covers", ("recording",)),
    "repaint": Card(CHANGE, "Redo some bars. The rest stays.", "repaint", ("recording",)),
    "extend": Card(CHANGE, "Leads into a recording and continues it.", "extend", ("recording",)),
    "morph": Card(CHANGE, "From what a recording is to what it should be.", "morph", ("recording", "base")),
    "codes": Card(CHANGE, "The codes of a recording as text, played in another style.", "codes", ("recording",)),
    "add_track": Card(ADD, "A new track that plays along with the recording.", "layer", ("recording", "base")),
    "complete": Card(ADD, "A full arrangement around a lone voice.", "layers", ("recording", "base")),
    "extract_track": Card(ADD, "Takes one track out of a mix.", "extract", ("recording", "base")),
    "extract_stems": Card(ADD, "All twelve tracks of a mix, each in a file.", "stems", ("recording", "base")),
    "understand": Card(LISTEN, "Style, lyrics, tempo and key of a recording, in words.", "text", ("recording", "lm")),
    "score_recording": Card(LISTEN, "How well it fits its words, and how it sings them.", "stars", ("recording", "lm")),
    "round_trip": Card(LISTEN, "What the VAE makes of a recording.", "again", ("recording",)),
    "batch_of_four": Card(MANY, "Four takes of one song at once.", "four"),
    "best_of": Card(MANY, "Eight takes are scored, and the best is kept.", "best", ("lm",)),
    "retakes": Card(MANY, "A song, a close relative and a distant one.", "covers"),
    "compare": Card(MANY, "The same song from two models, to hear which is better.", "two", ("base",)),
    "dataset": Card(TRAIN, "A folder of recordings becomes what training reads.", "table", ("recordings",)),
    "label": Card(TRAIN, "The model writes down what it hears; you correct it.", "table", ("recordings", "lm")),
    "open_dataset": Card(TRAIN, "Goes on with a dataset file from here or elsewhere.", "table", ("recordings",)),
    "train_lora": Card(TRAIN, "Learns a style; stop at any time and go on later.", "loss", ("trainset",)),
    "train_and_hear": Card(TRAIN, "Learns a style and sings a song with it.", "loss", ("trainset",)),
}
