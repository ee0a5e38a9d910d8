"""Measuring the sound of every clip once: what the audit reports and what exclusion rules look at."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from thymos.audio.decode import AudioInfo, Samples, Waveform
from thymos.audio.excerpt import read_excerpt
from thymos.audio.faults import decoder_faults
from thymos.corpora.near_copies import fingerprint_of, to_text
from thymos.corpora.table import Clip, ClipEntry, Exclusion, KeptWaveforms, Measurements
from thymos.errors import AudioError
from thymos.sealed import read_sealed, write_sealed

SILENCE_FRAME_S = 0.025
SILENCE_BELOW_LOUD_DB = 20.0
FULL_SCALE = 32767 / 32768
SHORTEST_CLIPPED_RUN = 3
_MEASURE_VERSION = 2


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
    measured: dict[str, dict[str, object]] = {}

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
        measured[stamp] = asdict(sound)
        return Clip(**vars(entry), sound=sound)

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(measure, entries))
    if cache_file is not None and measured.keys() != known.keys():
        # A cache that cannot be written, on a read-only home folder say, costs time alone.
        with suppress(OSError):
            write_sealed(cache_file, {"version": _MEASURE_VERSION, "sounds": dict(sorted(measured.items()))})
    clips = [result for result in results if isinstance(result, Clip)]
    return clips, [result for result in results if isinstance(result, Exclusion)]


def measure_sound(
    path: Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    keep: Callable[[Waveform], None] = lambda waveform: None,
) -> Measurements:
    """Decode the file at ``path``, or an excerpt of it, and measure it; ``keep`` is given the waveform.

    Raises:
        AudioError: it cannot be decoded, or does not have that excerpt.
    """
    waveform, info = read_excerpt(path, start_s, end_s)
    keep(waveform)
    return _measure(waveform, info)


def _measure(waveform: Waveform, info: AudioInfo) -> Measurements:
    samples = waveform.samples
    digest = hashlib.sha256(f"{waveform.rate_hz}:".encode())
    digest.update(np.ascontiguousarray(samples).data)
    return Measurements(
        rate_hz=waveform.rate_hz,
        channels=info.channels,
        frames=len(samples),
        format=info.format,
        peak=round(float(np.abs(samples).max()), 6),
        clipped_samples=_count_clipped(samples),
        silence_s=round(silence_s(waveform), 4),
        sha256=digest.hexdigest(),
        fingerprint=to_text(fingerprint_of(waveform)),
    )


def silence_s(waveform: Waveform) -> float:
    """Return how many seconds of ``waveform`` are at least 20 dB below its own loud frames.

    Measured on frames of 25 ms; "loud" is the 95th percentile of their levels, which one click cannot raise.
    """
    length = max(1, round(SILENCE_FRAME_S * waveform.rate_hz))
    count = len(waveform.samples) // length
    if count == 0:
        return 0.0
    frames = waveform.samples[: count * length].reshape(count, length)
    power = np.einsum("ij,ij->i", frames, frames) / length
    loud = np.percentile(power, 95)
    if loud == 0:
        return waveform.duration_s
    return float((power < loud * 10 ** (-SILENCE_BELOW_LOUD_DB / 10)).sum()) * length / waveform.rate_hz


def _count_clipped(samples: Samples) -> int:
    """Count samples in runs of at least three at full scale of one sign: single peaks may be rightly there."""
    full = np.flatnonzero(np.abs(samples) >= FULL_SCALE)
    if len(full) == 0:
        return 0
    same_run = (np.diff(full) == 1) & (np.sign(samples[full[1:]]) == np.sign(samples[full[:-1]]))
    runs = np.split(full, np.flatnonzero(~same_run) + 1)
    return sum(len(run) for run in runs if len(run) >= SHORTEST_CLIPPED_RUN)


def _stamp(path: Path, entry: ClipEntry) -> str:
    excerpt = "" if (entry.start_s, entry.end_s) == (0.0, None) else f"|{entry.start_s!r}-{entry.end_s!r}"
    try:
        status = path.stat()
    except (OSError, ValueError):
        return f"{path}{excerpt}"
    return f"{path}|{status.st_size}|{status.st_mtime_ns}{excerpt}"


def _read_cache(cache_file: Path | None) -> dict[str, Measurements]:
    """Return earlier measurements by stamp; a cache that is missing or damaged is an empty one."""
    content = None if cache_file is None else read_sealed(cache_file)
    if content is None or content.get("version") != _MEASURE_VERSION:
        return {}
    return {stamp: Measurements(**sound) for stamp, sound in content["sounds"].items()}
