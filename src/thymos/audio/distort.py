"""What the world does to speech before a recogniser hears it: noise, other voices, telephones, codecs, rooms, speed.

Pure functions of mono float32 samples, shape ``(samples,)``, and a seed: the same sound comes out the same. The result
keeps the rate, the place of every sound and the length, except that another speed changes the length; a room's tail
past the end is cut off. Nothing is clipped, so full scale may be exceeded. Ratios in dB compare mean power over the
whole recording, silence included; digital silence stays silent, as no ratio to it exists.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import soundfile

from thymos.audio.conditioning import exactly, played, resample
from thymos.audio.decode import Waveform
from thymos.audio.source import Samples
from thymos.errors import AudioError, MissingExtraError

MP3_RATE_HZ = 16_000
"""Above 24 kHz MP3 has no bit rate below 32 kbit/s; and at 16 kbit/s LAME keeps 5.5 kHz, from 16 kHz as from 24 kHz."""
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""All rates that Opus takes."""

# libsndfile maps its compression level, 0 to 1, linearly onto the codec's bit rates, from the highest to the lowest.
_MP3_BITRATES = (160_000, 8_000)
_OPUS_BITRATES = (256_000, 6_000)
_LOWEST_MP3_BITRATE = 16_000
"""One step above the codec's own lowest, at which libsndfile 1.2.2 reports an error without a reason."""
_MP3_DELAY = 576 + 529
"""LAME's delay and the decoder's, in samples (LAME technical FAQ). At low rates there is no frame that could tell the
decoder of it, so the decoder does not take it away; at higher ones it does."""


def through_mp3(samples: Samples, rate_hz: int, bitrate: int = 16_000) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) after MP3 at ``bitrate`` bit/s (16,000 to 160,000), at 16 kHz.

    The codec's delay is cut off, the length stays. At the default rate the encoded files of 16 recordings of AESDD had
    16.2 to 16.8 kbit/s, headers and the last frame's padding included.

    Raises:
        AudioError: this libsndfile has no MP3.
        ValueError: the bit rate is out of bounds.
    """
    encoded = encode_mp3(samples, rate_hz, bitrate)
    decoded = _decode(encoded)
    n_encoded = _length_at(samples, rate_hz, MP3_RATE_HZ)
    if len(decoded) > n_encoded:
        decoded = decoded[_MP3_DELAY:]
    return _back(decoded, MP3_RATE_HZ, rate_hz, len(samples))


def through_opus(samples: Samples, rate_hz: int, bitrate: int = 16_000) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) after Opus in Ogg with ``bitrate`` bit/s (6,000 to 256,000) as target.

    The encoder sees the lowest of Opus's rates that is not below ``rate_hz``, at most 48 kHz, and chooses itself what
    band it keeps. The codec compensates its delay to two samples; the length stays. The rate is variable, as libsndfile
    cannot ask for a constant one: at the default target the encoded files of 16 recordings of AESDD had 14.9 to 20.7
    kbit/s, 18.5 on average, of which about 1 is Ogg.

    Raises:
        AudioError: this libsndfile has no Opus.
        ValueError: the bit rate is out of bounds.
    """
    decoded = _decode(encode_opus(samples, rate_hz, bitrate))
    return _back(decoded, _opus_rate_hz(rate_hz), rate_hz, len(samples))


def encode_mp3(samples: Samples, rate_hz: int, bitrate: int = 16_000) -> bytes:
    """Return the MP3 file that ``through_mp3`` decodes again.

    Raises:
        AudioError: this libsndfile has no MP3.
        ValueError: the bit rate is out of bounds.
    """
    at_rate = _resampled(samples, rate_hz, MP3_RATE_HZ)
    level = _level(bitrate, _MP3_BITRATES, _LOWEST_MP3_BITRATE)
    return _encode(at_rate, MP3_RATE_HZ, "MP3", "MPEG_LAYER_III", level, bitrate_mode="CONSTANT")


def encode_opus(samples: Samples, rate_hz: int, bitrate: int = 16_000) -> bytes:
    """Return the Ogg Opus file that ``through_opus`` decodes again.

    Raises:
        AudioError: this libsndfile has no Opus.
        ValueError: the bit rate is out of bounds.
    """
    opus_hz = _opus_rate_hz(rate_hz)
    level = _level(bitrate, _OPUS_BITRATES, _OPUS_BITRATES[-1])
    return _encode(_resampled(samples, rate_hz, opus_hz), opus_hz, "OGG", "OPUS", level)


