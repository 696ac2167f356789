"""Every node of the pack. Ids, input names and their order are a file format: add at the end, never rename or move."""

from __future__ import annotations

from .codes import ACEStepAudioToCodes, ACEStepCodesToText, ACEStepTextToCodes
from .datasets import (
    ACEStepEditDataset,
    ACEStepEditSample,
    ACEStepLoadDataset,
    ACEStepSaveDataset,
    ACEStepScanDataset,
)
from .judge import ACEStepBestOf, ACEStepLMScore, ACEStepLyricAlignment, ACEStepTimedLyrics
from .load import ACEStepLMLoader, ACEStepLoader, ACEStepLoRALoader, ACEStepModelLoader, ACEStepVAELoader
from .load_record import ACEStepLoadRecord
from .native import ACEStepFromNative, ACEStepToNative
from .plan import (
    ACEStepCreateSong,
    ACEStepFormatSong,
    ACEStepLMSampling,
    ACEStepPlan,
    ACEStepPlanCodes,
    ACEStepUnderstand,
)
from .prepare import ACEStepLabelDataset, ACEStepLoadTrainset, ACEStepPreprocess
from .render import (
    ACEStepConditioning,
    ACEStepDecode,
    ACEStepEncodeAudio,
    ACEStepGuidance,
    ACEStepSampler,
    ACEStepSchedule,
)
from .save import ACEStepPreviewSong, ACEStepSaveSong, ACEStepShowText
from .song import ACEStepSong, ACEStepSongInfo
from .stems import ACEStepComplete, ACEStepExtract, ACEStepLego
from .task import (
    ACEStepCover,
    ACEStepExtend,
    ACEStepMorph,
    ACEStepReferenceAudio,
    ACEStepRepaint,
    ACEStepTextToMusic,
)
from .train import ACEStepExportLoRA, ACEStepTrainLoRA, ACEStepTrainSettings

NODES: tuple[type, ...] = (
    ACEStepLoader,
    ACEStepModelLoader,
    ACEStepVAELoader,
    ACEStepLMLoader,
    ACEStepLoRALoader,
    ACEStepSong,
    ACEStepSongInfo,
    ACEStepCreateSong,
    ACEStepFormatSong,
    ACEStepPlan,
    ACEStepPlanCodes,
    ACEStepUnderstand,
    ACEStepLMSampling,
    ACEStepAudioToCodes,
    ACEStepCodesToText,
    ACEStepTextToCodes,
    ACEStepTextToMusic,
    ACEStepCover,
    ACEStepRepaint,
    ACEStepExtend,
    ACEStepLego,
    ACEStepExtract,
    ACEStepComplete,
    ACEStepReferenceAudio,
    ACEStepConditioning,
    ACEStepSchedule,
    ACEStepGuidance,
    ACEStepSampler,
    ACEStepDecode,
    ACEStepEncodeAudio,
    ACEStepLyricAlignment,
    ACEStepTimedLyrics,
    ACEStepLMScore,
    ACEStepBestOf,
    ACEStepSaveSong,
    ACEStepPreviewSong,
    ACEStepMorph,
    ACEStepLoadRecord,
    ACEStepShowText,
    ACEStepScanDataset,
    ACEStepLoadDataset,
    ACEStepLabelDataset,
    ACEStepEditSample,
    ACEStepEditDataset,
    ACEStepSaveDataset,
    ACEStepPreprocess,
    ACEStepLoadTrainset,
    ACEStepTrainSettings,
    ACEStepTrainLoRA,
    ACEStepExportLoRA,
    ACEStepFromNative,
    ACEStepToNative,
)

NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.TITLE for node in NODES}  # type: ignore[attr-defined]
