"""A request of another program made of our nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep_core.host.graph.migrate.chain import MOST_TURBO_STEPS, Chain, variant_in
from acestep_core.host.graph.migrate.native_times import SHIFT, Times
from acestep_core.host.graph.migrate.song_request import Request
from acestep_core.host.graph.nodedef import choices_of
from acestep_core.host.graph.sketch import Out
from acestep_core.values import is_unset, number

_SONG = {
    "caption": "caption",
    "lyrics": "lyrics",
    "language": "vocal_language",
    "duration": "duration",
    "bpm": "bpm",
    "keyscale": "keyscale",
    "timesignature": "timesignature",
}
_OPEN = {
    "caption": "",
    "lyrics": "",
    "language": "unknown",
    "duration": 0.0,
    "bpm": 0,
    "keyscale": "auto",
    "timesignature": "auto",
}
"""What our Song holds where nothing is said."""
_READ = """
query instrumental audio_codes thinking use_format lm_seed use_cot_metas use_cot_caption use_cot_language lm_batch_size
batch_size lm_temperature lm_top_p lm_top_k lm_cfg_scale lm_repetition_penalty lm_negative_prompt src_audio
reference_audio repainting_start repainting_end repaint_mode repaint_strength chunk_mask_mode track_classes track_name
audio_cover_strength cover_noise_strength inference_steps shift timesteps guidance_scale use_adg cfg_interval_start
cfg_interval_end solver infer_method sampler_mode velocity_norm_threshold velocity_ema_factor dcw_scaler dcw_high_scaler
dcw_mode enable_normalization normalization_db fade_in_duration fade_out_duration latent_shift latent_rescale model
lm_model audio_format mp3_bitrate global_caption
"""
"""Keys that say something about the song."""
_SILENT = """
instruction seed use_random_seed metas metadata user_metadata task_type device checkpoint_dir quantization compile_model
lm_backend ai_token constrained_decoding constrained_decoding_debug use_constrained_decoding use_tiled_decode
is_format_caption allow_lm_batch parallel_thinking use_cot_lyrics cot_lyrics sample_mode lm_batch_chunk_size
mp3_sample_rate stork_substeps peak_clip vae lm_mode repaint_latent_crossfade_frames repaint_wav_crossfade_sec
"""
"""Keys that say nothing about it, or are read with others."""
_FORMATS = {"wav": "wav16", "wav24": "wav16"}
_MASKS = {"explicit": "window", "auto": "twos"}
_STEMS = ("lego", "extract", "complete")
_BASE = "acestep-v15-base"
"""The model for stems, where a request names none."""


def from_request(chain: Chain, request: Request) -> Out:
    """Adds the nodes of a request; gives the sound."""
    _note_rest(chain, request)
    file = request.text("model")
    if not file and request.task in _STEMS:
        file = _BASE
    if file:
        model = chain.model(file, request.loras)
        vae = chain.loader("vae", "")
        lm = None
    else:
        load = chain.add("Load", "ACEStepLoader")
        model, vae, lm = chain.with_loras(Out(load, 0), request.loras), Out(load, 1), Out(load, 2)
    turbo = chain.is_turbo(file) or (variant_in(file, chain.variants) is None and _steps(request) <= MOST_TURBO_STEPS)
    work = _Work(chain, request, model, vae, lm, turbo)
    return work.sound()


def _steps(request: Request) -> int:
    return int(request.number("inference_steps"))


@dataclass(frozen=True)
class _Work:
    """The chain of one request."""

    chain: Chain
    request: Request
    model: Out
    vae: Out
    lm_there: Out | None
    turbo: bool

    @property
    def lm(self) -> Out:
        return self.lm_there or self.chain.loader("lm", self.request.text("lm_model"))

    def sound(self) -> Out:
        request, chain = self.request, self.chain
        count = max(int(request.number("batch_size", 1)), 1)
        if request.task == "text2music":
            song, task, batch = self._text_to_music(count)
        else:
            song, task, batch = self._song(length=False), self._from_source(), count
        task = self._with_reference(task)
        latent = chain.sampled(
            self.model,
            song,
            task,
            seed=request.seed,
            batch_size=batch,
            sampler=self._method(),
            sigmas=self._schedule(),
            guidance=self._guidance(),
            album_caption=request.text("global_caption") or None,
            **self._rare(),
        )
        return chain.decoded(self.vae, latent, **self._finish())

    # -- song, plan and codes ------------------------------------------------------------------------------------------

    def _song(self, length: bool = True) -> Out:
        request = self.request
        if request.flag("sample_mode") or request.text("query"):
            asked = {"query": request.text("query"), "instrumental": request.flag("instrumental")}
            language = request.text("vocal_language", "unknown")
            asked |= {"language": "unknown" if is_unset(language) else language, "seed": request.seed}
            return Out(self.chain.add("Create", "ACEStepCreateSong", lm=self.lm, **asked), 0)
        planned = bool(request.text("audio_codes"))
        given: dict[str, Any] = {"instrumental": request.flag("instrumental")}
        for ours, theirs in _SONG.items():
            value = request.values.get(theirs, "")
            if planned and is_unset(value) and f"cot_{theirs}" in request.values:
                value = request.values[f"cot_{theirs}"]
            given[ours] = _OPEN[ours] if is_unset(value) else value
        if not length:
            given["duration"] = 0.0
        song = self.chain.song(**given)
        if request.flag("use_format"):
            song = Out(self.chain.add("Format", "ACEStepFormatSong", lm=self.lm, song=song, seed=request.seed), 0)
        return song

    def _text_to_music(self, count: int) -> tuple[Out, Out, int]:
        request, chain, song = self.request, self.chain, self._song()
        if codes := _codes(request.text("audio_codes")):
            read = Out(chain.add("Codes", "ACEStepTextToCodes", text=codes), 0)
            return song, Out(chain.add("Task", "ACEStepTextToMusic", song=song, codes=read), 0), count
        if not request.flag("thinking") or request.text("lm_mode", "generate") != "generate":
            return song, Out(chain.add("Task", "ACEStepTextToMusic", song=song), 0), count
        seed = max(int(request.number("lm_seed", -1)), -1)
        seed = request.seed if seed < 0 else seed
        sampling = self._lm_sampling()
        metas = request.flag("use_cot_metas", True)
        decided = {"metas": metas, "caption": request.flag("use_cot_caption", True)}
        decided["language"] = request.flag("use_cot_language", True)
        writing = {"lm": self.lm, "song": song, "seed": seed, "sampling": sampling}
        plan = chain.add("Plan", "ACEStepPlan", **writing, **decided)
        written = max(int(request.number("lm_batch_size", 0)), 0) or count
        if "lm_batch_size" in request.values and count > 1:
            chain.note("Each song gets codes of its own: several songs from the same codes are left out.")
        codes = chain.add("Codes", "ACEStepPlanCodes", plan=Out(plan, 1), batch_size=written, **writing)
        task = chain.add("Task", "ACEStepTextToMusic", song=Out(plan, 0), codes=Out(codes, 0))
        return Out(plan, 0), Out(task, 0), 1

    def _lm_sampling(self) -> Out | None:
        request = self.request
        names = ("temperature", "top_p", "top_k", "cfg_scale", "repetition_penalty")
        given: dict[str, Any] = {
            name: number(request.values[f"lm_{name}"])
            for name in names
            if number(request.values.get(f"lm_{name}")) is not None
        }
        if given.get("top_p", 0) > 1:
            given["top_p"] = 1.0
        if negative := request.text("lm_negative_prompt"):
            given["negative_prompt"] = negative
        return self.chain.sampling(**given)

    # -- recordings ----------------------------------------------------------------------------------------------------

    def _recording(self, title: str, path: str) -> Out:
        """A file by its name: its folder is another machine's."""
        name = path.replace("\\", "/").rpartition("/")[2]
        entry = self.chain.definitions["LoadAudio"]["input"]["required"]["audio"]
        if name not in (choices_of(entry[0], entry[1]) or []):
            self.chain.note(f"Put {name or 'the recording'} into the input folder, or choose another in {title}.")
        return Out(self.chain.add(title, "LoadAudio", audio=name), 0)

    def _from_source(self) -> Out:
        request, chain = self.request, self.chain
        audio = request.source or self._recording("Recording", request.text("src_audio"))
        region = {
            "start": request.number("repainting_start", 0.0),
            "end": request.number("repainting_end", -1.0),
            "mode": request.text("repaint_mode") or None,
            "strength": request.number("repaint_strength", 0.5),
            "chunk_mask": _MASKS.get(request.text("chunk_mask_mode")),
        }
        tracks = request.values.get("track_classes") or ""
        if isinstance(tracks, list):
            tracks = ", ".join(map(str, tracks))
        cover = {"strength": request.number("audio_cover_strength", 1.0)}
        cover["noise_strength"] = request.number("cover_noise_strength", 0.0)
        track = {"track": request.text("track_name") or None}
        kinds: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
            "cover": ("Cover", "ACEStepCover", cover),
            "cover-nofsq": ("Cover", "ACEStepCover", cover | {"semantic": False}),
            "repaint": ("Repaint", "ACEStepRepaint", region),
            "lego": ("Add track", "ACEStepLego", region | track),
            "extract": ("Extract", "ACEStepExtract", track),
            "complete": ("Complete", "ACEStepComplete", {"tracks": tracks}),
        }
        if request.task not in kinds:
            chain.note(f"The task {request.task} is not known here: a cover is made.")
        title, kind, given = kinds.get(request.task, kinds["cover"])
        return Out(chain.add(title, kind, vae=self.vae, audio=audio, **given), 0)

    def _with_reference(self, task: Out) -> Out:
        path = self.request.text("reference_audio")
        if not path:
            return task
        audio = self._recording("Reference recording", path)
        return Out(self.chain.add("Reference", "ACEStepReferenceAudio", vae=self.vae, task=task, audio=audio), 0)

    # -- rendering -----------------------------------------------------------------------------------------------------

    def _schedule(self) -> Out | None:
        request = self.request
        steps, shift = _steps(request), request.number("shift")
        written = request.values.get("timesteps") or ""
        parts = written if isinstance(written, list) else re.split(r"[,\s]+", str(written).strip("[] "))
        values = tuple(float(value) for part in parts if (value := number(part)) is not None)
        if values:
            return self.chain.schedule(self.model, Times(len(values), SHIFT, values), self.turbo)
        if steps > 0:
            return self.chain.schedule(self.model, Times(steps, shift), self.turbo)
        if shift <= 0:
            return None
        return Out(self.chain.add("Schedule", "ACEStepSchedule", model=self.model, shift=shift), 0)

    def _guidance(self) -> Out | None:
        """None for turbo, which upstream does not guide either, and where the model's own is asked for."""
        request = self.request
        scale = request.number("guidance_scale")
        if self.turbo or scale <= 0:
            return None
        given: dict[str, Any] = {"mode": "adg" if request.flag("use_adg") else "apg"}
        start, end = request.number("cfg_interval_start"), request.number("cfg_interval_end", 1.0)
        given |= {"start": start, "end": end} if (start, end) != (0.0, 1.0) else {}
        return self.chain.guidance(scale, self.turbo, **given)

    def _method(self) -> str | None:
        request = self.request
        named = request.text("solver") or request.text("infer_method", "ode")
        if request.text("sampler_mode") == "heun":
            named = "heun"
        if named not in ("ode", "euler", "sde", "heun", ""):
            self.chain.note(f"The solver {named} is not here: euler is taken.")
        return named if named in ("sde", "heun") else None

    def _rare(self) -> dict[str, Any]:
        request = self.request
        names = {"velocity_clamp": "velocity_norm_threshold", "velocity_ema": "velocity_ema_factor"}
        rare: dict[str, Any] = {ours: value for ours, theirs in names.items() if (value := request.number(theirs))}
        if slow := request.number("dcw_scaler"):
            mode = request.text("dcw_mode", "low")
            fast = request.number("dcw_high_scaler") if mode == "double" else slow
            rare |= {"wavelet": mode, "wavelet_low": slow, "wavelet_high": fast}
        return rare

    def _finish(self) -> dict[str, Any]:
        request = self.request
        given: dict[str, Any] = {} if request.flag("enable_normalization", True) else {"normalize": False}
        names = {
            "peak_db": "normalization_db",
            "fade_in": "fade_in_duration",
            "fade_out": "fade_out_duration",
            "latent_shift": "latent_shift",
            "latent_rescale": "latent_rescale",
        }
        return given | {ours: request.number(theirs) for ours, theirs in names.items() if theirs in request.values}


