from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from acestep_core.builtin import tiny, tiny_tokenizer
from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.find import is_tiny
from acestep_core.checkpoints.layouts import open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.checkpoints.weights import assign
from acestep_core.errors import CheckpointError
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.pipeline.opening import tiny_folder
from acestep_core.render.task import silence_frames
from tests.places import nothing_known


def contents(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def load_dit(root: Path, name: str) -> AceStepModel:
    files = open_dit(root / name)
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig.from_json(files.config))
    assign(model, files.tensors, files.source, torch.float32)
    model.silence_latent = files.silence
    return model.eval().requires_grad_(False)


def load_vae(root: Path) -> OobleckVAE:
    files = open_vae(root)
    vae = OobleckVAE(OobleckConfig.from_json(files.config))
    vae.load_state_dict(fold_weight_norm(files.tensors))
    return vae.eval().requires_grad_(False)


def load_lm(root: Path) -> tuple[Qwen3, Tokenizer]:
    files = open_lm(root)
    with torch.device("meta"):
        model = Qwen3(Qwen3Config.from_json(files.config))
    assign(model, files.tensors, files.source, torch.float32)
    return model.eval().requires_grad_(False), Tokenizer.from_file(str(files.tokenizer_file))


def test_it_has_upstreams_files_and_is_small(tiny_root: Path):
    files = contents(tiny_root)
    for name in (
        "acestep-v15-turbo/config.json",
        "acestep-v15-turbo/model.safetensors",
        "acestep-v15-turbo/silence_latent.pt",
        "acestep-v15-base/model.safetensors",
        "acestep-v15-xl-turbo/model.safetensors.index.json",
        "acestep-v15-xl-turbo/model-00001-of-00002.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "Qwen3-Embedding-0.6B/tokenizer.json",
        "acestep-5Hz-lm-0.6B/tokenizer_config.json",
        "tiny.json",
    ):
        assert name in files
    assert sum(map(len, files.values())) < 60e6


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    one, two, other = (
        contents(build_tiny(tmp_path / name, seed, variants=("turbo",), layouts=("diffusers", "comfyui")))
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert one == two
    changed = {name for name in one if one[name] != other[name]}
    assert {name for name in one if name.endswith(".safetensors")} <= changed
    assert "acestep-5Hz-lm-0.6B/tokenizer.json" not in changed


def test_an_interrupted_build_is_known_for_what_it_is_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "tiny"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tiny, "silence_latent", interrupt)
        build_tiny(folder, variants=("turbo",))
    assert is_tiny(folder) and not tiny.is_finished(folder)
    build_tiny(folder, variants=("turbo",))
    assert tiny.is_finished(folder)


