"""What shapes the pictures of a corpus: the sound part and the feature part of a recipe."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

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

    kind: Literal["mel"] = "mel"
    n_fft: PositiveInt = 2048
    hop: PositiveInt = 1024
    n_mels: PositiveInt = 128
    fmin_hz: float = Field(0.0, ge=0)
    fmax_hz: PositiveFloat | None = None
    """None: half the sampling rate."""
    top_db: PositiveFloat | None = 80.0
    """Range kept below each picture's maximum; None keeps all."""
