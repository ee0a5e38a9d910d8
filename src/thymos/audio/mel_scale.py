"""Hz to mel and back, for every filter bank, grid and axis of Thymos: Slaney's scale, linear below 1 kHz.

Source: Slaney (1998), Auditory Toolbox, Version 2, Interval Research Technical Report 1998-010; as
``librosa.hz_to_mel(hz, htk=False)`` has it.
"""

import math

import numpy as np
from numpy.typing import NDArray

_LINEAR_HZ_PER_MEL = 200.0 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27
"""Natural logarithm of the ratio between frequencies one mel apart, above ``_LOG_START_HZ``."""


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies ``hz``, any shape, in mel: float64, the same shape."""
    hz = np.asarray(hz, np.float64)
    above = _LOG_START_MEL + np.log(np.maximum(hz, _LOG_START_HZ) / _LOG_START_HZ) / _LOG_STEP
    return np.where(hz < _LOG_START_HZ, hz / _LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points ``mel`` of the scale, any shape, in Hz: float64, the same shape."""
    mel = np.asarray(mel, np.float64)
    above = _LOG_START_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _LOG_START_MEL) - _LOG_START_MEL))
    return np.where(mel < _LOG_START_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filterbank(
    rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float = 0.0, fmax_hz: float | None = None
) -> NDArray[np.float64]:
    """Return triangular filters of equal area, evenly spaced in mel: shape ``(n_mels, n_fft // 2 + 1)``.

    Raises:
        ValueError: not 0 ≤ fmin < fmax ≤ half the rate; ``fmax_hz`` None is that half.
    """
    top_hz = rate_hz / 2 if fmax_hz is None else fmax_hz
    if not 0 <= fmin_hz < top_hz <= rate_hz / 2:
        raise ValueError(f"mel bands from {fmin_hz:g} to {top_hz:g} Hz do not fit a sampling rate of {rate_hz} Hz")
    edges_mel = hz_to_mel(np.array([fmin_hz, top_hz]))
    edges_hz = mel_to_hz(np.linspace(edges_mel[0], edges_mel[1], n_mels + 2))
    bins_hz = np.fft.rfftfreq(n_fft, 1 / rate_hz)
    widths = np.diff(edges_hz)
    rising = (bins_hz - edges_hz[:-2, None]) / widths[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: NDArray[np.float64] = triangles * (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters
