"""The training objective: our step makes upstream's states, targets, predictions and losses from the same draws."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from acestep_core.checkpoints.catalog import GUIDED, TURBO
from acestep_core.models.adapters import linear_shapes
from acestep_core.train.network import PREFIX, LiveNetwork
from acestep_core.train.objective import Item, Times, dropped, logit_time, numbers, squared_errors
from acestep_core.train.settings import AdapterOptions
from tests.golden_data import case, case_ids, load_json, load_tensors, manifest, tolerance
from tests.parity.reference_models import of_its_own, reference_model

LOSSES = case_ids("K_training/forward_loss")
STEPS = case_ids("K_training/training_step")
SAMPLED = case_ids("K_training/timestep_sampling")
TABLES = case_ids("K_training/discrete_timesteps")
KEYS = case_ids("K_training/lora_keys")


def test_every_case_of_this_group_is_checked() -> None:
    elsewhere = case_ids("K_training/lora_forward")  # test_trained_adapter
    checked = [*LOSSES, *STEPS, *SAMPLED, *TABLES, *KEYS, *elsewhere]
    assert sorted(checked) == sorted(case_ids("K_training/"))


def live(weights: str, kind: str = "lora", rank: int = 4) -> LiveNetwork:
    """The reference decoder with an adapter that has learned nothing yet; the shared model stays as it is."""
    return LiveNetwork(of_its_own(reference_model(weights)), AdapterOptions(kind=kind, rank=rank), seed=0)  # type: ignore[arg-type]


def items(data: dict[str, torch.Tensor], clean: str, states: list[torch.Tensor]) -> list[Item]:
    rows = zip(data[clean], data["x1"], data["t"], data["context_latents"], states, strict=True)
    return [Item(n, str(n), x0, x1, t, c, h, len(x0)) for n, (x0, x1, t, c, h) in enumerate(rows)]


@pytest.mark.parametrize("case_id", LOSSES)
def test_loss(case_id: str) -> None:
    entry = case(case_id)
    data, network = load_tensors(entry["file"]), live(entry["settings"]["weights"])
    rows = items(data, "x0", list(data["encoder_hidden_states"].split(1)))
    settings = entry["settings"]
    draws = torch.stack([data["normal_draws_1"], data["normal_draws_2"]])
    assert_close(logit_time(draws, settings["timestep_mu"], settings["timestep_sigma"]), data["t"])
    for row, xt, target in zip(rows, data["xt"], data["target"], strict=True):
        assert_close(row.noisy, xt)
        assert_close(row.noise - row.clean, target)
    with torch.no_grad():
        found = network(data["xt"], data["t"], data["context_latents"], [row.states for row in rows])
        assert_close(found, data["prediction"], **tolerance(entry))
        loss = squared_errors(network, rows, network.device).sum() / numbers(rows)
    assert_close(loss, data["loss"], **tolerance(entry))


@pytest.mark.parametrize("case_id", LOSSES)
def test_a_dropped_condition_is_the_null_embedding(case_id: str) -> None:
    """One row of it gives what upstream's many equal rows give."""
    entry = case(case_id)
    data, network = load_tensors(entry["file"]), live(entry["settings"]["weights"])
    states = [
        dropped(h[None], network.null, 0.0 if gone else 1.0, 0.15)
        for h, gone in zip(data["encoder_hidden_states"], data["condition_dropped"].tolist(), strict=True)
    ]
    assert {len(s[0]) for s in states} <= {1, data["encoder_hidden_states"].shape[1]}
    with torch.no_grad():
        found = network(data["xt"], data["t"], data["context_latents"], states)
    assert_close(found, data["prediction"], **tolerance(entry))


@pytest.mark.parametrize("case_id", STEPS)
def test_training_step(case_id: str) -> None:
    entry = case(case_id)
    data, network = load_tensors(entry["file"]), live(entry["settings"]["weights"])
    assert data["attention_mask"].all() and data["encoder_attention_mask"].all()
    draws = data["dropout_uniform_draws"].tolist()
    states = [
        dropped(h[None], network.null, u, 0.15) for h, u in zip(data["encoder_hidden_states"], draws, strict=True)
    ]
    rows = items(data, "target_latents", states)
    for row, xt, used in zip(rows, data["xt"], data["condition_used"], strict=True):
        assert_close(row.noisy, xt)
        assert_close(row.states[0].expand_as(used), used)
    with torch.no_grad():
        loss = squared_errors(network, rows, network.device).sum() / numbers(rows)
    assert_close(loss, data["loss"], **tolerance(entry))


@pytest.mark.parametrize("case_id", SAMPLED)
def test_times(case_id: str) -> None:
    entry = case(case_id)
    data = load_tensors(entry["file"])
    draws = torch.stack([data["normal_draws_1"], data["normal_draws_2"]])
    assert_close(logit_time(draws, -0.4, 1.0), data["default.t"], **tolerance(entry))
    assert_close(logit_time(draws, 0.0, 2.0), data["mu0_sigma2.t"], **tolerance(entry))
    for states, draw, expected in zip(data["enc"], data["dropout_uniform_draws"].tolist(), data["enc_dropped"]):
        assert_close(dropped(states[None], data["null_emb"], draw, 0.5).expand(1, *states.shape)[0], expected)
    known = entry["settings"]["empirical_default"]
    many = logit_time(torch.randn(2, 200_000, generator=torch.Generator().manual_seed(0)), -0.4, 1.0)
    quantiles = torch.tensor([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    assert_close(
        torch.quantile(many, quantiles), torch.tensor(known["quantiles_1_5_25_50_75_95_99"]), atol=4e-3, rtol=0
    )
    assert abs(float(many.mean()) - known["mean"]) < 2e-3 and abs(float(many.std()) - known["std"]) < 2e-3


@pytest.mark.parametrize("case_id", TABLES)
def test_discrete_times(case_id: str) -> None:
    data = load_tensors(case(case_id)["file"])
    config = reference_model("weights/turbo.safetensors").config
    times = Times.of("schedule", config, TURBO)
    assert_close(torch.tensor(times.table), data["table"])
    drawn = {round(float(times(torch.Generator().manual_seed(n))), 4) for n in range(200)}
    assert drawn == {round(t, 4) for t in data["t"].tolist()} == {round(t, 4) for t in data["table"].tolist()}
    mixed = Times.of("mixed", config, GUIDED)
    both = [float(mixed(torch.Generator().manual_seed(n))) for n in range(400)]
    on_table = sum(any(abs(t - known) < 1e-6 for known in mixed.table) for t in both)
    assert 150 < on_table < 250


@pytest.mark.parametrize("case_id", KEYS)
def test_names_and_shapes_of_what_is_saved(case_id: str) -> None:
    table = load_json(case(case_id)["file"])
    for model in table["models"].values():
        weights = next(entry["file"] for entry in manifest()["weights"] if model["model_code"] in entry["used_by"])
        network = live(weights, rank=table["default_config"]["r"])
        assert {name: list(t.shape) for name, t in network.state().items()} == model["keys"]
        with network.plain() as decoder:
            assert linear_shapes(decoder) == linear_shapes(reference_model(weights).decoder)
    assert network.config["peft_type"] == "LORA" and PREFIX == "base_model.model."
