"""Graphs as ComfyUI and other packs save them, of the structure of the published ones, with texts of our own."""

from __future__ import annotations

from typing import Any

Graph = dict[str, Any]
Node = tuple[int, str, dict[str, tuple[int, int]], list[Any], list[str]]
"""Id, type, wires by input, widget values, types of outputs."""

TEXT = "slow brass, wide reverb, a lone trumpet"
LYRICS = "[Verse]\nFog on the harbour wall"
SECONDS = 12.0
SEED = 31


def canvas(*nodes: Node, **extra: Any) -> Graph:
    """What the canvas saves: every wire is a link, wired widgets are listed as sockets."""
    links: list[list[Any]] = []
    drawn = {}
    for number, kind, wires, values, outputs in nodes:
        sockets = []
        for name, (origin, slot) in wires.items():
            links.append([len(links) + 1, origin, slot, number, len(sockets), "*"])
            socket: dict[str, Any] = {"name": name, "type": "*", "link": len(links)}
            if name in WIDGETS:
                socket["widget"] = {"name": name}
            sockets.append(socket)
        drawn[number] = {
            "id": number,
            "type": kind,
            "pos": [0, 0],
            "mode": 0,
            "inputs": sockets,
            "outputs": [{"name": output, "type": output, "links": []} for output in outputs],
            "properties": {"Node name for S&R": kind, "cnr_id": "comfy-core"},
            "widgets_values": values,
        }
    for link, origin, slot, *_ in links:
        drawn[origin]["outputs"][slot]["links"].append(link)
    return {"id": "x", "nodes": list(drawn.values()), "links": links, "version": 0.4, **extra}


WIDGETS = ("seed", "seconds", "duration", "tags", "lyrics", "value", "unet_name", "string")

MODEL, CLIP, VAE, COND, LATENT, AUDIO = "MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "AUDIO"
SPLIT: list[Node] = [
    (104, "UNETLoader", {}, ["acestep_v1.5_turbo.safetensors", "default"], [MODEL]),
    (
        105,
        "DualCLIPLoader",
        {},
        ["qwen_0.6b_ace15.safetensors", "qwen_1.7b_ace15.safetensors", "ace", "default"],
        [CLIP],
    ),
    (106, "VAELoader", {}, ["ace_1.5_vae.safetensors"], [VAE]),
]
CHECKPOINT: list[Node] = [
    (97, "CheckpointLoaderSimple", {}, ["ace_step_1.5_turbo_aio.safetensors"], [MODEL, CLIP, VAE])
]
OLD_PRIMITIVES: list[Node] = [
    (102, "PrimitiveNode", {}, [SEED, "fixed"], ["INT"]),
    (99, "PrimitiveNode", {}, [SECONDS, "fixed"], ["FLOAT"]),
]
NEW_PRIMITIVES: list[Node] = [
    (102, "PrimitiveInt", {}, [SEED, "fixed"], ["INT"]),
    (99, "PrimitiveFloat", {}, [SECONDS], ["FLOAT"]),
]


def song(
    loaders: list[Node],
    primitives: list[Node],
    steps: int = 8,
    cfg: float = 1.0,
    text: list[Any] | None = None,
) -> Graph:
    """From text to sound, as all templates do it: one seed and one length for two nodes each."""
    model, clip, vae = ((97, 0), (97, 1), (97, 2)) if loaders is CHECKPOINT else ((104, 0), (105, 0), (106, 0))
    said = [TEXT, LYRICS, 0, "fixed", 96, 120, "4", "en", "E minor", *(text or [])]
    return canvas(
        *loaders,
        *primitives,
        (98, "EmptyAceStep1.5LatentAudio", {"seconds": (99, 0)}, [120, 1], [LATENT]),
        (94, "TextEncodeAceStepAudio1.5", {"clip": clip, "seed": (102, 0), "duration": (99, 0)}, said, [COND]),
        (47, "ConditioningZeroOut", {"conditioning": (94, 0)}, [], [COND]),
        (78, "ModelSamplingAuraFlow", {"model": model}, [3], [MODEL]),
        (
            3,
            "KSampler",
            {"model": (78, 0), "positive": (94, 0), "negative": (47, 0), "latent_image": (98, 0), "seed": (102, 0)},
            [0, "fixed", steps, cfg, "euler", "simple", 1],
            [LATENT],
        ),
        (18, "VAEDecodeAudio", {"samples": (3, 0), "vae": vae}, [], [AUDIO]),
        (107, "SaveAudioMP3", {"audio": (18, 0)}, ["audio/ComfyUI", "V0"], []),
        (108, "MarkdownNote", {}, ["## Where the models are"], []),
    )


