"""A part of a file, from one second to another: an hour of talk is not decoded whole for each sentence in it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thymos.audio.containers import Remark
from thymos.audio.decode import Waveform, joined_blocks, open_sound, read_waveform_and_info
from thymos.audio.elsewhere import RemoteFile
from thymos.audio.mixing import Channel
from thymos.audio.source import DEFAULT_LIMITS, AudioInfo, Limits, OpenSound, Samples, Source, check_size
from thymos.errors import AudioError

_IS_PART = re.compile(r"#(t|channel)=[\d.,]+(&\w+=\d+)*$")
LENIENT_S = 0.1
"""Tables round: an excerpt may end so much later than its file, and then ends with it."""


@dataclass(frozen=True)
class Excerpt:
    """A part of the file at ``path``, of its bytes or of a file elsewhere, or a channel of it: heard as a file is."""

    path: Path | bytes | RemoteFile
    start_s: float = 0.0
    end_s: float | None = None
    channel: Channel = "mix"

    @property
    def name(self) -> str:
        """What it is called, as a W3C Media Fragment: ``talk.wav#t=0.5,2``."""
        return excerpt_name(
            "" if isinstance(self.path, bytes) else str(self.path), self.start_s, self.end_s, self.channel
        )


def excerpt_name(file: str, start_s: float, end_s: float | None, channel: Channel = "mix") -> str:
    """Return the name of a clip: its file, and the times or the channel that it is of it, as a W3C Media Fragment.

    >>> excerpt_name("talk.wav", 0.5, 2.0)
    'talk.wav#t=0.5,2'
    >>> excerpt_name("call.wav", 0.0, None, channel=2)
    'call.wav#channel=2'
    """
    times = f"t={_shortest(start_s)}" + ("" if end_s is None else f",{_shortest(end_s)}")
    told = [times] if start_s != 0 or end_s is not None else []
    told += [] if channel == "mix" else [f"channel={channel}"]
    return f"{file}#{'&'.join(told)}" if told else file


def part_name(name: str, what: str, number: int) -> str:
    """Return the name of channel or speaker ``number`` of what is called ``name``, a part itself or not.

    >>> part_name(part_name("call.wav#t=0,2", "channel", 1), "speaker", 2)
    'call.wav#t=0,2&channel=1&speaker=2'
    """
    return f"{name}{'&' if _IS_PART.search(name) else '#'}{what}={number}"


def read_excerpt(
    source: Source,
    start_s: float = 0.0,
    end_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
    channel: Channel = "mix",
    remarks: set[Remark] | None = None,
) -> tuple[Waveform, AudioInfo]:
    """Decode ``source`` from ``start_s`` to ``end_s``, None being its end; with what the header says of the whole file.

    The samples are those that decoding all of it gives from ``round(start_s × rate)`` up to ``round(end_s × rate)``.
    ``limits.max_decoded_bytes`` counts the excerpt alone. What was found and done is added to ``remarks``.

    Raises:
        AudioError: as ``read_waveform``; or the file has no such part.
    """
    if start_s == 0 and end_s is None:
        return read_waveform_and_info(source, limits, channel, remarks)
    with open_excerpt(source, start_s, end_s, limits, channel) as sound:
        samples = joined_blocks(list(sound.blocks))
    if remarks is not None:
        remarks.update(sound.remarks)
    return Waveform(samples, sound.info.rate_hz), sound.info


@contextmanager
def open_excerpt(
    source: Source,
    start_s: float = 0.0,
    end_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
    channel: Channel = "mix",
    centred: bool = False,
) -> Iterator[OpenSound]:
    """Open ``source`` for decoding what ``read_excerpt`` gives block by block; remarks are whole once it is closed.

    If ``centred``, a constant offset is taken off.

    Raises:
        AudioError: as ``read_excerpt``, here or from the blocks.
    """
    if not 0 <= start_s < (np.inf if end_s is None else end_s):
        raise AudioError(f"has no part from {start_s:g} s to {_end(end_s)}: it must end after it begins")
    whole = start_s == 0 and end_s is None
    bounds = limits if whole else replace(limits, max_decoded_bytes=1 << 62)
    with open_sound(source, bounds, start_s, channel, centred) as sound:
        info, rate_hz = sound.info, sound.info.rate_hz
        first = round(start_s * rate_hz)
        wanted = None if end_s is None else round(end_s * rate_hz) - first
        if wanted == 0:
            raise AudioError(f"has no sample from {start_s:g} s to {_end(end_s)} at {rate_hz} Hz")

        def blocks() -> Iterator[Samples]:
            frames = 0
            for block in sound.blocks:
                part = block if wanted is None else block[: wanted - frames]
                frames += len(part)
                check_size(frames, info.channels, limits)
                yield part
                if frames == wanted:
                    sound.remarks.discard("cut_short")  # what is missing of the file is not missing here
                    break
            if whole and not frames:
                raise AudioError("holds no samples")
            if not frames or (wanted is not None and frames < wanted - LENIENT_S * rate_hz):
                length = f"it is {(first + frames) / rate_hz:.2f} s long" if frames else "it is no longer than that"
                raise AudioError(f"has no part from {start_s:g} s to {_end(end_s)}: {length}")

        yield replace(sound, blocks=blocks())


def _shortest(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def _end(end_s: float | None) -> str:
    return "its end" if end_s is None else f"{end_s:g} s"
