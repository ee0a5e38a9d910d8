"""Sound block by block, in flat memory: files of any length, and arrays as if they were files."""

import numbers
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.audio.containers import Remark
from thymos.audio.decode import open_sound
from thymos.audio.elsewhere import RemoteFile
from thymos.audio.excerpt import Excerpt, open_excerpt
from thymos.audio.mixing import Channel, Mixer, RawBlock
from thymos.audio.source import BLOCK_FRAMES, DEFAULT_LIMITS, UNKNOWN_FRAMES, Limits, Samples, Source, no_source
from thymos.errors import AudioError, TooLongError

Array = tuple[NDArray[Any], int]
"""Samples, shape ``(samples,)`` or ``(samples, channels)``, floats at ±1 or integers at their full scale; and Hz."""
Sound = Source | Array | Excerpt
"""All that can be heard."""

_LARGEST_RATE_HZ = 1e12
"""A number that is not below it is none: infinite, NaN, or too large for a whole number of Hz."""


@dataclass(frozen=True)
class SoundBlocks:
    """An open sound.

    Attributes:
        rate_hz: samples per second.
        blocks: mono float32 blocks, shape ``(n,)`` with n of 1 to ``BLOCK_FRAMES``, in order; none where it is empty.
        channels: how many there are.
        remarks: what was found and done; whole once all blocks have been taken.
    """

    rate_hz: int
    blocks: Iterator[Samples]
    channels: int = 1
    remarks: set[Remark] = field(default_factory=set)


@contextmanager
def open_blocks(source: Sound, limits: Limits = DEFAULT_LIMITS, channel: Channel = "mix") -> Iterator[SoundBlocks]:
    """Open ``source`` for decoding block by block; channels are mixed to mono, or one is taken, and centred.

    The same samples give the same blocks, whether they come from a file or an array. ``limits.max_decoded_bytes`` does
    not apply, since no more than a block is ever in memory.

    Raises:
        AudioError: here, if it cannot be opened or is outside ``limits``; from ``blocks``, if it is damaged further on,
            longer than ``limits.longest_s``, or holds samples that are NaN, infinite or beyond any full scale.
    """
    if isinstance(source, tuple):
        samples, rate_hz = _checked_array(source, limits)
        mixer = Mixer(samples.shape[1], rate_hz, channel, centred=True)
        blocks = _within_bounds(mixer.mono(_array_blocks(samples)), rate_hz, limits)
        yield SoundBlocks(rate_hz, blocks, samples.shape[1], mixer.remarks)
        return
    part = source if isinstance(source, Excerpt) else None
    # An integer would be taken for the number of an open file, and that be closed in the end.
    if part is None and not isinstance(source, str | os.PathLike | bytes | RemoteFile) and not hasattr(source, "read"):
        raise no_source(source, "a path, bytes, an open binary file, or (array, rate in Hz)")
    any_size = replace(limits, max_decoded_bytes=1 << 62)
    with ExitStack() as opened:
        if part is not None:
            own = part.channel if channel == "mix" else channel
            sound = opened.enter_context(open_excerpt(part.path, part.start_s, part.end_s, any_size, own, centred=True))
        else:
            assert not isinstance(source, Excerpt)
            sound = opened.enter_context(open_sound(source, any_size, channel=channel, centred=True))
            if sound.info.frames != UNKNOWN_FRAMES:
                _check_length(sound.info.frames, sound.info.rate_hz, limits)
        rate_hz = sound.info.rate_hz
        yield SoundBlocks(rate_hz, _within_bounds(sound.blocks, rate_hz, limits), sound.info.channels, sound.remarks)


def channels_of(source: Sound) -> int:
    """Return how many channels ``source`` has; a file object is read from.

    Raises:
        AudioError: as ``open_blocks``.
    """
    with open_blocks(source) as sound:
        return sound.channels


def as_mono(samples: NDArray[Any], limits: Limits = DEFAULT_LIMITS) -> Samples:
    """Return an array of samples as mono float32; for what is taken, see ``Array``.

    Raises:
        AudioError: it is not such an array.
    """
    return _mono(_as_float(_checked_samples(samples, limits)))


def _array_blocks(samples: NDArray[Any]) -> Iterator[RawBlock]:
    for start in range(0, len(samples), BLOCK_FRAMES):
        yield _as_float(samples[start : start + BLOCK_FRAMES])


def _mono(block: NDArray[np.float32]) -> Samples:
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _within_bounds(blocks: Iterator[Samples], rate_hz: int, limits: Limits) -> Iterator[Samples]:
    frames = 0
    for block in blocks:
        frames += len(block)
        _check_length(frames, rate_hz, limits)
        yield block


def _check_length(frames: int, rate_hz: int, limits: Limits) -> None:
    if frames > limits.longest_s * rate_hz:
        raise TooLongError(f"is longer than {_in_words(limits.longest_s)}")


def _in_words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} seconds"
    return f"{seconds / 60:g} minutes" if seconds < 7200 else f"{seconds / 3600:g} hours"


def _checked_array(source: Array, limits: Limits) -> tuple[NDArray[Any], int]:
    if len(source) != 2 or not isinstance(source[0], np.ndarray):
        raise AudioError("is a tuple, but not of a numpy array and its sampling rate in Hz")
    samples, rate_hz = source
    if isinstance(samples, np.ma.MaskedArray):
        raise AudioError("is a masked array; fill what is masked, such as samples.filled(0)")
    return _checked_samples(samples, limits), checked_rate(rate_hz, limits)


def checked_rate(rate_hz: Any, limits: Limits = DEFAULT_LIMITS) -> int:
    """Return a sampling rate that came from outside as a whole number.

    Raises:
        AudioError: it is no whole number, or none that sound has.
    """
    is_number = isinstance(rate_hz, numbers.Real) and not isinstance(rate_hz, bool)
    if not is_number or not -_LARGEST_RATE_HZ < rate_hz < _LARGEST_RATE_HZ or int(rate_hz) != rate_hz:
        raise AudioError(f"has a sampling rate of {rate_hz!r}; it must be a whole number of Hz")
    if not limits.min_rate_hz <= rate_hz <= limits.max_rate_hz:
        raise AudioError(
            f"has a sampling rate of {rate_hz} Hz; it must be {limits.min_rate_hz} to {limits.max_rate_hz} Hz"
        )
    return int(rate_hz)


def _checked_samples(samples: NDArray[Any], limits: Limits) -> NDArray[Any]:
    if not isinstance(samples, np.ndarray):
        raise no_source(samples, "a numpy array of samples")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= limits.max_channels):
        raise AudioError(
            f"is an array of shape {samples.shape}; it must be (samples,) or (samples, channels) with at most "
            f"{limits.max_channels} channels"
        )
    if samples.dtype.kind not in "fi" and samples.dtype != np.uint8:
        raise AudioError(f"is an array of {samples.dtype}; it must be of floats or of signed integers")
    return samples[:, None] if samples.ndim == 1 else samples


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Integers as libsndfile scales them: full scale is ±1."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond the largest float32 is infinite, which is looked for
            return samples.astype(np.float32)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
    return np.asarray(samples / float(1 << (8 * samples.dtype.itemsize - 1)), np.float32)