def _note_rest(chain: Chain, request: Request) -> None:
    """Names what is not carried."""
    if len(request.seeds) > 1 and not request.is_random:
        chain.note(f"Of the seeds the first counts, {request.seed}: the songs of a batch count up from it.")
    read = {*_READ.split(), *_SILENT.split(), *_SONG.values(), *(f"cot_{name}" for name in _SONG.values())}
    for name, value in request.values.items():
        if name not in read and value not in (None, "", False, 0, 0.0, -1, "None", [], {}):
            chain.note(f"{name} is left out: nothing here does the same.")


def save_request(chain: Chain, request: Request, sound: Out) -> None:
    """Saves it in the format that was asked for."""
    form = request.text("audio_format", "flac").lower() or "flac"
    form = _FORMATS.get(form, form)
    if form not in chain.choices("ACEStepSaveSong", "format"):
        chain.note(f"The format {form} is not written here: flac is taken.")
        form = "flac"
    bitrate = request.text("mp3_bitrate").removesuffix("k")
    rates = chain.choices("ACEStepSaveSong", "bitrate")
    chain.saved(sound, None, form, bitrate if form == "mp3" and bitrate in rates else None)


def _codes(text: str) -> str:
    """Codes as our nodes read them; acestep.cpp writes only their numbers."""
    if re.fullmatch(r"[\d,\s]+", text.strip()):
        return "".join(f"<|audio_code_{found}|>" for found in re.findall(r"\d+", text))
    return text.strip()
