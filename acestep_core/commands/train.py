"""`acestep train` learns a style from a trainset; `acestep train status|stop|hear|export NAME` is for a run of it.
On several cards: `accelerate launch --num_processes N -m acestep_core.commands.main train TRAINSET --name NAME`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.export import RUNS, add_file_flags, export, run_of
from acestep_core.commands.flags import add_flags, examples, given
from acestep_core.commands.report import built_in_note
from acestep_core.declared import options_of
from acestep_core.errors import Cancelled, InvalidInput
from acestep_core.io.text import read_text
from acestep_core.options import NUMBER_FORMATS
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.train.settings import GROUPS, TrainSettings
from acestep_core.values import counted, lasting

if TYPE_CHECKING:
    from acestep_core.song.description import Song
    from acestep_core.train.checkpoints import RunFolder
    from acestep_core.train.trainset import Trainset

ENDS = ("done", "stopped", "failed")
ACTIONS = ("status", "stop", "hear", "export")
TITLES = {"adapter": "what learns", "training": "how long", "fine": "how", "test_songs": "test songs"}
REAL_STEPS = 3
"""What an estimate makes to tell the time of a step."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "train",
        help="learn a style from songs",
        description=__doc__,
        **examples(
            "acestep train my_songs_trainset --name my_style --estimate",
            'acestep train my_songs_trainset --name my_style --test-every 100 --test-caption "my_style, warm piano"',
            "acestep train status my_style",
            "acestep train export my_style --format kohya",
        ),
    )
    parser.add_argument("what", nargs="?", metavar="TRAINSET|FILE.toml|status|stop|hear|export",
                        help="what to learn from, or settings that name it, or what to do")  # fmt: skip
    parser.add_argument("run", nargs="?", metavar="NAME", help="with status, stop, hear and export: the run")
    parser.add_argument("--name", help="of the run, and of the adapter (default: that of the trainset)")
    parser.add_argument("--runs", default=str(RUNS), metavar="FOLDER", help=f"where runs lie (default {RUNS})")
    parser.add_argument("--settings", metavar="FILE", help="a TOML file with everything that flags can say")
    parser.add_argument("--resume", default="auto", metavar="auto|new|STEP", help="auto goes on with a run that is "
                        "there; a step, best, latest or a checkpoint's folder begins a new one with that")  # fmt: skip
    parser.add_argument("--allow-changed-data", action="store_true", help="go on although the songs have changed")
    parser.add_argument("--estimate", action="store_true", help="say how much memory and time it takes, and end")
    parser.add_argument("--models", metavar="PATH", help="checkpoints folder, model folder or file")
    parser.add_argument("--variant", help="which checkpoint learns, such as base, turbo or xl-base "
                        "(default: that of the trainset)")  # fmt: skip
    parser.add_argument("--dtype", choices=NUMBER_FORMATS, default="auto", help="number format of the model")
    parser.add_argument("--device", default="auto", help="such as cuda, cuda:1, xpu, mps or cpu (default: the best)")
    for name, group in GROUPS.items():
        add_flags(parser.add_argument_group(TITLES[name]), options_of(group))
    song = parser.add_argument_group("the test song")
    song.add_argument("--test-caption", metavar="TEXT", help="its style; the tag of the adapter belongs in it")
    song.add_argument("--test-lyrics", metavar="FILE", help="text file with its lyrics")
    song.add_argument("--test-seconds", type=float, metavar="X", help="its length in seconds")
    add_file_flags(parser.add_argument_group("exporting, as `acestep export` does"))


def run(told: argparse.Namespace) -> int:
    if told.what in ACTIONS:
        if told.run is None:
            raise InvalidInput(f"Say which run: acestep train {told.what} NAME.")
        return {"status": _status, "stop": _stop, "hear": _hear, "export": export}[told.what](told)
    return _train(told)


def _train(told: argparse.Namespace) -> int:
    from acestep_core.monitor import Monitor
    from acestep_core.pipeline.learning import models_of, record_line, train_adapter
    from acestep_core.pipeline.opening import open_models
    from acestep_core.train.ranks import together
    from acestep_core.train.trainset import Trainset

    given_file = told.what if told.what is not None and told.what.endswith(".toml") else None
    file = _read_settings(told.settings or given_file)
    trainset = file.get("trainset") if given_file or told.what is None else told.what
    if trainset is None:
        raise InvalidInput('Say what to learn from: acestep train TRAINSET, or trainset = "..." in the settings.')
    settings = TrainSettings.of(**{**file.pop("settings", {}), **given(told, GROUPS.values())})
    variant = told.variant or file.get("variant")
    name = told.name or file.get("name") or Path(trainset).resolve().name
    song = _test_song(told, file.get("test_song", {}))
    with together(told.device) as ranks:
        given_models = {"path": told.models, "dtype": told.dtype, "device": ranks.device}
        opened = Trainset.open(trainset)
        models = open_models(variant=variant, **given_models) if variant else models_of(opened, **given_models)
        if ranks.first:
            sys.stderr.write(built_in_note(models))
        if told.estimate:
            if ranks.count > 1:
                raise InvalidInput("An estimate is made by one process; run it without accelerate.")
            return _estimate(opened, models, settings)
        with ProgressBar() as bar, _ending(ranks.count > 1) as asked:
            records = train_adapter(
                opened, models, name, told.runs, settings, resume=told.resume, changed_data=told.allow_changed_data,
                test_song=song, monitor=Monitor(bar if ranks.first else None, asked), ranks=ranks,
            )  # fmt: skip
            for record in records:
                if text := record_line(record):
                    (sys.stdout if record["kind"] in ("done", "stopped") else sys.stderr).write(f"{text}\n")
    return 0


