"""One sound as a figure: waveform, spectrogram, mel spectrogram, and the mel scale between the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform
from thymos.audio.conditioning import Resampler
from thymos.audio.decode import read_waveform_and_info
from thymos.audio.mel_scale import hz_to_mel, mel_filterbank
from thymos.audio.source import Limits
from thymos.corpora.findings import channels_name, printable
from thymos.errors import AudioError, FigureFormatError
from thymos.files import FIGURE_FORMATS
from thymos.reports.figures import ACCENT, INK, MUTED, SECOND, new_figure, plain_axes, save_figure
from thymos.reports.page import clock

STUDY_RATE_HZ = 44_100
STUDY_N_FFT = 2048
STUDY_HOP = 1024
STUDY_MELS = 128
FINE_HOP = 256
"""Hop of the linear spectrogram, which no network sees: fine enough that a short clip is no mosaic."""

LARGEST_DECODED_BYTES = 512 << 20
"""50 minutes of mono sound at 44 100 Hz: beyond that a figure shows nothing, and takes gigabytes."""

MOST_COLUMNS = 1200
"""A figure has no room for more; longer sound is averaged to this many columns of power."""
FRAMES_AT_ONCE = 4096
SIZE_INCHES = (10.5, 8.0)
COLOURS = "magma"
TOP_DB = 80.0
"""What is fainter, beside the loudest, looks like nothing."""
_TICKS_HZ = (0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)


@dataclass(frozen=True)
class Spectrum:
    """Power over frequency and time, shape ``(bins, columns)``, and how many seconds the columns span."""

    power: NDArray[np.float32]
    span_s: float


def draw_sound(file: Path, out: Path | None = None, formats: Sequence[str] = ()) -> list[Path]:
    """Draw the sound in ``file`` and return where the figure was written: by default in the working folder.

    Args:
        file: any that can be heard.
        out: a path whose ending is one of ``FIGURE_FORMATS``.
        formats: of ``FIGURE_FORMATS``, beside that of ``out``; none without ``out`` is PNG.

    Raises:
        FigureFormatError: ``out`` has another ending.
        AudioError: the file cannot be read, or would take more than 512 MiB once decoded.
    """
    if out is None:
        stem, endings = Path(f"{file.stem}.show"), list(formats or ("png",))
    else:
        stem, own = out.with_suffix(""), out.suffix.removeprefix(".")
        if own.lower() not in FIGURE_FORMATS:
            raise FigureFormatError(
                f"{out}: figures are written as {', '.join(FIGURE_FORMATS)}, so its name must end so"
            )
        endings = [own, *(each for each in formats if each != own.lower())]
    try:
        waveform, info = read_waveform_and_info(file, Limits(max_decoded_bytes=LARGEST_DECODED_BYTES))
    except AudioError as error:
        raise error.of(f"{file}:") from None
    figure = sound_figure(waveform, file.name, f"{channels_name(info.channels)} · {info.format}")
    return save_figure(figure, stem, endings)


def sound_figure(waveform: Waveform, name: str, detail: str = "") -> Figure:
    """Draw ``waveform`` under the title ``name``.

    Args:
        waveform: sound at any rate. The mel spectrogram is that of the study's front end, at 44 100 Hz.
        name: shown as the title, whatever letters it holds.
        detail: shown after length and rate.
    """
    figure = new_figure(SIZE_INCHES)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.06)
    grid = figure.add_gridspec(4, 2, height_ratios=(0.28, 1, 1.7, 1.7), width_ratios=(3.2, 1))
    facts = [_length(waveform.duration_s), f"{_thousands(waveform.rate_hz)} Hz", detail]
    _draw_title(figure.add_subplot(grid[0, :]), name, " · ".join(filter(None, facts)))
    wave = figure.add_subplot(grid[1, 0])
    linear = figure.add_subplot(grid[2, 0], sharex=wave)
    mel = figure.add_subplot(grid[3, 0], sharex=wave)
    _draw_waveform(wave, waveform)
    for axes, image in ((linear, _draw_spectrogram(linear, waveform)), (mel, _draw_mel(mel, waveform))):
        _draw_colour_bar(figure, axes, image)
    for axes in (wave, linear):
        axes.tick_params(labelbottom=False)
    mel.set_xlabel("time, s", color=INK, fontsize=9)
    wave.set_xlim(0, waveform.duration_s)
    _draw_mel_scale(figure.add_subplot(grid[1:, 1]))
    return figure


def mel_spectrogram(waveform: Waveform) -> tuple[NDArray[np.float32], float]:
    """Return the study's mel spectrogram of ``waveform``, ``(128, columns)``, dB, and the seconds it spans.

    Of sound up to about 28 s the columns are the frames that the study's networks get; of longer sound they
    are means, at most 1200.
    """
    filters = mel_filterbank(STUDY_RATE_HZ, STUDY_N_FFT, STUDY_MELS).astype(np.float32)
    spectrum = mean_power(_PlayedForwards(waveform, STUDY_RATE_HZ), STUDY_N_FFT, STUDY_HOP, STUDY_RATE_HZ)
    # A mean of mel powers is the mel power of the mean: the filters are linear.
    return power_to_db(filters @ spectrum.power), spectrum.span_s


def power_to_db(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``power`` (bands, columns) in dB relative to 1, at least 1e-10 and within 80 dB of the top."""
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    shown: NDArray[np.float32] = np.maximum(decibels, decibels.max() - TOP_DB)
    return shown


