"""`acestep models list | check | download | convert | tiny | build-demo`: what is on disk, whether it is whole, how to
get more, another layout for other programs, and models of our own."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.flags import examples
from acestep_core.io.folders import elsewhere, user_folder
from acestep_core.monitor import Monitor
from acestep_core.pipeline.progress import ProgressBar

if TYPE_CHECKING:
    from acestep_core.checkpoints.find import ModelEntry
    from acestep_core.checkpoints.verify import Part


def add_parser(subparsers: Any) -> None:
    """Adds `models` and its actions."""
    from acestep_core.checkpoints.catalog import LAYOUTS, VARIANTS, download_names

    parser = subparsers.add_parser(
        "models",
        help="list, check, download, convert or build models",
        description=__doc__,
        **examples(
            "acestep models download main",
            "acestep models list",
            "acestep models check checkpoints/acestep-v15-turbo",
            "acestep models convert ComfyUI/models checkpoints --layout upstream",
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="show the models that are found, and where they are looked for")
    listing.add_argument("roots", nargs="*", type=Path, metavar="FOLDER", help="look here instead")

    check = actions.add_parser("check", help="open every model at a path and report what is wrong")
    check.add_argument("path", type=Path)
    check.add_argument("--variant", choices=list(VARIANTS), help="what a single file is")
    check.add_argument("--no-hashes", action="store_true", help="do not read whole files to compare checksums")

    download = actions.add_parser("download", help="fetch a published model")
    download.add_argument("name", metavar="NAME", help=f"a variant or one of {', '.join(download_names())}")
    download.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help="checkpoints folder (default: ComfyUI's models/acestep for a pack in it, else the user's cache)",
    )
    download.add_argument("--source", choices=["huggingface", "modelscope"], default="huggingface")

    convert = actions.add_parser("convert", help="write a checkpoint in another layout, with the very same weights")
    convert.add_argument("source", type=Path, metavar="SRC", help="a checkpoints folder, a model folder or a file")
    convert.add_argument("dest", type=Path, metavar="DST", help="the folder of models to write into")
    convert.add_argument("--layout", required=True, choices=LAYOUTS)
    convert.add_argument("--dtype", choices=["bf16", "fp16", "fp32"], help="number format of all weights")
    convert.add_argument("--variant", choices=list(VARIANTS), help="which DiT, or what a single file is")

    tiny = actions.add_parser("tiny", help="build the tiny checkpoint, which makes sound but no music")
    tiny.add_argument("folder", type=Path)
    tiny.add_argument("--seed", type=int, default=0)
    tiny.add_argument("--variants", nargs="+", default=["turbo", "base", "xl-turbo"], metavar="VARIANT")
    tiny.add_argument("--layouts", nargs="+", default=["upstream"], metavar="LAYOUT")

    demo = actions.add_parser(
        "build-demo",
        help="train the built-in model, a toy that makes music; a later run goes on where this one stops",
    )
    demo.add_argument("--folder", type=Path, help="of the checkpoint and its training (default: in the user's cache)")
    demo.add_argument("--minutes", type=float, help="stop then (default: when it is done)")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--measure", type=int, default=0, metavar="SONGS", help="make so many songs and judge them")
    demo.add_argument("--tasks", type=int, default=0, metavar="SONGS", help="judge its other tasks on so many songs")
    demo.add_argument("--captions", action="store_true", help="judge what it makes of captions that people wrote")
    demo.add_argument(
        "--learning",
        type=int,
        default=0,
        metavar="SONGS",
        help="judge so many before and after an adapter has learned a style",
    )
    demo.add_argument("--thinking", type=int, default=0, metavar="SONGS", help="judge so many songs that are planned")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs one action; 0 if all is well, 1 if a check found problems. Errors are raised for the caller to show."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "check": _check,
        "download": _download,
        "convert": _convert,
        "tiny": _tiny,
        "build-demo": _build_demo,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from acestep_core.checkpoints.catalog import fetch
    from acestep_core.checkpoints.find import list_models, search_roots

    roots = args.roots or search_roots()
    entries = list_models(roots)
    for entry in entries:
        _say(_entry_line(entry))
        if entry.problem:
            _say(f"    {entry.problem}")
    if not entries:
        _say(f"No models found. Fetch some with `{fetch('main')}`.")
    _say("Looked in:")
    for root in roots:
        _say(f"    {root}{_state(root)}")
    return 0


def _state(root: Path) -> str:
    """What is to be said of a folder that shows no models."""
    try:
        return "" if root.exists() else " (does not exist)"
    except OSError:
        return f" (may not be looked at; allow it, or {elsewhere(root)})"


def _check(args: argparse.Namespace) -> int:
    from acestep_core.checkpoints.verify import check

    with ProgressBar() as bar:

        def say(part: Part) -> None:
            bar.close()
            for line in (_entry_line(part.entry), *(f"    {line}" for line in _part_lines(part))):
                _say(line)
            sys.stdout.flush()

        report = check(args.path, args.variant, not args.no_hashes, Monitor(bar), say)
    for problem in report.problems:
        _say(problem)
    if report.hashed:
        _say(f"{report.hashed} checksums compared.")
    _say("All good." if report.ok else "There are problems, see above.")
    return 0 if report.ok else 1


def _download(args: argparse.Namespace) -> int:
    from acestep_core.checkpoints.download import download

    with ProgressBar() as bar:

        def megabytes(stage: str, done: int, total: int, preview: object = None) -> None:
            bar(f"{stage}, MB", done // 10**6, total // 10**6)

        folders = download(args.name, args.to, args.source, Monitor(megabytes))
    for folder in folders:
        _say(str(folder))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from acestep_core.models.convert import convert

    with ProgressBar() as bar:
        done = convert(args.source, args.dest, args.layout, args.dtype, args.variant, Monitor(bar))
    for line in (*done.paths, *done.remarks):
        _say(str(line))
    return 0


def _tiny(args: argparse.Namespace) -> int:
    from acestep_core.builtin.tiny import build_tiny

    start = time.monotonic()
    folder = build_tiny(args.folder, args.seed, args.variants, args.layouts)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    _say(f"Built the tiny checkpoint in {folder}: {size / 1e6:.0f} MB in {time.monotonic() - start:.1f} s.")
    return 0


def _build_demo(args: argparse.Namespace) -> int:
    from acestep_core.builtin.demo import DEMO_VERSION, TASKS, build_demo
    from acestep_core.commands.music import judged, table, unseen

    folder = args.folder or user_folder().parent / f"demo-{DEMO_VERSION}"
    until = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    with ProgressBar() as bar:
        built = build_demo(folder, args.seed, until, Monitor(bar))
    for name, part in built.parts.items():
        _say(f"{name}: {part.done} steps, {part.seconds:.0f} s of the processor, loss {part.losses[-1:]}")
    _say(f"{'Built' if built.finished else 'So far built'} in {folder}.")
    if args.measure:
        with ProgressBar() as bar:
            songs = judged(folder, unseen(args.measure), monitor=Monitor(bar))
        _say(table(songs))
    if args.tasks:
        from acestep_core.commands.music_tasks import edits, lengths

        asks = unseen(args.tasks)
        with ProgressBar() as bar:
            _say_all(edits(folder, asks, "cover" in TASKS, Monitor(bar)))
            _say_all(lengths(folder, asks[0], Monitor(bar)))
    if args.thinking:
        from acestep_core.commands.music_thinking import thoughts

        with ProgressBar() as bar:
            _say_all(thoughts(folder, unseen(args.thinking), Monitor(bar)))
    if args.learning:
        from acestep_core.commands.music_learning import learned

        with ProgressBar() as bar:
            _say_all(learned(folder, args.learning, monitor=Monitor(bar)))
    if args.captions:
        from acestep_core.builtin.captions import CAPTIONS
        from acestep_core.commands.music_tasks import by_hand

        with ProgressBar() as bar:
            _say_all(by_hand(folder, CAPTIONS, Monitor(bar)))
    return 0


def _say_all(figures: list[tuple[str, str]]) -> None:
    for name, value in figures:
        _say(f"{name:44}{value}")


def _entry_line(entry: ModelEntry) -> str:
    from acestep_core.checkpoints.find import LABELS

    state = "BROKEN  " if entry.problem else ""
    what = f"{'tiny ' if entry.tiny else ''}{LABELS[entry.kind]} {entry.variant or entry.size}".strip()
    stored = f"{entry.layout} {entry.format}".strip()
    return f"{state}{entry.name}  [{what}, {stored}, {entry.bytes / 1e6:,.0f} MB]  {entry.path}"


def _part_lines(part: Part) -> list[str]:
    if part.problems:
        return list(part.problems)
    summary = f"{part.tensors} tensors, {part.parameters / 1e6:,.1f} M parameters, {' and '.join(part.dtypes)}"
    return [summary, *part.notes]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
