"""Guidance, schedules, seeds and repaint helpers against the recorded ones."""

from __future__ import annotations

import pytest
import torch

from acestep_core.render import guidance, noise, schedule
from tests.golden_data import case, case_ids, load_json, load_tensors


def close(got, want, entry, **extra):
    checks = entry["checks"]
    torch.testing.assert_close(
        got, want, rtol=checks.get("suggested_rtol", 0.0), atol=checks.get("suggested_atol", 0.0), **extra
    )


@pytest.mark.parametrize("case_id", [i for i in case_ids("F_helpers/apg") if i.endswith("momentum")])
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


@pytest.mark.parametrize("case_id", case_ids("F_helpers/apg_options"))
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


@pytest.mark.parametrize("case_id", case_ids("F_helpers/adg"))
def test_adg(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    for row, want in zip(entry["settings"]["rows"], data["guided"], strict=True):
        prefix = "near_" if row["uncond"] == "near" else "pred_"
        cond, uncond = data[prefix + "cond"], data[prefix + "uncond"]
        variant = row["variant"].split()[0]
        if isinstance(row["sigma"], list):
            got = guidance.adg(data["latents"], cond, uncond, torch.tensor(row["sigma"]), row["guidance_scale"])
        elif row["guidance_scale"] <= 1:  # `guide` never sees a scale without effect
            got = guidance.adg(data["latents"], cond, uncond, row["sigma"], row["guidance_scale"])
        else:
            setting = guidance.Guidance(mode=variant, scale=row["guidance_scale"])
            got = guidance.guide(setting, cond, uncond, data["latents"], row["sigma"])
        close(got, want, entry, msg=lambda text, row=row: f"{row}: {text}")


def _turbo(row):
    return schedule.upstream_turbo_schedule(row["shift"], row.get("timesteps"))


def _base(row):
    own = None if row["model_code"] == "base" else row.get("timesteps")
    return schedule.upstream_base_schedule(row["infer_steps"], row["shift"], own)


@pytest.mark.parametrize(
    ("case_id", "build"), [("F_helpers/timesteps_turbo", _turbo), ("F_helpers/timesteps_base", _base)]
)
def test_schedules_as_upstream(case_id, build):
    for row in load_json(case(case_id)["file"])["rows"]:
        times = schedule.truncated(build(row), row.get("cover_noise_strength", 0.0))
        assert times[:-1].tolist() == row["decoder_timesteps"], row
        steps = len(times) - 1
        switch = schedule.switch_step(steps, row.get("audio_cover_strength", 1.0))
        # A run that begins with the second condition never switches to it.
        recorded = row["first_call_with_switched_condition"]
        assert (switch if 0 < switch < steps else None) == recorded, row


def test_free_schedule_meets_the_distilled_tables():
    """Ours is one formula; at eight steps it gives upstream's tables to within one bit."""
    for row in load_json(case("F_helpers/timesteps_turbo")["file"])["rows"]:
        if row["shift"] in schedule.TURBO_SHIFTS and set(row) == {"shift", "decoder_timesteps"} | {
            "first_call_with_switched_condition"
        }:
            got = schedule.schedule(8, row["shift"])[:-1]
            torch.testing.assert_close(got, torch.tensor(row["decoder_timesteps"]), rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/noise_seeding"))
def test_noise(case_id):
    entry = case(case_id)
    data = load_tensors(entry["file"])
    frames = entry["settings"]["shape"][1]
    close(noise.noise([11, 12], frames), data["seed_list"], entry)
    close(noise.noise([11, 11], frames), data["seed_list_same"], entry)


@pytest.mark.parametrize("case_id", case_ids("F_helpers/seeds"))
def test_seeds(case_id):
    for row in load_json(case(case_id)["file"])["rows"]:
        got = noise.upstream_seeds(row["seed"], row["batch_size"], row["use_random_seed"], draw_seed=lambda: "random")
        assert got == row["seeds"], row
