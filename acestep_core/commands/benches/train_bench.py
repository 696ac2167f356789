"""How long a step of training takes, how much of it is the decoder's, and its memory against what was said before.

Weights and songs are random: neither time nor memory depends on them. Seconds are of the real loop, from one report to
the next; those of the decoder are of its forward and backward pass alone, on the same song.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import sizes
from acestep_core.commands.benches.runner import clock, peak_bytes
from acestep_core.errors import InvalidInput
from acestep_core.vocabulary import LATENT_RATE

if TYPE_CHECKING:
    import torch

    from acestep_core.models.acestep import AceStepModel
    from acestep_core.train.estimate import Estimate, Work
    from acestep_core.train.loop import Loop
    from acestep_core.train.network import LiveNetwork
    from acestep_core.train.trainset import Trainset

HELP = "seconds and memory of a training step"
WORDS = 200
"""Encoder states of a song."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=sizes.DIT, default="tiny", help="of the decoder (default tiny)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of each song (default 60)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="songs at once (default 1)")
    parser.add_argument("--rank", type=int, default=64, metavar="N", help="of the LoRA (default 64)")
    parser.add_argument("--memory", choices=("none", "checkpoint"), default="checkpoint", help="default checkpoint")
    parser.add_argument("--steps", type=int, default=5, metavar="N", help="between two reports (default 5)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="reports, after one to warm up (default 3)")
    parser.add_argument(
        "--whole", type=int, default=0, metavar="N", help="also time a whole run of N steps with all it writes"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="on a CPU (default 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, xpu, mps (default auto)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the loop for a few reports; then the decoder alone, and two steps of which every byte is counted."""
    import torch

    from acestep_core import devices

    if min(options.steps, options.rounds, options.batch, options.rank, options.threads) < 1 or options.seconds < 6:
        raise InvalidInput("steps, rounds, batch, rank and threads must be at least 1, and seconds at least 6.")
    if options.whole < 0:
        raise InvalidInput("A whole run has at least one step; leave --whole out to time none.")
    device, threads = devices.pick_device(options.device), torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        return _measure(options, device)
    finally:
        torch.set_num_threads(threads)


def _measure(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    from acestep_core import devices
    from acestep_core.train.estimate import Work, estimate, layer_costs

    with tempfile.TemporaryDirectory() as folder:
        songs = _songs(Path(folder), round(options.seconds * LATENT_RATE), options.size)
        running = _loop(songs, Path(folder) / "run", options, device)
        network = running.network
        work = Work.of(songs, options.batch, False)
        said = estimate(network, "adamw", work, network.every, layer_costs(network))
        seconds = _seconds_of_steps(running, options.steps, options.rounds)
        alone = _seconds_of_decoder(network, work, options.steps, options.rounds)
        del running, network
        whole = _share_of_run(songs, Path(folder) / "whole", options, device) if options.whole else None
        peak = _peak(lambda: _loop(songs, Path(folder) / "again", options, device), said, device)
    step, decoder = min(seconds), min(alone)
    names = ("size", "seconds", "batch", "rank", "memory", "steps", "rounds", "whole", "threads")
    return {
        "benchmark": "train",
        "device": devices.device_name(device),
        "dtype": str(devices.dtype_for("dit", device)).removeprefix("torch."),
        "settings": {name: getattr(options, name) for name in names},
        "seconds_per_step": {"best": step, "median": statistics.median(seconds)},
        "decoder_seconds": {"best": decoder, "median": statistics.median(alone)},
        "decoder_share": min(1.0, decoder / step),
        "steps_of_run": whole,
        "bytes": {"peak": peak, "estimate": said.total},
        "estimate_over_peak": said.total / peak,
        "ratios": {"share of the decoder": min(1.0, decoder / step)},
    }


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    from acestep_core.values import shown_size

    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    step, decoder = result["seconds_per_step"], result["decoder_seconds"]
    peak, said = result["bytes"]["peak"], result["bytes"]["estimate"]
    lines = [f"{result['device']}, {result['dtype']}, {settings}", "", f"{'':16}{'ms':>10}{'median':>10}"]
    for name, times in (("step", step), ("decoder alone", decoder)):
        lines.append(f"{name:16}{times['best'] * 1e3:10.1f}{times['median'] * 1e3:10.1f}")
    rest = max(0.0, step["best"] - decoder["best"])
    lines.append(f"{'rest':16}{rest * 1e3:10.1f}")
    lines.append(f"\nThe decoder is {result['decoder_share']:.0%} of a step.")
    if (whole := result["steps_of_run"]) is not None:
        lines.append(f"Steps are {whole:.1%} of a whole run, from its first record to its adapter.")
    lines.append(f"Memory: {shown_size(peak)} at the peak, {shown_size(said)} were estimated.")
    return "\n".join(lines)


def _songs(folder: Path, frames: int, size: str) -> Trainset:
    """A trainset of two random songs."""
    import torch

    from acestep_core.train.trainset import Manifest, TrainEntry, Trainset, write_tensors

    width, draws = sizes.config_of(size).encoder_dim, torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draws)

    write_tensors(
        folder / "conditions/x/shared.safetensors", {"silence": noise(750, 64), "lyrics.none": noise(1, width)}, {}
    )
    entries = []
    for n in range(2):
        files = (f"latents/{n}.safetensors", f"conditions/x/{n}.safetensors")
        parts = (
            {"mean": noise(frames, 64), "std": noise(frames, 64).abs() * 0.1},
            {"caption.0": noise(40, width), "lyrics": noise(WORDS - 41, width), "timbre.silence": noise(1, width)},
        )
        hashes = (write_tensors(folder / files[0], parts[0], {}), write_tensors(folder / files[1], parts[1], {}))
        entries.append(TrainEntry(str(n), f"{n}.wav", *files, hashes, frames))
    Manifest({"name": "random"}, {}, {"length": "full", "window_seconds": 60.0}, tuple(entries)).save(folder)
    return Trainset.open(folder)


def _loop(
    songs: Trainset,
    folder: Path,
    options: argparse.Namespace,
    device: torch.device,
    kind: type[Loop] | None = None,
    **told: Any,
) -> Loop:
    """The loop of a run that goes on for longer than it is looked at, unless it is `told` otherwise."""
    from acestep_core.models.handles import ModelHandle
    from acestep_core.train.loop import Loop
    from acestep_core.train.network import LiveNetwork
    from acestep_core.train.settings import TrainSettings
    from acestep_core.train.trainer import Trainer

    long = {"log_every": options.steps, "epochs": 10_000, "save_every": 10_000, "save_minutes": 0}
    # Nothing is left out: the decoder alone sees all words, too.
    settings = TrainSettings.of(rank=options.rank, batch=options.batch, drop=0.0, **(told or long))
    trainer = Trainer(songs, ModelHandle(Path("random"), variant="base"), folder, settings)
    trainer.run.begin({"base": {"variant": "base", "sha256": ""}})
    model = _random_decoder(options.size, device)
    network = LiveNetwork(model, settings.adapter, 0, every=1 if options.memory == "checkpoint" else 0)
    return (kind or Loop)(trainer, network, model.config, None, False)


def _random_decoder(size: str, device: torch.device) -> AceStepModel:
    """A checkpoint whose decoder alone is there, with random weights."""
    import torch

    from acestep_core import devices
    from acestep_core.models.acestep import AceStepModel

    with torch.device("meta"):
        model = AceStepModel(sizes.config_of(size))
    del model.encoder, model.tokenizer, model.detokenizer
    return sizes.filled(model, device, devices.dtype_for("dit", device))


def _seconds_of_steps(running: Loop, steps: int, rounds: int) -> list[float]:
    """Of one step, for each report after the first."""
    records, times = running.records(), []
    for record in records:
        if record["kind"] == "step":
            times.append(clock(running.device))
            if len(times) > rounds:
                break
    running.saved = running.step  # nothing of it is kept
    records.close()  # type: ignore[attr-defined]
    return [(end - start) / steps for start, end in itertools.pairwise(times)]


def _share_of_run(songs: Trainset, folder: Path, options: argparse.Namespace, device: torch.device) -> float:
    """How much of the time of a run with usual settings its steps take; the rest looks, reports, saves and exports."""
    from acestep_core.train.loop import Loop, Record

    taken: list[float] = []

    class Timed(Loop):
        def _one_step(self) -> Iterator[Record]:
            start = clock(self.device)
            yield from super()._one_step()
            taken.append(clock(self.device) - start)

    steps = -(-len(songs.manifest.samples) // options.batch)  # of an epoch
    running = _loop(songs, folder, options, device, Timed, epochs=max(1, options.whole // steps))
    start = clock(device)
    for _ in running.records():
        pass
    return sum(taken) / (clock(device) - start)


def _seconds_of_decoder(network: LiveNetwork, work: Work, steps: int, rounds: int) -> list[float]:
    """Of one forward and backward pass."""
    import torch

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=network.device)

    inputs = (draw(work.rows, work.frames, 64), torch.full((work.rows,), 0.5, device=network.device),
              draw(work.rows, work.frames, 128))  # fmt: skip
    states = [draw(1, work.states, network.decoder.config.encoder_dim) for _ in range(work.rows)]
    found = []
    for _ in range(rounds + 1):
        start = clock(network.device)
        for _ in range(steps):
            network(*inputs, states).square().mean().backward()
        found.append((clock(network.device) - start) / steps)
    return found[1:]


def _peak(begin: Callable[[], Loop], said: Estimate, device: torch.device) -> int:
    """Most bytes that two steps of a new run have at once, with what the estimate counts on the side."""
    from acestep_core import devices

    def work() -> None:
        running = begin()
        for _ in range(2):
            list(running._one_step())

    return peak_bytes(work, device) + (0 if devices.is_host(device) else said.side)
