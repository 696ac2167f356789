"""Guidance, schedules, seeds and repaint helpers against the recorded ones."""

from __future__ import annotations

import json
import re

import pytest
import torch

from acestep_core import seeds as noise
from acestep_core.errors import InvalidInput
from acestep_core.options import REPAINT_MODES
from acestep_core.render import guidance, repaint, schedule
from acestep_core.vocabulary import SAMPLE_RATE
from tests.golden_data import case, case_ids, cases, load_json, load_tensors, rows
from tests.parity import upstream


def close(got, want, entry, **extra):
    checks = entry["checks"]
    torch.testing.assert_close(
        got, want, rtol=checks.get("suggested_rtol", 0.0), atol=checks.get("suggested_atol", 0.0), **extra
    )


@pytest.mark.parametrize("case_id", [c["id"] for c in cases("F_helpers/apg") if "momentum" in c["settings"]])
def test_apg(case_id):
    entry = case(case_id)
    data, s = load_tensors(entry["file"]), entry["settings"]
    memory = guidance.Momentum() if s["momentum"] is not None else None
    for i in range(len(data["pred_cond"])):
        got = guidance.apg(
            data["pred_cond"][i],
            data["pred_uncond"][i],
            s["guidance_scale"],
            memory,
            momentum=s["momentum"] or 0.0,
            eta=s["eta"],
            norm_threshold=s["norm_threshold"],
            dim=s["dims"][0],
        )
        close(got, data["guided"][i], entry)
        if memory is not None:
            close(memory.average, data["running_average"][i], entry)


@pytest.mark.parametrize(
    "case_id", [c["id"] for c in cases("F_helpers/apg") if "rows_guidance_eta_threshold" in c["settings"]]
)
def test_apg_options(case_id):
    entry = case(case_id)
    data, s = load_tensors(entry["file"]), entry["settings"]
    for (scale, eta, threshold), want in zip(s["rows_guidance_eta_threshold"], data["guided"], strict=True):
        got = guidance.apg(data["pred_cond"], data["pred_uncond"], scale, eta=eta, norm_threshold=threshold)
        close(got, want, entry)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/cfg"))
