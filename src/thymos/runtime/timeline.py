"""Moments put together into stretches: from when to when which emotion is heard, as people can read it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.runtime.hearing import MOMENT_S
from thymos.runtime.prediction import Stretch, Timeline, Window
from thymos.runtime.vad import FRAME_S, Spans

BRIDGED_S = 0.6
"""Shorter pauses do not end a stretch: they are between words, not between utterances."""
SHORTEST_S = 0.5
"""What is shorter goes to a neighbour in the same utterance: nobody reads, or hears, half a second's mood."""
CHANGE_COST_S, PAUSE_COST_S = 4.0, 1.0
"""A change of emotion must be outweighed by evidence: log-probability over seconds. In a pause it costs less, since
moods change there. Chosen on speakers of whom nothing is reported: ``benchmarks/change_points.py``."""
SNAP_S = 0.5
"""A change so close to a pause is put into its middle."""
_LEAST = 1e-12


def make_timeline(
    moments: NDArray[np.float64],
    windows: Sequence[Window],
    spans: Spans,
    labels: tuple[str, ...],
    duration_s: float,
    moment_s: float = MOMENT_S,
    shortest_s: float = SHORTEST_S,
) -> Timeline:
    """Return the timeline of a recording.

    In each utterance, the emotions of its moments are the likeliest sequence in which changes cost something (Viterbi
    1967). Neighbours alike are a stretch, of ``shortest_s`` or more; what is between utterances is one without emotion.
    So stretches begin and end with speech, in a pause, or where the emotion changes, and cover all of the recording.

    Args:
        moments: probabilities of each, one every ``moment_s`` from the recording's first: shape ``(moments, labels)``,
            NaN where no window with speech covers one.
        windows: that they were heard in, in order.
        spans: runs of speech, in frames of the VAD.
        labels: the model's emotions.
        duration_s: of the recording.
        moment_s: from moment to moment.
        shortest_s: shorter stretches go to a neighbour; an utterance that is shorter is told as this long, as far as
            there is silence around it.
    """
    stretches: list[Stretch] = []
    end_s = 0.0
    for utterance in _utterances(spans, duration_s, shortest_s):
        pieces = _pieces(utterance, moments, labels, moment_s, shortest_s)
        if not pieces:
            continue
        if utterance.start_s > end_s:
            stretches.append(Stretch(end_s, utterance.start_s, None, None))
        stretches += pieces
        end_s = utterance.end_s
    if end_s < duration_s:
        stretches.append(Stretch(end_s, duration_s, None, None))
    return Timeline(_without_neighbours_alike(stretches), tuple(windows), duration_s)


@dataclass
class _Utterance:
    """Runs of speech with short pauses between them."""

    start_s: float
    end_s: float
    pauses: list[tuple[float, float]]


def _utterances(spans: Spans, duration_s: float, shortest_s: float) -> list[_Utterance]:
    utterances: list[_Utterance] = []
    for first, last in spans.tolist():
        start_s, end_s = first * FRAME_S, min(last * FRAME_S, duration_s)
        if utterances and start_s - utterances[-1].end_s < BRIDGED_S:
            utterances[-1].pauses.append((utterances[-1].end_s, start_s))
            utterances[-1].end_s = end_s
        else:
            utterances.append(_Utterance(start_s, end_s, []))
    free_from_s = 0.0
    for number, own in enumerate(utterances, 1):
        free_to_s = utterances[number].start_s if number < len(utterances) else duration_s
        missing_s = shortest_s - (own.end_s - own.start_s)
        if missing_s > 0:
            own.start_s = max(free_from_s, own.start_s - missing_s / 2)
            own.end_s = min(free_to_s, own.start_s + shortest_s)
        free_from_s = own.end_s
    return utterances


