"""What the language model does: invent, rewrite, plan, write audio codes, and listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.declared import options_of
from acestep_core.errors import InvalidInput
from acestep_core.options import LMSampling, PlanSettings
from acestep_core.song.description import Song

from . import inputs, wires
from .codes import Codes
from .host import monitor
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import LMHandle

LANGUAGES = next(option.choices for option in options_of(Song) if option.name == "language")
_CATEGORY = "ACE-Step/plan"
_LM_TIP = "The language model."
_SAMPLING_TIP = "How it chooses its words; without one, the usual settings."


class ACEStepLMSampling:
    TITLE = "ACE-Step LM Sampling"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Detailed settings of the language model; the defaults suit most songs."
    SEARCH_ALIASES: ClassVar = ["temperature", "top_p", "top_k", "lm cfg", "negative prompt"]
    RETURN_TYPES = (wires.SAMPLING,)
    RETURN_NAMES = ("sampling",)
    OUTPUT_TOOLTIPS = ("Sampling settings for the language model's nodes.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": inputs.widgets(LMSampling, advanced=False),
            "optional": inputs.widgets(LMSampling, advanced=True),
        }

    def make(self, **widgets: Any) -> tuple[LMSampling]:
        return (LMSampling.from_widgets(widgets),)


class ACEStepCreateSong:
    TITLE = "ACE-Step Create Song"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Invents a whole song from a few plain words: caption, lyrics, tempo, key, length."
    SEARCH_ALIASES: ClassVar = ["simple mode", "inspiration", "write lyrics", "random song"]
    RETURN_TYPES = (wires.SONG,)
    RETURN_NAMES = ("song",)
    OUTPUT_TOOLTIPS = ("The invented song.",)
    FUNCTION = "create"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, _LM_TIP),
                "query": inputs.text(
                    "What it should be, in plain words; empty for a surprise.",
                    "a cheerful song about the first day of spring",
                    multiline=True,
                ),
                "instrumental": inputs.switch(False, "No vocals.", label_on="instrumental", label_off="vocals"),
                "language": inputs.choice(
                    LANGUAGES, "unknown", "Language of the lyrics, as a code. 'unknown' lets the model decide."
                ),
                "seed": inputs.seed("Another seed invents another song."),
            },
            "optional": {"sampling": inputs.wire(wires.SAMPLING, _SAMPLING_TIP)},
        }

    def create(
        self,
        lm: LMHandle | None,
        query: str,
        instrumental: bool,
        language: str,
        seed: int,
        sampling: LMSampling | None = None,
    ) -> Told:
        from acestep_core.planner.answer import writing
        from acestep_core.planner.create import TEXT_SAMPLING, create_song

        watch = monitor()
        with writing(needed(lm), query) as model:
            song = create_song(
                model,
                query,
                instrumental=instrumental,
                language=language,
                sampling=sampling or TEXT_SAMPLING,
                seed=seed,
                monitor=watch,
            )
        return told((song,), _shown(song), song=song.to_widgets())


class ACEStepFormatSong:
    TITLE = "ACE-Step Format Song"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Rewrites caption and lyrics in more detail and fills what was left open; what you fixed stays."
    SEARCH_ALIASES: ClassVar = ["enhance prompt", "rewrite", "structure lyrics", "magic prompt"]
    RETURN_TYPES = (wires.SONG,)
    RETURN_NAMES = ("song",)
    OUTPUT_TOOLTIPS = ("The rewritten song.",)
    FUNCTION = "rewrite"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, _LM_TIP),
                "song": inputs.wire(wires.SONG, "The song to rewrite."),
                "seed": inputs.seed("Another seed writes another version."),
            },
            "optional": {"sampling": inputs.wire(wires.SAMPLING, _SAMPLING_TIP)},
        }

    def rewrite(self, lm: LMHandle | None, song: Song, seed: int, sampling: LMSampling | None = None) -> Told:
        from acestep_core.planner.answer import writing
        from acestep_core.planner.create import TEXT_SAMPLING, format_song

        watch = monitor()
        with writing(needed(lm), song.caption, song.lyrics) as model:
            written = format_song(model, song, sampling=sampling or TEXT_SAMPLING, seed=seed, monitor=watch)
        return told((written,), _shown(written), song=written.to_widgets())


class ACEStepPlan:
    TITLE = "ACE-Step Plan"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Thinks about a song before it is made: tempo, key, length, language, a better caption."
    SEARCH_ALIASES: ClassVar = ["thinking", "chain of thought", "cot", "metadata", "auto bpm"]
    RETURN_TYPES = (wires.SONG, "STRING")
    RETURN_NAMES = ("song", "plan")
    OUTPUT_TOOLTIPS = ("The song with the plan applied, for conditioning.", "The plan as text, to read and edit.")
    FUNCTION = "plan"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, _LM_TIP),
                "song": inputs.wire(wires.SONG, "The song to plan; what you decided stays."),
                "seed": inputs.seed("Another seed makes another plan."),
                **inputs.widgets(PlanSettings, advanced=False),
            },
            "optional": {
                "edited_plan": inputs.text(
                    "A plan you edited, used word for word instead of asking the model; it fills only fields with a ?.",
                    multiline=True,
                    advanced=True,
                ),
                **inputs.widgets(PlanSettings, "max_duration"),
                "sampling": inputs.wire(wires.SAMPLING, _SAMPLING_TIP),
                **inputs.widgets(PlanSettings, "caption_tokens"),
            },
        }

    def plan(
        self,
        lm: LMHandle | None,
        song: Song,
        seed: int,
        edited_plan: str = "",
        sampling: LMSampling | None = None,
        **widgets: Any,
    ) -> Told:
        from acestep_core.planner.answer import OTHER_FIELDS, writing
        from acestep_core.planner.plan import PlanDraft, merge
        from acestep_core.planner.planning import plan_song

        settings = PlanSettings.from_widgets(widgets)
        draft = PlanDraft.from_text(edited_plan) if edited_plan.strip() else None
        if draft is not None and not draft.wanted:
            plan = draft.given
        else:
            watch, tokens = monitor(), settings.caption_tokens + OTHER_FIELDS
            with writing(needed(lm), song.caption, song.lyrics, tokens=tokens) as model:
                plan = plan_song(model, song, settings, sampling, seed, watch, draft)
        text = plan.to_text()
        planned = merge(song, plan, caption=settings.caption, language=settings.language)
        return told((planned, text), text, plan=plan.fields())


class ACEStepPlanCodes:
    TITLE = "ACE-Step Plan Codes"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Writes audio codes, five a second, that give the song its melody and structure."
    SEARCH_ALIASES: ClassVar = ["audio codes", "semantic tokens", "5hz", "thinking"]
    RETURN_TYPES = (wires.CODES,)
    RETURN_NAMES = ("codes",)
    OUTPUT_TOOLTIPS = ("One sequence of codes per song, for text to music.",)
    FUNCTION = "write"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, _LM_TIP),
                "song": inputs.wire(wires.SONG, "The song as you wrote it, before planning."),
                "seed": inputs.seed("Codes of the first song; each next song of the batch takes one more."),
                "batch_size": inputs.integer(1, 1, 64, "How many sequences to write, one for each song."),
            },
            "optional": {
                "sampling": inputs.wire(wires.SAMPLING, _SAMPLING_TIP),
                "chunk": inputs.integer(
                    8, 1, 64, "How many are written at once; fewer need less memory and sound the same.", advanced=True
                ),
                "plan": inputs.text(
                    "The plan, from ACE-Step Plan; its length is that of the codes. "
                    "Without one the song's own settings are the plan.",
                    forceInput=True,
                ),
            },
        }

    def write(
        self,
        lm: LMHandle | None,
        song: Song,
        seed: int,
        batch_size: int,
        sampling: LMSampling | None = None,
        chunk: int = 8,
        plan: str = "",
    ) -> tuple[Codes]:
        asked = {"lm": lm, "song": song, "seed": seed, "batch_size": batch_size}
        return self.together([asked | {"sampling": sampling, "chunk": chunk, "plan": plan}])[0]

    @classmethod
    def together(cls, calls: Sequence[Mapping[str, Any]]) -> list[tuple[Codes]]:
        """What `write` gives for each of several calls; songs that want equally many codes get them at once."""
        from acestep_core.planner.plan import Plan
        from acestep_core.planner.planning import Ask, codes_together
        from acestep_core.seeds import item_seeds

        alike: dict[Any, list[tuple[int, Ask]]] = {}
        for place, call in enumerate(calls):
            song = call["song"]
            decided = Plan.from_text(call.get("plan", "")).or_else(Plan.of_song(song))
            ask = Ask(song, decided, item_seeds(call["seed"], call["batch_size"]))
            kind = (needed(call["lm"]), call.get("sampling"), call.get("chunk", 8), ask.count)
            alike.setdefault(kind, []).append((place, ask))
        done: dict[int, tuple[Codes]] = {}
        for (lm, sampling, chunk, _), asks in alike.items():
            written = codes_together(lm, [ask for _, ask in asks], sampling, chunk, monitor())
            done |= {place: (tuple(codes),) for (place, _), codes in zip(asks, written, strict=True)}
        return [done[place] for place in range(len(calls))]


class ACEStepUnderstand:
    TITLE = "ACE-Step Understand"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Listens to audio codes and describes the song in them: caption, lyrics, tempo, key."
    SEARCH_ALIASES: ClassVar = ["caption audio", "transcribe lyrics", "detect bpm", "detect key", "analyse"]
    RETURN_TYPES = (wires.SONG,)
    RETURN_NAMES = ("song",)
    OUTPUT_TOOLTIPS = ("What the model heard.",)
    FUNCTION = "listen"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.wire(wires.LM, _LM_TIP),
                "codes": inputs.wire(wires.CODES, "Codes of a recording, from ACE-Step Audio to Codes."),
                "seed": inputs.seed("Another seed describes it in other words."),
            },
            "optional": {
                "item": inputs.integer(0, 0, 63, "Which recording of a batch; 0 is the first.", advanced=True),
                "sampling": inputs.wire(wires.SAMPLING, _SAMPLING_TIP),
            },
        }

    def listen(
        self, lm: LMHandle | None, codes: Codes, seed: int, item: int = 0, sampling: LMSampling | None = None
    ) -> Told:
        from acestep_core.planner.answer import writing
        from acestep_core.planner.understand import LISTEN_SAMPLING, understand_codes
        from acestep_core.song.codes import codes_to_text

        if not 0 <= item < len(codes):
            raise InvalidInput(f"There are codes of {len(codes)} recordings; set item to {len(codes) - 1} or less.")
        watch = monitor()
        with writing(needed(lm), codes_to_text(codes[item])) as model:
            song = understand_codes(model, codes[item], sampling=sampling or LISTEN_SAMPLING, seed=seed, monitor=watch)
        return told((song,), _shown(song))


def needed(lm: LMHandle | None) -> LMHandle:
    """The language model, or a sentence about how to get one."""
    if lm is None:
        raise InvalidInput(
            "There is no language model; choose a preset that has one, or use Load ACE-Step Language Model."
        )
    return lm


def _shown(song: Song) -> str:
    """The song, for reading under the node."""
    facts = {"bpm": song.bpm, "key": song.keyscale, "time": song.timesignature, "seconds": song.duration}
    known = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return "\n\n".join(part for part in (song.caption, known, song.lyrics) if part)
