"""Why an emotion was heard: how its log-probability falls as regions of time and frequency are taken out of the sound.

It asks the shipped graph alone, over and over, so it holds for whatever a bundle has inside, and needs no torch.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples
from thymos.audio.blocks import Sound, open_blocks
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.errors import AudioError, MissingExtraError
from thymos.runtime.bundle import About, Bundle
from thymos.runtime.decision import Decider
from thymos.runtime.occlusion import Edges, Mask, Occluder
from thymos.runtime.prediction import Prediction
from thymos.runtime.windows import WindowCutter, WindowSamples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLAINED_S = 6.0
"""Of a longer recording, one window is explained: each region costs an answer, and long sound a long one, so that the
time grows with the square of the length."""
BANDS = 8
"""Equally wide in mel, from 0 Hz to half the model's rate."""
COLUMNS, SHORTEST_S, LONGEST_S = 9, 0.25, 0.5
"""How many columns there are, as far as the bounds of their length allow."""
MARKED_SHARE = 0.15
"""Share of regions that are marked as having carried the decision: the strongest, if their loss does any harm."""
_LEAST = 1e-12

Hear = Callable[[Samples], NDArray[np.float64]]
"""Samples at the model's rate, shape ``(samples,)``, to probabilities, shape ``(labels,)``."""
EVIDENCE_S = 0.5
"""How much of the recording each point of the evidence is of."""
Map = Callable[[Callable[[Mask], float], Iterable[Mask]], Iterable[float]]
"""As the built-in ``map``; one that works on several masks at once will do."""


