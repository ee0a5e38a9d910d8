import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import Samples, Waveform
from thymos.cache import write_sealed
from thymos.corpora.measure import measure_entries, measure_sound, silence_s
from thymos.corpora.table import ClipEntry

RATE_HZ = 16_000

WriteSound = Callable[..., Path]
MakeTone = Callable[..., Samples]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def test_silence_is_what_lies_20_db_below_the_loud(make_tone: MakeTone) -> None:
    loud, faint = make_tone(1.0), make_tone(0.5)
    assert silence_s(Waveform(np.concatenate([loud, faint * np.float32(0.09)]), RATE_HZ)) == pytest.approx(0.5)
    assert silence_s(Waveform(np.concatenate([loud, faint * np.float32(0.11)]), RATE_HZ)) == 0
    assert silence_s(Waveform(np.concatenate([silence(2), loud, silence(1)]), RATE_HZ)) == pytest.approx(3)


def test_silence_does_not_depend_on_level_or_on_one_click(make_tone: MakeTone) -> None:
    sound = np.concatenate([make_tone(2.0, level=0.002), silence(1)])
    assert silence_s(Waveform(sound, RATE_HZ)) == pytest.approx(1)
    sound[100] = 1.0
    assert silence_s(Waveform(sound, RATE_HZ)) == pytest.approx(1)


def test_digital_silence_is_silent_throughout_and_a_blink_is_not() -> None:
    assert silence_s(Waveform(silence(2), RATE_HZ)) == 2
    assert silence_s(Waveform(silence(0.01), RATE_HZ)) == 0


def test_the_table_of_a_sound(tmp_path: Path, write_sound: WriteSound, make_tone: MakeTone) -> None:
    stereo = np.stack([make_tone(1.5), make_tone(1.5)], axis=1)
    sound = measure_sound(write_sound(tmp_path / "a.wav", stereo, RATE_HZ, "PCM_24"))
    assert (sound.rate_hz, sound.channels, sound.frames, sound.format) == (RATE_HZ, 2, 24_000, "WAV PCM_24")
    assert sound.duration_s == 1.5
    assert sound.peak == pytest.approx(0.5, abs=1e-3)
    assert sound.clipped_samples == 0


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([0, 1, 1, 0], 0),
        ([0, 1, 1, 1, 0], 3),
        ([1, 1, 1, 1], 4),
        ([-1, -1, -1, 0, 1, 1, 1, 1], 7),
        ([1, 1, -1, -1, 1, 1], 0),
        ([0.99, 0.99, 0.99], 0),
    ],
)
def test_clipping_is_three_samples_or_more_at_full_scale_of_one_sign(
    tmp_path: Path, samples: list[float], clipped: int
) -> None:
    soundfile.write(tmp_path / "a.wav", np.array(samples, float), RATE_HZ, "PCM_16")
    assert measure_sound(tmp_path / "a.wav").clipped_samples == clipped


def test_the_digest_is_of_the_sound_and_not_of_its_container(
    tmp_path: Path, write_sound: WriteSound, make_tone: MakeTone
) -> None:
    soundfile.write(tmp_path / "a.wav", make_tone(), RATE_HZ, "PCM_16")
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    digests = {
        measure_sound(path).sha256
        for path in (
            tmp_path / "a.wav",
            write_sound(tmp_path / "b.flac", samples, RATE_HZ, "PCM_16"),
            write_sound(tmp_path / "c.wav", samples, RATE_HZ, "FLOAT"),
        )
    }
    assert len(digests) == 1
    assert measure_sound(write_sound(tmp_path / "rate.wav", samples, 8000, "PCM_16")).sha256 not in digests
    samples[7] += 1 / 32_768
    assert measure_sound(write_sound(tmp_path / "bit.wav", samples, RATE_HZ, "PCM_16")).sha256 not in digests


# --- the cache ---


@pytest.fixture
def entries(tmp_path: Path, write_sound: WriteSound) -> list[ClipEntry]:
    write_sound(tmp_path / "a.wav")
    (tmp_path / "bad.wav").write_text("no sound")
    return [ClipEntry("a.wav", "anger", "1", "01", "b"), ClipEntry("bad.wav", "fear"), ClipEntry("no\0.wav", "fear")]


def test_good_clips_and_bad_ones_are_told_apart_and_counted(tmp_path: Path, entries: list[ClipEntry]) -> None:
    calls: list[None] = []
    (clip,), failed = measure_entries(tmp_path, entries, advance=lambda: calls.append(None))
    assert (clip.path, clip.emotion, clip.speaker, clip.sentence, clip.take) == ("a.wav", "anger", "1", "01", "b")
    assert [(left_out.clip, left_out.reason) for left_out in failed] == [
        ("bad.wav", "is not sound in a known format (8 bytes)"),
        ("no\0.wav", "has a name that no file can have: embedded null byte"),
    ]
    assert len(calls) == 3


def test_a_file_that_has_not_changed_is_not_decoded_again(tmp_path: Path, entries: list[ClipEntry]) -> None:
    cache = tmp_path / "cache" / "sounds.json"
    first = measure_entries(tmp_path, entries, cache)
    path = tmp_path / "a.wav"
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)  # no sound any more, but the same size and time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert measure_entries(tmp_path, entries, cache) == first
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    clips, failed = measure_entries(tmp_path, entries, cache)
    assert clips == []
    assert failed[0].clip == "a.wav"


@pytest.mark.filterwarnings("ignore:.*made again:thymos.cache.KeptFileWarning")
@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"version": 1, "sounds": []}', '{"version": 1, "sounds": {"x": {"peak": 1}}}']
)
def test_a_damaged_cache_is_measured_anew(tmp_path: Path, entries: list[ClipEntry], content: str) -> None:
    cache = tmp_path / "sounds.json"
    cache.write_text(content)
    assert measure_entries(tmp_path, entries, cache) == measure_entries(tmp_path, entries)
    assert len(json.loads(cache.read_text())["sounds"]) == 1


def test_a_cache_of_another_version_is_not_used(tmp_path: Path, entries: list[ClipEntry]) -> None:
    cache = tmp_path / "sounds.json"
    fresh = measure_entries(tmp_path, entries, cache)
    content = json.loads(cache.read_text())
    for sound in content["sounds"].values():
        sound["peak"] = 9.0
    del content["sealed"]
    write_sealed(cache, content)
    assert measure_entries(tmp_path, entries, cache) != fresh  # so it is used where the version is the same
    write_sealed(cache, content | {"version": -1})
    assert measure_entries(tmp_path, entries, cache) == fresh
