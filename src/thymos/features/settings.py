"""What shapes the pictures of a corpus: the sound part and the feature part of a recipe."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from thymos.settings import Settings


class SoundSettings(Settings):
    """From file to segments."""

    rate_hz: PositiveInt = 44_100
    """Sampling rate of the segments; other sound is resampled to it."""
    normalise: Literal["peak", "none"] = "peak"
    """``peak``: each recording's largest magnitude becomes 1."""
    wiener: bool = False
    """Whether the recording goes through ``scipy.signal.wiener``."""
    segments: Literal["study", "sliding"] = "study"
    """``study``: ⌈length / window⌉ segments, evenly spread; ``sliding``: one every ``hop_s``."""
    window_s: PositiveFloat = 3.0
    hop_s: PositiveFloat = 1.5
    """Only for ``sliding``."""
    max_silence_s: PositiveFloat | None = None
    """Recordings with more seconds of silence than this are left out."""

    @property
    def window(self) -> int:
        """Segment length in samples."""
        return round(self.window_s * self.rate_hz)


class FeatureSettings(Settings):
    """From segment to picture."""

    kind: Literal["mel", "mfcc", "chroma", "mel_mfcc_chroma"] = "mel"
    """``mel_mfcc_chroma``: the three as channels of one picture, ``n_mels`` bands high."""
    n_fft: PositiveInt = 2048
    hop: PositiveInt = 1024
    n_mels: PositiveInt = 128
    fmin_hz: float = Field(0.0, ge=0)
    fmax_hz: PositiveFloat | None = None
    """None: half the sampling rate."""
    top_db: PositiveFloat | None = 80.0
    """Range kept below each picture's maximum; None keeps all."""
    n_mfcc: PositiveInt = Field(40, validate_default=True)
    """Coefficients kept of the mel picture's DCT; only where ``kind`` has MFCCs."""
    deltas: bool = True
    """Only for ``mfcc``: whether deltas and delta-deltas are a second and third channel."""
    n_chroma: PositiveInt = Field(12, multiple_of=12, validate_default=True)
    """Steps of the octave, from C; only where ``kind`` has chroma."""

    @field_validator("n_mfcc", "n_chroma")
    @classmethod
    def _fits_the_mel_picture(cls, number: int, info: ValidationInfo) -> int:
        kind, n_mels = info.data.get("kind"), info.data.get("n_mels", number)
        if (kind == "mel_mfcc_chroma" or (kind, info.field_name) == ("mfcc", "n_mfcc")) and number > n_mels:
            raise PydanticCustomError("more_than_mels", "should be at most n_mels, {n_mels}", {"n_mels": n_mels})
        return number
