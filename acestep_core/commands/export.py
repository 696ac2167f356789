"""`acestep export NAME` writes what a training run has learned as a file for ComfyUI and other programs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.flags import examples
from acestep_core.train.settings import EXPORT_DTYPES, EXPORT_FORMATS

if TYPE_CHECKING:
    from acestep_core.train.checkpoints import RunFolder

RUNS = Path("output/acestep/runs")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write what a run has learned for other programs",
        description=__doc__,
        **examples("acestep export my_style", "acestep export my_style --format merged -o my_style_model"),
    )
    parser.add_argument("run", metavar="NAME", help="the run")
    parser.add_argument("--runs", default=str(RUNS), metavar="FOLDER", help=f"where runs lie (default {RUNS})")
    parser.add_argument(
        "--models", metavar="PATH", help="folder or file of the model to merge into (default: what was trained)"
    )
    parser.add_argument("--variant", help="which checkpoint there (default: that of the run)")
    add_file_flags(parser)


def add_file_flags(parser: Any) -> None:
    """Flags that say what file is written."""
    parser.add_argument("-o", "--output", metavar="FILE", help="default: the run's name")
    parser.add_argument(
        "--format", choices=EXPORT_FORMATS, default="single", help="single is for ComfyUI and this program"
    )
    parser.add_argument("--export-dtype", choices=EXPORT_DTYPES, default="fp32", help="numbers in the file")
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="of a step, best or latest, instead of the finished adapter"
    )


def run_of(told: argparse.Namespace) -> RunFolder:
    """The run that is named. Raises InvalidInput where there is none."""
    from acestep_core.pipeline.learning import existing_run

    return existing_run(Path(told.runs), told.run)


def export(told: argparse.Namespace) -> int:
    from acestep_core.pipeline.learning import export_run, export_suffix, model_in, trained_model

    run = run_of(told)
    model = trained_model(run.adapter)
    if told.models is not None or told.variant is not None:
        place = None if told.models is None else Path(told.models)
        model = model_in(place, told.variant or run.settings()["base"]["variant"])
    target = Path(told.output or f"{run.name}{export_suffix(told.format, model)}")
    done = export_run(run, target, told.format, told.export_dtype, told.checkpoint, model)
    sys.stdout.write(f"{done.path}\n")
    sys.stderr.write(f"{done}\n")
    return 0


run = export
