"""`acestep song`: from one line of text to a file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_core.commands.progress import ProgressBar
from acestep_core.errors import AceStepError, AlignmentError, InvalidInput

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.monitor import Monitor
    from acestep_core.pipeline.generation import Generation
    from acestep_core.song.description import Song

TASKS = ("text2music", "cover", "repaint", "extend", "add-track", "extract", "complete")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("song", help="make a song from a caption", description=__doc__)
    parser.add_argument("caption", help="style, instruments, mood")
    parser.add_argument("--lyrics", metavar="FILE", help="text file with the lyrics, or - for standard input")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds, 10 to 600 (default 120)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the first song (default: drawn and shown)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="how many songs (default 1)")
    parser.add_argument("--language", default="unknown", help="of the vocals, such as en or Korean")
    parser.add_argument("--bpm", type=int, help="30 to 300")
    parser.add_argument("--key", default="", metavar="KEY", help="such as 'C major' or Am")
    parser.add_argument("--time-signature", default="", metavar="T", help="2, 3, 4 or 6")
    parser.add_argument("--instrumental", action="store_true", help="no vocals")
    parser.add_argument("--think", action="store_true", help="let the language model plan it and write its codes")
    task = parser.add_argument_group("working on a recording")
    task.add_argument("--task", choices=TASKS, default="text2music", help="default text2music")
    task.add_argument("--source", metavar="FILE", help="the recording to work on")
    task.add_argument("--strength", type=float, help="of a cover or a balanced repaint, 0 to 1")
    task.add_argument("--start", type=float, default=0.0, metavar="S", help="where a region begins")
    task.add_argument("--end", type=float, metavar="S", help="where it ends (default: with the recording)")
    task.add_argument("--mode", choices=("conservative", "balanced", "aggressive"), help="how closely the rest is held")
    task.add_argument("--before", type=float, default=0.0, metavar="S", help="seconds to add before")
    task.add_argument("--after", type=float, default=0.0, metavar="S", help="seconds to add after")
    task.add_argument("--track", action="append", default=[], help="such as vocals or drums; complete takes several")
    task.add_argument("--reference", action="append", default=[], metavar="FILE", help="take the timbre of a recording")
    parser.add_argument("--lora", action="append", default=[], metavar="PATH[=STRENGTH]", help="LoRA or LoKr to apply")
    parser.add_argument("--models", metavar="PATH", help="checkpoints folder, model folder or file")
    parser.add_argument("--variant", help="which checkpoint, such as turbo, base or xl-turbo")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp32"), default="auto", help="number format of the models")
    parser.add_argument("--device", default="auto", help="such as cuda, cuda:1, xpu, mps or cpu (default: the best)")
    parser.add_argument("--steps", type=int, help="sampling steps (default: the checkpoint's)")
    parser.add_argument("--shift", type=float, help="schedule shift (default: the checkpoint's)")
    parser.add_argument("--guidance", type=float, help="guidance scale (default: the checkpoint's; turbo takes none)")
    parser.add_argument("--method", choices=("euler", "heun", "sde"), default="euler", help="sampler")
    parser.add_argument(
        "--format", choices=("flac", "wav16", "wav32", "mp3", "opus"), help="default: by the name of -o"
    )
    parser.add_argument("--bitrate", type=int, help="kbit/s of mp3 and opus")
    parser.add_argument("-o", "--output", default="output/song.flac", metavar="FILE", help="default output/song.flac")
    parser.add_argument("--no-record", action="store_true", help="no .json beside the song to make it again from")
    parser.add_argument(
        "--subtitles", default="", metavar="KINDS", help="timed lyrics beside the song: lrc, vtt, srt, json, or several"
    )
    parser.add_argument("--best-of", type=int, metavar="K", help="make K takes, score them and keep the best")
    parser.add_argument("--keep", type=int, default=1, metavar="N", help="how many of them (default 1)")


def run(options: argparse.Namespace) -> int:
    from acestep_core.io.audio import format_for
    from acestep_core.monitor import Monitor
    from acestep_core.pipeline.opening import open_models
    from acestep_core.pipeline.saving import check_subtitles
    from acestep_core.song.description import Song

    output = Path(options.output)
    audio_format = options.format or format_for(output)  # refused before an hour of work, not after
    subtitles = options.subtitles.replace(",", " ").split()
    check_subtitles(subtitles)
    song = Song(
        caption=options.caption,
        lyrics=_read_lyrics(options.lyrics),
        language=options.language,
        bpm=options.bpm,
        keyscale=options.key,
        timesignature=options.time_signature,
        duration=options.duration,
        instrumental=options.instrumental,
    )
    for warning in song.warnings():
        sys.stderr.write(f"Note: {warning}\n")
    models = open_models(options.models, options.variant, dtype=options.dtype, device=options.device)
    for text in options.lora:
        models = models.with_adapter(*_adapter(text))
    if models.tiny:
        sys.stderr.write(
            "Using the built-in tiny checkpoint, which has random weights and makes noise, not music; "
            "name real weights with --models.\n"
        )
    _check_best_of(options, song, models)
    start = time.perf_counter()
    with ProgressBar() as bar:
        result = _make(options, song, models, bar)
    if result.plan is not None:
        sys.stderr.write(f"The plan:\n{result.plan.to_text()}\n")
    with ProgressBar() as bar:
        if options.best_of is not None:
            result = _best(options, result, audio_format, Monitor(bar))
        paths = result.save(
            output,
            audio_format,
            options.bitrate,
            record=not options.no_record,
            subtitles=subtitles,
            monitor=Monitor(bar),
        )
    for path, seed in zip(paths, result.seeds, strict=True):
        sys.stdout.write(f"{path}  seed {seed}  {result.audio.shape[-1] / result.sample_rate:.2f} s\n")
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.seconds.items())
    sys.stderr.write(f"{time.perf_counter() - start:.1f} s in all: {stages}.\n")
    return 0


def _check_best_of(options: argparse.Namespace, song: Song, models: Models) -> None:
    """Refuses to choose where there is nothing to choose by, before the takes are made."""
    if options.best_of is None:
        if options.keep != 1:
            raise InvalidInput("--keep goes with --best-of; say of how many takes to keep the best.")
        return
    if options.batch != 1:
        raise InvalidInput("--best-of says how many takes are made; leave out --batch.")
    if not 1 <= options.keep <= options.best_of:
        raise InvalidInput(f"Of {options.best_of} takes, 1 to {options.best_of} can be kept, not {options.keep}.")
    if models.lm is None and (song.instrumental or not song.lyrics.strip()):
        raise InvalidInput("Without lyrics and a language model takes cannot be scored; leave out --best-of.")


def _best(options: argparse.Namespace, result: Generation, audio_format: str, monitor: Monitor) -> Generation:
    """The best takes, best first; shows how all of them did. If that fails or is stopped, all are saved."""
    from acestep_core.judge.best_of import table_text
    from acestep_core.pipeline.takes import keep_best

    try:
        best, ranking = keep_best(_judged(result, monitor), options.keep)
    except (AceStepError, KeyboardInterrupt):
        for path in result.save(options.output, audio_format, options.bitrate, record=not options.no_record):
            sys.stdout.write(f"{path}  not scored\n")
        raise
    sys.stderr.write(f"{table_text(ranking)}\n")
    return best


def _judged(result: Generation, monitor: Monitor) -> Generation:
    from acestep_core.pipeline.takes import judge_takes

    try:
        return judge_takes(result, monitor=monitor)
    except AlignmentError as error:
        if result.models.lm is None:
            raise
        sys.stderr.write(f"Note: how the lyrics are sung is not scored. {error}\n")
        return judge_takes(result, lyrics=False, monitor=monitor)


def _make(options: argparse.Namespace, song: Song, models: Models, bar: ProgressBar) -> Generation:
    """Calls the front door of the task."""
    from acestep_core.pipeline import editing
    from acestep_core.pipeline.generation import RenderSettings, generate

    settings = RenderSettings(options.steps, options.shift, None, options.guidance, method=options.method)
    common = {
        "song": song,
        "references": options.reference,
        "seed": options.seed,
        "batch": options.best_of or options.batch,
        "models": models,
        "settings": settings,
        "progress": bar,
    }
    if options.task == "text2music":
        if options.source is not None:
            raise InvalidInput("Text to music takes no --source; choose a --task such as cover, or --reference.")
        return generate(think=options.think, **common)
    if options.source is None:
        raise InvalidInput(f"The task {options.task} works on a recording; name it with --source.")
    if song.duration is not None:
        raise InvalidInput("The length is the recording's; leave out --duration, or use --task extend.")
    if options.think:
        raise InvalidInput("Thinking writes codes that would replace the recording; leave out --think.")
    held = {"mode": options.mode} if options.mode else {}
    if options.strength is not None:
        held["strength"] = options.strength
    if options.task == "cover":
        return editing.cover(options.source, strength=held.get("strength", 1.0), **common)
    if options.task == "repaint":
        return editing.repaint(options.source, options.start, options.end, **held, **common)
    if options.task == "extend":
        return editing.extend(options.source, options.after, options.before, **held, **common)
    if options.task == "complete":
        return editing.complete(options.source, options.track, **common)
    if len(options.track) != 1:
        raise InvalidInput(f"The task {options.task} takes exactly one --track.")
    if options.task == "extract":
        return editing.extract(options.source, options.track[0], **common)
    return editing.add_track(options.source, options.track[0], start=options.start, end=options.end, **held, **common)


def _adapter(text: str) -> tuple[str, float]:
    """`PATH` or `PATH=STRENGTH`."""
    path, _, strength = text.rpartition("=") if "=" in text else (text, "", "1")
    try:
        return path, float(strength)
    except ValueError as error:
        raise InvalidInput(f"The strength of {path} must be a number, not {strength!r}.") from error


def _read_lyrics(source: str | None) -> str:
    if source is None:
        return ""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"The lyrics file {source} cannot be read as UTF-8 text; check its name and save it as UTF-8."
        ) from error
