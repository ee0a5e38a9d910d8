"""Channels on their way to one: brought to scale, turned round where one is upside down, mixed; or one taken alone.

What is done hangs on how a recording begins, and is the same to its end, so that no more than its beginning is ever
held. What is only said of it is told at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thymos.audio.containers import Remark
from thymos.audio.source import Samples, check_samples
from thymos.errors import AudioError

RawBlock = NDArray[np.float32]
"""Samples as they were decoded, shape ``(samples, channels)``."""
Channel = Literal["mix"] | int
"""All channels as one, or one of them by its number, from 1."""

BEGINNING_S, BEGINNING_VALUES = 30.0, 1 << 23
"""So much of a recording decides: as many seconds, or as many values of all channels."""
ENOUGH_ENERGY_S = 1e-6
"""Of power times seconds: with less, a beginning is silence, and the next one decides."""
LOUDEST_FLOAT = 16.0
"""Floats beyond it, 24 dB above full scale, are integers that nobody divided by their full scale."""
INTEGER_SCALES = (float(1 << 15), float(1 << 23), float(1 << 31))
INVERTED = -0.85
"""Channels that correlate below it are one with its wires exchanged. Wide stereo stays far above, and untouched."""
AS_LOUD = 0.4
"""Of the louder one's power: a channel upside down that has less does not silence the other, and is left as it is."""
DIFFERENT = 0.5
"""Channels that correlate below it hold different things, such as the two ends of a call."""
SILENT_BELOW, HARDLY_HEARD, LEAST_POWER = 1e-5, 1e-3, 1e-8
"""Power beside the loudest channel's, and by itself: a channel below it is silent, or too low to make a difference."""
OFFSET_SHARE, OFFSET_ERRORS, LEAST_OFFSET = 0.02, 8.0, 1e-4
"""A mean counts as an offset if it is so much of the deviation, so many standard errors of the mean of noise, and so
much of full scale."""
FULL_SCALE = 32767 / 32768
SHORTEST_CLIPPED_RUN = 3
CLIPPED_SHARE = 1e-3
"""With so many of all samples in clipped runs, a recording is clipped: single peaks may be rightly there."""


@dataclass(frozen=True)
class _Plan:
    """What is done to every sample: divided by ``scale``, channels weighted and summed, ``offset`` taken off."""

    scale: float
    weights: NDArray[np.float32] | None
    offset: np.float32


class Mixer:
    """Turns the blocks of one recording into mono.

    Attributes:
        remarks: what was done and found; whole once all blocks have gone through.
    """

    def __init__(
        self,
        channels: int,
        rate_hz: int,
        channel: Channel = "mix",
        centred: bool = False,
        remarks: set[Remark] | None = None,
    ):
        """Take how many channels come in at which rate, and which is wanted.

        Args:
            channels: that come in.
            rate_hz: at which they come in.
            channel: that is wanted.
            centred: take an offset off.
            remarks: where to put them.

        Raises:
            AudioError: there is no such channel.
        """
        if channel != "mix" and not 1 <= channel <= channels:
            have = "1 channel" if channels == 1 else f"{channels} channels"
            raise AudioError(f"has {have}, so there is no channel {channel}")
        self.remarks = set() if remarks is None else remarks
        self._channels, self._rate_hz, self._centred = channels, rate_hz, centred
        self._place = 0 if channels == 1 else None if channel == "mix" else channel - 1
        self._plan: _Plan | None = None
        self._moments = _Moments(channels)
        self._clips = ClippedCounter()

    def mono(self, blocks: Iterator[RawBlock]) -> Iterator[Samples]:
        """Yield each of ``blocks`` as mono float32, shape ``(n,)``.

        Raises:
            AudioError: samples are NaN, infinite or beyond any full scale.
        """
        waiting: list[RawBlock] = []
        fault: AudioError | None = None
        for block in blocks:
            try:
                check_samples(block)
            except AudioError as error:  # told once all before it has been given
                fault = error
                break
            if self._plan is not None:
                yield self._mixed(block, self._plan)
            elif len(block):
                waiting.append(block)
                if self._long_enough(waiting):
                    yield from self._begun(waiting)
                    waiting = []
        yield from self._begun(waiting)
        if fault is not None:
            raise fault
        self.conclude()

    def _begun(self, waiting: list[RawBlock]) -> Iterator[Samples]:
        plan = self._decide(waiting) if waiting else None
        for block in waiting:
            assert plan is not None
            yield self._mixed(block, plan)

    def settle(self, blocks: Iterator[RawBlock]) -> None:
        """Decide by as many of ``blocks``, the recording's first ones, as that takes."""
        waiting: list[RawBlock] = []
        for block in blocks:
            check_samples(block)
            waiting.append(block)
            if self._long_enough(waiting):
                if self._decide(waiting) is self._plan:
                    return
                waiting = []
        if waiting:
            self._decide(waiting)

    def _long_enough(self, waiting: list[RawBlock]) -> bool:
        frames = sum(map(len, waiting))
        return frames >= BEGINNING_S * self._rate_hz or frames * self._channels >= BEGINNING_VALUES

    def _decide(self, waiting: list[RawBlock]) -> _Plan:
        """Return what is done to a beginning, and to all that follows if it is not silent."""
        moments = _Moments(self._channels)
        for block in waiting:
            moments.add(block)
        scale = _scale(max(float(np.abs(block).max(initial=0)) for block in waiting))
        covariance = moments.covariance() / scale**2
        weights = None
        if self._place is None:
            signs = _signs(covariance)
            weights = np.asarray(signs / self._channels, np.float32) if (signs < 0).any() else None
        offset = self._offset(moments, weights, scale) if self._centred else 0.0
        plan = _Plan(scale, weights, np.float32(offset))
        if covariance.trace() * moments.count > ENOUGH_ENERGY_S * self._rate_hz:
            self._plan = plan
        for done, remark in ((scale != 1, "rescaled"), (weights is not None, "inverted_channel"), (offset, "offset")):
            if done:
                self.remarks.add(remark)  # type: ignore[arg-type]
        return plan

    def _offset(self, moments: "_Moments", weights: NDArray[np.float32] | None, scale: float) -> float:
        mixing = np.zeros(self._channels)
        if self._place is not None:
            mixing[self._place] = 1.0
        else:
            mixing[:] = 1 / self._channels if weights is None else weights
        mean = float(moments.means() @ mixing) / scale
        deviation = float(np.sqrt(max(0.0, float(mixing @ moments.covariance() @ mixing)))) / scale
        least = max(OFFSET_SHARE, OFFSET_ERRORS / np.sqrt(moments.count)) * deviation
        return mean if abs(mean) > max(least, LEAST_OFFSET) else 0.0

    def _mixed(self, block: RawBlock, plan: _Plan) -> Samples:
        if plan.scale != 1:
            block = block / np.float32(plan.scale)
        if self._place is None:
            self._moments.add(block)
        self._clips.add(block if self._place is None else block[:, self._place : self._place + 1])
        if self._place is not None:
            mono = block[:, self._place]
        else:
            mono = block.mean(axis=1) if plan.weights is None else np.einsum("nc,c->n", block, plan.weights)
        return np.asarray(mono - plan.offset if plan.offset else mono, np.float32)

    def conclude(self) -> None:
        """Remark on all that has gone through so far; done at the end of ``mono``."""
        if self._clips.count >= max(SHORTEST_CLIPPED_RUN, CLIPPED_SHARE * self._clips.values):
            self.remarks.add("clipped")
        if self._place is not None or not self._moments.count:
            return
        covariance = self._moments.covariance()
        power = covariance.diagonal()
        loudest = float(power.max())
        if loudest <= LEAST_POWER:
            return
        if (power < max(LEAST_POWER, SILENT_BELOW * loudest)).any():
            self.remarks.add("silent_channel")
        heard = np.flatnonzero(power > HARDLY_HEARD * loudest)
        deviations = np.sqrt(power[heard])
        correlations = covariance[np.ix_(heard, heard)] / np.outer(deviations, deviations)
        least = np.abs(correlations) if "inverted_channel" in self.remarks else correlations
        if least.min() < DIFFERENT:
            self.remarks.add("mixed_channels")


