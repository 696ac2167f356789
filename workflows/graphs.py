"""The workflows, in short: a node is `"Title": ("Class", {inputs})`, and `"Title.0"` as an input is its first output.

What is not given has the node's default. Nodes stand in an order in which everything is made before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Nodes = dict[str, tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Graph:
    """One workflow.

    Args:
        title: what it is called.
        note: what stands beside it on the canvas (Markdown).
        nodes: see above.
        form: `Title.input` of every field of its app, most important first.
        shows: titles of the nodes whose results the app shows.
    """

    title: str
    note: str
    nodes: Nodes
    form: tuple[str, ...]
    shows: tuple[str, ...] = ("Save",)


LOAD: Nodes = {"Load": ("ACEStepLoader", {})}
LYRICS = """[Verse]
City lights are fading slow
Footsteps where the rivers go

[Chorus]
Hold the night a little more
Leave the moon outside the door"""
SONG = {
    "caption": "dreamy synth pop, airy female vocals, warm analog pads, gentle drum machine, nostalgic",
    "lyrics": LYRICS,
    "language": "en",
    "duration": 60.0,
}
RECORDING: Nodes = {"Recording": ("LoadAudio", {"audio": "recording.flac"})}
SONG_FIELDS = ("Song.caption", "Song.lyrics", "Song.language", "Song.instrumental", "Song.duration")


def rendered(
    task: str = "Task.0", song: str = "Song.0", model: str = "Load.0", vae: str = "Load.1", **sampler: Any
) -> Nodes:
    """From a task to a saved file."""
    return {
        "Conditioning": ("ACEStepConditioning", {"model": model, "song": song, "task": task}),
        "Sampler": ("ACEStepSampler", {"model": model, "conditioning": "Conditioning.0", **sampler}),
        "Decode": ("ACEStepDecode", {"vae": vae, "latent": "Sampler.0"}),
        "Save": ("ACEStepSaveSong", {"audio": "Decode.0"}),
    }


def text2music(song: dict[str, Any] | None = None, **sampler: Any) -> Nodes:
    return {
        **LOAD,
        "Song": ("ACEStepSong", SONG | (song or {})),
        "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
        **rendered(**sampler),
    }


def edited(kind: str, given: dict[str, Any], caption: str, lyrics: str = "", base: bool = False) -> Nodes:
    """A task that starts from a recording."""
    load: Nodes = LOAD
    model, vae = "Load.0", "Load.1"
    if base:
        load = {"Model": ("ACEStepModelLoader", {"variant": "base"}), "VAE": ("ACEStepVAELoader", {})}
        model, vae = "Model.0", "VAE.0"
    song = {"caption": caption, "lyrics": lyrics, "instrumental": not lyrics, "duration": 0.0}
    return {
        **load,
        **RECORDING,
        "Song": ("ACEStepSong", song),
        "Task": (kind, {"vae": vae, "audio": "Recording.0", **given}),
        **rendered(model=model, vae=vae),
    }


GRAPHS: dict[str, Graph] = {
    "text2music": Graph(
        "Text to music",
        "Describe the song, write the lyrics, press Run. Without models in `models/acestep` a tiny test model makes "
        "noise, so that you can see how everything works.",
        text2music(),
        (*SONG_FIELDS, "Sampler.seed"),
    ),
    "batch_of_four": Graph(
        "Batch of four",
        "Four takes of one song. Take *i* is the song that seed + *i* makes alone.",
        text2music(batch_size=4),
        (*SONG_FIELDS, "Sampler.seed", "Sampler.batch_size"),
    ),
    "long_song": Graph(
        "Long song",
        "Up to ten minutes. The sound is decoded in tiles, so memory does not grow with the length.",
        text2music({"duration": 300.0}),
        (*SONG_FIELDS, "Sampler.seed"),
    ),
    "turbo": Graph(
        "Turbo, step by step",
        "Every stage by itself: eight steps, shift 3, no guidance. Set steps or shift to 0 for the model's own.",
        {
            "Model": ("ACEStepModelLoader", {"variant": "turbo"}),
            "VAE": ("ACEStepVAELoader", {}),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Schedule": ("ACEStepSchedule", {"model": "Model.0", "steps": 8, "shift": 3.0}),
            **rendered(model="Model.0", vae="VAE.0", sigmas="Schedule.0"),
        },
        (*SONG_FIELDS, "Schedule.steps", "Schedule.shift", "Sampler.seed"),
    ),
    "base_guidance": Graph(
        "Base model with guidance",
        "Fifty steps with adaptive projected guidance: slower than turbo, closer to the text.",
        {
            "Model": ("ACEStepModelLoader", {"variant": "base"}),
            "VAE": ("ACEStepVAELoader", {}),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Schedule": ("ACEStepSchedule", {"model": "Model.0", "steps": 50, "shift": 3.0}),
            "Guidance": ("ACEStepGuidance", {"mode": "apg", "scale": 7.0}),
            **rendered(model="Model.0", vae="VAE.0", sigmas="Schedule.0", guidance="Guidance.0"),
        },
        (*SONG_FIELDS, "Schedule.steps", "Guidance.scale", "Sampler.seed"),
    ),
    "round_trip": Graph(
        "Encode and decode",
        "What the VAE makes of a recording: load, encode, decode, listen.",
        {
            "VAE": ("ACEStepVAELoader", {}),
            **RECORDING,
            "Encode": ("ACEStepEncodeAudio", {"vae": "VAE.0", "audio": "Recording.0"}),
            "Decode": ("ACEStepDecode", {"vae": "VAE.0", "latent": "Encode.0", "normalize": False}),
            "Preview": ("ACEStepPreviewSong", {"audio": "Decode.0"}),
        },
        ("Recording.audio",),
        ("Preview",),
    ),
    "plan": Graph(
        "Plan first",
        "The language model thinks about the song and writes audio codes that the music follows. Each song of the "
        "batch gets its own codes.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "LM Sampling": ("ACEStepLMSampling", {}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "sampling": "LM Sampling.0"}),
            "Plan text": ("PreviewAny", {"source": "Plan.1"}),
            "Codes": (
                "ACEStepPlanCodes",
                {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1", "sampling": "LM Sampling.0"},
            ),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            **rendered(song="Plan.0"),
        },
        ("Song.caption", "Song.lyrics", "Song.language", "Song.instrumental", "Plan.seed", "Codes.batch_size"),
        ("Save", "Plan text"),
    ),
    "simple": Graph(
        "One sentence to a song",
        "Say what you want. The language model writes the caption and the lyrics and decides the rest.",
        {
            **LOAD,
            "Song": ("ACEStepCreateSong", {"lm": "Load.2"}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "caption": False}),
            "Codes": ("ACEStepPlanCodes", {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            **rendered(song="Plan.0"),
        },
        ("Song.query", "Song.instrumental", "Song.language", "Song.seed"),
    ),
    "format": Graph(
        "Notes to a song",
        "Rewrites a short caption and loose lyrics in more detail before the song is made.",
        {
            **LOAD,
            "Notes": ("ACEStepSong", SONG | {"caption": "synth pop, dreamy", "lyrics": "city lights\nhold the night"}),
            "Song": ("ACEStepFormatSong", {"lm": "Load.2", "song": "Notes.0"}),
            "Info": ("ACEStepSongInfo", {"song": "Song.0"}),
            "Lyrics": ("PreviewAny", {"source": "Info.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **rendered(),
        },
        ("Notes.caption", "Notes.lyrics", "Notes.language", "Notes.duration", "Song.seed"),
        ("Save", "Lyrics"),
    ),
    "cover": Graph(
        "Cover",
        "Another rendition of a recording in the style of the caption. Lower the strength to depart from it.",
        edited("ACEStepCover", {"strength": 0.8}, "bossa nova, nylon guitar, soft brushes, intimate"),
        ("Recording.audio", "Song.caption", "Song.lyrics", "Task.strength", "Sampler.seed"),
    ),
    "repaint": Graph(
        "Repaint a part",
        "Makes the part from start to end anew. Every sample outside stays.",
        edited("ACEStepRepaint", {"start": 2.0, "end": 5.0}, "bright piano solo, expressive"),
        ("Recording.audio", "Task.start", "Task.end", "Song.caption", "Song.lyrics", "Task.mode", "Sampler.seed"),
    ),
    "extend": Graph(
        "Extend",
        "Continues a recording, or leads into it. The recording itself stays.",
        edited("ACEStepExtend", {"after": 20.0}, "the band builds up to a wide final chorus"),
        ("Recording.audio", "Task.after", "Task.before", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "add_track": Graph(
        "Add a track",
        "A new track that plays along with the recording, alone and ready to be mixed with it. Needs a base model.",
        edited("ACEStepLego", {"track": "drums"}, "tight funk drums, crisp hi-hats", base=True),
        ("Recording.audio", "Task.track", "Song.caption", "Sampler.seed"),
    ),
    "extract_track": Graph(
        "Extract a track",
        "Takes one track out of a mix. Needs a base model.",
        edited("ACEStepExtract", {"track": "vocals"}, "", base=True),
        ("Recording.audio", "Task.track", "Sampler.seed"),
    ),
    "complete": Graph(
        "Complete an arrangement",
        "Builds a full song around a recording, such as a lone voice. Needs a base model.",
        edited("ACEStepComplete", {}, "indie rock band, driving drums, round bass", LYRICS, base=True),
        ("Recording.audio", "Task.tracks", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "reference_audio": Graph(
        "Sound like a recording",
        "A new song with the timbre of a recording. Melody and words are not taken over.",
        {
            **LOAD,
            **RECORDING,
            "Song": ("ACEStepSong", SONG),
            "Plain task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Task": ("ACEStepReferenceAudio", {"vae": "Load.1", "task": "Plain task.0", "audio": "Recording.0"}),
            **rendered(),
        },
        ("Recording.audio", *SONG_FIELDS, "Sampler.seed"),
    ),
    "understand": Graph(
        "Describe a recording",
        "The language model listens to a recording and writes down style, lyrics, tempo and key.",
        {
            **LOAD,
            **RECORDING,
            "To codes": ("ACEStepAudioToCodes", {"model": "Load.0", "vae": "Load.1", "audio": "Recording.0"}),
            "Song": ("ACEStepUnderstand", {"lm": "Load.2", "codes": "To codes.0"}),
            "Info": ("ACEStepSongInfo", {"song": "Song.0"}),
            "Caption": ("PreviewAny", {"source": "Info.0"}),
            "Lyrics": ("PreviewAny", {"source": "Info.1"}),
        },
        ("Recording.audio", "Song.seed"),
        ("Caption", "Lyrics"),
    ),
    "codes": Graph(
        "Codes by hand",
        "Writes the codes of a recording as text and renders them in another style. Disconnect and edit the text to "
        "compose with codes.",
        {
            **LOAD,
            **RECORDING,
            "To codes": ("ACEStepAudioToCodes", {"model": "Load.0", "vae": "Load.1", "audio": "Recording.0"}),
            "To text": ("ACEStepCodesToText", {"codes": "To codes.0"}),
            "Codes": ("ACEStepTextToCodes", {"text": "To text.0"}),
            "Song": ("ACEStepSong", SONG | {"caption": "chamber orchestra, pizzicato strings", "duration": 0.0}),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0", "codes": "Codes.0"}),
            **rendered(),
        },
        ("Recording.audio", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "timed_lyrics": Graph(
        "Timed lyrics",
        "Finds out when every word is sung, scores the take, and saves an .lrc file beside the song.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **{name: node for name, node in rendered().items() if name != "Save"},
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Sampler.0"},
            ),
            "Lyrics": ("ACEStepTimedLyrics", {"timing": "Alignment.0"}),
            "Text": ("PreviewAny", {"source": "Lyrics.0"}),
            "Report": ("PreviewAny", {"source": "Alignment.1"}),
            "Save": ("ACEStepSaveSong", {"audio": "Decode.0", "timing": "Alignment.0"}),
        },
        (*SONG_FIELDS, "Lyrics.format", "Sampler.seed"),
        ("Save", "Text", "Report"),
    ),
    "best_of": Graph(
        "Best of four",
        "Plans codes for four takes, scores how well the codes fit the song and how well the lyrics are sung, and "
        "keeps the best take.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0"}),
            "Codes": ("ACEStepPlanCodes", {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1", "batch_size": 4}),
            "Score": ("ACEStepLMScore", {"lm": "Load.2", "song": "Song.0", "codes": "Codes.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            "Conditioning": ("ACEStepConditioning", {"model": "Load.0", "song": "Plan.0", "task": "Task.0"}),
            "Sampler": ("ACEStepSampler", {"model": "Load.0", "conditioning": "Conditioning.0"}),
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Sampler.0"},
            ),
            "Best": (
                "ACEStepBestOf",
                {"latent": "Sampler.0", "timing": "Alignment.0", "lm_scores": "Score.0"},
            ),
            "Ranking": ("PreviewAny", {"source": "Best.2"}),
            "Decode": ("ACEStepDecode", {"vae": "Load.1", "latent": "Best.0"}),
            "Save": ("ACEStepSaveSong", {"audio": "Decode.0", "timing": "Best.1"}),
        },
        (*SONG_FIELDS, "Codes.batch_size", "Best.keep", "Codes.seed"),
        ("Save", "Ranking"),
    ),
    "lora": Graph(
        "With a LoRA",
        "Adds a trained style or voice to the model. Put LoRA files into `models/loras`.",
        {
            **LOAD,
            "LM": ("ACEStepLMLoader", {}),
            "LoRA": ("ACEStepLoRALoader", {"model": "Load.0"}),
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "Plan": ("ACEStepPlan", {"lm": "LM.0", "song": "Song.0"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0"}),
            **rendered(song="Plan.0", model="LoRA.0"),
        },
        ("LoRA.lora", "LoRA.strength", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
}
