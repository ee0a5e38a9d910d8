"""``thymos listen``: which emotion is heard now, from the microphone or from raw PCM on standard input."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.cli.console import ChosenOption, ModelOption, VoiceOption, VoicesOption, chosen_labels, say
from thymos.errors import ThymosError
from thymos.escaping import json_line
from thymos.live import HOP_S, TIME_CONSTANT_S, PcmFormat
from thymos.streams import standard_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thymos.audio import Samples
    from thymos.live.smoothing import LiveAnswer

MOST_CHANNELS = 32


class SourceError(ThymosError):
    """The options do not say where sound comes from."""


def listen(
    source: Annotated[
        str | None, typer.Argument(metavar="[-]", help="- for raw PCM on standard input, as --rate says too.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Samples per second of raw PCM on standard input; without it, the microphone.")
    ] = None,
    format: Annotated[PcmFormat | None, typer.Option(help="Of raw PCM (default: s16le).")] = None,
    channels: Annotated[int, typer.Option(min=1, max=MOST_CHANNELS, help="Of raw PCM; their mean is heard.")] = 1,
    device: Annotated[str | None, typer.Option(help="Microphone: its number, or a part of its name.")] = None,
    model: ModelOption = None,
    window: Annotated[
        float | None, typer.Option(min=0.5, max=30, help="Seconds heard for an answer (default: the model's).")
    ] = None,
    hop: Annotated[float, typer.Option(min=0.05, help="Seconds from answer to answer.")] = HOP_S,
    smoothing: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Time constant of the exponential smoothing, in seconds.")
    ] = TIME_CONSTANT_S,
    labels: ChosenOption = None,
    voice: VoiceOption = None,
    voices: VoicesOption = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Get to know the voice, room or line while it is heard, and take it out.")
    ] = False,
    osc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send answers there as OSC messages, too.")
    ] = None,
) -> None:
    """Say which emotion is heard now: a meter on a terminal, a line of JSON for each answer in a pipe.

    An answer holds the last window and, under "smoothed", the windows so far, each counting exp(-age / time constant).
    Ends with its input, or with Ctrl-C.
    """
    from thymos.audio.blocks import as_mono
    from thymos.live.smoothing import Smoother
    from thymos.runtime.recognizer import load
    from thymos.runtime.voice import find_voice

    if adapt and voice is not None:
        raise SourceError(
            "--adapt finds out what a voice is like, and --voice names one that is known: give one of both"
        )
    piped = source is not None or rate is not None or format is not None
    _check_source(source, rate, piped, device)
    known = None if voice is None else find_voice(voice, voices)
    recognizer = load(model).among(chosen_labels(labels)).for_voice(known)
    if adapt:
        _ = recognizer.space  # a model without is known before a microphone is opened
    smoother = Smoother(recognizer.labels, smoothing)
    with ExitStack() as opened:
        show: list[Callable[[LiveAnswer], None]] = []
        if osc is not None:
            show.append(_osc_sender(osc, recognizer.labels, opened))
        if piped:
            assert rate is not None
            rate_hz, blocks = rate, _standard_input(format or "s16le", channels)
        else:
            rate_hz, blocks = _microphone(device, opened)
        stream = recognizer.stream(rate_hz, window, hop, adapt=adapt)
        level: Callable[[Samples], None] = _ignore
        if sys.stdout.isatty():
            from thymos.cli.meter import live_meter

            meter = opened.enter_context(live_meter(recognizer.labels, window or recognizer.bundle.about.window_s))
            show.append(meter.show)
            level = meter.hear
        else:
            show.append(partial(_print, {} if known is None else {"voice": known.name}))
        for block in blocks:
            mono = as_mono(block)
            level(mono)
            for one in stream.feed(mono):
                _show(smoother.take(one), show)
        for one in stream.close():
            _show(smoother.take(one), show)


def _check_source(source: str | None, rate: int | None, piped: bool, device: str | None) -> None:
    if source not in (None, "-"):
        raise SourceError(f"the only source to name is -, not {source}: for files there is thymos predict")
    if piped and device is not None:
        raise SourceError("sound comes from --device or from standard input, not from both")
    if piped and rate is None:
        raise SourceError("raw PCM on standard input does not say its sampling rate: name it by --rate")
    if piped and sys.stdin is not None and sys.stdin.isatty():
        raise SourceError("standard input is a terminal: pipe raw PCM into it, or leave out --rate for the microphone")


def _standard_input(format: PcmFormat, channels: int) -> "Iterator[NDArray[Any]]":
    from thymos.live.smoothing import RawPcm

    pcm = RawPcm(format, channels)
    for content in standard_input():
        yield pcm.push(content)
    if pcm.left:
        say("standard input ended within a sample, which is left out")


def _microphone(device: str | None, opened: ExitStack) -> "tuple[int, Iterator[NDArray[Any]]]":
    from thymos.live.microphone import open_microphone

    microphone = opened.enter_context(open_microphone(device))

    def blocks() -> "Iterator[NDArray[Any]]":
        said = False
        for block in microphone.blocks:
            if microphone.lost and not said:
                said = True
                say("sound was lost: this machine does not keep up")
            yield block

    return microphone.rate_hz, blocks()


def _osc_sender(target: str, labels: tuple[str, ...], opened: ExitStack) -> "Callable[[LiveAnswer], None]":
    from thymos.live.osc import OscSender

    sender = opened.enter_context(OscSender(target, labels))
    failed = False

    def send(heard: "LiveAnswer") -> None:
        # A network that is away for a moment must not end a show.
        nonlocal failed
        try:
            sender.send(heard)
            failed = False
        except OSError as error:
            if not failed:
                say(f"OSC to {target} is not sent: {error.strerror or error}")
            failed = True

    return send


def _show(heard: "LiveAnswer", show: "list[Callable[[LiveAnswer], None]]") -> None:
    for one in show:
        one(heard)


def _print(beside: dict[str, str], heard: "LiveAnswer") -> None:
    print(json_line(heard.to_dict() | beside), flush=True)


def _ignore(samples: "Samples") -> None:
    pass