class _PlayedForwards:
    """A waveform at another rate, resampled as it is asked for, from its beginning to its end: at a higher rate, all of
    it would be several times as large."""

    KEPT = 1 << 18
    """Samples behind the last ones that were asked for: spectra overlap."""
    PIECE = 1 << 20

    def __init__(self, waveform: Waveform, rate_hz: int):
        self._samples, self._resampler = waveform.samples, Resampler(waveform.rate_hz, rate_hz)
        self._length = round(len(self._samples) * rate_hz / waveform.rate_hz)
        self._taken = self._start = 0
        self._piece = np.empty(0, np.float32)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> Samples:
        start, stop, _ = part.indices(self._length)
        while self._start + len(self._piece) < stop and self._taken <= len(self._samples):
            more = self._samples[self._taken : self._taken + self.PIECE]
            self._taken += self.PIECE
            pushed = [self._resampler.push(more)]
            if self._taken > len(self._samples):
                pushed.append(self._resampler.finish())
            drop = min(len(self._piece), max(0, start - self.KEPT - self._start))
            self._piece = np.concatenate([self._piece[drop:], *pushed])
            self._start += drop
        return self._piece[start - self._start : stop - self._start]


def mean_power(
    samples: Samples | _PlayedForwards, n_fft: int, hop: int, rate_hz: int, most: int = MOST_COLUMNS
) -> Spectrum:
    """Return the power spectrogram of ``samples``, averaged over frames to at most ``most`` columns.

    Worked in pieces, so that a recording of hours takes no more memory than its samples do.
    """
    frames = 1 + len(samples) // hop
    per_column = -(-frames // most)
    at_once = per_column * max(1, FRAMES_AT_ONCE // per_column)
    columns = []
    for first in range(0, frames, at_once):
        stop = min(first + at_once, frames)
        power = _power_of_frames(samples, n_fft, hop, first, stop)
        starts = np.arange(0, stop - first, per_column)
        counts = np.diff([*starts, stop - first])
        columns.append(np.add.reduceat(power, starts, axis=1) / counts.astype(np.float32))
    return Spectrum(np.concatenate(columns, axis=1), frames * hop / rate_hz)


def _power_of_frames(
    samples: Samples | _PlayedForwards, n_fft: int, hop: int, first: int, stop: int
) -> NDArray[np.float32]:
    """Return the power of frames ``first`` to ``stop``: Hann window, frames centred, zeros beyond the ends of the
    sound; as ``cnn.mel.PowerSpectrogram``, without torch."""
    start, end = first * hop - n_fft // 2, (stop - 1) * hop + n_fft // 2
    inside = samples[max(0, start) : min(end, len(samples))]
    piece = np.pad(inside, (max(0, -start), end - max(0, start) - len(inside)))
    windows = np.lib.stride_tricks.sliding_window_view(piece, n_fft)[::hop]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    spectrum = np.fft.rfft(windows * hann, axis=1)
    return (spectrum.real**2 + spectrum.imag**2).T.astype(np.float32)


def _draw_title(axes: Axes, name: str, facts: str) -> None:
    axes.set_axis_off()
    # A dollar sign in a file's name is no formula.
    words: dict[str, Any] = {"transform": axes.transAxes, "parse_math": False, "clip_on": False}
    axes.text(0, 1, printable(name), fontsize=14, fontweight="bold", color=INK, va="top", **words)
    axes.text(0, 0, facts, fontsize=9.5, color=MUTED, va="bottom", **words)


def _draw_waveform(axes: Axes, waveform: Waveform) -> None:
    """Draw the samples, or where they are more than the figure can show, the range of each column."""
    samples = waveform.samples
    size = -(-len(samples) // (2 * MOST_COLUMNS))
    if size <= 2:
        axes.plot(np.arange(len(samples)) / waveform.rate_hz, samples, color=ACCENT, linewidth=0.6)
    else:
        starts = np.arange(0, len(samples), size)
        low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
        axes.fill_between(starts / waveform.rate_hz, low, high, color=ACCENT, linewidth=0.4)
    reach = max(1e-3, 1.08 * max(float(samples.max()), -float(samples.min())))
    axes.set_ylim(-reach, reach)
    plain_axes(axes)
    _label(axes, "Waveform", "amplitude")


def _draw_spectrogram(axes: Axes, waveform: Waveform) -> AxesImage:
    # The study's 46 ms at whatever rate the file has, as a power of two.
    n_fft = 2 ** max(5, round(np.log2(STUDY_N_FFT * waveform.rate_hz / STUDY_RATE_HZ)))
    hop = max(1, n_fft * FINE_HOP // STUDY_N_FFT)
    spectrum = mean_power(waveform.samples, n_fft, hop, waveform.rate_hz)
    image = _draw_image(axes, power_to_db(spectrum.power), spectrum.span_s, waveform.rate_hz / 2)
    axes.yaxis.set_major_formatter(lambda hz, _: _thousands(round(hz)))
    _label(axes, "Spectrogram", "Hz")
    return image


def _draw_mel(axes: Axes, waveform: Waveform) -> AxesImage:
    decibels, span_s = mel_spectrogram(waveform)
    image = _draw_image(axes, decibels, span_s, float(hz_to_mel(np.array(STUDY_RATE_HZ / 2))))
    axes.set_yticks(hz_to_mel(np.array(_TICKS_HZ)), [_thousands(hz) for hz in _TICKS_HZ])
    _label(axes, f"Mel spectrogram: {STUDY_MELS} bands, sound at {_thousands(STUDY_RATE_HZ)} Hz", "Hz, mel scale")
    return image


def _draw_image(axes: Axes, decibels: NDArray[np.float32], span_s: float, top: float) -> AxesImage:
    """Draw ``decibels``, whose rows reach from 0 to ``top`` on the vertical axis."""
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, span_s, 0, top),
        cmap=COLOURS,
        interpolation="nearest",
    )
    plain_axes(axes, grid="")
    return image


def _draw_colour_bar(figure: Figure, axes: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.012, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    bar.ax.set_title("dB", fontsize=8, color=INK)


def _draw_mel_scale(axes: Axes) -> None:
    """Draw the scale up to the study's highest frequency, and where it turns from linear to logarithmic."""
    hz = np.linspace(0, STUDY_RATE_HZ / 2, 400)
    axes.plot(hz / 1000, hz_to_mel(hz), color=ACCENT, linewidth=1.8)
    turn_hz = 1000.0
    turn_mel = float(hz_to_mel(np.array(turn_hz)))
    axes.plot(turn_hz / 1000, turn_mel, "o", color=SECOND, markersize=5)
    axes.annotate(
        "1 kHz: linear below,\nlogarithmic above",
        (turn_hz / 1000, turn_mel),
        xytext=(10, -14),
        textcoords="offset points",
        fontsize=8,
        color=SECOND,
    )
    axes.set(xlim=(0, hz[-1] / 1000), ylim=(0, None), xlabel="kHz")
    plain_axes(axes, grid="both")
    _label(axes, "Mel scale (Slaney)", "mel")


def _label(axes: Axes, title: str, vertical: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_ylabel(vertical, fontsize=9, color=INK)


def _length(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else clock(seconds)


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")
