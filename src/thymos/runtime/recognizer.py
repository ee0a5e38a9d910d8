"""Hear a recording: which emotion, where, and how sure. This is what people import."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.audio.blocks import Array, open_blocks
from thymos.audio.conditioning import played
from thymos.audio.decode import Source, Waveform
from thymos.errors import AudioError, ThymosError
from thymos.labels import chosen_among
from thymos.machine import available_cores
from thymos.runtime.bundle import Bundle, find_bundle, read_bundle
from thymos.runtime.explain import Explanation, explain_part, frame_evidence, part_to_explain
from thymos.runtime.prediction import Failure, Flag, Prediction, Timeline, Window
from thymos.runtime.stream import Stream
from thymos.runtime.timeline import make_timeline
from thymos.runtime.vad import FRAME_S, speech_spans
from thymos.runtime.windows import Answer, WindowCutter, WindowMean, WindowSamples

WHOLE_S = 30.0
"""Up to this length a recording is heard whole, as in training; longer ones in windows."""
LEAST_SPEECH_S = 0.25
"""With less speech, none is heard."""
ENOUGH_SPEECH_S = 0.5
"""With less, an answer is flagged ``too_short``."""
QUIET_DB = -50.0
"""A recording whose loudest 32 ms are below this beside full scale is flagged ``too_quiet``."""
_AHEAD = 64
"""Files that may be done before one that they have to wait for."""


class Recognizer:
    """A model that is ready to hear. Any number of threads may use it at once."""

    def __init__(self, bundle: Bundle, threads: int | None = None):
        """Take a checked bundle, and the number of files, or windows of one file, to work on at once; see ``load``."""
        self.bundle, self.threads = bundle, threads or available_cores()
        self._pool = ThreadPoolExecutor(self.threads, "thymos-windows")
        self._chosen = list(range(len(bundle.about.labels)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions that it tells apart."""
        return tuple(self.bundle.about.labels[place] for place in self._chosen)

    def among(self, labels: Sequence[str] | None) -> "Recognizer":
        """Return a recogniser that tells only ``labels`` apart; itself if None.

        Their probabilities are the softmax over their logits alone, at the model's temperature. A prediction set is
        made of these at the model's threshold: since none is smaller than among all, it holds the true emotion at least
        as often, of recordings of these emotions.

        Args:
            labels: of this recogniser's, in any order and case; known words of ten languages stand for the house's.

        Raises:
            ThymosError: one is none of this recogniser's, or there are fewer than two.
        """
        if labels is None:
            return self
        places, unknown = chosen_among(labels, self.labels)
        if unknown:
            raise ThymosError(f"{unknown[0]!r} is none of the labels of {self.name}: {', '.join(self.labels)}")
        if len(places) < 2:
            raise ThymosError(f"two labels or more are needed to choose among, not {', '.join(labels) or 'none'}")
        narrowed = copy(self)  # bundle and threads are shared
        narrowed._chosen = [self._chosen[place] for place in places]
        return narrowed

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return f"{self.bundle.about.name} {self.bundle.about.version}"

    def __repr__(self) -> str:
        about = self.bundle.about
        return (
            f"<Recognizer {self.name}: {', '.join(self.labels)}; windows of {about.window_s:g} s every "
            f"{about.hop_s:g} s at {about.rate_hz} Hz; {about.parameters:,} parameters; licence: {about.licence}>"
        )

    def predict(
        self, source: Source | Array, timeline: bool = False, labels: Sequence[str] | None = None
    ) -> Prediction:
        """Return what is heard in one recording.

        Args:
            source: a path, the bytes of a file, an open binary file, or ``(array, rate_hz)``: samples of shape
                ``(samples,)`` or ``(samples, channels)``, floats at ±1 or integers at full scale.
            timeline: say also where.
            labels: tell only these apart; see ``among``.

        Raises:
            AudioError: it cannot be read, or is outside the bounds.
            ThymosError: ``labels`` cannot be told apart.
        """
        return self.among(labels)._predict(source, timeline)[0]

    def timeline(self, source: Source | Array, labels: Sequence[str] | None = None) -> Timeline:
        """Return which emotion is heard from when to when; see ``predict`` for what is taken and raised."""
        timeline = self.among(labels)._predict(source, True)[0].timeline
        assert timeline is not None
        return timeline

    def embed(self, source: Source | Array) -> NDArray[np.float32]:
        """Return the recording's embedding: float32, shape ``(E,)``.

        Of a long recording it is the mean of its windows', weighted by their seconds of speech.

        Raises:
            AudioError: as ``predict``, or nobody speaks.
        """
        embedding = self._predict(source, False)[1]
        if embedding is None:
            raise AudioError("holds no speech, so it has no embedding")
        return embedding

    def explain(
        self, source: Source | Array, emotion: str | None = None, labels: Sequence[str] | None = None
    ) -> Explanation:
        """Return which regions of time and frequency carried the decision for the emotion that is heard.

        Args:
            source: as ``predict`` takes it. Of one longer than 6 s, the window that speaks most for the emotion is
                explained.
            emotion: explain this one instead.
            labels: tell only these apart; see ``among``.

        Raises:
            AudioError: as ``predict``, or nobody speaks.
            ThymosError: the model does not know ``emotion``, or ``labels`` cannot be told apart.
        """
        if labels is not None:
            return self.among(labels).explain(source, emotion)
        if emotion is not None and emotion not in self.labels:
            raise ThymosError(f"{emotion!r} is none of the model's emotions: {', '.join(self.labels)}")
        # It is read twice: once to know what is heard, and where most.
        source = source if isinstance(source, tuple) or not hasattr(source, "read") else source.read()
        prediction = self._predict(source, True)[0]
        if prediction.emotion is None:
            raise AudioError("holds no speech, so there is no emotion to explain")
        emotion = emotion or prediction.emotion
        part = part_to_explain(source, self.bundle, prediction, emotion)
        evidence = frame_evidence(self.bundle, part, self._chosen)

        def hear(samples: NDArray[np.float32]) -> NDArray[np.float64]:
            return self._answer(samples).probabilities

        return explain_part(hear, part, evidence, self.labels, emotion, self.name, self._pool.map)

    def predict_many(
        self, sources: Iterable[Source | Array], timeline: bool = False, labels: Sequence[str] | None = None
    ) -> Iterator[Prediction | Failure]:
        """Yield what is heard in each of ``sources``, in their order, as soon as it is known.

        A recording that cannot be read is a ``Failure`` in its place, and the rest go on.

        Raises:
            ThymosError: ``labels`` cannot be told apart; see ``among``.
        """
        recognizer = self.among(labels)

        def hear(source: Source | Array) -> Prediction | Failure:
            try:
                return recognizer.predict(source, timeline)
            except AudioError as error:
                return Failure(source, error)

        waiting: deque[Future[Prediction | Failure]] = deque()
        files = ThreadPoolExecutor(self.threads, "thymos-files")
        try:
            for source in sources:
                waiting.append(files.submit(hear, source))
                while waiting and (waiting[0].done() or len(waiting) > _AHEAD):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            files.shutdown(wait=False, cancel_futures=True)

    def stream(
        self,
        rate_hz: int,
        window_s: float | None = None,
        hop_s: float | None = None,
        labels: Sequence[str] | None = None,
    ) -> Stream:
        """Return a stream for sound that arrives bit by bit at ``rate_hz``; the default window is the bundle's.

        Raises:
            ThymosError: ``labels`` cannot be told apart; see ``among``.
            AudioError: a rate that sound does not have, windows that leave gaps, or of a length that the model does
                not take.
        """
        about = self.bundle.about
        window_s = window_s or about.window_s
        if about.window == "fixed" and window_s != about.window_s:
            raise AudioError(f"{self.name} takes windows of {about.window_s:g} s only, not of {window_s:g} s")
        return Stream(self.among(labels)._window, rate_hz, about.rate_hz, window_s, hop_s or about.hop_s)

    def _predict(self, source: Source | Array, timeline: bool) -> tuple[Prediction, NDArray[np.float32] | None]:
        about = self.bundle.about
        longest_whole_s = 0.0 if about.window == "fixed" else WHOLE_S
        with open_blocks(source) as sound:
            cutter = WindowCutter(sound.rate_hz, about.rate_hz, about.window_s, about.hop_s)
            windows: list[Window] = []
            mean = WindowMean(self.labels)

            def take(window: Window, embedding: NDArray[np.float32] | None) -> None:
                mean.add(window, embedding)
                if timeline:
                    windows.append(window)

            at_work: deque[Future[tuple[Window, NDArray[np.float32] | None]]] = deque()
            for block in sound.blocks:
                cutter.take(block)
                if cutter.duration_s > longest_whole_s:
                    self._hear_windows(cutter.full_windows(), at_work, take, self.threads)
            cutter.end()
        if not cutter.taken:
            raise AudioError("holds no samples")
        if cutter.duration_s > longest_whole_s:
            self._hear_windows([*cutter.full_windows(), *cutter.last_window()], at_work, take, 0)
            answer, out_of_distribution = mean.answer()
        else:
            answer, out_of_distribution = self._whole(cutter)
            if timeline:
                self._hear_windows([*cutter.full_windows(), *cutter.last_window()], at_work, take, 0)
        spans = speech_spans(cutter.vad.probabilities())
        speech_s = min(float((spans[:, 1] - spans[:, 0]).sum()) * FRAME_S, cutter.duration_s)
        line = None
        if timeline:
            line = make_timeline(windows, spans, self.labels, about.hop_s, cutter.duration_s)
        prediction = Prediction(
            emotion=None if answer is None else self.labels[int(answer.probabilities.argmax())],
            probabilities=None if answer is None else self._named(answer.probabilities),
            prediction_set=() if answer is None else self._set(answer.probabilities),
            speech_s=speech_s,
            duration_s=cutter.duration_s,
            flags=_flags(answer is not None, speech_s, cutter, out_of_distribution),
            model=self.name,
            timeline=line,
        )
        return prediction, None if answer is None else answer.embedding

    def _whole(self, cutter: WindowCutter) -> tuple[Answer | None, bool]:
        """Hear a short recording whole; return the answer, and whether it is out of distribution."""
        if cutter.vad.speech_s(0, (cutter.vad.frames + 1) * FRAME_S) < LEAST_SPEECH_S:
            return None, False
        answer = self._answer(cutter.whole())
        return answer, self._is_out_of_distribution(answer.embedding)

    def _hear_windows(
        self,
        to_hear: list[WindowSamples],
        at_work: "deque[Future[tuple[Window, NDArray[np.float32] | None]]]",
        take: Callable[[Window, NDArray[np.float32] | None], None],
        most: int,
    ) -> None:
        """Hear windows on all threads, ``take`` them in order, and leave at most ``most``: so memory stays flat."""
        for window in to_hear:
            at_work.append(self._pool.submit(self._window_and_embedding, window))
            while len(at_work) > 2 * self.threads:
                take(*at_work.popleft().result())
        while len(at_work) > most:
            take(*at_work.popleft().result())

    def _window(self, cut: WindowSamples) -> Window:
        return self._window_and_embedding(cut)[0]

    def _window_and_embedding(self, cut: WindowSamples) -> tuple[Window, NDArray[np.float32] | None]:
        if cut.speech_s < LEAST_SPEECH_S:
            return Window(cut.start_s, cut.end_s, cut.speech_s, None), None
        answer = self._answer(cut.samples)
        out_of_distribution = self._is_out_of_distribution(answer.embedding)
        probabilities = self._named(answer.probabilities)
        return Window(cut.start_s, cut.end_s, cut.speech_s, probabilities, out_of_distribution), answer.embedding

    def _answer(self, samples: NDArray[np.float32]) -> Answer:
        """Hear samples at the model's rate, shape ``(samples,)``.

        One recording or window at a time, so that no answer hinges on its neighbours in a batch.
        """
        about = self.bundle.about
        waveform = Waveform(samples, about.rate_hz)
        runs = [self.bundle.hear(played(waveform, speed, about.rate_hz)) for speed in about.speeds]
        logits = np.mean([heard.logits[self._chosen] for heard in runs], axis=0, dtype=np.float64)
        scaled = logits / about.temperature
        shares = np.exp(scaled - scaled.max())
        return Answer(shares / shares.sum(), runs[0].embedding)

    def _is_out_of_distribution(self, embedding: NDArray[np.float32]) -> bool:
        distribution = self.bundle.distribution
        return distribution is not None and not bool(distribution.contains(embedding[None])[0])

    def _named(self, probabilities: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, probabilities.tolist(), strict=True))

    def _set(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """Return the split-conformal prediction set, never empty; without a threshold, every emotion."""
        conformal = self.bundle.about.conformal
        order = np.argsort(-probabilities, kind="stable")
        if conformal is None or conformal.threshold is None:
            return tuple(self.labels[i] for i in order)
        held = 1 - probabilities <= conformal.threshold
        held[order[0]] = True
        return tuple(self.labels[i] for i in order if held[i])


def load(model: str | os.PathLike[str] | None = None, threads: int | None = None) -> Recognizer:
    """Return a recogniser: of ``model``, of ``THYMOS_MODEL``, or of the one that is shipped.

    Args:
        model: folder of a bundle, or the name of a shipped model.
        threads: files, or windows of one file, to work on at once; by default as many as there are cores. Answers are
            the same for any number, since each is computed by one thread.

    Raises:
        BundleError: there is none, or it cannot be used.
    """
    return Recognizer(read_bundle(find_bundle(model)), threads)


def _flags(heard: bool, speech_s: float, cutter: WindowCutter, out_of_distribution: bool) -> tuple[Flag, ...]:
    flags: list[tuple[Flag, Any]] = [
        ("too_short", (speech_s if heard else cutter.duration_s) < ENOUGH_SPEECH_S),
        ("too_quiet", cutter.vad.loudest < 10 ** (QUIET_DB / 20)),
        ("no_speech", not heard),
        ("unfamiliar", out_of_distribution),
    ]
    return tuple(name for name, raised in flags if raised)
