"""Near-copies: recordings that share a stretch of sound, whatever was done to it, found among many by fingerprint.

As Haitsma and Kalker (2002, A highly robust audio fingerprinting system, ISMIR) do it, a word of 32 bits tells of each
moment which of 33 bands of the telephone's range stand out from their neighbours; here, more than they do on average
over the quarter second around, which takes out what a line or a codec does to a band all the time. Two cuts of one
recording agree in most bits wherever they overlap, two takes of one sentence in little more than half of them:
``benchmarks/near_copies.py`` measures it. Chromaprint and its kin are made for music and need several seconds; half of
an emotional corpus is shorter. No level, pitch or phase is in a fingerprint, so no sound can be made of it again.

Words of the stored fingerprints are looked up by halves of their bits, one of which may differ. Where two look-ups
agree on a recording and a shift, the words around are compared, and where those agree, all that overlap at that shift.
So ten thousand recordings are compared with ten thousand others in half a minute, not in days.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, resample
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz

Words = NDArray[np.uint32]
"""Words of a fingerprint, in the order of time; 0 where there is nothing to tell of: silence, or a sound that stays."""

RATE_HZ = 8_000
HOP_S = 0.02
"""From one word of a whole fingerprint to the next."""
SPARSE = 3
"""Of a fingerprint that is kept to be compared with, each so manieth word is enough: 60 ms, 67 bytes a second."""
LONGEST_S = 120
"""What comes later in a recording is not looked at: no file, however long, costs more than this."""

_BITS = 32
_WINDOW, _HOP = 2048, 160
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 3300.0
_AROUND = 6
"""Words on either side over which the usual contrast of two bands is taken."""
_FLOOR_DB = 50.0
"""So far below the loud moments of a recording, differences are of noise and count less and less."""
_SILENT_DB = 35.0
"""Moments so far below the loud ones have no word."""
_STEADY_DB = 0.5
"""Moments whose bands, in the mean, stand out by less than this from what is usual around them have none either."""
_MOST_UNEVEN = 8
"""Nor have those with more than 24 bits alike: such are clicks, and where a hum begins. Speech has 9 to 23."""

LEAST_AGREEMENT, LEAST_WEIGHT = 0.61, 10.8
"""Agreement of two cuts of one recording where they overlap: 1 where all bits agree, about 0 of unlike sounds. Weight
is agreement times the root of the number of bits: a short overlap must agree better. Of 14,121 clips, takes of one
sentence among them, no two that are different recordings agree by 0.58 over more than ``SHORT_S``, nor with a weight of
10 over less."""
SHORT_S, LEAST_AGREEMENT_OF_SHORT = 0.75, 0.55
"""An overlap no longer than that may agree less, if it has the weight: what is short has few bits."""
PIECE_S, LEAST_AGREEMENT_OF_PIECE, WHOLE = 1.0, 0.72, 0.7
"""But one no longer than that, in a recording of which it is less than seven tenths, must agree better: takes of a
carrier phrase such as TESS's agree by up to 0.7 over half a second of it."""
LEAST_AGREEMENT_OF_LONG, LEAST_WEIGHT_OF_LONG = 0.5, 17.5
"""So may one of this weight, which takes some two seconds: no two different ones of those clips have 16.2."""
ALIGNED_S, WHOLE_OF_ALIGNED = 0.06, 0.85
LEAST_AGREEMENT_OF_ALIGNED, LEAST_WEIGHT_OF_ALIGNED = 0.5, 9.4
"""So may a short one that begins where the recording begins, give or take ``ALIGNED_S``, and is nearly all of both: a
word in another codec, or clipped. Of 1.3 million pairs of words of TurEV-DB and the like, 2 are taken for copies."""
LEAST_WORDS = 4
"""An overlap of fewer words of a sparse fingerprint, a quarter of a second, says nothing."""

VERSION = 1
"""Of fingerprints: those of another say nothing to this one."""
_LEAST_KEY_BITS, _MOST_KEY_BITS = 16, 22
_WORDS_A_KEY = 1
"""With more words for each key, keys get longer: time goes by it. With half a word, one clip of 2000 is not found."""
_MOST_LOOKED_AT = 64
"""Of the words that share a key: a hum, or a thousand copies of one recording, must not cost hours. Copies beyond are
found through those before."""
_SHORT = 50
"""Of fewer words, one look-up is enough for a comparison; else two must agree."""
_GAP = 6
"""Words on either side of one that was found which are compared first. So many zeros lie between two recordings."""
_LEAST_WEIGHT_AROUND = 5.0
"""Of those: 1 in 10,000 comparisons of unlike sounds has it."""
_AT_ONCE = 1 << 13
"""Comparisons."""


_ONES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)
"""Of 16 bits, how many are set: ``numpy.bitwise_count`` came with numpy 2."""