class _Moments:
    """Means and covariances of channels, block by block."""

    def __init__(self, channels: int):
        self.count = 0
        self._sums, self._products = np.zeros(channels), np.zeros((channels, channels))

    def add(self, block: RawBlock) -> None:
        values = np.ascontiguousarray(block.T, np.float64)
        self.count += values.shape[1]
        self._sums += values.sum(1)
        self._products += np.einsum("cn,dn->cd", values, values)  # BLAS would wake its threads for so little

    def means(self) -> NDArray[np.float64]:
        means: NDArray[np.float64] = self._sums / max(1, self.count)
        return means

    def covariance(self) -> NDArray[np.float64]:
        means = self.means()
        covariance: NDArray[np.float64] = self._products / max(1, self.count) - np.outer(means, means)
        return covariance


class ClippedCounter:
    """Counts samples in runs of at least three at full scale of one sign, block by block.

    Attributes:
        count: of samples in such runs, over all channels.
        values: of all samples.
    """

    def __init__(self) -> None:
        self.count = self.values = 0
        self._run: NDArray[np.int64] | None = None
        """How long the run is that each channel ends with, with its sign."""

    def add(self, block: RawBlock) -> None:
        """Take the next samples, shape ``(samples, channels)``."""
        self.values += block.size
        if self._run is None:
            self._run = np.zeros(block.shape[1], np.int64)
        if not len(block) or (not self._run.any() and float(np.abs(block).max()) < FULL_SCALE):
            return
        for place in range(block.shape[1]):
            signs = np.where(np.abs(block[:, place]) >= FULL_SCALE, np.sign(block[:, place]), 0).astype(np.int8)
            edges = np.flatnonzero(np.diff(signs)) + 1
            starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(signs)]])
            lengths = (ends - starts).astype(np.int64)
            before = int(self._run[place])
            kinds = signs[starts].astype(np.int64)
            counted = abs(before) if abs(before) >= SHORTEST_CLIPPED_RUN else 0
            if before and kinds[0] == np.sign(before):
                lengths[0] += abs(before)
            else:
                counted = 0
            self.count += int(lengths[(kinds != 0) & (lengths >= SHORTEST_CLIPPED_RUN)].sum()) - counted
            self._run[place] = kinds[-1] * lengths[-1]


def _scale(peak: float) -> float:
    """Return what samples with this peak are to be divided by."""
    if peak <= LOUDEST_FLOAT:
        return 1.0
    return next((scale for scale in INTEGER_SCALES if peak <= scale * 1.01), INTEGER_SCALES[-1])


def _signs(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -1 for each channel that is the loudest one upside down, else 1: shape ``(channels,)``."""
    power = covariance.diagonal()
    loudest = int(power.argmax())
    if power[loudest] <= 0:
        return np.ones(len(power))
    deviations = np.sqrt(np.maximum(power, np.finfo(np.float64).tiny))
    correlations = covariance[loudest] / (deviations * deviations[loudest])
    return np.where((correlations < INVERTED) & (power > AS_LOUD * power[loudest]), -1.0, 1.0)