@contextmanager
def _ending(several: bool) -> Iterator[Callable[[], bool] | None]:
    """A polite end of the process saves first, like Ctrl-C; several of them end together, after their step."""
    asked = threading.Event()

    def end(*_: object) -> None:
        if not several:
            raise Cancelled("The process was asked to end.")
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    signals = (signal.SIGTERM, signal.SIGINT) if several else (signal.SIGTERM,)
    before = [signal.signal(number, end) for number in signals]
    try:
        yield asked.is_set if several else None
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _estimate(opened: Trainset, models: Any, settings: TrainSettings) -> int:
    """A few real steps in a folder that is thrown away."""
    from acestep_core.train.trainer import Trainer

    short = {"max_steps": REAL_STEPS, "log_every": 1, "test_every": 0, "validation": settings.fine.validation}
    with tempfile.TemporaryDirectory() as folder:
        steps = Trainer(opened, models.model, Path(folder), settings).steps
        trying = TrainSettings.of(**{**settings.to_dict(), **short})
        records = Trainer(opened, models.model, Path(folder) / "run", trying).records()
        times = []
        for record in records:
            if record["kind"] == "start":
                sys.stdout.write(f"{record['text']}\n")
            if record["kind"] == "step":
                times.append(time.perf_counter())
                if len(times) == REAL_STEPS:
                    break
    each = (times[-1] - times[0]) / (len(times) - 1)
    sys.stdout.write(f"{counted(steps, 'step')} of about {each:.2f} s: {lasting(steps * each)} on this device.\n")
    return 0


def _read_settings(path: str | None) -> dict[str, Any]:
    """`run.toml`: options stand flat or in tables of any name; `[test_song]` is the test song's own."""
    if path is None:
        return {}
    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}.") from error
    file: dict[str, Any] = {name: values.pop(name) for name in ("trainset", "name", "variant") if name in values}
    song = values.pop("test_song", {})
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    for name in ("every", "seed"):
        if name in song:
            flat[f"test_{name}"] = song.pop(name)
    return {**file, "test_song": song, "settings": flat}


def _test_song(told: argparse.Namespace, file: Mapping[str, Any]) -> Song | None:
    from acestep_core.song.description import Song

    values = {"duration" if name == "seconds" else name: value for name, value in file.items()}
    if told.test_caption is not None:
        values["caption"] = told.test_caption
    if told.test_lyrics is not None:
        values["lyrics"] = read_text(told.test_lyrics)
    if told.test_seconds is not None:
        values["duration"] = told.test_seconds
    return Song.from_dict(values) if values else None


# --- a run that is there --------------------------------------------------------------------------------------------


def _status(told: argparse.Namespace) -> int:
    from acestep_core.pipeline.learning import record_line

    run = run_of(told)
    records = run.records()
    for kind in ("start", "validation", "step", "failed", "stopped", "done"):
        found = [record for record in records if record["kind"] == kind]
        if found and (kind not in ENDS or found[-1] is records[-1]):  # it may have gone on since
            sys.stdout.write(f"{found[-1]['text'] if kind == 'start' else record_line(found[-1])}\n")
    steps = ", ".join(str(checkpoint.step) for checkpoint in run.all()) or "none"
    sys.stdout.write(f"Checkpoints: {steps}\n")
    return 0


def _going_on(told: argparse.Namespace) -> RunFolder:
    """The run. Raises InvalidInput where its log ends with its end, for then nobody hears a wish."""
    run = run_of(told)
    last = (run.records() or [{"kind": "start"}])[-1]
    if last["kind"] in ENDS:
        raise InvalidInput(f"The run {run.name!r} is not training now; it ended at step {last['step']}.")
    return run


def _stop(told: argparse.Namespace) -> int:
    from acestep_core.train.checkpoints import STOP

    run = _going_on(told)
    run.ask(STOP)
    sys.stdout.write(f"{run.name} will end after its step, and keep what it has learned.\n")
    return 0


def _hear(told: argparse.Namespace) -> int:
    from acestep_core.train.checkpoints import HEAR

    run = _going_on(told)
    run.ask(HEAR)
    sys.stdout.write(f"{run.name} will make a test song after its step.\n")
    return 0
