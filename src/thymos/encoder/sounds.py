"""The sound of many corpora, decoded once and kept as 16-bit samples in one file that is mapped, not read."""

import csv
import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, read_waveform, resample
from thymos.encoder.log_mel import RATE_HZ
from thymos.errors import AudioError, CorpusError
from thymos.files import whole_file, write_json
from thymos.labels import EMOTIONS

TABLE = "clips.csv"
NEVER = "aesdd"
"""The home corpus: every figure on it would be worthless if the encoder had heard it."""
_FULL_SCALE = 32767
_SAMPLES, _INDEX = "sounds.npy", "sounds.json"


@dataclass(frozen=True)
class Clip:
    """A recording of one corpus.

    Attributes:
        file: beside the table.
        corpus: its name.
        emotion: a word of the vocabulary.
        speaker: whose voice it is.
        digest: first 63 bits of the SHA-256 of its decoded sound.
        samples: how many, at 16 kHz.
    """

    file: str
    corpus: str
    emotion: str
    speaker: str
    digest: int
    samples: int


class Sounds:
    """Clips and their sound.

    Attributes:
        clips: in the table's order.
    """

    def __init__(self, clips: list[Clip], starts: list[int], samples: NDArray[np.int16]):
        self.clips = clips
        self._starts, self._samples = starts, samples

    def sound(self, clip: int) -> Samples:
        """Return the sound of a clip: float32, shape ``(samples,)``, full scale at ±1."""
        start = self._starts[clip]
        return self._samples[start : start + self.clips[clip].samples].astype(np.float32) / np.float32(_FULL_SCALE)

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
        return Sounds([self.clips[i] for i in kept], [self._starts[i] for i in kept], self._samples)


def read_sounds(folder: Path, cache: Path, on_clip: Callable[[], None] = lambda: None) -> Sounds:
    """Return the sound of all that ``clips.csv`` in ``folder`` names, decoded anew only if that table has changed.

    Raises:
        CorpusError: there is no such table, it names the home corpus, or a recording cannot be decoded.
    """
    table = folder / TABLE
    try:
        content = table.read_bytes()
    except OSError as error:
        raise CorpusError(f"{table} cannot be read: {error.strerror}") from None
    of_table = hashlib.sha256(content).hexdigest()
    index = cache / _INDEX
    if not index.is_file() or json.loads(index.read_text(encoding="utf-8"))["table"] != of_table:
        _decode(folder, content.decode("utf-8"), of_table, cache, on_clip)
    clips = [Clip(**row) for row in json.loads(index.read_text(encoding="utf-8"))["clips"]]
    starts = np.cumsum([0, *(clip.samples for clip in clips)]).tolist()
    return Sounds(clips, starts, np.load(cache / _SAMPLES, mmap_mode="r"))


def _decode(folder: Path, table: str, of_table: str, cache: Path, on_clip: Callable[[], None]) -> None:
    """Decode what the table names to ``cache``; its index comes last, so a folder that has it is whole."""
    (cache / _INDEX).unlink(missing_ok=True)
    clips, sounds = [], []
    for row in csv.DictReader(table.splitlines()):
        if NEVER in (row["corpus"], Path(row["file"]).parts[0]):
            raise CorpusError(f"{row['file']} is of the home corpus, which the encoder must never hear")
        if row["emotion"] not in EMOTIONS:
            raise CorpusError(f"{row['file']} is of no emotion of the vocabulary: {row['emotion']}")
        try:
            waveform = read_waveform(folder / row["file"])
        except AudioError as error:
            raise CorpusError(f"{folder / row['file']} {error}") from None
        samples = np.clip(resample(waveform, RATE_HZ).samples * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE)
        sounds.append(np.rint(samples).astype(np.int16))
        words = {name: row[name] for name in ("file", "corpus", "emotion", "speaker")}
        clips.append(Clip(**words, digest=_digest(waveform), samples=len(samples)))
        on_clip()
    with whole_file(cache / _SAMPLES) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(sounds))
    write_json(cache / _INDEX, {"table": of_table, "clips": [asdict(clip) for clip in clips]})


def _digest(waveform: Waveform) -> int:
    """Return what ``clip_digest`` returns of a clip of a corpus: 63 bits of the digest of rate and samples."""
    digest = hashlib.sha256(f"{waveform.rate_hz}:".encode())
    digest.update(np.ascontiguousarray(waveform.samples).data)
    return int(digest.hexdigest()[:16], 16) >> 1
