"""Overlapping windows merged into stretches: from when to when which emotion is heard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.runtime.prediction import Stretch, Timeline, Window
from thymos.runtime.vad import FRAME_S, Spans

BRIDGED_S = 0.6
"""Shorter pauses do not end a stretch: they are between words, not between utterances."""
SHORTEST_S = 0.5
"""What is shorter goes to a neighbour in the same utterance: nobody reads, or hears, half a second's mood."""


def make_timeline(
    windows: Sequence[Window], spans: Spans, labels: tuple[str, ...], hop_s: float, duration_s: float
) -> Timeline:
    """Return the timeline of a recording.

    Each slot of length ``hop_s`` gets the mean of the probabilities of the windows that cover it, weighted by their
    seconds of speech. Where somebody speaks, neighbouring slots of one emotion are a stretch, of ``SHORTEST_S`` or more
    where the utterance is that long; what is between is one without emotion. So stretches begin and end with speech, or
    where the emotion changes, and cover all of the recording.

    Args:
        windows: in order.
        spans: runs of speech, in frames of the VAD.
        labels: the model's emotions.
        hop_s: from window to window.
        duration_s: of the recording.
    """
    slots = _slot_probabilities(windows, labels, hop_s, duration_s)
    stretches: list[Stretch] = []
    end_s = 0.0
    for start_s, stop_s in _utterances(spans, duration_s):
        pieces = _pieces(start_s, stop_s, slots, labels, hop_s)
        if not pieces:
            continue
        if start_s > end_s:
            stretches.append(Stretch(end_s, start_s, None, None))
        stretches += pieces
        end_s = stop_s
    if end_s < duration_s:
        stretches.append(Stretch(end_s, duration_s, None, None))
    return Timeline(_without_neighbours_alike(stretches), tuple(windows), duration_s)


def _slot_probabilities(
    windows: Sequence[Window], labels: tuple[str, ...], hop_s: float, duration_s: float
) -> NDArray[np.float64]:
    """Return the probabilities of each slot: shape ``(slots, labels)``, NaN where no window with speech covers it."""
    count = max(1, int(np.ceil(duration_s / hop_s - 1e-9)))
    sums, weights = np.zeros((count, len(labels))), np.zeros((count, 1))
    for window in windows:
        if window.probabilities is None:
            continue
        first = round(window.start_s / hop_s)
        last = max(first + 1, int(np.ceil(window.end_s / hop_s - 1e-9)))
        sums[first:last] += window.speech_s * np.array([window.probabilities[word] for word in labels])
        weights[first:last] += window.speech_s
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums / weights
    return means


def _utterances(spans: Spans, duration_s: float) -> list[tuple[float, float]]:
    """Return runs of speech in seconds, those with short pauses between them as one."""
    utterances: list[tuple[float, float]] = []
    for first, last in spans.tolist():
        start_s, end_s = first * FRAME_S, min(last * FRAME_S, duration_s)
        if utterances and start_s - utterances[-1][1] < BRIDGED_S:
            utterances[-1] = (utterances[-1][0], end_s)
        else:
            utterances.append((start_s, end_s))
    return utterances


def _pieces(
    start_s: float, end_s: float, slots: NDArray[np.float64], labels: tuple[str, ...], hop_s: float
) -> list[Stretch]:
    """Divide an utterance where the emotion of its slots changes."""
    first = int(start_s / hop_s)
    last = min(len(slots), max(first + 1, int(np.ceil(end_s / hop_s - 1e-9))))
    runs: list[tuple[int, int, int]] = []
    for slot in range(first, last):
        if np.isnan(slots[slot, 0]):
            continue
        best = int(slots[slot].argmax())
        if runs and runs[-1][2] == best:
            runs[-1] = (runs[-1][0], slot + 1, best)
        else:
            runs.append((slot, slot + 1, best))
    pieces: list[_Piece] = []
    for begin, stop, best in runs:
        piece_start = start_s if not pieces else pieces[-1].end_s
        piece_end = end_s if (begin, stop, best) == runs[-1] else stop * hop_s
        pieces.append(_Piece(piece_start, piece_end, best, [slots[slot] for slot in range(begin, stop)]))
    while len(pieces) > 1 and (shortest := min(pieces, key=_Piece.length)).length() < SHORTEST_S - 1e-9:
        _give_away(pieces, pieces.index(shortest))
    return [
        Stretch(each.start_s, each.end_s, labels[each.best], float(np.mean([slot[each.best] for slot in each.slots])))
        for each in pieces
    ]


@dataclass
class _Piece:
    """Neighbouring slots of one emotion."""

    start_s: float
    end_s: float
    best: int
    slots: list[NDArray[np.float64]]

    def length(self) -> float:
        return self.end_s - self.start_s


def _give_away(pieces: list[_Piece], short: int) -> None:
    """Give a piece to the neighbour whose emotion is the more probable in it; join neighbours that are now alike.

    The probability of a stretch is then still that of its own slots: what was given away says nothing for it.
    """
    own = pieces.pop(short)
    mean = np.mean(own.slots, axis=0)
    beside = [place for place in (short - 1, short) if 0 <= place < len(pieces)]
    taker = pieces[max(beside, key=lambda place: mean[pieces[place].best])]
    taker.start_s, taker.end_s = min(taker.start_s, own.start_s), max(taker.end_s, own.end_s)
    if 0 < short < len(pieces) and pieces[short - 1].best == pieces[short].best:
        later = pieces.pop(short)
        pieces[short - 1].end_s = later.end_s
        pieces[short - 1].slots += later.slots


def _without_neighbours_alike(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """Join neighbours without emotion, as are left where no window with speech covers an utterance."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and joined[-1].emotion is None and stretch.emotion is None:
            joined[-1] = Stretch(joined[-1].start_s, stretch.end_s, None, None)
        else:
            joined.append(stretch)
    return tuple(joined)
