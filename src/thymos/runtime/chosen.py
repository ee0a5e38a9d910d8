"""A model and what it is set to: the labels that it tells apart, the voice that it hears, where speech begins."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

from thymos.audio.source import DEFAULT_LIMITS, Limits
from thymos.errors import ArgumentError, BundleError, ThymosError
from thymos.labels import chosen_among
from thymos.machine import available_cores
from thymos.runtime.adaptation import Offset, Voice, VoiceSpace
from thymos.runtime.bundle import Bundle
from thymos.runtime.decision import Decider
from thymos.runtime.hearing import HEAD
from thymos.runtime.listening import Listener


class ChosenModel:
    """What a recogniser is made of. Each choice is a new object that shares bundle and threads with the one before."""

    def __init__(self, bundle: Bundle, threads: int | None = None, limits: Limits = DEFAULT_LIMITS):
        """Take a checked bundle, and the number of files, or windows of one file, to work on at once; see ``load``.

        Raises:
            ArgumentError: no threads, or no number of them.
        """
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ArgumentError(f"threads must be a whole number of 1 or more, not {threads!r}")
        self.bundle, self.threads = bundle, threads or available_cores()
        self._listener = Listener(bundle, self.threads, limits)
        self._decider = Decider(bundle.about, bundle.hearing.space, range(len(bundle.about.labels)))
        self._voice: Voice | Offset | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions that it tells apart."""
        return self._decider.labels

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What it reads beside emotions: arousal, valence, dominance, or nothing."""
        return self.bundle.about.dimensions

    def needs_emotions(self, what: str) -> None:
        """Check that the model tells emotions, which ``what`` is about.

        Raises:
            ArgumentError: it reads dimensions alone.
        """
        if not self.bundle.about.labels:
            told = " and ".join(self.dimensions)
            raise ArgumentError(f"{what} needs a model that tells emotions, and {self.name} tells {told} alone")

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return self._decider.name

    @property
    def can_adapt(self) -> bool:
        """Whether the model tells voices from emotions, so that it can be told a voice."""
        return self._decider.space is not None

    def among(self, labels: Sequence[str] | None) -> Self:
        """Return a recogniser that tells only ``labels`` apart; itself if None.

        Their probabilities are the softmax over their logits alone, at the model's temperature. A prediction set is
        made of these at the model's threshold: since none is smaller than among all, it holds the true emotion at least
        as often, of recordings of these emotions.

        Args:
            labels: of this recogniser's, in any order and case; known words of ten languages stand for the house's.

        Raises:
            ThymosError: one is none of this recogniser's, there are fewer than two, or it tells no emotions.
        """
        if labels is None:
            return self
        words = tuple(labels) if isinstance(labels, Iterable) and not isinstance(labels, str | bytes) else (labels,)
        if not all(isinstance(word, str) for word in words) or isinstance(labels, str):
            raise ArgumentError(f"labels are a list of words, such as ['anger', 'fear'], not {labels!r}")
        self.needs_emotions("a choice of labels")
        labels = words
        places, unknown = chosen_among(labels, self.labels)
        if unknown:
            raise ThymosError(f"{unknown[0]!r} is none of the labels of {self.name}: {', '.join(self.labels)}")
        if len(places) < 2:
            raise ThymosError(f"two labels or more are needed to choose among, not {', '.join(labels) or 'none'}")
        return self._deciding([self._decider.chosen[place] for place in places], self._voice)

    def for_voice(self, voice: Voice | Offset | None) -> Self:
        """Return a recogniser of one voice, room or line, whose offset is taken out; None: of any voice.

        >>> maria = thymos.load().enrol(["monday.wav", "tuesday.wav"], "maria")    # doctest: +SKIP
        >>> thymos.load().for_voice(maria).predict("today.wav")                    # doctest: +SKIP

        Args:
            voice: as ``enrol`` returns it, or the offset of one.

        Raises:
            BundleError: the model knows no voices, or another model enrolled it.
        """
        if isinstance(voice, Voice) and self.space and voice.head != self._head():
            raise BundleError(
                f"the voice {voice.name} was enrolled with another head ({voice.model}) than that of {self.name}: "
                "enrol it anew"
            )
        return self._deciding(self._decider.chosen, voice)

    def tuned(self, vad_threshold: float | None = None, shortest_s: float | None = None) -> Self:
        """Return a recogniser that takes less, or more, for speech, or for a stretch of its own in a timeline.

        Args:
            vad_threshold: probability at which speech begins, between 0 and 1; it goes on above 0.7 of it. Where none
                is given, it is 0.5, and the model is asked where the VAD is not sure of a whole recording.
            shortest_s: the shortest stretch of a timeline, in seconds; None: 0.5.

        Raises:
            ArgumentError: no probability, or no length of time.
        """
        other = copy(self)
        if vad_threshold is not None:
            if not 0 < vad_threshold < 1:
                raise ArgumentError(f"speech begins at a probability between 0 and 1, not at {vad_threshold!r}")
            other._listener = copy(self._listener)
            other._listener.vad_threshold = vad_threshold
        if shortest_s is not None:
            if not 0 <= shortest_s < float("inf"):
                raise ArgumentError(f"the shortest stretch is a number of seconds, not {shortest_s!r}")
            other._decider = copy(self._decider)
            other._decider.shortest_s = shortest_s
        return other

    @property
    def space(self) -> VoiceSpace:
        """Where voices are told from emotions.

        Raises:
            BundleError: the model knows no voices.
        """
        if self._decider.space is None:
            raise BundleError(f"{self.name} does not tell voices from emotions, so it cannot be adapted to any")
        return self._decider.space

    def _deciding(self, chosen: Sequence[int], voice: Voice | Offset | None) -> Self:
        other = copy(self)  # bundle and threads are shared
        other._voice = voice
        offset = voice.offset(self.space, chosen) if isinstance(voice, Voice) else voice
        values = None if offset is None else offset.values
        other._decider = Decider(self.bundle.about, self.bundle.hearing.space, chosen, values, self._decider.shortest_s)
        return other

    def _head(self) -> str:
        return self.bundle.about.sha256.get(HEAD, "")
