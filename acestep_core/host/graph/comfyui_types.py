"""Node types that a workflow needs and nobody here has, and which of them are ComfyUI's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from acestep_core.errors import GraphError

COMFYUI_PACK = "comfy-core"
"""How workflow files name ComfyUI itself as the pack of a node."""


def absent(types: Mapping[str, str | None]) -> GraphError:
    """The error that names all missing node types at once.

    Args:
        types: each type with the pack that the file says it is from, None if it does not say.
    """
    reasons: dict[str, list[str]] = {}
    for kind, pack in types.items():
        reason, shown = _reason(kind, pack)
        reasons.setdefault(reason, []).append(shown)
    parts = [f"{', '.join(kinds)}{reason}" for reason, kinds in reasons.items()]
    return GraphError(f"The workflow uses the node types {'; and '.join(parts)}.")


def _reason(kind: str, pack: str | None) -> tuple[str, str]:
    """What is to be said about a type, and how it is called."""
    if pack == COMFYUI_PACK or kind in COMFYUI:
        return _OWN, repr(kind)
    if kind.startswith(("workflow>", "workflow/")):
        return _GROUP, repr(kind)
    if _SUBGRAPH.fullmatch(kind):
        return _LOST, repr(kind)
    return _OTHER, f"{kind!r} ({pack})" if pack else repr(kind)


_OWN = " of ComfyUI itself, which are not here: run it in a current ComfyUI, or start from the workflow text2music"
_OTHER = ", which are not installed: install the packs they are from"
_GROUP = ", which are groups of nodes of an old kind: turn them into subgraphs in ComfyUI and save again"
_LOST = ", which are subgraphs that the file does not hold: save it again from the canvas"
_SUBGRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_TYPES = """
AddNoise AddTextPrefix AddTextSuffix AdjustBrightness AdjustContrast AlignYourStepsScheduler APG ARVideoI2V
AudioAdjustVolume AudioConcat AudioEncoderEncode AudioEncoderLoader AudioEqualizer3Band AudioMerge BasicGuider
BasicScheduler BatchImagesNode BatchLatentsNode BatchMasksNode BetaSamplingScheduler Canny CaseConverter
CenterCropImages CFGGuider CFGNorm CFGZeroStar CheckpointLoader CheckpointLoaderSimple CheckpointSave
ChromaRadianceOptions CLIPAttentionMultiply CLIPLoader CLIPMergeAdd CLIPMergeSimple CLIPMergeSubtract CLIPSave
CLIPSetLastLayer CLIPTextEncode CLIPTextEncodeControlnet CLIPTextEncodeFlux CLIPTextEncodeHiDream
CLIPTextEncodeHunyuanDiT CLIPTextEncodeKandinsky5 CLIPTextEncodeLumina2 CLIPTextEncodePixArtAlpha CLIPTextEncodeSD3
CLIPTextEncodeSDXL CLIPTextEncodeSDXLRefiner CLIPVisionEncode CLIPVisionLoader ColorToRGBInt ColorTransfer
CombineHooks2 CombineHooks4 CombineHooks8 ComfyMathExpression ComfyNumberConvert ComfySwitchNode ConditioningAverage
ConditioningCombine ConditioningConcat ConditioningSetArea ConditioningSetAreaPercentage
ConditioningSetAreaPercentageVideo ConditioningSetAreaStrength ConditioningSetDefaultCombine ConditioningSetMask
ConditioningSetProperties ConditioningSetPropertiesAndCombine ConditioningSetTimestepRange ConditioningStableAudio
ConditioningTimestepsRange ConditioningZeroOut ContextWindowsManual ControlNetApply ControlNetApplyAdvanced
ControlNetApplySD3 ControlNetInpaintingAliMamaApply ControlNetLoader CosmosImageToVideoLatent
CosmosPredict2ImageToVideoLatent CreateHookKeyframe CreateHookKeyframesFromFloats CreateHookKeyframesInterpolated
CreateHookLora CreateHookLoraModelOnly CreateHookModelAsLora CreateHookModelAsLoraModelOnly CreateList CreateVideo
CropByBBoxes CropMask CurveEditor CustomCombo DiffControlNetLoader DifferentialDiffusion DiffusersLoader DisableNoise
DrawBBoxes DualCFGGuider DualCLIPLoader EasyCache EmptyAceStep1.5LatentAudio EmptyAceStepLatentAudio
EmptyARVideoLatent EmptyAudio EmptyChromaRadianceLatentImage EmptyCosmosLatentVideo EmptyFlux2LatentImage
EmptyHunyuanImageLatent EmptyHunyuanLatentVideo EmptyHunyuanVideo15Latent EmptyImage EmptyLatentAudio
EmptyLatentHunyuan3Dv2 EmptyLatentImage EmptyLTXVLatentVideo EmptyMochiLatentVideo EmptyQwenImageLayeredLatentImage
EmptySD3LatentImage ExponentialScheduler ExtendIntermediateSigmas FeatherMask FlipSigmas Flux2Scheduler
FluxDisableGuidance FluxGuidance FluxKontextImageScale FluxKontextMultiReferenceLatentMethod FluxKVCache
FrameInterpolate FrameInterpolationModelLoader FreeU FreeU_V2 FreSca GenerateTracks GetImageSize GetVideoComponents
GITSScheduler GLIGENLoader GLIGENTextBoxApply GrowMask Hunyuan3Dv2Conditioning Hunyuan3Dv2ConditioningMultiView
HunyuanImageToVideo HunyuanRefinerLatent HunyuanVideo15ImageToVideo HunyuanVideo15LatentUpscaleWithModel
HunyuanVideo15SuperResolution HypernetworkLoader HyperTile ImageAddNoise ImageBatch ImageBlend ImageBlur
ImageColorToMask ImageCompare ImageCompositeMasked ImageCrop ImageCropV2 ImageDeduplication ImageFlip ImageFromBatch
ImageGrid ImageHistogram ImageInvert ImageMergeTileList ImageOnlyCheckpointLoader ImageOnlyCheckpointSave
ImagePadForOutpaint ImageQuantize ImageRGBToYUV ImageRotate ImageScale ImageScaleBy ImageScaleToMaxDimension
ImageScaleToTotalPixels ImageSharpen ImageStitch ImageToMask ImageUpscaleWithModel ImageYUVToRGB
InpaintModelConditioning InstructPixToPixConditioning InvertMask JoinAudioChannels JoinImageWithAlpha
JsonExtractString Kandinsky5ImageToVideo KarrasScheduler KSampler KSamplerAdvanced KSamplerSelect LaplaceScheduler
LatentAdd LatentApplyOperation LatentApplyOperationCFG LatentBatch LatentBatchSeedBehavior LatentBlend LatentComposite
LatentCompositeMasked LatentConcat LatentCrop LatentCut LatentCutToBatch LatentFlip LatentFromBatch LatentInterpolate
LatentMultiply LatentOperationSharpen LatentOperationTonemapReinhard LatentRotate LatentSubtract LatentUpscale
LatentUpscaleBy LatentUpscaleModelLoader LazyCache Load3D LoadAudio LoadBackgroundRemovalModel LoadImage
LoadImageDataSetFromFolder LoadImageMask LoadImageOutput LoadImageTextDataSetFromFolder LoadLatent LoadTrainingDataset
LoadVideo LoraLoader LoraLoaderBypass LoraLoaderBypassModelOnly LoraLoaderModelOnly LoraModelLoader LoraSave
LossGraphNode LotusConditioning LTXAVTextEncoderLoader LTXVAddGuide LTXVAudioVAEDecode LTXVAudioVAEEncode
LTXVAudioVAELoader LTXVConcatAVLatent LTXVConditioning LTXVCropGuides LTXVEmptyLatentAudio LTXVImgToVideo
LTXVImgToVideoInplace LTXVLatentUpsampler LTXVPreprocess LTXVReferenceAudio LTXVScheduler LTXVSeparateAVLatent Mahiro
MakeTrainingDataset ManualSigmas MaskComposite MaskPreview MaskToImage MergeImageLists MergeTextLists
ModelComputeDtype ModelMergeAdd ModelMergeAuraflow ModelMergeBlocks ModelMergeCosmos14B ModelMergeCosmos7B
ModelMergeCosmosPredict2_14B ModelMergeCosmosPredict2_2B ModelMergeFlux1 ModelMergeLTXV ModelMergeMochiPreview
ModelMergeQwenImage ModelMergeSD1 ModelMergeSD2 ModelMergeSD35_Large ModelMergeSD3_2B ModelMergeSDXL ModelMergeSimple
ModelMergeSubtract ModelMergeWAN2_1 ModelPatchLoader ModelSamplingAuraFlow ModelSamplingContinuousEDM
ModelSamplingContinuousV ModelSamplingDiscrete ModelSamplingFlux ModelSamplingLTXV ModelSamplingSD3
ModelSamplingStableCascade ModelSave Morphology NAGuidance NormalizeImages NormalizeVideoLatentStart OpticalFlowLoader
OptimalStepsScheduler Painter PairConditioningCombine PairConditioningSetDefaultCombine PairConditioningSetProperties
PairConditioningSetPropertiesAndCombine PatchModelAddDownscale PerpNeg PerpNegGuider PerturbedAttentionGuidance
PhotoMakerEncode PhotoMakerLoader PolyexponentialScheduler PorterDuffImageComposite Preview3D PreviewAny PreviewAudio
PreviewImage PrimitiveBoolean PrimitiveBoundingBox PrimitiveFloat PrimitiveInt PrimitiveString
PrimitiveStringMultiline QuadrupleCLIPLoader QwenImageDiffsynthControlnet RandomCropImages RandomNoise RebatchImages
RebatchLatents RecordAudio ReferenceLatent ReferenceTimbreAudio RegexExtract RegexMatch RegexReplace RemoveBackground
RenormCFG RepeatImageBatch RepeatLatentBatch ReplaceText ReplaceVideoLatentFrames RescaleCFG ResizeAndPadImage
ResizeImageMaskNode ResizeImagesByLongerEdge ResizeImagesByShorterEdge ResolutionBucket ResolutionSelector
RTDETR_detect SAM3_Detect SAM3_TrackPreview SAM3_TrackToMask SAM3_VideoTrack SamplerARVideo SamplerCustom
SamplerCustomAdvanced SamplerDPMAdaptative SamplerDPMPP_2M_SDE SamplerDPMPP_2S_Ancestral SamplerDPMPP_3M_SDE
SamplerDPMPP_SDE SamplerER_SDE SamplerEulerAncestral SamplerEulerAncestralCFGPP SamplerEulerCFGpp SamplerLCMUpscale
SamplerLMS SamplerSASolver SamplerSEEDS2 SamplingPercentToSigma SaveAnimatedPNG SaveAnimatedWEBP SaveAudio
SaveAudioMP3 SaveAudioOpus SaveGLB SaveImage SaveImageDataSetToFolder SaveImageTextDataSetToFolder SaveLatent SaveLoRA
SaveSVGNode SaveTrainingDataset SaveVideo SaveWEBM ScaleROPE SD_4XUpscale_Conditioning SDPoseDrawKeypoints
SDPoseFaceBBoxes SDPoseKeypointExtractor SDTurboScheduler SelfAttentionGuidance SetClipHooks SetFirstSigma
SetHookKeyframes SetLatentNoiseMask SetUnionControlNetType ShuffleDataset ShuffleImageTextDataset SkipLayerGuidanceDiT
SkipLayerGuidanceDiTSimple SkipLayerGuidanceSD3 SolidMask SplitAudioChannels SplitImageToTileList SplitImageWithAlpha
SplitSigmas SplitSigmasDenoise StableCascade_EmptyLatentImage StableCascade_StageB_Conditioning
StableCascade_StageC_VAEEncode StableCascade_SuperResolutionControlnet StableZero123_Conditioning
StableZero123_Conditioning_Batched StringCompare StringConcatenate StringContains StringLength StringReplace
StringSubstring StringTrim StripWhitespace StyleModelApply StyleModelLoader SUPIRApply SV3D_Conditioning
SVD_img2vid_Conditioning T5TokenizerOptions TCFG TemporalScoreRescaling TextEncodeAceStepAudio
TextEncodeAceStepAudio1.5 TextEncodeHunyuanVideo_ImageToVideo TextEncodeQwenImageEdit TextEncodeQwenImageEditPlus
TextEncodeZImageOmni TextGenerate TextGenerateLTX2Prompt TextToLowercase TextToUppercase ThresholdMask TomePatchModel
TorchCompileModel TrainLoraNode TrimAudioDuration TrimVideoLatent TripleCLIPLoader TruncateText unCLIPCheckpointLoader
unCLIPConditioning UNetCrossAttentionMultiply UNETLoader UNetSelfAttentionMultiply UNetTemporalAttentionMultiply
UpscaleModelLoader USOStyleReference VAEDecode VAEDecodeAudio VAEDecodeAudioTiled VAEDecodeHunyuan3D VAEDecodeTiled
VAEEncode VAEEncodeAudio VAEEncodeForInpaint VAEEncodeTiled VAELoader VAESave VideoLinearCFGGuidance
VideoTriangleCFGGuidance VOIDInpaintConditioning VOIDQuadmaskPreprocess VOIDSampler VOIDWarpedNoise
VOIDWarpedNoiseSource VoxelToMesh VoxelToMeshBasic VPScheduler Wan22FunControlToVideo Wan22ImageToVideoLatent
WanAnimateToVideo wanBlockSwap WanCameraEmbedding WanCameraImageToVideo WanContextWindowsManual WanDancerEncodeAudio
WanDancerPadKeyframes WanDancerPadKeyframesList WanDancerVideo WanFirstLastFrameToVideo WanFunControlToVideo
WanFunInpaintToVideo WanHuMoImageToVideo WanImageToVideo WanInfiniteTalkToVideo WanMoveConcatTrack
WanMoveTracksFromCoords WanMoveTrackToVideo WanMoveVisualizeTracks WanPhantomSubjectToVideo WanSCAILToVideo
WanSoundImageToVideo WanSoundImageToVideoExtend WanTrackToVideo WanVaceToVideo WebcamCapture ZImageFunControlnet
"""
COMFYUI = frozenset(_TYPES.split()) | {"Epsilon Scaling", "GLSLShader", "Video Slice"}
"""The types that ComfyUI 0.20.1 has by itself, without those that ask a service on the net."""
