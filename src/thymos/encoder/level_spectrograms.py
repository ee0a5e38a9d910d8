"""Whole recordings as spectrograms of any length, packed end to end, each also played slower and faster; kept on disk.

The values are levels in dB before scaling, as float16: what training varies. Labels and folds do not shape them, so
all protocols share one pack, named by a hash of the settings and the sound of every clip.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thymos.audio import played, read_waveform
from thymos.cache import raw_to_npy, whole_folder
from thymos.corpora.table import Clip
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.engine.process import one_thread
from thymos.errors import AudioError

_RECORDINGS_VERSION = 2


@dataclass(frozen=True)
class Recordings:
    """Levels of recordings, played at several speeds.

    Attributes:
        folder: where they lie.
        values: for each speed, all recordings' frames: float16, shape ``(frames, channels, bands)``, dB; on disk.
        starts: for each speed, where each recording begins: shape ``(recordings + 1,)``.
    """

    folder: Path
    values: tuple[NDArray[np.float16], ...]
    starts: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.starts[0]) - 1

    def lengths(self, speed: int = 0) -> NDArray[np.int64]:
        """Return the frames of each recording at the speed so numbered."""
        return np.diff(self.starts[speed])

    def levels(self, recording: int, speed: int = 0) -> Tensor:
        """Return one recording's spectrogram in dB: float32, shape ``(1, channels, bands, frames)``."""
        start, stop = self.starts[speed][recording : recording + 2]
        frames = np.asarray(self.values[speed][start:stop], np.float32)
        return torch.from_numpy(frames).permute(1, 2, 0)[None]


def make_recordings(
    sources: Sequence[tuple[Path, Clip]],
    features: LevelMelSettings,
    speeds: Sequence[float],
    cache_dir: Path,
    advance: Callable[[], None] = lambda: None,
    threads: int = 2,
) -> Recordings:
    """Return the pack of ``sources``, from the cache where it is there.

    Args:
        sources: root and clip of each recording.
        features: how they become spectrograms.
        speeds: tempo and pitch of each version, 1 being as recorded; the first is what is scored.
        cache_dir: where the pack is kept.
        advance: called after each recording.
        threads: recordings at work at once.

    Raises:
        AudioError: a file can no longer be read.
    """
    shaping = {
        "version": _RECORDINGS_VERSION,
        "features": features.model_dump(),
        "speeds": list(speeds),
        "clips": [clip.sound.sha256 for _, clip in sources],
    }
    key = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache_dir / "recordings" / key
    if not folder.is_dir():
        _write(folder, sources, features, speeds, advance, threads)
    else:
        for _ in sources:
            advance()
    return open_recordings(folder)


def open_recordings(folder: Path) -> Recordings:
    """Return the pack that ``make_recordings`` left in ``folder``; its values stay on disk until used."""
    starts = tuple(np.load(folder / "starts.npy"))
    values = tuple(np.load(folder / f"speed{i}.npy", mmap_mode="r") for i in range(len(starts)))
    return Recordings(folder, values, starts)


def _write(
    folder: Path,
    sources: Sequence[tuple[Path, Clip]],
    features: LevelMelSettings,
    speeds: Sequence[float],
    advance: Callable[[], None],
    threads: int,
) -> None:
    front_end = LevelMel(features).eval()

    def spectrograms(source: tuple[Path, Clip]) -> list[NDArray[np.float16]]:
        root, clip = source
        try:
            waveform = read_waveform(root / clip.path)
        except AudioError as error:
            raise AudioError(f"{clip.path} {error}") from None
        made = []
        with torch.inference_mode():
            for speed in speeds:
                samples = torch.from_numpy(played(waveform, speed, features.rate_hz).copy())
                levels = front_end.levels(samples[None])[0].permute(2, 0, 1)
                made.append(levels.numpy().astype(np.float16))
        advance()
        return made

    shape = (len(features.channels), features.n_bands)
    lengths: list[list[int]] = [[] for _ in speeds]
    with whole_folder(folder) as temporary, one_thread(), ThreadPoolExecutor(threads) as pool:
        with ExitStack() as files:
            raws = [files.enter_context((temporary / f"speed{i}.raw").open("wb")) for i in range(len(speeds))]
            for versions in pool.map(spectrograms, sources):
                for raw, own, version in zip(raws, lengths, versions, strict=True):
                    raw.write(np.ascontiguousarray(version).data)
                    own.append(len(version))
        for i in range(len(speeds)):
            raw_to_npy(temporary / f"speed{i}.raw", temporary / f"speed{i}.npy", (sum(lengths[i]), *shape), "<f2")
        starts = np.stack([np.concatenate([[0], np.cumsum(own)]) for own in lengths])
        np.save(temporary / "starts.npy", starts)
