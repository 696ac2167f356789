"""What a run logs, for TensorBoard too, where that is installed: `tensorboard --logdir output/acestep/runs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from acestep_core.io.recordings import load_recording
from acestep_core.vocabulary import SAMPLE_RATE

FOLDER: Final = "tensorboard"
"""In the folder of a run."""
_STEP: Final = {"loss": "train/loss", "smooth": "train/loss_smooth", "lr": "train/lr", "grad_norm": "train/grad_norm"}
_OTHERS: Final = {"epoch": "train/loss_epoch", "validation": "val/loss"}


def event_writer(run: Path, step: int) -> Callable[[Mapping[str, Any]], None] | None:
    """Writes records of a run as events; None where TensorBoard is not installed.

    Args:
        step: where the run goes on; what was written of later ones is taken back.
    """
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run / FOLDER), purge_step=step + 1)  # type: ignore[no-untyped-call]

    def write(record: Mapping[str, Any]) -> None:
        kind, at = record["kind"], record.get("step", 0)
        for name, value in numbers_of(record).items():
            writer.add_scalar(name, value, at)  # type: ignore[no-untyped-call]
        for file in map(Path, record["files"] if kind == "sample" else ()):
            if file.suffix == ".flac" and file.is_file():
                song = load_recording(file).waveform.mean(dim=0, keepdim=True)
                writer.add_audio("test song", song, at, SAMPLE_RATE)  # type: ignore[no-untyped-call]
        if kind not in ("step", "epoch"):
            writer.flush()  # type: ignore[no-untyped-call]
        if kind in ("done", "stopped", "failed"):
            writer.close()  # type: ignore[no-untyped-call]

    return write


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record under the names they have there; without those that are none."""
    if record["kind"] in _OTHERS:
        found = {_OTHERS[record["kind"]]: record["loss"]}
    elif record["kind"] == "step":
        found = {ours: record[name] for name, ours in _STEP.items()}
        found |= {f"train/loss_t/{n}": value for n, value in enumerate(record["buckets"])}
    else:
        found = {}
    return {name: value for name, value in found.items() if value is not None}
