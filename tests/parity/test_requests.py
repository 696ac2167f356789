"""Whole requests, from what the user asks to what the model is given."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.render import schedule, tasks
from acestep_core.render import text_prompts as prompts
from acestep_core.render.repaint import Region, region_mask, region_of, repaint_settings
from acestep_core.render.task import Task, padded
from acestep_core.vocabulary import SAMPLE_RATE
from tests.golden_data import case, case_ids, load_json, rows, tables
from tests.parity import deviations_tasks as deviations
from tests.parity import upstream

HELPERS = "F_helpers/"
# Every frame of a library holds its library's number and its own index, so that copies can be read back as runs.
LIBRARIES = ("silence", "source", *(f"codes[{item}]" for item in range(8)))


def frames_of(library: str, count: int) -> torch.Tensor:
    marks = torch.zeros(1, count, 64)
    marks[..., 0], marks[..., 1] = LIBRARIES.index(library), torch.arange(count)
    return marks


SILENCE = frames_of("silence", min((t["silence_frames_available"] for t in tables("F_requests/")), default=800))


def as_runs(latents: torch.Tensor) -> list[list]:
    """Latents made of library frames as `[[library, first, one past last], ...]`."""
    rows = [(int(frame[0]), int(frame[1])) for frame in latents]
    breaks = [0, *(i + 1 for i, ((a, m), (b, n)) in enumerate(pairwise(rows)) if a != b or n != m + 1), len(rows)]
    return [[LIBRARIES[rows[a][0]], rows[a][1], rows[b - 1][1] + 1] for a, b in pairwise(breaks)]


def until(runs: list[list], frames: int) -> list[list]:
    """The runs that make up the first `frames` frames."""
    kept = []
    for library, first, last in runs:
        last = min(last, first + frames)
        frames -= last - first
        if last > first:
            kept.append([library, first, last])
    return kept


def true_runs(mask: torch.Tensor) -> list[list[int]]:
    edges = torch.nn.functional.pad(mask.int(), (1, 1)).diff().nonzero().flatten().tolist()
    return [[a, b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_run_readers_can_tell_frames_apart():
    latents = torch.cat([SILENCE[0, 3:5], frames_of("source", 9)[0, 2:4], frames_of("source", 9)[0, 5:6]])
    assert as_runs(latents) == [["silence", 3, 5], ["source", 2, 4], ["source", 5, 6]]
    assert true_runs(torch.tensor([True, False, True, True])) == [[0, 1], [2, 4]]


def codes_of(request: dict, item: int) -> list[int]:
    given = request.get("audio_code_string") or ""
    text = given[item] if isinstance(given, list) else given
    return [int(code) for code in re.findall(r"audio_code_(\d+)", text)]


def task_of(row: dict, item: int) -> Task:
    """The request as one of our tasks."""
    request, scalars = row["request"], row.get("scalars", {})
    name = request.get("task_type", "text2music")
    codes = codes_of(request, item)
    strength = request.get("audio_cover_strength", 1.0)
    samples = int((row["source_seconds"] or 0) * SAMPLE_RATE)
    if name == "text2music":
        seconds = request.get("audio_duration", -1)
        seconds = seconds if seconds and seconds > 0 else None if codes else 120.0
        return tasks.text2music(seconds, codes, strength=strength)
    if name == "cover":
        source = frames_of("source", row["frames_in_library"]["source"]) if samples and not codes else None
        noise_strength = request.get("cover_noise_strength", 0.0)
        return tasks.cover(source, samples, codes=codes, strength=strength, noise_strength=noise_strength)
    source = frames_of("source", row["frames_in_library"]["source"])
    tracks = [name.lower() for name in re.findall(r"[A-Z_]{2,}", request["instruction"])]
    if name == "extract":
        return tasks.extract(source, samples, *tracks)
    if name == "complete":
        return tasks.complete(source, samples, tracks)
    region = region_of(request.get("repainting_start", 0.0), request.get("repainting_end"), samples)
    options = {
        "mode": request.get("repaint_mode", "balanced"),
        "strength": request.get("repaint_strength", 0.5),
        "chunk_mask": "window" if request.get("chunk_mask_mode") == "explicit" else "ones",
    }
    waveform = torch.zeros(2, region.samples)
    if name == "lego":
        return tasks.lego(source, waveform, region, *tracks, **options)
    assert scalars, "a regional request that upstream refused"
    return tasks.repaint(source, waveform, region, **options)


REQUESTS = rows("F_requests/")


@pytest.mark.parametrize("row", [row for row in REQUESTS if row["success"]], ids=lambda row: row["name"])
def test_request(row):
    request, batch = row["request"], row["chunk_masks_shape"][0]
    if deviations.region_is_refused(row):
        with pytest.raises(InvalidInput):
            task_of(row, 0)
        return
    for item in range(batch):
        task = task_of(row, item)
        alone = deviations.without_codes_among_codes(request, item)
        assert task.frames == deviations.own_frames(row, item) <= row["chunk_masks_shape"][1]

        library = row["frames_in_library"]
        hints = frames_of(f"codes[{item}]", library[f"codes[{item}]"]) if task.codes else None
        assert as_runs(task.source_latents(SILENCE, hints)[0]) == until(row["src_latents"][item], task.frames)
        if row["clean_src_latents"]:
            assert as_runs(task.clean(SILENCE)[0]) == row["clean_src_latents"][item]
        if row["precomputed_lm_hints_25Hz"] and not alone:
            assert as_runs(padded(hints, SILENCE, task.frames)[0]) == until(
                row["precomputed_lm_hints_25Hz"][item], task.frames
            )

        assert true_runs(task.chunk_mask_values()[0] != 0) == [
            [first, min(last, task.frames)] for first, last in row["chunk_mask_true_runs"][item]
        ]
        mask = task.mask()
        recorded = row["repaint_mask_true_runs"]
        whole = [[0, task.frames]]
        assert (true_runs(mask[0]) if mask is not None else whole) == (recorded[item] if recorded else whole)
        assert task.is_cover == (False if alone else row["is_covers"][item])

        scalars = row["scalars"]
        assert task.cover_strength == scalars["audio_cover_strength"]
        assert task.switches == row["has_non_cover_text"]
        assert task.cover_noise_strength == scalars["cover_noise_strength"]
        if task.repaint is not None:
            held = (task.repaint.crossfade_frames, task.repaint.injection_ratio)
            assert held == (scalars["repaint_crossfade_frames"], scalars["repaint_injection_ratio"])
        if "timesteps" in scalars:
            assert schedule.schedule(timesteps=request["timesteps"]).tolist() == scalars["timesteps"]

        asked = row["source_seconds"] or request.get("audio_duration", -1)
        if not task.regions and not task.codes and asked > 0:
            assert task.samples == round(asked * SAMPLE_RATE), deviations.EXACT_LENGTH

        if not alone:
            check_prompts(row, task, item)


def check_prompts(row, task, item):
    request = row["request"]
    per_item = 2 + row["has_non_cover_text"]
    texts = [call["text"] for call in row["tokenizer_calls"]][item * per_item : (item + 1) * per_item]
    metas = prompts.metas_text(
        request["bpm"], request["time_signature"], request["key_scale"], duration=task.prompt_seconds
    )
    text = prompts.text_prompt(task.instruction, request["captions"], metas)
    plain = prompts.text_prompt(prompts.instruction_for("text2music"), request["captions"], metas)
    if deviations.prompt_length_differs(request):
        assert "- duration: 30 seconds" in texts[0], deviations.UNKNOWN_LENGTH
        texts[0] = texts[0].replace("duration: 30 ", f"duration: {int(task.prompt_seconds)} ")
    assert texts[0] == text
    assert texts[1] == prompts.lyric_prompt(request["lyrics"], request["vocal_language"])
    if row["has_non_cover_text"]:
        assert texts[2] == plain


@pytest.mark.parametrize("row", [row for row in REQUESTS if not row["success"]], ids=lambda row: row["name"])
def test_refused_request(row):
    with pytest.raises(InvalidInput):
        task_of(row, 0)


@pytest.mark.parametrize("case_id", case_ids(HELPERS + "tasks"))
def test_task_tables(case_id):
    data = load_json(case(case_id)["file"])
    for row in data["instructions"]:
        if row["task"] in tasks.BASE_TASKS:
            tracks = tuple(filter(None, [row["track_name"]])) or tuple(row["complete_track_classes"] or ())
            assert prompts.instruction_for(row["task"], tracks) == row["instruction"]
    for row in data["task_flags"]:
        if row["task"] in ("text2music", "cover") and isinstance(row["codes"], str):
            codes = [7] if row["codes"] else []
            source = torch.zeros(1, 200, 64)
            task = tasks.text2music(None if codes else 10.0, codes)
            if row["task"] == "cover":
                task = tasks.cover(source, 384000, codes=codes)
            assert task.is_cover == row["flags"]["is_cover"]
            assert not task.regions and not row["flags"]["can_use_repainting"]
            resolved = row["resolved"][1]
            assert task.instruction == (prompts.instruction_for("cover") if task.is_cover else task.instruction)
            assert resolved in ("INSTR", task.instruction)
    for row in data["silent_target_lengths"]:
        samples = upstream.silent_samples(row["duration"] or 0.01)
        assert [samples, samples // 1920] == [row["samples"], row["latent_frames"]]


MASKS = rows(HELPERS + "mask_batches")


@pytest.mark.parametrize("row", MASKS, ids=lambda row: row["name"])
def test_mask_batches(row):
    """Each item of upstream's mixed batches as a task of its own."""
    frames = row["latent_length"]
    for item, want in enumerate(row["items"]):
        kind, first, last = want["span"]
        sound, code = row["target_audio_nonzero"][item], row["has_code_hint"][item]
        mode = (row["chunk_mask_modes"] or ["explicit"] * len(row["items"]))[item]
        instruction = row["instructions"][item]
        lego = "audio context" in instruction
        regions = ()
        if kind == "repainting":
            start = row["repainting_start"][item] or 0.0
            end = row["repainting_end"][item]
            region = Region(
                int(max(0.0, start) * SAMPLE_RATE), int((end + max(0.0, -start)) * SAMPLE_RATE), 0, frames * 1920, 0
            )
            assert region.frames(frames) == (first, last)
            regions = (region,)
        name = (
            "lego" if lego else "repaint" if regions else "cover" if "semantic tokens" in instruction else "text2music"
        )
        library = "codes[0]" if code else "source"
        held = frames_of(library, frames)
        task = Task(
            name,
            instruction,
            frames,
            frames * 1920,
            source=held if sound and not code else None,
            codes=(1,) * (frames // 5) if code and not regions else (),
            regions=regions,
            chunk_mask="ones" if mode == "auto" else "window",
            repaint=repaint_settings(),
        )
        if code and regions:
            continue  # codes under a region: our builders do not offer it
        assert task.is_cover == want["is_cover"]
        assert true_runs(task.chunk_mask_values()[0] != 0) == want["chunk_mask_true_runs"]
        runs = as_runs(task.source_latents(SILENCE, held)[0])
        assert [run[1:] for run in runs if run[0] == "silence"] == want["source_is_silence_runs"]
        assert [run[1:] for run in runs if run[0] == library] == want["source_is_target_runs"]
        if want["repaint_mask_true_runs"] is not None:
            mask = task.mask() if regions else region_mask((0, frames), frames)
            assert true_runs(mask[0]) == want["repaint_mask_true_runs"]
