"""Listening to what was made: when each word is sung, how well, and which take is the best."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput

from . import inputs, wires
from .host import monitor
from .plan import needed
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.models.handles import LMHandle, ModelHandle
    from acestep_core.pipeline.steps import Conditioned
    from acestep_core.song.description import Song

    from .codes import Codes

Timing = tuple["SungLyrics", ...]
"""What travels on the wire: one entry per song of the batch."""

Scores = tuple[float, ...]
"""What travels on the wire: one number per song of the batch, 0 to 1."""

SUBTITLES = ["lrc", "vtt", "srt", "json"]


class ACEStepLyricAlignment:
    TITLE = "ACE-Step Lyric Alignment"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Finds out when each line and word is sung, and how well the song sings its lyrics."
    SEARCH_ALIASES: ClassVar = ["lyric timestamps", "lrc", "karaoke", "alignment score"]
    RETURN_TYPES = (wires.TIMING, "STRING")
    RETURN_NAMES = ("timing", "report")
    OUTPUT_TOOLTIPS = ("Times and scores of every song.", "One line per song: how well the lyrics are sung, 0 to 1.")
    FUNCTION = "listen"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model that made the songs."),
                "conditioning": inputs.wire(wires.CONDITIONING, "What they were made from."),
                "latent": inputs.wire("LATENT", "The latents that the sampler made from it."),
            },
            "optional": {
                "steps": inputs.integer(
                    8,
                    1,
                    100,
                    "The song is heard with as much noise as before the last of so many steps.",
                    advanced=True,
                ),
                "listen_seed": inputs.integer(42, 0, inputs.MAX_SEED, "Seed of that noise.", advanced=True),
            },
        }

    def listen(
        self,
        model: ModelHandle,
        conditioning: Conditioned,
        latent: dict[str, Any],
        steps: int = 8,
        listen_seed: int = 42,
    ) -> Told:
        from acestep_core.judge.lyric_timing import listen_to_batch

        songs = listen_to_batch(
            model,
            wires.from_latent(latent),
            conditioning.conditioning,
            steps=steps,
            seed=listen_seed,
            monitor=monitor(),
        )
        report = "\n".join(_report(index, song) for index, song in enumerate(songs))
        return told((tuple(songs), report), *dict.fromkeys(song.remark for song in songs))


class ACEStepTimedLyrics:
    TITLE = "ACE-Step Timed Lyrics"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Writes lyrics with their times as LRC, WebVTT, SRT or JSON text."
    SEARCH_ALIASES: ClassVar = ["lrc", "vtt", "srt", "subtitles", "karaoke"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The text of a subtitle file.",)
    FUNCTION = "write"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "timing": inputs.wire(wires.TIMING, "From ACE-Step Lyric Alignment."),
                "format": inputs.choice(SUBTITLES, "lrc", "lrc for players, vtt and srt for video, json for programs."),
                "words": inputs.switch(
                    True, "Also the time of each word, in lrc and vtt.", **inputs.counting(format=["lrc", "vtt"])
                ),
                "tags": inputs.switch(False, "Keep section tags such as [Chorus]."),
            },
            "optional": {
                "item": inputs.integer(0, 0, 63, "Which song of the batch; 0 is the first.", advanced=True),
            },
        }

    def write(self, timing: Timing, format: str, words: bool, tags: bool, item: int = 0) -> tuple[str]:
        from acestep_core.judge.subtitles import write_subtitles

        if not 0 <= item < len(timing):
            raise InvalidInput(f"There are {len(timing)} songs; set item to {len(timing) - 1} or less.")
        return (write_subtitles(timing[item].lyrics, format, words=words, tags=tags),)


class ACEStepLMScore:
    TITLE = "ACE-Step LM Score"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Asks the language model how well audio codes fit the song, 0 to 1."
    SEARCH_ALIASES: ClassVar = ["quality", "rate", "perplexity", "prompt adherence"]
    RETURN_TYPES = (wires.SCORES, "STRING")
    RETURN_NAMES = ("scores", "report")
    OUTPUT_TOOLTIPS = ("One score per song, for ACE-Step Best Of.", "One line per song with the parts of its score.")
    FUNCTION = "score"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, "The language model."),
                "song": inputs.wire(wires.SONG, "What the songs should be."),
                "codes": inputs.wire(wires.CODES, "Their codes: planned, or from ACE-Step Audio to Codes."),
            },
            "optional": {
                "plan": inputs.text("The plan, judged where it says more than the song.", forceInput=True),
                "scale": inputs.number(
                    0.5, 0.01, 10.0, 0.01, "Smaller is stricter: scores move towards 0 and 1.", advanced=True
                ),
            },
        }

    def score(
        self, lm: LMHandle | None, song: Song, codes: Codes, plan: str = "", scale: float = 0.5
    ) -> tuple[Scores, str]:
        from acestep_core.judge.lm_score import score_codes, scoring
        from acestep_core.planner.plan import Plan

        planned, watch = Plan.from_text(plan) if plan.strip() else None, monitor()
        with scoring(needed(lm), codes, song, planned) as model:
            found = [score_codes(model, item, song, planned, scale=scale, monitor=watch) for item in codes]
        lines = [
            f"Song {index + 1}: {score.total:.3f} (caption {_part(score.caption)}, lyrics {_part(score.lyrics)}, "
            f"metas {_part(score.metas)})"
            for index, score in enumerate(found)
        ]
        return tuple(score.total for score in found), "\n".join(lines)


class ACEStepBestOf:
    TITLE = "ACE-Step Best Of"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Keeps the best songs of a batch by their scores, and shows how all of them did."
    SEARCH_ALIASES: ClassVar = ["rank", "select best", "choose take", "auto score"]
    RETURN_TYPES = ("LATENT", wires.TIMING, "STRING")
    RETURN_NAMES = ("latent", "timing", "table")
    OUTPUT_TOOLTIPS = ("Latents of the best songs, best first.", "Their timed lyrics.", "All songs, best first.")
    FUNCTION = "choose"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "latent": inputs.wire("LATENT", "The songs to choose from."),
                "keep": inputs.integer(1, 1, 64, "How many to keep."),
            },
            "optional": {
                "timing": inputs.wire(wires.TIMING, "Scores by how well the lyrics are sung."),
                "lm_scores": inputs.wire(wires.SCORES, "Scores by the language model."),
                "alignment_weight": inputs.number(
                    0.5, 0.0, 1.0, 0.05, "How much the sung lyrics count.", advanced=True
                ),
                "lm_weight": inputs.number(0.5, 0.0, 1.0, 0.05, "How much the language model counts.", advanced=True),
            },
        }

    def choose(
        self,
        latent: dict[str, Any],
        keep: int,
        timing: Timing | None = None,
        lm_scores: Scores | None = None,
        alignment_weight: float = 0.5,
        lm_weight: float = 0.5,
    ) -> Told:
        from acestep_core.judge.best_of import Take, kept, rank, table_text

        songs = latent["samples"].shape[0]
        for name, found in (("timing", timing), ("lm_scores", lm_scores)):
            if found is not None and len(found) != songs:
                raise InvalidInput(
                    f"{name} is of {len(found)} songs, the latent holds {songs}; connect the same batch."
                )
        made, places = wires.story(latent)
        takes = []
        for item in range(songs):
            heard = None if timing is None else timing[item].score
            scores = {
                "alignment": None if heard is None else heard.total,
                "lm": None if lm_scores is None else lm_scores[item],
            }
            takes.append(Take(item, item if made is None or places[item] is None else made.seeds[places[item]], scores))
        ranking = rank(takes, {"alignment": alignment_weight, "lm": lm_weight}, min(keep, songs))
        items, text = kept(ranking), table_text(ranking)
        chosen = {**latent, "samples": latent["samples"][items]}
        if made is not None and None not in places:
            scored = replace(made, scores=tuple(take.scores for take in takes))
            chosen = wires.to_latent(wires.from_latent(chosen), scored.select(items))
        return told((chosen, None if timing is None else tuple(timing[item] for item in items), text), text)


def _part(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _report(index: int, song: SungLyrics) -> str:
    if song.score is None:
        return f"Song {index + 1}: no lyrics"
    score = song.score
    return (
        f"Song {index + 1}: {score.total:.3f} (coverage {score.coverage:.3f}, order {score.monotonicity:.3f}, "
        f"confidence {score.confidence:.3f})"
    )
