"""What a recogniser answers: plain, typed, printable."""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from thymos.audio.containers import REMARKS, Remark
from thymos.errors import AudioError, ThymosError
from thymos.escaping import printable

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

NONE_HEARD = "none heard"
"""What stands in place of an emotion where nobody speaks."""
LEAST_SHARE = 0.01
"""Smaller shares of a recording are not told to people; JSON has them all."""
Flag = Literal["too_short", "too_quiet", "no_speech", "faint_speech", "unsure", "unfamiliar", Remark]
"""What an answer is flagged with; ``FLAGS`` says it in words."""
FLAGS: dict[Flag, str] = {
    "too_short": "less speech than half a second",
    "too_quiet": "nothing in it is above -50 dB of full scale",
    "no_speech": "nobody speaks, so no emotion is told",
    "faint_speech": "the voice activity detection is not sure that anybody speaks; the model is",
    "unsure": "no emotion has a probability of 0.3 or more: such answers are right about half as often as others",
    "unfamiliar": "out of distribution: unlike what the model was trained on, by which its answer need not be wrong",
}
for _remark, _words in REMARKS.items():
    FLAGS[_remark] = _words


@dataclass(frozen=True)
class Window:
    """What was heard in one window of a recording."""

    start_s: float
    end_s: float
    speech_s: float
    """Seconds of speech inside it."""
    probabilities: dict[str, float] | None
    """Of each emotion; None where nobody speaks."""
    out_of_distribution: bool = False
    """Unlike the recordings that the model was trained on."""
    dimensions: dict[str, float] | None = None
    """Arousal, valence, dominance: those that the model reads; None where it reads none, or nobody speaks."""

    @property
    def emotion(self) -> str | None:
        """The most probable emotion."""
        return most_probable(self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "emotion": self.emotion,
            "probabilities": rounded(self.probabilities),
            "speech_s": round(self.speech_s, 3),
            **({} if self.dimensions is None else {"dimensions": rounded(self.dimensions)}),
        }


@dataclass(frozen=True)
class Stretch:
    """A part of a recording in which one emotion is heard, or none."""

    start_s: float
    end_s: float
    emotion: str | None
    probability: float | None
    """Mean probability of the emotion."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "emotion": self.emotion,
            "probability": None if self.probability is None else round(self.probability, 4),
        }


@dataclass(frozen=True)
class Timeline:
    """A recording from its start to its end in stretches, made of overlapping windows."""

    stretches: tuple[Stretch, ...]
    windows: tuple[Window, ...] = field(repr=False)
    duration_s: float

    @property
    def shares(self) -> dict[str, float]:
        """How much of the time in which an emotion is heard each one has, the largest share first."""
        seconds: dict[str, float] = {}
        for at in self.stretches:
            if at.emotion is not None:
                seconds[at.emotion] = seconds.get(at.emotion, 0.0) + at.end_s - at.start_s
        heard = sum(seconds.values())
        return {word: own / heard for word, own in sorted(seconds.items(), key=lambda each: (-each[1], each[0]))}

    def __str__(self) -> str:
        lines = []
        for at in self.stretches:
            sure = "" if at.probability is None else f"  {at.probability:.2f}"
            lines.append(f"{at.start_s:8.2f} – {at.end_s:8.2f} s  {at.emotion or NONE_HEARD}{sure}")
        return "\n".join(lines) or NONE_HEARD

    def _repr_html_(self) -> str:
        """What a notebook shows: a coloured strip."""
        from thymos.runtime.notebook import timeline_html

        return timeline_html(self)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw it, by default in a figure of its own (``plot().figure``), and return the axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from thymos.runtime.notebook import draw_timeline

        return draw_timeline(self, axes)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "duration_s": round(self.duration_s, 3),
            "stretches": [stretch.to_dict() for stretch in self.stretches],
            "windows": [window.to_dict() for window in self.windows],
        }

    def to_frame(self, file: str | os.PathLike[str] = "") -> "pandas.DataFrame":
        """Return a row for each stretch, by the index ``(file, start, end)`` of audformat.

        Args:
            file: what the recording is called in the index.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from thymos.runtime.data_frames import results_frame
        from thymos.runtime.formats import Columns

        return results_frame([{"file": os.fspath(file), "timeline": self.to_dict()["stretches"]}], Columns((), True))


@dataclass(frozen=True)
class Prediction:
    """What was heard in a recording."""

    emotion: str | None
    """The most probable emotion; None where nobody speaks, or the model tells none."""
    probabilities: dict[str, float] | None
    """Calibrated, of each emotion the model knows; None where nobody speaks."""
    prediction_set: tuple[str, ...]
    """Emotions, the most probable first, of which the true one is one as often as the bundle's coverage says."""
    speech_s: float
    """Seconds of speech."""
    duration_s: float
    flags: tuple[Flag, ...]
    """What speaks against trusting the answer."""
    model: str
    """Name and version of the model."""
    timeline: Timeline | None = field(default=None, repr=False)
    dimensions: dict[str, float] | None = None
    """Arousal, valence, dominance on the scale of the training corpus: those that the model reads; None where it reads
    none, or nobody speaks."""
    shares: dict[str, float] | None = None
    """How much of its time each emotion has, the largest first, where it was heard in windows: of a recording of
    minutes, a mean of probabilities says little."""
    long: bool = field(default=False, repr=False)
    """Whether it was too long to be heard whole: its shares say what was heard, ``probabilities`` are means."""

    def __str__(self) -> str:
        if self.probabilities is None:
            said = NONE_HEARD
        elif self.emotion is None:
            return f"{values_text(self.dimensions or {})}; {self._speech}"
        elif self.long and self.shares:
            said = shares_text(self.shares)
        else:
            said = f"{self.emotion} {self.probabilities[self.emotion]:.2f}"
            if len(self.prediction_set) > 1:
                said += f" (or {', '.join(self.prediction_set[1:])})"
        if self.dimensions is not None:
            said += f"; {values_text(self.dimensions)}"
        return f"{said}; {self._speech}"

    @property
    def _speech(self) -> str:
        flags = f"; {', '.join(self.flags)}" if self.flags else ""
        return f"{self.speech_s:.1f} s of speech in {self.duration_s:.1f} s{flags}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, a bar for each emotion, and the timeline."""
        from thymos.runtime.notebook import prediction_html

        return prediction_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``thymos predict --format jsonl`` has it, but for the file."""
        content: dict[str, Any] = {
            "emotion": self.emotion,
            "probabilities": rounded(self.probabilities),
            "prediction_set": list(self.prediction_set),
            "speech_s": round(self.speech_s, 3),
            "duration_s": round(self.duration_s, 3),
            "flags": list(self.flags),
            "model": self.model,
        }
        if self.dimensions is not None:
            content["dimensions"] = rounded(self.dimensions)
        if self.shares is not None:
            content["shares"] = rounded(self.shares)
        if self.long:
            content["long"] = True
        if self.timeline is not None:
            content["timeline"] = [stretch.to_dict() for stretch in self.timeline.stretches]
        return content

    def to_frame(self, file: str | os.PathLike[str] = "") -> "pandas.DataFrame":
        """Return one row, by the index ``(file, start, end)`` of audformat; each emotion has a column ``p_<emotion>``.

        Args:
            file: what the recording is called in the index.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from thymos.runtime.data_frames import results_frame
        from thymos.runtime.formats import Columns

        columns = Columns(tuple(self.probabilities or ()), dimensions=tuple(self.dimensions or ()))
        return results_frame([{"file": os.fspath(file), **self.to_dict()}], columns)


@dataclass(frozen=True)
class Failure:
    """A recording that could not be heard, among many."""

    source: Any
    error: ThymosError

    def __str__(self) -> str:
        return f"{describe(self.source)} {self.reason}"

    @property
    def reason(self) -> str:
        """What is wrong, in words that follow the recording's name."""
        return self.error.reason if isinstance(self.error, AudioError) else str(self.error)


def describe(source: Any) -> str:
    """Return how to name ``source`` in a sentence."""
    if isinstance(source, bytes):
        return f"sound of {len(source)} bytes"
    if isinstance(source, str | os.PathLike):
        return printable(os.fsdecode(source)) or "the name of a recording"
    name = getattr(source, "name", None)  # of an open file
    return "an array" if isinstance(source, tuple) else printable(name) if isinstance(name, str) else "what was given"


def shares_text(shares: dict[str, float]) -> str:
    """Return shares as people read them, those of at least one in a hundred."""
    return ", ".join(f"{word} {share:.0%}" for word, share in shares.items() if share >= LEAST_SHARE)


def most_probable(probabilities: dict[str, float] | None) -> str | None:
    """Return the emotion with the highest probability, the first of equals; None where there is none."""
    return None if not probabilities else max(probabilities, key=probabilities.__getitem__)


def values_text(dimensions: dict[str, float]) -> str:
    """Return values of dimensions as words: "arousal 0.61, valence −0.20"."""
    return ", ".join(f"{name} {value:.2f}".replace("-", "−") for name, value in dimensions.items())


def rounded(probabilities: dict[str, float] | None) -> dict[str, float] | None:
    """Return probabilities to four decimals, as files have them."""
    return None if probabilities is None else {word: round(value, 4) for word, value in probabilities.items()}
