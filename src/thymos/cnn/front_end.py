"""The front end: the torch module that turns segments into the pictures a recipe asks for."""

import math

import torch
from torch import Tensor, nn

from thymos.cnn.chroma import Chroma
from thymos.cnn.mel import LogMel, PowerSpectrogram, power_to_db
from thymos.cnn.mfcc import DELTA_WIDTH, Cepstrum, WithDeltas
from thymos.cnn.settings import FeatureSettings, SoundSettings
from thymos.errors import RecipeError


def front_end(sound: SoundSettings, features: FeatureSettings) -> nn.Module:
    """Return the module ``(batch, samples) -> (batch, channels, bands, frames)``.

    ========================= ========== ========== ==========================================
    kind                      channels   bands      values
    ========================= ========== ========== ==========================================
    ``mel``                   1          n_mels     dB
    ``mfcc``                  3 or 1     n_mfcc     coefficients of dB; their deltas per frame
    ``chroma``                1          n_chroma   0 to 1
    ``mel_mfcc_chroma``       3          n_mels     see ``MelMfccChroma``
    ========================= ========== ========== ==========================================

    Raises:
        RecipeError: a segment has too few frames for deltas.
    """
    if features.kind == "chroma":
        chroma = Chroma(sound.rate_hz, features.n_fft, features.n_chroma)
        return nn.Sequential(PowerSpectrogram(features.n_fft, features.hop), chroma, _one_channel(features.n_chroma))
    mel = LogMel(
        sound.rate_hz,
        features.n_fft,
        features.hop,
        features.n_mels,
        features.fmin_hz,
        features.fmax_hz,
        features.top_db,
    )
    if features.kind == "mel":
        return nn.Sequential(mel, _one_channel(features.n_mels))
    cepstrum = Cepstrum(features.n_mfcc, features.n_mels)
    if features.kind == "mel_mfcc_chroma":
        return MelMfccChroma(mel, cepstrum, Chroma(sound.rate_hz, features.n_fft, features.n_chroma))
    if not features.deltas:
        return nn.Sequential(mel, cepstrum, _one_channel(features.n_mfcc))
    frames = features.frames(sound.window)
    if frames < DELTA_WIDTH:
        raise RecipeError(f"segments have {frames} frames, and deltas need {DELTA_WIDTH}: lengthen sound.window_s")
    return nn.Sequential(mel, cepstrum, WithDeltas())


class MelMfccChroma(nn.Module):
    """Mel picture, MFCC and chroma as three channels of one height and of about one scale.

    ``(batch, samples), full scale ±1 -> (batch, 3, mels, frames)``. MFCC and chroma reach the height of the mel picture
    by repeating their rows. What scales them is fixed, never estimated from the data that are evaluated: round numbers
    near the mean and spread of peak-normalised speech, as 25 recordings of EMOVO showed them.
    """

    mfcc_weights: Tensor

    MEL_CENTRE_DB = -30.0
    """Mel level that becomes 0, in the mel channel and under the MFCCs."""
    MEL_SPREAD_DB = 20.0
    """Decibels that become 1 in the mel channel."""
    MFCC_SPREAD_DB = 9.0
    """What coefficient k is divided by, as ``MFCC_SPREAD_DB * sqrt(mels) / (k + 1)``.

    Coefficients fall about as 1 / (k + 1): weighting by index evens them out (Paliwal, Speech Communication 1, 1982).
    An orthonormal DCT's coefficients grow with the root of its length.
    """
    CHROMA_CENTRE = 0.5
    """Chroma that becomes 0; the range 0 to 1 becomes −1 to 1."""

    def __init__(self, mel: LogMel, cepstrum: Cepstrum, chroma: Chroma):
        super().__init__()
        self.mel, self.cepstrum, self.chroma = mel, cepstrum, chroma
        n_mfcc, self.n_mels = cepstrum.rows.shape
        weights = torch.arange(1, n_mfcc + 1) / (self.MFCC_SPREAD_DB * math.sqrt(self.n_mels))
        self.register_buffer("mfcc_weights", weights[:, None], persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the pictures of ``samples``."""
        power = self.mel.power(samples)
        level = power_to_db(self.mel.filters @ power, self.mel.top_db) - self.MEL_CENTRE_DB
        mfcc = self.cepstrum(level) * self.mfcc_weights
        chroma = (self.chroma(power) - self.CHROMA_CENTRE) * 2
        channels = [level / self.MEL_SPREAD_DB, repeat_rows(mfcc, self.n_mels), repeat_rows(chroma, self.n_mels)]
        return torch.stack(channels, dim=1)


def repeat_rows(picture: Tensor, height: int) -> Tensor:
    """Stretch ``(batch, bands, frames)`` to ``(batch, height, frames)``: row i is row ⌊i · bands / height⌋."""
    bands = picture.shape[-2]
    return picture.index_select(-2, torch.arange(height, device=picture.device) * bands // height)


def _one_channel(bands: int) -> nn.Module:
    return nn.Unflatten(1, (1, bands))
