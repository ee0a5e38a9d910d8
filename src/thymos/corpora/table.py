"""The corpus table: what every corpus becomes, whichever folder or file it came from."""

import mmap
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform
from thymos.audio.containers import Remark
from thymos.audio.excerpt import read_excerpt
from thymos.errors import AudioError
from thymos.labels import DIMENSIONS, EMOTIONS, in_order, label_key, natural_key, one_spelling, to_emotion

SYNTHETIC_MARK = "SYNTHETIC"
_PCM_16_SCALE = np.float32(1 << 15)


@dataclass(frozen=True)
class Measurements:
    """What was measured in a clip's decoded sound (see ``corpora.measure`` for how)."""

    rate_hz: int
    channels: int
    frames: int
    format: str
    peak: float
    """Largest magnitude, full scale 1."""
    clipped_samples: int
    """Samples in runs of at least three at full scale."""
    silence_s: float
    """Seconds of 25 ms frames at least 20 dB below the clip's own loud frames (their 95th percentile)."""
    sha256: str
    """Digest of the decoded mono samples and the rate: equal for exact copies, whatever their container."""
    fingerprint: str = field(default="", repr=False)
    """What near-copies are known by, as ``corpora.near_copies`` writes it; empty where there is nothing to tell of."""
    remarks: tuple[Remark, ...] = ()
    """What was found in the file, or done to its sound: see ``audio.containers.REMARKS``."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz

    @property
    def silence_share(self) -> float:
        """Silent part of the length, 0 to 1."""
        return self.silence_s / self.duration_s


@dataclass(frozen=True)
class ClipEntry:
    """A file that a corpus lists, before its sound is measured. What a corpus does not tell is an empty string."""

    path: str
    """Relative to the corpus root, with forward slashes: the clip's name in every table. That of an excerpt of a file
    has the times behind it: ``talk.wav#t=0.5,2`` (see ``audio.excerpt``)."""
    emotion: str
    speaker: str = ""
    sentence: str = ""
    take: str = ""
    """Tells recordings of one sentence by one speaker in one emotion apart."""
    corpus: str = ""
    """Name of the corpus that it comes from, where a table has clips of several."""
    split: str = ""
    """``train``, ``validation`` or ``test`` where the corpus comes divided; ``test2`` and so on if it has several."""
    start_s: float = 0.0
    """Where in its file it begins, in seconds, and where it ends; None: with the file."""
    end_s: float | None = None
    file: str = ""
    """Where its sound lies, relative to the corpus root or absolute, if that is not ``path``."""
    gender: str = ""
    """Of who speaks: ``female``, ``male``, or the corpus's own word."""
    language: str = ""
    """What is spoken: a code of ISO 639-1, such as ``el``, or the corpus's own word."""
    intensity: str = ""
    """How strongly the emotion is meant, in the corpus's own words, such as ``normal`` and ``strong``."""
    arousal: float | None = None
    """How excited, on the corpus's own scale, as ``valence`` and ``dominance``; None: it does not tell."""
    valence: float | None = None
    """How pleasant."""
    dominance: float | None = None
    """How much in control."""

    @property
    def tells_dimensions(self) -> bool:
        """Whether it tells one at least."""
        return any(getattr(self, name) is not None for name in DIMENSIONS)

    @property
    def lies_in(self) -> str:
        """The file that its sound lies in, relative to the corpus root or absolute."""
        return self.file or self.path


@dataclass(frozen=True)
class Clip(ClipEntry):
    """One recording in a corpus, with what was measured in its sound."""

    sound: Measurements = field(kw_only=True)
    recording: str = field(default="", kw_only=True)
    """Whose recording it is a part of, where several clips share sound: near-copies, and excerpts that overlap, have
    one name here."""

    @property
    def identity(self) -> str:
        """All of it that decides numbers, so that runs and cells know whether it is what it was."""
        values = [f"{name}={getattr(self, name)!r}" for name in DIMENSIONS if getattr(self, name) is not None]
        return " ".join((self.emotion, self.speaker, self.sound.sha256, *values))


@dataclass(frozen=True)
class Exclusion:
    """A file that is not used, and why, in words that follow its name: "s05 (3).wav is empty"."""

    clip: str
    reason: str
    readable: bool = False
    """True if the sound is fine and a rule left it out."""
    alike: str = field(default="", compare=False)
    """What all that is left out for the like is counted under; empty: the reason."""


@dataclass(frozen=True)
class Tally:
    """What became of the recordings of a corpus: those that were found are used, left out by a rule, or errors."""

    found: int
    used: int
    left_out: int
    errors: int

    def __str__(self) -> str:
        return (
            f"found {self.found} {'recording' if self.found == 1 else 'recordings'}: {self.used} used, "
            f"{self.left_out} left out, {self.errors} {'error' if self.errors == 1 else 'errors'}"
        )