def test_no_folder_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Windows refuses that while a scanner looks at the files in it, which it does right after they were written."""
    rename = os.rename

    def refuse(source: str | Path, target: str | Path, **options: object) -> None:
        if Path(source).is_dir():
            raise PermissionError(13, "Access is denied", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    nothing_known(monkeypatch, tmp_path)
    assert tiny.is_finished(tiny_folder())
    assert tiny_folder() == tiny_folder()


def test_it_can_be_added_to_a_folder(tiny_root: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("x")
    build_tiny(tmp_path, variants=("sft",))
    assert (tmp_path / "mine.txt").exists()
    config = json.loads((tmp_path / "acestep-v15-sft" / "config.json").read_text())
    assert config["is_turbo"] is False
    assert "model_version" not in config
    assert open_dit(tmp_path / "acestep-v15-sft").variant.name == "sft"


def test_unknown_names_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no variant called 'nano'"):
        build_tiny(tmp_path / "x", variants=("nano",))
    with pytest.raises(CheckpointError, match="no layout called 'onnx'"):
        build_tiny(tmp_path / "x", layouts=("onnx",))
    assert not (tmp_path / "x").exists()


def test_xl_is_shaped_like_xl(tiny_root: Path):
    config = open_dit(tiny_root / "acestep-v15-xl-turbo").config
    assert config["encoder_hidden_size"] < config["hidden_size"]
    assert config["num_attention_heads"] * config["head_dim"] != config["hidden_size"]


@pytest.mark.parametrize("name", ["acestep-v15-turbo", "acestep-v15-base", "acestep-v15-xl-turbo"])
@torch.inference_mode()
def test_velocities_are_around_one_and_follow_the_condition(tiny_root: Path, name: str):
    model = load_dit(tiny_root, name)
    generator = torch.Generator().manual_seed(0)
    x, context = (
        torch.randn(1, 250, 64, generator=generator),
        torch.cat([silence_frames(model.silence_latent, 250), torch.ones(1, 250, 64)], -1),
    )
    width = model.config.text_hidden_dim
    conditions = [
        model.encoder(torch.randn(1, 12, width, generator=generator), torch.randn(1, 20, width, generator=generator),
                      silence_frames(model.silence_latent, 750))
        for _ in range(2)
    ]  # fmt: skip
    for t in (1.0, 0.5, 0.1):
        first, second = (model.decoder(x, torch.tensor([t]), context, condition) for condition in conditions)
        assert 0.5 < first.std() < 2
        assert first.std(dim=1).mean() > 0.3, "it changes over time"
        assert 0.05 < (first - second).std() < 2


@torch.inference_mode()
def test_semantic_codes_use_the_codebook(tiny_root: Path):
    model = load_dit(tiny_root, "acestep-v15-turbo")
    codes = model.codes(torch.randn(1, 1000, 64, generator=torch.Generator().manual_seed(0)))
    assert len(codes.unique()) > 150
    assert 0.3 < model.hints(codes).std() < 3


@torch.inference_mode()
def test_audio_is_neither_silent_nor_clipping(tiny_root: Path):
    vae = load_vae(tiny_root)
    for seed in range(3):
        latents = 1.4 * torch.randn(1, 64, 100, generator=torch.Generator().manual_seed(seed))
        audio = vae.decode(latents)
        assert audio.shape == (1, 2, 192_000)
        assert 0.1 < audio.abs().max() < 1.5
        assert audio.mean().abs() < 0.1 * audio.std(), "no constant offset"
        power = torch.fft.rfft(audio[0, 0]).abs().square()
        below_5_khz = power[: len(power) * 5 // 24].sum() / power.sum()
        assert below_5_khz > 0.5, "it hums, it does not hiss"
        assert not torch.allclose(audio[0, 0], audio[0, 1])


@pytest.mark.processor
@torch.inference_mode()
def test_the_encoder_hears(tiny_root: Path):
    vae = load_vae(tiny_root)
    noise = 0.2 * torch.randn(1, 2, 96_000, generator=torch.Generator().manual_seed(0))
    mean, deviation = vae.posterior(noise)
    assert mean.shape == (1, 64, 50)
    assert 0.3 < mean.std() < 4
    assert deviation.max() < 0.2, "a narrow posterior"


@pytest.mark.processor
@torch.inference_mode()
def test_silence_is_what_the_vae_makes_of_silence(tiny_root: Path):
    silence = open_dit(tiny_root / "acestep-v15-turbo").silence
    encoded = load_vae(tiny_root).encode(torch.zeros(1, 2, 1920 * 100)).transpose(1, 2)
    torch.testing.assert_close(silence[:, :90], encoded[:, :90], rtol=0, atol=2e-3)
    assert (silence[0, 0] - silence[0, -1]).abs().max() > 0.05, "its first frames differ"
    assert silence.shape == (1, 15000, 64)


def test_with_the_real_encoder_width_it_is_diffusers_vae():
    from diffusers import AutoencoderOobleck

    config = tiny.VAE | {"encoder_hidden_size": 128}
    tensors = tiny.vae_tensors(config, seed=0)
    theirs = AutoencoderOobleck.from_config(config)
    theirs.load_state_dict(tensors, strict=True)
    ours = OobleckVAE(OobleckConfig.from_json(config))
    ours.load_state_dict(fold_weight_norm(tensors))
    latents = torch.randn(1, 64, 10, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours.decode(latents), theirs.decode(latents).sample, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_language_model_writes_words_and_stops(tiny_root: Path):
    model, tokenizer = load_lm(tiny_root)
    generator = torch.Generator().manual_seed(0)
    ids = tokenizer.encode("<|im_start|>user\na song<|im_end|>\n<|im_start|>assistant\n").ids
    prompt = len(ids)
    stop, newline = tokenizer.token_to_id("<|im_end|>"), tokenizer.encode("\n").ids[0]
    while len(ids) < prompt + 400 and ids[-1] != stop:
        probabilities = model.logits(model(torch.tensor([ids]))[:, -1])[0].softmax(-1)
        ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
    written = ids[prompt:]
    assert written[-1] == stop
    assert newline in written
    words = sum(tokenizer.id_to_token(i).lstrip("Ġ") in tiny_tokenizer.WORDS for i in written)
    assert words > len(written) / 2


@torch.inference_mode()
def test_the_language_model_listens_when_it_picks_codes(tiny_root: Path):
    model, tokenizer = load_lm(tiny_root)
    first = tokenizer.token_to_id("<|audio_code_0|>")
    probabilities = []
    for caption in ("a slow piano song", "fast metal"):
        hidden = model(torch.tensor([tokenizer.encode(f"# Caption\n{caption}\n</think>\n\n").ids]))[:, -1]
        probabilities.append(model.logits(hidden)[0, first:].softmax(-1))
    assert len(probabilities[0]) == 65535
    assert 1e-5 < probabilities[0].max() < 0.05, "many codes are likely, none is certain"
    assert (probabilities[0] - probabilities[1]).abs().sum() > 0.1


# --- tokenizers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizers(tiny_root: Path) -> dict[str, Tokenizer]:
    return {
        "text": Tokenizer.from_file(str(open_text_encoder(tiny_root).tokenizer_file)),
        "lm": Tokenizer.from_file(str(open_lm(tiny_root).tokenizer_file)),
    }


def test_special_tokens_follow_the_vocabulary_in_qwens_order(tokenizers):
    for tokenizer in tokenizers.values():
        first = tokenizer.token_to_id("<|endoftext|>")
        for i, token in enumerate(tiny_tokenizer.SPECIAL_TOKENS):
            assert tokenizer.token_to_id(token) == first + i
    # Qwen3's own numbers: 151643 <|endoftext|>, 151645 <|im_end|>, 151667 <think>, 151668 </think>.
    assert tiny_tokenizer.SPECIAL_TOKENS.index("<|im_end|>") == 2
    assert tiny_tokenizer.SPECIAL_TOKENS.index("</think>") == 151668 - 151643


def test_audio_codes_are_contiguous_after_think(tokenizers):
    lm = tokenizers["lm"]
    first = lm.token_to_id("</think>") + 1
    assert [lm.token_to_id(f"<|audio_code_{n}|>") for n in (0, 1, 63999, 65534)] == [
        first,
        first + 1,
        first + 63999,
        first + 65534,
    ]
    assert lm.get_vocab_size() == first + 65535
    assert lm.token_to_id("<|audio_code_65535|>") is None
    assert tokenizers["text"].token_to_id("<|audio_code_0|>") is None


def test_ids_fill_the_embedding(tiny_root: Path, tokenizers):
    assert tokenizers["lm"].get_vocab_size() == open_lm(tiny_root).config["vocab_size"]
    spare = open_text_encoder(tiny_root).config["vocab_size"] - tokenizers["text"].get_vocab_size()
    assert 0 <= spare < 64


def test_text_is_cut_as_qwen_cuts_it(tokenizers):
    lm = tokenizers["lm"]
    assert lm.encode("\n").ids == [198]
    assert lm.encode(" ").ids == [220]
    assert lm.encode("`").ids == [63]
    assert lm.encode("bpm: 128").tokens == ["bpm", ":", "Ġ", "1", "2", "8"]
    assert lm.encode("</think>\n\n<|audio_code_5|>").tokens == ["</think>", "ĊĊ", "<|audio_code_5|>"]
    assert len(lm.encode("# Caption\n").ids) < 5


def test_any_text_survives(tokenizers):
    for text in ("Straße, 夜に駆ける 🎵\n\n[verse]\t'tis", "<|im_start|>user\nhi<|im_end|>\n"):
        assert tokenizers["lm"].decode(tokenizers["lm"].encode(text).ids, skip_special_tokens=False) == text


def test_the_text_encoders_tokenizer_appends_one_end(tokenizers):
    end = tokenizers["text"].token_to_id("<|endoftext|>")
    assert tokenizers["text"].encode("x<|endoftext|>\n").ids[-3:] == [end, 198, end]
    assert tokenizers["text"].encode("x<|endoftext|>").ids[-2:] == [end, end]
    assert end not in tokenizers["lm"].encode("x").ids


def test_transformers_reads_both_the_same_way(tiny_root: Path, tokenizers):
    from transformers import AutoTokenizer

    for name, folder in (("text", "Qwen3-Embedding-0.6B"), ("lm", "acestep-5Hz-lm-0.6B")):
        theirs = AutoTokenizer.from_pretrained(tiny_root / folder)
        text = "# Caption\na gentle song\n\n[chorus] 12\n</think>\n\n"
        assert (
            theirs(text, add_special_tokens=False)["input_ids"]
            == tokenizers[name].encode(text, add_special_tokens=False).ids
        )
        assert theirs.pad_token == "<|endoftext|>"