@dataclass(frozen=True)
class Evidence:
    """What each half second of a recording speaks for: of single frames, the answer swings with every sound of speech.

    Attributes:
        times_s: the middle of each frame from the recording's start, shape ``(frames,)``.
        probabilities: what the emotions' would be if all frames were as those around this one are on average, shape
            ``(frames, labels)``.
    """

    times_s: NDArray[np.float64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Which parts of a recording, in time and frequency, carried the decision for an emotion."""

    emotion: str
    probability: float
    """Of the emotion, in the part of the recording that is explained."""
    times_s: Edges
    """Edges of the grid's columns, from the recording's start: shape ``(columns + 1,)``."""
    bands_hz: Edges
    """Edges of the grid's bands: shape ``(bands + 1,)``."""
    effect: NDArray[np.float64]
    """How far the emotion's log-probability (natural) falls without each region: shape ``(bands, columns)``.

    Regions below zero spoke against the emotion."""
    marked: Mask = field(repr=False)
    """The regions that carried the decision: the strongest ``MARKED_SHARE`` of all, if their effect is positive."""
    probability_without: float
    """Of the emotion, once all marked regions are taken out together."""
    model: str
    """Name and version of the model."""
    labels: tuple[str, ...] = field(repr=False)
    evidence: Evidence = field(repr=False)
    samples: Samples = field(repr=False)
    """The part that is explained, at the model's rate: shape ``(samples,)``."""
    rate_hz: int
    is_whole: bool
    """Whether all of the recording is explained, or one window of a long one."""

    @property
    def heading(self) -> str:
        """The emotion, its probability, and where, if not in the whole recording."""
        where = "" if self.is_whole else f" in {self.times_s[0]:.1f} – {self.times_s[-1]:.1f} s"
        return f"{self.emotion} {self.probability:.2f}{where}"

    def __str__(self) -> str:
        if not self.marked.any():
            return f"{self.heading}; no single region carried it"
        band, column = np.unravel_index(int(self.effect.argmax()), self.effect.shape)
        return (
            f"{self.heading}, most by {self.times_s[column]:.2f} – "
            f"{self.times_s[column + 1]:.2f} s at {self.bands_hz[band]:.0f} – {self.bands_hz[band + 1]:.0f} Hz; "
            f"{self.probability_without:.2f} without the {int(self.marked.sum())} regions that carried it"
        )

    def plot(self, name: str = "") -> "Figure":
        """Return a figure of the regions over the spectrogram, under the recording's ``name``; a notebook shows it.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:  # figures are drawn in a room that imports this one
            figures = importlib.import_module("thymos.reports.explanation_figure")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("thymos"):
                raise
            raise MissingExtraError("figures need matplotlib: pip install 'thymos[plots]'") from None
        from thymos.runtime.notebook import let_notebooks_show

        figure: Figure = figures.explanation_figure(self, name or self.model)
        let_notebooks_show(figure, figure)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: the grid row by row, the lowest band first; without the sound itself."""
        return {
            "emotion": self.emotion,
            "probability": round(self.probability, 4),
            "method": "occlusion",
            "times_s": np.round(self.times_s, 3).tolist(),
            "bands_hz": np.round(self.bands_hz, 1).tolist(),
            "effect": np.round(self.effect, 4).tolist(),
            "marked": self.marked.tolist(),
            "probability_without": round(self.probability_without, 4),
            "evidence": {
                "times_s": np.round(self.evidence.times_s, 3).tolist(),
                **{word: np.round(self.evidence.probabilities[:, i], 4).tolist() for i, word in enumerate(self.labels)},
            },
            "model": self.model,
        }


@dataclass(frozen=True)
class ExplainedPart:
    """What is to be explained.

    Attributes:
        samples: at the model's rate, shape ``(samples,)``.
        rate_hz: the model's rate.
        start_s: where it begins in its recording.
        is_whole: it is the whole recording.
    """

    samples: Samples
    rate_hz: int
    start_s: float = 0.0
    is_whole: bool = True


def explain_part(
    hear: Hear,
    part: ExplainedPart,
    evidence: Evidence,
    labels: tuple[str, ...],
    emotion: str | None,
    model: str,
    each: Map = map,
) -> Explanation:
    """Explain why ``hear`` hears ``emotion`` in ``part``, or if None, the one that it hears.

    Args:
        hear: the whole answer, as a prediction has it.
        part: of a recording.
        evidence: of its frames.
        labels: the model's emotions.
        emotion: one of them.
        model: its name and version.
        each: calls a function for each region.
    """
    times_s, bands_hz = grid(len(part.samples) / part.rate_hz, part.rate_hz)
    occluder = Occluder(part.samples, part.rate_hz, times_s, bands_hz)
    heard = hear(part.samples)
    label = int(heard.argmax()) if emotion is None else labels.index(emotion)

    def probability_without(mask: Mask) -> float:
        return float(hear(occluder.without(mask))[label])

    shape = (len(bands_hz) - 1, len(times_s) - 1)
    left = np.array(list(each(probability_without, single_regions(shape)))).reshape(shape)
    effect = np.log(max(float(heard[label]), _LEAST)) - np.log(np.maximum(left, _LEAST))
    marked = strongest(effect)
    return Explanation(
        emotion=labels[label],
        probability=float(heard[label]),
        times_s=part.start_s + times_s,
        bands_hz=bands_hz,
        effect=effect,
        marked=marked,
        probability_without=probability_without(marked) if marked.any() else float(heard[label]),
        model=model,
        labels=labels,
        evidence=Evidence(part.start_s + evidence.times_s, evidence.probabilities),
        samples=part.samples,
        rate_hz=part.rate_hz,
        is_whole=part.is_whole,
    )


def part_to_explain(source: Sound, bundle: Bundle, prediction: Prediction, emotion: str) -> ExplainedPart:
    """Return a whole recording, or of one longer than ``EXPLAINED_S`` the window that speaks most for ``emotion``.

    Where the model takes windows of a fixed length, that length is the longest that is explained whole.

    Args:
        source: as ``Recognizer.predict`` takes it.
        bundle: the model that heard it.
        prediction: what it heard, with the timeline.
        emotion: the one to explain.

    Raises:
        AudioError: it cannot be read, or no window holds enough speech.
    """
    about = bundle.about
    longest_s = about.window_s if about.window == "fixed" else EXPLAINED_S
    if prediction.duration_s <= longest_s:
        return _whole_part(source, about)
    start_s = _most_telling(prediction, emotion)
    with open_blocks(source) as sound:
        cutter = WindowCutter(sound.rate_hz, about.rate_hz, about.window_s, about.hop_s)
        windows = _windows_of(sound.blocks, cutter)
        samples = next(window.samples for window in windows if window.start_s == start_s)
    return ExplainedPart(samples, about.rate_hz, start_s, False)


def _whole_part(source: Sound, about: About) -> ExplainedPart:
    with open_blocks(source) as sound:
        cutter = WindowCutter(sound.rate_hz, about.rate_hz, about.window_s, about.hop_s)
        for block in sound.blocks:
            cutter.take(block)
        cutter.end()
    return ExplainedPart(cutter.whole(), about.rate_hz)


def _most_telling(prediction: Prediction, emotion: str) -> float:
    """Return where the window begins that speaks most for ``emotion``."""
    windows = prediction.timeline.windows if prediction.timeline is not None else ()
    said = [(window.probabilities[emotion], window.start_s) for window in windows if window.probabilities]
    if not said:
        raise AudioError("holds too little speech in one place to explain an emotion by it")
    return max(said, key=lambda each: each[0])[1]


def _windows_of(blocks: Iterable[Samples], cutter: WindowCutter) -> Iterator[WindowSamples]:
    """Cut ``blocks``, and yield each window as soon as it is whole."""
    for block in blocks:
        cutter.take(block)
        yield from cutter.full_windows()
    cutter.end()
    yield from (*cutter.full_windows(), *cutter.last_window())


def frame_evidence(bundle: Bundle, part: ExplainedPart, decider: Decider) -> Evidence:
    """Return what each half second of ``part`` speaks for, as frame logits have it, of the decider's labels and voice.

    Frames of the zeros that fill up a window of a fixed length are left out.
    """
    about = bundle.about
    logits = bundle.hear(part.samples, True, decider.offset).frame_logits
    assert logits is not None
    own_s = len(part.samples) / part.rate_hz
    duration_s = about.window_s if about.window == "fixed" else own_s
    half_s = duration_s / len(logits) / 2
    times_s = np.linspace(half_s, duration_s - half_s, len(logits))
    inside = times_s <= max(own_s, half_s)
    around = moving_mean(np.asarray(logits, np.float64)[inside], round(EVIDENCE_S / (2 * half_s)))
    return Evidence(times_s[inside], decider.shares(around))


def moving_mean(rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the mean of the ``width`` rows around each of ``rows`` (n, k), fewer at the ends: shape ``(n, k)``."""
    before = max(0, (width - 1) // 2)
    sums = np.concatenate([np.zeros((1, rows.shape[1])), rows.cumsum(0)])
    first = np.maximum(np.arange(len(rows)) - before, 0)
    last = np.minimum(np.arange(len(rows)) + max(1, width) - before, len(rows))
    mean: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)[:, None]
    return mean


def grid(duration_s: float, rate_hz: int) -> tuple[Edges, Edges]:
    """Return the edges of columns in s, shape ``(columns + 1,)``, and of bands in Hz, ``(bands + 1,)``.

    They are those of a sound of ``duration_s`` at ``rate_hz``; bands are equally wide in mel.
    """
    column_s = min(max(duration_s / COLUMNS, SHORTEST_S), LONGEST_S)
    columns = max(1, round(duration_s / column_s))
    top = float(hz_to_mel(np.array(rate_hz / 2)))
    return np.linspace(0, duration_s, columns + 1), mel_to_hz(np.linspace(0, top, BANDS + 1))


def single_regions(shape: tuple[int, int]) -> list[Mask]:
    """Return the masks of each region alone, row by row: each of ``shape``, ``(bands, columns)``."""
    return list(np.eye(shape[0] * shape[1], dtype=bool).reshape(-1, *shape))


def strongest(effect: NDArray[np.float64]) -> Mask:
    """Return the ``MARKED_SHARE`` of regions with the greatest effect, but none whose effect is not positive.

    ``effect`` has shape ``(bands, columns)``, and so has the mask.
    """
    count = int(np.ceil(MARKED_SHARE * effect.size))
    marked = np.zeros(effect.size, dtype=bool)
    marked[np.argsort(-effect, axis=None, kind="stable")[:count]] = True
    return marked.reshape(effect.shape) & (effect > 0)
