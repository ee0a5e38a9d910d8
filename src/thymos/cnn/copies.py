"""A changed copy of a recording, for augmentation: another pitch, noise, another level."""

import numpy as np

from thymos.audio import Samples, shift_pitch
from thymos.cnn.settings import CopySettings


def changed_copy(samples: Samples, rate_hz: int, copy: CopySettings, sha256: str) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) as ``copy`` says: pitch first, then noise, then gain.

    Args:
        samples: a recording, normalised as it is going to be.
        rate_hz: its rate.
        copy: what changes.
        sha256: of the recording, in hexadecimal; it alone seeds the noise.

    Raises:
        MissingExtraError: the pitch changes, and python-stretch is not installed.
    """
    if copy.pitch_semitones:
        samples = shift_pitch(samples, rate_hz, copy.pitch_semitones)
    if copy.noise_snr_db is not None:
        samples = samples + _noise(samples, copy.noise_snr_db, int(sha256, 16))
    if copy.gain_db:
        samples = samples * np.float32(10 ** (copy.gain_db / 20))
    return samples


def _noise(samples: Samples, snr_db: float, seed: int) -> Samples:
    power = np.mean(samples.astype(np.float64) ** 2)
    level = np.float32(np.sqrt(power * 10 ** (-snr_db / 10)))
    return level * np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)
