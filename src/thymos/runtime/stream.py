"""Sound that arrives bit by bit: the same windows with the same probabilities as of a file of the same samples."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.audio.blocks import as_mono, checked_rate
from thymos.errors import AudioError
from thymos.runtime.prediction import Window
from thymos.runtime.vad import VadStream
from thymos.runtime.windows import WindowCutter, WindowSamples

FIRST_S = 1.5
"""Of sound, after which a stream first answers, if it is to answer as often as that."""


class Stream:
    """One live recording. It belongs to one thread at a time; several streams of one recogniser may run at once.

    >>> with recognizer.stream(48_000, hop_s=0.5) as stream:            # doctest: +SKIP
    ...     for block in microphone:
    ...         for window in stream.feed(block):
    ...             print(window.end_s, window.emotion)
    """

    def __init__(
        self,
        hear: Callable[[WindowSamples], Window],
        rate_hz: int,
        model_rate_hz: int,
        window_s: float,
        hop_s: float,
        vad_threshold: float | None = None,
        first_s: float | None = None,
    ):
        """Take what hears a window, the rates of the sound and of the model, the grid of windows, where speech begins,
        and how soon the first answer comes; None: with the first whole window. See ``WindowCutter``.

        Raises:
            AudioError: a rate that sound does not have, or windows that leave gaps.
        """
        try:
            rate_hz = checked_rate(rate_hz)
        except AudioError as error:
            raise error.of("a stream") from None
        if not 0 < hop_s <= window_s:
            raise AudioError(f"windows of {window_s:g} s cannot begin every {hop_s:g} s without leaving gaps")
        if first_s is not None and not 0 < first_s < np.inf:
            raise AudioError(f"a first answer comes after a positive number of seconds, not after {first_s:g}")
        self.first_s = window_s if first_s is None else min(first_s, window_s)
        """Seconds of sound after which the first answer comes."""
        self._hear = hear
        self._cutter = WindowCutter(rate_hz, model_rate_hz, window_s, hop_s, vad_threshold, first_s)
        self._closed = False

    @property
    def vad(self) -> VadStream:
        """What the VAD says of the stream so far."""
        return self._cutter.vad

    def feed(self, samples: NDArray[Any]) -> list[Window]:
        """Take ``samples`` in and return the windows that are complete with them.

        Args:
            samples: shape ``(n,)`` or ``(n, channels)``, floats at ±1 or integers at full scale; n may be 0.

        Raises:
            AudioError: the stream is closed, or samples are NaN or infinite.
        """
        if self._closed:
            raise AudioError("this stream is closed")
        try:
            mono = as_mono(samples)
        except AudioError as error:
            raise error.of("what the stream is fed") from None
        if not np.isfinite(mono).all():
            raise AudioError("samples are NaN or infinite")
        self._cutter.take(mono)
        return [self._hear(cut) for cut in self._cutter.full_windows()]

    def close(self) -> list[Window]:
        """End the stream and return the windows that are left; a second call returns none."""
        if self._closed:
            return []
        self._closed = True
        self._cutter.end()
        return [self._hear(cut) for cut in [*self._cutter.full_windows(), *self._cutter.last_window()]]

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