def test_cfg(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    got = guidance.cfg(data["pred_cond"], data["pred_uncond"], entry["settings"]["guidance_scale"])
    close(got, data["guided"], entry)


@pytest.mark.processor
@pytest.mark.parametrize("case_id", case_ids("F_helpers/adg"))
def test_adg(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    for row, want in zip(entry["settings"]["rows"], data["guided"], strict=True):
        prefix = "near_" if row["uncond"] == "near" else "pred_"
        cond, uncond = data[prefix + "cond"], data[prefix + "uncond"]
        variant = row["variant"].split()[0]
        if isinstance(row["sigma"], list):
            parts = zip(data["latents"].split(1), cond.split(1), uncond.split(1), row["sigma"], strict=True)
            got = torch.cat([guidance.adg(*part, row["guidance_scale"]) for part in parts])
        elif row["guidance_scale"] <= 1:  # `guide` never sees a scale without effect
            got = guidance.adg(data["latents"], cond, uncond, row["sigma"], row["guidance_scale"])
        else:
            setting = guidance.Guidance(mode=variant, scale=row["guidance_scale"])
            got = guidance.guide(setting, cond, uncond, data["latents"], row["sigma"])
        close(got, want, entry, msg=lambda text, row=row: f"{row}: {text}")


def _turbo(row):
    return upstream.turbo_schedule(row["shift"], row.get("timesteps"))


def _base(row):
    own = None if row["model_code"] == "base" else row.get("timesteps")
    return upstream.base_schedule(row["infer_steps"], row["shift"], own)


@pytest.mark.parametrize(
    ("prefix", "build"), [("F_helpers/timesteps_turbo", _turbo), ("F_helpers/timesteps_base", _base)]
)
def test_schedules_as_upstream(prefix, build):
    for row in rows(prefix):
        times = schedule.truncated(build(row), row.get("cover_noise_strength", 0.0))
        assert times[:-1].tolist() == row["decoder_timesteps"], row
        steps = len(times) - 1
        switch = schedule.switch_step(steps, row.get("audio_cover_strength", 1.0))
        # A run that begins with the second condition never switches to it.
        recorded = row["first_call_with_switched_condition"]
        assert (switch if 0 < switch < steps else None) == recorded, row


def test_free_schedule_meets_the_distilled_tables():
    """Ours is one formula; at eight steps it gives upstream's tables to within one bit."""
    for row in rows("F_helpers/timesteps_turbo"):
        if row["shift"] in upstream.TURBO_SHIFTS and set(row) == {"shift", "decoder_timesteps"} | {
            "first_call_with_switched_condition"
        }:
            got = schedule.schedule(8, row["shift"])[:-1]
            torch.testing.assert_close(got, torch.tensor(row["decoder_timesteps"]), rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/noise_seeding"))
def test_noise(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    frames = entry["settings"]["shape"][1]
    for name in entry["outputs"]:
        listed = re.search(r"\[.*?\]", entry["tensors"][name]["meaning"])
        if listed is None:
            continue  # a single seed: one generator for the batch, which is not ours
        seeds = json.loads(listed[0])
        close(noise.noise(seeds, frames), data[name], entry)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/seeds"))
def test_seeds(case_id):
    for row in load_json(case(case_id)["file"])["rows"]:
        got = upstream.seeds(row["seed"], row["batch_size"], row["use_random_seed"], draw_seed=lambda: "random")
        assert got == row["seeds"], row


@pytest.mark.parametrize("case_id", case_ids("F_helpers/repaint_config"))
def test_repaint_settings(case_id):
    for row in load_json(case(case_id)["file"])["rows"]:
        # Upstream clamps the strength and takes an unknown mode as balanced; we refuse both.
        strength = min(max(row["strength"], 0.0), 1.0)
        mode = row["mode"] if row["mode"] in REPAINT_MODES else "balanced"
        got = repaint.repaint_settings(mode, strength)
        assert [got.injection_ratio, got.crossfade_frames, got.crossfade_seconds] == row["result"], row
        if (mode, strength) != (row["mode"], row["strength"]):
            with pytest.raises(InvalidInput):
                repaint.repaint_settings(row["mode"], row["strength"])


@pytest.mark.parametrize("case_id", case_ids("F_helpers/repaint_latent_ops"))
def test_repaint_latents(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    mask, x, clean, noise_ = data["mask"], data["x"], data["clean"], data["noise"]
    for name in entry["outputs"]:
        kind, value = name.rsplit("_", 1)
        if kind == "injected":
            got = repaint.inject(x, clean, mask, float(value[1:]), noise_)
        elif kind == "soft_mask":
            got = repaint.soft_mask(mask, int(value))
        else:
            got = repaint.blend(x, clean, repaint.soft_mask(mask, int(value)))
        close(got, data[name], entry)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/repaint_waveform_splice"))
def test_upstream_splice(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    for row in entry["settings"]["rows"]:
        made, source = data["pred"][..., : row["pred_samples"]], data["src"][..., : row["src_samples"]]
        got = [
            upstream.splice(*item, crossfade=row["crossfade_duration"], rate=row["sample_rate"])
            for item in zip(made, source, row["starts"], row["ends"], strict=True)
        ]
        close(torch.stack(got), data[row["result"]], entry)


def _region(row):
    return repaint.region_of(row["repainting_start"], row["repainting_end"], row["source_samples"])


SPANS = rows("F_helpers/repaint_spans")


@pytest.mark.parametrize("row", [row for row in SPANS if row["task"] in ("repaint", "lego")], ids=str)
def test_regions(row):
    start, end = row["repainting_start"], row["repainting_end_after_request_layer"]
    length = row["source_seconds"]
    if start is None:
        return  # ours has no absent start; 0 is the beginning
    if start > length or (end if end is not None else length) <= start:
        # Upstream remakes the whole song without being asked, or leaves a gap after the source.
        with pytest.raises(InvalidInput):
            _region(row)
        return
    region = _region(row)
    assert region.samples == row["target_samples"]
    assert [region.start, region.end] == [
        int(row["start_after_padding"] * SAMPLE_RATE),
        int(row["end_after_padding"] * SAMPLE_RATE),
    ]
    frames = region.frames(row["latent_length"])
    assert list(frames) == row["span"][1:]
    assert [list(frames)] == row["repaint_mask_true_runs"]
    assert repaint.region_mask(frames, row["latent_length"])[0].nonzero()[[0, -1], 0].tolist() == [
        frames[0],
        frames[1] - 1,
    ]
