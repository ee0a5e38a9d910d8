"""Adaptation: a voice, room or line is heard for what it is, from unlabelled recordings, and taken out of the decision.

A recording lies at its emotion's place, plus the offset of its voice, plus what varies from one recording to the next.
The offset is estimated from recordings whose emotions nobody named: in turn, their emotions are guessed from the
offset, and the offset from what the guesses leave unexplained. It is drawn to 0 by how far voices usually lie apart and
by how few recordings there are, so one recording moves little, and a voice that is heard in one emotion only is not
taken for that emotion, as subtracting its mean would. Guesses about a new voice err together, though. How far its
recordings lie from each other tells, whatever the offset, whether they are in several emotions; if they are, all
emotions are taken to be in them alike, which is more often near the truth.

Of a voice that is known, a few numbers of each recording are kept in a file, and never sound.

Sources: Gauvain, Lee 1994, Maximum a posteriori estimation for multivariate Gaussian mixture observations of Markov
chains; Kenny 2010, Bayesian speaker verification with heavy-tailed priors, for the two covariances.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thymos.cache import default_cache_dir, opened_seal, write_sealed
from thymos.errors import BundleError, ThymosError
from thymos.runtime.model_files import read_json

SOFTNESS = 15.0
"""Logits are divided by it where emotions are guessed: a discriminant of many descriptors is far too sure."""
PRIOR_SCALE, PRIOR_FLOOR = 3.0, 0.5
"""How much farther apart voices may lie than those that the model was fitted to, and how far in any direction."""
CLIPS_A_VOICE = 2.0
"""How many recordings tell as much as one that is independent of all others."""
ONE_FROM, SEVERAL_FROM = 0.1, 0.4
"""Scatter of a voice's recordings beyond that within an emotion, beside that of all emotions alike: up to the first,
guesses count alone; from the second, it counts alone that all emotions are in them alike."""
ROUNDS = 10
"""Of guessing in turn; later ones change nothing that is seen."""
ENOUGH_CLIPS = 3
"""With fewer recordings or windows, a voice is hardly known."""
VARIED = 1.5
"""Below this many emotions, evenly heard, a voice is known in one emotion only."""
ONE_GROUP = "all"
"""The group of recordings that are all of one voice, room or line."""
FEW = f"fewer than {ENOUGH_CLIPS} recordings are known, so little changes; more are better"
ONE_SIDED = "it seems to be heard in one emotion only, so little is taken out; recordings in several are better"

Coordinates = NDArray[np.float64]
"""Where recordings lie: shape ``(recordings, Q)``; 1 is what varies between recordings of one voice and emotion."""


@dataclass(frozen=True)
class VoiceSpace:
    """The few directions in which emotions, and voices, differ most.

    Attributes:
        projection: float32, shape ``(D, Q)``: descriptions to coordinates, before ``origin`` is subtracted.
        origin: shape ``(Q,)``.
        emotions: coordinates of each emotion, shape ``(classes, Q)``.
        voices: covariance of the offsets of voices, shape ``(Q, Q)``.
    """

    projection: NDArray[np.float32]
    origin: NDArray[np.float64]
    emotions: NDArray[np.float64]
    voices: NDArray[np.float64]

    def coordinates(self, descriptions: NDArray[np.float32] | NDArray[np.float64]) -> Coordinates:
        """Return where ``descriptions`` (…, D) lie: shape ``(…, Q)``."""
        coordinates: Coordinates = descriptions @ self.projection.astype(np.float64) - self.origin
        return coordinates

    def logits(self, coordinates: Coordinates, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits of ``coordinates`` (…, Q) of a voice with ``offset`` (Q,): shape ``(…, classes)``."""
        lengths = np.square(self.emotions).sum(1) / 2
        logits: NDArray[np.float64] = (coordinates - offset) @ self.emotions.T - lengths
        return logits

    def offset(self, coordinates: Coordinates, among: Sequence[int] | None = None) -> "Offset":
        """Return the offset of the voice whose recordings lie at ``coordinates`` (recordings, Q), at least one.

        ``among`` are the classes that can occur in them; None: all.
        """
        own = np.atleast_2d(coordinates)
        asked = list(range(len(self.emotions)) if among is None else among)
        emotions = self.emotions[asked]
        alike = self._alike(own, emotions)
        prior = PRIOR_SCALE * self.voices + PRIOR_FLOOR * np.eye(len(self.origin))
        counted = len(own) / CLIPS_A_VOICE
        # prior (prior + 1 / counted)^-1: how much of what is left unexplained belongs to the voice.
        gain = np.linalg.solve(prior + np.eye(len(prior)) / counted, prior).T
        # First as if no voice were special: each recording is as far off as voices are, so little is sure.
        logits = self.logits(own, np.zeros_like(self.origin))[:, asked]
        for _ in range(ROUNDS):
            scaled = (logits - logits.max(1, keepdims=True)) / SOFTNESS
            guesses = np.exp(scaled)
            guesses /= guesses.sum(1, keepdims=True)
            shares = alike / len(asked) + (1 - alike) * guesses.mean(0)
            values = gain @ (own.mean(0) - shares @ emotions)
            logits = self.logits(own, values)[:, asked]
        return Offset(values, len(own), _variety(logits))

    @staticmethod
    def _alike(own: Coordinates, emotions: NDArray[np.float64]) -> float:
        """Return how far ``own`` lie apart as recordings in all of ``emotions`` alike do, from 0 to 1."""
        if len(own) < 2 or len(emotions) < 2:
            return 0.0
        apart = emotions - emotions.mean(0)
        _, lengths, directions = np.linalg.svd(apart, full_matrices=False)
        directions = directions[lengths > 1e-6 * lengths[0]]
        scatter = (own @ directions.T).var(0, ddof=1).sum() - len(directions)
        share = float(scatter / np.square(apart).sum(1).mean())
        return min(1.0, max(0.0, (share - ONE_FROM) / (SEVERAL_FROM - ONE_FROM)))

    def head(self, offset: NDArray[np.float64] | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what decides by descriptions as ``logits`` does by coordinates, linearly; None: of any voice.

        Returns:
            weights, shape ``(D, classes)``, and bias, shape ``(classes,)``.
        """
        middle = self.origin if offset is None else self.origin + offset
        weights = self.projection.astype(np.float64) @ self.emotions.T
        bias = -(middle @ self.emotions.T) - np.square(self.emotions).sum(1) / 2
        return weights.astype(np.float32), bias.astype(np.float32)

    def moved(self, offset: NDArray[np.float64]) -> "VoiceSpace":
        """Return the space of a room or line in which every voice has ``offset`` beside its own."""
        return replace(self, origin=self.origin + offset)


@dataclass(frozen=True)
class Offset:
    """How a voice lies apart.

    Attributes:
        values: shape ``(Q,)``.
        clips: recordings, or windows, that it was estimated from.
        variety: how many emotions they are heard in, evenly: 1 for one emotion.
    """

    values: NDArray[np.float64]
    clips: int
    variety: float

    @property
    def doubts(self) -> list[str]:
        """What speaks against relying on it, in words; nothing if nothing does."""
        if self.clips < ENOUGH_CLIPS:
            return [FEW]
        return [ONE_SIDED] if self.variety < VARIED else []


def offsets_of_groups(
    space: VoiceSpace, coordinates: Coordinates, groups: Sequence[str], among: Sequence[int] | None = None
) -> dict[str, Offset]:
    """Return the offset of each of ``groups``, which are named for each of ``coordinates`` (recordings, Q).

    ``among``: as in ``VoiceSpace.offset``.
    """
    names = np.array(groups)
    return {name: space.offset(coordinates[names == name], among) for name in dict.fromkeys(groups)}


def named_groups(groups: Sequence[str] | None, count: int) -> Sequence[str]:
    """Return the group of each of ``count`` recordings; None: all are of ``ONE_GROUP``.

    Raises:
        ThymosError: more or fewer are named.
    """
    if groups is None:
        return [ONE_GROUP] * count
    if len(groups) != count:
        raise ThymosError(f"each recording needs a group, and {len(groups)} are named for {count}")
    return groups


def _variety(logits: NDArray[np.float64]) -> float:
    """Return the exponential of the entropy of the emotions that are heard most in each row of ``logits``."""
    counts = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


FORMAT = 2
_KEPT_AS = "voice"
"""In its digest: the file may be called otherwise, or copied."""
LARGEST = 1e6
"""No coordinate comes near, and sums of what is far larger would be no numbers."""


@dataclass(frozen=True)
class Voice:
    """What is known of a voice.

    Attributes:
        name: whose it is.
        model: name and version of the model that heard it.
        head: SHA-256 of the head that its coordinates are of.
        coordinates: of its recordings, or of the windows of long ones, shape ``(clips, Q)``.
        speech_s: seconds of speech in them.
    """

    name: str
    model: str
    head: str
    coordinates: Coordinates
    speech_s: float

    def offset(self, space: VoiceSpace, among: Sequence[int] | None = None) -> Offset:
        """Return how the voice lies apart; ``among`` as in ``VoiceSpace.offset``.

        Raises:
            BundleError: its coordinates are of another space.
        """
        if self.coordinates.shape[1] != len(space.origin):
            raise BundleError(f"the voice {self.name} is of another space than the model's: enrol it anew")
        return space.offset(self.coordinates, among)

    def with_more(self, other: "Voice") -> "Voice":
        """Return the voice as it is known by its own recordings and those of ``other``, of the same model.

        Raises:
            BundleError: another model heard them.
        """
        if other.head != self.head:
            raise BundleError(f"the voice {self.name} was enrolled with another head than that of {other.model}")
        both = np.concatenate([self.coordinates, other.coordinates])
        return Voice(self.name, self.model, self.head, both, self.speech_s + other.speech_s)

    def doubts(self, space: VoiceSpace) -> list[str]:
        """Return what speaks against relying on it, in words; nothing if nothing does."""
        return self.offset(space).doubts

    def save(self, path: Path) -> None:
        """Write it to ``path``, whole or not at all."""
        content = {"format": FORMAT, **asdict(self)}
        content["coordinates"] = [[round(float(value), 4) for value in row] for row in self.coordinates]
        content["speech_s"] = round(self.speech_s, 3)
        write_sealed(path, content, name=_KEPT_AS)


class _VoiceFile(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    format: int
    name: str = Field(min_length=1)
    model: str
    head: str
    coordinates: list[list[float]] = Field(min_length=1)
    speech_s: float = Field(ge=0)


def read_voice(path: Path) -> Voice:
    """Read a voice's file.

    Raises:
        BundleError: it cannot be read, or is none.
    """
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found == FORMAT and (content := opened_seal(content, (), _KEPT_AS)) is None:
        raise BundleError(f"{path} is no voice's file, or was changed since it was written: enrol the voice anew")
    try:
        told = _VoiceFile.model_validate(content)
        coordinates = np.array(told.coordinates, np.float64)
    except ValueError:  # pydantic's is one, and rows of unlike lengths raise one
        raise BundleError(f"{path} is no voice's file") from None
    if told.format != FORMAT or coordinates.ndim != 2:
        raise BundleError(f"{path} is no voice's file of format {FORMAT}: enrol the voice anew")
    # Both are printed: a file of somebody else's must not steer a terminal.
    if not (_can_name(told.name) and told.model.isprintable()) or np.abs(coordinates).max(initial=0) > LARGEST:
        raise BundleError(f"{path} is no voice's file")
    return Voice(told.name, told.model, told.head, coordinates, told.speech_s)


def voices_folder() -> Path:
    """Return where voices are kept that no folder is named for."""
    return default_cache_dir() / "voices"


def voice_path(name: str, folder: Path | None = None) -> Path:
    """Return where the voice ``name`` lies in ``folder``.

    Raises:
        BundleError: it is no name that a file can have.
    """
    if not _can_name(name):
        raise BundleError(f"{name!r} cannot name a voice: letters, digits, spaces, - and _ can")
    return (folder or voices_folder()) / f"{name}.json"


def _can_name(name: str) -> bool:
    if not name.strip() or not name.isprintable() or name.startswith(".") or name.endswith(".json"):
        return False
    return not {*name} & {*'/\\:*?"<>|'}


def find_voice(name_or_path: str, folder: Path | None = None) -> Voice:
    """Return the voice of a file, or the one that is kept by that name.

    Raises:
        BundleError: there is none.
    """
    given = Path(name_or_path)
    if given.suffix == ".json":
        return read_voice(given)
    path = voice_path(name_or_path, folder)
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.json"))
        others = f"known are {', '.join(known)}" if known else "none is known yet"
        raise BundleError(f"no voice is called {name_or_path}; {others}: `thymos enrol NAME FILES…` makes one")
    return read_voice(path)
