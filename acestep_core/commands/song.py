"""`acestep song`: from one line of text to a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core import options
from acestep_core.commands.flags import add_flags, examples, given, seed
from acestep_core.commands.report import built_in_note, result_of, show
from acestep_core.declared import Option, Options, options_of
from acestep_core.errors import AceStepError, AlignmentError, InvalidInput
from acestep_core.io.text import decode_text, read_text
from acestep_core.options import TaskOptions
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.song.description import Song
from acestep_core.values import RANDOM

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.monitor import Monitor
    from acestep_core.pipeline.generation import Generation
    from acestep_core.pipeline.request import Request
    from acestep_core.pipeline.saving import Keep

TASKS: dict[str, type[TaskOptions]] = {"text2music": options.TextToMusic} | {
    name.replace("_", "-"): group for name, group in options.TASKS.items() if name != "generate"
}


_BY_HAND = ("seconds", "track", "tracks")
"""Options without a flag of their own: the length is the song's, and `--track` says one or several."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    from acestep_core.io.formats import FORMATS

    parser = subparsers.add_parser(
        "song",
        help="make a song from a caption",
        description=__doc__,
        **examples(
            'acestep song "lo-fi piano over soft rain" --duration 30',
            'acestep song "indie folk" --lyrics words.txt --best-of 8 --keep 2 --subtitles lrc',
            'acestep song "a shanty about tea" --think --batch 99 --seed random -o night/shanty.mp3',
            'acestep song "bossa nova, nylon guitar" --task cover --source demo.wav --strength 0.8',
            'acestep song "warmer, with strings" --latent demo.wav --denoise 0.5',
            'acestep song "piano solo" --task repaint --source demo.wav --bars "9-12 at 92 bpm"',
            "acestep song drums --task extract --source demo.wav --track drums",
        ),
    )
    parser.add_argument("caption", help="style, instruments, mood")
    parser.add_argument("--lyrics", metavar="FILE", help="text file, - for standard input, or some lines of lyrics")
    add_flags(parser, (o for o in options_of(Song) if o.name not in ("caption", "lyrics")), plain=True)
    parser.add_argument("--seed", type=seed, metavar="N", help="of the first song (default: random, drawn and shown)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="how many songs (default 1)")
    task = parser.add_argument_group("working on a recording")
    task.add_argument("--task", choices=tuple(TASKS), default="text2music", help="default text2music")
    task.add_argument("--source", metavar="FILE", help="the recording to work on")
    task.add_argument("--reference", action="append", default=[], metavar="FILE", help="take the timbre of a recording")
    task.add_argument("--reference-seed", type=int, default=0, metavar="N", help="which thirty seconds of it are heard")
    task.add_argument(
        "--latent", metavar="FILE", help="start from a recording or a saved latent instead of noise, see --denoise"
    )
    task.add_argument("--noise-mask", metavar="SECONDS", help="the parts of it to make anew, such as 10-20,35-40")
    task.add_argument("--codes", metavar="FILE", help="semantic codes to follow, one song a line")
    task.add_argument("--album-caption", default="", metavar="TEXT", help="of the whole song, for stems checkpoints")
    task.add_argument("--track", action="append", help="such as vocals or drums; complete takes several")
    add_flags(task, _of_all(TASKS.values()))
    parser.add_argument(
        "--lora", action="append", default=[], metavar="PATH[=STRENGTH]", help="LoRA, DoRA, LoKr or LoHa"
    )
    parser.add_argument("--models", metavar="PATH", help="checkpoints folder, model folder or file")
    parser.add_argument("--variant", help="which checkpoint, such as turbo, base or xl-turbo")
    parser.add_argument("--dtype", choices=options.WEIGHT_FORMATS, default="auto", help="number format of the models")
    parser.add_argument("--device", default="auto", help="such as cuda, cuda:1, xpu, mps or cpu (default: the best)")
    for title, groups in (("sampling", options.RENDER_GROUPS.values()), ("finishing", (options.Finish,))):
        add_flags(parser.add_argument_group(title), _of_all(groups))
    thinking = parser.add_argument_group("thinking")
    thinking.add_argument("--think", action="store_true", help="let the language model plan it and write its codes")
    add_flags(thinking, _of_all((options.PlanSettings, options.LMSampling)))
    kept = parser.add_argument_group("keeping")
    kept.add_argument("--format", choices=tuple(FORMATS), help="default: by the name of -o")
    kept.add_argument("--bitrate", type=int, help="kbit/s of mp3 and opus")
    kept.add_argument("-o", "--output", default="output/song.flac", metavar="FILE", help="default output/song.flac")
    kept.add_argument("--no-record", action="store_true", help="no .json beside the song to make it again from")
    kept.add_argument(
        "--subtitles", default="", metavar="KINDS", help="timed lyrics beside the song: lrc, vtt, srt, json, or several"
    )
    kept.add_argument("--best-of", type=int, metavar="K", help="make K takes, score them and keep the best")
    kept.add_argument("--json", action="store_true", help="print results and errors as JSON, one a line")
    kept.add_argument("--keep", type=int, default=1, metavar="N", help="how many of them (default 1)")
    kept.add_argument(
        "--estimate", nargs="?", type=float, const=0.0, metavar="GB",
        help="make nothing, and say how much memory each stage would take, here or on a card of so many GB",
    )  # fmt: skip


def _of_all(groups: Iterable[type[Options]]) -> Iterable[Option]:
    """The options of several groups. Those of one name are one flag, whose help says what it is for each."""
    found: dict[str, Option] = {}
    listed = ((group, option) for group in groups for option in options_of(group) if option.flat not in _BY_HAND)
    for group, option in listed:
        known = found.setdefault(option.flat, option)
        if option.help not in known.help:
            found[option.flat] = replace(known, help=f"{known.help} {group.__name__}: {option.help}")
        if known.default != option.default:
            found[option.flat] = replace(found[option.flat], default=None)
    return found.values()


def run(told: argparse.Namespace) -> int:
    from acestep_core.io.formats import format_for
    from acestep_core.monitor import Monitor
    from acestep_core.pipeline.generation import AT_ONCE, make, make_in_parts
    from acestep_core.pipeline.opening import open_models
    from acestep_core.pipeline.saving import Keep, make_folder, save

    output = Path(told.output)
    audio_format = told.format or format_for(output)
    subtitles = tuple(told.subtitles.replace(",", " ").split())
    keep = Keep(audio_format, told.bitrate, not told.no_record, subtitles)  # refused before an hour of work, not after
    if told.estimate is None:
        make_folder(output.parent)
    song = Song.from_dict(given(told, (Song,)) | {"lyrics": _read_lyrics(told.lyrics)})
    said = song.warnings()
    sys.stderr.writelines(f"Note: {remark}\n" for remark in said)
    group, asked = _task(told, song)
    models = open_models(told.models, told.variant, dtype=told.dtype, device=told.device, task=group(**asked).task)
    for text in told.lora:
        models = models.with_adapter(*_adapter(text))
    sys.stderr.write(built_in_note(models))
    _check_best_of(told, song, models)
    if told.estimate is not None:
        return _estimate(told, song, models, group(**asked))
    with ProgressBar() as bar:
        work = _request(told, song, models, bar), group(**asked), [told.source] if told.source else [], _codes(told)
        count = max(told.batch, len(work[3]))
        made, bar.part = 0, f"1/{count}" if count > AT_ONCE else ""
        start = time.perf_counter()
        for result in make_in_parts(*work) if told.best_of is None else [make(*work)]:
            bar.close()
            sys.stderr.writelines(f"Note: {remark}\n" for remark in result.remarks if remark not in said)
            said = [*said, *result.remarks]
            if result.plan is not None and not made and not told.json:
                sys.stderr.write(f"The plan:\n{result.plan.to_text()}\n")
            if told.best_of is not None:
                result = _best(told, result, keep, Monitor(bar))
            paths = save(result, output, keep, monitor=Monitor(bar), numbered=count > 1)
            made += len(paths)
            bar.close()
            bar.part = f"{made + 1}/{count}"
            _show(told, result, paths, time.perf_counter() - start)
            start = time.perf_counter()
    return 0


def _estimate(told: argparse.Namespace, song: Song, models: Models, task: TaskOptions) -> int:
    from acestep_core.pipeline.forecast import forecast
    from acestep_core.pipeline.generation import AT_ONCE
    from acestep_core.pipeline.opening import needed_lm
    from acestep_core.render.guidance import check_guidance
    from acestep_core.render.settings import resolved

    if told.estimate and not 1 <= told.estimate <= 1024:
        raise InvalidInput(f"--estimate takes the gigabytes of a card, 1 to 1024, not {told.estimate:g}.")
    if told.think:
        needed_lm(models)
    settings = options.RenderSettings.of(**given(told, options.RENDER_GROUPS.values()))
    codes, guidance = _codes(told), resolved(settings, models.model).guidance
    check_guidance(guidance, models.model.info.is_turbo)
    stages = forecast(
        models,
        _seconds(told, song, task, codes),
        min(max(told.best_of or told.batch, len(codes)), AT_ONCE),
        think=told.think,
        coded=bool(codes),
        guided=guidance.enabled,
        draws=task.average if isinstance(task, options.Morph) else 0,
        listens=bool(told.source or told.reference or told.latent),
        times=bool(told.subtitles or told.best_of) and _sings(song),
        scores=told.best_of is not None,
        card=round(told.estimate * 2**30) or None,
    )
    lines = [json.dumps(asdict(stage) | {"total": stage.total, "fits": stage.fits}) for stage in stages]
    sys.stdout.write("\n".join(lines if told.json else map(str, stages)) + "\n")
    return 0 if all(stage.fits for stage in stages) else 1


def _seconds(told: argparse.Namespace, song: Song, task: TaskOptions, codes: Sequence[Sequence[int]]) -> float:
    """How long the songs get, of which only headers are read."""
    from acestep_core.io.measure import measured
    from acestep_core.io.names import meant
    from acestep_core.pipeline.steps import meter_of, text_seconds
    from acestep_core.vocabulary import CODE_RATE

    if told.source is None:
        longest = max(codes, key=len, default=())
        return text_seconds(song, task, longest) or len(longest) / CODE_RATE
    length, source = 0.0, meant(told.source)
    if isinstance(task, options.Extend):
        task = task.in_seconds(meter_of(source, song))
        length = task.before + task.after
    return length + measured(source).seconds


def _show(told: argparse.Namespace, result: Generation, paths: Sequence[Path], seconds: float) -> None:
    if told.json:
        plan = {} if result.plan is None else {"plan": [result.plan.to_text()]}
        show(result_of({"song": paths}, {"song": result.seeds}, seconds, plan), True)
        return
    for path, number in zip(paths, result.seeds, strict=True):
        sys.stdout.write(f"{path}  seed {number}  {result.duration:.2f} s\n")
    sys.stdout.flush()
    stages = ", ".join(f"{name} {spent:.2f} s" for name, spent in result.seconds.items())
    sys.stderr.write(f"{seconds:.1f} s in all: {stages}.\n")


def _check_best_of(told: argparse.Namespace, song: Song, models: Models) -> None:
    """Refuses to choose where there is nothing to choose by, before the takes are made."""
    if told.best_of is None:
        if told.keep != 1:
            raise InvalidInput("--keep goes with --best-of; say of how many takes to keep the best.")
        return
    if told.batch != 1:
        raise InvalidInput("--best-of says how many takes are made; leave out --batch.")
    if not 1 <= told.keep <= told.best_of:
        raise InvalidInput(f"Of {told.best_of} takes, 1 to {told.best_of} can be kept, not {told.keep}.")
    if models.lm is None and not _sings(song):
        raise InvalidInput("Without lyrics and a language model takes cannot be scored; leave out --best-of.")


def _sings(song: Song) -> bool:
    return not song.instrumental and bool(song.lyrics.strip())


def _best(told: argparse.Namespace, result: Generation, keep: Keep, monitor: Monitor) -> Generation:
    """The best takes, best first; shows how all of them did. If that fails or is stopped, all are saved."""
    from acestep_core.judge.best_of import table_text
    from acestep_core.pipeline.saving import save
    from acestep_core.pipeline.takes import keep_best

    try:
        best, ranking = keep_best(_judged(result, monitor), told.keep)
    except (AceStepError, KeyboardInterrupt):
        sys.stderr.write("Note: the takes were not scored, so all of them are kept.\n")
        _show(told, result, save(result, Path(told.output), replace(keep, subtitles=())), 0.0)
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


def _task(told: argparse.Namespace, song: Song) -> tuple[type[TaskOptions], dict[str, Any]]:
    """What is to be done and its options, by their names."""
    group = TASKS[told.task]
    asked = given(told, TASKS.values())
    tracks = asked.pop("track", None) or []
    if group is options.Complete:
        asked["tracks"] = tuple(tracks)
    elif tracks:
        asked["track"] = tracks[0]
    if unused := sorted(asked.keys() - {option.flat for option in options_of(group)}):
        raise InvalidInput(f"The task {told.task} takes no --{unused[0].replace('_', '-')}; leave it out.")
    if group is options.TextToMusic and told.source is not None:
        raise InvalidInput("Text to music takes no --source; choose a --task such as cover, or --reference.")
    if group is not options.TextToMusic:
        if told.source is None:
            raise InvalidInput(f"The task {told.task} works on a recording; name it with --source.")
        if song.duration is not None:
            raise InvalidInput("The length is the recording's; leave out --duration, or use --task extend.")
        if told.think:
            raise InvalidInput("Thinking writes codes that would replace the recording; leave out --think.")
        if len(tracks) > 1 and group is not options.Complete:
            raise InvalidInput(f"The task {told.task} takes exactly one --track.")
        if name := group.lacks(asked):
            raise InvalidInput(f"The task {told.task} needs --{name.replace('_', '-')}.")
    return group, asked


def _request(told: argparse.Namespace, song: Song, models: Models, bar: ProgressBar) -> Request:
    from acestep_core.pipeline.request import Request

    arguments = {
        "song": song,
        "references": told.reference,
        "reference_seed": told.reference_seed,
        "latent": told.latent,
        "noise_mask": told.noise_mask,
        "seed": None if told.seed == RANDOM else told.seed,
        "batch": told.best_of or told.batch,
        "models": models,
        "think": told.think,
        "album_caption": told.album_caption,
        "progress": bar,
        **given(told, options.GROUPS),
    }
    return Request.of("", arguments)


def _codes(told: argparse.Namespace) -> list[tuple[int, ...]]:
    from acestep_core.song.codes import text_to_codes

    return (
        [] if told.codes is None else [text_to_codes(line) for line in _read(told.codes).splitlines() if line.strip()]
    )


def _adapter(text: str) -> tuple[str, float]:
    """`PATH` or `PATH=STRENGTH`."""
    path, _, strength = text.rpartition("=") if "=" in text else (text, "", "1")
    try:
        return path, float(strength)
    except ValueError as error:
        raise InvalidInput(f"The strength of {path} must be a number, not {strength!r}.") from error


def _read_lyrics(source: str | None) -> str:
    """The lyrics that a file holds; no file's name has line breaks, so what has some is lyrics."""
    if source is None:
        return ""
    return source if "\n" in source else _read(source)


def _read(source: str) -> str:
    return decode_text(sys.stdin.buffer.read(), "The standard input") if source == "-" else read_text(source)