def with_size(size: str, variant: str) -> list[Node]:
    """The loaders with other files."""
    names = {"qwen_1.7b": f"qwen_{size}", "acestep_v1.5_turbo": f"acestep_v1.5_{variant}"}

    def renamed(value: Any) -> Any:
        for name, other in names.items():
            value = value.replace(name, other)
        return value

    return [(number, kind, wires, [*map(renamed, values)], outs) for number, kind, wires, values, outs in SPLIT]


def subgraph(saved: bool) -> Graph:
    """A graph whose song is a subgraph: the blueprint, or the template in which a service writes the words."""
    inner = song(SPLIT, OLD_PRIMITIVES, text=[True, 2.5, 0.8, 0.95, 40, 0])
    for node in inner["nodes"]:
        node["inputs"] = [socket for socket in node["inputs"] if socket["name"] not in ("seed", "seconds", "duration")]
    outside = ("SaveAudioMP3", "MarkdownNote", "PrimitiveNode")
    inner["nodes"] = [node for node in inner["nodes"] if node["type"] not in outside]
    names = ("tags", "lyrics", "seconds", "duration")
    targets = {"tags": (94, "tags"), "lyrics": (94, "lyrics"), "seconds": (98, "seconds"), "duration": (94, "duration")}
    by_id = {node["id"]: node for node in inner["nodes"]}
    links = [
        {"id": link[0], "origin_id": link[1], "origin_slot": link[2], "target_id": link[3], "target_slot": link[4]}
        for link in inner["links"]
        if link[1] in by_id and link[3] in by_id
    ]
    for link in links:
        sockets = by_id[link["target_id"]]["inputs"]
        link["target_slot"] = next(i for i, socket in enumerate(sockets) if socket["link"] == link["id"])
    inputs = []
    for slot, name in enumerate(names):
        target, widget = targets[name]
        sockets = by_id[target]["inputs"]
        links.append(
            {"id": 500 + slot, "origin_id": -10, "origin_slot": slot, "target_id": target, "target_slot": len(sockets)}
        )
        sockets.append({"name": widget, "type": "*", "widget": {"name": widget}, "link": 500 + slot})
        inputs.append({"name": name, "type": "*", "linkIds": [500 + slot]})
    links.append({"id": 600, "origin_id": 18, "origin_slot": 0, "target_id": -20, "target_slot": 0})
    graph = {
        "id": "510f6b52-34ee-40dd-b532-475497dee41b",
        "name": "Text to Audio",
        "inputs": inputs,
        "outputs": [{"name": "AUDIO", "type": AUDIO, "linkIds": [600]}],
        "nodes": inner["nodes"],
        "links": links,
    }
    values = [TEXT, LYRICS, SECONDS, SECONDS]
    nodes: list[Node] = [(2, graph["id"], {}, values, [AUDIO])]
    if saved:
        nodes = [
            (11, "GeminiNode", {}, ["a blues", "gemini"], ["STRING"]),
            (18, "RegexExtract", {"string": (11, 0)}, ["", "x"], ["STRING"]),
            (7, "PreviewAny", {"source": (11, 0)}, [None, None], []),
            (2, graph["id"], {"tags": (18, 0)}, values, [AUDIO]),
            (1, "SaveAudioMP3", {"audio": (2, 0)}, ["audio/ace-step-1.5", "320k"], []),
        ]
    made = canvas(*nodes, definitions={"subgraphs": [graph]})
    made["nodes"][-2 if saved else 0]["inputs"] = [
        *(made["nodes"][-2]["inputs"] if saved else []),
        *(
            {"name": name, "type": "*", "widget": {"name": name}, "link": None}
            for name in names
            if not (saved and name == "tags")
        ),
    ]
    return made


TEMPLATES: dict[str, Graph] = {
    "checkpoint": song(CHECKPOINT, OLD_PRIMITIVES),
    "split": song(SPLIT, OLD_PRIMITIVES),
    "split 4b": song(with_size("4b", "turbo"), OLD_PRIMITIVES),
    "xl turbo": song(with_size("4b", "xl_turbo_bf16"), NEW_PRIMITIVES),
    "xl base": song(with_size("4b", "xl_base_bf16"), NEW_PRIMITIVES, 50, 6.0),
    "xl sft": song(with_size("4b", "xl_sft_bf16"), NEW_PRIMITIVES, 50, 7.0),
    "words from a service": subgraph(True),
    "blueprint": subgraph(False),
}
"""The seven published templates and the blueprint."""

