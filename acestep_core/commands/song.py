"""`acestep song`: from one line of text to a file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from acestep_core.commands.progress import ProgressBar
from acestep_core.errors import InvalidInput


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
    parser.add_argument("--models", metavar="PATH", help="checkpoints folder, model folder or file")
    parser.add_argument("--variant", help="which checkpoint, such as turbo, base or xl-turbo")
    parser.add_argument("--steps", type=int, help="sampling steps (default: the checkpoint's)")
    parser.add_argument("--shift", type=float, help="schedule shift (default: the checkpoint's)")
    parser.add_argument("--guidance", type=float, help="guidance scale (default: the checkpoint's; turbo takes none)")
    parser.add_argument("--method", choices=("euler", "heun", "sde"), default="euler", help="sampler")
    parser.add_argument(
        "--format", choices=("flac", "wav16", "wav32", "mp3", "opus"), help="default: by the name of -o"
    )
    parser.add_argument("--bitrate", type=int, help="kbit/s of mp3 and opus")
    parser.add_argument("-o", "--output", default="output/song.flac", metavar="FILE", help="default output/song.flac")


def run(options: argparse.Namespace) -> int:
    from acestep_core.audio import format_for
    from acestep_core.generation import RenderSettings, generate
    from acestep_core.models.models import open_models
    from acestep_core.song import Song

    output = Path(options.output)
    audio_format = options.format or format_for(output)  # refused before an hour of work, not after
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
    models = open_models(options.models, options.variant)
    if models.tiny:
        sys.stderr.write(
            "Using the built-in tiny checkpoint, which has random weights and makes noise, not music; "
            "name real weights with --models.\n"
        )
    settings = RenderSettings(options.steps, options.shift, None, options.guidance, method=options.method)
    start = time.perf_counter()
    with ProgressBar() as bar:
        result = generate(
            song=song,
            think=options.think,
            seed=options.seed,
            batch=options.batch,
            models=models,
            settings=settings,
            progress=bar,
        )
    if result.plan is not None:
        sys.stderr.write(f"The plan:\n{result.plan.to_text()}\n")
    for path, seed in zip(result.save(output, audio_format, options.bitrate), result.seeds, strict=True):
        sys.stdout.write(f"{path}  seed {seed}  {result.audio.shape[-1] / result.sample_rate:.2f} s\n")
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.seconds.items())
    sys.stderr.write(f"{time.perf_counter() - start:.1f} s in all: {stages}.\n")
    return 0


def _read_lyrics(source: str | None) -> str:
    if source is None:
        return ""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"The lyrics file {source} cannot be read as UTF-8 text; check its name and save it as UTF-8."
        ) from error
