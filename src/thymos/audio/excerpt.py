"""A part of a file, from one second to another: an hour of talk is not decoded whole for each sentence in it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thymos.audio.decode import DEFAULT_LIMITS, Limits, Source, Waveform, open_sound, read_waveform_and_info
from thymos.audio.source import AudioInfo, check_samples, check_size
from thymos.errors import AudioError

LENIENT_S = 0.1
"""Tables round: an excerpt may end so much later than its file, and then ends with it."""


@dataclass(frozen=True)
class Excerpt:
    """A part of the file at ``path``, which can be heard as a file can."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def name(self) -> str:
        """What it is called, as a W3C Media Fragment: ``talk.wav#t=0.5,2``."""
        return excerpt_name(str(self.path), self.start_s, self.end_s)


def excerpt_name(file: str, start_s: float, end_s: float | None) -> str:
    """Return the name of a clip: its file, and the times where it is a part of that, as a W3C Media Fragment.

    >>> excerpt_name("talk.wav", 0.5, 2.0)
    'talk.wav#t=0.5,2'
    """
    if start_s == 0 and end_s is None:
        return file
    return f"{file}#t={_shortest(start_s)}" + ("" if end_s is None else f",{_shortest(end_s)}")


def read_excerpt(
    source: Source, start_s: float = 0.0, end_s: float | None = None, limits: Limits = DEFAULT_LIMITS
) -> tuple[Waveform, AudioInfo]:
    """Decode ``source`` from ``start_s`` to ``end_s``, None being its end; with what the header says of the whole file.

    The samples are those that decoding all of it gives from ``round(start_s × rate)`` up to ``round(end_s × rate)``.
    ``limits.max_decoded_bytes`` counts the excerpt alone.

    Raises:
        AudioError: as ``read_waveform``; or the file has no such part.
    """
    if start_s == 0 and end_s is None:
        return read_waveform_and_info(source, limits)
    if not 0 <= start_s < (np.inf if end_s is None else end_s):
        raise AudioError(f"has no part from {start_s:g} s to {_end(end_s)}: it must end after it begins")
    blocks, frames = [], 0
    with open_sound(source, replace(limits, max_decoded_bytes=1 << 62), start_s) as sound:
        info, rate_hz = sound.info, sound.info.rate_hz
        first = round(start_s * rate_hz)
        wanted = None if end_s is None else round(end_s * rate_hz) - first
        if wanted == 0:
            raise AudioError(f"has no sample from {start_s:g} s to {_end(end_s)} at {rate_hz} Hz")
        for block in sound.blocks:
            blocks.append(block if wanted is None else block[: wanted - frames])
            frames += len(blocks[-1])
            check_size(frames, info.channels, limits)
            if frames == wanted:
                break
    if not frames or (wanted is not None and frames < wanted - LENIENT_S * rate_hz):
        length = f"it is {(first + frames) / rate_hz:.2f} s long" if frames else "it is no longer than that"
        raise AudioError(f"has no part from {start_s:g} s to {_end(end_s)}: {length}")
    samples = np.concatenate(blocks)
    check_samples(samples)
    return Waveform(samples, rate_hz), info


def _shortest(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def _end(end_s: float | None) -> str:
    return "its end" if end_s is None else f"{end_s:g} s"
