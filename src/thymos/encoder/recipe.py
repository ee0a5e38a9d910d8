"""Recipes of kind encoder: what describes recordings, and how a head is fitted to the descriptions."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from thymos.config import Settings
from thymos.labels import label_key

SHIPPED = "shipped"


class FoldTuning(Settings):
    """How the encoder is fine-tuned to a training part of some hundreds of recordings; else as ``thymos pretrain``."""

    steps: PositiveInt = 150
    batch: PositiveInt = Field(32, ge=2)
    encoder_rate: PositiveFloat = 1e-5
    warm_up: PositiveInt = 20


class EncoderRecipe(Settings):
    """From whole recordings, described by an encoder that stays as it is, to a linear discriminant."""

    kind: Literal["encoder"] = "encoder"
    name: str = Field(min_length=1)
    description: str = ""
    start_from: str = SHIPPED
    """``shipped``: the encoder that comes with Thymos; else the folder of one that ``thymos pretrain`` made, or the
    file of a Whisper checkpoint, whose first layers then describe as they were published."""
    layers: tuple[PositiveInt, ...] = Field((2, 3), min_length=1)
    """Whose states describe a recording, by their mean and standard deviation over time; the first is 1."""
    speeds: tuple[PositiveFloat, ...] = Field((1.0, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2), min_length=1)
    """Tempo and pitch of the versions that a head is fitted to: as recorded first, which is what is scored."""
    recorded_share: float = Field(0.3, gt=0, le=1)
    """How much recordings as they are count where a head is fitted."""
    distorted_copies: NonNegativeInt = 0
    """Every recording is also fitted to so many times in a room, in noise, or on a line, at one of the speeds."""
    distorted_share: float = Field(0.1, gt=0, lt=1)
    """How much all distorted copies count together, where there are any."""
    finetune: Literal["never", "fold"] = "never"
    """``fold``: the encoder itself is fine-tuned to each training part, before the head is fitted to what it then
    says. That takes minutes a fit, and a calibrated recipe has several fits a fold."""
    tuning: FoldTuning = FoldTuning()
    shrinkage: float = Field(0.3, ge=0, le=1)
    """How far the covariance within emotions is drawn towards a multiple of the identity (Ledoit, Wolf 2004, A
    well-conditioned estimator for large-dimensional covariance matrices)."""
    fitted_to: str | None = None
    """Another corpus, as commands take one, that the head is fitted to: then nothing is learnt from the one
    that is tested, and the head is asked about its emotions."""
    centring: Literal["none", "speaker", "corpus"] = "none"
    """Descriptions less their mean over each speaker's recordings, or over all: no label is looked at, but the other
    recordings that are tested are, so this is transductive."""
    merge: dict[str, str] = Field(default_factory=dict)
    """Labels, of any words, that count as another, such as calm as neutral."""
    priors: dict[str, PositiveFloat] = Field(default_factory=dict)
    """How many times likelier than any other a label is held to be before a recording of an unknown voice is heard."""
    weigh: Literal["recordings", "speakers"] = "recordings"
    """What counts alike where a head is fitted: every recording; or every corpus, and in it every speaker."""
    half: Literal["never", "versions", "always"] = "versions"
    """What is described in bfloat16, faster and at three digits: the versions that are only fitted to, or all."""
    int8: bool = True
    """Whether an exported encoder reckons its products in integers of 8 bits: about half the size, and twice as fast on
    a processor. ``benchmarks/int8.py`` measures what that costs."""
    calibrated: bool = False
    """Whether the recipe is fitted once more on each inner split of the training part, for a temperature and for
    prediction sets; else probabilities stay as they are."""
    max_silence_s: PositiveFloat | None = None
    """Recordings with more seconds of silence than this are left out."""

    @model_validator(mode="after")
    def _goes_together(self) -> "EncoderRecipe":
        if chained := sorted({*map(label_key, self.merge)} & {*map(label_key, self.merge.values())}):
            raise PydanticCustomError("merge", "merge: {word} counts as another emotion itself", {"word": chained[0]})
        if self.fitted_to is not None and (self.calibrated or self.centring != "none"):
            raise PydanticCustomError("fitted_to", "fitted_to goes with no centring, and is not calibrated")
        if self.finetune == "fold" and (self.fitted_to is not None or self.centring != "none"):
            raise PydanticCustomError("finetune", "finetune: fold goes with no centring, and with no fitted_to")
        if self.speeds[0] != 1.0:
            raise PydanticCustomError("scored", "speeds should begin with 1.0: recordings are scored as they are")
        others = len(self.speeds) > 1
        if self.recorded_share + (self.distorted_share if self.distorted_copies else 0) >= 1 and others:
            raise PydanticCustomError(
                "no_rest", "recorded_share and distorted_share should leave a rest for other speeds"
            )
        return self

    def shares(self) -> tuple[float, ...]:
        """Return how much each version counts: speeds first, then copies; their sum is 1."""
        others, copies = len(self.speeds) - 1, self.distorted_copies
        distorted = self.distorted_share if copies else 0.0
        recorded = self.recorded_share if others else 1 - distorted
        rest = (1 - recorded - distorted) / others if others else 0.0
        return (recorded, *[rest] * others, *[distorted / max(1, copies)] * copies)