KAOLA: dict[str, Graph] = {
    "text to music": canvas(
        (
            1,
            "ACE_STEP_TextToMusic",
            {},
            [TEXT, "", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B", 12.0, 2, 42, "fixed", 8, "auto", LYRICS, 90, "Am",
             "4/4", "en", False, 7.0, 1.0, True, 0.7, "None", False, "flac"],
            [AUDIO, "STRING", "STRING"],
        ),
        (2, "SaveAudio", {"audio": (1, 0)}, ["output/acestep"], []),
        (3, "PreviewAny", {"source": (1, 2)}, [], []),
    ),
    "cover": canvas(
        (1, "LoadAudio", {}, ["recording.wav"], [AUDIO]),
        (
            2,
            "ACE_STEP_Cover",
            {"src_audio": (1, 0)},
            [TEXT, "Ace-Step1.5", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B", 0.4, 1, 42, "fixed", 8, 7.0, "auto"],
            [AUDIO, "STRING", "STRING"],
        ),
        (3, "SaveAudio", {"audio": (2, 0)}, ["output/acestep_cover"], []),
    ),
    "repaint": canvas(
        (1, "LoadAudio", {}, ["recording.wav"], [AUDIO]),
        (
            2,
            "ACE_STEP_Repaint",
            {"src_audio": (1, 0)},
            [TEXT, 2.0, 5.0, "", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B", 7, "fixed", 8, "auto"],
            [AUDIO, "STRING", "STRING"],
        ),
        (3, "PreviewAudio", {"audio": (2, 0)}, [], []),
    ),
}  # fmt: skip

SCROMFY: Graph = canvas(
    *SPLIT,
    (99, "EmptyAceStep1.5LatentAudio", {}, [SECONDS, 2], [LATENT]),
    (
        94,
        "ScromfyAceStepTextEncoderPlusPlus",
        {"clip": (105, 0)},
        [TEXT, True, True, False, LYRICS, "ohwx", -1, SECONDS, "A minor", "Auto-decide", "English", 5],
        [COND, COND],
    ),
    (
        3,
        "ScromfyAceStepSampler",
        {"model": (104, 0), "positive": (94, 0), "negative": (94, 1), "latent_image": (99, 0), "vae": (106, 0)},
        [SEED, "fixed", 8, 1.0, "lcm", "simple", 1.0, False, 0.0, 2.0, ""],
        [LATENT, AUDIO],
    ),
    (5, "SaveAudioOpus", {"audio": (3, 1)}, ["audio/x", "96k"], []),
)


def scripted(**names: str) -> dict[str, Any]:
    """A prompt as scripts write them: ids are words, no shift, the negative an empty text that is made nothing.

    Args:
        names: parts by their words that shall stand under another id.
    """

    def out(part: str, slot: int = 0) -> list[Any]:
        return [names.get(part, part), slot]

    said = {"tags": TEXT, "lyrics": "[inst]", "seed": SEED, "bpm": 78, "duration": SECONDS, "timesignature": "4"}
    said |= {"language": "en", "keyscale": "C minor", "generate_audio_codes": True, "cfg_scale": 2.0}
    drawn = {"seed": SEED, "steps": 8, "cfg": 1, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}
    parts = {
        "models": ("CheckpointLoaderSimple", {"ckpt_name": "ace_step_1.5_turbo_aio.safetensors"}),
        "text": ("TextEncodeAceStepAudio1.5", said | {"clip": out("models", 1)}),
        "empty": ("CLIPTextEncode", {"clip": out("models", 1), "text": ""}),
        "nothing": ("ConditioningZeroOut", {"conditioning": out("empty")}),
        "latent": ("EmptyAceStep1.5LatentAudio", {"seconds": SECONDS, "batch_size": 2}),
        "run": (
            "KSampler",
            drawn
            | {"model": out("models"), "positive": out("text"), "negative": out("nothing")}
            | {"latent_image": out("latent")},
        ),
        "decode": ("VAEDecodeAudio", {"samples": out("run"), "vae": out("models", 2)}),
        "save": ("SaveAudioMP3", {"audio": out("decode"), "filename_prefix": "bed", "quality": "V0", "audioUI": ""}),
    }
    return {names.get(part, part): {"class_type": kind, "inputs": inputs} for part, (kind, inputs) in parts.items()}
