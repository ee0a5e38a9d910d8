"""The sound of many corpora, decoded once and kept as 16-bit samples in one file that is mapped, not read."""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, resample
from thymos.cache import read_sealed, write_sealed
from thymos.corpora.table import Clip, Corpus
from thymos.encoder.log_mel import RATE_HZ
from thymos.errors import AudioError, CorpusError
from thymos.files import whole_file

NEVER = "aesdd"
"""The home corpus: every figure on it would be worthless if the encoder had heard it."""
_FULL_SCALE = 32767


@dataclass(frozen=True)
class HeardClip:
    """A recording of one corpus.

    Attributes:
        file: in its corpus.
        corpus: its name.
        emotion: a word of the vocabulary.
        speaker: whose voice it is.
        digest: see ``digest_of``.
        samples: how many, at 16 kHz.
        fingerprint: see ``corpora.near_copies``; empty where there is nothing to tell of.
    """

    file: str
    corpus: str
    emotion: str
    speaker: str
    digest: int
    samples: int
    fingerprint: str = ""


class Sounds:
    """Clips and their sound.

    Attributes:
        clips: in the order of their corpora.
    """

    def __init__(self, clips: list[HeardClip], starts: list[int], samples: NDArray[np.int16]):
        self.clips = clips
        self._starts, self._samples = starts, samples

    def sound(self, clip: int) -> Samples:
        """Return the sound of a clip: float32, shape ``(samples,)``, full scale at ±1."""
        start = self._starts[clip]
        samples: Samples = self._samples[start : start + self.clips[clip].samples].astype(np.float32)
        return samples / np.float32(_FULL_SCALE)

    def without(self, corpora: Collection[str]) -> "Sounds":
        """Return what is left when ``corpora`` are left out, exact copies once.

        Raises:
            CorpusError: there is no such corpus, or nothing is left.
        """
        unknown = set(corpora) - {clip.corpus for clip in self.clips}
        if unknown:
            raise CorpusError(f"no corpus is called {', '.join(sorted(unknown))}")
        first = {clip.digest: i for i, clip in reversed(list(enumerate(self.clips)))}
        kept = [i for i in sorted(first.values()) if self.clips[i].corpus not in corpora]
        if not kept:
            raise CorpusError("every corpus is left out")
        return self._some(kept)

    def only(self, digests: Collection[int]) -> "Sounds":
        """Return the clips of these digests, exact copies once."""
        first = {clip.digest: i for i, clip in reversed(list(enumerate(self.clips)))}
        return self._some(sorted(first[digest] for digest in digests))

    def _some(self, kept: Sequence[int]) -> "Sounds":
        return Sounds([self.clips[i] for i in kept], [self._starts[i] for i in kept], self._samples)


def digest_of(clip: Clip) -> int:
    """Return the first 63 bits of the digest of a clip's decoded sound."""
    return int(clip.sound.sha256[:16], 16) >> 1


def read_sounds(
    corpora: Sequence[Corpus],
    cache_dir: Path,
    advance: Callable[[], None] = lambda: None,
    never: str | None = NEVER,
) -> Sounds:
    """Return the sound of all clips of ``corpora``, decoded unless the cache has the sound of these very clips.

    Args:
        corpora: a clip is of the corpus that its table names, else of that called as its folder is.
        cache_dir: 32 kB a second go below it.
        advance: called after each clip that is decoded.
        never: the corpus that must not be among them; None: any may.

    Raises:
        CorpusError: among them is what must not be, or a recording can no longer be decoded.
    """
    clips = [(corpus, clip) for corpus in corpora for clip in corpus.clips]
    for corpus, clip in clips:
        names = (corpus.kind, clip.corpus.lower(), clip.path.split("/")[0].lower(), corpus.root.name.lower())
        if never is not None and never in names:
            raise CorpusError(f"{clip.path} is of AESDD, the home corpus, which the encoder must never hear")
    named = [(corpus.root.name, asdict(clip)) for corpus, clip in clips]
    key = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]
    file, index = cache_dir / "pretraining" / f"{key}.npy", cache_dir / "pretraining" / f"{key}.json"
    kept = read_sealed(index, [file])
    if kept is None:
        _decode(clips, file, index, advance)
        kept = read_sealed(index, [file])
        assert kept is not None, "it was written just now"
    heard = [HeardClip(**row) for row in kept["clips"]]
    starts = np.cumsum([0, *(clip.samples for clip in heard)]).tolist()
    return Sounds(heard, starts, np.load(file, mmap_mode="r"))


def _decode(clips: Sequence[tuple[Corpus, Clip]], file: Path, index: Path, advance: Callable[[], None]) -> None:
    heard, sounds = [], []
    for corpus, clip in clips:
        try:
            waveform = corpus.waveform(clip)
        except AudioError as error:
            raise CorpusError(str(error)) from None
        samples = np.clip(resample(waveform, RATE_HZ).samples * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE)
        sounds.append(np.rint(samples).astype(np.int16))
        name = clip.corpus or corpus.root.name
        digest = digest_of(clip)
        own = (clip.path, name, clip.emotion, clip.speaker, digest, len(samples), clip.sound.fingerprint)
        heard.append(HeardClip(*own))
        advance()
    with whole_file(file) as temporary, temporary.open("wb") as content:
        np.save(content, np.concatenate(sounds))
    write_sealed(index, {"clips": [asdict(clip) for clip in heard]}, [file])  # last
