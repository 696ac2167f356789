"""What models make of a dataset before training: labels, and the tensors that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.io.names import safe_name
from acestep_core.train.dataset_options import Labelling, Preprocessing

from . import inputs, wires
from .datasets import PLACES, dataset_report, place_of, places, stamp_of, target_of, write
from .host import host, monitor
from .plan import needed
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import LMHandle, ModelHandle, VAEHandle
    from acestep_core.train.dataset import Dataset


class ACEStepLabelDataset:
    TITLE = "Label Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Lets the language model listen to every recording and write caption, genre, tempo and key."
    SEARCH_ALIASES: ClassVar = ["auto label", "caption", "tagging", "transcribe", "annotate"]
    RETURN_TYPES = (wires.DATASET, "INT", "STRING")
    RETURN_NAMES = ("dataset", "labeled", "report")
    OUTPUT_TOOLTIPS = ("The labelled dataset.", "How many samples have a caption.", "What to know about them.")
    FUNCTION = "label"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": inputs.wire(wires.DATASET, "The dataset; what you wrote stays unless you ask."),
                "model": inputs.wire(wires.MODEL, "The model whose audio tokenizer listens."),
                "vae": inputs.wire(wires.VAE, "The VAE that encodes the recordings."),
                "lm": inputs.wire(wires.LM, "The language model that writes."),
                **inputs.widgets(Labelling, advanced=False),
                "seed": inputs.seed("Another seed hears the same in other words."),
                "save_as": inputs.text(
                    "File below the output folder, written after every recording, so that a stopped run goes on.",
                    "datasets/my_dataset.json",
                ),
            },
            "optional": inputs.widgets(Labelling, advanced=True),
        }

    def label(
        self,
        dataset: Dataset,
        model: ModelHandle,
        vae: VAEHandle,
        lm: LMHandle | None,
        seed: int,
        save_as: str,
        **widgets: Any,
    ) -> Told:
        from acestep_core.train.dataset_file import load_dataset
        from acestep_core.train.label import label, resumed

        file = target_of(save_as) if save_as.strip() else None
        if file is not None and file.exists():
            dataset = resumed(dataset, load_dataset(file, places()), needed(lm), seed)

        def save(changed: Dataset) -> None:
            if file is not None:
                write(changed, file)

        done = label(
            dataset,
            model,
            vae,
            needed(lm),
            trainset_folder(dataset),
            Labelling.from_widgets(widgets),
            seed=seed,
            save=save,
            monitor=monitor(),
        )
        report = dataset_report(done)
        return told((done, sum(sample.labeled for sample in done.samples), report), report)


class ACEStepPreprocess:
    TITLE = "Preprocess Dataset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Turns a dataset into the tensors that training reads. What is there already is not made again."
    SEARCH_ALIASES: ClassVar = ["encode dataset", "latents", "tensors", "prepare training"]
    RETURN_TYPES = (wires.TRAINSET, "FLOAT", "STRING")
    RETURN_NAMES = ("trainset", "seconds", "report")
    OUTPUT_TOOLTIPS = ("What training reads.", "Length of all recordings together.", "What to know about them.")
    FUNCTION = "make"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": inputs.wire(wires.DATASET, "The dataset."),
                "model": inputs.wire(wires.MODEL, "The model that will be trained."),
                "vae": inputs.wire(wires.VAE, "The VAE that encodes the recordings."),
                **inputs.widgets(Preprocessing, advanced=False),
            },
            "optional": inputs.widgets(Preprocessing, advanced=True),
        }

    def make(self, dataset: Dataset, model: ModelHandle, vae: VAEHandle, **widgets: Any) -> Told:
        from acestep_core.train.preprocess import preprocess, report_of

        options = Preprocessing.from_widgets(widgets)
        made = preprocess(dataset, model, vae, trainset_folder(dataset), options, monitor=monitor())
        report = report_of(made)
        return told((made, made.manifest.seconds, report), report)


class ACEStepLoadTrainset:
    TITLE = "Load Trainset"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Opens what Preprocess Dataset has made, or a folder of upstream's .pt files."
    SEARCH_ALIASES: ClassVar = ["open trainset", "tensors", "pt files", "training data"]
    RETURN_TYPES = (wires.TRAINSET,)
    RETURN_NAMES = ("trainset",)
    OUTPUT_TOOLTIPS = ("What training reads.",)
    FUNCTION = "open"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"folder": inputs.text(f"The folder. {PLACES}.", "trainsets/my_dataset")}}

    @classmethod
    def IS_CHANGED(cls, folder: str) -> Any:
        return stamp_of(folder)

    def open(self, folder: str) -> Told:
        from acestep_core.train.trainset import Trainset
        from acestep_core.train.upstream_tensors import import_upstream, is_upstream

        place = place_of(folder)
        if is_upstream(place):
            target = host().output_folder() / "trainsets" / f"{safe_name(place.name)}_upstream"
            found = import_upstream(place, target, monitor())
        else:
            found = Trainset.open(place)
        return told((found,), "\n".join([f"{len(found)} songs.", *found.manifest.problems.values()]))


def trainset_folder(dataset: Dataset) -> Path:
    """Where the tensors of a dataset are made; labelling keeps its latents there, too."""
    return host().output_folder() / "trainsets" / safe_name(dataset.name, "dataset")
