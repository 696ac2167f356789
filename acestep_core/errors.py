"""Every error a user can meet. Each message is one sentence that says what is wrong and what to do."""

from __future__ import annotations


class AceStepError(Exception):
    """Base of all errors this library raises on purpose; the message is fit to show to a user."""


class InvalidInput(AceStepError, ValueError):
    """A value the caller gave is out of range, malformed, or contradicts another one."""


class UnsupportedTask(InvalidInput):
    """The chosen checkpoint cannot do what was asked (for example stems on a turbo model)."""


class CheckpointError(AceStepError):
    """A checkpoint is missing, incomplete, damaged or of another kind than expected."""


class DownloadError(CheckpointError):
    """Fetching weights failed or the bytes do not match their checksum."""


class AdapterError(AceStepError):
    """An adapter file cannot be read or does not fit the model."""


class AudioError(AceStepError):
    """An audio file or waveform cannot be read, written or used."""


class StorageError(AceStepError):
    """A file cannot be written: the disk is full, or the folder is absent or closed to writing."""


class CodesError(InvalidInput):
    """A semantic code sequence is malformed or holds illegal codes."""


class PlanError(InvalidInput):
    """A plan text cannot be parsed; the message names the line."""


class GenerationError(AceStepError):
    """The model produced something unusable, such as non-finite latents or silence."""


class OutOfMemory(AceStepError):
    """A stage does not fit into the memory it may use."""


class AlignmentError(AceStepError):
    """Lyrics cannot be aligned with the audio on this model."""


class DatasetError(AceStepError):
    """A training dataset is empty, malformed or inconsistent."""


class TrainingError(AceStepError):
    """A training run cannot go on, or what it made is of no use."""


class GraphError(AceStepError):
    """A workflow file is malformed or names nodes and inputs that do not exist."""


class HostError(AceStepError):
    """The queue server could not be reached or refused the request."""


class Cancelled(AceStepError):
    """The user stopped the run."""
