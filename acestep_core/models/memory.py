"""How many bytes a stage takes on its device besides the weights, from shapes alone, before it starts.

Upper bounds that stay near the truth: the tests hold each of them between once and `SLACK` times of what the code is
seen to allocate, and at the sizes of released models within `NEAR` times, unless only a part of what is counted exists
at once. Sizes are in bytes, `itemsize` is that of the model's number format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from acestep_core.models.config import AceStepConfig
from acestep_core.models.oobleck import OobleckConfig
from acestep_core.models.qwen3 import Qwen3Config

SLACK, NEAR = 2.0, 1.1
"""No estimate is more than this many times too large, of a model of any size and of one of usual size, apart from
`TRIFLE`.
"""
TRIFLE = 1 << 20
"""Bytes below which nobody counts."""

_HELD, _HELD_GUIDED, _UNGUIDED, _GUIDED = 5, 10, 12, 22
# Tensors like the state, fp32: held while the network computes, and at once by integrator and guidance after it.
_CHOICE = 64  # bytes per row and token of the vocabulary, from fp32 logits to a chosen token
_DECODED, _ENCODED = 4.6, 5.1  # full-rate activations alive in the VAE's widest stage
LIBRARIES = 1.45
"""What convolutions take meanwhile for themselves, as a factor of what is alive."""


def at_once(size: int, least: int, needs: Callable[[int], int], room: int) -> int:
    """How much to do at a time: `size`, or its largest half, quarter and so on of which `room` bytes hold the work; at
    least `least`, whatever that takes.
    """
    while size > least and needs(size) > room:
        size = max(least, size // 2)
    return size


def layer_bytes(tokens: int, itemsize: int, sizes: Mapping[str, int], padding: int | None = None) -> int:
    """One transformer layer at work on `tokens` tokens; layers do not add up, because each leaves its result only.

    Args:
        tokens: of all rows together.
        sizes: `dim`, `hidden`, `heads`, `kv_heads` and `head_dim`.
        padding: tokens that sliding-window attention puts around the rows. It also copies keys and values into
            overlapping blocks; None is attention without a window.
    """
    queries, keys = (sizes[name] * sizes["head_dim"] for name in ("heads", "kv_heads"))
    dim, tables = sizes["dim"], 4 * sizes["head_dim"]
    feed_forward = tokens * (4 * sizes["hidden"] + 3 * dim)
    attention = tokens * ((6 if padding is None else 10) * queries + 4 * keys + 3 * dim)
    attention += (padding or 0) * (queries + 2 * keys)
    return itemsize * (max(feed_forward, attention) + tokens * tables)


def kv_cache_bytes(config: Qwen3Config, rows: int, columns: int, itemsize: int) -> int:
    """Keys and values of every layer for `columns` tokens of `rows` sequences, exactly."""
    per_token = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2
    return per_token * rows * columns * itemsize


def reading_bytes(config: Qwen3Config, tokens: int, itemsize: int) -> int:
    """A Qwen3 model reads `tokens` tokens, of all rows together."""
    return layer_bytes(tokens, itemsize, _layer(config))


def writing_bytes(
    config: Qwen3Config,
    songs: int,
    rows: int,
    columns: int,
    prompt: int,
    vocab: int,
    itemsize: int,
    recorded: bool = False,
) -> int:
    """A language model writes: `planner.decode`.

    Args:
        songs: how many texts, each with choices of its own.
        rows: sequences, unconditional ones included.
        columns: tokens for which the cache has room in every row.
        prompt: tokens of the longest prompt. Prompts are read one after the other.
        vocab: tokens to choose from.
        recorded: whether steps are recorded; the recordings share memory of their own.
    """
    step = layer_bytes(rows, itemsize, _layer(config))
    step += rows * columns * (itemsize + 10)  # the mask, and where it comes from
    step += vocab * (rows * (itemsize + 4) + songs * _CHOICE)
    return kv_cache_bytes(config, rows, columns, itemsize) + max(
        reading_bytes(config, prompt, itemsize), step * (1 + recorded)
    )


def scoring_bytes(config: Qwen3Config, rows: int, tokens: int, at_once: int, itemsize: int) -> int:
    """A language model rates texts of `tokens` tokens, prompt included, with the logits of `at_once` of them."""
    logits = at_once * config.vocab_size * (itemsize + 3 * 4)
    states = rows * tokens * config.hidden_size * itemsize
    return max(reading_bytes(config, rows * tokens, itemsize), states + logits)


def encoding_bytes(config: AceStepConfig, tokens: int, states: int, itemsize: int, rows: int = 1) -> int:
    """Condition encoder, audio tokenizer or detokenizer at work.

    Args:
        tokens: of the longest sequence (see `windowed`), or of all that go together.
        states: how many vectors of the encoder are kept meanwhile, and joined in the end.
        rows: sequences that go together and are longer than a window.
    """
    layer = layer_bytes(tokens, itemsize, _encoder_layer(config), padding=padding_tokens(config, rows))
    kept = states * config.encoder_dim * itemsize
    return kept + max(layer, kept)


def windowed(config: AceStepConfig, length: int) -> int:
    """A sequence's length as sliding-window attention sees it: whole windows."""
    window = config.sliding_window
    return length if length <= window + 1 else -(-length // window) * window


def conditioning_bytes(
    config: AceStepConfig, longest: int, states: int, codes: int, itemsize: int, rows: int = 1
) -> int:
    """The condition encoder at work for all songs of a batch, and before it, song by song, what codes are read by.

    Args:
        longest, states, rows: as of `encoding_bytes`.
        codes: tokens that one song's codes take in the audio tokenizer or the detokenizer, at most.
    """
    return max(encoding_bytes(config, longest, states, itemsize, rows), encoding_bytes(config, codes, codes, itemsize))


def padding_tokens(config: AceStepConfig, rows: int) -> int | None:
    """Tokens with which sliding-window attention surrounds so many sequences; None without a window."""
    return 2 * config.sliding_window * rows if config.use_sliding_window else None


def code_tokens(config: AceStepConfig, frames: int) -> int:
    """Tokens that the audio tokenizer makes of `frames` latent frames, all of which go through it together."""
    groups = -(-frames // config.pool_window_size)
    return groups * (config.pool_window_size + 1)


def denoising_bytes(
    config: AceStepConfig, rows: int, frames: int, states: int, itemsize: int, *, guided: bool, draws: int = 0
) -> int:
    """The DiT's sampling loop.

    Args:
        rows: songs of the batch; guidance doubles what the network sees.
        frames: latent frames T.
        states: encoder states of all branches together, those of equal rows counted once. Keys and values of each
            stay for the whole run.
        draws: of noise in each step of a morph, which has two predictions; 0 is no morph.
    """
    state = rows * frames * config.audio_acoustic_hidden_dim * 4
    morphs = ((4 + guided) * draws + 2) * state + rows * frames * config.in_channels * itemsize if draws else 0
    network = _network_bytes(config, rows * (2 if guided else 1), frames, states, itemsize)
    held, after = (_HELD_GUIDED, _GUIDED) if guided else (_HELD, _UNGUIDED)
    return morphs + max(held * state + network, after * state)


def _network_bytes(config: AceStepConfig, rows: int, frames: int, states: int, itemsize: int) -> int:
    """The DiT called for `rows` rows, with keys and values of all `states`."""
    tokens = rows * windowed(config, -(-frames // config.patch_size))
    keys = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2
    inputs = rows * frames * 2 * (config.in_channels + config.audio_acoustic_hidden_dim)
    kept = (states * (keys + config.encoder_dim + config.hidden_size) + inputs) * itemsize
    return kept + layer_bytes(tokens, itemsize, _layer(config), padding_tokens(config, rows))


def listening_bytes(config: AceStepConfig, frames: int, states: int, lyrics: int, block: int, itemsize: int) -> int:
    """The DiT listens to one song: `judge.attention`.

    Args:
        states: encoder states, of which `lyrics` are looked at.
        block: patches whose attention over all states exists at one time.
    """
    patches = -(-frames // config.patch_size)
    one = patches * lyrics * 4
    kept = frames * config.audio_acoustic_hidden_dim * 4 * 6 + block * states * 4 * 3
    return kept + max(6 * one, 2 * one + _network_bytes(config, 1, frames, states, itemsize))


def decoding_bytes(config: OobleckConfig, frames: int, itemsize: int) -> int:
    """The VAE decodes a window of `frames` latent frames."""
    return int(LIBRARIES * _DECODED * config.hop * config.decoder_channels * frames) * itemsize


def vae_encoding_bytes(config: OobleckConfig, frames: int, itemsize: int) -> int:
    """The VAE encodes a window of `frames` latent frames."""
    return int(LIBRARIES * _ENCODED * config.hop * config.encoder_hidden_size * frames) * itemsize


def _encoder_layer(config: AceStepConfig) -> dict[str, int]:
    return {name: size for name, size in config.encoder_layer.items() if name != "eps"}


def _layer(config: AceStepConfig | Qwen3Config) -> dict[str, int]:
    return {
        "dim": config.hidden_size,
        "hidden": config.intermediate_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
    }
