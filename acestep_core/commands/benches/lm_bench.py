"""How fast the language model writes codes, beside transformers doing the same work in the same process.

Weights are random: speed does not depend on them, except that a flat distribution makes top-p sort everything, so the
logits are scaled until they are as decided as a trained model's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import sizes
from acestep_core.commands.benches.runner import OURS, bandwidth, seconds_of
from acestep_core.errors import InvalidInput
from acestep_core.io import system

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from acestep_core.models.language_model import LanguageModel

HELP = "tokens per second of the language model's codes"
BATCHED, UNBATCHED = "transformers, batched guidance", "transformers, guidance_scale"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=sizes.LM, default="tiny", help="all with the real vocabulary (default tiny)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="songs at once (default 1)")
    parser.add_argument("--prompt", type=int, default=400, metavar="N", help="prompt tokens (default 400)")
    parser.add_argument("--tokens", type=int, default=60, metavar="N", help="codes per song (default 60)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved repetitions (default 3)")
    parser.add_argument("--cfg", type=float, default=2.0, metavar="S", help="guidance scale (default 2)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="on a CPU (default 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default auto)")
    parser.add_argument("--alone", action="store_true", help="without transformers")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the variants in turn and returns seconds per token of each, prefill taken off, with all settings."""
    import torch

    from acestep_core.devices import device_name, is_host, pick_device

    if min(options.batch, options.prompt, options.tokens, options.rounds) < 1:
        raise InvalidInput("batch, prompt, tokens and rounds must be at least 1.")
    device = pick_device(options.device)
    lm = random_model(options.size, device)
    writers: dict[str, Callable[[int], Any]] = {OURS: our_writer(lm, options)}
    if not options.alone:
        writers |= transformers_writers(lm, options)
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        seconds = seconds_per_token(writers, options, device)
    finally:
        torch.set_num_threads(threads)
    result = {name: {"best": min(times), "median": statistics.median(times)} for name, times in seconds.items()}
    ours = result[OURS]["best"]
    speedup = {name: times["best"] / ours for name, times in result.items() if name != OURS}
    floor = None if is_host(device) else memory_floor(lm, options)
    return {
        "benchmark": "lm",
        "device": system.processor_name() if is_host(device) else device_name(device),
        "dtype": str(lm.dtype).removeprefix("torch."),
        "settings": {name: getattr(options, name) for name in ("size", "batch", "prompt", "tokens", "rounds", "cfg")},
        "seconds_per_token": result,
        "speedup": speedup,
        "ratios": {f"faster than {name}": ratio for name, ratio in speedup.items()},
        "songs_at_once_tokens_per_second": options.batch / ours,
        "fraction_of_memory_floor": None if floor is None else floor / ours,
    }


def seconds_per_token(
    writers: Mapping[str, Callable[[int], Any]], options: argparse.Namespace, device: torch.device
) -> dict[str, list[float]]:
    """What a token takes each of the writers, in turn, one figure a round; their prompts are taken off."""
    for writer in writers.values():
        writer(3)
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(options.rounds):
        for name, writer in writers.items():
            short, long = (seconds_of(partial(writer, count), device) for count in (2, options.tokens + 2))
            seconds[name].append((long - short) / options.tokens)
    return seconds


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    lines = [f"{result['device']}, {result['dtype']}, {settings}", ""]
    lines.append(f"{'':32}{'ms/token':>10}{'median':>10}{'tokens/s':>10}{'ours is':>10}")
    for name, times in result["seconds_per_token"].items():
        ratio = result["speedup"].get(name)
        lines.append(
            f"{name:32}{times['best'] * 1e3:10.2f}{times['median'] * 1e3:10.2f}"
            f"{result['settings']['batch'] / times['best']:10.1f}" + (f"{ratio:9.2f}x" if ratio else "")
        )
    if result["fraction_of_memory_floor"] is not None:
        lines.append(f"\n{result['fraction_of_memory_floor']:.0%} of what the memory's bandwidth allows.")
    return "\n".join(lines)


def random_model(
    size: str, device: torch.device, dtype: torch.dtype | None = None, tokenizer: Tokenizer | None = None
) -> LanguageModel:
    """A language model of the given size with random weights, made on the device; the built-in words if no others."""
    from acestep_core.devices import dtype_for
    from acestep_core.models.language_model import LanguageModel

    model = sizes.random_qwen(size, sizes.LM_ROWS, device, dtype or dtype_for("lm", device))
    model.norm.weight.fill_(8 / (0.02 * model.config.hidden_size**0.5))  # logits with a standard deviation of 8
    return LanguageModel(model, tokenizer or built_in_words())


