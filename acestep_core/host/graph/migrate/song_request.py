"""What other programs ask ACE-Step for, as JSON, read: upstream's saved parameters and its examples, the bodies of its
REST service, the requests of acestep.cpp; and nodes that are one such request.

All mean the same settings under several names; `Request` has them under those of upstream's `GenerationParams`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep_core.host.graph.sketch import Out
from acestep_core.values import number, truth

_NAMES = {
    "caption": "prompt",
    "query": "sample_query description desc",
    "vocal_language": "language",
    "keyscale": "key_scale key",
    "timesignature": "time_signature",
    "duration": "audio_duration target_duration",
    "thinking": "think",
    "use_format": "format",
    "audio_codes": "audio_code_string",
    "src_audio": "src_audio_path ctx_audio_path source_audio_path ctx_audio",
    "reference_audio": "reference_audio_path ref_audio_path ref_audio",
    "audio_cover_strength": "cover_strength",
    "track_name": "track",
    "track_classes": "complete_track_classes instruments",
    "timesteps": "custom_timesteps",
    "model": "model_name dit_model config_path synth_model",
    "lm_model": "lm_model_path",
    "audio_format": "output_format",
    "batch_size": "synth_batch_size",
}
"""Upstream's name -> the others. Camel case is read, too."""
_SAME = {other: name for name, others in _NAMES.items() for other in others.split()}

_OF_CPP = """
lm_batch_size synth_batch_size synth_model lm_mode solver output_format custom_timesteps lm_seed dcw_scaler peak_clip
adapter
"""
_OF_REST = """
prompt sample_mode sample_query key_scale time_signature audio_duration audio_code_string use_random_seed src_audio_path
reference_audio_path
"""
"""Keys by which a program is known."""
_WITH_QUERY = (
    "query sample_mode instrumental vocal_language duration thinking model lm_model seed use_random_seed batch_size"
)
"""Many a file has a description: it is a wish for a song only where nothing else is said."""
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "upstream": {"thinking": True},
    "rest": {
        "thinking": False,
        "batch_size": 2,
        "inference_steps": 8,
        "shift": 3.0,
        "guidance_scale": 7.0,
        "lm_cfg_scale": 2.5,
        "vocal_language": "en",
        "audio_format": "mp3",
    },
    "cpp": {"thinking": True, "audio_format": "mp3"},
}
"""What a program takes where a request says nothing, where that differs from what we take."""


def is_request(data: Any) -> bool:
    """Whether parsed JSON asks for a song, in the words of one of these programs."""
    if not isinstance(data, Mapping) or "nodes" in data:
        return False
    said = {_SAME.get(_snake(key), _snake(key)): value for key, value in data.items()}
    texts = {name for name, value in said.items() if isinstance(value, str)}
    return bool(texts & {"caption", "lyrics"}) or ("query" in texts and said.keys() <= {*_WITH_QUERY.split()})


def _snake(name: Any) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(name)).replace("-", "_").lower()


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        values: by upstream's names.
        source: a recording that is there as a node already.
        loras: names and strengths.
    """

    values: Mapping[str, Any]
    source: Out | None = None
    loras: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(
        cls,
        data: Mapping[str, Any],
        program: str = "",
        source: Out | None = None,
        loras: tuple[tuple[str, float], ...] = (),
    ) -> Request:
        """Reads the JSON of a program: `upstream`, `rest` or `cpp`, by default the one that it looks like."""
        keys = {_snake(key) for key in data}
        looks = {name: keys & {*text.split()} for name, text in (("cpp", _OF_CPP), ("rest", _OF_REST))}
        program = program or next((name for name, there in looks.items() if there), "upstream")
        inside = (data.get(name) for name in ("metas", "metadata", "user_metadata"))
        nested: Mapping[str, Any] = next((found for found in inside if isinstance(found, Mapping)), {})
        said: dict[str, Any] = {}
        for key, value in (*nested.items(), *data.items()):
            name = _SAME.get(_snake(key), _snake(key))
            if name in ("cot_caption", "cot_language") and isinstance(value, bool):  # of the REST service
                name = f"use_{name}"
            if value is not None and value != "N/A" and not (name in said and value == ""):
                said[name] = value
        if adapter := said.pop("adapter", ""):
            loras = (*loras, (str(adapter), float(number(said.get("adapter_scale")) or 1.0)))
        said.pop("adapter_scale", None)
        return cls({**_USUAL[program], **said}, source, loras)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        return value if isinstance(value, str) else str(value)

    def number(self, name: str, default: float = 0.0) -> float:
        found = number(self.values.get(name, default))
        return default if found is None else float(found)

    def flag(self, name: str, default: bool = False) -> bool:
        found = truth(self.values.get(name, default))
        return default if found is None else found

    @property
    def task(self) -> str:
        return self.text("task_type", "text2music").replace("_", "-") or "text2music"

    @property
    def is_random(self) -> bool:
        """Whether each run draws another seed."""
        return self.flag("use_random_seed") or not self.seeds

    @property
    def seeds(self) -> list[int]:
        """Those that are given; -1 is none."""
        value = self.values.get("seed", "")
        parts = value if isinstance(value, list) else re.split(r"[,\s]+", str(value))
        return [int(found) for part in parts if (found := number(part)) is not None and found >= 0]

    @property
    def seed(self) -> int:
        return 0 if self.is_random else self.seeds[0]
