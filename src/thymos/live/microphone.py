"""Sound from a microphone, by PortAudio through the library sounddevice (``thymos[live]``)."""

import importlib
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from thymos.audio import Samples
from thymos.audio.mixing import Channel
from thymos.errors import AudioError, MissingExtraError

INSTEAD = "sound can be piped in instead: a WAV, or raw PCM with --rate"
_WAITING = 2_000
"""Blocks that may wait to be heard, some tens of seconds; with more, sound is lost rather than memory filled."""


@dataclass
class Microphone:
    """An open microphone.

    Attributes:
        rate_hz: samples per second, as the device prefers.
        blocks: mono float32, shape ``(n,)``, as they come; ends only with an error.
        lost: whether sound has been lost, because it was not taken in time.
    """

    rate_hz: int
    blocks: Iterator[Samples]
    lost: bool = False


def _sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise MissingExtraError(
            f"the microphone needs the library sounddevice: pip install 'thymos[live]'; {INSTEAD}"
        ) from None
    except OSError:
        # What the library of thymos[live] needs beside itself on Linux, where its wheel does not bring it along.
        raise MissingExtraError(
            "the microphone needs, beside thymos[live], the system's PortAudio library, such as the package "
            f"libportaudio2; {INSTEAD}"
        ) from None


def microphones() -> Sequence[str]:
    """Return a line for each microphone of this machine: its number, name, channels and rate.

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
        AudioError: the system does not tell.
    """
    sounddevice = _sounddevice()
    try:
        devices, default = list(sounddevice.query_devices()), sounddevice.default.device[0]
    except sounddevice.PortAudioError as error:
        raise AudioError(f"the system does not tell its microphones ({error}); {INSTEAD}") from None
    lines = []
    for number, each in enumerate(devices):
        channels = each["max_input_channels"]
        if channels:
            said = f"{number:3}  {each['name']}, {channels} channel{'s' * (channels > 1)}"
            lines.append(f"{said}, {each['default_samplerate']:.0f} Hz{', default' * (number == default)}")
    return lines


@contextmanager
def open_microphone(device: str | None = None, channel: Channel | None = None) -> Iterator[Microphone]:
    """Open a microphone.

    Args:
        device: its number, or a part of its name; by default the system's choice.
        channel: which of its channels is heard, from 1, or the mean of all; None: the first.

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
        AudioError: no such device or channel, or it cannot be opened; from ``blocks``, if it goes away.
    """
    sounddevice = _sounddevice()
    chosen = int(device) if device is not None and device.isdigit() else device
    waiting: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
    try:
        about = sounddevice.query_devices(chosen, "input")
        rate_hz = int(about["default_samplerate"])
        channels = about["max_input_channels"] if channel == "mix" else channel or 1
        if channels > about["max_input_channels"]:
            raise AudioError(f"the microphone has {about['max_input_channels']} channels, so none of number {channel}")
        microphone = Microphone(rate_hz, _blocks(waiting))

        def take(block: Samples, frames: int, times: Any, status: Any) -> None:
            if status.input_overflow or waiting.qsize() >= _WAITING:
                microphone.lost = True
            if waiting.qsize() < _WAITING:
                waiting.put(block.mean(axis=1) if channel == "mix" else block[:, channels - 1].copy())

        stream = sounddevice.InputStream(
            device=chosen,
            channels=channels,
            samplerate=rate_hz,
            dtype="float32",
            callback=take,
            finished_callback=lambda: waiting.put(None),
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        named = "there is no microphone" if device is None else f"the microphone {device!r} cannot be used"
        raise AudioError(f"{named} ({error}); {INSTEAD}") from None
    try:
        yield microphone
    finally:
        stream.close()


def _blocks(waiting: "queue.SimpleQueue[Samples | None]") -> Iterator[Samples]:
    while (block := waiting.get()) is not None:
        yield block
    raise AudioError("the microphone has stopped")