LEFT_OUT = ""
"""What a label counts as that is left out."""


@dataclass(frozen=True)
class LabelUse:
    """What became of one label of a corpus."""

    label: str
    """As the corpus has it, in its commonest spelling."""
    emotion: str
    """What it counts as; ``LEFT_OUT`` if its clips are left out."""
    clips: int
    """How many usable clips have it."""

    @property
    def how(self) -> Literal["as it is", "own word", "known word", "label map", "left out"]:
        """By what it counts as that: ``own word`` is one of the house's, and needs no remark."""
        if self.emotion == LEFT_OUT:
            return "left out"
        if label_key(self.label) == label_key(self.emotion):
            return "own word" if self.emotion in EMOTIONS else "as it is"
        return "known word" if to_emotion(self.label) == self.emotion else "label map"


@dataclass(frozen=True)
class Listing:
    """What a reader of one kind of corpus finds on disk."""

    kind: str
    root: Path
    entries: list[ClipEntry] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a user is told of how it was read, a sentence each."""


class KeptWaveforms:
    """Waveforms that were decoded to be measured, kept for the features, so that nothing is decoded twice.

    Up to a bound; what comes after it is decoded again. What 16-bit files hold takes 2 bytes a sample, to the last
    bit. Nothing of it travels to another process.
    """

    def __init__(self, most_bytes: int = 256 << 20):
        """Keep no more than ``most_bytes``."""
        self.most_bytes, self._bytes = most_bytes, 0
        self._waveforms: dict[Path, tuple[NDArray[np.int16] | Samples, int]] = {}
        self._lock = threading.Lock()

    def keep(self, path: Path, waveform: Waveform) -> None:
        """Keep ``waveform``, decoded from ``path``, if there is room; threads may call it at once."""
        scaled = waveform.samples * _PCM_16_SCALE
        with np.errstate(invalid="ignore"):  # beyond full scale, which the comparison finds
            pcm = scaled.astype(np.int16)
        values = pcm if np.array_equal(pcm, scaled) else waveform.samples
        with self._lock:
            if self._bytes + values.nbytes > self.most_bytes:
                return
            self._bytes += values.nbytes
        # A mapping of its own goes back to the system when it is let go; freed memory may not, see engine.process.
        own = np.ndarray(values.shape, values.dtype, mmap.mmap(-1, values.nbytes))
        own[:] = values
        self._waveforms[path] = own, waveform.rate_hz

    def get(self, path: Path) -> Waveform | None:
        """Return what was decoded from ``path``, or None."""
        if path not in self._waveforms:
            return None
        values, rate_hz = self._waveforms[path]
        return Waveform(np.asarray(values / _PCM_16_SCALE if values.dtype == np.int16 else values, np.float32), rate_hz)

    def clear(self) -> None:
        """Let all of them go."""
        self._waveforms, self._bytes = {}, 0

    def __reduce__(self) -> tuple[type["KeptWaveforms"], tuple[int]]:
        return KeptWaveforms, (self.most_bytes,)


@dataclass(frozen=True, repr=False)
class Corpus:
    """Usable clips in the order of their paths, and everything left out with its reason."""

    kind: str
    root: Path
    clips: tuple[Clip, ...]
    excluded: tuple[Exclusion, ...] = ()
    labels: tuple[LabelUse, ...] = ()
    """What became of each label that was found; empty where nobody looked."""
    unmatched: tuple[str, ...] = ()
    """What a label map names and no clip has, each with the nearest label."""
    found: int = 0
    """How many recordings were found; 0 where nobody counted. Every one of them is a clip or excluded."""
    notes: tuple[str, ...] = ()
    """What a user is told of how it was read, a sentence each: what was passed over, guessed, or said twice."""
    kept: KeptWaveforms = field(default_factory=lambda: KeptWaveforms(0), compare=False)
    """What ``waveform`` need not decode."""
    table: str = ""
    """Name, without its suffix, of the table that lists it; empty where it is a folder."""

    def __repr__(self) -> str:
        hours = sum(clip.sound.duration_s for clip in self.clips) / 3600
        counts = f"{len(self.clips)} clips, {len(self.emotions)} emotions, {len(self.speakers)} speakers"
        return f"<Corpus {self.kind}:{self.root}, {counts}, {hours:.2f} h>"

    def _repr_html_(self) -> str:
        """What a notebook shows: how many clips of each emotion there are, and how many recordings were left out."""
        from thymos.runtime.notebook import facts_html

        counts, left_out = Counter(clip.emotion for clip in self.clips), {"left out": len(self.excluded)}
        return facts_html(repr(self).strip("<>"), {word: counts[word] for word in self.emotions} | left_out)

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that occur, the house's words first, then others by the alphabet; none of a corpus that tells
        dimensions alone."""
        return in_order({clip.emotion for clip in self.clips} - {""})

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers that are known, in natural order: "2" before "10"."""
        return tuple(sorted({clip.speaker for clip in self.clips} - {""}, key=natural_key))

    @property
    def targets(self) -> NDArray[np.int64]:
        """Class of every clip, an index into ``emotions``: shape ``(clips,)``; 0 throughout where there are none."""
        places = {emotion: place for place, emotion in enumerate(self.emotions)}
        return np.array([places.get(clip.emotion, 0) for clip in self.clips], np.int64)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Which of ``DIMENSIONS`` vary among the clips that tell them: what never varies cannot be learnt."""
        told = {name: {getattr(clip, name) for clip in self.clips} - {None} for name in DIMENSIONS}
        return tuple(name for name, values in told.items() if len(values) > 1)

    @property
    def values(self) -> NDArray[np.float64] | None:
        """Value of every clip in each of ``dimensions``, NaN where it is not told: shape ``(clips, dimensions)``; None
        without any."""
        names = self.dimensions
        if not names:
            return None
        return np.array([[getattr(clip, name) for name in names] for clip in self.clips], np.float64)

    def waveform(self, clip: Clip) -> Waveform:
        """Decode ``clip``, its excerpt of the file alone: mono float32, shape ``(samples,)``, at the file's own rate.

        Raises:
            AudioError: it can no longer be decoded; the message names it.
        """
        kept = self.kept.get(self.root / clip.path)
        try:
            return kept or read_excerpt(self.root / clip.lies_in, clip.start_s, clip.end_s)[0]
        except AudioError as error:
            raise error.of(clip.path) from None

    def rows(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """Return the places among ``clips`` of the clips at ``paths``, such as ``fold.train``: shape ``(paths,)``.

        Raises:
            KeyError: the corpus has no such clip.
        """
        place = {clip.path: row for row, clip in enumerate(self.clips)}
        return np.array([place[path] for path in paths], np.int64)

    def part(self, paths: Collection[str]) -> "Corpus":
        """Return the corpus with those clips alone whose path is among ``paths``, in its own order."""
        wanted = frozenset(paths)
        return replace(self, clips=tuple(clip for clip in self.clips if clip.path in wanted))

    @property
    def synthetic(self) -> bool:
        """Whether a file ``SYNTHETIC`` at the root says that no human spoke here."""
        return (self.root / SYNTHETIC_MARK).is_file()

    @property
    def unusable(self) -> tuple[Exclusion, ...]:
        """Files that could not be used at all, as opposed to readable ones that a rule left out."""
        return tuple(exclusion for exclusion in self.excluded if not exclusion.readable)

    @property
    def tally(self) -> Tally:
        """What became of the recordings that were found."""
        errors = len(self.unusable)
        left_out = len(self.excluded) - errors
        return Tally(self.found or len(self.clips) + len(self.excluded), len(self.clips), left_out, errors)

    def relabelled(self, word_for: Callable[[str], str]) -> "Corpus":
        """Return the corpus with ``word_for`` of every clip's emotion in its place, each word in one spelling."""
        words = [word_for(clip.emotion) for clip in self.clips]
        spelled = one_spelling(words)
        clips = (replace(clip, emotion=spelled[label_key(word)]) for clip, word in zip(self.clips, words, strict=True))
        return replace(self, clips=tuple(clips))

    def excluding(self, reason_for: Callable[[Clip], str | None]) -> "Corpus":
        """Return the corpus without the clips for which ``reason_for`` gives a reason; the reasons are kept."""
        reasons = {clip.path: reason_for(clip) for clip in self.clips}
        added = [Exclusion(path, reason, readable=True) for path, reason in reasons.items() if reason]
        kept = tuple(clip for clip in self.clips if reasons[clip.path] is None)
        return replace(self, clips=kept, excluded=(*self.excluded, *added))


def summed_uses(uses: Iterable[LabelUse]) -> tuple[LabelUse, ...]:
    """Return one use for each label and what it counts as: in the order of that, what is left out last."""
    labels: Counter[str] = Counter()
    emotions: Counter[str] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    for use in uses:
        labels[use.label] += use.clips
        emotions[use.emotion] += use.clips
        counts[label_key(use.label), label_key(use.emotion)] += use.clips
    label_of, emotion_of = one_spelling(labels.elements()), one_spelling(emotions.elements())
    order = in_order({*emotion_of.values()} - {LEFT_OUT})
    places = {emotion: place for place, emotion in enumerate((*order, LEFT_OUT))}
    summed = [LabelUse(label_of[label], emotion_of[emotion], clips) for (label, emotion), clips in counts.items()]
    return tuple(sorted(summed, key=lambda use: (places[use.emotion], label_key(use.label))))


def clip_names(clips: list[str], most: int = 5) -> str:
    """Return clip paths as a short list for a message: the first few, then how many more."""
    shown = ", ".join(clips[:most])
    return shown + (f" and {len(clips) - most} more" if len(clips) > most else "")
