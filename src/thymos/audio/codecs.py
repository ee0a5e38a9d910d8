"""Speech through lossy codecs at a low bit rate, encoded and decoded again by libsndfile.

MP3 is LAME at a constant rate, Opus is libopus at a variable one. Sound comes back at the rate, in the length and in
the place it had, so that only what the codec did to it differs.
"""

import io

import soundfile

from thymos.audio.conditioning import exactly, resample
from thymos.audio.decode import Samples, Waveform
from thymos.errors import AudioError

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
