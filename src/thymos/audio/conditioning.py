"""What is done to a waveform before it is cut: resampling, normalisation, noise reduction."""

import numpy as np
import soxr

from thymos.audio.decode import Samples, Waveform
from thymos.errors import MissingExtraError


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """Return ``waveform`` at ``rate_hz``, resampled by soxr's high quality setting if it has another."""
    if waveform.rate_hz == rate_hz:
        return waveform
    return Waveform(played(waveform, 1.0, rate_hz), rate_hz)


def played(waveform: Waveform, speed: float, rate_hz: int) -> Samples:
    """Return the samples of ``waveform`` at ``rate_hz``, tempo and pitch ``speed`` times as high."""
    rate_now = waveform.rate_hz * speed
    if rate_now == rate_hz:
        return waveform.samples
    return np.asarray(soxr.resample(waveform.samples, rate_now, rate_hz, quality="HQ"), np.float32)


def normalise_peak(samples: Samples) -> Samples:
    """Scale ``samples`` (any shape; per row on the last axis) so that the largest magnitude is 1.

    As ``librosa.util.normalize`` does it: what is silent to the last bit stays as it is.
    """
    peak = np.abs(samples).max(axis=-1, keepdims=True)
    scale = np.where(peak < np.finfo(np.float32).tiny, np.float32(1), peak)
    return np.asarray(samples / scale, np.float32)


def wiener(samples: Samples) -> Samples:
    """Return ``samples`` through ``scipy.signal.wiener`` with its default window of three samples.

    The filter divides by the local variance, which is zero in digital silence; that stays silent.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.signal import wiener as scipy_wiener
    except ImportError:
        raise MissingExtraError("the Wiener filter needs scipy: pip install 'thymos[train]'") from None
    with np.errstate(divide="ignore", invalid="ignore"):
        filtered = scipy_wiener(samples.astype(np.float64))
    return np.nan_to_num(filtered).astype(np.float32)