def _encode(
    samples: Samples, rate_hz: int, container: str, subtype: str, level: float, bitrate_mode: str | None = None
) -> bytes:
    if subtype not in soundfile.available_subtypes():
        raise AudioError(f"cannot go through {subtype}, which this libsndfile does not write; soundfile's wheels do")
    encoded = io.BytesIO()
    soundfile.write(
        encoded, samples, rate_hz, subtype, format=container, compression_level=level, bitrate_mode=bitrate_mode
    )
    return encoded.getvalue()


def _decode(encoded: bytes) -> Samples:
    decoded: Samples = soundfile.read(io.BytesIO(encoded), dtype="float32")[0]
    return decoded


def _level(bitrate: int, ends: tuple[int, int], lowest: int) -> float:
    if not lowest <= bitrate <= ends[0]:
        raise ValueError(f"the bit rate must be {lowest} to {ends[0]} bit/s, not {bitrate}")
    return (ends[0] - bitrate) / (ends[0] - ends[1])


def _opus_rate_hz(rate_hz: int) -> int:
    return next((rate for rate in OPUS_RATES_HZ if rate >= rate_hz), OPUS_RATES_HZ[-1])


def _resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    return exactly(resample(Waveform(samples, from_hz), to_hz).samples, _length_at(samples, from_hz, to_hz))


def _back(decoded: Samples, from_hz: int, to_hz: int, n_samples: int) -> Samples:
    return exactly(_resampled(decoded, from_hz, to_hz), n_samples)


def _length_at(samples: Samples, from_hz: int, to_hz: int) -> int:
    return max(1, round(len(samples) * to_hz / from_hz))


Condition = Callable[[Samples, int, int, Sequence[Samples]], Samples]
"""``(samples, rate_hz, seed, others) -> samples``; ``others`` are recordings of other voices at the same rate."""

SNRS_DB = (20, 10, 5)
BABBLE_VOICES = 6
"""Enough that none of them stands out."""
TELEPHONE_BAND_HZ = (300, 3400)
"""Of narrow-band telephony (ITU-T G.712)."""
RT60_S = 0.6
"""Reverberation time of the condition: a large office, or a classroom."""
DIRECT_TO_REVERBERANT_DB = 0.0
"""Of the condition: a speaker at the critical distance, where the room is as loud as the direct sound."""


def white_noise(samples: Samples, snr_db: float, seed: int) -> Samples:
    """Return ``samples`` with Gaussian white noise ``snr_db`` below their mean power."""
    noise = np.random.default_rng(seed).standard_normal(len(samples), np.float32)
    return _mixed(samples, noise, snr_db)


def babble(
    samples: Samples, others: Sequence[Samples], snr_db: float, seed: int, voices: int = BABBLE_VOICES
) -> Samples:
    """Return ``samples`` with other voices talking at once, together ``snr_db`` below their mean power.

    Args:
        samples: the recording.
        others: recordings of other voices at the same rate. ``voices`` of them are drawn without replacement, or all
            where there are fewer; each is looped from a random place on and brought to the same mean power.
        snr_db: mean power of ``samples`` above that of the sum of voices.
        seed: of the draws.
        voices: how many talk.

    Raises:
        AudioError: none of ``others`` holds sound.
    """
    audible = [other for other in others if _power(other) > 0]
    if not audible:
        raise AudioError("cannot be covered with babble: no other recording holds sound")
    random = np.random.default_rng(seed)
    mixture = np.zeros(len(samples), np.float32)
    for drawn in random.choice(len(audible), min(voices, len(audible)), replace=False):
        voice = audible[drawn]
        start = random.integers(len(voice))
        looped = np.resize(np.roll(voice, -start), len(samples))
        # The whole recording sets the level: a cut that falls on a pause must not turn its hiss up to a voice.
        mixture += looped / np.float32(np.sqrt(_power(voice)))
    return _mixed(samples, mixture, snr_db)


