"""The loaders: names in, handles out, and the same ones as the library and the command."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_core.checkpoints.catalog import TIERS
from acestep_core.checkpoints.find import search_roots
from acestep_core.commands import song as command
from acestep_core.commands.main import main
from acestep_core.errors import CheckpointError
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.models.handles import Models
from acestep_core.pipeline.opening import open_models

LARGE = next(name for name, tier in TIERS.items() if tier.lm == "4B")
PARTS = ("vae", "Qwen3-Embedding-0.6B")


def test_loaders(call: Callable[..., Any], folders: Any) -> None:
    (auto,) = call("ACEStepModelLoader", model="auto")
    (named,) = call("ACEStepModelLoader", model="acestep-v15-turbo")
    (wanted,) = call("ACEStepModelLoader", model="auto", variant="xl-turbo")
    assert auto == named and auto.variant == "turbo"
    assert wanted.variant == "xl-turbo"
    assert auto.text is not None and auto.text.path.parent == folders.models
    with pytest.raises(
        CheckpointError, match=r"no DiT called 'gone' in .*, only acestep-v15-base, .* put its files back"
    ):
        call("ACEStepModelLoader", model="gone")
    with pytest.raises(CheckpointError):
        call("ACEStepModelLoader", model="acestep-v15-turbo", variant="base")
    model, vae, lm = call("ACEStepLoader", preset="auto")
    assert (model, vae) == (auto, call("ACEStepVAELoader", vae="auto")[0])
    assert lm == call("ACEStepLMLoader", lm="auto")[0]
    assert call("ACEStepLoader", preset="under 6 GB: no language model")[2] is None


def test_what_is_built_in_stands_in_where_there_is_none(pack: Any, tmp_path: Any, registry: Any) -> None:
    with hosting(Folders.under(tmp_path / "empty")):
        declared = pack.classes["ACEStepModelLoader"].INPUT_TYPES()
        assert declared["required"]["model"][0] == ["auto", "toy (built-in model)", "tiny (test model)"]
        loader = pack.classes["ACEStepModelLoader"]()
        told = loader.load("auto")
        (handle,) = told["result"]
        assert loader.load("toy (built-in model)")["result"] == (handle,)
        (tiny,) = loader.load("tiny (test model)")["result"]
        (base,) = loader.load("tiny (test model)", "sft")["result"]
        with pytest.raises(CheckpointError, match=r"no sft model in .*models download sft"):
            loader.load("auto", "sft")
    assert handle.variant == "turbo" and handle.toy and "toy model" in str(told["ui"])
    assert tiny.path.is_relative_to(tmp_path.parent) and tiny.tiny and not tiny.toy
    assert base.variant == "base"


def test_auto_notices_new_models(pack: Any, tmp_path: Any, tiny_root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = pack.classes["ACEStepVAELoader"]
    folders = Folders.under(tmp_path / "some")
    monkeypatch.setattr(sys.modules[loader.__module__].models, "RESCAN_SECONDS", -1.0)
    with hosting(folders):
        before = loader.IS_CHANGED("auto")
        shutil.copytree(tiny_root / "vae", folders.models / "vae")
        assert loader.IS_CHANGED("auto") != before
        assert loader.IS_CHANGED("vae") == loader.IS_CHANGED("vae")


@pytest.mark.parametrize("peft", [False, True], ids=["file", "folder"])
def test_a_lora_that_was_replaced_is_another_one(pack: Any, tmp_path: Path, peft: bool) -> None:
    loader = pack.classes["ACEStepLoRALoader"]
    folders = Folders.under(tmp_path / "some")
    name = "mine" if peft else "mine.safetensors"
    with hosting(folders):
        file = (
            folders.models / "loras" / name / "adapter_model.safetensors" if peft else folders.models / "loras" / name
        )
        file.parent.mkdir(parents=True)
        file.write_bytes(b"one")
        if peft:
            (file.parent / "adapter_config.json").write_text("{}")
        before = loader.IS_CHANGED(lora=name, strength=1.0, model=None)
        assert loader.IS_CHANGED(lora=name, strength=1.0, model=None) == before != ""
        file.write_bytes(b"two, which is longer")
        assert loader.IS_CHANGED(lora=name, strength=1.0, model=None) != before
        assert loader.IS_CHANGED(lora="none") == loader.IS_CHANGED(lora="gone") == ""
        assert loader.IS_CHANGED(lora="../outside") == ""
        assert loader.IS_CHANGED(lora="none", loras=3, lora_3=name) != ""
        assert loader.IS_CHANGED(lora="none", loras=2, lora_3=name) == ""


def test_the_loader_takes_no_tiny_models_beside_real_ones(
    call: Any, folders: Any, install: Any, tmp_path: Path
) -> None:
    """The tiny checkpoint lies in the models folder, too."""
    real = install(tmp_path / "checkpoints", "acestep-v15-turbo", *PARTS, "acestep-5Hz-lm-1.7B")
    model, vae, lm = call("ACEStepLoader", preset=LARGE)
    assert [part.path.parent for part in (model, model.text, vae, lm)] == [real] * 4
    assert model.variant == "turbo" and lm.path.name == "acestep-5Hz-lm-1.7B"
    with pytest.raises(CheckpointError, match=r"There is no base model in .*, only turbo;.*models download base"):
        call("ACEStepModelLoader", model="auto", variant="base")


def test_the_loader_gives_no_language_model_rather_than_a_tiny_one(call: Any, install: Any, tmp_path: Path) -> None:
    install(tmp_path / "checkpoints", "acestep-v15-turbo", *PARTS)
    assert call("ACEStepLoader", preset="auto")[2] is None
    with pytest.raises(CheckpointError, match=r"There is no language model in .*, only the DiT acestep-v15-turbo"):
        call("ACEStepLMLoader", lm="auto")


def test_broken_weights_do_not_lead_to_the_tiny_ones_here_either(call: Any, install: Any, tmp_path: Path) -> None:
    root = install(tmp_path / "checkpoints", "vae")
    shutil.copytree(root / "vae", root / "acestep-v15-turbo")
    (root / "acestep-v15-turbo" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"acestep-v15-turbo/config\.json"):
        call("ACEStepModelLoader", model="auto")


def test_comfyuis_files_are_taken_by_auto(call: Any, install: Any, tmp_path: Path) -> None:
    names = (
        "diffusion_models/acestep_v1.5_turbo.safetensors",
        "vae/ace_1.5_vae.safetensors",
        "text_encoders/qwen_0.6b_ace15.safetensors",
        "text_encoders/qwen_1.7b_ace15.safetensors",
    )
    root = install(tmp_path / "checkpoints", *names)
    model, vae, lm = call("ACEStepLoader", preset="auto")
    assert [part.path for part in (model, vae, model.text, lm)] == [root / name for name in names]
    (told,) = call("ACEStepModelLoader", model="acestep_v1.5_turbo")
    (said,) = call("ACEStepModelLoader", model="acestep_v1.5_turbo", variant="sft")
    assert (told.variant, said.variant) == ("turbo", "sft"), "the name tells, the user has the last word"


def test_the_loader_says_what_it_took_instead(pack: Any, folders: Any, install: Any, tmp_path: Path) -> None:
    def said(preset: str) -> str:
        with hosting(folders):
            return pack.classes["ACEStepLoader"]().load(preset)["ui"]["text"][0]

    assert "There is no 4B language model here" in said(LARGE), "the tiny checkpoint in the models folder has another"
    install(tmp_path / "checkpoints", "acestep-v15-turbo", *PARTS, "acestep-5Hz-lm-4B")
    assert said(LARGE).startswith("There is no xl-turbo model here, so acestep-v15-turbo is taken;")
    assert said("auto") == "Using acestep-v15-turbo as turbo"


# --- one rule for all three doors -----------------------------------------------------------------------------------

SOURCES = (
    "acestep-v15-turbo",
    "acestep-v15-base",
    "acestep-v15-xl-turbo",
    "acestep-v15-turbo=acestep-v15-turbo-shift3",
    "vae",
    "Qwen3-Embedding-0.6B",
    "acestep-5Hz-lm-0.6B",
    "acestep-5Hz-lm-1.7B",
    "acestep-5Hz-lm-4B",
    "diffusion_models/acestep_v1.5_turbo.safetensors",
    "diffusion_models/acestep_v1.5_turbo.safetensors=diffusion_models/my_mix.safetensors",
    "vae/ace_1.5_vae.safetensors=comfyui/vae/ace_1.5_vae.safetensors",
    "text_encoders/qwen_0.6b_ace15.safetensors",
    "text_encoders/qwen_1.7b_ace15.safetensors",
    "checkpoints/ace_step_1.5_turbo_aio.safetensors",
)
"""A folder or file of each kind and layout, see `install`."""
PLACES = ("first", "second", "host/models")


class Taken(Exception):
    pass


def outcome(door: Callable[[], Models]) -> Any:
    """The paths that were taken, or the sentence of the refusal."""
    try:
        models = door()
    except CheckpointError as error:
        return str(error)
    parts = (models.model, models.model.text, models.vae, models.lm)
    return models.model.variant, *(None if part is None else part.path.resolve() for part in parts)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sets(st.sampled_from(SOURCES)), min_size=3, max_size=3),
    st.sets(st.sampled_from(SOURCES[:6]), max_size=2),
    st.sampled_from([None, "turbo", "base", "xl-turbo"]),
)
def test_canvas_library_and_command_take_the_same(
    pack: Any, install: Any, tmp_path: Path, monkeypatch: Any, capsys: Any, spread: Any, torn: Any, variant: str | None
) -> None:
    base = Path(tempfile.mkdtemp(dir=tmp_path))
    roots = [base / place for place in PLACES]
    for root, names in zip(roots, spread, strict=True):
        install(root, *sorted(names))
        for name in torn & names:  # broken ones
            (root / name.partition("=")[2] / "config.json" if "=" in name else root / name / "config.json").unlink()
    (base / "host" / "models").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(base / "host")
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", os.pathsep.join(map(str, roots[:2])))

    def canvas() -> Models:
        with hosting(Folders.under(base / "host")):
            (model,) = pack.classes["ACEStepModelLoader"]().load("auto", variant or "auto")["result"]
            (vae,) = pack.classes["ACEStepVAELoader"]().load("auto")["result"]
            whole = pack.classes["ACEStepLoader"]().load("auto")["result"] if variant is None else (model, vae, None)
            assert whole[:2] == (model, vae)
            has_lm = any("lm" in name or "1.7b" in name or "aio" in name for names in spread for name in names)
            lm = pack.classes["ACEStepLMLoader"]().load("auto")["result"][0] if has_lm or model.tiny else None
        assert variant is not None or whole[2] == lm
        return Models(model, vae, lm)

    def terminal() -> Models:
        taken = []

        def take(options: Any, song: Any, models: Models, bar: Any) -> Any:
            taken.append(models)
            raise Taken

        monkeypatch.setattr(command, "_request", take)
        try:
            status = main(["song", "a", *([] if variant is None else ["--variant", variant])])
        except Taken:
            return taken[0]
        assert status == 1
        raise CheckpointError(capsys.readouterr().err.strip().rpartition("acestep: ")[2])

    library = outcome(lambda: open_models(variant=variant))
    assert outcome(terminal) == library
    assert outcome(lambda: open_models(variant=variant, roots=search_roots([base / "host" / "models"]))) == library
    seen = outcome(canvas)
    if isinstance(library, str) or variant is None:
        assert seen == library
    else:  # a VAE loader does not know which DiT another node was asked for; any VAE is the same
        assert (seen[0], seen[1], seen[2]) == library[:3]
