"""Batches of whole recordings: of about one length each, so that little of them is padding."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thymos.encoder.level_spectrograms import Recordings

_POOL_BATCHES = 8
"""Lengths are sorted within so many batches: alike enough, and still another mixture in each epoch."""
_WIDTH_STEP = 8
"""Batches are as wide as the next multiple: fewer shapes for the convolution library to prepare for."""

Batch = NDArray[np.int64]


def length_batches(
    drawn: Batch, lengths: NDArray[np.int64], batch_size: int, random: np.random.Generator
) -> list[Batch]:
    """Divide the recordings ``drawn``, in their order by chance, into batches of similar lengths, in random order.

    A last batch of one recording is left out: it has no variance to normalise by.
    """
    batches = []
    for start in range(0, len(drawn), batch_size * _POOL_BATCHES):
        pool = drawn[start : start + batch_size * _POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    return [batches[i] for i in random.permutation(len(batches))]


def load_batch(
    recordings: Recordings, batch: Sequence[int] | Batch, longest: int, silence_db: float, random: np.random.Generator
) -> Tensor:
    """Return the levels of ``batch``, each at a random speed: float32, shape ``(batch, channels, bands, frames)``, dB.

    Recordings longer than ``longest`` frames are cut at a random place; shorter ones lie at a random place in silence.
    """
    spans = []
    for recording in batch:
        speed = int(random.integers(len(recordings.values)))
        start, stop = recordings.starts[speed][recording : recording + 2]
        if stop - start > longest:
            start += random.integers(stop - start - longest + 1)
            stop = start + longest
        spans.append((speed, start, stop))
    longest_here = max(stop - start for _, start, stop in spans)
    width = -(-longest_here // _WIDTH_STEP) * _WIDTH_STEP
    levels = np.full((len(batch), width, *recordings.values[0].shape[1:]), silence_db, np.float16)
    for row, (speed, start, stop) in zip(levels, spans, strict=True):
        place = random.integers(width - (stop - start) + 1)
        row[place : place + stop - start] = recordings.values[speed][start:stop]
    return torch.from_numpy(levels).permute(0, 2, 3, 1).float()
