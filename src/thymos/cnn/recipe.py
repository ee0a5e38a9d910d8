"""Recipes of kind cnn: everything that decides which network is trained on which spectrograms, and how."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from thymos.cnn.networks import ModelSettings, StudyCNNSettings
from thymos.config import Settings


class SoundSettings(Settings):
    """From file to segments."""

    rate_hz: PositiveInt = 44_100
    """Sampling rate of the segments; other sound is resampled to it."""
    normalise: Literal["peak", "none"] = "peak"
    """``peak``: each recording's largest magnitude becomes 1."""
    wiener: bool = False
    """Whether the recording goes through ``scipy.signal.wiener``."""
    segments: Literal["study", "sliding", "stretch"] = "study"
    """``study``: ⌈length / window⌉ segments, evenly spread; ``sliding``: one every ``hop_s``; ``stretch``: the whole
    recording as one segment, played slower or faster to last ``window_s``, its pitch kept."""
    window_s: PositiveFloat = 3.0
    hop_s: PositiveFloat = 1.5
    """Only for ``sliding``."""
    max_silence_s: PositiveFloat | None = None
    """Recordings with more seconds of silence than this are left out."""

    @model_validator(mode="after")
    def _are_at_least_a_sample(self) -> "SoundSettings":
        if min(self.window_s, self.hop_s) * self.rate_hz < 1:
            raise ValueError(f"window_s and hop_s must last at least a sample, 1/{self.rate_hz} s")
        return self

    @property
    def window(self) -> int:
        """Segment length in samples."""
        return round(self.window_s * self.rate_hz)


class FeatureSettings(Settings):
    """From segment to spectrogram."""

    kind: Literal["mel", "mfcc", "chroma", "mel_mfcc_chroma"] = "mel"
    """``mel_mfcc_chroma``: the three as channels of one spectrogram, ``n_mels`` bands high."""
    n_fft: PositiveInt = 2048
    hop: PositiveInt = 1024
    n_mels: PositiveInt = 128
    fmin_hz: float = Field(0.0, ge=0)
    fmax_hz: PositiveFloat | None = None
    """None: half the sampling rate."""
    top_db: PositiveFloat | None = 80.0
    """Range kept below each spectrogram's maximum; None keeps all."""
    n_mfcc: PositiveInt = Field(40, validate_default=True)
    """Coefficients kept of the mel spectrogram's DCT; only where ``kind`` has MFCCs."""
    deltas: bool = True
    """Only for ``mfcc``: whether deltas and delta-deltas are a second and third channel."""
    n_chroma: PositiveInt = Field(12, multiple_of=12, validate_default=True)
    """Steps of the octave, from C; only where ``kind`` has chroma."""
    normalise: Literal["none", "speaker"] = "none"
    """``speaker``: each band's mean becomes 0 and its standard deviation 1 over all segments of a speaker. That looks
    at the sound, not the labels, of test recordings too, so it is transductive: it needs a test speaker's recordings
    all at once, and its scores do not stand beside those of recipes that judge each recording by itself."""

    @field_validator("n_mfcc", "n_chroma")
    @classmethod
    def _fits_the_mel_spectrogram(cls, number: int, info: ValidationInfo) -> int:
        kind, n_mels = info.data.get("kind"), info.data.get("n_mels", number)
        if (kind == "mel_mfcc_chroma" or (kind, info.field_name) == ("mfcc", "n_mfcc")) and number > n_mels:
            raise PydanticCustomError("more_than_mels", "should be at most n_mels, {n_mels}", {"n_mels": n_mels})
        return number

    @property
    def bands(self) -> int:
        """Height of a spectrogram."""
        return {"mfcc": self.n_mfcc, "chroma": self.n_chroma}.get(self.kind, self.n_mels)

    def frames(self, window: int) -> int:
        """Width of the spectrogram of a segment of ``window`` samples."""
        return 1 + window // self.hop

    def frames_in(self, seconds: float, rate_hz: int) -> int:
        """Return ``seconds`` in frames, rounded."""
        return round(seconds * rate_hz / self.hop)


class CopySettings(Settings):
    """How one changed copy of the training recordings differs from them; made once and cached."""

    pitch_semitones: float = Field(0.0, ge=-24, le=24)
    """How much higher; duration and timing stay."""
    gain_db: float = Field(0.0, ge=-60, le=60)
    """Applied after ``sound.normalise``, and last of all."""
    noise_snr_db: float | None = None
    """White Gaussian noise, this far below the recording's mean power; None: no noise."""

    @property
    def only_gain(self) -> bool:
        """Whether nothing but the gain differs from the recording."""
        return self.pitch_semitones == 0 and self.noise_snr_db is None


UNCHANGED = CopySettings()
"""A copy that is the recording itself."""


