"""Measuring the sound of every clip once: what the audit reports and what exclusion rules look at."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio.containers import Remark
from thymos.audio.decode import Waveform, decoder_faults, joined_blocks
from thymos.audio.excerpt import open_excerpt
from thymos.audio.mixing import ClippedCounter
from thymos.audio.source import AudioInfo, Samples
from thymos.cache import read_sealed, write_sealed
from thymos.corpora.near_copies import LONGEST_S, fingerprint_of, from_text, to_text
from thymos.corpora.table import Clip, ClipEntry, Exclusion, KeptWaveforms, Measurements
from thymos.errors import AudioError
from thymos.files import whole_file

SILENCE_FRAME_S = 0.025
SILENCE_BELOW_LOUD_DB = 20.0
KEPT_S = max(600.0, LONGEST_S)
"""Longer recordings are decoded anew where their waveform is wanted; near-copies are known by less."""
_MEASURE_VERSION = 4


def measure_entries(
    root: Path,
    entries: Iterable[ClipEntry],
    cache_file: Path | None = None,
    advance: Callable[[], None] = lambda: None,
    threads: int = 2,
    kept: KeptWaveforms | None = None,
) -> tuple[list[Clip], list[Exclusion]]:
    """Decode every entry and return the clips that could be, and those that could not with the reason.

    Args:
        root: the folder that entries are relative to.
        entries: what to measure.
        cache_file: measurements of an earlier call, used where a file's size and time are what they were.
        advance: called after each file, for a progress bar.
        threads: decoders at work at once; libsndfile lets go of Python's lock.
        kept: takes the waveforms that had to be decoded; None: they are let go.
    """
    known = _read_cache(cache_file)
    measured: dict[str, Measurements] = {}

    def measure(entry: ClipEntry) -> Clip | Exclusion:
        try:
            stamp = _stamp(root / entry.lies_in, entry)
            with decoder_faults():
                sound = known.get(stamp) or measure_sound(
                    root / entry.lies_in,
                    entry.start_s,
                    entry.end_s,
                    lambda waveform: kept.keep(root / entry.path, waveform) if kept is not None else None,
                )
        except AudioError as error:
            return Exclusion(entry.path, error.reason)
        finally:
            advance()
        measured[stamp] = sound
        return Clip(**vars(entry), sound=sound)

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(measure, entries))
    if cache_file is not None and measured.keys() != known.keys():
        # A cache that cannot be written, on a read-only home folder say, costs time alone.
        with suppress(OSError):
            _write_cache(cache_file, measured)
    clips = [result for result in results if isinstance(result, Clip)]
    return clips, [result for result in results if isinstance(result, Exclusion)]


def measure_sound(
    path: Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    keep: Callable[[Waveform], None] = lambda waveform: None,
) -> Measurements:
    """Decode the file at ``path``, or an excerpt of it, and measure it, in memory that hours of sound do not raise.

    ``keep`` is given the waveform, if it is no longer than ``KEPT_S``.

    Raises:
        AudioError: it cannot be decoded, or does not have that excerpt.
    """
    with open_excerpt(path, start_s, end_s) as sound:
        rate_hz = sound.info.rate_hz
        measuring, kept = _Measuring(rate_hz), list[Samples]()
        for block in sound.blocks:
            if measuring.frames < KEPT_S * rate_hz:
                kept.append(block)
            measuring.add(block)
    beginning = Waveform(joined_blocks(kept), rate_hz)
    if len(beginning.samples) == measuring.frames:
        keep(beginning)
    return measuring.result(sound.info, sound.remarks, to_text(fingerprint_of(beginning)))


class _Measuring:
    """What is measured in a sound, block by block."""

    def __init__(self, rate_hz: int):
        self.frames = 0
        self._rate_hz, self._peak, self._clips = rate_hz, 0.0, ClippedCounter()
        self._digest = hashlib.sha256(f"{rate_hz}:".encode())
        self._length = max(1, round(SILENCE_FRAME_S * rate_hz))
        self._left = np.empty(0, np.float32)
        self._power: list[NDArray[np.float32]] = []

    def add(self, block: Samples) -> None:
        self.frames += len(block)
        self._digest.update(np.ascontiguousarray(block).data)
        self._peak = max(self._peak, float(np.abs(block).max(initial=0)))
        self._clips.add(block[:, None])
        samples = np.concatenate([self._left, block])
        whole = len(samples) - len(samples) % self._length
        frames, self._left = samples[:whole].reshape(-1, self._length), samples[whole:]
        self._power.append(np.einsum("ij,ij->i", frames, frames) / np.float32(self._length))

    def result(self, info: AudioInfo, remarks: set[Remark], fingerprint: str) -> Measurements:
        return Measurements(
            rate_hz=self._rate_hz,
            channels=info.channels,
            frames=self.frames,
            format=info.format,
            peak=round(self._peak, 6),
            clipped_samples=self._clips.count,
            silence_s=round(self._silence_s(), 4),
            sha256=self._digest.hexdigest(),
            fingerprint=fingerprint,
            remarks=tuple(sorted(remarks)),
        )

    def _silence_s(self) -> float:
        power = np.concatenate(self._power)
        if not len(power):
            return 0.0
        loud = np.percentile(power, 95)
        if loud == 0:
            return self.frames / self._rate_hz
        silent = (power < loud * 10 ** (-SILENCE_BELOW_LOUD_DB / 10)).sum()
        return float(silent) * self._length / self._rate_hz


def silence_s(waveform: Waveform) -> float:
    """Return how many seconds of ``waveform`` are at least 20 dB below its own loud frames.

    Measured on frames of 25 ms; "loud" is the 95th percentile of their levels, which one click cannot raise.
    """
    measuring = _Measuring(waveform.rate_hz)
    measuring.add(waveform.samples)
    return measuring._silence_s()


def _stamp(path: Path, entry: ClipEntry) -> str:
    excerpt = "" if (entry.start_s, entry.end_s) == (0.0, None) else f"|{entry.start_s!r}-{entry.end_s!r}"
    try:
        status = path.stat()
    except (OSError, ValueError):
        return f"{path}{excerpt}"
    return f"{path}|{status.st_size}|{status.st_mtime_ns}{excerpt}"


def _write_cache(cache_file: Path, measured: Mapping[str, Measurements]) -> None:
    """Write measurements by stamp; fingerprints, which are long, lie in a file of their own beside them."""
    sounds = dict(sorted(measured.items()))
    words = [from_text(sound.fingerprint) for sound in sounds.values()]
    content = np.concatenate([np.zeros(0, np.uint32), *words]).astype("<u4").tobytes()
    digest = hashlib.sha256(content).hexdigest()
    file = _fingerprints_file(cache_file, digest)
    with whole_file(file) as temporary:
        temporary.write_bytes(content)
    told = {stamp: asdict(replace(sound, fingerprint="")) for stamp, sound in sounds.items()}
    lengths = [len(each) for each in words]
    write_sealed(
        cache_file, {"version": _MEASURE_VERSION, "sounds": told, "fingerprints": {"sha256": digest, "words": lengths}}
    )
    for earlier in {*cache_file.parent.glob(f"{cache_file.stem}.*.words")} - {file}:
        earlier.unlink(missing_ok=True)


def _read_cache(cache_file: Path | None) -> dict[str, Measurements]:
    """Return earlier measurements by stamp; a cache that is missing or damaged is an empty one."""
    content = None if cache_file is None else read_sealed(cache_file)
    if cache_file is None or content is None or content.get("version") != _MEASURE_VERSION:
        return {}
    told = content["fingerprints"]
    try:
        kept = _fingerprints_file(cache_file, told["sha256"]).read_bytes()
    except OSError:
        return {}
    if hashlib.sha256(kept).hexdigest() != told["sha256"]:
        return {}
    words = np.split(np.frombuffer(kept, "<u4"), np.cumsum(told["words"])[:-1])
    if len(words) != len(content["sounds"]):  # the two files are of different calls: one was cut short between them
        return {}
    return {
        stamp: Measurements(**{**sound, "remarks": tuple(sound["remarks"]), "fingerprint": to_text(own)})
        for (stamp, sound), own in zip(content["sounds"].items(), words, strict=True)
    }


def _fingerprints_file(cache_file: Path, digest: str) -> Path:
    """Two that write at once write two files, and neither gets the other's."""
    return cache_file.with_name(f"{cache_file.stem}.{digest[:16]}.words")