def _pieces(
    utterance: _Utterance, moments: NDArray[np.float64], labels: tuple[str, ...], moment_s: float, shortest_s: float
) -> list[Stretch]:
    """Divide an utterance where the emotion changes."""
    first = int(utterance.start_s / moment_s)
    last = min(len(moments), max(first + 1, int(np.ceil(utterance.end_s / moment_s - 1e-9))))
    heard = [place for place in range(first, last) if not np.isnan(moments[place, 0])]
    if not heard:
        return []
    costs = [
        PAUSE_COST_S if _pause_near(place * moment_s, utterance, moment_s / 2) is not None else CHANGE_COST_S
        for place in heard
    ]
    path = likeliest_path(np.log(np.maximum(moments[heard], _LEAST)) * moment_s, np.array(costs))
    changes = [number for number in range(1, len(heard)) if path[number] != path[number - 1]]
    edges = [utterance.start_s, *(_edge(heard[number] * moment_s, utterance) for number in changes), utterance.end_s]
    edges = np.maximum.accumulate(edges).tolist()
    pieces = [
        _Piece(start_s, end_s, int(path[begin]), list(moments[heard[begin:stop]]))
        for start_s, end_s, begin, stop in zip(
            edges[:-1], edges[1:], [0, *changes], [*changes, len(heard)], strict=True
        )
    ]
    while len(pieces) > 1 and (shortest := min(pieces, key=_Piece.length)).length() < shortest_s - 1e-9:
        _give_away(pieces, pieces.index(shortest))
    return [
        Stretch(each.start_s, each.end_s, labels[each.best], float(np.mean([own[each.best] for own in each.moments])))
        for each in pieces
    ]


def likeliest_path(evidence: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the sequence with the most evidence, less what its changes cost.

    Source: Viterbi 1967, Error bounds for convolutional codes and an asymptotically optimum decoding algorithm.

    Args:
        evidence: of each state at each step, shape ``(steps, states)``.
        costs: of a change before each step, whatever the states, shape ``(steps,)``.

    Returns:
        A state for each step.
    """
    steps, states = evidence.shape
    came_from = np.zeros((steps, states), np.int64)
    best = evidence[0].copy()
    for step in range(1, steps):
        other = int(best.argmax())
        stays = best >= best[other] - costs[step]
        came_from[step] = np.where(stays, np.arange(states), other)
        best = np.where(stays, best, best[other] - costs[step]) + evidence[step]
    path = np.empty(steps, np.int64)
    path[-1] = best.argmax()
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _pause_near(at_s: float, utterance: _Utterance, within_s: float) -> tuple[float, float] | None:
    """Return the nearest pause that is no farther from ``at_s``."""
    distances = [(max(0.0, start_s - at_s, at_s - end_s), start_s, end_s) for start_s, end_s in utterance.pauses]
    nearest = min(distances, default=None)
    return None if nearest is None or nearest[0] > within_s + 1e-9 else nearest[1:]


def _edge(at_s: float, utterance: _Utterance) -> float:
    pause = _pause_near(at_s, utterance, SNAP_S)
    return at_s if pause is None else sum(pause) / 2


@dataclass
class _Piece:
    """Neighbouring moments of one emotion."""

    start_s: float
    end_s: float
    best: int
    moments: list[NDArray[np.float64]]

    def length(self) -> float:
        return self.end_s - self.start_s


def _give_away(pieces: list[_Piece], short: int) -> None:
    """Give a piece to the neighbour whose emotion is the more probable in it; join neighbours that are now alike.

    The probability of a stretch is then still that of its own moments: what was given away says nothing for it.
    """
    own = pieces.pop(short)
    mean = np.mean(own.moments, axis=0)
    beside = [place for place in (short - 1, short) if 0 <= place < len(pieces)]
    taker = pieces[max(beside, key=lambda place: mean[pieces[place].best])]
    taker.start_s, taker.end_s = min(taker.start_s, own.start_s), max(taker.end_s, own.end_s)
    if 0 < short < len(pieces) and pieces[short - 1].best == pieces[short].best:
        later = pieces.pop(short)
        pieces[short - 1].end_s = later.end_s
        pieces[short - 1].moments += later.moments


def _without_neighbours_alike(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """Join neighbours without emotion, as are left where no window with speech covers an utterance."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and joined[-1].emotion is None and stretch.emotion is None:
            joined[-1] = Stretch(joined[-1].start_s, stretch.end_s, None, None)
        else:
            joined.append(stretch)
    return tuple(joined)
