"""Every node of the pack. Ids, input names and their order are a file format: add at the end, never rename or move."""

from __future__ import annotations

from .codes import ACEStepCodesToText, ACEStepTextToCodes
from .load import ACEStepLMLoader, ACEStepLoader, ACEStepModelLoader, ACEStepVAELoader
from .render import (
    ACEStepConditioning,
    ACEStepDecode,
    ACEStepEncodeAudio,
    ACEStepGuidance,
    ACEStepSampler,
    ACEStepSchedule,
)
from .save import ACEStepPreviewSong, ACEStepSaveSong
from .song import ACEStepSong, ACEStepSongInfo
from .task import ACEStepTextToMusic

NODES: tuple[type, ...] = (
    ACEStepLoader,
    ACEStepModelLoader,
    ACEStepVAELoader,
    ACEStepLMLoader,
    ACEStepSong,
    ACEStepSongInfo,
    ACEStepCodesToText,
    ACEStepTextToCodes,
    ACEStepTextToMusic,
    ACEStepConditioning,
    ACEStepSchedule,
    ACEStepGuidance,
    ACEStepSampler,
    ACEStepDecode,
    ACEStepEncodeAudio,
    ACEStepSaveSong,
    ACEStepPreviewSong,
)

NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.TITLE for node in NODES}  # type: ignore[attr-defined]