class SpecAugmentSettings(Settings):
    """Masks over random bands and frames, drawn anew for each spectrogram and epoch, and filled with its mean.

    Park et al. (2019), SpecAugment, Interspeech: its frequency and time masking without its time warping (which the
    authors found to matter least) and without its bound p on wide time masks.
    """

    freq_masks: NonNegativeInt = 0
    """Masks over bands, m_F in the paper."""
    freq_width: NonNegativeInt = Field(0, validate_default=True)
    """Most bands that one masks, F in the paper; each width from 0 to F is as likely."""
    time_masks: NonNegativeInt = 0
    """Masks over frames, m_T in the paper."""
    time_width: NonNegativeInt = Field(0, validate_default=True)
    """Most frames that one masks, T in the paper; each width from 0 to T is as likely."""

    @field_validator("freq_width", "time_width")
    @classmethod
    def _goes_with_its_masks(cls, width: int, info: ValidationInfo) -> int:
        masks = str(info.field_name).replace("width", "masks")
        if bool(width) != bool(info.data.get(masks, width)):
            raise PydanticCustomError("masks_and_width", "must be above 0 just where {masks} is", {"masks": masks})
        return width


class AugmentationSettings(Settings):
    """How training segments are varied; test segments never are. By default nothing is.

    The study's pitch copies, four semitones (a third of an octave) up and down, with SpecAugment on top::

        augmentation:
          copies: [{pitch_semitones: 4}, {pitch_semitones: -4}]
          spec_augment: {freq_masks: 2, freq_width: 16, time_masks: 2, time_width: 20}

    and in one line: ``--set 'augmentation.copies=[{pitch_semitones: 4}, {pitch_semitones: -4}]'``.
    """

    copies: tuple[CopySettings, ...] = ()
    """Every training segment comes along once more for each of these."""
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()
    time_shift_s: NonNegativeFloat = 0.0
    """Each spectrogram is rolled along time, its end coming first, by up to this much either way."""
    mixup_alpha: NonNegativeFloat = 0.0
    """Each batch is mixed with itself in another order, spectrograms and labels alike, by a share from Beta(α, α);
    0: not at all (Zhang et al. 2018, mixup, ICLR)."""

    @field_validator("copies")
    @classmethod
    def _each_changes_something(cls, copies: tuple[CopySettings, ...]) -> tuple[CopySettings, ...]:
        if UNCHANGED in copies:
            raise PydanticCustomError("same_copy", "a copy must differ in pitch_semitones, gain_db or noise_snr_db")
        return copies

    def complaint(self, sound: SoundSettings, features: FeatureSettings) -> str | None:
        """Return what makes no sense with such spectrograms, or None."""
        masks, frames = self.spec_augment, features.frames(sound.window)
        frames_shifted = features.frames_in(self.time_shift_s, sound.rate_hz)
        if masks.freq_masks and features.kind in ("mfcc", "mel_mfcc_chroma"):
            return f"spec_augment.freq_masks need rows that are frequencies, which {features.kind} does not have"
        if masks.freq_width >= features.bands:
            return f"spec_augment.freq_width must be below the spectrogram's {features.bands} bands"
        if masks.time_width >= frames:
            return f"spec_augment.time_width must be below the spectrogram's {frames} frames"
        if self.time_shift_s > sound.window_s / 2:
            return "time_shift_s must be at most half of sound.window_s, as a roll either way then reaches all"
        if self.time_shift_s > 0 and frames_shifted == 0:
            return "time_shift_s must be at least half a frame"
        if any(copy.only_gain for copy in self.copies):
            if features.normalise == "speaker":
                return "a copy that differs in gain alone is no other once features.normalise is speaker"
            if features.kind == "chroma":
                return "a copy that differs in gain alone is no other to chroma"
        return None


class TrainingSettings(Settings):
    """How a network is fitted; the defaults are the study's."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    """Of Adam."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """``bf16``: convolutions in bfloat16, weights and sums in float32; faster, same accuracy (see benchmarks)."""


class CnnRecipe(Settings):
    """Kind cnn, which a file that names no kind is of: from files to a network of spectrograms of one size."""

    name: str = Field(min_length=1)
    description: str = ""
    sound: SoundSettings = SoundSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = StudyCNNSettings()
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training segments are varied."""
    kind: Literal["cnn"] = "cnn"

    @property
    def max_silence_s(self) -> float | None:
        """Recordings with more seconds of silence than this are left out; None: none are."""
        return self.sound.max_silence_s

    @property
    def transductive(self) -> bool:
        """Whether spectrograms of one recording hinge on other recordings that are tested."""
        return self.features.normalise == "speaker"

    @field_validator("augmentation")
    @classmethod
    def _goes_with_the_spectrograms(
        cls, augmentation: AugmentationSettings, info: ValidationInfo
    ) -> AugmentationSettings:
        sound, features = info.data.get("sound"), info.data.get("features")
        complaint = augmentation.complaint(sound, features) if sound and features else None
        if complaint:
            raise PydanticCustomError("does_not_go", "{complaint}", {"complaint": complaint})
        return augmentation
