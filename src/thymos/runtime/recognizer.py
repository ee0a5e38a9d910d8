"""Hear a recording: which emotion, where, and how sure. This is what people import."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from thymos.audio.blocks import Sound
from thymos.audio.mixing import Channel
from thymos.audio.source import DEFAULT_LIMITS, Limits
from thymos.errors import AudioError, ThymosError
from thymos.runtime.adaptation import Offset, Voice, named_groups, offsets_of_groups
from thymos.runtime.bundle import find_bundle, read_bundle
from thymos.runtime.chosen import ChosenModel
from thymos.runtime.decision import Decider, RunningOffset
from thymos.runtime.embedding import Embeddings, What, embeddings_of
from thymos.runtime.explain import Explanation, explain_part, frame_evidence, part_to_explain
from thymos.runtime.listening import Recording, Share
from thymos.runtime.many import checked_channel, each_channel, heard_in_order, named
from thymos.runtime.prediction import Failure, Prediction, Timeline, Window
from thymos.runtime.stream import FIRST_S, Stream
from thymos.runtime.windows import WindowSamples


class Recognizer(ChosenModel):
    """A model that is ready to hear. Any number of threads may use it at once."""

    def enrol(self, sources: Iterable[Sound], name: str = "voice") -> Voice:
        """Return what is known of a voice by some of its recordings, whatever their emotions: about ten are enough.

        >>> maria = thymos.load().enrol(Path("calls/maria").glob("*.wav"), "maria")    # doctest: +SKIP
        >>> maria.save(Path("maria.json"))  # a few kB, and no sound                  # doctest: +SKIP

        Raises:
            AudioError: a recording cannot be read, or nobody speaks in any of them.
            BundleError: the model knows no voices.
        """
        _ = self.space  # a model without is known before anything is heard
        heard = []
        for each in self.listen_many(sources):
            if isinstance(each, Failure):
                raise AudioError(str(each))
            heard.append(each)
        return self.voice_of(heard, name)

    def voice_of(self, heard: Sequence[Recording], name: str) -> Voice:
        """Return what is known of a voice by recordings that ``listen_many`` heard.

        Raises:
            AudioError: nobody speaks in any of them.
            BundleError: the model knows no voices.
        """
        _ = self.space
        coordinates = [each.coordinates for recording in heard for each in recording.impressions]
        if not coordinates:
            raise AudioError("nobody speaks in what the voice is to be known by")
        return Voice(name, self.name, self._head(), np.array(coordinates), sum(each.speech_s for each in heard))

    def offsets(self, heard: Sequence[Recording | Failure], groups: Sequence[str] | None = None) -> dict[str, Offset]:
        """Return the offset of each group in which somebody speaks, of recordings that ``listen_many`` heard.

        Args:
            heard: failures among them say nothing.
            groups: of each, such as its speaker; None: all are of one.

        Raises:
            BundleError: the model knows no voices.
            ThymosError: there are more or fewer groups than recordings.
        """
        space = self.space
        places, owners = [], []
        for recording, name in zip(heard, named_groups(groups, len(heard)), strict=True):
            for impression in recording.impressions if isinstance(recording, Recording) else ():
                places.append(impression.coordinates)
                owners.append(name)
        return offsets_of_groups(space, np.array(places), owners, self._decider.chosen) if places else {}

    def __repr__(self) -> str:
        about = self.bundle.about
        told = ", ".join(self.labels or self.dimensions)
        return (
            f"<Recognizer {self.name}: {told}; windows of {about.window_s:g} s every "
            f"{about.hop_s:g} s at {about.rate_hz} Hz; {about.parameters:,} parameters; licence: {about.licence}>"
        )

    @overload
    def predict(
        self, source: Sound, timeline: bool = ..., labels: Sequence[str] | None = ..., channels: Channel = ...
    ) -> Prediction: ...
    @overload
    def predict(
        self, source: Sound, timeline: bool = ..., labels: Sequence[str] | None = ..., *, channels: Literal["split"]
    ) -> list[Prediction]: ...
    def predict(
        self,
        source: Sound,
        timeline: bool = False,
        labels: Sequence[str] | None = None,
        channels: Channel | Literal["split"] = "mix",
    ) -> Prediction | list[Prediction]:
        """Return what is heard in one recording.

        Args:
            source: a path, the bytes of a file, an open binary file, or ``(array, rate_hz)``: samples of shape
                ``(samples,)`` or ``(samples, channels)``, floats at ±1 or integers at full scale.
            timeline: say also where.
            labels: tell only these apart; see ``among``.
            channels: ``mix``: all of them as one; the number of one, from 1, to hear that alone; ``split``: each by
                itself, as the two ends of a call are, and a prediction of each is returned.

        Raises:
            AudioError: it cannot be read, or is outside the bounds; or it has no such channel.
            ThymosError: ``labels`` cannot be told apart, or a timeline is asked of a model that tells no emotions.
        """
        recognizer = self._asked(labels, timeline)
        with named(source):
            if channels == "split":
                return each_channel(source, lambda own, number: recognizer._predict(own, timeline, number))
            return recognizer._predict(source, timeline, checked_channel(channels))

    def timeline(self, source: Sound, labels: Sequence[str] | None = None) -> Timeline:
        """Return which emotion is heard from when to when; see ``predict`` for what is taken and raised."""
        timeline = self.predict(source, True, labels).timeline
        assert timeline is not None
        return timeline

    def embed(self, source: Sound, what: What = "embedding") -> NDArray[np.float32]:
        """Return the recording's embedding: float32, shape ``(E,)``.

        Of a long recording it is the mean of its windows', weighted by their seconds of speech.

        Args:
            source: as ``predict`` takes it.
            what: ``embedding``, made for telling emotions apart; or ``statistics``, mean and standard deviation over
                time of the encoder's states, layer by layer: what the shipped models decide by.

        Raises:
            AudioError: as ``predict``, or nobody speaks.
            BundleError: the model has no statistics.
        """
        with named(source):
            values: NDArray[np.float32] = self._embedded(source, what, False).values[0]
        return values

    def embed_windows(self, source: Sound, what: What = "embedding") -> Embeddings:
        """Return the embeddings of a recording's windows in which somebody speaks; see ``embed``."""
        with named(source):
            return self._embedded(source, what, True)

    def embed_many(
        self, sources: Iterable[Sound], what: What = "embedding", windows: bool = False
    ) -> Iterator[Embeddings | Failure]:
        """Yield the embeddings of each of ``sources``, in order: of all of it, or of its windows; see ``embed``."""
        return heard_in_order(sources, lambda source: self._embedded(source, what, windows), self.threads)

    def _embedded(self, source: Sound, what: What, windows: bool) -> Embeddings:
        return embeddings_of(self._listener.listen(source, windows, keep=True), what, windows)

    def explain(self, source: Sound, emotion: str | None = None, labels: Sequence[str] | None = None) -> Explanation:
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
        self.needs_emotions("an explanation")
        if emotion is not None and emotion not in self.labels:
            raise ThymosError(f"{emotion!r} is none of the model's emotions: {', '.join(self.labels)}")
        # It is read twice: once to know what is heard, and where most.
        source = source if isinstance(source, tuple) or not hasattr(source, "read") else source.read()
        with named(source):
            prediction = self._predict(source, True)
            if prediction.emotion is None:
                raise AudioError("holds no speech, so there is no emotion to explain")
            emotion = emotion or prediction.emotion
            part = part_to_explain(source, self.bundle, prediction, emotion)
        evidence = frame_evidence(self.bundle, part, self._decider)

        def hear(samples: NDArray[np.float32]) -> NDArray[np.float64]:
            return self._decider.probabilities(self._listener.hear(samples)[0])

        return explain_part(hear, part, evidence, self.labels, emotion, self.name, self._listener.pool.map)

    def predict_many(
        self,
        sources: Iterable[Sound],
        timeline: bool = False,
        labels: Sequence[str] | None = None,
        finished: Callable[[int, Prediction | Failure], None] | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Yield what is heard in each of ``sources``, in their order, as soon as it is known.

        A recording that cannot be heard, for whatever reason, is a ``Failure`` in its place, and the rest go on.
        ``finished`` is told the place of each, from 0, and its result, as soon as that is known: from any thread.

        Raises:
            ArgumentError: ``sources`` is a single recording, or the name of a folder.
            ThymosError: as ``predict``.
        """
        recognizer = self._asked(labels, timeline)
        return heard_in_order(sources, lambda source: recognizer._predict(source, timeline), self.threads, finished)

    def predict_adapted(
        self,
        sources: Iterable[Sound],
        groups: Sequence[str] | None = None,
        timeline: bool = False,
        labels: Sequence[str] | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Return what is heard in each of ``sources`` once all are heard, and voices' offsets are taken out.

        >>> files = sorted(Path("calls").glob("*/*.wav"))  # a folder a speaker              # doctest: +SKIP
        >>> for heard in thymos.load().predict_adapted(files, [file.parent.name for file in files]):  # doctest: +SKIP
        ...     print(heard)

        Args:
            sources: as ``predict_many`` takes them.
            groups: of each, such as its speaker; recordings of one group are of one voice, room or line. None: all are.
            timeline: say also where.
            labels: tell only these apart; see ``among``.

        Raises:
            BundleError: the model knows no voices.
            ThymosError: ``labels`` cannot be told apart, or there are more or fewer groups than sources.
        """
        recognizer, _ = self.among(labels), self.space
        names = None if groups is None else list(groups)

        def decided() -> Iterator[Prediction | Failure]:
            heard = list(self.listen_many(sources, timeline))
            offsets = recognizer.offsets(heard, names)
            voices = {name: recognizer.for_voice(offset) for name, offset in offsets.items()}
            for recording, name in zip(heard, named_groups(names, len(heard)), strict=True):
                if isinstance(recording, Failure):
                    yield recording
                else:
                    yield voices.get(name, recognizer).decide(recording, timeline)

        return decided()

    def listen_many(
        self,
        sources: Iterable[Sound],
        windows: bool = False,
        finished: Callable[[int, Recording | Failure], None] | None = None,
    ) -> Iterator[Recording | Failure]:
        """Yield what is kept of each of ``sources``, in windows too if ``windows``, for ``decide`` and ``offsets``."""
        return heard_in_order(sources, lambda source: self._listener.listen(source, windows), self.threads, finished)

    def listen_share(self, source: Sound, share: Share, windows: bool = False) -> Recording:
        """Return what is kept of one share of a recording's windows; ``listening.joined`` makes one of all shares.

        Raises:
            AudioError: as ``predict``.
        """
        with named(source):
            return self._listener.listen(source, windows, share=share)

    def decide(self, recording: Recording, timeline: bool = False) -> Prediction:
        """Return what is heard in a recording of ``listen_many``, which heard it in windows if ``timeline``."""
        return self._decider.prediction(recording, timeline)

    def stream(
        self,
        rate_hz: int,
        window_s: float | None = None,
        hop_s: float | None = None,
        labels: Sequence[str] | None = None,
        adapt: bool = False,
        first_s: float | None = FIRST_S,
    ) -> Stream:
        """Return a stream for sound that arrives bit by bit at ``rate_hz``; the default window is the bundle's.

        Where a hop is no longer than ``first_s``, and the model takes windows of any length, the first answer comes
        after so many seconds, and one every hop from there, each of all there is until that is a whole window; None:
        whole windows only. All others are those of a file, without silence before speech. With ``adapt``, each window
        is heard with the offset of the voice, room or line that all windows so far give.

        Raises:
            ThymosError: ``labels`` cannot be told apart, see ``among``; or it adapts, and a voice is known already.
            BundleError: it adapts, and the model knows no voices.
            AudioError: a rate that sound does not have, windows that leave gaps, or of a length that the model does
                not take.
        """
        about = self.bundle.about
        window_s = window_s or about.window_s
        if about.window == "fixed" and window_s != about.window_s:
            raise AudioError(f"{self.name} takes windows of {about.window_s:g} s only, not of {window_s:g} s")
        recognizer = self.among(labels)
        hear = recognizer._adapting_window() if adapt else recognizer._window
        hop_s = hop_s or about.hop_s
        early_s = None if first_s is None or about.window == "fixed" or hop_s > first_s else first_s
        return Stream(hear, rate_hz, about.rate_hz, window_s, hop_s, self._listener.vad_threshold, early_s)

    def _asked(self, labels: Sequence[str] | None, timeline: bool) -> "Recognizer":
        """Return the recogniser of ``labels``, checked that it has a ``timeline``."""
        if timeline:
            self.needs_emotions("a timeline")
        return self.among(labels)

    def _predict(self, source: Sound, timeline: bool, channel: Channel = "mix") -> Prediction:
        return self.decide(self._listener.listen(source, timeline, channel), timeline)

    def _window(self, cut: WindowSamples) -> Window:
        return self._decider.window(self._listener.window(cut))

    def _adapting_window(self) -> Callable[[WindowSamples], Window]:
        """Return what hears one window after another, each with the offset that it and those before it give."""
        if self._decider.offset is not None:
            raise ThymosError("a stream is heard as that of a voice that is known, or adapts to who speaks, not both")
        running = RunningOffset(self.space, self._decider.chosen)
        about, chosen = self.bundle.about, self._decider.chosen

        def window(cut: WindowSamples) -> Window:
            heard = self._listener.window(cut)
            if heard.impression is None or heard.impression.coordinates is None:
                return self._decider.window(heard)
            offset = running.add(heard.impression.coordinates)
            return Decider(about, self._decider.space, chosen, offset).window(heard)

        return window


def load(
    model: str | os.PathLike[str] | None = None, threads: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Recognizer:
    """Return a recogniser: of ``model``, of ``THYMOS_MODEL``, or of the one that is shipped.

    Args:
        model: folder of a bundle, or the name of a shipped model.
        threads: files, or windows of one file, to work on at once; by default as many as there are cores. Answers are
            the same for any number, since each is computed by one thread.
        limits: recordings outside are refused.

    Raises:
        BundleError: there is none, or it cannot be used.
        ArgumentError: ``threads`` is not a positive whole number.
    """
    return Recognizer(read_bundle(find_bundle(model)), threads, limits)
