"""Resampling as sound arrives. The samples are, to the last bit, those that resampling all at once would give."""

import numpy as np
import soxr

from thymos.audio import Samples


class Resampler:
    """From one rate to another by soxr's high quality setting, which training resamples by too."""

    def __init__(self, rate_hz: int, to_hz: int):
        same = rate_hz == to_hz
        self._stream = None if same else soxr.ResampleStream(rate_hz, to_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """Return the samples that can be given out once ``samples`` have come in; they lag behind a little."""
        return samples if self._stream is None else np.asarray(self._stream.resample_chunk(samples), np.float32)

    def finish(self) -> Samples:
        """Return the rest."""
        empty = np.empty(0, np.float32)
        return empty if self._stream is None else np.asarray(self._stream.resample_chunk(empty, last=True), np.float32)
