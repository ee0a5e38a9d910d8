"""Why an emotion was heard, as a figure: the effect of each region over the mel-spaced spectrogram, and the frames'
evidence above it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.reports.figures import INK, MUTED, new_figure, plain_axes, save_figure
from thymos.runtime.explain import Explanation
from thymos.runtime.occlusion import Mask, complex_spectrogram

SIZE_INCHES = (9.6, 5.8)
EFFECTS = LinearSegmentedColormap.from_list("effects", ["#1d4f91", "#7fb2e5", "#ffffff", "#f2a65a", "#b3261e"])
"""From what spoke against the emotion (blue) to what carried it (red)."""
LEAST_REACH = 0.05
"""The colours' end is no smaller an effect than this: where nothing matters, nothing shall look as if it did."""
_EFFECT = "fall of ln p without the region"
_DEPTH_DB = 65.0
_OPACITY = 0.72
_COLOURS = ("#b3261e", "#3451b2", "#2e7d4f", "#8e5bb5", "#b98300", "#3a9aa8", "#8a5a44", "#5f6b7a")
_TICKS_HZ = (0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)


def explanation_figure(explanation: Explanation, name: str) -> Figure:
    """Draw ``explanation`` under the recording's ``name``, whatever letters that holds."""
    figure = new_figure(SIZE_INCHES)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.06)
    grid = figure.add_gridspec(3, 2, height_ratios=(0.27, 1, 2.6), width_ratios=(1, 0.018))
    _draw_title(figure.add_subplot(grid[0, :]), explanation, name)
    frames = figure.add_subplot(grid[1, 0])
    regions = figure.add_subplot(grid[2, 0], sharex=frames)
    _draw_evidence(frames, explanation)
    _draw_spectrogram(regions, explanation)
    image = _draw_effect(regions, explanation)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[2, 1]))
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    bar.set_label(f"against  ←  {_EFFECT}  →  for", fontsize=8.5, color=INK)
    frames.tick_params(labelbottom=False)
    frames.set_xlim(explanation.times_s[0], explanation.times_s[-1])
    return figure


def write_explanation(explanation: Explanation, name: str, stem: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write the figure of ``explanation`` in each of ``formats``, as ``save_figure`` does, and return the paths."""
    return save_figure(explanation_figure(explanation, name), stem, formats)


def _draw_title(axes: Axes, explanation: Explanation, name: str) -> None:
    axes.set_axis_off()
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    if len(shown) > 70:
        shown = "…" + shown[-69:]
    said = f"{explanation.emotion}, p = {explanation.probability:.2f}"
    if not explanation.is_whole:
        said += f" in {explanation.times_s[0]:.1f} – {explanation.times_s[-1]:.1f} s"
    if explanation.marked.any():
        count = int(explanation.marked.sum())
        fact = (
            f"Outlined: the {count} of {explanation.marked.size} regions that carried it; without them, "
            f"p = {explanation.probability_without:.2f}."
        )
    else:
        fact = "No single region carried it: without any of them, it is heard at least as surely."
    # A dollar sign in a file's name is no formula.
    axes.text(
        0, 1, f"{shown}: {said}", fontsize=13, fontweight="bold", color=INK, va="top",
        transform=axes.transAxes, parse_math=False, clip_on=False,
    )  # fmt: skip
    axes.text(
        0, 0, f"{fact} Model: {explanation.model}.", fontsize=9.5, color=MUTED, va="bottom",
        transform=axes.transAxes, parse_math=False, clip_on=False,
    )  # fmt: skip


def _draw_evidence(axes: Axes, explanation: Explanation) -> None:
    evidence = explanation.evidence
    named = _named_labels(explanation)
    for number, (word, shares) in enumerate(zip(explanation.labels, evidence.probabilities.T, strict=True)):
        own = word == explanation.emotion
        axes.plot(
            evidence.times_s,
            shares,
            color=_COLOURS[named.index(number) % len(_COLOURS)] if number in named else MUTED,
            linewidth=2.2 if own else 1.0,
            alpha=1.0 if own else 0.75,
            zorder=3 if own else 2,
            label=word if number in named else None,
        )
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("probability", fontsize=9, color=INK)
    axes.set_title("What each half second speaks for", loc="left", fontsize=10, color=INK)
    plain_axes(axes)
    legend = axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=5, frameon=False, fontsize=8, borderaxespad=0.1
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _named_labels(explanation: Explanation) -> list[int]:
    """Return the places of the labels that the legend has room for: the one explained, then what is heard most."""
    own = explanation.labels.index(explanation.emotion)
    said = explanation.evidence.probabilities.mean(axis=0)
    order = sorted(range(len(explanation.labels)), key=lambda place: (place != own, -said[place]))
    return sorted(order[: len(_COLOURS)])


def _draw_spectrogram(axes: Axes, explanation: Explanation) -> None:
    found = complex_spectrogram(explanation.samples, explanation.rate_hz)
    power = np.abs(found.values.T) ** 2
    levels_db = 10 * np.log10(np.maximum(power, 1e-12))
    top_db = float(np.quantile(levels_db, 0.999))
    times_s = explanation.times_s[0] + found.times_s
    axes.set_yscale("function", functions=(hz_to_mel, mel_to_hz))
    shades = Normalize(top_db - _DEPTH_DB, top_db)
    axes.pcolormesh(times_s, found.bins_hz, levels_db, cmap="Greys", norm=shades, shading="gouraud", rasterized=True)
    axes.set_ylim(0, explanation.bands_hz[-1])
    ticks = [hz for hz in _TICKS_HZ if hz <= explanation.bands_hz[-1] + 1]
    axes.set_yticks(ticks, [f"{hz:,}".replace(",", "\N{NO-BREAK SPACE}") for hz in ticks])
    axes.set_yticks([], minor=True)
    axes.set(xlabel="time, s", ylabel="frequency, Hz (mel scale)")
    axes.set_title(
        "Where the decision lies: spectrogram in grey, effect of each region in colour", loc="left", fontsize=10
    )
    plain_axes(axes, grid="")


def _draw_effect(axes: Axes, explanation: Explanation) -> ScalarMappable:
    reach = max(LEAST_REACH, float(np.abs(explanation.effect).max()))
    image = ScalarMappable(Normalize(-reach, reach), EFFECTS)
    colours = image.to_rgba(explanation.effect)
    # What has no effect hides nothing of the spectrogram.
    colours[..., 3] = _OPACITY * np.sqrt(np.abs(explanation.effect) / reach)
    edges_s, edges_hz = explanation.times_s, explanation.bands_hz
    axes.pcolormesh(edges_s, edges_hz, colours, linewidth=0, zorder=2)
    outline = LineCollection(_outline(explanation.marked, edges_s, edges_hz), colors=INK, linewidths=1.8, zorder=3)
    outline.set_capstyle("projecting")
    outline.set_clip_on(False)
    axes.add_collection(outline, autolim=False)
    return image


def _outline(
    marked: Mask, edges_s: NDArray[np.float64], edges_hz: NDArray[np.float64]
) -> list[list[tuple[float, float]]]:
    """Return the lines between regions of which one is marked and the other is not."""
    around = np.pad(marked, 1)
    lines = [
        [(edges_s[column], edges_hz[band]), (edges_s[column], edges_hz[band + 1])]
        for band, column in np.argwhere(around[1:-1, 1:] != around[1:-1, :-1])
    ]
    lines += [
        [(edges_s[column], edges_hz[band]), (edges_s[column + 1], edges_hz[band])]
        for band, column in np.argwhere(around[1:, 1:-1] != around[:-1, 1:-1])
    ]
    return lines
