"""What is heard in measurements: 44.1 kHz FLAC files made from recordings, and WAV files of any length."""

import io
import os
import random
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from thymos.audio import read_waveform, resample
from thymos.bench.child import BenchError
from thymos.cli.inputs import find_recordings
from thymos.errors import AudioError

RATE_HZ = 44_100
LONGEST_CLIP_S = 30.0
"""Recordings are cut at this length, up to which they are heard as one; long ones are measured on their own."""
_MINI = Path("data") / "mini-aesdd"


def default_paths() -> list[str]:
    """Return where recordings are taken from if none are named: the synthetic corpus of a clone.

    Raises:
        BenchError: there is none.
    """
    for root in (Path(), Path(__file__).resolve().parents[3]):
        if (root / _MINI).is_dir():
            return [str(root / _MINI)]
    raise BenchError(f"{_MINI}, the corpus of a clone, is not here: name recordings of speech to measure with")


def make_clips(paths: Iterable[str], least_s: float, folder: Path) -> list[Path]:
    """Write recordings as 44.1 kHz mono FLAC files of 16 bit to ``folder``, at least ``least_s`` seconds of them.

    Args:
        paths: files, folders and globs; drawn from in an order that is random but always the same, and again from
            the start if they do not suffice.
        least_s: seconds of sound in all.
        folder: exists.

    Raises:
        BenchError: there is nothing to hear, or a recording cannot be read.
    """
    sources = [recording.path for recording in find_recordings(paths) if recording.problem is None and recording.path]
    if not sources:
        raise BenchError("no recordings are there to measure with")
    random.Random(0).shuffle(sources)
    clips: list[Path] = []
    total_s = 0.0
    while total_s < least_s:
        before_s = total_s
        for source in sources:
            if total_s >= least_s:
                break
            try:
                samples = resample(read_waveform(source), RATE_HZ).samples[: round(LONGEST_CLIP_S * RATE_HZ)]
            except AudioError as error:
                raise BenchError(f"{source} {error}") from None
            clip = folder / f"{len(clips):04d}.flac"
            soundfile.write(clip, np.clip(samples, -1, 1), RATE_HZ, "PCM_16")
            clips.append(clip)
            total_s += len(samples) / RATE_HZ
        if total_s == before_s:
            raise BenchError("the recordings to measure with are empty")
    return clips


def joined(clips: Iterable[Path]) -> NDArray[np.int16]:
    """Return the samples of ``clips`` one after the other, shape ``(samples,)``, at ``RATE_HZ``."""
    return np.concatenate([soundfile.read(clip, dtype="int16")[0] for clip in clips])


class RepeatedWav(io.RawIOBase):
    """A WAV file of ``seconds`` on no disk and in no memory: ``samples`` again and again, made as it is read."""

    def __init__(self, samples: NDArray[np.int16], rate_hz: int, seconds: float):
        super().__init__()
        self._period = samples.astype("<i2").tobytes()
        size = 2 * round(seconds * rate_hz)
        self._header = (
            b"RIFF"
            + struct.pack("<I", 36 + size)
            + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
            + b"data"
            + struct.pack("<I", size)
        )
        self._end = len(self._header) + size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return where it is, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to ``offset``, as files do."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence])
        return self._at

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as there is something left, and return how far that is."""
        wanted = min(len(buffer), max(0, self._end - self._at))
        done = 0
        while done < wanted:
            if self._at < len(self._header):
                piece = self._header[self._at :]
            else:
                piece = self._period[(self._at - len(self._header)) % len(self._period) :]
            piece = piece[: wanted - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done
