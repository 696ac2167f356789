"""Datasets: find recordings, open, correct and keep what is said about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import DatasetError, InvalidInput
from acestep_core.io.confine import confine
from acestep_core.train.dataset_options import Scanning
from acestep_core.values import counted

from . import inputs, wires
from .host import DATASETS_FOLDER, host, monitor
from .plan import LANGUAGES
from .remarks import Told, told
from .routes import item_of

if TYPE_CHECKING:
    from acestep_core.train.dataset import Dataset, Sample

PLACES = f"Below the input or output folder, or a folder listed as {DATASETS_FOLDER}"
_SAVE_TIP = "Also write the dataset to this file below the output folder; empty writes none."
KEEP = "keep"
NOTHING = "-"
"""What empties a text."""


class ACEStepScanDataset:
    TITLE = "Scan Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Finds the recordings of a folder and reads captions, lyrics, tempo and key that lie beside them."
    SEARCH_ALIASES: ClassVar = ["dataset", "folder", "training data", "import recordings", "csv"]
    RETURN_TYPES = (wires.DATASET, "INT", "STRING")
    RETURN_NAMES = ("dataset", "count", "report")
    OUTPUT_TOOLTIPS = ("The recordings and what is said about them.", "How many there are.", "What to know about them.")
    FUNCTION = "scan"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "folder": inputs.text(f"The folder with recordings. {PLACES}.", "my_songs"),
                **inputs.widgets(Scanning, advanced=False),
            },
            "optional": inputs.widgets(Scanning, advanced=True),
        }

    @classmethod
    def IS_CHANGED(cls, folder: str, **widgets: Any) -> Any:
        return stamp_of(folder)

    def scan(self, folder: str, **widgets: Any) -> Told:
        from acestep_core.train.scan import scan

        found = scan(place_of(folder), Scanning.from_widgets(widgets), places(), monitor())
        report = dataset_report(found)
        return told((found, len(found.samples), report), report)


class ACEStepLoadDataset:
    TITLE = "Load Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Reads a dataset file: one of Save Dataset, or the dataset.json of upstream's program."
    SEARCH_ALIASES: ClassVar = ["open dataset", "dataset.json", "training data"]
    RETURN_TYPES = (wires.DATASET, "INT", "STRING")
    RETURN_NAMES = ("dataset", "count", "report")
    OUTPUT_TOOLTIPS = ("The recordings and what is said about them.", "How many there are.", "What to know about them.")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"file": inputs.text(f"The dataset file. {PLACES}.", "datasets/my_dataset.json")}}

    @classmethod
    def IS_CHANGED(cls, file: str) -> Any:
        try:
            return place_of(file).stat().st_mtime_ns
        except (InvalidInput, OSError):
            return float("nan")

    def load(self, file: str) -> Told:
        from acestep_core.train.dataset_file import load_dataset

        found = load_dataset(place_of(file), places())
        report = dataset_report(found)
        return told((found, len(found.samples), report), report)


class ACEStepEditSample:
    TITLE = "Edit Sample"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Corrects what is said about one recording. What is left as it is here stays."
    SEARCH_ALIASES: ClassVar = ["correct label", "set caption", "dataset entry"]
    RETURN_TYPES = (wires.DATASET,)
    RETURN_NAMES = ("dataset",)
    OUTPUT_TOOLTIPS = ("The dataset with the corrected sample.",)
    FUNCTION = "edit"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        from acestep_core.vocabulary import PLAIN_KEYSCALES, TIME_SIGNATURES

        def text(what: str, **options: Any) -> inputs.Declaration:
            return inputs.text(f"{what} Empty leaves it, '{NOTHING}' empties it.", **options)

        def choice(options: tuple[str, ...], what: str) -> inputs.Declaration:
            return inputs.choice([KEEP, *options], KEEP, f"{what} '{KEEP}' leaves it.")

        return {
            "required": {
                "dataset": inputs.wire(wires.DATASET, "The dataset."),
                "sample": inputs.text("Which one: its id or its file name. Empty changes nothing."),
            },
            "optional": {
                "caption": text("Style, instruments, mood; without the tag.", multiline=True),
                "genre": text("Short tags in place of the caption."),
                "lyrics": text("The words that are sung.", multiline=True),
                "bpm": inputs.integer(0, 0, 300, "Beats per minute. 0 leaves it."),
                "keyscale": choice(("auto", *PLAIN_KEYSCALES), "Musical key; 'auto' leaves it open."),
                "timesignature": choice(("auto", *TIME_SIGNATURES), "Beats per bar; 'auto' leaves it open."),
                "language": choice(tuple(LANGUAGES), "Language of the vocals, as a code."),
                "vocals": choice(("vocals", "instrumental"), "Whether it is sung."),
                "custom_tag": text("A tag of its own."),
                "prompt": choice(("auto", "caption", "genre"), "Which text training reads; 'auto' draws."),
                "repeat": inputs.integer(0, 0, 1000, "How often each epoch sees it. 0 leaves it."),
                "use": choice(("use", "exclude"), "Whether training uses it."),
            },
        }

    def edit(
        self,
        dataset: Dataset,
        sample: str,
        caption: str = "",
        genre: str = "",
        lyrics: str = "",
        bpm: int = 0,
        keyscale: str = KEEP,
        timesignature: str = KEEP,
        language: str = KEEP,
        vocals: str = KEEP,
        custom_tag: str = "",
        prompt: str = KEEP,
        repeat: int = 0,
        use: str = KEEP,
    ) -> tuple[Dataset]:
        if not sample.strip():
            return (dataset,)
        texts = {"caption": caption, "genre": genre, "lyrics": lyrics, "custom_tag": custom_tag}
        changes: dict[str, Any] = {n: "" if t.strip() == NOTHING else t for n, t in texts.items() if t.strip()}
        changes |= {name: number for name, number in (("bpm", bpm), ("repeat", repeat)) if number}
        chosen = {
            "keyscale": keyscale,
            "timesignature": timesignature,
            "language": language,
            "is_instrumental": vocals,
            "prompt_override": prompt,
            "excluded": {"use": "no", "exclude": "yes"}.get(use, KEEP),
        }
        changes |= {name: value for name, value in chosen.items() if value != KEEP}
        return (dataset.edited({sample: changes}),)


class ACEStepEditDataset:
    TITLE = "Edit Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Corrects what is said about many recordings; the corrections are kept in the graph."
    SEARCH_ALIASES: ClassVar = ["dataset table", "correct labels", "dataset editor"]
    RETURN_TYPES = (wires.DATASET,)
    RETURN_NAMES = ("dataset",)
    OUTPUT_TOOLTIPS = ("The corrected dataset.",)
    FUNCTION = "edit"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": inputs.wire(wires.DATASET, "The dataset."),
                "edits": inputs.text(
                    'Corrections as JSON: id or file name, then field and value, such as "song.wav": "bpm": 120.',
                    "{}",
                    multiline=True,
                ),
                "save_as": inputs.text(_SAVE_TIP),
            }
        }

    def edit(self, dataset: Dataset, edits: str, save_as: str) -> Told:
        changed = dataset.edited(_edits(edits))
        if save_as.strip():
            changed = write(changed, target_of(save_as))
        pairs = zip(dataset.samples, changed.samples, strict=True)
        remarks = changed.sample_remarks()
        rows = [_row(before, now, remarks.get(now.id, [])) for before, now in pairs]
        return told((changed,), dataset_report(changed), acestep_dataset=rows, acestep_edits=[edits])


class ACEStepSaveDataset:
    TITLE = "Save Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Writes a dataset file that this pack and upstream's program read."
    SEARCH_ALIASES: ClassVar = ["export dataset", "dataset.json", "write dataset"]
    RETURN_TYPES = (wires.DATASET, "STRING")
    RETURN_NAMES = ("dataset", "path")
    OUTPUT_TOOLTIPS = ("The same dataset.", "Where the file is.")
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": inputs.wire(wires.DATASET, "The dataset."),
                "file": inputs.text("Name below the output folder.", "datasets/my_dataset.json"),
                "reader": inputs.choice(
                    ["acestep-nodes", "upstream"], "acestep-nodes", "Upstream's program wants whole paths."
                ),
            }
        }

    def save(self, dataset: Dataset, file: str, reader: str) -> Told:
        path = target_of(file)
        saved = write(dataset, path, absolute=reader == "upstream")
        return told((saved, str(path)), f"{counted(len(saved.samples), 'recording')}: {path}")


def places() -> list[Path]:
    """Where recordings, datasets and trainsets may lie."""
    return [host().input_folder(), host().output_folder(), *host().dataset_folders()]


def place_of(name: str) -> Path:
    """What may be read; see `places`."""
    try:
        return confine(name.strip(), places())
    except InvalidInput as error:
        raise InvalidInput(
            f"The path {name.strip()[:80]!r} lies outside the input and output folders; move it there, or list its "
            f"folder as {DATASETS_FOLDER} in extra_model_paths.yaml or in the variable ACESTEP_DATASETS."
        ) from error


def stamp_of(folder: str) -> Any:
    """Changes when a file in a folder that may be read does; of any other, always."""
    from acestep_core.train.scan import folder_stamp

    try:
        return folder_stamp(place_of(folder))
    except InvalidInput:
        return float("nan")


def target_of(name: str) -> Path:
    """A dataset file below the output folder."""
    path = confine(name.strip(), [host().output_folder()])
    return path if path.suffix.lower() == ".json" else path.with_name(f"{path.name}.json")


def write(dataset: Dataset, path: Path, absolute: bool = False) -> Dataset:
    """Replaces a dataset, and no other file."""
    from acestep_core.train.dataset_file import load_dataset, save_dataset

    if path.exists():
        try:
            load_dataset(path)
        except DatasetError as error:
            raise DatasetError(f"{path.name} is there already and is no dataset; choose another name.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_dataset(dataset, path, absolute=absolute)


def _edits(text: str) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(text.strip() or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The edits are no JSON ({error}); empty them, or correct them.") from error
    if not isinstance(found, dict) or not all(isinstance(fields, dict) for fields in found.values()):
        raise InvalidInput('The edits must be JSON such as {"song.wav": {"bpm": 120}}.')
    return found


def dataset_report(dataset: Dataset) -> str:
    """What to know about a dataset."""
    own = [f"{sample.filename}: {text}" for sample in dataset.samples for text in sample.problems]
    minutes = sum(sample.duration for sample in dataset.samples) / 60
    size = f"{counted(len(dataset.samples), 'recording')}, {minutes:.1f} minutes"
    lines = [size, *dataset.problems, *own, *dataset.remarks()]
    return "\n".join(lines)


def _row(given: Sample, sample: Sample, remarks: list[str]) -> dict[str, Any]:
    """What a table shows of a sample, and what it said before it was edited here."""
    from acestep_core.train.sample_fields import FIELDS

    values, before = ({name: getattr(of, name) for name in FIELDS} for of in (sample, given))
    path, shown = Path(sample.audio_path).resolve(), None
    for kind, folder in (("input", host().input_folder()), ("output", host().output_folder())):
        root = folder.resolve()
        if path.is_relative_to(root):
            shown = item_of(path, root, kind)
    return {
        "id": sample.id,
        "name": sample.filename,
        "seconds": sample.duration,
        "labeled": sample.labeled,
        "problems": [*sample.problems, *remarks],
        "audio": shown,
        "before": {name: value for name, value in before.items() if value != values[name]},
        **values,
    }