def built_in_words() -> Tokenizer:
    from tokenizers import Tokenizer

    from acestep_core.builtin.tiny_tokenizer import tokenizer_json

    return Tokenizer.from_str(tokenizer_json(codes=True))


def our_writer(lm: LanguageModel, options: argparse.Namespace) -> Callable[[int], Any]:
    from acestep_core.options import LMSampling
    from acestep_core.planner.decode import CodesPrompt, decode_codes

    conditional, unconditional = prompts(lm, options.prompt)
    other = unconditional if options.cfg != 1 else None
    songs = [CodesPrompt(conditional, other, seed) for seed in range(options.batch)]
    sampling = LMSampling(cfg_scale=options.cfg)
    return lambda count: decode_codes(lm, songs, sampling, count)


def transformers_writers(lm: LanguageModel, options: argparse.Namespace) -> dict[str, Callable[[int], Any]]:
    """`generate` with the same weights, prompts and sampling; codes only, as ours.

    Batched guidance needs a processor of one's own, and top-p then runs on both rows of a song, for `generate` has no
    notion of two rows that share a token. `guidance_scale` runs the two prompts one after the other.
    """
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList, Qwen3ForCausalLM
    from transformers import Qwen3Config as ReferenceConfig

    values: dict[str, Any] = asdict(lm.model.config) | {"tie_word_embeddings": True, "bos_token_id": None}
    values |= {"pad_token_id": lm.ids.end, "eos_token_id": lm.ids.end}
    with lm.device:
        reference: Any = Qwen3ForCausalLM(ReferenceConfig(**values)).eval()
    reference.model.load_state_dict(lm.model.state_dict(), assign=True)
    reference.tie_weights()
    codes = lm.ids.code_slice

    class CodesOnly(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            masked = torch.full_like(scores, -torch.inf)
            masked[:, codes] = scores[:, codes]
            return masked

    class BatchedGuidance(LogitsProcessor):
        """Rows are conditional, then unconditional. Both halves draw from the guided logits: the same work."""

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            conditional, unconditional = scores.float().log_softmax(-1).chunk(2)
            return (unconditional + options.cfg * (conditional - unconditional)).repeat(2, 1)

    conditional, unconditional = (
        torch.tensor([prompt] * options.batch, device=lm.device) for prompt in prompts(lm, options.prompt)
    )
    both = torch.cat((conditional, unconditional)) if options.cfg != 1 else conditional
    sampling: dict[str, Any] = {"do_sample": True, "temperature": 0.85, "top_p": 0.9, "top_k": 0}

    def generate(prompt: torch.Tensor, count: int, processors: list[LogitsProcessor], **more: Any) -> Any:
        return reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            logits_processor=LogitsProcessorList(processors),
            **sampling,
            **more,
        )

    guidance = [BatchedGuidance()] if options.cfg != 1 else []
    writers = {BATCHED: lambda count: generate(both, count, [*guidance, CodesOnly()])}
    if options.cfg != 1:
        more = {"guidance_scale": options.cfg, "negative_prompt_ids": unconditional}
        more["negative_prompt_attention_mask"] = torch.ones_like(unconditional)
        writers[UNBATCHED] = lambda count: generate(conditional, count, [CodesOnly()], **more)
    return writers


def prompts(lm: LanguageModel, length: int) -> tuple[list[int], list[int]]:
    """Two different prompts of the same length, so that `generate` needs no padding."""
    text = lm.ids.first_code
    return [(7 * i + 11) % text for i in range(length)], [(5 * i + 3) % text for i in range(length)]


def memory_floor(lm: LanguageModel, options: argparse.Namespace) -> float:
    """Seconds a token takes if all it costs is reading the weights and the cache once at the measured bandwidth."""
    config = lm.model.config
    weights = sum(p.numel() for p in lm.model.layers.parameters()) + lm.ids.codes * config.hidden_size
    rows = options.batch * (2 if options.cfg != 1 else 1)
    context = options.prompt + options.tokens / 2
    cache = 2 * rows * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * context
    return (weights + cache) * lm.model.norm.weight.element_size() / bandwidth(lm.device)
