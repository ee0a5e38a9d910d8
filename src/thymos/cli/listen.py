"""``thymos listen``: which emotion is heard now, from the microphone or from raw PCM on standard input."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from thymos.audio import Samples
from thymos.cli.console import notes
from thymos.errors import ThymosError
from thymos.live import HOP_S, TIME_CONSTANT_S, PcmFormat
from thymos.live.smoothing import LiveAnswer
from thymos.runtime.prediction import NONE_HEARD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thymos.audio import Samples
    from thymos.live.smoothing import LiveAnswer

_READ_BYTES = 1 << 16
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
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model (default: THYMOS_MODEL, else the one that comes along).")
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.5, max=30, help="Seconds heard for an answer (default: the model's).")
    ] = None,
    hop: Annotated[float, typer.Option(min=0.05, help="Seconds from answer to answer.")] = HOP_S,
    smoothing: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Time constant of the exponential smoothing, in seconds.")
    ] = TIME_CONSTANT_S,
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

    piped = source is not None or rate is not None or format is not None
    _check_source(source, rate, piped, device)
    recognizer = load(model)
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
        stream = recognizer.stream(rate_hz, window, hop)
        level: Callable[[Samples], None] = _ignore
        if sys.stdout.isatty():
            from thymos.cli.listen import live_meter

            meter = opened.enter_context(live_meter(recognizer.labels, window or recognizer.bundle.about.window_s))
            show.append(meter.show)
            level = meter.hear
        else:
            show.append(_print)
        try:
            for block in blocks:
                mono = as_mono(block)
                level(mono)
                for one in stream.feed(mono):
                    _show(smoother.take(one), show)
            for one in stream.close():
                _show(smoother.take(one), show)
        except BrokenPipeError:
            # Who read the answers has had enough. The interpreter would flush once more, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_source(source: str | None, rate: int | None, piped: bool, device: str | None) -> None:
    if source not in (None, "-"):
        raise SourceError(f"the only source to name is -, not {source}: for files there is thymos predict")
    if piped and device is not None:
        raise SourceError("sound comes from --device or from standard input, not from both")
    if piped and rate is None:
        raise SourceError("raw PCM on standard input does not say its sampling rate: name it by --rate")
    if piped and sys.stdin.isatty():
        raise SourceError("standard input is a terminal: pipe raw PCM into it, or leave out --rate for the microphone")


def _standard_input(format: PcmFormat, channels: int) -> "Iterator[NDArray[Any]]":
    from thymos.live.smoothing import RawPcm

    pcm = RawPcm(format, channels)
    # What there is, at once: a full buffer would come seconds late.
    while content := os.read(sys.stdin.fileno(), _READ_BYTES):
        yield pcm.push(content)
    if pcm.left:
        notes.print("standard input ended within a sample, which is left out", soft_wrap=True)


def _microphone(device: str | None, opened: ExitStack) -> "tuple[int, Iterator[NDArray[Any]]]":
    from thymos.live.microphone import open_microphone

    microphone = opened.enter_context(open_microphone(device))

    def blocks() -> "Iterator[NDArray[Any]]":
        said = False
        for block in microphone.blocks:
            if microphone.lost and not said:
                said = True
                notes.print("sound was lost: this machine does not keep up")
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
                notes.print(f"OSC to {target} is not sent: {error.strerror or error}", soft_wrap=True, markup=False)
            failed = True

    return send


def _show(heard: "LiveAnswer", show: "list[Callable[[LiveAnswer], None]]") -> None:
    for one in show:
        one(heard)


def _print(heard: "LiveAnswer") -> None:
    print(json.dumps(heard.to_dict(), ensure_ascii=False), flush=True)


def _ignore(samples: "Samples") -> None:
    pass


WIDTH = 40
FLOOR_DB = -60.0
"""The level bar is empty here, and full at full scale."""


@dataclass
class Meter:
    """The last answer as bars, redrawn in place.

    Attributes:
        labels: the model's emotions.
        window_s: how much sound the first answer takes.
    """

    labels: tuple[str, ...]
    window_s: float
    heard: LiveAnswer | None = None
    level_db: float = FLOOR_DB
    _redraw: Callable[[], None] = field(default=lambda: None, repr=False)

    def hear(self, samples: Samples) -> None:
        """Show how loud ``samples`` are: float32 at ±1, shape ``(n,)``."""
        if len(samples):
            peak = float(np.abs(samples).max())
            self.level_db = max(FLOOR_DB, 20 * float(np.log10(max(peak, 1e-9))))

    def show(self, heard: LiveAnswer) -> None:
        """Show an answer."""
        self.heard = heard
        self._redraw()

    def __rich__(self) -> Group:
        level = Table.grid(padding=(0, 1))
        level.add_row(
            Text("level".ljust(self._words)),
            Bar(1, 0, 1 - self.level_db / FLOOR_DB, width=WIDTH),
            f"{self.level_db:4.0f} dB",
        )
        if self.heard is None:
            return Group(Text(f"Listening; the first answer comes after {self.window_s:g} s of sound"), level)
        window, smoothed = self.heard.window, self.heard.smoothed
        emotion = self.heard.smoothed_emotion
        said = NONE_HEARD if smoothed is None or emotion is None else f"{emotion} {smoothed[emotion]:.2f}"
        remark = "  unlike what the model was trained on" if window.out_of_distribution else ""
        grid = Table.grid(padding=(0, 1))
        grid.add_row("", "smoothed", "", "now", style="dim")
        for word in self.labels:
            own, now = (smoothed or {}).get(word, 0.0), (window.probabilities or {}).get(word, 0.0)
            bold = "bold" if word == emotion else ""
            grid.add_row(Text(word.ljust(self._words), bold), Bar(1, 0, own, width=WIDTH), f"{own:.2f}", f"{now:.2f}")
        return Group(Text(f"{window.end_s:7.1f} s  {said}{remark}", "bold"), grid, level)

    @property
    def _words(self) -> int:
        return max(map(len, ("level", *self.labels)))


@contextmanager
def live_meter(labels: tuple[str, ...], window_s: float) -> Iterator[Meter]:
    """Yield a meter on standard output, which stays there as it was last."""
    meter = Meter(labels, window_s)
    with Live(meter, console=Console(), refresh_per_second=8) as live:
        meter._redraw = live.refresh
        yield meter