def fingerprint_of(waveform: Waveform) -> Words:
    """Return the fingerprint of ``waveform``, one word every 20 ms: shape ``(words,)``; none of digital silence."""
    samples = waveform.samples[: LONGEST_S * waveform.rate_hz]
    energies = _energies(resample(Waveform(samples, waveform.rate_hz), RATE_HZ).samples)
    power = energies.sum(1)
    loud = float(np.percentile(power, 95))
    if loud <= 0:
        return np.zeros(0, np.uint32)
    levels = 10 * np.log10(energies + loud * 10 ** (-_FLOOR_DB / 10) / energies.shape[1])
    contrasts = levels[:, :-1] - levels[:, 1:]
    unusual = contrasts - _running_mean(contrasts)
    bits = unusual > 0
    told = (power > loud * 10 ** (-_SILENT_DB / 10)) & (np.abs(unusual).mean(1) > _STEADY_DB)
    told &= np.abs(bits.sum(1) - _BITS // 2) <= _MOST_UNEVEN
    words = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
    return np.where(told, words, 0).astype(np.uint32)


def to_text(words: Words) -> str:
    """Return ``words`` as text that a table or JSON can hold."""
    return base64.b64encode(words.astype("<u4").tobytes()).decode("ascii")


def from_text(text: str) -> Words:
    """Return the words that ``to_text`` wrote.

    Raises:
        ValueError: it is no such text.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), "<u4").astype(np.uint32)


def to_arrays(sparse: Sequence[Words]) -> dict[str, NDArray[Any]]:
    """Return sparse fingerprints as arrays that a file can hold: what tells nothing takes a bit."""
    words = np.concatenate([np.zeros(0, np.uint32), *sparse])
    lengths = np.array([len(each) for each in sparse], np.uint32)
    version = np.array([VERSION], np.uint32)
    return {"words": words[words != 0], "told": np.packbits(words != 0), "lengths": lengths, "version": version}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Words, ...]:
    """Return the sparse fingerprints that ``to_arrays`` was given.

    Raises:
        ValueError: the arrays do not fit each other, or are of another version.
        KeyError: one is missing.
    """
    if arrays["version"].tolist() != [VERSION]:
        raise ValueError("its fingerprints are of another version of Thymos")
    told, known, lengths = arrays["told"], arrays["words"], arrays["lengths"]
    kinds = [array.dtype.str for array in (told, known, lengths)]
    if kinds != ["|u1", "<u4", "<u4"] or any(array.ndim != 1 for array in (told, known, lengths)):
        raise ValueError("its fingerprints are of another kind")
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if -(-total // 8) != told.size or int(np.unpackbits(told, count=total).sum()) != known.size:
        raise ValueError("its fingerprints do not fit each other")
    words = np.zeros(total, np.uint32)
    words[np.unpackbits(told, count=total).astype(bool)] = known
    return tuple(np.split(words, ends[:-1])) if len(ends) else ()


def _energies(samples: Samples) -> NDArray[np.float32]:
    """Return the energies in the bands around each moment, shape ``(words, 33)``."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window, bands = _window_and_bands()
    parts = []
    for first in range(0, len(frames), 64):  # few at a time: they stay in the processor's cache
        spectra = np.fft.rfft(frames[first : first + 64] * window, axis=1)[:, : len(bands)]
        parts.append((spectra.real**2 + spectra.imag**2).astype(np.float32) @ bands)
    return np.concatenate(parts)


@cache
def _window_and_bands() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a Hann window, and triangular bands of equal width in mel, shape ``(frequencies, 33)``."""
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)
    lowest, highest = hz_to_mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    edges = mel_to_hz(np.linspace(lowest, highest, _BITS + 2))
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    bands = np.maximum(0, 1 - np.abs(frequencies[:, None] - centres) / widths)
    used = np.flatnonzero(bands.any(1))[-1] + 1
    return np.hanning(_WINDOW).astype(np.float32), bands[:used].astype(np.float32)


def _running_mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean over ``_AROUND`` rows before and after each row, the row's own included."""
    width = 2 * _AROUND + 1
    sums = np.cumsum(np.pad(values.astype(np.float64), ((_AROUND + 1, _AROUND), (0, 0)), mode="edge"), axis=0)
    # The row that was put before the first, so that sums begin with a whole width.
    return np.asarray((sums[width:] - sums[:-width]) / width)


class NearCopy(NamedTuple):
    """A stored recording that shares sound with the one asked about."""

    place: int
    """Its place among those stored."""
    later_s: float
    """How much later the shared sound is in the one asked about."""
    agreement: float
    """See ``LEAST_AGREEMENT``."""
    overlap_s: float
    """How much sound, silence not counted, was compared."""


class Fingerprints:
    """Fingerprints of many recordings, kept sparse, in which near-copies are looked up."""

    def __init__(self, sparse: Sequence[Words]):
        """Take what ``sparse`` makes of whole fingerprints."""
        gap = np.zeros(_GAP, np.uint32)
        self._lengths = np.array([len(words) for words in sparse], np.int64)
        self._starts = _GAP + np.cumsum([0, *(self._lengths[:-1] + _GAP)]) if len(sparse) else self._lengths
        self._words = np.concatenate([gap, *(part for words in sparse for part in (words, gap))])
        self._around = (
            np.lib.stride_tricks.sliding_window_view(self._words, 2 * _GAP + 1) if len(sparse) else self._words
        )
        self._told = [int(np.count_nonzero(words)) for words in sparse]
        self._owner = np.repeat(np.arange(len(sparse)), self._lengths + _GAP)
        known = np.flatnonzero(self._words)
        bits = int(np.clip(np.log2(max(1, len(known)) / _WORDS_A_KEY), _LEAST_KEY_BITS, _MOST_KEY_BITS))
        every = np.arange(_BITS)
        self._keys = [
            _Keys(self._words, known, np.roll(np.concatenate([every[::2], every[1::2]]), turn)[:bits])
            for turn in (0, _BITS // 2)
        ]

    def __len__(self) -> int:
        return len(self._lengths)

    def near_copies(self, words: Words, look_up: bool = True) -> list[NearCopy]:
        """Return the recordings that share sound with the one whose whole fingerprint is ``words``, the likest first.

        With ``look_up``, only what a look-up finds is compared; without, everything at every shift, which takes long.
        """
        if look_up:
            places, shifts = self._alike_around(words, *self._found(words))
            found = np.stack([self._owner[places - _GAP], shifts], axis=1)
            candidates = np.concatenate([found + np.array([0, more]) for more in (-1, 0, 1)])
        else:
            lengths = enumerate(self._lengths.tolist())
            every = [(owner, shift) for owner, n in lengths for shift in range(-SPARSE * n, len(words))]
            candidates = np.array(every, np.int64).reshape(-1, 2)
        told = np.count_nonzero(words) / SPARSE
        best: dict[int, tuple[float, NearCopy]] = {}
        for owner, shift, agreement, compared in self._compared(words, np.unique(candidates, axis=0)):
            weight = agreement * float(np.sqrt(_BITS * compared))
            copy = NearCopy(owner, shift * HOP_S, agreement, compared * SPARSE * HOP_S)
            if compared >= LEAST_WORDS and _is_copy(copy, weight, compared / max(told, self._told[owner], 1)):
                best[owner] = max(best.get(owner, (0.0, copy)), (weight, copy))
        return [copy for _, copy in sorted(best.values(), reverse=True)]

    def _found(self, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return stored words, and how much later each should be in ``words``, in words of a whole fingerprint.

        Shifts are rounded down to multiples of ``SPARSE``.
        """
        told = np.flatnonzero(words)
        hits, at = zip(*(keys.look_up(words[told]) for keys in self._keys), strict=True)
        hit, place = np.concatenate(hits), told[np.concatenate(at)]
        owner = self._owner[hit - _GAP]
        shift = (place - SPARSE * (hit - self._starts[owner])) // SPARSE
        # Words next to each other are alike: of those asked about, all that find one stored word are one vote.
        lowest = -int(self._lengths.max(initial=0)) - 1
        cells = len(words) // SPARSE - lowest + 2
        found = np.sort(hit * cells + shift - lowest)
        hit, shift = np.divmod(found[np.diff(found, prepend=-1) > 0], cells)  # each once
        owner = self._owner[hit - _GAP]
        number, first, votes = np.unique(owner * cells + shift, return_index=True, return_counts=True)
        if len(told) >= _SHORT:
            follows = np.append(np.diff(number) == 1, False)
            together = votes + follows * np.append(votes[1:], 0)
            first = first[together > 1]
        return hit[first], (shift[first] + lowest) * SPARSE

    def _alike_around(
        self, words: Words, places: NDArray[np.int64], shifts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return those stored words around which the words agree at a shift, and the shift, give or take a word."""
        around = SPARSE * _GAP
        padded = np.pad(words, 2 * around)  # so that a row of those below reaches beyond both ends
        ours_from = np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1)[:, ::SPARSE]
        kept = [(places[:0], shifts[:0])]
        for first in range(0, len(places), _AT_ONCE):
            part, base = places[first : first + _AT_ONCE], shifts[first : first + _AT_ONCE]
            theirs = self._around[part - _GAP]
            local = SPARSE * (part - self._starts[self._owner[part - _GAP]])
            for more in range(0, 2 * SPARSE, 2):
                ours = ours_from[np.clip(local + base + more + around, 0, len(ours_from) - 1)]
                agreement, compared = _agreement(ours, theirs)
                good = agreement * np.sqrt(_BITS * compared) >= _LEAST_WEIGHT_AROUND
                kept.append((part[good], base[good] + more))
        return np.concatenate([place for place, _ in kept]), np.concatenate([shift for _, shift in kept])

    def _compared(self, words: Words, candidates: NDArray[np.int64]) -> Iterator[tuple[int, int, float, int]]:
        """Yield recordings and shifts, how far all that overlaps agrees, and how many words were compared.

        What has too little weight to be a copy is left out.
        """
        for at in range(0, len(candidates), _AT_ONCE):
            owner, shift = candidates[at : at + _AT_ONCE].T
            before = np.maximum(0, -(shift // SPARSE))
            first = shift + SPARSE * before
            # Of each, so many words of ours lie beside so many of theirs; those of all stand behind one another.
            beside = np.minimum(-(-(len(words) - first) // SPARSE), self._lengths[owner] - before).clip(0)
            which = np.repeat(np.arange(len(owner)), beside)
            within = np.arange(len(which)) - (np.cumsum(beside) - beside)[which]
            ours = words[first[which] + SPARSE * within]
            theirs = self._words[(self._starts[owner] + before)[which] + within]
            told = (ours != 0) & (theirs != 0)
            compared = np.bincount(which, told, len(owner)).astype(np.int64)
            differing = np.bincount(which, np.where(told, _ones(ours ^ theirs), 0), len(owner))
            agreement = _agreed(differing, compared)
            good = agreement * np.sqrt(_BITS * compared) >= min(LEAST_WEIGHT, LEAST_WEIGHT_OF_ALIGNED)
            kept = (each[good].tolist() for each in (owner, shift, agreement, compared))
            yield from zip(*kept, strict=True)


class _Keys:
    """The places of words by the value of some of their bits."""

    def __init__(self, words: Words, known: NDArray[np.int64], bits: NDArray[np.int64]):
        self._bits = bits
        keys = self._of(words[known])
        self._order = known[np.argsort(keys, kind="stable")]
        self._ends = np.cumsum(np.bincount(keys, minlength=1 << len(bits)))

    def _of(self, words: Words) -> NDArray[np.int64]:
        keys = np.zeros(len(words), np.int64)
        for place, bit in enumerate(self._bits):
            keys |= ((words >> np.uint32(bit)) & 1).astype(np.int64) << place
        return keys

    def look_up(self, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of stored words that differ by no more than one bit, and each's place among ``words``."""
        flips = np.array([0, *(1 << bit for bit in range(len(self._bits)))])
        probes = (self._of(words)[:, None] ^ flips).ravel()
        starts = np.where(probes > 0, self._ends[probes - 1], 0)
        counts = np.minimum(self._ends[probes] - starts, _MOST_LOOKED_AT)
        ends = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        asked = np.repeat(np.arange(len(words)), len(flips))
        return self._order[np.repeat(starts, counts) + within], np.repeat(asked, counts)


def _is_copy(found: NearCopy, weight: float, share: float) -> bool:
    """Return whether an overlap of that weight, so large a share of the longer recording, is of one recording."""
    _, later_s, agreement, overlap_s = found
    aligned = overlap_s <= SHORT_S and abs(later_s) <= ALIGNED_S + HOP_S / 2 and share >= WHOLE_OF_ALIGNED
    if aligned and agreement >= LEAST_AGREEMENT_OF_ALIGNED and weight >= LEAST_WEIGHT_OF_ALIGNED:
        return True
    if weight < LEAST_WEIGHT:
        return False
    if overlap_s <= PIECE_S and share < WHOLE:
        return agreement >= LEAST_AGREEMENT_OF_PIECE
    if overlap_s <= SHORT_S:
        return agreement >= LEAST_AGREEMENT_OF_SHORT
    return agreement >= LEAST_AGREEMENT or (agreement >= LEAST_AGREEMENT_OF_LONG and weight >= LEAST_WEIGHT_OF_LONG)


def _agreement(ours: Words, theirs: Words) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how far words agree where both tell something, and how many do: over the last axis."""
    told = (ours != 0) & (theirs != 0)
    differing = np.where(told, _ones(ours ^ theirs), 0).sum(-1, dtype=np.int64)
    compared = told.sum(-1)
    return _agreed(differing, compared), compared


def _agreed(differing: NDArray[Any], compared: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(1 - differing / (_BITS / 2 * np.maximum(1, compared)) - (compared == 0), np.float64)


def _ones(words: Words) -> NDArray[np.uint8]:
    """Return how many bits of each word are set."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words))
    halves = np.ascontiguousarray(words)[..., None].view(np.uint16)
    return np.asarray(_ONES[halves[..., 0]] + _ONES[halves[..., 1]])