def telephone(samples: Samples, rate_hz: int) -> Samples:
    """Return ``samples`` through a Butterworth band-pass, 300 to 3400 Hz, of fourth order at each edge.

    As a line is, it is causal: it delays by less than 3 ms, most at the lower edge. Where the rate cannot hold 3400 Hz,
    only what is below 300 Hz is cut.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.signal import butter, sosfilt
    except ImportError:
        raise MissingExtraError("the telephone band needs scipy: pip install 'thymos[train]'") from None
    low_hz, high_hz = TELEPHONE_BAND_HZ
    if high_hz < rate_hz / 2:
        sections = butter(4, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    else:
        sections = butter(4, low_hz, "highpass", fs=rate_hz, output="sos")
    return np.asarray(sosfilt(sections, samples.astype(np.float64)), np.float32)


def reverberate(
    samples: Samples,
    rate_hz: int,
    seed: int,
    rt60_s: float = RT60_S,
    direct_to_reverberant_db: float = DIRECT_TO_REVERBERANT_DB,
) -> Samples:
    """Return ``samples`` in a room: the direct sound as it was, and after it a tail, cut off at the end.

    The impulse response is a one followed by Gaussian noise that decays by 60 dB in ``rt60_s`` (the diffuse field of
    Polack's model; Polack 1988, doctoral thesis, Université du Maine), with energy ``direct_to_reverberant_db`` below
    the one's.
    """
    response = room_response(rate_hz, seed, rt60_s, direct_to_reverberant_db)
    size = 1 << (len(samples) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def room_response(rate_hz: int, seed: int, rt60_s: float, direct_to_reverberant_db: float) -> Samples:
    """Return the impulse response that ``reverberate`` uses, shape ``(rt60_s × rate_hz + 1,)``; it begins with 1."""
    n_tail = max(1, round(rt60_s * rate_hz))
    decay = 10 ** (-3 * np.arange(1, n_tail + 1) / n_tail)
    tail = np.random.default_rng(seed).standard_normal(n_tail) * decay
    tail *= np.sqrt(10 ** (-direct_to_reverberant_db / 10) / np.square(tail).sum())
    return np.concatenate([[1], tail]).astype(np.float32)


def change_speed(samples: Samples, rate_hz: int, speed: float) -> Samples:
    """Return ``samples`` played ``speed`` times as fast: tempo and pitch rise, the length becomes ``samples / speed``.

    Raises:
        ValueError: ``speed`` is not positive.
    """
    if not speed > 0:
        raise ValueError(f"the speed must be positive, not {speed}")
    n_samples = max(1, round(len(samples) / speed))
    return exactly(played(Waveform(samples, rate_hz), speed, rate_hz), n_samples)


def _mixed(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    noise_power = _power(noise)
    if noise_power == 0:
        return samples.copy()
    gain = np.sqrt(_power(samples) / noise_power) * 10 ** (-snr_db / 20)
    return samples + np.float32(gain) * noise


def _power(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def _clean(samples: Samples, rate_hz: int, seed: int, others: Sequence[Samples]) -> Samples:
    return samples.copy()


def _white(snr_db: float, samples: Samples, rate_hz: int, seed: int, others: Sequence[Samples]) -> Samples:
    return white_noise(samples, snr_db, seed)


def _babble(snr_db: float, samples: Samples, rate_hz: int, seed: int, others: Sequence[Samples]) -> Samples:
    return babble(samples, others, snr_db, seed)


def _half(samples: Samples, rate_hz: int, seed: int, others: Sequence[Samples]) -> Samples:
    return samples * np.float32(0.5)


CLEAN = "clean"
"""The condition that the others are compared with."""

CONDITIONS: Mapping[str, Condition] = {
    CLEAN: _clean,
    **{f"white noise {snr_db} dB": partial(_white, snr_db) for snr_db in SNRS_DB},
    **{f"babble {snr_db} dB": partial(_babble, snr_db) for snr_db in SNRS_DB},
    "telephone": lambda samples, rate_hz, seed, others: telephone(samples, rate_hz),
    "MP3 16 kbit/s": lambda samples, rate_hz, seed, others: through_mp3(samples, rate_hz),
    "Opus 16 kbit/s": lambda samples, rate_hz, seed, others: through_opus(samples, rate_hz),
    "reverberation": lambda samples, rate_hz, seed, others: reverberate(samples, rate_hz, seed),
    "half volume": _half,
    "speed 0.9": lambda samples, rate_hz, seed, others: change_speed(samples, rate_hz, 0.9),
    "speed 1.1": lambda samples, rate_hz, seed, others: change_speed(samples, rate_hz, 1.1),
}
"""Everything that a recogniser's robustness is measured under, in the order of the table."""
